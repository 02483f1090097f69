//! How often a user may begin an allocation. A freed port rests before another client gets it, so somebody who made and
//! gave back allocations without end would empty the range of relayed ports with hardly one of his own standing.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::relay::Instant;
use crate::relay::reason::RuleId;
use crate::relay::seam::{Refusal, UserId};

/// The id of the rule that refuses an allocation too soon.
pub const RULE: &str = "limit.allocation_rate_per_user";

/// What the rule means.
pub const SENTENCE: &str = "The user has begun as many allocations of late as one user may.";

/// Spends each user's share of beginnings. Clones share what is spent; a new configuration keeps them.
#[derive(Clone)]
pub struct AllocationRate {
    limiter: Arc<Limiter>,
    hand: Hand,
}

type Limiter = RateLimiter<UserId, DashMapStateStore<UserId>, Hand, NoOpMiddleware<Nanos>>;

impl AllocationRate {
    /// `per_minute` beginnings in the long run, and `at_once` after a pause.
    pub fn new(per_minute: NonZeroU32, at_once: NonZeroU32) -> Self {
        let hand = Hand::default();
        let quota = Quota::per_minute(per_minute).allow_burst(at_once);
        Self { limiter: Arc::new(RateLimiter::new(quota, DashMapStateStore::default(), hand.clone())), hand }
    }

    /// One more for `user`.
    ///
    /// # Errors
    /// It comes too soon.
    pub fn spend(&self, now: Instant, user: &UserId) -> Result<(), Refusal> {
        self.hand.turn_to(now);
        self.limiter.check_key(user).map_err(|_| Refusal { rule: RuleId(RULE.into()) })
    }

    /// Forgets the users whose whole share is there again, which is what an unknown user has. Without it there would be
    /// an entry for each user that ever was; it goes through all of them, so it is not for the packet thread.
    pub fn forget_rested(&self, now: Instant) {
        self.hand.turn_to(now);
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }

    /// How many users are remembered.
    pub fn users(&self) -> usize {
        self.limiter.len()
    }
}

/// The clock that the limiter reads: the latest time that a worker told. Workers read theirs apart, by microseconds.
#[derive(Clone, Debug, Default)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn turn_to(&self, now: Instant) {
        self.0.fetch_max(now.as_nanos(), Ordering::Relaxed);
    }
}

impl Clock for Hand {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rate(per_minute: u32, at_once: u32) -> AllocationRate {
        AllocationRate::new(NonZeroU32::new(per_minute).unwrap(), NonZeroU32::new(at_once).unwrap())
    }

    fn user(name: &str) -> UserId {
        UserId(name.into())
    }

    /// How many of `tries` succeed at `seconds`.
    fn granted(rate: &AllocationRate, seconds: u64, name: &str, tries: usize) -> usize {
        let now = Instant::default().after(Duration::from_secs(seconds));
        (0..tries).filter(|_| rate.spend(now, &user(name)).is_ok()).count()
    }

    #[test]
    fn a_share_at_once_and_then_at_the_rate_each_user_for_himself() {
        let rate = rate(60, 24);
        assert_eq!(granted(&rate, 100, "alice", 1000), 24);
        assert_eq!(granted(&rate, 101, "alice", 1000), 1);
        assert_eq!(granted(&rate, 101, "bob", 10), 10);
        assert_eq!(granted(&rate, 111, "alice", 1000), 10);
        assert_eq!(granted(&rate, 10_000, "alice", 1000), 24);
        let refusal = rate.spend(Instant::default(), &user("alice")).unwrap_err();
        assert_eq!(refusal.rule.to_string(), RULE, "a worker whose clock is behind wins nothing");
    }

    #[test]
    fn who_has_rested_is_forgotten_and_no_richer_for_it() {
        let rate = rate(60, 24);
        for name in 0..1000 {
            assert_eq!(granted(&rate, 100, &name.to_string(), 1), 1);
        }
        assert_eq!(granted(&rate, 100, "alice", 100), 24);
        rate.forget_rested(Instant::default().after(Duration::from_secs(110)));
        assert_eq!(rate.users(), 1);
        assert_eq!(granted(&rate, 110, "alice", 100), 10);
        assert_eq!(granted(&rate, 110, "7", 100), 24);
    }
}
