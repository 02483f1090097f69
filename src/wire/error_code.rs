//! ERROR-CODE (RFC 8489 §14.8) and ADDRESS-ERROR-CODE (RFC 8656 §18.12).

use super::attribute::{AttributeType, Decode, Encode, fill};
use super::header::TransactionId;

/// ERROR-CODE (RFC 8489 §14.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode<'a> {
    /// 300 to 699. Any other number is sent as 500: the attribute cannot express it.
    pub code: u16,
    /// For humans. What is sent stops before the 128th character; of what is received, at the first byte that is not
    /// UTF-8.
    pub reason: &'a str,
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $constant:ident = $code:literal, $reason:literal;)+) => {
        impl ErrorCode<'static> {
            $($(#[$doc])* pub const $constant: Self = Self { code: $code, reason: $reason };)+

            /// The code with its reason phrase of IANA's registry "STUN Error Codes", or with none.
            pub const fn registered(code: u16) -> Self {
                match code {
                    $($code => Self::$constant,)+
                    _ => Self { code, reason: "" },
                }
            }
        }
    };
}

error_codes! {
    /// RFC 8489 §14.8.
    TRY_ALTERNATE = 300, "Try Alternate";
    /// RFC 8489 §14.8.
    BAD_REQUEST = 400, "Bad Request";
    /// RFC 8489 §14.8.
    UNAUTHENTICATED = 401, "Unauthenticated";
    /// RFC 8656 §19.
    FORBIDDEN = 403, "Forbidden";
    /// RFC 8016 §3.4.
    MOBILITY_FORBIDDEN = 405, "Mobility Forbidden";
    /// RFC 8489 §14.8.
    UNKNOWN_ATTRIBUTE = 420, "Unknown Attribute";
    /// RFC 8656 §19.
    ALLOCATION_MISMATCH = 437, "Allocation Mismatch";
    /// RFC 8489 §14.8.
    STALE_NONCE = 438, "Stale Nonce";
    /// RFC 8656 §19.
    ADDRESS_FAMILY_NOT_SUPPORTED = 440, "Address Family not Supported";
    /// RFC 8656 §19.
    WRONG_CREDENTIALS = 441, "Wrong Credentials";
    /// RFC 8656 §19.
    UNSUPPORTED_TRANSPORT_PROTOCOL = 442, "Unsupported Transport Protocol";
    /// RFC 8656 §19.
    PEER_ADDRESS_FAMILY_MISMATCH = 443, "Peer Address Family Mismatch";
    /// RFC 6062 §6.3.
    CONNECTION_ALREADY_EXISTS = 446, "Connection Already Exists";
    /// RFC 6062 §6.3.
    CONNECTION_TIMEOUT_OR_FAILURE = 447, "Connection Timeout or Failure";
    /// RFC 8656 §19.
    ALLOCATION_QUOTA_REACHED = 486, "Allocation Quota Reached";
    /// RFC 8445 §16.2: ICE's, never a TURN server's.
    ROLE_CONFLICT = 487, "Role Conflict";
    /// RFC 8489 §14.8.
    SERVER_ERROR = 500, "Server Error";
    /// RFC 8656 §19.
    INSUFFICIENT_CAPACITY = 508, "Insufficient Capacity";
}

impl<'a> Decode<'a> for ErrorCode<'a> {
    const TYPE: AttributeType = AttributeType::ERROR_CODE;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let (&[_, _, class, number], reason) = value.split_first_chunk()?;
        Some(Self { code: decode_code(class, number)?, reason: decode_reason(reason)? })
    }
}

impl Encode for ErrorCode<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::ERROR_CODE
    }

    fn value_len(&self) -> usize {
        clipped(self.reason).len().saturating_add(4)
    }

    fn encode_value(&self, out: &mut [u8], _: &TransactionId) {
        encode(0, self.code, self.reason, out);
    }
}

/// ADDRESS-ERROR-CODE (RFC 8656 §18.12): why one of two families was not allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressErrorCode<'a> {
    /// Which family: 1 is IPv4, 2 is IPv6.
    pub family: u8,
    /// 440 or 508; otherwise as in [`ErrorCode`].
    pub code: u16,
    /// As in [`ErrorCode`].
    pub reason: &'a str,
}

impl<'a> Decode<'a> for AddressErrorCode<'a> {
    const TYPE: AttributeType = AttributeType::ADDRESS_ERROR_CODE;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let (&[family, _, class, number], reason) = value.split_first_chunk()?;
        Some(Self { family, code: decode_code(class, number)?, reason: decode_reason(reason)? })
    }
}

impl Encode for AddressErrorCode<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::ADDRESS_ERROR_CODE
    }

    fn value_len(&self) -> usize {
        clipped(self.reason).len().saturating_add(4)
    }

    fn encode_value(&self, out: &mut [u8], _: &TransactionId) {
        encode(self.family, self.code, self.reason, out);
    }
}

/// The most bytes of a reason phrase when it is read (RFC 8489 §14.8).
const MAX_REASON_LEN: usize = 763;

/// A reason phrase has fewer than 128 characters (RFC 8489 §14.8).
const MAX_REASON_CHARS: usize = 127;

