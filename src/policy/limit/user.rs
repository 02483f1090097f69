//! Allocations per user, across all workers and all of a user's credentials.

use std::fmt;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::relay::reason::RuleId;
use crate::relay::seam::{Refusal, UserId};

/// The id of the rule that refuses an allocation too many.
pub const RULE: &str = "limit.allocations_per_user";

/// What the rule means.
pub const SENTENCE: &str = "The user has as many allocations as one user, or this credential, may have.";

/// Counts the allocations that stand. Clones share the counts; a new configuration keeps them. Users without an
/// allocation take no room, so there are never more entries than allocations.
#[derive(Clone, Default)]
pub struct AllocationsByUser {
    // Owned values only leave this module: a guard that is held across another call can deadlock.
    counts: Arc<DashMap<UserId, u32>>,
}

impl AllocationsByUser {
    /// One more allocation for `user`, who may have `most`.
    ///
    /// # Errors
    /// There are as many already.
    pub fn lease(&self, user: &UserId, most: u32) -> Result<Lease, Refusal> {
        let refusal = || Refusal { rule: RuleId(RULE.into()) };
        match self.counts.entry(user.clone()) {
            Entry::Occupied(mut entry) if *entry.get() < most => {
                let count = entry.get_mut();
                *count = count.saturating_add(1);
            }
            Entry::Vacant(entry) if most > 0 => drop(entry.insert(1)),
            Entry::Occupied(_) | Entry::Vacant(_) => return Err(refusal()),
        }
        Ok(Lease { counts: Arc::clone(&self.counts), user: user.clone() })
    }

    /// How many allocations `user` has.
    pub fn of(&self, user: &UserId) -> u32 {
        self.counts.get(user).map_or(0, |count| *count)
    }

    /// How many users have one.
    pub fn users(&self) -> usize {
        self.counts.len()
    }
}

/// An allocation's share; dropping it gives it back.
#[must_use]
pub struct Lease {
    counts: Arc<DashMap<UserId, u32>>,
    user: UserId,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.counts.entry(self.user.clone()) {
            match entry.get().saturating_sub(1) {
                0 => drop(entry.remove()),
                left => *entry.get_mut() = left,
            }
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.user).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn user(name: &str) -> UserId {
        UserId(name.into())
    }

    #[test]
    fn a_055_the_limit_holds_and_what_is_given_back_is_free() {
        let allocations = AllocationsByUser::default();
        let mut leases: Vec<_> = (0..4).map(|_| allocations.lease(&user("alice"), 4).unwrap()).collect();
        let refusal = allocations.lease(&user("alice"), 4).unwrap_err();
        assert_eq!(refusal.rule.to_string(), "limit.allocations_per_user");
        assert!(allocations.lease(&user("bob"), 4).is_ok());
        leases.pop();
        leases.push(allocations.lease(&user("alice"), 4).unwrap());
        assert_eq!(allocations.of(&user("alice")), 4);
        drop(leases);
        assert_eq!(allocations.users(), 0);
    }

    #[test]
    fn a_limit_of_nothing_leaves_no_entry_behind() {
        let allocations = AllocationsByUser::default();
        assert!(allocations.lease(&user("alice"), 0).is_err());
        assert_eq!(allocations.users(), 0);
    }

    #[test]
    fn a_clone_shares_the_counts_and_a_lease_outlives_it() {
        let allocations = AllocationsByUser::default();
        let lease = allocations.clone().lease(&user("alice"), 1).unwrap();
        assert!(allocations.lease(&user("alice"), 1).is_err());
        drop(lease);
        assert!(allocations.lease(&user("alice"), 1).is_ok());
    }

    /// Eight threads take and give back at random; a second count, kept apart, never passes the limit.
    #[test]
    fn a_056_never_over_the_limit_and_nothing_leaks_under_contention() {
        const MOST: u32 = 5;
        let allocations = AllocationsByUser::default();
        let held: [AtomicU32; 3] = Default::default();
        let refused = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8_u32 {
                let (allocations, held, refused) = (&allocations, &held, &refused);
                scope.spawn(move || {
                    let mut leases = Vec::new();
                    let mut state = thread.wrapping_add(1);
                    for _ in 0..4000 {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let who = (state >> 16) as usize % held.len();
                        if state >> 31 == 0 {
                            match allocations.lease(&user(&who.to_string()), MOST) {
                                Ok(lease) => {
                                    assert!(held[who].fetch_add(1, Ordering::SeqCst) < MOST);
                                    leases.push((who, lease));
                                }
                                Err(_) => drop(refused.fetch_add(1, Ordering::SeqCst)),
                            }
                        } else if let Some((who, lease)) = leases.pop() {
                            held[who].fetch_sub(1, Ordering::SeqCst);
                            drop(lease);
                        }
                    }
                    for (who, lease) in leases {
                        held[who].fetch_sub(1, Ordering::SeqCst);
                        drop(lease);
                    }
                });
            }
        });
        assert!(refused.load(Ordering::SeqCst) > 0, "the limit was never met");
        assert_eq!(allocations.users(), 0);
    }
}
