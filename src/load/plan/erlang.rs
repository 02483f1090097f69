//! How many calls are under way at once.

/// The most that are tried.
const MOST: u32 = 10_000_000;
/// The most erlangs for which as many always do.
pub(super) const MOST_LOAD: f64 = 5_000_000.0;

/// The fewest places such that at most the share `blocked` of calls find all taken, at `load` erlangs.
///
/// Erlang's B formula in its recursion: B(0) = 1, B(n) = load·B(n-1) / (n + load·B(n-1)) (ITU-D Teletraffic
/// Engineering Handbook, §7.2). It holds for any distribution of the calls' length.
pub(super) fn servers_for(load: f64, blocked: f64) -> u32 {
    let mut share = 1.0;
    let mut places = 0;
    while share > blocked && places < MOST {
        places += 1;
        share = load * share / (f64::from(places) + load * share);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the usual tables of Erlang B: traffic that so many lines carry at that grade of service.
    #[test]
    fn the_tables_are_met() {
        for (lines, blocked, load) in [(10, 0.01, 4.46), (20, 0.01, 12.0), (100, 0.01, 84.06), (10, 0.001, 3.09)] {
            assert_eq!(servers_for(load, blocked), lines, "{load}");
            assert_eq!(servers_for(load * 1.01, blocked), lines + 1, "{load}");
        }
        assert_eq!(servers_for(0.0, 0.001), 1);
    }
}
