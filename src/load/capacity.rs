//! The search for the highest rate within limits: doubling until one fails, then halving the distance, then a longer
//! run that confirms it.
//!
//! A probe that fails is repeated once before it is believed: something else may have run for a moment. One in which
//! the load tester was the limit says nothing about the server. It is repeated; if that does not help, its rate bounds
//! where the search looks, is tried once more when nothing else is left, and the capacity found below it is "at least".

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
/// A probe in which the load tester was the limit is repeated up to so many times,
const REPETITIONS: u32 = 2;
/// and in a whole search so many.
const ALL_REPETITIONS: u32 = 12;
/// So many rates that the load tester did not bear are tried once more.
const SECOND_CHANCES: u32 = 3;
/// The rate above which nobody looks.
const HIGHEST: f64 = 1e7;

/// The state of a search.
#[derive(Debug)]
pub(super) struct Search {
    limits: Limits,
    passed: Option<f64>,
    /// The lowest rate that the server did not bear.
    failed: Option<f64>,
    /// The lowest rate that the load tester did not bear.
    unknown: Option<f64>,
    next: f64,
    /// How often `next` has been repeated.
    repeated: u32,
    all_repeated: u32,
    /// `next` has failed once.
    is_doubted: bool,
    /// The last rate that the load tester did not bear and that was tried once more, and how many there were.
    second_chance: Option<f64>,
    second_chances: u32,
    confirming: u32,
    confirmed: bool,
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
        Self {
            limits,
            passed: None,
            failed: None,
            unknown: None,
            next: start,
            repeated: 0,
            all_repeated: 0,
            is_doubted: false,
            second_chance: None,
            second_chances: 0,
            confirming: 0,
            confirmed: false,
        }
    }

    /// The next rate to try; none at the end.
    pub(super) fn next(&self) -> Option<Probe> {
        let is_over = self.confirmed || self.confirming > CONFIRMATIONS || self.next < 1.0;
        (!is_over).then_some(Probe { rate_per_s: self.next.round(), is_confirmation: self.confirming > 0 })
    }

    /// Takes the outcome of the rate that [`Search::next`] said; whether the server passed, if that can be told.
    pub(super) fn judge(&mut self, outcome: Outcome) -> Option<bool> {
        let within = outcome.loss <= self.limits.max_loss && outcome.p99_us <= self.limits.max_p99.as_secs_f64() * 1e6;
        let verdict = (!outcome.generator_limited).then_some(within);
        if verdict.is_none() && self.repeated < REPETITIONS && self.all_repeated < ALL_REPETITIONS {
            (self.repeated, self.all_repeated) = (self.repeated + 1, self.all_repeated + 1);
            return None;
        }
        if verdict == Some(false) && !self.is_doubted {
            self.is_doubted = true;
            return verdict;
        }
        (self.repeated, self.is_doubted) = (0, false);
        let rate = self.next;
        let lower = |bound: Option<f64>| Some(bound.map_or(rate, |bound| bound.min(rate)));
        match verdict {
            Some(true) => self.passed = Some(rate),
            Some(false) => self.failed = lower(self.failed),
            None => self.unknown = lower(self.unknown),
        }
        match (self.confirming, verdict) {
            (0, _) => self.narrow(),
            (_, Some(true)) => self.confirmed = true,
            (times, _) => {
                self.passed = None;
                (self.next, self.confirming) = (rate * BACK_OFF, times + 1);
            }
        }
        verdict
    }

    fn narrow(&mut self) {
        self.next = match (self.passed, self.ceiling()) {
            (None, None) => self.next,
            (Some(passed), None) if passed >= HIGHEST => return self.confirming = 1,
            (Some(passed), None) => passed * 2.0,
            (None, Some(ceiling)) => ceiling / 2.0,
            (Some(passed), Some(ceiling)) if ceiling - passed <= passed * PRECISION => {
                if self.gives_second_chance(ceiling) {
                    return self.next = ceiling;
                }
                self.confirming = 1;
                passed
            }
            (Some(passed), Some(ceiling)) => f64::midpoint(passed, ceiling),
        };
    }

    /// Whether the load tester alone did not bear `ceiling`, and may try it again: it is forgotten then.
    fn gives_second_chance(&mut self, ceiling: f64) -> bool {
        let gives = self.unknown == Some(ceiling)
            && self.second_chance != Some(ceiling)
            && self.second_chances < SECOND_CHANCES;
        if gives {
            (self.unknown, self.second_chance) = (None, Some(ceiling));
            self.second_chances += 1;
        }
        gives
    }

    /// The lowest rate that did not pass, whoever was to blame.
    fn ceiling(&self) -> Option<f64> {
        [self.failed, self.unknown].into_iter().flatten().reduce(f64::min)
    }

    /// What was found.
    pub(super) fn capacity(&self) -> Capacity {
        let is_unknown_first = self.unknown.is_some_and(|unknown| self.failed.is_none_or(|failed| unknown < failed));
        Capacity {
            rate_per_s: self.passed.unwrap_or(0.0).round(),
            failed_rate_per_s: self.failed.map(f64::round),
            max_loss: self.limits.max_loss,
            max_p99_us: self.limits.max_p99.as_secs_f64() * 1e6,
            confirmed: self.confirmed,
            generator_limited: is_unknown_first,
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
            assert!(probes <= 28, "{probes} probes for {limit}");
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
    fn latency_is_a_limit_too() {
        let mut search = Search::new(LIMITS, START);
        let slow = Outcome { loss: 0.0, p99_us: 10_001.0, generator_limited: false };
        assert_eq!(search.judge(slow), Some(false));
        assert_eq!(search.capacity().failed_rate_per_s, None, "once may be chance");
        assert_eq!(search.next().map(|probe| probe.rate_per_s), Some(START));
        assert_eq!(search.judge(slow), Some(false));
        assert_eq!(search.capacity().failed_rate_per_s, Some(START));
    }

    /// Searches with a load tester that `is_limit` for the nth probe of a rate, at a server that fails from
    /// `server` on.
    fn search_with(is_limit: impl Fn(f64, u32) -> bool, server: f64) -> (Capacity, Vec<(f64, Option<bool>)>) {
        let mut search = Search::new(LIMITS, START);
        let mut probes: Vec<(f64, Option<bool>)> = Vec::new();
        while let Some(Probe { rate_per_s, .. }) = search.next() {
            let before = probes.iter().filter(|(rate, _)| *rate == rate_per_s).count() as u32;
            let generator_limited = is_limit(rate_per_s, before);
            let loss = if generator_limited || rate_per_s >= server { 0.02 } else { 0.0 };
            probes.push((rate_per_s, search.judge(Outcome { loss, p99_us: 100.0, generator_limited })));
            assert!(probes.len() < 60, "it never ends: {probes:?}");
        }
        (search.capacity(), probes)
    }

    #[test]
    fn a_probe_that_the_load_tester_spoilt_is_repeated() {
        let undisturbed = search_with(|_, _| false, 150_000.0).0;
        let (found, probes) = search_with(|rate, before| before == 0 && rate >= 70_000.0, 150_000.0);
        assert_eq!(found, undisturbed);
        assert!(!found.generator_limited && found.confirmed);
        let spoilt = probes.iter().filter(|(_, verdict)| verdict.is_none()).count();
        assert!((2..=ALL_REPETITIONS as usize).contains(&spoilt), "{probes:?}");
    }

    /// Something else runs for a moment, whenever a rate is tried for the first time.
    #[test]
    fn a_probe_that_failed_by_chance_is_not_believed() {
        let undisturbed = search(100_000.0, 100_000.0).0;
        let mut search = Search::new(LIMITS, START);
        let mut tried: Vec<f64> = Vec::new();
        while let Some(Probe { rate_per_s, is_confirmation }) = search.next() {
            let is_first = is_confirmation || !tried.contains(&rate_per_s);
            let is_disturbed = is_first && (40_000.0..100_000.0).contains(&rate_per_s) && !is_confirmation;
            let loss = if is_disturbed || rate_per_s >= 100_000.0 { 0.01 } else { 0.0 };
            tried.push(rate_per_s);
            search.judge(Outcome { loss, p99_us: 100.0, generator_limited: false });
            assert!(tried.len() < 60, "it never ends");
        }
        assert_eq!(search.capacity(), undisturbed);
    }

    /// The load tester is too slow for 160,000/s three times, and then no more.
    #[test]
    fn a_rate_that_the_load_tester_did_not_bear_is_tried_once_more() {
        let (found, _) = search_with(|rate, before| rate == 160_000.0 && before < 3, 300_000.0);
        assert!(found.confirmed && !found.generator_limited, "{found:?}");
        assert!(found.rate_per_s > 290_000.0 && found.failed_rate_per_s.is_some(), "{found:?}");
    }

    #[test]
    fn a_load_tester_that_stays_the_limit_makes_it_at_least() {
        let (found, probes) = search_with(|rate, _| rate > 90_000.0, f64::INFINITY);
        assert!(found.confirmed && found.generator_limited, "{found:?}");
        assert!(found.rate_per_s > 85_000.0 && found.rate_per_s <= 90_000.0, "{found:?}");
        assert_eq!(found.failed_rate_per_s, None, "the server has not failed");
        assert!(probes.iter().all(|(_, verdict)| *verdict != Some(false)));
        let first = probes.iter().filter(|(rate, _)| *rate == 160_000.0).count();
        assert_eq!(first, 1 + REPETITIONS as usize);
    }

    #[test]
    fn a_server_that_fails_first_is_the_limit() {
        let (found, _) = search_with(|rate, _| rate > 90_000.0, 60_000.0);
        assert!(found.confirmed && !found.generator_limited, "{found:?}");
        assert!(found.rate_per_s > 57_000.0 && found.failed_rate_per_s.is_some_and(|failed| failed >= 60_000.0));
    }

    #[test]
    fn a_load_tester_that_bears_nothing_says_nothing_of_the_server() {
        let (found, probes) = search_with(|_, _| true, f64::INFINITY);
        assert_eq!((found.rate_per_s, found.failed_rate_per_s), (0.0, None));
        assert!(found.generator_limited && !found.confirmed && probes.len() <= 40, "{}", probes.len());
    }

    #[test]
    fn a_server_without_limit_ends_the_search() {
        let (found, _) = search(f64::INFINITY, f64::INFINITY);
        assert!(found.confirmed && found.rate_per_s >= HIGHEST && found.failed_rate_per_s.is_none());
    }
}
