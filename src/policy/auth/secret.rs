//! Shared secrets and the passwords that are made from them.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// A secret that we share with those who issue credentials. Wiped when dropped; has no `Debug` and no way to read it.
pub struct Secret {
    id: SecretId,
    bytes: Zeroizing<Box<[u8]>>,
    hash: PasswordHash,
    not_after_unix: Option<u64>,
}

/// The shortest secret, in bytes: as long as the output of HMAC-SHA256.
pub const MIN_SECRET: usize = 32;

impl Secret {
    /// From the bytes as they are written: they are not decoded, and nothing is cut off.
    ///
    /// # Errors
    /// It can be guessed.
    pub fn new(id: SecretId, bytes: Zeroizing<Vec<u8>>) -> Result<Self, WeakSecret> {
        match weakness(&bytes) {
            Some(why) => Err(WeakSecret { id, why }),
            None => Ok(Self::unchecked(id, bytes)),
        }
    }

    /// For laboratories and tests: takes every secret that is not empty.
    ///
    /// # Errors
    /// It is empty.
    pub fn for_lab(id: SecretId, bytes: Zeroizing<Vec<u8>>) -> Result<Self, WeakSecret> {
        if bytes.is_empty() {
            return Err(WeakSecret { id, why: Weakness::Empty });
        }
        Ok(Self::unchecked(id, bytes))
    }

    fn unchecked(id: SecretId, mut bytes: Zeroizing<Vec<u8>>) -> Self {
        let taken = std::mem::take(&mut *bytes);
        // `into_boxed_slice` may move the bytes and leave a copy behind, unless nothing is to be cut off.
        let exact = if taken.capacity() == taken.len() { taken } else { copy_and_wipe(taken) };
        let bytes = Zeroizing::new(exact.into_boxed_slice());
        Self { id, bytes, hash: PasswordHash::Sha1, not_after_unix: None }
    }

    /// The same, with another hash for its passwords.
    #[must_use]
    pub fn with_hash(mut self, hash: PasswordHash) -> Self {
        self.hash = hash;
        self
    }

    /// The same, with a last second in which it opens allocations, in seconds since 1970. Those that stand by then go
    /// on being refreshed.
    #[must_use]
    pub fn with_not_after(mut self, unix: u64) -> Self {
        self.not_after_unix = Some(unix);
        self
    }

    /// Its id.
    pub fn id(&self) -> &SecretId {
        &self.id
    }

    /// How its passwords are made.
    pub fn hash(&self) -> PasswordHash {
        self.hash
    }

    /// Whether its last second has passed.
    pub fn retired(&self, now_unix: u64) -> bool {
        self.not_after_unix.is_some_and(|last| now_unix > last)
    }

    /// The password that belongs to `username`: `base64(HMAC(secret, USERNAME))`.
    pub fn password(&self, username: &[u8]) -> Password {
        self.password_by(self.hash, username)
    }

    /// The same by another hash than its own: to explain what an issuer got wrong.
    pub(super) fn password_by(&self, hash: PasswordHash, username: &[u8]) -> Password {
        Password::make(hash, &self.bytes, username)
    }

    /// The password if the issuer's copy of the secret had `suffix` behind it: to explain what it got wrong.
    pub(super) fn password_with_suffix(&self, suffix: &[u8], username: &[u8]) -> Password {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.bytes.len().saturating_add(suffix.len())));
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(suffix);
        Password::make(self.hash, &bytes, username)
    }
}

fn copy_and_wipe(mut bytes: Vec<u8>) -> Vec<u8> {
    let exact = bytes.as_slice().to_vec();
    bytes.zeroize();
    exact
}

/// The id of a secret: 1 to 32 letters, digits, `-` or `_`. It travels in user names and stands in the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretId(Arc<str>);

