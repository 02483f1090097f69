//! The table of all allocations of one worker.

use std::hint::black_box;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::addr::Path;
use super::allocation::Allocation;
use super::command::RelayId;
use super::five_tuple::FiveTuple;
use super::limits::MAX_ALLOCATIONS;

/// All allocations of one worker, found by 5-tuple (what clients send) and by relay socket (what peers send).
pub(super) struct Table<L> {
    slots: Vec<Slot<L>>,
    free: Vec<u32>,
    by_five_tuple: HashMap<FiveTuple, u32, FixedState>,
    /// Of slots that are made from now on: later than any that a slot given back has had.
    first_generation: u32,
}

/// The place of an allocation, which is also that of its first relay socket, or of the second socket of one.
struct Slot<L> {
    generation: u32,
    /// Where the allocation is whose second socket has this place; [`NOWHERE`] for all others.
    owner: u32,
    allocation: Option<Box<Allocation<L>>>,
}

const NOWHERE: u32 = u32::MAX;
const _: () = assert!(size_of::<Slot<()>>() == 16 && MAX_ALLOCATIONS < NOWHERE);

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

    /// Every place is taken.
    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() >= MAX_ALLOCATIONS as usize
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

    /// The allocation that `id` names, as itself or as its second socket.
    pub(super) fn get(&self, id: RelayId) -> Option<&Allocation<L>> {
        self.slots.get(self.place_of(id)?)?.allocation.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: RelayId) -> Option<&mut Allocation<L>> {
        let place = self.place_of(id)?;
        self.slots.get_mut(place)?.allocation.as_deref_mut()
    }

    /// The id of the allocation that `id` names.
    pub(super) fn owner_of(&self, id: RelayId) -> Option<RelayId> {
        self.at(u32::try_from(self.place_of(id)?).ok()?)
    }

    #[inline]
    fn place_of(&self, id: RelayId) -> Option<usize> {
        let slot = self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        Some(if slot.allocation.is_some() { id.slot } else { slot.owner } as usize)
    }

    /// The id that a slot has now.
    pub(super) fn at(&self, slot: u32) -> Option<RelayId> {
        let found = self.slots.get(slot as usize)?;
        found.allocation.as_ref()?;
        Some(RelayId { slot, generation: found.generation })
    }

    /// Takes in an allocation whose 5-tuple is free. None when the table is full.
    pub(super) fn insert(&mut self, allocation: Allocation<L>) -> Option<RelayId> {
        let index = self.take_place()?;
        let slot = self.slots.get_mut(index as usize)?;
        self.by_five_tuple.insert(FiveTuple::of(&allocation.path), index);
        slot.allocation = Some(Box::new(allocation));
        Some(RelayId { slot: index, generation: slot.generation })
    }

    /// A name for the second socket of the allocation `owner`. None when the table is full.
    pub(super) fn insert_second(&mut self, owner: RelayId) -> Option<RelayId> {
        let index = self.take_place()?;
        let slot = self.slots.get_mut(index as usize)?;
        slot.owner = owner.slot;
        Some(RelayId { slot: index, generation: slot.generation })
    }

    /// The second socket of an allocation is gone, or going: its name means nothing any more.
    pub(super) fn remove_second(&mut self, id: RelayId) {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation);
        if let Some(slot) = slot.filter(|slot| slot.owner != NOWHERE) {
            slot.owner = NOWHERE;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(id.slot);
        }
    }

    fn take_place(&mut self) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        let index = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot { generation: self.first_generation, owner: NOWHERE, allocation: None });
        Some(index)
    }

    pub(super) fn remove(&mut self, id: RelayId) -> Option<Box<Allocation<L>>> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let allocation = slot.allocation.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        if let Some(second) = &allocation.second {
            self.remove_second(second.relay);
        }
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
    use crate::relay::allocation::Second;
    use crate::relay::allocation::tests::{of_client, path};
    use crate::relay::clock::Instant;

    #[test]
    fn an_id_names_one_allocation_and_none_after_it() {
        let mut table = Table::new(1);
        let first = table.insert(of_client(1)).unwrap();
        assert_eq!(table.find(&path(1)), Some(first));
        assert!(table.remove(first).is_some_and(|removed| removed.path == path(1)));
        let second = table.insert(of_client(2)).unwrap();
        assert_eq!((second.slot, second.generation), (first.slot, first.generation + 1));
        assert!(table.get(first).is_none() && table.get_mut(first).is_none() && table.remove(first).is_none());
        assert_eq!((table.find(&path(1)), table.at(first.slot), table.len()), (None, Some(second), 1));
        assert!(table.by_path(&path(2)).is_some_and(|(id, found)| id == second && found.path == path(2)));
    }

    #[test]
    fn a_crowd_that_has_left_holds_no_memory() {
        let mut table = Table::new(1);
        let ids: Vec<_> = (0..20_000).map(|client| table.insert(of_client(client)).unwrap()).collect();
        let crowded = table.by_five_tuple.capacity();
        for id in &ids[10..] {
            table.remove(*id);
        }
        assert!(crowded >= 20_000 && table.by_five_tuple.capacity() < 4_000, "{}", table.by_five_tuple.capacity());
        assert_eq!(table.ids(), ids[..10]);
        assert!((0..10).all(|client| table.find(&path(client)) == Some(ids[client as usize])));
    }

    #[test]
    fn the_second_socket_leads_to_its_allocation_until_either_is_gone() {
        let mut table = Table::new(1);
        let own = table.insert(of_client(1)).unwrap();
        let name = |table: &mut Table<()>| {
            let relay = table.insert_second(own).unwrap();
            let second = Second { relay, relayed: None, expires: Instant::default() };
            table.get_mut(own).unwrap().second = Some(Box::new(second));
            relay
        };
        let first_time = name(&mut table);
        assert_eq!((table.owner_of(first_time), table.owner_of(own)), (Some(own), Some(own)));
        assert_eq!(table.get_mut(first_time).map(|found| found.path), Some(path(1)));
        assert_eq!((table.len(), table.ids(), table.at(first_time.slot)), (1, vec![own], None));
        table.remove_second(first_time);
        assert!(table.get(first_time).is_none() && table.get(own).is_some());
        let again = name(&mut table);
        assert_eq!((again.slot, again.generation), (first_time.slot, first_time.generation + 1));
        assert!(table.remove(own).is_some() && table.get(again).is_none());
        table.remove_second(again);
        assert_eq!(table.free.len(), 2, "each place is free once");
    }
}
