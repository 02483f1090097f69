//! Users with a password that stays: for laboratories and for devices that know nothing else.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::relay::limits::MAX_USERNAME;
use crate::relay::reason::AuthReason;
use crate::relay::seam::{Claim, Identity, UserId};
use crate::wire::integrity::{LongTermKey, PasswordAlgorithm, userhash};

/// Users and their long-term keys. Passwords are not kept.
pub struct StaticUsers {
    users: HashMap<Arc<str>, Keys>,
    /// `SHA-256(name ":" realm)` of each (RFC 8489 §14.4).
    by_userhash: HashMap<[u8; 32], Arc<str>>,
    /// Proved in place of an unknown user's keys; that it matches means nothing.
    nobody: Keys,
}

struct Keys {
    md5: LongTermKey,
    /// None for a user who was given by an MD5 key: such a user cannot sign with SHA-256.
    sha256: Option<LongTermKey>,
}

/// The most users.
pub const MAX_USERS: usize = 100_000;

impl StaticUsers {
    /// No users.
    pub fn none() -> Self {
        Self { users: HashMap::new(), by_userhash: HashMap::new(), nobody: Keys::derive("", "", "") }
    }

    /// From the text of a file: one `name:password`, or better `name:0x<MD5 key>[:0x<SHA-256 key>]`, a line, where a
    /// key is `hash(name ":" realm ":" password)` in hexadecimal (RFC 8489 §9.2.2). Blank lines and those that begin
    /// with `#` do not count.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(realm: &str, text: &str) -> Result<Self, BadUsers> {
        let mut this = Self::none();
        for (line, number) in text.lines().zip(1..) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            this.add(realm, line).map_err(|why| BadUsers { line: number, why })?;
        }
        Ok(this)
    }

    fn add(&mut self, realm: &str, line: &str) -> Result<(), BadUser> {
        let Some((name, password)) = line.split_once(':') else { return Err(BadUser::NoColon) };
        if name.is_empty() || name.len() > MAX_USERNAME {
            return Err(BadUser::Name);
        }
        let keys = match password.strip_prefix("0x") {
            Some(hex) => Keys::parse(hex).ok_or(BadUser::Key)?,
            None if password.is_empty() => return Err(BadUser::EmptyPassword),
            None => Keys::derive(name, realm, password),
        };
        if self.users.len() >= MAX_USERS {
            return Err(BadUser::TooMany);
        }
        let shared: Arc<str> = name.into();
        self.by_userhash.insert(userhash(name.as_bytes(), realm.as_bytes()), shared.clone());
        match self.users.insert(shared, keys) {
            None => Ok(()),
            Some(_) => Err(BadUser::Twice),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whose request is it? None if no user has that name. One key is proved in any case, unless there are no users.
    pub(super) fn authenticate(
        &self,
        claim: Claim<'_>,
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Option<Result<Identity, AuthReason>> {
        if self.is_empty() {
            return None;
        }
        let known = self.find(claim.username);
        let key = known.and_then(|(_, keys)| keys.by(claim.algorithm));
        let proved = proof(key.unwrap_or(&self.nobody.md5));
        let (name, _) = known?;
        if key.is_none() || !proved {
            return Some(Err(AuthReason::WrongPassword));
        }
        let user = UserId(Arc::clone(name));
        Some(Ok(Identity { user, key_id: None, expires_unix: None, max_allocations: None }))
    }

    /// Whether a user has that name, and if so whether the password is right.
    pub(super) fn check(&self, realm: &str, username: &[u8], password: &[u8]) -> Option<bool> {
        let (_, keys) = self.find(username)?;
        let given = LongTermKey::derive(PasswordAlgorithm::Md5, username, realm.as_bytes(), password);
        Some(given.as_bytes().ct_eq(keys.md5.as_bytes()).into())
    }

    /// The name that a USERHASH stands for.
    pub(super) fn by_userhash(&self, userhash: &[u8; 32]) -> Option<&str> {
        self.by_userhash.get(userhash).map(|name| &**name)
    }

    /// Whether a user has that name.
    pub(super) fn contains(&self, username: &[u8]) -> bool {
        self.find(username).is_some()
    }

    fn find(&self, username: &[u8]) -> Option<(&Arc<str>, &Keys)> {
        self.users.get_key_value(std::str::from_utf8(username).ok()?)
    }
}

impl Keys {
    fn derive(name: &str, realm: &str, password: &str) -> Self {
        let key = |algorithm| LongTermKey::derive(algorithm, name.as_bytes(), realm.as_bytes(), password.as_bytes());
        Self { md5: key(PasswordAlgorithm::Md5), sha256: Some(key(PasswordAlgorithm::Sha256)) }
    }

    /// `<MD5 key>[:0x<SHA-256 key>]`, in hexadecimal.
    fn parse(text: &str) -> Option<Self> {
        let (md5, sha256) = match text.split_once(":0x") {
            Some((md5, sha256)) => (md5, Some(sha256)),
            None => (text, None),
        };
        let key = |algorithm, hex: &str| LongTermKey::from_bytes(algorithm, &unhex(hex)?);
        let md5 = key(PasswordAlgorithm::Md5, md5)?;
        Some(match sha256 {
            Some(sha256) => Self { md5, sha256: Some(key(PasswordAlgorithm::Sha256, sha256)?) },
            None => Self { md5, sha256: None },
        })
    }

    fn by(&self, algorithm: PasswordAlgorithm) -> Option<&LongTermKey> {
        match algorithm {
            PasswordAlgorithm::Md5 => Some(&self.md5),
            PasswordAlgorithm::Sha256 => self.sha256.as_ref(),
        }
    }
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(32));
    for pair in text.as_bytes().chunks(2) {
        let [high, low] = pair else { return None };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let byte = digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?;
        bytes.push(u8::try_from(byte).ok()?);
    }
    Some(bytes)
}

/// A file of users that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUsers {
    /// Which line, from 1.
    pub line: usize,
    /// Why.
    pub why: BadUser,
}

