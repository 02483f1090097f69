//! One allocation (RFC 8656 §6): one relayed transport address, or one of each family.

use std::net::IpAddr;
use std::time::Duration;

use super::addr::{Family, Path, RelayedAddr};
use super::channel::Channels;
use super::clock::{Instant, Now};
use super::command::{RelayFailure, RelayId, Token};
use super::event::{AllocationRecord, AllocationUuid, Totals};
use super::limits::{ICMP_BURST, ICMP_EVERY, REFRESH_RECORD_EVERY};
use super::permission::Permissions;
use super::seam::{Identity, PeerPorts};
use super::verdict::Verdict;
use crate::wire::header::TransactionId;
use crate::wire::integrity::LongTermKey;

/// What stands behind a client's 5-tuple. `L` is policy's lease on the user's share; it ends with the allocation.
pub(super) struct Allocation<L> {
    pub(super) uuid: AllocationUuid,
    pub(super) path: Path,
    pub(super) who: Identity,
    /// USERNAME of the Allocate, byte for byte: requests about the allocation must carry the same (RFC 8656 §5).
    pub(super) username: Box<[u8]>,
    /// The key that USERNAME stands for, so that policy is not asked again for every Refresh.
    pub(super) key: LongTermKey,
    /// The Allocate's transaction id: its retransmission gets the same answer.
    pub(super) transaction_id: TransactionId,
    /// While its relay sockets are being opened.
    pub(super) opening: Option<Opening>,
    /// The relayed address whose socket has the allocation's own id; none before it is open, and once it is gone while
    /// that of the other family stands.
    pub(super) first: Option<RelayedAddr>,
    /// When `first` ends unless refreshed; in the past while there is none.
    pub(super) expires: Instant,
    /// The relayed address of the other family, from when it is asked for until it is gone.
    pub(super) second: Option<Box<Second>>,
    /// The further family that cannot be had, and why (ADDRESS-ERROR-CODE, RFC 8656 §7.2 step 9).
    pub(super) address_error: Option<(Family, AddressError)>,
    /// What the next port was reserved under (EVEN-PORT with the R bit, RFC 8656 §7.2).
    pub(super) token: Option<Token>,
    /// What the last success response said.
    pub(super) lifetime: Duration,
    pub(super) opened: Now,
    pub(super) permissions: Permissions,
    pub(super) channels: Channels,
    pub(super) totals: Totals,
    /// Before that the audit trail hears of no refresh.
    pub(super) refresh_recorded_from: Instant,
    /// When the client has heard of no ICMP error for long enough to hear of as many as it may.
    pub(super) icmp_rested: Instant,
    /// Somebody else asked for an allocation on this 5-tuple: nothing from peers is sent there until the owner has
    /// authenticated again (RFC 8656 §7.4).
    pub(super) suspended: bool,
    #[expect(dead_code, reason = "held for its Drop")]
    pub(super) lease: L,
}

const _: () = assert!(size_of::<Allocation<()>>() <= 448, "there may be a million of them");

/// The second relayed address of a dual allocation.
pub(super) struct Second {
    /// The name of its socket.
    pub(super) relay: RelayId,
    /// None before it is open.
    pub(super) relayed: Option<RelayedAddr>,
    /// Each address has a lifetime of its own (RFC 8656 §6).
    pub(super) expires: Instant,
}

/// An Allocate whose relay sockets are being opened: the client has no answer yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// What its answer will need.
    pub(super) answer: PendingAnswer,
    /// Sockets that nothing was heard of.
    pub(super) waits_for: u8,
    /// Why the first one of those that were refused was.
    pub(super) failure: Option<RelayFailure>,
}

/// How an Allocate wants its success response, beyond what the allocation itself says.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingAnswer {
    /// The request had a FINGERPRINT.
    pub(super) fingerprint: bool,
    /// The request had a PASSWORD-ALGORITHM, so the answer carries MESSAGE-INTEGRITY-SHA256.
    pub(super) sha256: bool,
}

/// Why a further family cannot be had (RFC 8656 §18.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressError {
    /// 440.
    NotSupported,
    /// 508.
    NoCapacity,
}