impl SecretId {
    /// From a text; none if it is not of that form.
    pub fn new(id: &str) -> Option<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        ((1..=32).contains(&id.len()) && id.bytes().all(good)).then(|| Self(id.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, to share.
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The hash that makes passwords of user names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PasswordHash {
    /// HMAC-SHA1, what every issuer in the field uses.
    Sha1,
    /// HMAC-SHA256.
    Sha256,
}

/// A password: 28 characters of base64 by SHA-1, 44 by SHA-256. Wiped when dropped, has no `Debug`.
#[derive(Clone)]
pub struct Password {
    text: Zeroizing<[u8; 44]>,
    len: usize,
}

impl Password {
    fn make(hash: PasswordHash, secret: &[u8], username: &[u8]) -> Self {
        let mut text = Zeroizing::new([0; 44]);
        let len = match hash {
            PasswordHash::Sha1 => sign::<Hmac<Sha1>>(secret, username, &mut text),
            PasswordHash::Sha256 => sign::<Hmac<Sha256>>(secret, username, &mut text),
        };
        Self { text, len }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }

    /// Whether `given` is the same, in constant time for equal lengths.
    pub fn matches(&self, given: &[u8]) -> bool {
        self.as_bytes().ct_eq(given).into()
    }
}

/// Writes the tag of `message` in base64 and says how long it is.
fn sign<M: Mac + KeyInit>(secret: &[u8], message: &[u8], text: &mut [u8; 44]) -> usize {
    // An HMAC takes keys of every length (RFC 2104 §3): there is no error to handle, and no password in its place.
    let Ok(mac) = <M as KeyInit>::new_from_slice(secret) else { return 0 };
    let mut tag = mac.chain_update(message).finalize().into_bytes();
    // Both tags fit: 20 bytes make 28 characters, 32 make 44.
    let len = STANDARD.encode_slice(&tag, text).unwrap_or_default();
    tag.as_mut_slice().zeroize();
    len
}

/// The secrets that are live at a time: several, so that they can rotate.
pub struct Secrets(Box<[Secret]>);

/// The most secrets at a time. Each request costs as many HMACs as there are secrets, whoever sends it.
pub const MAX_SECRETS: usize = 8;

impl Secrets {
    /// From secrets, in the order in which they were configured.
    ///
    /// # Errors
    /// There are too many, or two are the same.
    pub fn new(secrets: Vec<Secret>) -> Result<Self, BadSecrets> {
        if secrets.len() > MAX_SECRETS {
            return Err(BadSecrets::TooMany(secrets.len()));
        }
        let mut ids = HashSet::new();
        if let Some(twice) = secrets.iter().find(|secret| !ids.insert(&secret.id)) {
            return Err(BadSecrets::SameId(twice.id.clone()));
        }
        for (secret, rest) in secrets.iter().zip(1..) {
            let same = |other: &&Secret| other.hash == secret.hash && other.bytes == secret.bytes;
            if let Some(other) = secrets.iter().skip(rest).find(same) {
                return Err(BadSecrets::SameBytes(secret.id.clone(), other.id.clone()));
            }
        }
        Ok(Self(secrets.into()))
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Secret> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none: then no ephemeral credential is good.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why secrets cannot be live together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadSecrets {
    /// More than [`MAX_SECRETS`].
    TooMany(usize),
    /// Two have this id.
    SameId(SecretId),
    /// These two have the same bytes: a rotation that changes nothing.
    SameBytes(SecretId, SecretId),
}

impl fmt::Display for BadSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(secrets) => {
                write!(f, "{secrets} secrets are more than the {MAX_SECRETS} that can be live at a time.")
            }
            Self::SameId(id) => write!(f, "Two secrets have the id {id}; give each its own."),
            Self::SameBytes(one, other) => {
                write!(f, "Secrets {one} and {other} are the same; a rotation needs a new one.")
            }
        }
    }
}

impl std::error::Error for BadSecrets {}

/// A secret that was refused because it can be guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeakSecret {
    /// Which one.
    pub id: SecretId,
    /// Why.
    pub why: Weakness,
}

/// How a secret can be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// It has no bytes.
    Empty,
    /// It is one from a manual, or says itself that it is to be replaced.
    Placeholder,
    /// It is shorter than [`MIN_SECRET`]: its length.
    TooShort(usize),
    /// It has fewer than [`MIN_DISTINCT`] different bytes: how many.
    Monotonous(usize),
}

/// The fewest different bytes in a secret; 32 random hexadecimal digits have fewer once in 30,000 times.
pub const MIN_DISTINCT: usize = 8;

impl fmt::Display for WeakSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret {} ", self.id)?;
        match self.why {
            Weakness::Empty => f.write_str("is empty"),
            Weakness::Placeholder => f.write_str("is a well-known placeholder"),
            Weakness::TooShort(len) => write!(f, "has {len} bytes, fewer than {MIN_SECRET}"),
            Weakness::Monotonous(distinct) => write!(f, "has only {distinct} different bytes"),
        }?;
        f.write_str("; make one with `openssl rand -hex 32`.")
    }
}

impl std::error::Error for WeakSecret {}

fn weakness(bytes: &[u8]) -> Option<Weakness> {
    if bytes.is_empty() {
        return Some(Weakness::Empty);
    }
    if is_placeholder(bytes) {
        return Some(Weakness::Placeholder);
    }
    if bytes.len() < MIN_SECRET {
        return Some(Weakness::TooShort(bytes.len()));
    }
    let distinct = bytes.iter().collect::<HashSet<_>>().len();
    (distinct < MIN_DISTINCT).then_some(Weakness::Monotonous(distinct))
}

/// What manuals and example files of TURN servers have where a secret belongs; letters and digits only.
const PLACEHOLDERS: &str = "secret secrets mysecret mystaticauthsecret supersecret topsecret turnsecret sharedsecret \
    staticauthsecret password passwd default admin test testing demo turn turnkeep coturn north logen key none null \
    todo foobar opensslrandhex32 0123456789abcdef 0123456789abcdef0123456789abcdef \
    000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f abcdefghijklmnopqrstuvwxyz012345 \
    abcdefghijklmnopqrstuvwxyz0123456789 abcdefghijklmnopqrstuvwxyz123456";

