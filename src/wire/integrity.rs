//! Keys, MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 (RFC 8489 §9.2, §14.5, §14.6).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroize;

use super::attribute::AttributeType;
use super::header::HEADER_LEN;

/// How the long-term key is derived from the password (RFC 8489 §18.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum PasswordAlgorithm {
    /// 0x0001: MD5, what every client before RFC 8489 uses.
    Md5 = 0x0001,
    /// 0x0002: SHA-256.
    Sha256 = 0x0002,
}

impl PasswordAlgorithm {
    /// Its number in IANA's registry "STUN Password Algorithms".
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The algorithm with this number, if it is registered (RFC 8489 §18.5).
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            0x0001 => Some(Self::Md5),
            0x0002 => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// The longest key: SHA-256's.
const KEY_MAX: usize = 32;

/// A long-term key (RFC 8489 §9.2.2). It is kept instead of the password, wiped when dropped, and never printed.
#[derive(Clone)]
pub struct LongTermKey {
    algorithm: PasswordAlgorithm,
    bytes: [u8; KEY_MAX],
}

impl LongTermKey {
    /// `MD5(username ":" realm ":" password)`, or the same with SHA-256.
    pub fn derive(algorithm: PasswordAlgorithm, username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let parts = [username, b":", realm, b":", password];
        let mut bytes = [0; KEY_MAX];
        match algorithm {
            PasswordAlgorithm::Md5 => copy_into(&mut bytes, &digest::<Md5>(&parts)),
            PasswordAlgorithm::Sha256 => copy_into(&mut bytes, &digest::<Sha256>(&parts)),
        }
        Self { algorithm, bytes }
    }

    /// A key that was derived elsewhere: 16 bytes for MD5, 32 for SHA-256; none if `key` has another length.
    pub fn from_bytes(algorithm: PasswordAlgorithm, key: &[u8]) -> Option<Self> {
        let mut this = Self { algorithm, bytes: [0; KEY_MAX] };
        if key.len() != this.as_bytes().len() {
            return None;
        }
        copy_into(&mut this.bytes, key);
        Some(this)
    }

    /// How it was derived.
    pub fn algorithm(&self) -> PasswordAlgorithm {
        self.algorithm
    }

    /// The key: 16 bytes for MD5, 32 for SHA-256.
    pub fn as_bytes(&self) -> &[u8] {
        let len = match self.algorithm {
            PasswordAlgorithm::Md5 => 16,
            PasswordAlgorithm::Sha256 => 32,
        };
        self.bytes.get(..len).unwrap_or_default()
    }
}

impl Drop for LongTermKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongTermKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The value of USERHASH (RFC 8489 §14.4): `SHA-256(username ":" realm)`.
pub fn userhash(username: &[u8], realm: &[u8]) -> [u8; 32] {
    digest::<Sha256>(&[username, b":", realm]).into()
}

fn digest<D: Digest>(parts: &[&[u8]]) -> md5::digest::Output<D> {
    let mut hash = D::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()
}

fn copy_into(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// Which integrity attribute (RFC 8489 §14.5, §14.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// MESSAGE-INTEGRITY: HMAC-SHA1, 20 bytes.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256: HMAC-SHA256, 32 bytes.
    Sha256,
}

impl Integrity {
    /// Its number.
    #[inline]
    pub const fn attribute_type(self) -> AttributeType {
        match self {
            Self::Sha1 => AttributeType::MESSAGE_INTEGRITY,
            Self::Sha256 => AttributeType::MESSAGE_INTEGRITY_SHA256,
        }
    }

    /// Bytes of its value.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // Never empty.
    pub const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// Why a message's integrity could not be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntegrityError {
    /// No integrity attribute counts.
    Missing,
    /// The attribute is not 20 or 32 bytes, whichever its type asks for.
    BadLength,
    /// Another key, or another message.
    Mismatch,
}

impl fmt::Display for IntegrityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no integrity attribute",
            Self::BadLength => "the integrity attribute has a wrong length",
            Self::Mismatch => "the integrity attribute does not match",
        })
    }
}

impl std::error::Error for IntegrityError {}

/// An HMAC that has taken in its key: checking or signing a message clones it, which saves two of about four
/// compressions for a message of 100 to 150 bytes.
#[derive(Clone)]
pub struct IntegrityKey(Keyed);

#[derive(Clone)]
enum Keyed {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
}

impl IntegrityKey {
    /// From a long-term key.
    pub fn new(integrity: Integrity, key: &LongTermKey) -> Self {
        Self::from_raw(integrity, key.as_bytes())
    }

