//! Randomness from a seed, in streams that know nothing of each other.

use std::time::Duration;

use super::trace::TraceHash;
use crate::relay::seam::Entropy;

/// What a run is decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of that name: always the same for one seed, whatever other streams are drawn from.
    pub fn stream(self, name: &str) -> Random {
        let mut hash = TraceHash::default();
        hash.note(&self.0.to_be_bytes());
        hash.note(name.as_bytes());
        Random(hash.value())
    }
}

/// A stream: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). Good
/// enough to simulate with, and for nothing secret.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0; 0 if it is.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high half of the product: unbiased but for one part in 2^64 / `end`.
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// A number of `range`.
    pub fn within(&mut self, range: std::ops::RangeInclusive<u64>) -> u64 {
        let (start, end) = (*range.start(), *range.end());
        start + self.below((end.saturating_sub(start)).saturating_add(1))
    }

    /// True in so many of a thousand cases.
    pub fn chance(&mut self, per_mille: u16) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// A time from `least` to `most`.
    pub fn time(&mut self, least: Duration, most: Duration) -> Duration {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.within(nanos(least)..=nanos(most)))
    }

    /// One of `all`; none if there is none.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(all.len() as u64)).unwrap_or_default();
        all.get(index)
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes);
        bytes
    }
}

impl Entropy for Random {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_be_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_its_seed_and_its_name() {
        let draw = |seed, name| Seed(seed).stream(name).next_u64();
        assert_eq!(draw(1, "load"), draw(1, "load"));
        assert_ne!(draw(1, "load"), draw(1, "faults"));
        assert_ne!(draw(1, "load"), draw(2, "load"));
    }

    #[test]
    fn numbers_stay_in_their_range_and_reach_all_of_it() {
        let mut random = Seed(7).stream("test");
        let mut seen = [0u32; 6];
        for _ in 0..6000 {
            let drawn = random.within(3..=5);
            assert!((3..=5).contains(&drawn));
            seen[usize::try_from(drawn).unwrap()] += 1;
        }
        assert!(seen[3..].iter().all(|count| (1800..2200).contains(count)), "{seen:?}");
        assert_eq!(random.below(0), 0);
        assert_eq!(random.pick::<u8>(&[]), None);
        let thousands = (0..100_000).filter(|_| random.chance(250)).count();
        assert!((24_000..26_000).contains(&thousands));
    }
}
