//! Whether rounds bear out a bound. One figure, or one ratio, a round, of both servers in the same round; each with
//! what is certain of it where a mark says that it is not all it seems.

use crate::metric::Metric;
use crate::record::Record;
use crate::stats::Spread;

/// More loss than this is said beside a figure: what is lost costs nothing.
pub(crate) const LOSS_SAID: f64 = 0.001;

/// Fewer rounds decide nothing.
pub(crate) const DECIDING: usize = 3;

/// How high or low a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// What is to be said of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// In every round, for certain.
    Met,
    /// In no round, for certain.
    Missed,
    /// The rounds lie on both sides, or may.
    Undecided,
    /// Fewer than [`DECIDING`] rounds can be compared.
    TooFew,
}

/// A figure of a round: what was measured, and between what it is for certain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    least: f64,
    most: f64,
}

/// Why figures are less certain than they look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// More than [`LOSS_SAID`] was lost in a round.
    pub(crate) lossy: bool,
    /// The load generator was the limit in a round.
    pub(crate) limited: bool,
}

impl Figure {
    pub(crate) fn exactly(value: f64) -> Self {
        Self { value, least: value, most: value }
    }

    /// `metric` of a record; none if it was not measured, or under a load that was not the case's.
    pub(crate) fn of(record: &Record, metric: Metric) -> Option<Self> {
        let value = *record.figures.get(&metric)?;
        let loss = record.figures.get(&Metric::Loss).copied().unwrap_or_default();
        let (exactly, is_lossy) = (Self::exactly(value), loss > LOSS_SAID);
        match metric {
            // The server may do better: what was found is the least.
            Metric::CapacityPerS | Metric::CyclesPerS if record.generator_limited => {
                Some(Self { most: f64::INFINITY, ..exactly })
            }
            Metric::CapacityPerS | Metric::CyclesPerS => Some(exactly),
            _ if record.generator_limited => None,
            // Had it relayed all that was sent, it would have used no less time.
            Metric::CpuNsPerPacket if is_lossy => {
                Some(Self { value, least: value * (1.0 - loss), most: f64::INFINITY })
            }
            // What never arrives is later than anything.
            Metric::P50Us | Metric::P99Us if is_lossy => Some(Self { most: f64::INFINITY, ..exactly }),
            _ => Some(exactly),
        }
    }

    /// How many times `other` it is; none where that is nothing.
    pub(crate) fn over(self, other: Self) -> Option<Self> {
        (other.least > 0.0).then(|| Self {
            value: self.value / other.value,
            least: self.least / other.most,
            most: self.most / other.least,
        })
    }

    /// The higher of two.
    pub(crate) fn or_higher(self, other: Self) -> Self {
        let value = self.value.max(other.value);
        Self { value, least: self.least.max(other.least), most: self.most.max(other.most) }
    }

    /// The same, of which up to `part` may be the load generator's.
    pub(crate) fn less(self, part: f64) -> Self {
        Self { least: (self.least - part).max(0.0), ..self }
    }
}

impl Bound {
    pub(crate) fn judge(self, rounds: &[Figure]) -> Verdict {
        let holds = |figure: &Figure| match self {
            Self::AtMost(most) => figure.most <= most,
            Self::AtLeast(least) => figure.least >= least,
        };
        let fails = |figure: &Figure| match self {
            Self::AtMost(most) => figure.least > most,
            Self::AtLeast(least) => figure.most < least,
        };
        match rounds {
            rounds if rounds.len() < DECIDING => Verdict::TooFew,
            rounds if rounds.iter().all(holds) => Verdict::Met,
            rounds if rounds.iter().all(fails) => Verdict::Missed,
            _ => Verdict::Undecided,
        }
    }
}

impl Verdict {
    pub(crate) fn write(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "**missed**",
            Self::Undecided => "undecided",
            Self::TooFew => "undecided: too few rounds",
        }
    }
}

impl Marks {
    pub(crate) fn of(record: &Record) -> Self {
        let lossy = record.figures.get(&Metric::Loss).is_some_and(|loss| *loss > LOSS_SAID);
        Self { lossy, limited: record.generator_limited }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self { lossy: self.lossy || other.lossy, limited: self.limited || other.limited }
    }

    /// ` †‡`, as far as they apply.
    pub(crate) fn write(self) -> &'static str {
        match (self.lossy, self.limited) {
            (true, true) => " †‡",
            (true, false) => " †",
            (false, true) => " ‡",
            (false, false) => "",
        }
    }
}

