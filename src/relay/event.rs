//! What happened, for the audit trail: typed, without payload, and with no more identity than policy gave.

use std::fmt;
use std::time::Duration;

use super::addr::{Path, PeerAddr, RelayedAddr};
use super::clock::Now;
use super::reason::{AuthReason, CloseReason, RuleId};
use super::seam::{Alternate, Identity};

/// An allocation's name in the audit trail: a UUIDv7 (RFC 9562 §5.7), so that it never repeats, restart or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AllocationUuid(pub [u8; 16]);

impl fmt::Debug for AllocationUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AllocationUuid({:032x})", u128::from_be_bytes(self.0))
    }
}

/// What an allocation relayed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Datagrams from the client to peers.
    pub packets_to_peers: u64,
    /// Their payload, in bytes.
    pub bytes_to_peers: u64,
    /// Datagrams from peers to the client.
    pub packets_to_client: u64,
    /// Their payload, in bytes.
    pub bytes_to_client: u64,
    /// Datagrams of either direction that were dropped on this allocation.
    pub dropped: u64,
}

/// What is common to the events about one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationRecord {
    /// Its name.
    pub uuid: AllocationUuid,
    /// Whose it is.
    pub who: Identity,
    /// The client's 5-tuple.
    pub path: Path,
    /// The relayed transport address, as advertised.
    pub relayed: RelayedAddr,
    /// That of the other family, where it has two.
    pub also: Option<RelayedAddr>,
    /// When it was opened.
    pub opened: Now,
}

/// Which request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// Allocate (RFC 8656 §7).
    Allocate,
    /// Refresh (RFC 8656 §8).
    Refresh,
    /// CreatePermission (RFC 8656 §10).
    CreatePermission,
    /// ChannelBind (RFC 8656 §12).
    ChannelBind,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// 401: the credentials.
    Credentials(AuthReason),
    /// 403: the peer, by this rule.
    Peer {
        /// Who was asked for.
        peer: PeerAddr,
        /// The rule that denies it.
        rule: RuleId,
    },
    /// 403: the client's own address, by this rule.
    Client(RuleId),
    /// 400: what is wrong with the request.
    BadRequest(&'static str),
    /// 420: the first of the attributes that are not understood.
    UnknownAttribute(u16),
    /// 437: there is no allocation on the 5-tuple.
    NoAllocation,
    /// 437: there is one, or this Allocate made one that has ended.
    AllocationExists,
    /// 443: the peer, or the family that was asked for, is not of the relayed address's family.
    FamilyMismatch,
    /// 437 or 441: the 5-tuple or the allocation is another user's.
    WrongUser,
    /// 440: the family is not offered; its number as the client wrote it (RFC 8656 §18.6).
    Family(u8),
    /// 442: the transport is not offered.
    TransportProtocol(u8),
    /// 300: another server shall serve the client.
    Elsewhere(Alternate),
    /// 486: the user's share is used up.
    Quota(RuleId),
    /// 508: we have none left; what of.
    Capacity(&'static str),
    /// 508: nobody gets this, however much is left; a sentence without its full stop.
    Unavailable(&'static str),
}

/// An entry for the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An allocation was made. Recorded before its client learns the relayed address.
    Opened {
        /// When.
        at: Now,
        /// Which.
        allocation: AllocationRecord,
        /// What was granted.
        lifetime: Duration,
    },
    /// Its lifetime was extended.
    Refreshed {
        /// When.
        at: Now,
        /// Which.
        allocation: AllocationRecord,
        /// What was granted.
        lifetime: Duration,
        /// What it relayed so far.
        totals: Totals,
    },
    /// One of its two addresses ended; it goes on with the other.
    Narrowed {
        /// When.
        at: Now,
        /// What is left of it.
        allocation: AllocationRecord,
        /// What ended.
        ended: RelayedAddr,
        /// Why.
        reason: CloseReason,
    },
    /// It ended.
    Closed {
        /// When.
        at: Now,
        /// Which.
        allocation: AllocationRecord,
        /// Why.
        reason: CloseReason,
        /// What it relayed.
        totals: Totals,
    },
    /// A request that carried credentials was refused.
    Denied {
        /// When.
        at: Now,
        /// From where.
        path: Path,
        /// Who asked, where that was established.
        who: Option<Identity>,
        /// Which allocation it was about, if any.
        allocation: Option<AllocationUuid>,
        /// What was asked.
        request: RequestKind,
        /// The error code that was sent.
        code: u16,
        /// Why.
        denial: Denial,
    },
}

impl Event {
    /// When it happened.
    pub fn at(&self) -> Now {
        match self {
            Self::Opened { at, .. }
            | Self::Refreshed { at, .. }
            | Self::Narrowed { at, .. }
            | Self::Closed { at, .. }
            | Self::Denied { at, .. } => *at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::addr::{ClientAddr, ListenerId, ServerAddr, Transport};
    use crate::relay::seam::UserId;

    #[test]
    fn every_event_knows_when_it_happened() {
        let path = Path {
            client: ClientAddr(([203, 0, 113, 5], 40_000).into()),
            server: ServerAddr(([192, 0, 2, 9], 3478).into()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        };
        let who = Identity { user: UserId("alice".into()), key_id: None, expires_unix: None, max_allocations: None };
        let relayed = RelayedAddr(([198, 51, 100, 1], 50_000).into());
        let opened = Now::default();
        let allocation = AllocationRecord { uuid: AllocationUuid([0; 16]), who, path, relayed, also: None, opened };
        let at = Now { unix_millis: 7, ..opened };
        let (lifetime, totals, reason) = (Duration::ZERO, Totals::default(), CloseReason::Expired);
        let denied = Event::Denied {
            at,
            path,
            who: None,
            allocation: None,
            request: RequestKind::Refresh,
            code: 441,
            denial: Denial::WrongUser,
        };
        let events = [
            Event::Opened { at, allocation: allocation.clone(), lifetime },
            Event::Refreshed { at, allocation: allocation.clone(), lifetime, totals },
            Event::Narrowed { at, allocation: allocation.clone(), ended: relayed, reason },
            Event::Closed { at, allocation, reason, totals },
            denied,
        ];
        assert_eq!(events.map(|event| event.at()), [at; 5]);
    }
}
