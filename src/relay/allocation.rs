//! One allocation (RFC 8656 §3.2) and the table of all of one worker's.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::addr::{Family, Path, RelayedAddr};
use super::channel::Channels;
use super::clock::{Instant, Now};
use super::command::RelayId;
use super::event::{AllocationRecord, AllocationUuid, Totals};
use super::five_tuple::FiveTuple;
use super::limits::{MAX_ALLOCATIONS, REFRESH_RECORD_EVERY};
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
    pub(super) stage: Stage,
    /// The Allocate asked for this further family, which is not offered (ADDRESS-ERROR-CODE, RFC 8656 §7.2 step 9).
    pub(super) refused_family: Option<u8>,
    /// What the last success response said.
    pub(super) lifetime: Duration,
    pub(super) opened: Now,
    pub(super) permissions: Permissions,
    pub(super) channels: Channels,
    pub(super) totals: Totals,
    /// Before that the audit trail hears of no refresh.
    pub(super) refresh_recorded_from: Instant,
    /// Somebody else asked for an allocation on this 5-tuple: nothing from peers is sent there until the owner has
    /// authenticated again (RFC 8656 §7.4).
    pub(super) suspended: bool,
    #[expect(dead_code, reason = "held for its Drop")]
    pub(super) lease: L,
}

const _: () = assert!(size_of::<Allocation<()>>() <= 416, "there may be a million of them");

/// How far an allocation has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// The relay socket is being opened; the client has no answer yet.
    Opening {
        /// What its answer will need.
        answer: PendingAnswer,
    },
    /// It relays until it expires.
    Open {
        /// Told to the client as XOR-RELAYED-ADDRESS.
        relayed: RelayedAddr,
        /// When it ends unless refreshed.
        expires: Instant,
    },
}

/// How an Allocate wants its success response, beyond what the allocation itself says.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingAnswer {
    /// The request had a FINGERPRINT.
    pub(super) fingerprint: bool,
    /// The request had a PASSWORD-ALGORITHM, so the answer carries MESSAGE-INTEGRITY-SHA256.
    pub(super) sha256: bool,
}

impl<L> Allocation<L> {
    /// The relayed address, while the allocation relays.
    pub(super) fn relayed(&self, now: Instant) -> Option<RelayedAddr> {
        match self.stage {
            Stage::Open { relayed, expires } if expires > now => Some(relayed),
            Stage::Open { .. } | Stage::Opening { .. } => None,
        }
    }

    /// Its lifetime has passed, though the timer may not have come round to it.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::Open { expires, .. } if expires <= now)
    }

    /// Installs or refreshes a permission, also for the channels of that address. Returns when it expires.
    pub(super) fn permit(&mut self, ip: IpAddr, ports: PeerPorts, now: Instant) -> Instant {
        let until = self.permissions.install(ip, ports, now);
        self.channels.on_permission(ip, until);
        until
    }

    /// Reads what the packet path will; see [`super::Server::foresee`].
    fn touch(&self) -> u64 {
        let Self { totals, path, suspended, lifetime, .. } = self;
        let expires = match self.stage {
            Stage::Open { expires, .. } => expires.as_nanos(),
            Stage::Opening { .. } => 0,
        };
        let ends = totals.packets_to_peers ^ totals.dropped ^ u64::from(path.client.0.port()) ^ u64::from(*suspended);
        expires ^ ends ^ lifetime.as_secs()
    }

    /// The family of its relayed address, once it has one.
    pub(super) fn family(&self) -> Option<Family> {
        match self.stage {
            Stage::Open { relayed, .. } => Some(relayed.family()),
            Stage::Opening { .. } => None,
        }
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
        let Stage::Open { relayed, .. } = self.stage else { return None };
        Some(AllocationRecord { uuid: self.uuid, who: self.who.clone(), path: self.path, relayed, opened: self.opened })
    }
}

/// All allocations of one worker, found by 5-tuple (what clients send) and by relay socket (what peers send).
pub(super) struct Table<L> {
    slots: Vec<Slot<L>>,
    free: Vec<u32>,
    by_five_tuple: HashMap<FiveTuple, u32, FixedState>,
    /// Of slots that are made from now on: later than any that a slot given back has had.
    first_generation: u32,
}

struct Slot<L> {
    generation: u32,
    allocation: Option<Box<Allocation<L>>>,
}

