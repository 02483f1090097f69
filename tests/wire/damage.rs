//! Messages after some damage.
#![allow(dead_code, reason = "each test uses its part")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use turnkeep::wire::attribute::AttributeType;
use turnkeep::wire::{Class, HEADER_LEN, MAGIC_COOKIE, MessageWriter, Method, TransactionId};

use super::any::{Any, attribute, message};

/// A message, or what is left of one after some damage; its length is mended more often than not, so that the damage is
/// seen by more than the first check.
pub(crate) fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<Index>(), vec(any::<u8>(), 0..12)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        any::<Index>().prop_map(Damage::Cut),
        vec(attribute(), 1..4).prop_map(Damage::Append),
        vec(header_soup(), 0..80).prop_map(|soup| Damage::AppendSoup(soup.concat())),
    ];
    (message(), vec(damage, 0..4), any::<[bool; 2]>()).prop_map(|(message, damage, mend)| {
        let mut bytes = message.bytes();
        damage.into_iter().for_each(|damage| damage.inflict(&mut bytes));
        if mend != [false; 2] && bytes.len() >= HEADER_LEN {
            bytes.truncate(bytes.len() & !3);
            mend_length(&mut bytes);
            bytes[0] &= 0x3F;
            bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        }
        bytes
    })
}

#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index),
    Append(Vec<Any>),
    AppendSoup(Vec<u8>),
}

impl Damage {
    fn inflict(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Set(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            Self::Set(..) => {}
            Self::Insert(at, inserted) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, inserted);
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
            Self::Append(attributes) => bytes.extend(bytes_of(&attributes)),
            Self::AppendSoup(soup) => bytes.extend(soup),
        }
    }
}

/// An attribute of few bytes whose type matters to the scope, or to nobody.
fn header_soup() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        Just(AttributeType::MESSAGE_INTEGRITY),
        Just(AttributeType::MESSAGE_INTEGRITY_SHA256),
        Just(AttributeType::FINGERPRINT),
        Just(AttributeType::LIFETIME),
        (0x7000..0x7020_u16).prop_map(AttributeType),
        any::<u16>().prop_map(AttributeType),
    ];
    (number, 0..6_usize).prop_map(|(number, len)| {
        let [hi, lo] = number.0.to_be_bytes();
        let mut bytes = vec![hi, lo, 0, u8::try_from(len).expect("below 6")];
        bytes.resize(4 + len.next_multiple_of(4), 0xEE);
        bytes
    })
}

/// Attributes as they lie in a message.
pub(crate) fn bytes_of(attributes: &[Any]) -> Vec<u8> {
    let mut out = vec![0; 32_768];
    let id = TransactionId([0; 12]);
    let mut writer = MessageWriter::new(&mut out, Method::BINDING, Class::Request, id).expect("room");
    attributes.iter().for_each(|attribute| attribute.put(&mut writer));
    let len = writer.finish();
    out[HEADER_LEN..len].to_vec()
}

pub(crate) fn mend_length(datagram: &mut [u8]) {
    let len = u16::try_from(datagram.len() - HEADER_LEN).expect("a datagram's length");
    datagram[2..4].copy_from_slice(&len.to_be_bytes());
}
