//! What is to happen, in order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::relay::Instant;

/// A heap of things by their time; of two at one time, what was put in first comes first.
#[derive(Debug)]
pub struct Schedule<T> {
    heap: BinaryHeap<Entry<T>>,
    next_order: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    order: u64,
    what: T,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), next_order: 0 }
    }
}

impl<T> Schedule<T> {
    /// Puts something in.
    pub fn put(&mut self, at: Instant, what: T) {
        self.heap.push(Entry { at, order: self.next_order, what });
        self.next_order += 1;
    }

    /// Takes out what comes next.
    pub fn take(&mut self) -> Option<(Instant, T)> {
        self.heap.pop().map(|entry| (entry.at, entry.what))
    }

    /// When that is.
    pub fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// How much is to come.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

/// The earliest is the greatest: the heap hands out the greatest first.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_order_of_time_and_then_of_putting_in() {
        let mut schedule = Schedule::default();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b'), (5, 'e')] {
            schedule.put(Instant::from_nanos(at), what);
        }
        assert_eq!(schedule.next_at(), Some(Instant::from_nanos(1)));
        let all: String = std::iter::from_fn(|| schedule.take()).map(|(_, what)| what).collect();
        assert_eq!(all, "abcde");
        assert!(schedule.is_empty());
    }
}