/// What is wrong with a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadUser {
    /// No colon between name and password.
    NoColon,
    /// No name, or one over [`MAX_USERNAME`] bytes.
    Name,
    /// No password.
    EmptyPassword,
    /// Neither 32 hexadecimal digits nor these and 64 more.
    Key,
    /// The name was there before.
    Twice,
    /// More than [`MAX_USERS`].
    TooMany,
}

impl fmt::Display for BadUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line {} of the user file ", self.line)?;
        match self.why {
            BadUser::NoColon => f.write_str("has no colon; write name:password."),
            BadUser::Name => write!(f, "has no user name of 1 to {MAX_USERNAME} bytes."),
            BadUser::EmptyPassword => f.write_str("has an empty password."),
            BadUser::Key => f.write_str(
                "has a key that is not 0x and 32 hexadecimal digits (MD5), or these and :0x and 64 (SHA-256).",
            ),
            BadUser::Twice => f.write_str("has a user who was there before."),
            BadUser::TooMany => write!(f, "has one user more than the {MAX_USERS} that fit."),
        }
    }
}

impl std::error::Error for BadUsers {}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(username: &str, algorithm: PasswordAlgorithm) -> Claim<'_> {
        Claim { username: username.as_bytes(), algorithm, expired_will_do: false }
    }

    /// What the users say to somebody who signs with `password`.
    fn sign_in(
        users: &StaticUsers,
        name: &str,
        algorithm: PasswordAlgorithm,
        password: &str,
    ) -> Option<Result<String, AuthReason>> {
        let key = LongTermKey::derive(algorithm, name.as_bytes(), b"example.org", password.as_bytes());
        let mut proofs = 0;
        let answer = users.authenticate(claim(name, algorithm), &mut |tried| {
            proofs += 1;
            tried.algorithm() == algorithm && tried.as_bytes() == key.as_bytes()
        });
        assert_eq!(proofs, usize::from(!users.is_empty()));
        answer.map(|answer| answer.map(|who| who.user.0.to_string()))
    }

    #[test]
    fn a_file_of_users() {
        // The key is MD5("bob:example.org:secret").
        let key = LongTermKey::derive(PasswordAlgorithm::Md5, b"bob", b"example.org", b"secret");
        let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("# laboratory\n\nalice:with:colon \nbob:0x{hex}\n");
        let users = StaticUsers::parse("example.org", &text).unwrap();
        assert_eq!(users.len(), 2);
        for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
            assert_eq!(sign_in(&users, "alice", algorithm, "with:colon "), Some(Ok("alice".into())));
            assert_eq!(sign_in(&users, "alice", algorithm, "with:colon"), Some(Err(AuthReason::WrongPassword)));
            assert_eq!(sign_in(&users, "carol", algorithm, ""), None);
        }
        assert_eq!(sign_in(&users, "bob", PasswordAlgorithm::Md5, "secret"), Some(Ok("bob".into())));
        let without_key = sign_in(&users, "bob", PasswordAlgorithm::Sha256, "secret");
        assert_eq!(without_key, Some(Err(AuthReason::WrongPassword)));
        assert_eq!(sign_in(&StaticUsers::none(), "alice", PasswordAlgorithm::Md5, "x"), None);
    }

    /// RFC 8489 §14.4: over the name and the realm.
    #[test]
    fn c_087_a_userhash_finds_its_user_in_its_realm_only() {
        let users = StaticUsers::parse("example.org", "alice:open\nbob:shut\n").unwrap();
        assert_eq!(users.by_userhash(&userhash(b"alice", b"example.org")), Some("alice"));
        assert_eq!(users.by_userhash(&userhash(b"alice", b"example.com")), None);
        assert_eq!(users.by_userhash(&userhash(b"carol", b"example.org")), None);
    }

    #[test]
    fn both_keys_can_be_given() {
        let hex = |algorithm| {
            let key = LongTermKey::derive(algorithm, b"bob", b"example.org", b"secret");
            key.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect::<String>()
        };
        let text = format!("bob:0x{}:0x{}", hex(PasswordAlgorithm::Md5), hex(PasswordAlgorithm::Sha256));
        let users = StaticUsers::parse("example.org", &text).unwrap();
        for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
            assert_eq!(sign_in(&users, "bob", algorithm, "secret"), Some(Ok("bob".into())));
        }
        assert_eq!(users.check("example.org", b"bob", b"secret"), Some(true));
        assert_eq!(users.check("example.org", b"bob", b"Secret"), Some(false));
        assert_eq!(users.check("example.org", b"rob", b"secret"), None);
    }

    /// The dummy is no back door: whoever signs with it is still nobody.
    #[test]
    fn a_098_the_key_of_nobody_opens_nothing() {
        let users = StaticUsers::parse("example.org", "alice:a\n").unwrap();
        assert_eq!(users.authenticate(claim("nobody", PasswordAlgorithm::Md5), &mut |_| true), None);
        let md5_only = StaticUsers::parse("example.org", &format!("bob:0x{}\n", "00".repeat(16))).unwrap();
        let answer = md5_only.authenticate(claim("bob", PasswordAlgorithm::Sha256), &mut |_| true);
        assert_eq!(answer, Some(Err(AuthReason::WrongPassword)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line, why) in [
            ("alice", 1, BadUser::NoColon),
            ("\n:x", 2, BadUser::Name),
            ("a:b\nalice:", 2, BadUser::EmptyPassword),
            ("alice:0x12", 1, BadUser::Key),
            ("alice:0x0123456789abcdef0123456789abcdeg", 1, BadUser::Key),
            ("alice:0x0123456789abcdef0123456789abcdef:0x00", 1, BadUser::Key),
            ("a:b\n#\na:c", 3, BadUser::Twice),
        ] {
            let error = StaticUsers::parse("example.org", text).err().unwrap();
            assert_eq!(error, BadUsers { line, why }, "{text}");
            assert!(error.to_string().starts_with(&format!("Line {line} ")));
        }
    }
}
