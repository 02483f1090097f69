//! What a load costs, its server and its load tester: from its beginning to its end, and what came in after that.

use super::host;
use super::measure::Times;
use super::result::KernelCounters;
use super::server::{Sample, Used};

/// Later than this at p99, the load tester is what is measured.
pub(super) const LATE_US: f64 = 1000.0;

/// What was used up to a moment, by all that are watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Mark {
    pub(super) at_ns: u64,
    pub(super) server: Sample,
    pub(super) own_cpu_ns: u64,
    pub(super) drops: u64,
    pub(super) kernel: KernelCounters,
}

/// Marks of a load. Shares are of the time in which it was sent: what is waited for afterwards is no time in which
/// anybody had something to do.
#[derive(Debug)]
pub(super) struct Meter {
    begun: Mark,
    /// When the load had ended.
    ended: Option<Mark>,
    idle_ns: u64,
}

/// What a load cost, and whether the load tester kept up.
pub(super) struct Usage {
    pub(super) lateness: Times,
    /// From the beginning to the end of the load, as are the shares of `server`, `own_cpu_ns` and `idle_s`.
    pub(super) wall_s: f64,
    pub(super) server: Option<Used>,
    /// Until all had come in: what the packets cost.
    pub(super) server_cpu_ns: Option<u64>,
    pub(super) own_cpu_ns: u64,
    pub(super) idle_s: f64,
    pub(super) drops: u64,
    pub(super) strays: u64,
    /// Packets, requests, or cycles that were due and that the load tester had not got to at the end.
    pub(super) behind: u64,
    /// Whether it watched its sockets without sleeping.
    pub(super) polled_busily: bool,
    pub(super) kernel: KernelCounters,
    /// What else is to be minded, a sentence each.
    pub(super) remarks: Vec<String>,
}

impl Meter {
    pub(super) fn new(begun: Mark) -> Self {
        Self { begun, ended: None, idle_ns: 0 }
    }

    /// There was nothing to do for so long.
    pub(super) fn idle(&mut self, nanos: u64) {
        if self.ended.is_none() {
            self.idle_ns += nanos;
        }
    }

    /// The load has ended; the first call counts.
    pub(super) fn end(&mut self, mark: impl FnOnce() -> Mark) {
        self.ended.get_or_insert_with(mark);
    }

    /// All has come in that will. `watches`: there is a server whose use is known.
    pub(super) fn usage(self, settled: &Mark, watches: bool) -> Usage {
        let Self { begun, ended, idle_ns } = self;
        let ended = ended.as_ref().unwrap_or(settled);
        Usage {
            lateness: Times::new(),
            wall_s: ended.at_ns.saturating_sub(begun.at_ns) as f64 / 1e9,
            server: watches.then(|| begun.server.until(&ended.server)),
            server_cpu_ns: watches.then(|| begun.server.until(&settled.server).cpu_ns),
            own_cpu_ns: ended.own_cpu_ns.saturating_sub(begun.own_cpu_ns),
            idle_s: idle_ns as f64 / 1e9,
            drops: settled.drops.saturating_sub(begun.drops),
            strays: 0,
            behind: 0,
            polled_busily: false,
            kernel: host::between(&begun.kernel, &settled.kernel),
            remarks: Vec::new(),
        }
    }
}

impl Usage {
    /// The share of the load's time in which the load tester had something to do.
    pub(super) fn busy_share(&self) -> f64 {
        (1.0 - self.idle_s / self.wall_s.max(1e-9)).clamp(0.0, 1.0)
    }

    /// The load tester's CPU time over the load's time.
    pub(super) fn own_cpu_share(&self) -> f64 {
        self.own_cpu_ns as f64 / 1e9 / self.wall_s.max(1e-9)
    }

    /// The server's CPU time for one of `count` packets, requests or cycles, in nanoseconds.
    pub(super) fn server_cpu_ns_per(&self, count: u64) -> Option<f64> {
        self.server_cpu_ns.filter(|_| count > 0).map(|cpu| (cpu as f64 / count as f64).round())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(at_ms: u64, own_ms: u64, drops: u64) -> Mark {
        Mark { at_ns: at_ms * 1_000_000, own_cpu_ns: own_ms * 1_000_000, drops, ..Mark::default() }
    }

    /// A second of load, of which 250 ms were idle, and a second in which nothing came any more.
    #[test]
    fn what_is_waited_for_afterwards_is_no_time_of_the_load() {
        let mut meter = Meter::new(mark(1000, 50, 3));
        meter.idle(250_000_000);
        meter.end(|| mark(2000, 550, 4));
        meter.idle(900_000_000);
        meter.end(|| mark(2900, 560, 5));
        let usage = meter.usage(&mark(3000, 570, 9), false);
        assert!((usage.wall_s - 1.0).abs() < 1e-9 && (usage.busy_share() - 0.75).abs() < 1e-9);
        assert!((usage.own_cpu_share() - 0.5).abs() < 1e-9);
        assert_eq!(usage.drops, 6, "a drop may come late");
        assert!(usage.server.is_none() && usage.server_cpu_ns_per(7).is_none());
    }
}
