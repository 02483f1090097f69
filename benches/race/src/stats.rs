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
}

/// The order of `count` servers in a round: every second round turns back, so that each runs behind either neighbour
/// and not always behind the same one, and two rounds later another begins.
pub(crate) fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    let place = move |index: usize| if round.is_multiple_of(2) { index } else { count - 1 - index };
    (0..count).map(move |index| (place(index) + round / 2) % count)
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
    fn nobody_always_runs_behind_the_same_one() {
        let rounds: Vec<Vec<usize>> = (0..4).map(|round| order(4, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 3, 0], [0, 3, 2, 1]]);
        let before = |server: usize| {
            let place = |round: &Vec<usize>| round.iter().position(|other| *other == server).filter(|place| *place > 0);
            let mut all: Vec<usize> = rounds.iter().filter_map(|round| Some(round[place(round)? - 1])).collect();
            all.sort();
            all.dedup();
            all.len()
        };
        assert!((0..4).all(|server| before(server) > 1), "{rounds:?}");
        assert_eq!(order(0, 5).count(), 0);
    }
}
