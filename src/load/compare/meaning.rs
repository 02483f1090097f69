//! Whether a difference means anything.

use crate::load::result::Latency;

/// What a difference means, from B's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Better,
    Worse,
    /// No more than runs of the same differ.
    Same,
    /// More than that, but not more than it scatters, or too little was measured.
    Unsure,
    /// Of no value in itself, or not measured in both.
    None,
}

/// Which values are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Good {
    Low,
    High,
}

/// Standard errors that scatter does not pass.
const SIGMAS: f64 = 3.0;
/// Fewer seconds do not tell how they scatter.
const SECONDS: usize = 5;
/// So many samples must lie beyond a percentile for it to be one.
const BEYOND: f64 = 10.0;

impl Meaning {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::Unsure => "unsure",
            Self::None => "",
        }
    }

    /// Of two values; `is_apart` says whether they are further apart than they scatter, none that it is not known.
    pub(super) fn of(a: f64, b: f64, good: Good, noise: f64, is_apart: Option<bool>) -> Self {
        let larger = a.abs().max(b.abs());
        let smaller = a.abs().min(b.abs());
        if larger <= smaller * (1.0 + noise) {
            return Self::Same;
        }
        match (is_apart, (b < a) == (good == Good::Low)) {
            (Some(false), _) => Self::Unsure,
            (_, true) => Self::Better,
            (_, false) => Self::Worse,
        }
    }
}

/// Whether percentile `quantile` of two distributions is apart: the ranges that their numbers of samples allow (order
/// statistics) do not meet.
pub(super) fn quantiles_apart(a: &Latency, b: &Latency, quantile: f64) -> Option<bool> {
    let (Some(a), Some(b)) = (range(a, quantile), range(b, quantile)) else { return Some(false) };
    Some(a[1] < b[0] || b[1] < a[0])
}

/// From where to where the value at `quantile` may lie; none with too few samples beyond it.
fn range(latency: &Latency, quantile: f64) -> Option<[f64; 2]> {
    let count = latency.count as f64;
    let beyond = count * (1.0 - quantile);
    if beyond < BEYOND || latency.curve.is_empty() {
        return None;
    }
    let error = SIGMAS * (quantile * (1.0 - quantile) / count).sqrt();
    Some([value_at(latency, quantile - error), value_at(latency, quantile + error)])
}

/// The value at `quantile`, between the points of the curve in proportion.
fn value_at(latency: &Latency, quantile: f64) -> f64 {
    let after = latency.curve.partition_point(|[at, _]| *at < quantile);
    let point = |index: usize| latency.curve.get(index).copied();
    match (after.checked_sub(1).and_then(point), point(after)) {
        (Some([from, low]), Some([to, high])) => low + (high - low) * (quantile - from) / (to - from),
        (None, _) => latency.min_us,
        (_, None) => latency.max_us,
    }
}

/// Whether the means of two rows of seconds are apart; none where there are too few.
pub(super) fn seconds_apart(a: &[f64], b: &[f64]) -> Option<bool> {
    if a.len() < SECONDS || b.len() < SECONDS {
        return None;
    }
    let ((mean_a, error_a), (mean_b, error_b)) = (mean(a), mean(b));
    Some((mean_a - mean_b).abs() > SIGMAS * error_a.hypot(error_b))
}

/// The mean and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_differences_are_the_same() {
        let of = |a, b, is_apart| Meaning::of(a, b, Good::Low, 0.1, is_apart);
        assert_eq!(of(100.0, 109.0, Some(true)), Meaning::Same);
        assert_eq!(of(100.0, 112.0, Some(true)), Meaning::Worse);
        assert_eq!(of(100.0, 112.0, Some(false)), Meaning::Unsure);
        assert_eq!(of(112.0, 100.0, None), Meaning::Better);
        assert_eq!(of(0.0, 0.0, None), Meaning::Same);
        assert_eq!(of(0.0, 0.001, Some(true)), Meaning::Worse);
        assert_eq!(Meaning::of(100.0, 200.0, Good::High, 0.1, None), Meaning::Better);
    }

    #[test]
    fn a_tail_of_few_is_no_percentile() {
        let latency = |count, shift: f64| Latency {
            count,
            min_us: shift,
            max_us: 1000.0 + shift,
            curve: (0_i32..40)
                .map(|step| 1.0 - 0.5_f64.powf(f64::from(step) / 4.0))
                .map(|q| [q, shift + 100.0 * q])
                .collect(),
            ..Latency::default()
        };
        assert_eq!(quantiles_apart(&latency(100_000, 0.0), &latency(100_000, 50.0), 0.5), Some(true));
        assert_eq!(quantiles_apart(&latency(100_000, 0.0), &latency(100_000, 0.5), 0.5), Some(false));
        assert_eq!(quantiles_apart(&latency(900, 0.0), &latency(900, 500.0), 0.99), Some(false), "nine beyond it");
    }

    #[test]
    fn one_bad_second_is_an_event_and_no_rate() {
        let calm = [0.0; 20];
        let mut one = calm;
        one[7] = 0.5;
        assert_eq!(seconds_apart(&calm, &one), Some(false));
        assert_eq!(seconds_apart(&calm, &[0.01; 20]), Some(true));
        assert_eq!(seconds_apart(&calm[..4], &one), None);
    }
}
