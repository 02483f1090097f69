//! Conditions that fail a test (`--fail-if 'loss>0.1%'`).

use std::fmt;
use std::str::FromStr;

use super::result::{Count, Judged, LoadResult, Server, Traffic};
use super::settings::{Profile, Settings};
use super::units;

/// A condition under which the test has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    metric: Metric,
    comparison: Comparison,
    /// In the metric's own unit: a share in percent, a time in microseconds, a number.
    limit: f64,
}

/// What can be judged, with how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    Loss,
    NotSent,
    Duplicates,
    Reordered,
    Misdelivered,
    Corrupted,
    P50,
    P90,
    P99,
    P999,
    P9999,
    Max,
    Setup,
    SetupFailed,
    Errors,
    Cpu,
    CpuShare,
    Memory,
    Rate,
    Lateness,
}

const METRICS: &[(&str, Metric)] = &[
    ("loss", Metric::Loss),
    ("not-sent", Metric::NotSent),
    ("duplicates", Metric::Duplicates),
    ("reordered", Metric::Reordered),
    ("misdelivered", Metric::Misdelivered),
    ("corrupted", Metric::Corrupted),
    ("p50", Metric::P50),
    ("p90", Metric::P90),
    ("p99", Metric::P99),
    ("p99.9", Metric::P999),
    ("p99.99", Metric::P9999),
    ("max", Metric::Max),
    ("setup", Metric::Setup),
    ("setup-failed", Metric::SetupFailed),
    ("errors", Metric::Errors),
    ("cpu", Metric::Cpu),
    ("cpu-share", Metric::CpuShare),
    ("memory", Metric::Memory),
    ("rate", Metric::Rate),
    ("lateness", Metric::Lateness),
];

/// What a metric is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Percent,
    Time,
    Number,
}