/// What says itself that it is to be replaced, wherever it stands. Long enough not to occur in what was drawn at
/// random.
const TELLTALES: &str = "changeme changethis replaceme replacethis replacewith yoursecret yourownsecret placeholder \
    examplesecret insertsecret somesecret somelongsecret notsosecret verysecret longrandomsecret longandcryptic \
    correcthorse";

fn is_placeholder(bytes: &[u8]) -> bool {
    let mut letters = Zeroizing::new(bytes.to_ascii_lowercase());
    letters.retain(u8::is_ascii_alphanumeric);
    let is = |text: &str| letters.as_slice() == text.as_bytes();
    let holds = |text: &str| letters.windows(text.len()).any(|window| window == text.as_bytes());
    PLACEHOLDERS.split_ascii_whitespace().any(is) || TELLTALES.split_ascii_whitespace().any(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SecretId {
        SecretId::new(text).unwrap()
    }

    fn why(bytes: &[u8]) -> Option<Weakness> {
        Secret::new(id("k1"), bytes.to_vec().into()).err().map(|weak| weak.why)
    }

    #[test]
    fn a_106_guessable_secrets_are_refused() {
        assert_eq!(why(b""), Some(Weakness::Empty));
        for placeholder in ["secret", "changeme", "north", "NORTH", "  Secret\n", "<your-secret-here>", "\"password\""]
        {
            assert_eq!(why(placeholder.as_bytes()), Some(Weakness::Placeholder), "{placeholder}");
        }
        // Long enough, and still known to everybody.
        for placeholder in [
            "please change-me before-going-live-1234567890",
            "0123456789abcdef0123456789ABCDEF",
            "REPLACE_ME_REPLACE_ME_REPLACE_ME",
        ] {
            assert_eq!(why(placeholder.as_bytes()), Some(Weakness::Placeholder), "{placeholder}");
        }
        assert_eq!(why(b"8 bytes!"), Some(Weakness::TooShort(8)));
        assert_eq!(why(b"f3a91c07d5be42886e1027c4ab905d3"), Some(Weakness::TooShort(31)));
        assert_eq!(why(&[b'a'; 32]), Some(Weakness::Monotonous(1)));
        assert_eq!(why(&b"deadbeef".repeat(8)), Some(Weakness::Monotonous(5)));
        assert_eq!(why(b"f3a91c07d5be42886e1027c4ab905d31"), None);
        assert_eq!(why(&(0..32).collect::<Vec<u8>>()), None);
    }

    #[test]
    fn a_106_each_refusal_is_one_sentence_without_the_secret() {
        for bytes in [&b""[..], b"changeme", b"8 bytes!", &[b'a'; 40]] {
            let sentence = Secret::new(id("k1"), bytes.to_vec().into()).err().unwrap().to_string();
            assert!(sentence.starts_with("Secret k1 ") && sentence.ends_with('.'), "{sentence}");
            assert!(bytes.is_empty() || !sentence.contains(std::str::from_utf8(bytes).unwrap()), "{sentence}");
        }
    }

    #[test]
    fn a_laboratory_takes_every_secret_but_the_empty_one() {
        assert!(Secret::for_lab(id("k1"), b"north".to_vec().into()).is_ok());
        assert_eq!(Secret::for_lab(id("k1"), Vec::new().into()).err().map(|weak| weak.why), Some(Weakness::Empty));
    }

    #[test]
    fn ids_have_no_dots() {
        for good in ["k1", "2026-11", "a_b", &"x".repeat(32)] {
            assert!(SecretId::new(good).is_some(), "{good}");
        }
        for bad in ["", "k.1", "k 1", "k:1", "ä", &"x".repeat(33)] {
            assert!(SecretId::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn live_secrets_differ() {
        let lab = |id_text: &str, bytes: &str| Secret::for_lab(id(id_text), bytes.as_bytes().to_vec().into()).unwrap();
        let all = |secrets| Secrets::new(secrets).err();
        assert_eq!(all(vec![lab("k1", "a"), lab("k2", "b")]), None);
        assert_eq!(all(vec![lab("k1", "a"), lab("k1", "b")]), Some(BadSecrets::SameId(id("k1"))));
        assert_eq!(
            all(vec![lab("k1", "a"), lab("k2", "b"), lab("k3", "a")]),
            Some(BadSecrets::SameBytes(id("k1"), id("k3")))
        );
        assert_eq!(all(vec![lab("k1", "a"), lab("k2", "a").with_hash(PasswordHash::Sha256)]), None);
        let many = (0..9_u8).map(|n| lab(&format!("k{n}"), &n.to_string())).collect();
        assert_eq!(all(many), Some(BadSecrets::TooMany(9)));
    }

    #[test]
    fn a_secret_is_good_through_its_last_second() {
        let secret = Secret::for_lab(id("k1"), b"x".to_vec().into()).unwrap().with_not_after(100);
        assert!(!secret.retired(100));
        assert!(secret.retired(101));
    }
}