    /// From the bytes of a key, such as a short-term password (RFC 8489 §9.1.1).
    pub fn from_raw(integrity: Integrity, key: &[u8]) -> Self {
        // `new_from_slice` of an HMAC takes keys of every length (RFC 2104 §3): the error cannot happen.
        Self(match integrity {
            Integrity::Sha1 => Keyed::Sha1(Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&[0; 64].into()))),
            Integrity::Sha256 => {
                Keyed::Sha256(Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&[0; 64].into())))
            }
        })
    }

    /// Which attribute it makes.
    pub fn integrity(&self) -> Integrity {
        match self.0 {
            Keyed::Sha1(_) => Integrity::Sha1,
            Keyed::Sha256(_) => Integrity::Sha256,
        }
    }

    /// Whether `tag` is the HMAC over header and attributes; takes as long whatever bytes differ.
    pub(super) fn verify(&self, header: &[u8; HEADER_LEN], attributes: &[u8], tag: &[u8]) -> bool {
        match &self.0 {
            Keyed::Sha1(hmac) => fed(hmac, header, attributes).verify_slice(tag).is_ok(),
            Keyed::Sha256(hmac) => fed(hmac, header, attributes).verify_slice(tag).is_ok(),
        }
    }

    /// Writes the HMAC over header and attributes to the front of `out`.
    pub(super) fn sign(&self, header: &[u8; HEADER_LEN], attributes: &[u8], out: &mut [u8]) {
        match &self.0 {
            Keyed::Sha1(hmac) => copy_into(out, &fed(hmac, header, attributes).finalize().into_bytes()),
            Keyed::Sha256(hmac) => copy_into(out, &fed(hmac, header, attributes).finalize().into_bytes()),
        }
    }
}

fn fed<M: Mac + Clone>(hmac: &M, header: &[u8; HEADER_LEN], attributes: &[u8]) -> M {
    let mut hmac = hmac.clone();
    hmac.update(header);
    hmac.update(attributes);
    hmac
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IntegrityKey").field(&self.integrity()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// C-085: RFC 8489 §9.2.2.
    #[test]
    fn the_rfcs_own_key() {
        let key = LongTermKey::derive(PasswordAlgorithm::Md5, b"user", b"realm", b"pass");
        assert_eq!(hex(key.as_bytes()), "8493fbc53ba582fb4c044c456bdc40eb");
        assert_eq!(key.algorithm(), PasswordAlgorithm::Md5);
    }

    #[test]
    fn a_key_derived_elsewhere_has_its_length() {
        for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
            let key = LongTermKey::derive(algorithm, b"user", b"realm", b"pass");
            let same = LongTermKey::from_bytes(algorithm, key.as_bytes()).unwrap();
            assert_eq!(same.as_bytes(), key.as_bytes());
            assert_eq!(same.algorithm(), algorithm);
            for len in (0..=64).filter(|len| *len != key.as_bytes().len()) {
                assert!(LongTermKey::from_bytes(algorithm, &vec![0; len]).is_none(), "{len} bytes");
            }
        }
    }

    /// C-087.
    #[test]
    fn userhash_of_an_ephemeral_username() {
        assert_eq!(
            hex(&userhash(b"1795285900:u-7f3a9c", b"example.org")),
            "dbbb0e4f99e176d428e0faf5cef06d253c67c9b70dca336bdc70bd23ae562343"
        );
    }

    /// RFC 8489 §18.5.
    #[test]
    fn algorithms_have_their_numbers() {
        for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
            assert_eq!(PasswordAlgorithm::from_number(algorithm.number()), Some(algorithm));
        }
        assert_eq!(PasswordAlgorithm::from_number(0), None);
        assert_eq!(PasswordAlgorithm::from_number(3), None);
    }

    /// RFC 2202 §3, cases 2 and 6 (a key longer than a block); RFC 4231 §4.3.
    #[test]
    fn hmacs_are_the_published_ones() {
        // The published texts, cut where the header ends.
        fn tag(integrity: Integrity, key: &[u8], text: &[u8]) -> String {
            let (header, attributes) = text.split_first_chunk().unwrap();
            let mut out = vec![0; integrity.len()];
            let key = IntegrityKey::from_raw(integrity, key);
            key.sign(header, attributes, &mut out);
            assert!(key.verify(header, attributes, &out));
            out[0] ^= 1;
            assert!(!key.verify(header, attributes, &out));
            out[0] ^= 1;
            assert!(!key.verify(header, attributes, &out[..16]), "no truncation");
            hex(&out)
        }
        let text = b"what do ya want for nothing?";
        assert_eq!(tag(Integrity::Sha1, b"Jefe", text), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            tag(Integrity::Sha256, b"Jefe", text),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let long_key = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(tag(Integrity::Sha1, &[0xAA; 80], long_key), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    }

    #[test]
    fn debug_shows_no_key() {
        let key = LongTermKey::derive(PasswordAlgorithm::Sha256, b"user", b"realm", b"pass");
        assert_eq!(format!("{key:?}"), "LongTermKey { algorithm: Sha256, .. }");
        assert_eq!(format!("{:?}", IntegrityKey::new(Integrity::Sha256, &key)), "IntegrityKey(Sha256)");
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for error in [IntegrityError::Missing, IntegrityError::BadLength, IntegrityError::Mismatch] {
            assert!(error.to_string().contains("integrity attribute"));
        }
    }
}
