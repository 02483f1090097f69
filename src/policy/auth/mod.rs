//! Who is asking: credentials and what they say.

pub mod binding;
pub mod ephemeral;
pub mod explain;
pub mod mint;
pub mod secret;
pub mod static_users;
pub mod username;

use ephemeral::Ephemeral;
use static_users::StaticUsers;

use crate::relay::Now;
use crate::relay::reason::AuthReason;
use crate::relay::seam::{Claim, Identity};
use crate::wire::integrity::LongTermKey;

/// Knows everybody who may be authenticated in one realm.
///
/// A static user `alice` and the holder of a credential `<expiry>:alice` are one person with one [`UserId`]: limits go
/// by the person, and whoever moves from a password to credentials shall not have two shares meanwhile. Both names come
/// from the operator (the file, and the issuer who holds the secret), so nobody takes the other's by choice, and the
/// audit trail tells them apart by the key id, which a static user has none of. Neither can touch the other's
/// allocation: that goes by the USERNAME (RFC 8656 §5), which differs.
///
/// [`UserId`]: crate::relay::seam::UserId
pub struct Authenticator {
    /// The realm that keys are derived with, byte for byte as we announce it.
    pub realm: String,
    /// Those whose name and password came with an expiry.
    pub ephemeral: Ephemeral,
    /// Those whose password stays. A name that stands here is judged here.
    pub static_users: StaticUsers,
}

impl Authenticator {
    /// Whose request is it? `proof` is called as often for a user who exists as for one who does not.
    ///
    /// # Errors
    /// Why it is nobody's.
    pub fn authenticate(
        &self,
        now: Now,
        claim: Claim<'_>,
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Result<Identity, AuthReason> {
        let by_static = self.static_users.authenticate(claim, proof);
        let by_ephemeral = self.ephemeral.authenticate(now.unix_secs(), claim, self.realm.as_bytes(), proof);
        by_static.unwrap_or(by_ephemeral)
    }

    /// Whose name is behind a USERHASH? Only names that are known beforehand can be found, so this is for static users.
    pub fn username_of(&self, userhash: &[u8; 32]) -> Option<Box<[u8]>> {
        self.static_users.by_userhash(userhash).map(|name| name.as_bytes().into())
    }
}

/// What a refusal means, in a sentence for the administrator.
pub fn sentence(reason: AuthReason) -> &'static str {
    match reason {
        AuthReason::UnknownUser => "The user name is no <expiry>:<user> and no static user.",
        AuthReason::BadUsername => "The user name's form is broken: a bad timestamp, too long, or not printable ASCII.",
        AuthReason::TimestampOnWrongSide => "The user name's timestamp is on the wrong side: write <expiry>:<user>.",
        AuthReason::Expired => "The credential has expired.",
        AuthReason::ExpiryTooFar => "The credential's expiry is further ahead than max_ttl allows.",
        AuthReason::ExpiryInMilliseconds => "The credential's expiry is in milliseconds; it must be in seconds.",
        AuthReason::UnknownKeyId => "The user name names a key id that is not live here.",
        AuthReason::WrongPassword => "The password does not match under any live secret.",
        AuthReason::SecretRetired => "The password matches under a secret whose not_after has passed.",
        AuthReason::WrongZone => "The credential is bound to another zone.",
        AuthReason::WrongRealm => "The request's realm is not ours.",
        AuthReason::UserhashNotOffered => "The request hides its user name by USERHASH, which was not offered.",
        AuthReason::LegacyAlgorithm => "The request uses MD5 or SHA-1 at a listener that takes SHA-256 alone.",
        AuthReason::UnsupportedBinding => {
            "The credential has a binding that cannot be enforced here, so it is refused."
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::secret::{Secret, SecretId, Secrets};
    use super::username::Grammar;
    use super::*;
    use crate::relay::Instant;
    use crate::wire::integrity::PasswordAlgorithm;

    fn authenticator() -> Authenticator {
        let secret = Secret::for_lab(SecretId::new("k1").unwrap(), b"north".to_vec().into()).unwrap();
        let ephemeral = Ephemeral {
            secrets: Secrets::new(vec![secret]).unwrap(),
            grammar: Grammar::default(),
            max_ttl: Duration::from_secs(86_400),
            zone: "default".into(),
        };
        let static_users = StaticUsers::parse("example.org", "alice:open\n").unwrap();
        Authenticator { realm: "example.org".into(), ephemeral, static_users }
    }

    fn sign_in(username: &str, password: &str) -> Result<Identity, AuthReason> {
        let username = username.as_bytes();
        let algorithm = PasswordAlgorithm::Md5;
        let key = LongTermKey::derive(algorithm, username, b"example.org", password.as_bytes());
        let claim = Claim { username, algorithm, expired_will_do: false };
        let now = Now { instant: Instant::default(), unix_millis: 1_795_282_300_000 };
        authenticator().authenticate(now, claim, &mut |tried| tried.as_bytes() == key.as_bytes())
    }

    #[test]
    fn one_person_by_password_and_by_credential_is_one_user_and_told_apart_by_the_key() {
        let name = "1795285900:alice";
        let password = authenticator().ephemeral.secrets.iter().next().unwrap().password(name.as_bytes());
        let by_credential = sign_in(name, password.as_str()).unwrap();
        let by_password = sign_in("alice", "open").unwrap();
        assert_eq!(by_credential.user, by_password.user);
        assert_eq!((by_credential.key_id.as_deref(), by_password.key_id), (Some("k1"), None));
        assert_eq!(sign_in(name, "open"), Err(AuthReason::WrongPassword), "each has its own password");
        assert_eq!(sign_in("alice", password.as_str()), Err(AuthReason::WrongPassword));
    }
}
