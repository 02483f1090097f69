//! What a run says of itself, and its time.

use std::net::SocketAddr;
use std::time::Instant;

use crate::load::result::Second;
use crate::load::schedule::nanos;

/// What a watcher is told while the test runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// `setup`, `warm-up`, `traffic`, `churn`, `flood`, `free`.
    pub phase: &'static str,
    /// Seconds of it so far.
    pub elapsed_s: f64,
    /// Seconds that it will take, where that is known.
    pub length_s: Option<f64>,
    /// What shall be sent, in packets/s.
    pub rate_per_s: f64,
    /// How the clients stand, while they set up.
    pub clients: Option<Standing>,
    /// Clients that began, cycles that were completed, answers that came: whatever the phase makes.
    pub done: u64,
    /// The second that has just ended; of what was sent in it some may be on its way.
    pub second: Option<Second>,
    /// The one before it, whose packets have arrived or never will.
    pub settled: Option<Second>,
}

/// How the clients stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The server that is to answer.
    pub target: SocketAddr,
    /// All clients that there shall be.
    pub wanted: u64,
    /// Those that have begun.
    pub begun: u64,
    /// Those whose first request was answered, however.
    pub answered: u64,
}

/// The run's time: nanoseconds since it began.
#[derive(Clone, Copy, Debug)]
pub(in crate::load) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(in crate::load) fn now(&self) -> u64 {
        nanos(self.0.elapsed())
    }
}
