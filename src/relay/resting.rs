//! Freed 5-tuples: for as long as a client may retransmit, an old Allocate must not make a second allocation, and
//! nobody else gets the 5-tuple (D-09 of docs/conformance.md).

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::addr::Path;
use super::clock::Instant;
use super::five_tuple::FiveTuple;
use super::limits::{FIVE_TUPLE_REST, MAX_RESTING_FIVE_TUPLES};
use super::seam::UserId;
use crate::wire::header::TransactionId;

/// The freed 5-tuples of the last seconds. A crowd that leaves makes as many of them as it had allocations, so they are
/// small, and hold nothing of an allocation that would keep the memory around it: names are remembered by keyed
/// digests. What comes of two that have the same one is an Allocate judged by another one's past.
pub(super) struct Resting {
    /// Oldest first, numbered.
    rests: VecDeque<Rest>,
    /// The number of the oldest.
    first: u32,
    /// The number of each 5-tuple's latest.
    latest: HashTable<u32>,
    key: FixedState,
}

struct Rest {
    until: Instant,
    five_tuple: u64,
    /// The 5-tuple and the Allocate that was answered there.
    allocate: u64,
    user: u32,
    /// The number of the one before on this 5-tuple, where a client came and went within the rest; else its own.
    before: u32,
}

const _: () = assert!(size_of::<Rest>() <= 32, "there may be one for each allocation");

/// How an Allocate stands to the 5-tuple that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It may have it.
    Free,
    /// It made an allocation that is gone, and comes again.
    Repeated,
    /// Another user had it a moment ago.
    OtherUser,
}

impl Resting {
    pub(super) fn new(seed: u64) -> Self {
        Self { rests: VecDeque::new(), first: 0, latest: HashTable::new(), key: FixedState::with_seed(seed) }
    }

    /// Lays the 5-tuple of a closed allocation to rest. `transaction_id` is its Allocate's.
    pub(super) fn add(&mut self, now: Instant, path: &Path, user: &UserId, transaction_id: TransactionId) {
        self.forget(now);
        let (five_tuple, allocate) = self.digests(path, transaction_id);
        let number = self.first.wrapping_add(u32::try_from(self.rests.len()).unwrap_or(u32::MAX));
        let before = self.latest_of(five_tuple).unwrap_or(number);
        let user = self.digest_of_user(user);
        self.rests.push_back(Rest { until: now.after(FIVE_TUPLE_REST), five_tuple, allocate, user, before });
        let Self { rests, first, latest, .. } = self;
        match latest.find_mut(five_tuple, |other| *other == before) {
            Some(latest) => *latest = number,
            None => {
                let digest = |number: &u32| at(rests, *first, *number).map_or(0, |rest| rest.five_tuple);
                latest.insert_unique(five_tuple, number, digest);
            }
        }
    }

    /// Whether an Allocate may have the 5-tuple: a new one may, if it is of the user who had it last.
    pub(super) fn claim(&mut self, now: Instant, path: &Path, user: &UserId, transaction_id: TransactionId) -> Claim {
        self.forget(now);
        let (five_tuple, allocate) = self.digests(path, transaction_id);
        let Some(mut number) = self.latest_of(five_tuple) else { return Claim::Free };
        match self.at(number) {
            Some(rest) if rest.until > now && rest.user != self.digest_of_user(user) => return Claim::OtherUser,
            Some(rest) if rest.until > now => {}
            _ => return Claim::Free,
        }
        // No longer than the user's share of allocations within the rest.
        while let Some(rest) = self.at(number) {
            if rest.allocate == allocate {
                return Claim::Repeated;
            }
            if rest.before == number {
                break;
            }
            number = rest.before;
        }
        Claim::Free
    }

    /// Drops what has rested, and the oldest beyond the cap.
    fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.rests.front() {
            if oldest.until > now && self.rests.len() < MAX_RESTING_FIVE_TUPLES {
                return;
            }
            // A 5-tuple that was freed again meanwhile has a later one.
            if let Ok(latest) = self.latest.find_entry(oldest.five_tuple, |number| *number == self.first) {
                latest.remove();
            }
            self.rests.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        self.rests.shrink_to(64);
        let Self { rests, first, latest, .. } = self;
        latest.shrink_to(64, |number| at(rests, *first, *number).map_or(0, |rest| rest.five_tuple));
    }

