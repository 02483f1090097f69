//! UNKNOWN-ATTRIBUTES (RFC 8489 §14.13).

use super::{AttributeType, Decode, Encode};
use crate::wire::header::TransactionId;

/// UNKNOWN-ATTRIBUTES (RFC 8489 §14.13): the types that a 420 complains of. A list of odd length is padded like any
/// value, not by repeating the last type as RFC 3489 did.
#[derive(Clone, Copy)]
pub struct UnknownAttributes<'a>(List<'a>);

#[derive(Clone, Copy)]
enum List<'a> {
    Types(&'a [AttributeType]),
    /// Big-endian pairs of bytes.
    Wire(&'a [u8]),
}

impl<'a> UnknownAttributes<'a> {
    /// To be written.
    pub const fn new(types: &'a [AttributeType]) -> Self {
        Self(List::Types(types))
    }

    /// The types, in order.
    pub fn iter(&self) -> impl Iterator<Item = AttributeType> + 'a {
        let (types, wire): (&[AttributeType], &[u8]) = match self.0 {
            List::Types(types) => (types, &[]),
            List::Wire(wire) => (&[], wire),
        };
        let read = wire.as_chunks().0.iter().map(|pair| AttributeType(u16::from_be_bytes(*pair)));
        types.iter().copied().chain(read)
    }
}

impl<'a> Decode<'a> for UnknownAttributes<'a> {
    const TYPE: AttributeType = AttributeType::UNKNOWN_ATTRIBUTES;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        value.len().is_multiple_of(2).then_some(Self(List::Wire(value)))
    }
}

impl Encode for UnknownAttributes<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::UNKNOWN_ATTRIBUTES
    }

    fn value_len(&self) -> usize {
        match self.0 {
            List::Types(types) => types.len().saturating_mul(2),
            List::Wire(wire) => wire.len(),
        }
    }

    fn encode_value(&self, out: &mut [u8], _: &TransactionId) {
        for (pair, attribute) in out.as_chunks_mut().0.iter_mut().zip(self.iter()) {
            *pair = attribute.0.to_be_bytes();
        }
    }
}

impl PartialEq for UnknownAttributes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UnknownAttributes<'_> {}

impl std::fmt::Debug for UnknownAttributes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{decoded, encoded};

    const TYPES: [AttributeType; 3] = [AttributeType(0x0001), AttributeType::CHANGE_REQUEST, AttributeType(0x7FFF)];

    /// C-021: RFC 8489 §14.13.
    #[test]
    fn a_list_of_types() {
        let list = UnknownAttributes::new(&TYPES);
        let wire = [0x00, 0x01, 0x00, 0x03, 0x7F, 0xFF];
        assert_eq!(encoded(&list), wire, "not padded by a repeated type");
        let read = decoded::<UnknownAttributes<'_>>(&wire).unwrap();
        assert_eq!(read, list);
        assert!(read.iter().eq(TYPES));
        assert_eq!(encoded(&read), wire);
        assert_ne!(read, UnknownAttributes::new(&TYPES[..2]));
    }

    #[test]
    fn half_a_type_is_invalid() {
        assert_eq!(decoded::<UnknownAttributes<'_>>(&[0x00, 0x01, 0x00]), None);
        assert_eq!(decoded::<UnknownAttributes<'_>>(&[]), Some(UnknownAttributes::new(&[])));
    }

    #[test]
    fn debug_names_the_types() {
        let shown = format!("{:?}", UnknownAttributes::new(&TYPES[1..]));
        assert_eq!(shown, "[CHANGE-REQUEST, attribute 0x7fff]");
    }
}
