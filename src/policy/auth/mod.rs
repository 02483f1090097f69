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
        AuthReason::UnsupportedBinding => {
            "The credential has a binding that cannot be enforced here, so it is refused."
        }
    }
}
