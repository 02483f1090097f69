//! The search for the highest rate within limits: doubling until one fails, then halving the distance, then a longer
//! run that confirms it.

use super::result::Capacity;
use super::settings::Limits;

/// Where the search starts, in packets/s, unless a rate is given.
pub(super) const START: f64 = 10_000.0;
/// The search ends when the rates that pass and fail are so close, as a share of the lower.
const PRECISION: f64 = 0.03;
/// A confirmation that fails is tried again at so much of its rate.
const BACK_OFF: f64 = 0.92;
/// Up to so many times.
const CONFIRMATIONS: u32 = 8;
/// The rate above which nobody looks.
const HIGHEST: f64 = 1e7;

/// The state of a search.
#[derive(Debug)]
pub(super) struct Search {
    limits: Limits,
    passed: Option<f64>,
    failed: Option<f64>,
    next: f64,
    confirming: u32,
    confirmed: bool,
    generator_limited: bool,
}

/// What to try next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Probe {
    /// In packets/s.
    pub(super) rate_per_s: f64,
    /// It is the longer run at the end.
    pub(super) is_confirmation: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) loss: f64,
    pub(super) p99_us: f64,
    /// The load tester was too slow.
    pub(super) generator_limited: bool,
}

impl Search {
    pub(super) fn new(limits: Limits, start: f64) -> Self {
        let (confirming, confirmed, generator_limited) = (0, false, false);
        Self { limits, passed: None, failed: None, next: start, confirming, confirmed, generator_limited }
    }

    /// The next rate to try; none at the end.
    pub(super) fn next(&self) -> Option<Probe> {
        let is_over = self.confirmed || self.confirming > CONFIRMATIONS || self.next < 1.0;
        (!is_over).then_some(Probe { rate_per_s: self.next.round(), is_confirmation: self.confirming > 0 })
    }

    /// Takes the outcome of the rate that [`Search::next`] said; whether it passed.
    pub(super) fn judge(&mut self, outcome: Outcome) -> bool {
        let within = outcome.loss <= self.limits.max_loss && outcome.p99_us <= self.limits.max_p99.as_secs_f64() * 1e6;
        let passed = within && !outcome.generator_limited;
        let rate = self.next;
        if self.confirming > 0 {
            if passed {
                (self.passed, self.confirmed) = (Some(rate), true);
            } else {
                self.failed = Some(self.failed.map_or(rate, |failed| failed.min(rate)));
                self.passed = None;
                (self.next, self.confirming) = (rate * BACK_OFF, self.confirming + 1);
            }
            return passed;
        }
        if passed {
            self.passed = Some(rate);
        } else {
            self.failed = Some(rate);
            // Later failures are nearer to the border: theirs is the word.
            self.generator_limited = outcome.generator_limited;
        }
        self.narrow();
        passed
    }

    fn narrow(&mut self) {
        self.next = match (self.passed, self.failed) {
            (None, None) => self.next,
            (Some(passed), None) if passed >= HIGHEST => return self.confirming = 1,
            (Some(passed), None) => passed * 2.0,
            (None, Some(failed)) => failed / 2.0,
            (Some(passed), Some(failed)) if failed - passed <= passed * PRECISION => {
                self.confirming = 1;
                passed
            }
            (Some(passed), Some(failed)) => f64::midpoint(passed, failed),
        };
    }

    /// What was found.
    pub(super) fn capacity(&self) -> Capacity {
        Capacity {
            rate_per_s: self.passed.unwrap_or(0.0).round(),
            failed_rate_per_s: self.failed.map(f64::round),
            max_loss: self.limits.max_loss,
            max_p99_us: self.limits.max_p99.as_secs_f64() * 1e6,
            confirmed: self.confirmed,
            generator_limited: self.generator_limited,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMITS: Limits = Limits { max_loss: 0.001, max_p99: Duration::from_millis(10) };

    /// Searches on a server that passes below `short` in short probes and below `long` in confirmations.
    fn search(short: f64, long: f64) -> (Capacity, u32) {
        let mut search = Search::new(LIMITS, START);
        let mut probes = 0;
        while let Some(probe) = search.next() {
            let limit = if probe.is_confirmation { long } else { short };
            let loss = if probe.rate_per_s < limit { 0.0 } else { 0.01 };
            search.judge(Outcome { loss, p99_us: 100.0, generator_limited: false });
            probes += 1;
            assert!(probes < 60, "it never ends");
        }
        (search.capacity(), probes)
    }

    #[test]
    fn the_border_is_found_and_confirmed() {
        for limit in [300.0, 9_999.0, 10_001.0, 287_000.0, 3_000_000.0] {
            let (found, probes) = search(limit, limit);
            assert!(
                found.confirmed && found.rate_per_s < limit && found.rate_per_s > limit * 0.96,
                "{limit}: {found:?}"
            );
            assert!(probes <= 20, "{probes} probes for {limit}");
        }
    }

    #[test]
    fn what_a_longer_run_does_not_bear_out_is_taken_back() {
        let (found, _) = search(100_000.0, 92_000.0);
        assert!(found.confirmed && found.rate_per_s < 92_000.0 && found.rate_per_s > 84_000.0, "{found:?}");
        let (found, _) = search(100_000.0, 1_000.0);
        assert_eq!((found.confirmed, found.rate_per_s), (false, 0.0));
    }

    #[test]
    fn a_server_that_passes_nothing_has_no_capacity() {
        assert_eq!(search(0.0, 0.0).0.rate_per_s, 0.0);
    }

    #[test]
    fn latency_and_the_generator_are_limits_too() {
        let mut search = Search::new(LIMITS, START);
        assert!(!search.judge(Outcome { loss: 0.0, p99_us: 10_001.0, generator_limited: false }));
        assert!(!search.capacity().generator_limited);
        assert!(!search.judge(Outcome { loss: 0.0, p99_us: 1.0, generator_limited: true }));
        assert!(search.capacity().generator_limited);
    }

    #[test]
    fn a_server_without_limit_ends_the_search() {
        let (found, _) = search(f64::INFINITY, f64::INFINITY);
        assert!(found.confirmed && found.rate_per_s >= HIGHEST && found.failed_rate_per_s.is_none());
    }
}