/// The middle and the ends of what was measured in `rounds`.
pub(crate) fn spread(rounds: &[Figure]) -> Option<Spread> {
    Spread::of(rounds.iter().map(|figure| figure.value))
}

#[cfg(test)]
mod tests {
    use super::Bound::{AtLeast, AtMost};
    use super::*;
    use crate::record::tests::record;

    fn judge(bound: Bound, rounds: &[f64]) -> Verdict {
        let rounds: Vec<Figure> = rounds.iter().copied().map(Figure::exactly).collect();
        bound.judge(&rounds)
    }

    #[test]
    fn a_bound_within_the_range_is_undecided() {
        assert_eq!(judge(AtMost(0.6), &[0.5, 0.6, 0.55]), Verdict::Met);
        assert_eq!(judge(AtMost(0.6), &[0.7, 0.61, 0.65]), Verdict::Missed);
        assert_eq!(judge(AtMost(0.6), &[0.3, 0.61, 0.3, 0.3, 0.3]), Verdict::Undecided);
        assert_eq!(judge(AtLeast(1.3), &[1.3, 1.4, 1.5]), Verdict::Met);
        assert_eq!(judge(AtLeast(1.3), &[1.2, 1.4, 1.5]), Verdict::Undecided);
        assert_eq!(judge(AtMost(0.6), &[0.5, 0.5]), Verdict::TooFew);
    }

    fn of(metric: Metric, value: f64, loss: f64, generator_limited: bool) -> Option<Figure> {
        let figures = [(metric, value), (Metric::Loss, loss)];
        Figure::of(&Record { generator_limited, ..record("any", "any", 0, &figures) }, metric)
    }

    #[test]
    fn a_rate_that_the_generator_limited_is_the_least() {
        let (own, other) = (of(Metric::CapacityPerS, 200.0, 0.0, true), of(Metric::CapacityPerS, 100.0, 0.0, false));
        let (own, other) = (own.unwrap(), other.unwrap());
        let ratio = own.over(other).unwrap();
        assert_eq!(AtLeast(1.3).judge(&[ratio; 3]), Verdict::Met, "it is more still");
        assert_eq!(AtLeast(2.3).judge(&[ratio; 3]), Verdict::Undecided, "it may be more");
        assert_eq!(AtLeast(1.3).judge(&[other.over(own).unwrap(); 3]), Verdict::Missed);
        assert_eq!(AtLeast(0.3).judge(&[other.over(own).unwrap(); 3]), Verdict::Undecided);
        assert_eq!(AtLeast(1.0).judge(&[own.over(own).unwrap(); 3]), Verdict::Undecided);
    }

    #[test]
    fn under_another_load_nothing_can_be_compared() {
        assert_eq!(of(Metric::CpuNsPerPacket, 5000.0, 0.0, true), None);
        assert_eq!(of(Metric::P99Us, 50.0, 0.0, true), None);
    }

    #[test]
    fn what_was_lost_would_have_cost_something() {
        let [clean, lossy] = [0.0, 0.1].map(|loss| of(Metric::CpuNsPerPacket, 1000.0, loss, false).unwrap());
        let half = Figure::exactly(500.0);
        assert_eq!(AtMost(0.5).judge(&[half.over(clean).unwrap(); 3]), Verdict::Met);
        assert_eq!(AtMost(0.5).judge(&[half.over(lossy).unwrap(); 3]), Verdict::Undecided);
        assert_eq!(AtMost(0.6).judge(&[half.over(lossy).unwrap(); 3]), Verdict::Met);
        assert_eq!(AtMost(2.0).judge(&[lossy.over(half).unwrap(); 3]), Verdict::Undecided);
        assert_eq!(AtMost(1.7).judge(&[lossy.over(half).unwrap(); 3]), Verdict::Missed);
        assert_eq!(AtMost(300.0).judge(&[of(Metric::P99Us, 50.0, 0.1, false).unwrap(); 3]), Verdict::Undecided);
    }

    #[test]
    fn what_may_be_the_generators_is_held_against_nobody() {
        let whole = Figure::exactly(400.0);
        assert_eq!(AtMost(300.0).judge(&[whole.less(50.0); 3]), Verdict::Missed);
        assert_eq!(AtMost(300.0).judge(&[whole.less(150.0); 3]), Verdict::Undecided);
        assert_eq!(AtMost(400.0).judge(&[whole.less(150.0); 3]), Verdict::Met);
    }

    #[test]
    fn marks_add_up() {
        let lossy = Marks { lossy: true, limited: false };
        assert_eq!(lossy.and(Marks { limited: true, ..Marks::default() }).write(), " †‡");
        assert_eq!(Marks::default().write(), "");
    }
}
