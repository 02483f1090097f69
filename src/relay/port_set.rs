//! A set of ports.

use std::fmt;
use std::ops::RangeInclusive;

const WORDS: usize = 1 << 10;

/// Any set of the 65,536 ports in 8 KiB: made once for a policy and shared by its permissions, so that asking is one
/// load whatever the rules were.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet {
    words: Box<[u64; WORDS]>,
}

impl PortSet {
    /// The empty set.
    pub fn new() -> Self {
        Self { words: Box::new([0; WORDS]) }
    }

    /// Whether `port` is in it.
    pub fn contains(&self, port: u16) -> bool {
        let (word, bit) = place(port);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Puts the ports of `range` in.
    pub fn insert(&mut self, range: RangeInclusive<u16>) {
        self.each_word(range, |word, bit| *word |= bit);
    }

    /// Takes the ports of `range` out.
    pub fn remove(&mut self, range: RangeInclusive<u16>) {
        self.each_word(range, |word, bit| *word &= !bit);
    }

    /// How many ports are in it.
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    fn each_word(&mut self, range: RangeInclusive<u16>, change: impl Fn(&mut u64, u64)) {
        for port in range {
            let (index, bit) = place(port);
            if let Some(word) = self.words.get_mut(index) {
                change(word, bit);
            }
        }
    }
}

impl Default for PortSet {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortSet({} ports)", self.len())
    }
}

fn place(port: u16) -> (usize, u64) {
    (usize::from(port >> 6), 1 << (port & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_how_many_and_not_which() {
        let mut set = PortSet::default();
        set.insert(1000..=1999);
        assert_eq!(format!("{set:?}"), "PortSet(1000 ports)");
    }

    #[test]
    fn holds_what_was_put_in_and_not_taken_out() {
        let mut set = PortSet::new();
        assert!(set.is_empty());
        set.insert(0..=65_535);
        assert_eq!(set.len(), 65_536);
        set.remove(0..=1023);
        set.remove(3478..=3478);
        for port in 0..=u16::MAX {
            assert_eq!(set.contains(port), port > 1023 && port != 3478, "{port}");
        }
    }
}