impl Unit {
    fn example(self) -> &'static str {
        match self {
            Self::Percent => "a share in percent, such as 0.1%",
            Self::Time => "a time with its unit (ns, us, ms, s), such as 10ms",
            Self::Number => "a number, such as 0, 50k or 1.5M",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// Longer operators before their beginnings.
const COMPARISONS: &[(&str, Comparison)] =
    &[(">=", Comparison::AtLeast), ("<=", Comparison::AtMost), (">", Comparison::Above), ("<", Comparison::Below)];

impl Threshold {
    /// Whether `result` fails by it: any of its steps, any part of a course that rises, or all of it. What was not
    /// measured cannot be vouched for, and fails.
    pub fn judge(&self, result: &LoadResult) -> Judged {
        let steps = steps(result);
        let whole = [(None, self.metric.of(result))];
        let parts = if self.metric.is_of_packets() { steps } else { Vec::new() };
        // The last step stands for the whole already.
        let whole = whole.into_iter().filter(|_| parts.is_empty());
        let parts = parts.iter().map(|(place, part)| (Some(place.clone()), self.metric.of(part)));
        let stages = stages(result, self.metric).map(|(place, value)| (Some(place), value));
        let worse = |one: (Option<String>, Option<f64>), other: (Option<String>, Option<f64>)| {
            let is_worse = match (one.1, other.1) {
                (None, _) => false,
                (_, None) => true,
                (Some(one), Some(other)) => self.comparison.is_worse(other, one),
            };
            if is_worse { other } else { one }
        };
        let (place, measured) = whole.chain(parts).chain(stages).reduce(worse).unwrap_or_default();
        let failed = measured.is_none_or(|value| self.comparison.holds(value, self.limit));
        Judged { condition: self.text.clone(), measured, place, failed }
    }
}

/// The steps of a staircase, as results of their own; of a search none, which is meant to find rates that fail.
fn steps(result: &LoadResult) -> Vec<(String, LoadResult)> {
    let steps = result.steps.iter().filter(|_| result.capacity.is_none());
    let part = |step: &super::result::Step| {
        let (cpu_ns_per_packet, share) = (step.server_cpu_ns_per_packet, step.server_cpu_share);
        let mut part = LoadResult {
            traffic: Some(Traffic { total: step.count.clone(), ..Traffic::default() }),
            server: share.map(|cpu_share| Server { cpu_share, cpu_ns_per_packet, ..Server::default() }),
            ..LoadResult::empty()
        };
        part.generator.lateness = step.lateness.clone().unwrap_or_default();
        (format!("at {}/s", step.rate_per_s.round()), part)
    };
    steps.map(part).collect()
}

/// What was measured in each part of a course that rises, as far as that is accounted for apart.
fn stages(result: &LoadResult, metric: Metric) -> impl Iterator<Item = (String, Option<f64>)> {
    let stages = result.traffic.iter().flat_map(|traffic| &traffic.stages);
    stages.filter(move |stage| stage.sent > 0 && metric.is_of_stages()).map(move |stage| {
        let total = Count { sent: stage.sent, loss: stage.loss, latency: stage.latency.clone(), ..Count::default() };
        let part = LoadResult { traffic: Some(Traffic { total, ..Traffic::default() }), ..LoadResult::empty() };
        (format!("from {} s to {} s", stage.from_s, stage.to_s), metric.of(&part))
    })
}

impl Threshold {
    /// Why it could never be judged in such a test, and what can; none if it can.
    pub(super) fn obstacle(&self, settings: &Settings) -> Option<String> {
        let is_measured = |metric: Metric| metric.is_measured_with(settings);
        let (text, profile) = (&self.text, settings.profile.name());
        if !is_measured(self.metric) {
            let known = METRICS.iter().filter(|(_, metric)| is_measured(*metric)).map(|(name, _)| *name);
            let known = known.collect::<Vec<_>>().join(", ");
            let max = if settings.closed_loop { " at --rate max" } else { "" };
            return Some(format!("\"{text}\" is not measured with the profile {profile}{max}; measured are {known}"));
        }
        let wants_process = matches!(self.metric, Metric::Cpu | Metric::CpuShare | Metric::Memory);
        (wants_process && settings.server_pids.is_empty())
            .then(|| format!("\"{text}\" is measured at the server's process: give --server-pid"))
    }
}

/// What was measured, with its unit.
pub(super) fn measured_text(judged: &Judged) -> String {
    let metric = judged.condition.parse::<Threshold>().map(|threshold| threshold.metric).ok();
    match (judged.measured, metric.map_or(Unit::Number, Metric::unit)) {
        (None, _) => "not measured".to_owned(),
        (Some(value), _) if metric == Some(Metric::Memory) => units::bytes(value),
        (Some(value), Unit::Percent) => units::percent(value / 100.0),
        (Some(value), Unit::Time) => units::micros(value),
        (Some(value), Unit::Number) => units::number(value),
    }
}

impl Metric {
    fn unit(self) -> Unit {
        match self {
            Self::Loss | Self::NotSent | Self::Duplicates | Self::Reordered | Self::CpuShare => Unit::Percent,
            Self::P50 | Self::P90 | Self::P99 | Self::P999 | Self::P9999 | Self::Max => Unit::Time,
            Self::Setup | Self::Cpu | Self::Lateness => Unit::Time,
            Self::Misdelivered | Self::Corrupted | Self::SetupFailed | Self::Errors | Self::Memory | Self::Rate => {
                Unit::Number
            }
        }
    }

    /// It is told of each step.
    fn is_of_packets(self) -> bool {
        !matches!(self, Self::Setup | Self::SetupFailed | Self::Errors | Self::Memory)
    }

    /// It is told of each part of a course that rises.
    fn is_of_stages(self) -> bool {
        use Metric::{Loss, Max, P50, P90, P99, P999, P9999};
        matches!(self, Loss | P50 | P90 | P99 | P999 | P9999 | Max)
    }

    /// A test with such settings can tell it.
    fn is_measured_with(self, settings: &Settings) -> bool {
        let profile = settings.profile;
        match self {
            Self::Setup | Self::SetupFailed => profile != Profile::Flood,
            Self::Memory => profile.holds_allocations(),
            Self::Rate => profile.relays() || matches!(profile, Profile::Churn | Profile::Connect),
            Self::Errors | Self::CpuShare => true,
            Self::Lateness => profile != Profile::Idle,
            // Nothing is due in a closed loop.
            Self::NotSent => profile != Profile::Idle && !settings.closed_loop,
            _ => profile.relays(),
        }
    }

    /// Its value in `result`, in its unit; none if it was not measured.
    pub(super) fn of(self, result: &LoadResult) -> Option<f64> {
        let count = result.traffic.as_ref().map(|traffic| &traffic.total);
        let share =
            |part: u64| count.filter(|count| count.sent > 0).map(|count| 100.0 * part as f64 / count.sent as f64);
        let latency = count.map(|count| &count.latency).filter(|latency| latency.count > 0);
        match self {
            Self::Loss => count.filter(|count| count.sent > 0).map(|count| 100.0 * count.loss),
            Self::NotSent => not_sent(result),
            Self::Duplicates => share(count?.duplicates),
            Self::Reordered => share(count?.reordered),
            Self::Misdelivered => Some(count?.misdelivered as f64),
            Self::Corrupted => Some(count?.corrupted as f64),
            Self::P50 => Some(latency?.p50_us),
            Self::P90 => Some(latency?.p90_us),
            Self::P99 => Some(latency?.p99_us),
            Self::P999 => Some(latency?.p99_9_us),
            Self::P9999 => Some(latency?.p99_99_us),
            Self::Max => Some(latency?.max_us),
            Self::Setup => result.setup.steps.get("total").filter(|total| total.count > 0).map(|total| total.p99_us),
            Self::SetupFailed => Some(result.setup.failed as f64),
            Self::Errors => Some(result.errors.values().sum::<u64>() as f64),
            Self::Cpu => Some(result.server.as_ref()?.cpu_ns_per_packet? / 1000.0),
            Self::CpuShare => Some(100.0 * result.server.as_ref()?.cpu_share),
            Self::Memory => result.server.as_ref()?.memory.measurable_per_allocation(),
            Self::Rate => match (&result.capacity, &result.churn) {
                (Some(capacity), _) => Some(capacity.rate_per_s),
                (None, Some(churn)) => Some(churn.cycles_per_s),
                (None, None) => Some(count?.received_per_s),
            },
            Self::Lateness => Some(&result.generator.lateness).filter(|late| late.count > 0).map(|late| late.p99_us),
        }
    }
}

/// The share of what was due that the load tester did not send, or not begin, in percent.
fn not_sent(result: &LoadResult) -> Option<f64> {
    let (scheduled, not_sent) = match (&result.traffic, &result.churn, &result.flood) {
        (Some(Traffic { total, .. }), ..) => (total.scheduled?, total.not_sent),
        (_, Some(churn), _) => (churn.scheduled?, churn.not_begun?),
        (.., Some(flood)) => (flood.scheduled?, flood.scheduled?.saturating_sub(flood.requests)),
        _ => return None,
    };
    (scheduled > 0).then(|| 100.0 * not_sent as f64 / scheduled as f64)
}

impl Comparison {
    /// Whether `value` is nearer to the limit than `other`, or farther beyond it.
    fn is_worse(self, value: f64, other: f64) -> bool {
        match self {
            Self::Above | Self::AtLeast => value > other,
            Self::Below | Self::AtMost => value < other,
        }
    }

    pub(super) fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
        }
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    /// `METRIC COMPARISON VALUE`, such as `loss>0.1%`, `p99 >= 10ms`, `misdelivered>0`.
    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let (metric, comparison, value) = split(text)?;
        let limit = parse_value(value, metric.unit())
            .ok_or_else(|| ThresholdError::NoValue { value: value.to_owned(), mend: metric.unit().example() })?;
        Ok(Self { text: text.trim().to_owned(), metric, comparison, limit })
    }
}