    fn latest_of(&self, five_tuple: u64) -> Option<u32> {
        let is_it = |number: &u32| self.at(*number).is_some_and(|rest| rest.five_tuple == five_tuple);
        self.latest.find(five_tuple, is_it).copied()
    }

    fn at(&self, number: u32) -> Option<&Rest> {
        at(&self.rests, self.first, number)
    }

    fn digests(&self, path: &Path, transaction_id: TransactionId) -> (u64, u64) {
        let five_tuple = FiveTuple::of(path);
        (self.key.hash_one(five_tuple), self.key.hash_one((five_tuple, transaction_id)))
    }

    fn digest_of_user(&self, user: &UserId) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "half of a digest is one")]
        let digest = self.key.hash_one(user) as u32;
        digest
    }
}

/// The rest with this number, if it is not forgotten; numbers go round.
fn at(rests: &VecDeque<Rest>, first: u32, number: u32) -> Option<&Rest> {
    rests.get(usize::try_from(number.wrapping_sub(first)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::addr::{ClientAddr, ListenerId, ServerAddr, Transport};

    fn path(client: usize) -> Path {
        let client = u32::try_from(client).unwrap().to_be_bytes();
        Path {
            client: ClientAddr((client, 5000).into()),
            server: ServerAddr(([192, 0, 2, 9], 3478).into()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        }
    }

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    const OLD: TransactionId = TransactionId([1; 12]);
    const NEW: TransactionId = TransactionId([2; 12]);

    #[test]
    fn for_40_seconds_only_the_same_user_with_a_new_request() {
        let (mut resting, alice, bob) = (Resting::new(1), UserId("alice".into()), UserId("bob".into()));
        resting.add(at(0), &path(1), &alice, OLD);
        assert_eq!(resting.claim(at(39), &path(1), &alice, OLD), Claim::Repeated);
        assert_eq!(resting.claim(at(39), &path(1), &bob, NEW), Claim::OtherUser);
        assert_eq!(resting.claim(at(39), &path(1), &alice, NEW), Claim::Free);
        assert_eq!(resting.claim(at(39), &path(2), &bob, NEW), Claim::Free);
        assert_eq!(resting.claim(at(40), &path(1), &bob, NEW), Claim::Free);
        assert!(resting.rests.is_empty() && resting.latest.is_empty());
    }

    #[test]
    fn freed_twice_it_rests_from_the_second_time() {
        let (mut resting, alice, bob) = (Resting::new(1), UserId("alice".into()), UserId("bob".into()));
        resting.add(at(0), &path(1), &alice, OLD);
        resting.add(at(30), &path(1), &alice, NEW);
        let again = resting.claim(at(39), &path(1), &UserId("alice".into()), OLD);
        assert_eq!(again, Claim::Repeated, "nor is the first Allocate forgotten");
        assert_eq!(resting.claim(at(69), &path(1), &bob, OLD), Claim::OtherUser);
        assert_eq!(resting.claim(at(70), &path(1), &bob, OLD), Claim::Free);
    }

    #[test]
    fn is_bounded() {
        let (mut resting, alice) = (Resting::new(1), UserId("alice".into()));
        for client in 0..MAX_RESTING_FIVE_TUPLES + 10 {
            resting.add(at(0), &path(client), &alice, OLD);
        }
        assert_eq!(resting.rests.len(), MAX_RESTING_FIVE_TUPLES);
        assert_eq!(resting.latest.len(), MAX_RESTING_FIVE_TUPLES);
        assert_eq!(resting.claim(at(1), &path(9), &alice, OLD), Claim::Free, "the oldest are forgotten first");
        assert_eq!(resting.claim(at(1), &path(11), &alice, OLD), Claim::Repeated);
    }
}