impl<L> Allocation<L> {
    /// It relays: one of its addresses does.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.expires > now || self.second.as_ref().is_some_and(|second| second.expires > now)
    }

    /// The socket that reaches peers of this family. `own` is the allocation's id, and the socket of a single address:
    /// its channels and permissions are all of its family.
    #[inline]
    pub(super) fn outlet(&self, own: RelayId, family: Family, now: Instant) -> Option<RelayId> {
        match &self.second {
            None => (self.expires > now).then_some(own),
            Some(second) => self.outlet_of_two(own, second, family, now),
        }
    }

    fn outlet_of_two(&self, own: RelayId, second: &Second, family: Family, now: Instant) -> Option<RelayId> {
        let is_it = |relayed: Option<RelayedAddr>| relayed.is_some_and(|relayed| relayed.family() == family);
        if is_it(self.first) && self.expires > now {
            return Some(own);
        }
        (is_it(second.relayed) && second.expires > now).then_some(second.relay)
    }

    /// Whether it has an address of this family that relays.
    pub(super) fn has(&self, family: Family, now: Instant) -> bool {
        self.addresses(now).any(|(relayed, _)| relayed.family() == family)
    }

    /// The addresses that relay, and when each ends.
    pub(super) fn addresses(&self, now: Instant) -> impl Iterator<Item = (RelayedAddr, Instant)> {
        let first = self.first.map(|relayed| (relayed, self.expires));
        let second = self.second.as_ref().and_then(|second| Some((second.relayed?, second.expires)));
        first.into_iter().chain(second).filter(move |(_, expires)| *expires > now)
    }

    /// When the first of its addresses ends; none before it is open.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let first = self.first.map(|_| self.expires);
        let second = self.second.as_ref().and_then(|second| second.relayed.map(|_| second.expires));
        first.into_iter().chain(second).min()
    }

    /// All of its lifetimes have passed, though the timer may not have come round to it.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.opening.is_none() && !self.is_open(now)
    }

    /// The socket `relay` is open: its address begins, for `lifetime` from `now`. `own` is the allocation's id.
    pub(super) fn begin(&mut self, own: RelayId, relay: RelayId, relayed: RelayedAddr, now: Instant) {
        let until = now.after(self.lifetime);
        match &mut self.second {
            Some(second) if relay == second.relay => (second.relayed, second.expires) = (Some(relayed), until),
            _ if relay == own => (self.first, self.expires) = (Some(relayed), until),
            _ => {}
        }
    }

    /// Sets the lifetimes of the addresses of `family`, or of all, anew. One that has ended does not begin again, even
    /// if the timer has not come round to it.
    pub(super) fn extend(&mut self, family: Option<Family>, now: Instant, until: Instant) {
        let is_meant = |relayed: Option<RelayedAddr>, expires: Instant| {
            relayed.is_some_and(|relayed| family.is_none_or(|family| relayed.family() == family)) && expires > now
        };
        if is_meant(self.first, self.expires) {
            self.expires = until;
        }
        if let Some(second) = self.second.as_mut().filter(|second| is_meant(second.relayed, second.expires)) {
            second.expires = until;
        }
    }

    /// Ends the address of `family`, with its permissions and channels and no other's (RFC 8656 §8.1), and returns it
    /// and the name of its socket. `own` is the allocation's id.
    pub(super) fn end(&mut self, own: RelayId, family: Family) -> Option<(RelayId, RelayedAddr)> {
        let ended = match (self.first, self.second.as_ref().and_then(|second| Some((second.relay, second.relayed?)))) {
            (Some(first), _) if first.family() == family => {
                (self.first, self.expires) = (None, Instant::default());
                (own, first)
            }
            (_, Some((relay, second))) if second.family() == family => {
                self.second = None;
                (relay, second)
            }
            _ => return None,
        };
        self.permissions.forget(family);
        self.channels.forget(family);
        Some(ended)
    }

    /// Installs or refreshes a permission, also for the channels of that address. Returns when it expires.
    pub(super) fn permit(&mut self, ip: IpAddr, ports: PeerPorts, now: Instant) -> Instant {
        let until = self.permissions.install(ip, ports, now);
        self.channels.on_permission(ip, until);
        until
    }

    /// Whether the client may hear of one more ICMP error now: of [`ICMP_BURST`] at once, and of one every
    /// [`ICMP_EVERY`] in the long run.
    pub(super) fn may_tell_of_icmp(&mut self, now: Instant) -> bool {
        let rested = self.icmp_rested.max(now);
        if rested.since(now) > ICMP_EVERY.saturating_mul(ICMP_BURST.saturating_sub(1)) {
            return false;
        }
        self.icmp_rested = rested.after(ICMP_EVERY);
        true
    }

    /// Reads what the packet path will; see [`super::Server::foresee`].
    pub(super) fn touch(&self) -> u64 {
        let Self { totals, path, suspended, expires, second, .. } = self;
        let ends = totals.packets_to_peers ^ totals.dropped ^ u64::from(path.client.0.port()) ^ u64::from(*suspended);
        expires.as_nanos() ^ ends ^ u64::from(second.is_some())
    }

    /// Adds what became of a datagram from the client to the totals.
    pub(super) fn count(&mut self, verdict: &Verdict) {
        let totals = &mut self.totals;
        match verdict {
            Verdict::Forward { payload, .. } => {
                totals.packets_to_peers = totals.packets_to_peers.wrapping_add(1);
                totals.bytes_to_peers = totals.bytes_to_peers.wrapping_add(payload.len() as u64);
            }
            Verdict::Drop(_) => totals.dropped = totals.dropped.wrapping_add(1),
            Verdict::Reply { .. } | Verdict::Pending => {}
        }
    }

    /// What the audit trail hears of a refresh: nothing, if it heard of one a moment ago.
    pub(super) fn refresh_record(&mut self, now: Instant) -> Option<AllocationRecord> {
        if now < self.refresh_recorded_from {
            return None;
        }
        self.refresh_recorded_from = now.after(REFRESH_RECORD_EVERY);
        self.record()
    }

    /// What the audit trail says of it; none before it is open.
    pub(super) fn record(&self) -> Option<AllocationRecord> {
        let second = self.second.as_ref().and_then(|second| second.relayed);
        let (relayed, also) = match self.first {
            Some(first) => (first, second),
            None => (second?, None),
        };
        let Self { uuid, who, path, opened, .. } = self;
        Some(AllocationRecord { uuid: *uuid, who: who.clone(), path: *path, relayed, also, opened: *opened })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::relay::addr::{ClientAddr, ListenerId, ServerAddr, Transport};
    use crate::relay::seam::UserId;
    use crate::wire::integrity::PasswordAlgorithm;

    pub(in crate::relay) fn path(client: u32) -> Path {
        Path {
            client: ClientAddr((client.to_be_bytes(), 5000).into()),
            server: ServerAddr(([192, 0, 2, 9], 3478).into()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        }
    }

    pub(in crate::relay) fn of_client(client: u32) -> Allocation<()> {
        let user = UserId("alice".into());
        Allocation {
            uuid: AllocationUuid([0; 16]),
            path: path(client),
            who: Identity { user, key_id: None, expires_unix: None, max_allocations: None },
            username: Box::default(),
            key: LongTermKey::derive(PasswordAlgorithm::Md5, b"", b"", b""),
            transaction_id: TransactionId([0; 12]),
            opening: Some(Opening {
                answer: PendingAnswer { fingerprint: false, sha256: false },
                waits_for: 1,
                failure: None,
            }),
            first: None,
            expires: Instant::default(),
            second: None,
            address_error: None,
            token: None,
            lifetime: Duration::ZERO,
            opened: Now::default(),
            permissions: Permissions::default(),
            channels: Channels::default(),
            totals: Totals::default(),
            refresh_recorded_from: Instant::default(),
            icmp_rested: Instant::default(),
            suspended: false,
            lease: (),
        }
    }

    #[test]
    fn before_it_is_open_an_allocation_is_nowhere_and_relays_nothing() {
        let allocation = of_client(1);
        let now = Instant::default();
        assert!(!allocation.is_open(now) && !allocation.is_over(now));
        assert_eq!((allocation.addresses(now).count(), allocation.next_expiry()), (0, None));
        assert_eq!(allocation.record(), None);
    }

    #[test]
    fn of_icmp_errors_there_are_a_few_at_once_and_then_one_at_a_time() {
        let mut allocation = of_client(1);
        let at = |millis: u64| Instant::from_nanos(1_000_000_000 + millis * 1_000_000);
        let mut heard = |millis| (0..20).filter(|_| allocation.may_tell_of_icmp(at(millis))).count();
        assert_eq!([heard(0), heard(99), heard(100), heard(350), heard(10_000)], [5, 0, 1, 2, 5]);
    }
}