/// The hundreds digit has three bits, those above it are reserved and ignored; classes and numbers that RFC 8489 §14.8
/// rules out are invalid.
fn decode_code(class: u8, number: u8) -> Option<u16> {
    let class = class & 0b111;
    let valid = matches!(class, 3..=6) && number <= 99;
    valid.then(|| u16::from(class).saturating_mul(100).saturating_add(u16::from(number)))
}

/// As much of it as is UTF-8.
fn decode_reason(reason: &[u8]) -> Option<&str> {
    if reason.len() > MAX_REASON_LEN {
        return None;
    }
    Some(reason.utf8_chunks().next().map_or("", |chunk| chunk.valid()))
}

fn encode(family: u8, code: u16, reason: &str, out: &mut [u8]) {
    let code = if matches!(code, 300..=699) { code } else { ErrorCode::SERVER_ERROR.code };
    // Both fit a byte: 3 to 6, and 0 to 99.
    let [class, number] = [code / 100, code % 100].map(|part| u8::try_from(part).unwrap_or_default());
    if let Some((front, rest)) = out.split_at_mut_checked(4) {
        fill(front, &[family, 0, class, number]);
        fill(rest, clipped(reason).as_bytes());
    }
}

fn clipped(reason: &str) -> &str {
    match reason.char_indices().nth(MAX_REASON_CHARS) {
        Some((end, _)) => reason.get(..end).unwrap_or(reason),
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{decoded, encoded};

    /// C-029: RFC 8489 §14.8; reserved bits are zero.
    #[test]
    fn class_and_number_are_apart() {
        let wire = b"\0\0\x04\x14Unknown Attribute";
        assert_eq!(encoded(&ErrorCode::UNKNOWN_ATTRIBUTE), wire);
        assert_eq!(decoded(wire), Some(ErrorCode::UNKNOWN_ATTRIBUTE));
        for code in 300..=699 {
            let error = ErrorCode { code, reason: "" };
            assert_eq!(decoded(&encoded(&error)), Some(error));
        }
    }

    #[test]
    fn codes_without_a_place_become_500() {
        for code in [0, 299, 700, u16::MAX] {
            assert_eq!(encoded(&ErrorCode { code, reason: "" }), [0, 0, 5, 0]);
        }
    }

    /// RFC 8489 §14.8: "Receivers MUST ignore these bits".
    #[test]
    fn reserved_bits_are_ignored_and_impossible_codes_are_not() {
        assert_eq!(decoded(&[0xFF, 0xFF, 0xFC, 1]), Some(ErrorCode { code: 401, reason: "" }));
        for (class, number) in [(0, 0), (2, 99), (7, 0), (4, 100), (4, 255)] {
            assert_eq!(decoded::<ErrorCode<'_>>(&[0, 0, class, number]), None);
        }
        assert_eq!(decoded::<ErrorCode<'_>>(&[0, 0, 4]), None);
    }

    /// C-030: fewer than 128 characters, up to 508 bytes.
    #[test]
    fn long_reasons_are_cut_between_characters() {
        let long = "\u{1F980}".repeat(128);
        let cut = encoded(&ErrorCode { code: 400, reason: &long });
        assert_eq!(cut.len(), 4 + 127 * 4);
        assert_eq!(decoded::<ErrorCode<'_>>(&cut).unwrap().reason, "\u{1F980}".repeat(127));
        let fits = "a".repeat(127);
        assert_eq!(encoded(&ErrorCode { code: 400, reason: &fits }).len(), 4 + 127);
    }

    #[test]
    fn a_reason_is_read_up_to_what_is_no_utf_8() {
        assert_eq!(decoded::<ErrorCode<'_>>(b"\0\0\x04\x00Bad\xFF Request").unwrap().reason, "Bad");
        assert_eq!(decoded::<ErrorCode<'_>>(b"\0\0\x04\x00\xFF").unwrap().reason, "");
        assert!(decoded::<ErrorCode<'_>>(&[&[0, 0, 4, 0], &[b'a'; 763][..]].concat()).is_some());
        assert!(decoded::<ErrorCode<'_>>(&[&[0, 0, 4, 0], &[b'a'; 764][..]].concat()).is_none());
    }

    /// C-135: RFC 8656 §18.12.
    #[test]
    fn an_address_error_names_its_family() {
        let error = AddressErrorCode { family: 2, code: 440, reason: "no" };
        assert_eq!(encoded(&error), b"\x02\0\x04\x28no");
        assert_eq!(decoded(b"\x02\xFF\xFC\x28no"), Some(error));
        assert_eq!(decoded::<AddressErrorCode<'_>>(b"\x02\0\x09\x28no"), None);
        assert_eq!(encoded(&AddressErrorCode { code: 7, ..error }), b"\x02\0\x05\0no");
    }

    #[test]
    fn registered_codes_have_their_phrases() {
        assert_eq!(ErrorCode::registered(437), ErrorCode::ALLOCATION_MISMATCH);
        assert_eq!(ErrorCode::registered(499), ErrorCode { code: 499, reason: "" });
    }
}