/// Metric, comparison and the text of the value.
pub(super) fn split(text: &str) -> Result<(Metric, Comparison, &str), ThresholdError> {
    let split = COMPARISONS.iter().filter_map(|(sign, comparison)| {
        text.find(sign).map(|at| (at, &text[..at], *comparison, &text[at + sign.len()..]))
    });
    let Some((_, name, comparison, value)) = split.min_by_key(|(at, ..)| *at) else {
        return Err(ThresholdError::NoComparison);
    };
    let name = name.trim();
    let Some(&(_, metric)) = METRICS.iter().find(|(known, _)| *known == name) else {
        return Err(ThresholdError::NoMetric(name.to_owned()));
    };
    Ok((metric, comparison, value.trim()))
}

/// A value in the unit of [`Threshold::limit`]; none if it is none, or lacks its unit.
fn parse_value(text: &str, unit: Unit) -> Option<f64> {
    let scales: &[(&str, f64)] = match unit {
        Unit::Percent => &[("%", 1.0)],
        Unit::Time => &[("ns", 1e-3), ("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)],
        Unit::Number => &[("k", 1e3), ("K", 1e3), ("M", 1e6), ("", 1.0)],
    };
    let (digits, scale) = scales.iter().find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, scale)))?;
    let value: f64 = digits.trim().parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some(value * scale)
}

