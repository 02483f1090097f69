//! Messages as clients write and read them.

use turnkeep::wire::attribute::{AttributeType, Encode, ErrorCode};
use turnkeep::wire::channel_data::{self, ChannelNumber};
use turnkeep::wire::header::{Class, Method, TransactionId};
use turnkeep::wire::integrity::IntegrityKey;
use turnkeep::wire::message::Message;
use turnkeep::wire::writer::MessageWriter;

use super::judge::is_signed;
use super::stun::Stun;
use super::world::Output;

/// An attribute of any type, for lists of them.
pub trait Attribute {
    fn put(&self, writer: &mut MessageWriter<'_>);
}

impl<T: Encode> Attribute for T {
    fn put(&self, writer: &mut MessageWriter<'_>) {
        writer.put(self).unwrap();
    }
}

/// An attribute with any number and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(pub u16, pub Vec<u8>);

impl Encode for Raw {
    fn attribute_type(&self) -> AttributeType {
        AttributeType(self.0)
    }

    fn value_len(&self) -> usize {
        self.1.len()
    }

    fn encode_value(&self, out: &mut [u8], _: &TransactionId) {
        out.copy_from_slice(&self.1);
    }
}

pub fn message(
    method: Method,
    class: Class,
    id: TransactionId,
    attributes: &[&dyn Attribute],
    key: Option<&IntegrityKey>,
) -> Vec<u8> {
    let mut out = vec![0; 70_000];
    let mut writer = MessageWriter::new(&mut out, method, class, id).unwrap();
    for attribute in attributes {
        attribute.put(&mut writer);
    }
    if let Some(key) = key {
        writer.integrity(key).unwrap();
    }
    let len = writer.finish();
    out.truncate(len);
    out
}

pub fn channel_message(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The one answer to a client among the outputs.
#[track_caller]
pub fn only_reply(outputs: Vec<Output>) -> Vec<u8> {
    match <[Output; 1]>::try_from(outputs) {
        Ok([Output::ToClient { bytes, .. }]) => bytes,
        other => panic!("one answer to the client expected: {other:?}"),
    }
}

/// The error code of a response; 0 for a success.
pub fn code(answer: &[u8]) -> u16 {
    let answer = Message::parse(answer).unwrap();
    match answer.class() {
        Class::Success => 0,
        _ => answer.get::<ErrorCode<'_>>().unwrap().expect("an error has an ERROR-CODE").code,
    }
}

/// The error code of a refusal, which carries integrity: the server knew who asked.
#[track_caller]
pub fn refusal(answer: &[u8]) -> u16 {
    let code = code(answer);
    assert!(code != 0 && is_signed(&Stun::read(answer).unwrap()), "{code}: a signed error response expected");
    code
}

/// The error code of the answer to a request with good credentials; 0 for a success. Only a challenge is not signed.
#[track_caller]
pub fn outcome(answer: &[u8]) -> u16 {
    match code(answer) {
        code @ (0 | 401 | 438) => code,
        _ => refusal(answer),
    }
}

pub fn channel_header(number: u16, len: u16) -> [u8; 4] {
    channel_data::header(ChannelNumber::new(number).unwrap(), len)
}
