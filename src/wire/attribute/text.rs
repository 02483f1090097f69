//! The textual attributes of RFC 8489, as the bytes they came in: no value is normalised or checked for UTF-8, because
//! the keys and hashes are made of the bytes as received.

use super::{AttributeType, Decode, Encode, fill, opaque_attribute};
use crate::wire::header::TransactionId;

/// The most bytes that USERNAME, REALM, NONCE and SOFTWARE may have when they are read (RFC 8489 §14.3, §14.9, §14.10,
/// §14.14); what is longer is invalid.
pub const MAX_TEXT_LEN: usize = 763;

/// The most bytes of a domain name (RFC 8489 §14.16).
const MAX_DOMAIN_LEN: usize = 255;

opaque_attribute! {
    /// USERNAME (RFC 8489 §14.3): 0 to 763 bytes. Personal data, so Debug shows its length only.
    Username = USERNAME, max MAX_TEXT_LEN
}

opaque_attribute! {
    /// REALM (RFC 8489 §14.9): 0 to 763 bytes, without the quotes. To be sent it must be shorter than 128 characters.
    Realm = REALM, max MAX_TEXT_LEN
}

opaque_attribute! {
    /// NONCE (RFC 8489 §14.10): 0 to 763 bytes. To be sent it must be shorter than 128 characters.
    Nonce = NONCE, max MAX_TEXT_LEN
}

opaque_attribute! {
    /// SOFTWARE (RFC 8489 §14.14): 0 to 763 bytes. To be sent it must be shorter than 128 characters.
    Software = SOFTWARE, max MAX_TEXT_LEN
}

opaque_attribute! {
    /// ALTERNATE-DOMAIN (RFC 8489 §14.16): a DNS name of 0 to 255 bytes.
    AlternateDomain = ALTERNATE_DOMAIN, max MAX_DOMAIN_LEN
}

/// USERHASH (RFC 8489 §14.4): `SHA-256(username ":" realm)`; made by [`userhash`](crate::wire::integrity::userhash).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Userhash<'a>(pub &'a [u8; 32]);

impl<'a> Decode<'a> for Userhash<'a> {
    const TYPE: AttributeType = AttributeType::USERHASH;

    #[inline]
    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        value.try_into().ok().map(Self)
    }
}

impl Encode for Userhash<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::USERHASH
    }

    fn value_len(&self) -> usize {
        self.0.len()
    }

    fn encode_value(&self, out: &mut [u8], _: &TransactionId) {
        fill(out, self.0);
    }
}

impl std::fmt::Debug for Userhash<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Userhash(32 bytes)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{decoded, encoded};

    /// C-033, C-068: RFC 8489 §14.3, §14.9, §14.10, §14.14.
    #[test]
    fn texts_have_up_to_763_bytes_of_any_kind() {
        let longest = [0xFF; 763];
        assert_eq!(decoded(&longest), Some(Username(&longest)));
        assert_eq!(decoded(&longest), Some(Realm(&longest)));
        assert_eq!(decoded(&longest), Some(Nonce(&longest)));
        assert_eq!(decoded(&longest), Some(Software(&longest)));
        let too_long = [b'a'; 764];
        assert_eq!(decoded::<Username<'_>>(&too_long), None);
        assert_eq!(decoded::<Realm<'_>>(&too_long), None);
        assert_eq!(decoded::<Nonce<'_>>(&too_long), None);
        assert_eq!(decoded::<Software<'_>>(&too_long), None);
        assert_eq!(decoded(b""), Some(Username(b"")));
    }

    /// RFC 8489 §14.16.
    #[test]
    fn a_domain_has_up_to_255_bytes() {
        assert!(decoded::<AlternateDomain<'_>>(&[b'a'; 255]).is_some());
        assert!(decoded::<AlternateDomain<'_>>(&[b'a'; 256]).is_none());
    }

    /// C-087: RFC 8489 §14.4.
    #[test]
    fn a_userhash_has_32_bytes() {
        let hash = [7; 32];
        assert_eq!(decoded(&hash), Some(Userhash(&hash)));
        assert_eq!(encoded(&Userhash(&hash)), hash);
        assert_eq!(decoded::<Userhash<'_>>(&hash[..31]), None);
        assert_eq!(decoded::<Userhash<'_>>(&[7; 33]), None);
    }

    #[test]
    fn texts_are_sent_as_they_are() {
        assert_eq!(encoded(&Username(b"\xFF\0 \r\n")), b"\xFF\0 \r\n");
        assert_eq!(encoded(&Nonce(b"")), b"");
    }

    /// What a client sends never reaches a log by way of Debug.
    #[test]
    fn debug_shows_lengths_only() {
        assert_eq!(format!("{:?}", Username(b"alice")), "Username(5 bytes)");
        assert_eq!(format!("{:?}", Userhash(&[0; 32])), "Userhash(32 bytes)");
    }
}
