//! What several of this floor's tests need, and the published vectors.

mod message;
mod scope;
mod vectors;

use super::attribute::{Decode, Encode};
use super::header::{Class, HEADER_LEN, Header, Method, TransactionId};

/// Any transaction id; no two bytes alike.
pub(super) const ID: TransactionId = TransactionId([0xA0, 0xB1, 0xC2, 0xD3, 0xE4, 0xF5, 6, 7, 8, 9, 10, 11]);

/// The bytes of an attribute's value.
pub(super) fn encoded(attribute: &impl Encode) -> Vec<u8> {
    let mut out = vec![0; attribute.value_len()];
    attribute.encode_value(&mut out, &ID);
    out
}

/// What an attribute's value says.
pub(super) fn decoded<'a, T: Decode<'a>>(value: &'a [u8]) -> Option<T> {
    T::decode(value, &ID)
}

/// A Binding request by its attributes' bytes, with nothing done for them but the header's length.
pub(super) fn request(attributes: &[u8]) -> Vec<u8> {
    let body_len = u16::try_from(attributes.len()).expect("tests write short messages");
    let header = Header { method: Method::BINDING, class: Class::Request, body_len, transaction_id: ID };
    [&header.to_bytes()[..], attributes].concat()
}

/// Sets the header's length to what follows the header.
pub(super) fn mend_length(datagram: &mut [u8]) {
    let body_len = u16::try_from(datagram.len() - HEADER_LEN).expect("tests write short messages");
    datagram[2..4].copy_from_slice(&body_len.to_be_bytes());
}
