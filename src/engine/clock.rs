//! The clocks, read in one place.
#![forbid(unsafe_code)]

use std::time::{SystemTime, UNIX_EPOCH};

use crate::relay::{Instant, Now};

/// The monotonic clock and the wall clock. Copies have one epoch: whatever compares its times must share one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: std::time::Instant,
}

impl Clock {
    /// Its epoch is now.
    pub fn start() -> Self {
        Self { epoch: std::time::Instant::now() }
    }

    /// Both clocks. A wall clock before 1970 reads as 1970.
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { instant: self.instant(), unix_millis: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) }
    }

    /// The monotonic one.
    pub fn instant(&self) -> Instant {
        Instant::default().after(self.epoch.elapsed())
    }
}
