//! What several rounds say together.

/// The middle and the ends of what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// Half of the rounds are below; of an even number, the mean of the two in the middle.
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// None of nothing, and of what is no number.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, min, max })
    }

    /// How many times `other` the median is; none where `other` is nothing.
    pub(crate) fn ratio_to(self, other: Self) -> Option<f64> {
        (other.median > 0.0).then(|| self.median / other.median)
    }
}

/// The order of `count` servers in a round: each begins once before the first begins again, so that nobody is always
/// the one behind the heaviest.
pub(crate) fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |index| (index + round) % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_the_order_and_the_ends() {
        let spread = Spread::of([900.0, 1.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { median: 3.0, min: 1.0, max: 900.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([7.0]), Some(Spread { median: 7.0, min: 7.0, max: 7.0 }));
    }

    #[test]
    fn what_was_not_measured_has_no_spread() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN, f64::INFINITY]), None);
    }

    #[test]
    fn ratios_are_of_medians() {
        let (fast, slow) = (Spread::of([50.0, 60.0, 900.0]).unwrap(), Spread::of([120.0]).unwrap());
        assert_eq!(fast.ratio_to(slow), Some(0.5));
        assert_eq!(fast.ratio_to(Spread::of([0.0]).unwrap()), None);
    }

    #[test]
    fn everybody_is_first_once() {
        let rounds: Vec<Vec<usize>> = (0..3).map(|round| order(3, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
        assert_eq!(order(3, 3).next(), Some(0));
        assert_eq!(order(0, 5).count(), 0);
    }
}
