//! Ephemeral credentials, made here from the rule alone, so that the server is held to it and not to itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The secret that every server under test shares with the tests.
pub(crate) const SECRET: &str = "9d3c1f7ab24e8056d1f0937b6e5ac284";

/// A user name and its password.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Credential {
    /// One for `user` that is good for an hour.
    pub(crate) fn of(user: &str) -> Self {
        Self::signed_with(SECRET, user)
    }

    /// One that no server under test accepts: signed with another secret.
    pub(crate) fn forged(user: &str) -> Self {
        Self::signed_with("0e51b6c88fd2473a9e6d047c1b35f92a", user)
    }

    /// `password = base64(HMAC-SHA1(secret, username))`, with the expiry in front of the user.
    fn signed_with(secret: &str, user: &str) -> Self {
        let expiry = SystemTime::now() + Duration::from_secs(3600);
        let expiry = expiry.duration_since(UNIX_EPOCH).expect("a clock past 1970").as_secs();
        Self::of_username(secret, format!("{expiry}:{user}"))
    }

    /// One for a whole user name, whatever it says, signed with the secret of the servers under test.
    pub(crate) fn signed(username: &str) -> Self {
        Self::of_username(SECRET, username.to_owned())
    }

    fn of_username(secret: &str, username: String) -> Self {
        let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
        mac.update(username.as_bytes());
        let password = STANDARD.encode(mac.finalize().into_bytes());
        Self { username, password }
    }
}
