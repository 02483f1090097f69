//! What the relay floor asks of the floors around it: policy and randomness. Asked on requests only, never for a
//! relayed packet: the answers are stored in the allocation, its permissions and its channels.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::addr::{Path, PeerAddr};
use super::clock::Now;
use super::port_set::PortSet;
use super::reason::{AuthReason, RuleId};
use crate::wire::integrity::{LongTermKey, PasswordAlgorithm};

/// A stable id for the person behind a credential: limits and the audit trail are kept by it, never by the USERNAME
/// (which changes with every credential).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserId(pub Arc<str>);

/// Whom a request was authenticated as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub user: UserId,
    /// The id of the secret that signed the credential; none for static users.
    pub key_id: Option<Arc<str>>,
    /// When an ephemeral credential expires, in seconds since 1970; none for static users.
    pub expires_unix: Option<u64>,
    /// The most allocations the user may have by the word of this credential, however many the limits allow.
    pub max_allocations: Option<NonZeroU32>,
}

/// What a request says of its sender.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// USERNAME, byte for byte as received.
    pub username: &'a [u8],
    /// How the long-term key is derived from the password (RFC 8489 §18.5.1).
    pub algorithm: PasswordAlgorithm,
    /// An expired credential will do: the request is about an allocation that stands already (see D-19: expiry is
    /// judged on Allocate).
    pub expired_will_do: bool,
}

/// Which ports of a permitted peer address may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerPorts {
    /// All but 0 (RFC 8656 §9: a permission is by address).
    Any,
    /// These only: the host is our own, and only its relayed ports may be reached.
    Only(RangeInclusive<u16>),
    /// These only: rules on ports are in force.
    Listed(Arc<PortSet>),
}

impl PeerPorts {
    /// Whether a datagram may go to `port`.
    pub fn allow(&self, port: u16) -> bool {
        match self {
            Self::Any => port != 0,
            Self::Only(range) => range.contains(&port),
            Self::Listed(ports) => ports.contains(port),
        }
    }
}

/// A refusal with the rule that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which rule.
    pub rule: RuleId,
}

/// Why a user may not have another allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmitRefusal {
    /// Not from this client address (403): RFC 8656 §21.4 forbids 6to4 and Teredo sources.
    Forbidden(Refusal),
    /// The user's share is used up (486).
    OverQuota(Refusal),
    /// Another server shall serve the client (300, RFC 8489 §10).
    Elsewhere(Alternate),
}

/// Where a client is sent that shall try another server. There is an address of the family of the client's own, or it
/// is not sent away (RFC 8489 §10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternate {
    /// The ALTERNATE-SERVER of the client's family, which comes first.
    pub server: SocketAddr,
    /// That of the other family, if the server has one.
    pub other: Option<SocketAddr>,
    /// The name in that server's certificate, where it is another one than ours.
    pub domain: Option<Arc<str>>,
}

/// The questions of the relay floor.
pub trait Policy {
    /// What an allocation holds of a user's share; dropping it gives it back.
    type Lease;

    /// Whose request is this? `proof` checks a key against the message's integrity attribute in constant time; policy
    /// tries the keys that the user name can have, always as many, known user or not.
    ///
    /// # Errors
    /// Why not; the client sees the same 401 whatever it is.
    fn authenticate(
        &self,
        now: Now,
        claim: Claim<'_>,
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Result<Identity, AuthReason>;

    /// Whose name is behind USERHASH, `SHA-256(username ":" realm)` (RFC 8489 §14.4)? Asked only where the settings
    /// offer it.
    fn username_of(&self, userhash: &[u8; 32]) -> Option<Box<[u8]>> {
        let _ = userhash;
        None
    }

    /// May the user have one more allocation, and from this client? (RFC 8656 §7.2, step 10, and §21.4.)
    ///
    /// # Errors
    /// What stands against it.
    fn admit(&self, now: Now, who: &Identity, path: &Path) -> Result<Self::Lease, AdmitRefusal>;

    /// May the user send to and hear from this peer? `peer`'s port is 0 where the request names none.
    ///
    /// # Errors
    /// The rule that denies it (a 403, or a dropped Send).
    fn judge_peer(&self, who: &Identity, peer: PeerAddr) -> Result<PeerPorts, Refusal>;
}

/// Unpredictable bytes.
pub trait Entropy {
    /// Fills `out`.
    fn fill(&mut self, out: &mut [u8]);
}

/// Takes the events that the server emits. Called on the packet thread: it must not block.
pub trait EventSink {
    /// Hands one event over.
    fn record(&mut self, event: super::event::Event);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_all_but_0_or_those_of_a_range_or_a_list() {
        let mut list = PortSet::new();
        list.insert(80..=80);
        let allowed = |ports: PeerPorts| [0, 1, 79, 80, 81, u16::MAX].map(|port| ports.allow(port));
        assert_eq!(allowed(PeerPorts::Any), [false, true, true, true, true, true]);
        assert_eq!(allowed(PeerPorts::Only(80..=81)), [false, false, false, true, true, false]);
        assert_eq!(allowed(PeerPorts::Listed(Arc::new(list))), [false, false, false, true, false, false]);
    }
}
