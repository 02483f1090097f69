//! Time as an argument.

use std::time::Duration;

/// A point on a monotonic clock, in nanoseconds since an epoch that only the engine knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    nanos: u64,
}

impl Instant {
    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.nanos
    }

    /// Whole seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.nanos / 1_000_000_000
    }

    /// The point `duration` later, or the end of time (five centuries on).
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self { nanos: self.nanos.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)) }
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

/// What the engine reads once a batch: the monotonic clock that every timer runs on, and the wall clock that
/// credentials, nonces and the audit trail need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic.
    pub instant: Instant,
    /// Wall clock, in milliseconds since 1970-01-01T00:00:00Z.
    pub unix_millis: u64,
}

impl Now {
    /// Wall clock, in whole seconds since 1970-01-01T00:00:00Z.
    pub const fn unix_secs(self) -> u64 {
        self.unix_millis / 1000
    }
}
