//! A timing wheel with one deadline for each allocation slot: constant time to set, move and cancel, in one-second
//! steps.
//!
//! Only allocations have timers. A permission or channel is judged by its own expiry whenever it is used, so ten
//! thousand of them running out in one second cost nothing.

use super::clock::Instant;

/// One bucket a second. The longest lifetime (an hour) fits; a deadline further off fires early and is set again.
const BUCKETS: u32 = 4096;
const HORIZON: u64 = BUCKETS as u64 - 1;
const WORDS: u32 = BUCKETS / 64;
const NONE: u32 = u32::MAX;

/// The wheel. Keys are small dense numbers (slots of the allocation table).
pub(super) struct Wheel {
    /// First key of each bucket's list.
    heads: Box<[u32]>,
    /// One bit a bucket: has it a list?
    occupied: [u64; WORDS as usize],
    links: Vec<Link>,
    /// The next second to look at; everything before it has been handed out.
    cursor: u64,
}

#[derive(Clone, Copy)]
struct Link {
    prev: u32,
    next: u32,
    /// `NONE` while the key is not in the wheel.
    bucket: u32,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            heads: vec![NONE; BUCKETS as usize].into_boxed_slice(),
            occupied: [0; WORDS as usize],
            links: Vec::new(),
            cursor: 0,
        }
    }

    /// Sets `key`'s deadline, in place of any that it has. It fires within the second after `at`.
    pub(super) fn set(&mut self, now: Instant, key: u32, at: Instant) {
        self.cancel(key);
        // Catch up with the clock, so that the whole of the wheel is ahead.
        self.cursor = self.next_second().map_or(now.as_secs(), |next| next.min(now.as_secs()));
        let furthest = self.cursor.saturating_add(HORIZON);
        let second = at.as_secs().saturating_add(1).clamp(self.cursor, furthest);
        self.link(key, bucket_of(second));
    }

    /// Takes `key`'s deadline away.
    pub(super) fn cancel(&mut self, key: u32) {
        let Some(link) = self.links.get(key as usize).copied() else { return };
        if link.bucket == NONE {
            return;
        }
        match self.links.get_mut(link.prev as usize) {
            Some(prev) => prev.next = link.next,
            None => self.set_head(link.bucket, link.next),
        }
        if let Some(next) = self.links.get_mut(link.next as usize) {
            next.prev = link.prev;
        }
        if let Some(own) = self.links.get_mut(key as usize) {
            own.bucket = NONE;
        }
    }

    /// Gives the memory of a crowd of keys back, if none is set.
    pub(super) fn give_back(&mut self) {
        const KEEP: usize = 1024;
        if self.links.len() > KEEP && self.occupied.iter().all(|word| *word == 0) {
            self.links = Vec::new();
        }
    }

    /// A key whose deadline has passed, taken out of the wheel.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let second = self.next_second()?;
        if second > now.as_secs() {
            return None;
        }
        self.cursor = second;
        let key = self.heads.get(bucket_of(second) as usize).copied()?;
        self.cancel(key);
        Some(key)
    }

    /// When `pop_due` will next have something to hand out.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let second = self.next_second()?;
        Some(Instant::from_nanos(second.saturating_mul(1_000_000_000)))
    }

    /// The first second from the cursor on whose bucket has a list. Buckets are visited in the order of time: the rest
    /// of the cursor's word, the words after it round the wheel, and the first part of the cursor's word last.
    fn next_second(&self) -> Option<u64> {
        let start = bucket_of(self.cursor);
        let from_start = u64::MAX << (start % 64);
        for step in 0..=WORDS {
            let index = (start / 64).wrapping_add(step) % WORDS;
            let mask = match step {
                0 => from_start,
                WORDS => !from_start,
                _ => u64::MAX,
            };
            let word = self.occupied.get(index as usize)? & mask;
            if word != 0 {
                let bucket = (index << 6) | word.trailing_zeros();
                let ahead = bucket.wrapping_sub(start) % BUCKETS;
                return Some(self.cursor.saturating_add(u64::from(ahead)));
            }
        }
        None
    }

    fn link(&mut self, key: u32, bucket: u32) {
        let index = key as usize;
        if self.links.len() <= index {
            let unused = Link { prev: NONE, next: NONE, bucket: NONE };
            self.links.resize(index.saturating_add(1), unused);
        }
        let head = self.heads.get(bucket as usize).copied().unwrap_or(NONE);
        if let Some(next) = self.links.get_mut(head as usize) {
            next.prev = key;
        }
        if let Some(own) = self.links.get_mut(index) {
            *own = Link { prev: NONE, next: head, bucket };
        }
        self.set_head(bucket, key);
    }

    fn set_head(&mut self, bucket: u32, key: u32) {
        if let Some(head) = self.heads.get_mut(bucket as usize) {
            *head = key;
        }
        if let Some(word) = self.occupied.get_mut(bucket as usize / 64) {
            let bit = 1u64 << (bucket % 64);
            *word = if key == NONE { *word & !bit } else { *word | bit };
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "only the low bits count")]
fn bucket_of(second: u64) -> u32 {
    second as u32 % BUCKETS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn fires_within_the_second_after_the_deadline() {
        let mut wheel = Wheel::new();
        wheel.set(at(0), 3, Instant::from_nanos(600_400_000_000));
        assert_eq!(wheel.next_deadline(), Some(at(601)));
        assert_eq!(wheel.pop_due(at(600)), None);
        assert_eq!(wheel.pop_due(at(601)), Some(3));
        assert_eq!(wheel.pop_due(at(10_000)), None);
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn a_long_idle_wheel_starts_at_the_present() {
        let mut wheel = Wheel::new();
        wheel.set(at(1_000_000), 0, at(1_000_600));
        assert_eq!(wheel.next_deadline(), Some(at(1_000_601)));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u64),
        Cancel(u32),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..50u32, 0..3600u64).prop_map(|(key, ahead)| Step::Set(key, ahead)),
            (0..50u32).prop_map(Step::Cancel),
            (0..5000u64).prop_map(Step::Advance),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_map(steps in prop::collection::vec(step(), 1..200)) {
            let mut wheel = Wheel::new();
            let mut model = BTreeMap::new();
            let mut now = 5;
            for step in steps {
                match step {
                    Step::Set(key, ahead) => {
                        wheel.set(at(now), key, at(now + ahead));
                        model.insert(key, now + ahead + 1);
                    }
                    Step::Cancel(key) => {
                        wheel.cancel(key);
                        model.remove(&key);
                    }
                    Step::Advance(seconds) => now += seconds,
                }
                let mut fired: Vec<u32> = std::iter::from_fn(|| wheel.pop_due(at(now))).collect();
                fired.sort_unstable();
                let due = model.iter().filter(|(_, second)| **second <= now);
                let mut due: Vec<u32> = due.map(|(key, _)| *key).collect();
                due.sort_unstable();
                model.retain(|_, second| *second > now);
                prop_assert_eq!(fired, due);
                prop_assert_eq!(wheel.next_deadline(), model.values().min().map(|second| at(*second)));
            }
        }
    }
}