impl<L> Table<L> {
    /// An empty table. `seed` is random, since clients choose their 5-tuples.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_five_tuple: HashMap::with_hasher(FixedState::with_seed(seed)),
            first_generation: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_five_tuple.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_ALLOCATIONS as usize
    }

    pub(super) fn find(&self, path: &Path) -> Option<RelayId> {
        let slot = *self.by_five_tuple.get(&FiveTuple::of(path))?;
        Some(RelayId { slot, generation: self.slots.get(slot as usize)?.generation })
    }

    pub(super) fn slot_of(&self, path: &Path) -> Option<u32> {
        self.by_five_tuple.get(&FiveTuple::of(path)).copied()
    }

    /// Reads the allocations in `slots`, step by step: see [`super::Server::foresee`].
    pub(super) fn touch(&self, slots: &[u32]) {
        let allocations = || slots.iter().filter_map(|slot| self.slots.get(*slot as usize)?.allocation.as_deref());
        black_box(slots.iter().filter_map(|slot| self.slots.get(*slot as usize)).fold(0, |sum, s| sum ^ s.generation));
        black_box(allocations().fold(0, |sum, allocation| sum ^ allocation.touch()));
        black_box(allocations().fold(0, |sum, allocation| sum ^ allocation.channels.touch()));
    }

    pub(super) fn by_path(&mut self, path: &Path) -> Option<(RelayId, &mut Allocation<L>)> {
        let index = *self.by_five_tuple.get(&FiveTuple::of(path))?;
        let slot = self.slots.get_mut(index as usize)?;
        Some((RelayId { slot: index, generation: slot.generation }, slot.allocation.as_deref_mut()?))
    }

    pub(super) fn get(&self, id: RelayId) -> Option<&Allocation<L>> {
        self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?.allocation.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: RelayId) -> Option<&mut Allocation<L>> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        slot.allocation.as_deref_mut()
    }

    /// The id that a slot has now.
    pub(super) fn at(&self, slot: u32) -> Option<RelayId> {
        let found = self.slots.get(slot as usize)?;
        found.allocation.as_ref()?;
        Some(RelayId { slot, generation: found.generation })
    }

    /// Takes in an allocation whose 5-tuple is free. None when the table is full.
    pub(super) fn insert(&mut self, allocation: Allocation<L>) -> Option<RelayId> {
        if self.is_full() {
            return None;
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot { generation: self.first_generation, allocation: None });
                index
            }
        };
        let slot = self.slots.get_mut(index as usize)?;
        self.by_five_tuple.insert(FiveTuple::of(&allocation.path), index);
        slot.allocation = Some(Box::new(allocation));
        Some(RelayId { slot: index, generation: slot.generation })
    }

    pub(super) fn remove(&mut self, id: RelayId) -> Option<Box<Allocation<L>>> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let allocation = slot.allocation.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        self.by_five_tuple.remove(&FiveTuple::of(&allocation.path));
        self.give_back();
        Some(allocation)
    }

    /// After a crowd has left, its memory goes back: what is kept is at most four times what is used.
    fn give_back(&mut self) {
        const KEEP: usize = 1024;
        if self.by_five_tuple.capacity() > KEEP && self.by_five_tuple.len() < self.by_five_tuple.capacity() / 4 {
            self.by_five_tuple.shrink_to(KEEP);
        }
        if self.by_five_tuple.is_empty() && self.slots.len() > KEEP {
            self.by_five_tuple.shrink_to(0);
            let latest = self.slots.iter().map(|slot| slot.generation).max().unwrap_or_default();
            self.first_generation = latest.wrapping_add(1);
            (self.slots, self.free) = (Vec::new(), Vec::new());
        }
    }

    /// The ids of all.
    pub(super) fn ids(&self) -> Vec<RelayId> {
        (0..).take(self.slots.len()).filter_map(|slot| self.at(slot)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::addr::{ClientAddr, ListenerId, ServerAddr, Transport};
    use crate::relay::seam::UserId;
    use crate::wire::integrity::PasswordAlgorithm;

    fn path(client: u32) -> Path {
        Path {
            client: ClientAddr((client.to_be_bytes(), 5000).into()),
            server: ServerAddr(([192, 0, 2, 9], 3478).into()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        }
    }

    fn allocation(client: u32) -> Allocation<()> {
        let user = UserId("alice".into());
        Allocation {
            uuid: AllocationUuid([0; 16]),
            path: path(client),
            who: Identity { user, key_id: None, expires_unix: None, max_allocations: None },
            username: Box::default(),
            key: LongTermKey::derive(PasswordAlgorithm::Md5, b"", b"", b""),
            transaction_id: TransactionId([0; 12]),
            stage: Stage::Opening { answer: PendingAnswer { fingerprint: false, sha256: false } },
            refused_family: None,
            lifetime: Duration::ZERO,
            opened: Now::default(),
            permissions: Permissions::default(),
            channels: Channels::default(),
            totals: Totals::default(),
            refresh_recorded_from: Instant::default(),
            suspended: false,
            lease: (),
        }
    }

    #[test]
    fn an_id_names_one_allocation_and_none_after_it() {
        let mut table = Table::new(1);
        let first = table.insert(allocation(1)).unwrap();
        assert_eq!(table.find(&path(1)), Some(first));
        assert!(table.remove(first).is_some_and(|removed| removed.path == path(1)));
        let second = table.insert(allocation(2)).unwrap();
        assert_eq!((second.slot, second.generation), (first.slot, first.generation + 1));
        assert!(table.get(first).is_none() && table.get_mut(first).is_none() && table.remove(first).is_none());
        assert_eq!((table.find(&path(1)), table.at(first.slot), table.len()), (None, Some(second), 1));
        assert!(table.by_path(&path(2)).is_some_and(|(id, found)| id == second && found.path == path(2)));
    }

    #[test]
    fn a_crowd_that_has_left_holds_no_memory() {
        let mut table = Table::new(1);
        let ids: Vec<_> = (0..20_000).map(|client| table.insert(allocation(client)).unwrap()).collect();
        let crowded = table.by_five_tuple.capacity();
        for id in &ids[10..] {
            table.remove(*id);
        }
        assert!(crowded >= 20_000 && table.by_five_tuple.capacity() < 4_000, "{}", table.by_five_tuple.capacity());
        assert_eq!(table.ids(), ids[..10]);
        assert!((0..10).all(|client| table.find(&path(client)) == Some(ids[client as usize])));
    }

    #[test]
    fn before_it_is_open_an_allocation_is_nowhere_and_relays_nothing() {
        let allocation = allocation(1);
        assert_eq!((allocation.relayed(Instant::default()), allocation.family()), (None, None));
        assert_eq!(allocation.record(), None);
    }
}
