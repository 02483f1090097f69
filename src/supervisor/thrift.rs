//! When memory goes back to the system: after a crowd has left. The allocator keeps what was freed for the next time,
//! which may never come.

/// Watches how many allocations stand.
#[derive(Debug, Default)]
pub(super) struct Thrift {
    /// The most since memory was last given back.
    peak: usize,
    /// When last looked at.
    open: usize,
}

/// A crowd: some hundred KiB, the most that is kept of a larger one whose last hundreds leave later.
const CROWD: usize = 500;

impl Thrift {
    /// A second has passed, and `open` stand now. Whether so many have left that giving back is worth the moment in
    /// which nobody gets memory; while they still leave in crowds there will be more of it in a second.
    pub(super) fn is_time(&mut self, open: usize) -> bool {
        let leaving = std::mem::replace(&mut self.open, open).saturating_sub(open);
        self.peak = self.peak.max(open);
        let is_time = self.is_waiting() && leaving < self.left() / 8;
        if is_time {
            self.peak = open;
        }
        is_time
    }

    /// A crowd has left, and its memory was not given back yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.left() >= CROWD.max(self.peak / 2)
    }

    fn left(&self) -> usize {
        self.peak.saturating_sub(self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_after_a_crowd_has_left_and_not_for_a_coming_and_going() {
        let mut thrift = Thrift::default();
        let times = |thrift: &mut Thrift, counts: &[usize]| counts.iter().filter(|open| thrift.is_time(**open)).count();
        assert_eq!(times(&mut thrift, &[0, 10, 100, 499, 0, 450, 3, 0, 0]), 0);
        assert_eq!(times(&mut thrift, &[10_000, 9000, 6000, 5001]), 0);
        assert_eq!(times(&mut thrift, &[5000, 4900, 4000, 3000]), 1);
        assert_eq!(times(&mut thrift, &[2000, 100]), 0, "there is more to come");
        assert!(thrift.is_waiting());
        assert_eq!(times(&mut thrift, &[0, 0, 0]), 1);
        assert!(!thrift.is_waiting());
    }
}
