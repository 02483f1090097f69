//! FINGERPRINT (RFC 8489 §14.7).

/// What a message's FINGERPRINT says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// There is none, which is never an error.
    Absent,
    /// It matches.
    Valid,
    /// It does not match, has a wrong length, or is not the last attribute: the message is to be discarded (RFC 8489
    /// §6.3).
    Invalid,
}

/// Tells the CRC from one that an application protocol may carry.
const XOR: u32 = 0x5354_554E;

/// The value for a message: `before` is all of it in front of the attribute, with the final length in its header.
#[inline]
pub(super) fn value(before: &[u8]) -> [u8; 4] {
    (crc32fast::hash(before) ^ XOR).to_be_bytes()
}
