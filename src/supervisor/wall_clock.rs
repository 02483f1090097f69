//! Notices when the wall clock jumps: credentials end by it, and the audit trail tells it.

use tracing::warn;

use crate::relay::Now;

/// A smaller step is one that time daemons make at a start, and harms no credential.
const LEAST_STEP_MILLIS: i64 = 2000;

/// The wall clock, held against the monotonic one.
pub(super) struct WallClock {
    /// What the one shows more than the other, in milliseconds.
    ahead: i64,
}

impl WallClock {
    pub(super) fn new(now: Now) -> Self {
        Self { ahead: ahead(now) }
    }

    /// How far it has jumped since it was last looked at, in milliseconds, and not by drifting: negative is back, 0 not
    /// at all. The log is told.
    pub(super) fn step(&mut self, now: Now) -> i64 {
        let before = std::mem::replace(&mut self.ahead, ahead(now));
        let step = self.ahead.saturating_sub(before);
        if step.saturating_abs() < LEAST_STEP_MILLIS {
            return 0;
        }
        warn!(
            milliseconds = step,
            "the wall clock of this host has jumped: credentials end by it, so it should be set by NTP and agree with \
             the issuer's"
        );
        step
    }
}

fn ahead(now: Now) -> i64 {
    let wall = i64::try_from(now.unix_millis).unwrap_or(i64::MAX);
    let monotonic = i64::try_from(now.instant.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
    wall.saturating_sub(monotonic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Instant;

    #[test]
    fn a_jump_is_told_once_and_a_drift_never() {
        let mut wall = 1_795_285_900_000;
        let mut now = |second: u64, jump: i64| {
            wall = u64::saturating_add_signed(wall, 1000 + jump);
            Now { instant: Instant::from_nanos(second * 1_000_000_000), unix_millis: wall }
        };
        let mut clock = WallClock::new(now(0, 0));
        // A time daemon slews, by up to 100 ms a second at the fastest.
        assert!((1..100).all(|second| clock.step(now(second, 100)) == 0));
        assert_eq!(clock.step(now(100, 3_600_000)), 3_600_000);
        assert_eq!(clock.step(now(101, 0)), 0);
        assert_eq!(clock.step(now(102, -7000)), -7000);
        assert_eq!(clock.step(now(103, 0)), 0);
    }
}
