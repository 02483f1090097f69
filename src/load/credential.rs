//! Who the clients are: one user for all, or an ephemeral user each, minted from the server's shared secret.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

/// What the clients log in with. Debug shows no secret.
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
    /// of its HMAC-SHA1). Each client is a user of its own.
    Secret(Zeroizing<Vec<u8>>),
}

/// How long an ephemeral user is good, in seconds: servers have an upper limit, and few have one below an hour.
const TTL_SECS: u64 = 3600;

/// A user name and its password.
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: Zeroizing<String>,
}

impl Credentials {
    /// Client number `client`'s login.
    pub(super) fn login(&self, client: u32, now_unix_s: u64) -> Login {
        match self {
            Self::User { name, password } => Login { username: name.clone(), password: password.clone() },
            Self::Secret(secret) => {
                let username = format!("{}:load-{client}", now_unix_s + TTL_SECS);
                // `new_from_slice` of an HMAC takes keys of every length (RFC 2104 §3): the error cannot happen.
                let mac = Hmac::<Sha1>::new_from_slice(secret).map(|mac| mac.chain_update(username.as_bytes()));
                let tag = mac.map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
                Login { username, password: STANDARD.encode(tag).into() }
            }
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User { .. } => "User",
            Self::Secret(_) => "Secret",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf %s 1795285900:load-7 | openssl dgst -sha1 -hmac north -binary | base64`
    #[test]
    fn an_ephemeral_password_is_the_published_construction() {
        let secret = Credentials::Secret(b"north".to_vec().into());
        let login = secret.login(7, 1_795_285_900 - TTL_SECS);
        assert_eq!(login.username, "1795285900:load-7");
        assert_eq!(*login.password, "qQolNSyFE7UL+Url38J50SzaHNs=");
        assert_ne!(secret.login(8, 0).username, secret.login(9, 0).username);
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
