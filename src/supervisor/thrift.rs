//! When memory goes back to the system: after a crowd has left. The allocator keeps what was freed for the next time,
//! which may never come.

/// Watches how many allocations stand.
#[derive(Debug, Default)]
pub(super) struct Thrift {
    /// The most since memory was last given back.
    peak: usize,
}

/// A crowd: some MiB.
const CROWD: usize = 2000;

impl Thrift {
    /// Whether so many have left, with `open` standing now, that giving back is worth the moment in which nobody gets
    /// memory.
    pub(super) fn is_time(&mut self, open: usize) -> bool {
        self.peak = self.peak.max(open);
        let is_time = self.peak - open >= CROWD.max(self.peak / 2);
        if is_time {
            self.peak = open;
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_after_a_crowd_has_left_and_not_for_a_coming_and_going() {
        let mut thrift = Thrift::default();
        let times = |thrift: &mut Thrift, counts: &[usize]| counts.iter().filter(|open| thrift.is_time(**open)).count();
        assert_eq!(times(&mut thrift, &[0, 10, 500, 1999, 0, 1500, 3, 0, 0]), 0);
        assert_eq!(times(&mut thrift, &[10_000, 9000, 6000, 5001]), 0);
        assert_eq!(times(&mut thrift, &[5000, 4900, 4000, 3000]), 1);
        assert_eq!(times(&mut thrift, &[2000, 100, 0, 0]), 2);
    }
}
