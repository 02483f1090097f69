//! Ephemeral credentials: `password = base64(HMAC(secret, USERNAME))`, with the expiry inside USERNAME
//! (draft-uberti-behave-turn-rest-00, and what grew from it).

use std::time::Duration;

use super::binding::{BadBinding, Binding};
use super::secret::{Secret, Secrets};
use super::username::{Expiry, Grammar, Username};
use crate::relay::limits::MAX_USERNAME;
use crate::relay::reason::AuthReason;
use crate::relay::seam::{Claim, Identity, UserId};
use crate::wire::integrity::LongTermKey;

/// How far our clock and the issuer's may be apart, in both directions: an expiry counts as passed this much later, and
/// as too far ahead this much further.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

/// What `max_ttl` is unless the configuration says otherwise: twice the day that most issuers give.
pub const DEFAULT_MAX_TTL: Duration = Duration::from_secs(48 * 3600);

/// What ephemeral credentials are judged by.
pub struct Ephemeral {
    /// What they may be signed with.
    pub secrets: Secrets,
    /// How their user names are written.
    pub grammar: Grammar,
    /// How far ahead an expiry may lie.
    pub max_ttl: Duration,
    /// The zone that a bound credential must name.
    pub zone: String,
}

/// What a user name says.
pub(super) struct Presented<'a> {
    pub(super) username: Username<'a>,
    pub(super) binding: Option<Binding>,
}

/// Which secrets a request was signed under: bit `i` for the `i`th.
#[derive(Clone, Copy)]
struct Matches(u8);

impl Ephemeral {
    /// Whose request is it?
    ///
    /// Every secret is tried, in full, whatever the user name is: known, expired, bound to one key or no user name at
    /// all. So neither the time nor the number of trials tells which it was. What else stands against a credential is
    /// said only when its password is right.
    pub(super) fn authenticate(
        &self,
        now_unix: u64,
        claim: Claim<'_>,
        realm: &[u8],
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Result<Identity, AuthReason> {
        let matches = self.try_all(claim, realm, proof);
        let presented = self.read(claim.username).map_err(|unreadable| unreadable.reason())?;
        let secret = self.signer(&presented, matches)?;
        self.lasting_objections(&presented).next().map_or(Ok(()), Err)?;
        if !claim.expired_will_do {
            self.passing_objections(&presented, Some(secret), now_unix).next().map_or(Ok(()), Err)?;
        }
        Ok(presented.identity(secret))
    }

    fn try_all(&self, claim: Claim<'_>, realm: &[u8], proof: &mut dyn FnMut(&LongTermKey) -> bool) -> Matches {
        // A longer name is refused by its grammar; it does not buy longer work.
        let username = claim.username.get(..MAX_USERNAME).unwrap_or(claim.username);
        let mut matches = 0;
        for (secret, index) in self.secrets.iter().zip(0_u32..) {
            let password = secret.password(username);
            let key = LongTermKey::derive(claim.algorithm, username, realm, password.as_bytes());
            matches |= u8::from(proof(&key)).checked_shl(index).unwrap_or_default();
        }
        Matches(matches)
    }

    /// The secret that counts: for a bound credential the one that it names, and no other.
    fn signer(&self, presented: &Presented<'_>, matches: Matches) -> Result<&Secret, AuthReason> {
        let mut candidates = self.secrets.iter().zip(0_u32..).filter(|(secret, _)| presented.may_be_signed_by(secret));
        if presented.binding.is_some() && candidates.clone().next().is_none() {
            return Err(AuthReason::UnknownKeyId);
        }
        let signer = candidates.find(|(_, index)| matches.0.checked_shr(*index).is_some_and(|bits| bits & 1 == 1));
        signer.map(|(secret, _)| secret).ok_or(AuthReason::WrongPassword)
    }

    pub(super) fn read<'a>(&self, username: &'a [u8]) -> Result<Presented<'a>, Unreadable> {
        let username = Username::parse(self.grammar, username).map_err(Unreadable::Grammar)?;
        let binding = Binding::parse(username.user_part).transpose().map_err(Unreadable::Binding)?;
        Ok(Presented { username, binding })
    }

    /// What stands against a credential at every time.
    pub(super) fn lasting_objections(&self, presented: &Presented<'_>) -> impl Iterator<Item = AuthReason> + use<> {
        let binding = presented.binding.as_ref();
        let zone = binding.is_some_and(|binding| binding.zone != self.zone).then_some(AuthReason::WrongZone);
        // Without a map of zones, "only peers in zone x" cannot be held: refused, not widened. A session needs no
        // enforcement of its own.
        let peers = binding.is_some_and(|binding| !binding.peer_zones.is_empty());
        let milliseconds = matches!(presented.username.expiry, Expiry::Milliseconds(_));
        [
            zone,
            peers.then_some(AuthReason::UnsupportedBinding),
            milliseconds.then_some(AuthReason::ExpiryInMilliseconds),
        ]
        .into_iter()
        .flatten()
    }

    /// What stands against it now. Judged when an allocation is asked for, and not again while it stands (D-19).
    pub(super) fn passing_objections(
        &self,
        presented: &Presented<'_>,
        signer: Option<&Secret>,
        now_unix: u64,
    ) -> impl Iterator<Item = AuthReason> + use<> {
        let retired = signer.is_some_and(|secret| secret.retired(now_unix)).then_some(AuthReason::SecretRetired);
        let tolerance = CLOCK_TOLERANCE.as_secs();
        let expiry = match presented.username.expiry {
            Expiry::Milliseconds(_) => None,
            Expiry::Seconds(expiry) if expiry.saturating_add(tolerance) < now_unix => Some(AuthReason::Expired),
            Expiry::Seconds(expiry) => {
                let furthest = now_unix.saturating_add(self.max_ttl.as_secs()).saturating_add(tolerance);
                (expiry > furthest).then_some(AuthReason::ExpiryTooFar)
            }
        };
        [retired, expiry].into_iter().flatten()
    }
}

impl Presented<'_> {
    pub(super) fn may_be_signed_by(&self, secret: &Secret) -> bool {
        self.binding.as_ref().is_none_or(|binding| binding.key_id == secret.id().as_str())
    }

    /// The person behind it: the user part, or the whole name where that is empty, so that each such credential is a
    /// user of its own.
    pub(super) fn user(&self) -> UserId {
        let plain = if self.username.user_part.is_empty() { self.username.whole } else { self.username.user_part };
        UserId(self.binding.as_ref().map_or(plain, |binding| &binding.user_id).into())
    }

    fn identity(&self, secret: &Secret) -> Identity {
        let expires_unix = match self.username.expiry {
            Expiry::Seconds(expiry) => Some(expiry),
            Expiry::Milliseconds(_) => None,
        };
        Identity {
            user: self.user(),
            key_id: Some(secret.id().to_shared()),
            expires_unix,
            max_allocations: self.binding.as_ref().and_then(|binding| binding.max_allocations),
        }
    }
}

/// Why a user name cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not of the grammar.
    Grammar(super::username::GrammarError),
    /// Its user part begins like a binding and is none.
    Binding(BadBinding),
}

impl Unreadable {
    /// The reason that the audit trail has for it.
    pub fn reason(self) -> AuthReason {
        match self {
            Self::Grammar(error) => error.reason(),
            Self::Binding(BadBinding::Unknown(_)) => AuthReason::UnsupportedBinding,
            Self::Binding(_) => AuthReason::BadUsername,
        }
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Grammar(error) => error.fmt(f),
            Self::Binding(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unreadable {}