/// Why a text is no condition; says how to write one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThresholdError {
    /// It has neither `>` nor `<`.
    NoComparison,
    /// What it names is not measured.
    NoMetric(String),
    /// The limit is no number, or has not the unit of what it limits.
    NoValue {
        /// What was written.
        value: String,
        /// What to write.
        mend: &'static str,
    },
}

impl fmt::Display for ThresholdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoComparison => f.write_str("no comparison; write it like loss>0.1% or p99>=10ms"),
            Self::NoMetric(name) => {
                let known: Vec<_> = METRICS.iter().map(|(known, _)| *known).collect();
                write!(f, "\"{name}\" is not measured; measured are {}", known.join(", "))
            }
            Self::NoValue { value, mend } => write!(f, "\"{value}\" is no limit for it; write {mend}"),
        }
    }
}

impl std::error::Error for ThresholdError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::result::{Capacity, Churn, Count, Latency, Stage, Step, Traffic};

    fn result(loss: f64, p99_us: f64) -> LoadResult {
        let latency = Latency { count: 10, p99_us, ..Latency::default() };
        let total = Count { sent: 1000, loss, latency, ..Count::default() };
        LoadResult { traffic: Some(Traffic { total, ..Traffic::default() }), ..LoadResult::empty() }
    }

    fn fails(condition: &str, result: &LoadResult) -> bool {
        condition.parse::<Threshold>().unwrap_or_else(|error| panic!("{condition}: {error}")).judge(result).failed
    }

    #[test]
    fn units_are_those_that_are_written() {
        let result = result(0.001, 9_999.0);
        for (condition, failed) in [
            ("loss>0.1%", false),
            ("loss>=0.1%", true),
            ("loss > 0.05 %", true),
            ("p99>10ms", false),
            ("p99>9998us", true),
            ("p99>9998µs", true),
            ("p99>0.01s", false),
            ("p99<10ms", true),
            ("p99<=9.999ms", true),
            ("misdelivered>0", false),
        ] {
            assert_eq!(fails(condition, &result), failed, "{condition}");
        }
    }

    #[test]
    fn what_was_not_measured_fails() {
        let judged = "cpu>5us".parse::<Threshold>().unwrap().judge(&result(0.0, 1.0));
        assert_eq!(judged, Judged { condition: "cpu>5us".into(), measured: None, place: None, failed: true });
        assert!(fails("p99>1s", &LoadResult::empty()));
        assert!(fails("setup>1s", &LoadResult::empty()));
    }

    fn step(rate_per_s: f64, loss: f64, p99_us: f64) -> Step {
        let count = result(loss, p99_us).traffic.unwrap().total;
        let (lateness, server_cpu_share, server_cpu_ns_per_packet) = (None, None, None);
        Step {
            rate_per_s,
            passed: None,
            generator_limited: false,
            count,
            lateness,
            server_cpu_share,
            server_cpu_ns_per_packet,
        }
    }

    #[test]
    fn every_step_is_judged() {
        let steps = vec![step(100.0, 0.0, 10.0), step(200.0, 0.02, 900.0), step(300.0, 0.001, 20.0)];
        let result = LoadResult { steps, ..result(0.001, 20.0) };
        let judge = |condition: &str, result: &LoadResult| condition.parse::<Threshold>().unwrap().judge(result);
        let judged = judge("loss>1%", &result);
        assert_eq!((judged.failed, judged.place.as_deref(), judged.measured), (true, Some("at 200/s"), Some(2.0)));
        let judged = judge("p99>1ms", &result);
        assert_eq!((judged.failed, judged.place.as_deref()), (false, Some("at 200/s")), "the worst is told");
        assert!(judge("p99<15us", &result).failed, "the first");
        assert_eq!(judge("errors>0", &result).place, None, "errors are those of the whole");
        let mut search = result.clone();
        let (max_loss, max_p99_us, confirmed, generator_limited) = (0.01, 1000.0, true, false);
        let (rate_per_s, failed_rate_per_s) = (300.0, None);
        search.capacity =
            Some(Capacity { rate_per_s, failed_rate_per_s, max_loss, max_p99_us, confirmed, generator_limited });
        assert!(!judge("loss>1%", &search).failed, "a search is meant to find what fails");
        let mut silent = result;
        silent.steps[1].count.latency = Latency::default();
        let judged = judge("p99>1s", &silent);
        assert_eq!((judged.failed, judged.measured, judged.place.as_deref()), (true, None, Some("at 200/s")));
    }

    #[test]
    fn every_part_of_a_ramp_is_judged() {
        let mut result = result(0.001, 20.0);
        let stage = |from_s, sent, arrived, loss, p99_us| {
            let latency = Latency { count: arrived, p99_us, ..Latency::default() };
            Stage { from_s, to_s: from_s + 3.0, sent, arrived, loss, latency }
        };
        let stages = vec![stage(0.0, 0, 0, 0.0, 0.0), stage(3.0, 90, 90, 0.0, 9.0), stage(6.0, 100, 96, 0.04, 30.0)];
        result.traffic.as_mut().unwrap().stages = stages;
        let judged = "loss>1%".parse::<Threshold>().unwrap().judge(&result);
        assert_eq!((judged.failed, judged.place.as_deref()), (true, Some("from 6 s to 9 s")));
        assert!(!fails("p99>40us", &result) && fails("p99>25us", &result) && !fails("misdelivered>0", &result));
    }

    #[test]
    fn what_was_not_sent_is_a_share_of_what_was_due() {
        let mut result = result(0.0, 1.0);
        assert!(fails("not-sent>1%", &result), "an earlier version did not tell");
        let total = &mut result.traffic.as_mut().unwrap().total;
        (total.scheduled, total.not_sent) = (Some(2000), 1000);
        assert!(fails("not-sent>=50%", &result) && !fails("not-sent>50%", &result));
        let churn = Churn { scheduled: Some(100), not_begun: Some(2), ..Churn::default() };
        let result = LoadResult { churn: Some(churn), ..LoadResult::empty() };
        assert!(fails("not-sent>1%", &result) && !fails("not-sent>2%", &result));
    }

    #[test]
    fn errors_name_the_mend() {
        for (text, mend) in [
            ("loss", "write it like loss>0.1%"),
            ("losss>1%", "measured are loss, "),
            ("loss>1", "such as 0.1%"),
            ("loss>%", "such as 0.1%"),
            ("loss>-1%", "such as 0.1%"),
            ("p99>10", "a time with its unit"),
            ("p99>NaNms", "a time with its unit"),
            ("errors>3ms", "such as 0, 50k or 1.5M"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err().to_string();
            assert!(error.contains(mend), "{text}: {error}");
        }
    }

    #[test]
    fn every_metric_can_be_written() {
        for (name, metric) in METRICS {
            let limit = match metric.unit() {
                Unit::Percent => "1%",
                Unit::Time => "1ms",
                Unit::Number => "1k",
            };
            assert_eq!(format!("{name}>{limit}").parse::<Threshold>().unwrap().metric, *metric);
        }
    }
}
