//! Who a client logs in as: a user that was given, or ephemeral users minted from the server's shared secret.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

/// What clients log in with. Debug shows no secret.
#[derive(Clone)]
pub enum Credentials {
    /// The same user for all.
    User {
        /// USERNAME.
        name: String,
        /// Its password.
        password: Zeroizing<String>,
    },
    /// The secret that the server checks ephemeral users with (the "REST API": `EXPIRY:ID`, and as password the base64
    /// of its HMAC-SHA1).
    Secret(Zeroizing<Vec<u8>>),
}

/// How long an ephemeral user is good: servers have an upper limit, and few have one below an hour.
pub const TTL: Duration = Duration::from_hours(1);

/// A user name and its password. Debug shows no password.
#[derive(Clone)]
pub struct Login {
    /// USERNAME.
    pub username: String,
    /// Its password.
    pub password: Zeroizing<String>,
}

impl Credentials {
    /// A login at `now_unix`, in seconds since 1970. With a secret each `user` is one of its own, so that limits per
    /// user do not mix them up.
    pub fn login(&self, user: &str, now_unix: u64) -> Login {
        match self {
            Self::User { name, password } => Login { username: name.clone(), password: password.clone() },
            Self::Secret(secret) => Login::ephemeral(secret, now_unix + TTL.as_secs(), user),
        }
    }

    /// The shared secret, if that is what was given.
    pub fn secret(&self) -> Option<&[u8]> {
        match self {
            Self::User { .. } => None,
            Self::Secret(secret) => Some(secret),
        }
    }
}

impl Login {
    /// An ephemeral user that is good until `expiry`, in seconds since 1970.
    pub fn ephemeral(secret: &[u8], expiry: u64, user: &str) -> Self {
        Self::signed(secret, format!("{expiry}:{user}"))
    }

    /// `username` with the password that the secret makes of it.
    pub fn signed(secret: &[u8], username: String) -> Self {
        let password = tag::<Hmac<Sha1>>(secret, &username);
        Self { username, password }
    }

    /// The same by HMAC-SHA256, which no specification names and some servers can be set to.
    pub fn signed_sha256(secret: &[u8], username: String) -> Self {
        let password = tag::<Hmac<Sha256>>(secret, &username);
        Self { username, password }
    }
}

fn tag<M: Mac + KeyInit>(secret: &[u8], username: &str) -> Zeroizing<String> {
    // `new_from_slice` of an HMAC takes keys of every length (RFC 2104 §3): the error cannot happen.
    let mac = <M as KeyInit>::new_from_slice(secret).map(|mac| mac.chain_update(username.as_bytes()));
    STANDARD.encode(mac.map(|mac| mac.finalize().into_bytes()).unwrap_or_default()).into()
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User { .. } => "User",
            Self::Secret(_) => "Secret",
        })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published construction, checked with `openssl dgst -sha1 -hmac north -binary | base64`, and with `-sha256`.
    #[test]
    fn ephemeral_passwords_are_the_published_construction() {
        let login = Login::ephemeral(b"north", 1_795_285_900, "load-7");
        assert_eq!(
            (login.username.as_str(), login.password.as_str()),
            ("1795285900:load-7", "qQolNSyFE7UL+Url38J50SzaHNs=")
        );
        let username = "1795285900:u-7f3a9c".to_owned();
        assert_eq!(*Login::signed(b"north", username.clone()).password, "/Nycdx7RO/Vda0x6wRpB04bvq5U=");
        let sha256 = Login::signed_sha256(b"north", username);
        assert_eq!(*sha256.password, "1fSAbFKxH+aYZVPobGixbuzhJp/nuDbUdc0RpIjCkhc=");
    }

    #[test]
    fn with_a_secret_each_is_a_user_of_its_own() {
        let secret = Credentials::Secret(b"north".to_vec().into());
        assert_eq!(secret.login("probe-walk", 1_795_282_300).username, "1795285900:probe-walk");
        let user = Credentials::User { name: "alice".into(), password: "pw".to_owned().into() };
        assert_eq!(user.login("probe-walk", 0).username, "alice");
        assert_eq!((secret.secret(), user.secret()), (Some(&b"north"[..]), None));
    }

    #[test]
    fn secrets_are_not_shown() {
        let user = Credentials::User { name: "alice".into(), password: "pw".to_owned().into() };
        let secret = Credentials::Secret(b"north".to_vec().into());
        assert_eq!(format!("{secret:?} {user:?}"), "Secret User");
        assert_eq!(format!("{:?}", user.login("any", 0)), "Login { username: \"alice\", .. }");
    }
}
