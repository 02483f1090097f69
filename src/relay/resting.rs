//! Freed 5-tuples: for as long as a client may retransmit, an old Allocate must not make a second allocation, and
//! nobody else gets the 5-tuple (D-09 of docs/conformance.md).

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::addr::Path;
use super::clock::Instant;
use super::five_tuple::FiveTuple;
use super::limits::{FIVE_TUPLE_REST, MAX_RESTING_FIVE_TUPLES};
use super::seam::UserId;
use crate::wire::header::TransactionId;

/// The freed 5-tuples of the last seconds, oldest first.
pub(super) struct Resting {
    entries: HashMap<FiveTuple, Rest, FixedState>,
    /// The Allocates that were answered there: several, where a client came and went within the rest.
    answered: HashSet<(FiveTuple, TransactionId), FixedState>,
    order: VecDeque<(Instant, FiveTuple, TransactionId)>,
}

struct Rest {
    until: Instant,
    user: UserId,
}

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
        let hasher = || FixedState::with_seed(seed);
        let (entries, answered) = (HashMap::with_hasher(hasher()), HashSet::with_hasher(hasher()));
        Self { entries, answered, order: VecDeque::new() }
    }

    /// Lays the 5-tuple of a closed allocation to rest. `transaction_id` is its Allocate's.
    pub(super) fn add(&mut self, now: Instant, path: &Path, user: UserId, transaction_id: TransactionId) {
        self.forget(now);
        let (until, key) = (now.after(FIVE_TUPLE_REST), FiveTuple::of(path));
        self.entries.insert(key, Rest { until, user });
        self.answered.insert((key, transaction_id));
        self.order.push_back((until, key, transaction_id));
    }

    /// Whether an Allocate may have the 5-tuple: a new one may, if it is of the user who had it last.
    pub(super) fn claim(&mut self, now: Instant, path: &Path, user: &UserId, transaction_id: TransactionId) -> Claim {
        self.forget(now);
        let key = FiveTuple::of(path);
        match self.entries.get(&key) {
            Some(rest) if rest.until <= now => Claim::Free,
            Some(rest) if rest.user != *user => Claim::OtherUser,
            Some(_) if self.answered.contains(&(key, transaction_id)) => Claim::Repeated,
            Some(_) | None => Claim::Free,
        }
    }

    /// Drops what has rested, and the oldest beyond the cap.
    fn forget(&mut self, now: Instant) {
        while let Some((until, key, transaction_id)) = self.order.front().copied() {
            if until > now && self.order.len() < MAX_RESTING_FIVE_TUPLES {
                return;
            }
            self.order.pop_front();
            self.answered.remove(&(key, transaction_id));
            // A 5-tuple that was freed again meanwhile has a later entry in the queue.
            if self.entries.get(&key).is_some_and(|rest| rest.until == until) {
                self.entries.remove(&key);
            }
        }
        self.entries.shrink_to(64);
        self.answered.shrink_to(64);
        self.order.shrink_to(64);
    }
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
        resting.add(at(0), &path(1), alice.clone(), OLD);
        assert_eq!(resting.claim(at(39), &path(1), &alice, OLD), Claim::Repeated);
        assert_eq!(resting.claim(at(39), &path(1), &bob, NEW), Claim::OtherUser);
        assert_eq!(resting.claim(at(39), &path(1), &alice, NEW), Claim::Free);
        assert_eq!(resting.claim(at(39), &path(2), &bob, NEW), Claim::Free);
        assert_eq!(resting.claim(at(40), &path(1), &bob, NEW), Claim::Free);
        assert!(resting.entries.is_empty() && resting.answered.is_empty() && resting.order.is_empty());
    }

    #[test]
    fn freed_twice_it_rests_from_the_second_time() {
        let (mut resting, alice, bob) = (Resting::new(1), UserId("alice".into()), UserId("bob".into()));
        resting.add(at(0), &path(1), alice.clone(), OLD);
        resting.add(at(30), &path(1), alice, NEW);
        let again = resting.claim(at(39), &path(1), &UserId("alice".into()), OLD);
        assert_eq!(again, Claim::Repeated, "nor is the first Allocate forgotten");
        assert_eq!(resting.claim(at(69), &path(1), &bob, OLD), Claim::OtherUser);
        assert_eq!(resting.claim(at(70), &path(1), &bob, OLD), Claim::Free);
    }

    #[test]
    fn is_bounded() {
        let (mut resting, alice) = (Resting::new(1), UserId("alice".into()));
        for client in 0..MAX_RESTING_FIVE_TUPLES + 10 {
            resting.add(at(0), &path(client), alice.clone(), OLD);
        }
        assert!(resting.entries.len() <= MAX_RESTING_FIVE_TUPLES);
        assert_eq!(resting.entries.len(), resting.order.len());
        assert_eq!(resting.answered.len(), resting.order.len());
    }
}
