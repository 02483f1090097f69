//! Which port an allocation gets: a random one, and never one that somebody else had a moment ago.
//!
//! A freed port rests, so that what the old peers still send does not reach the next client (RFC 6056; RFC 8656 §7.2
//! asks for random ports). While others are free it rests for [`Rest::full`]; when the pool runs short the
//! longest-rested goes first, but none that has rested for less than [`Rest::least`].
//!
//! A pure data structure: time and randomness are arguments, and every operation is O(1), amortised.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::relay::seam::Entropy;
use crate::relay::{Instant, PortParity};

/// The ports of one range, address and protocol.
#[derive(Debug)]
pub struct PortPool {
    rest: Rest,
    /// Even and odd ports apart, so that a random even one is found at once.
    halves: [Half; 2],
    /// Ports that another program holds, in the order in which they will be tried again.
    set_aside: VecDeque<Stamped>,
    leased: usize,
    /// The latest time that was heard: workers read their clocks apart, and the queues need an order.
    latest: Instant,
}

/// How long a freed port rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// While others are free.
    pub full: Duration,
    /// At least, however short the pool is.
    pub least: Duration,
}

impl Default for Rest {
    fn default() -> Self {
        Self { full: Duration::from_secs(120), least: Duration::from_secs(2) }
    }
}

/// How long a port that another program holds is left alone.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(60);

/// A port that was leased and not yet given back; there is only one of it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct LeasedPort(NonZeroU16);

impl LeasedPort {
    /// Its number.
    pub fn get(&self) -> u16 {
        self.0.get()
    }
}

/// How the ports of a pool are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortUsage {
    /// Leased.
    pub used: usize,
    /// Freed a short while ago.
    pub resting: usize,
    /// Held by another program when they were last tried.
    pub set_aside: usize,
    /// Ready.
    pub free: usize,
}

#[derive(Debug, Default)]
struct Half {
    /// In no order: a random one is swapped out.
    free: Vec<NonZeroU16>,
    /// Longest-rested first.
    resting: VecDeque<Stamped>,
}

/// A port and when it came here, to the millisecond: a crowd that leaves makes thousands of these.
#[derive(Clone, Copy, Debug)]
struct Stamped(u64);

impl Stamped {
    fn new(at: Instant, port: NonZeroU16) -> Self {
        Self(((at.as_nanos() / NANOS_PER_MILLI) << 16) | u64::from(port.get()))
    }

    fn at(self) -> Instant {
        Instant::from_nanos((self.0 >> 16) * NANOS_PER_MILLI)
    }

    fn port(self) -> NonZeroU16 {
        #[expect(clippy::cast_possible_truncation, reason = "the lower 16 bits are the port")]
        let port = self.0 as u16;
        NonZeroU16::new(port).expect("it was one when it was stamped")
    }
}

const NANOS_PER_MILLI: u64 = 1_000_000;

impl PortPool {
    /// With all ports of `range` but 0 free.
    pub fn new(range: RangeInclusive<u16>, rest: Rest) -> Self {
        let mut halves = [Half::default(), Half::default()];
        for port in range.filter_map(NonZeroU16::new) {
            halves[half_of(port)].free.push(port);
        }
        Self { rest, halves, set_aside: VecDeque::new(), leased: 0, latest: Instant::default() }
    }

    /// Takes a port: each free and rested one with the same chance, else the longest-rested.
    pub fn lease(&mut self, now: Instant, parity: PortParity, entropy: &mut impl Entropy) -> Option<LeasedPort> {
        let now = self.settle(now);
        let port = self.take_free(parity, entropy).or_else(|| self.take_longest_rested(now, parity))?;
        self.leased += 1;
        Some(LeasedPort(port))
    }

    /// Takes an even port and the next higher one, each pair of free ones with the same chance. What rests does not
    /// count: whoever wants a pair can do with one port if there is none.
    pub fn lease_pair(&mut self, now: Instant, entropy: &mut impl Entropy) -> Option<[LeasedPort; 2]> {
        self.settle(now);
        let [even, odd] = &mut self.halves;
        let mut is_free = vec![false; usize::from(u16::MAX) + 1];
        odd.free.iter().for_each(|port| is_free[usize::from(port.get())] = true);
        let has_next = |port: &NonZeroU16| is_free[usize::from(port.get()) + 1];
        let pairs = even.free.iter().filter(|port| has_next(port)).count();
        if pairs == 0 {
            return None;
        }
        let drawn = below(pairs, entropy);
        let (at, _) = even.free.iter().enumerate().filter(|(_, port)| has_next(port)).nth(drawn)?;
        let first = even.free.swap_remove(at);
        let second = first.checked_add(1)?;
        let at = odd.free.iter().position(|port| *port == second)?;
        odd.free.swap_remove(at);
        self.leased += 2;
        Some([LeasedPort(first), LeasedPort(second)])
    }

    /// Gives a port back; it rests.
    pub fn release(&mut self, LeasedPort(port): LeasedPort, now: Instant) {
        let at = self.settle(now);
        self.leased -= 1;
        self.halves[half_of(port)].resting.push_back(Stamped::new(at, port));
    }

    /// Gives back a port that turned out to be another program's; it is left alone for `RETRY_AFTER`.
    pub fn set_aside(&mut self, LeasedPort(port): LeasedPort, now: Instant) {
        let at = self.settle(now);
        self.leased -= 1;
        self.set_aside.push_back(Stamped::new(at, port));
    }

    /// How the ports are used.
    pub fn usage(&mut self, now: Instant) -> PortUsage {
        self.settle(now);
        PortUsage {
            used: self.leased,
            resting: self.halves.iter().map(|half| half.resting.len()).sum(),
            set_aside: self.set_aside.len(),
            free: self.halves.iter().map(|half| half.free.len()).sum(),
        }
    }

    /// Frees what has rested, or was left alone, for long enough. Each port passes here once a lease.
    fn settle(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        let now = self.latest;
        for half in &mut self.halves {
            while let Some(port) = pop_older(&mut half.resting, now, self.rest.full) {
                half.free.push(port);
            }
        }
        while let Some(port) = pop_older(&mut self.set_aside, now, RETRY_AFTER) {
            self.halves[half_of(port)].free.push(port);
        }
        now
    }

    fn take_free(&mut self, parity: PortParity, entropy: &mut impl Entropy) -> Option<NonZeroU16> {
        let [even, odd] = &mut self.halves;
        let odd_count = match parity {
            PortParity::Any => odd.free.len(),
            PortParity::Even => 0,
        };
        let count = even.free.len() + odd_count;
        if count == 0 {
            return None;
        }
        let index = below(count, entropy);
        match index.checked_sub(even.free.len()) {
            None => Some(even.free.swap_remove(index)),
            Some(index) => Some(odd.free.swap_remove(index)),
        }
    }

    fn take_longest_rested(&mut self, now: Instant, parity: PortParity) -> Option<NonZeroU16> {
        let [even, odd] = &mut self.halves;
        let since = |half: &Half| half.resting.front().map(|oldest| oldest.at());
        let half = match (since(even), since(odd), parity) {
            (Some(even_since), Some(odd_since), PortParity::Any) if odd_since < even_since => odd,
            (None, Some(_), PortParity::Any) => odd,
            _ => even,
        };
        pop_older(&mut half.resting, now, self.rest.least)
    }
}

/// 0 for even ports, 1 for odd ones.
fn half_of(port: NonZeroU16) -> usize {
    usize::from(port.get() % 2)
}

/// Takes the first of `queue`, if it has waited for `long` or more.
fn pop_older(queue: &mut VecDeque<Stamped>, now: Instant, long: Duration) -> Option<NonZeroU16> {
    let front = queue.front()?;
    if now.since(front.at()) < long {
        return None;
    }
    queue.pop_front().map(Stamped::port)
}

/// A number from 0 to `count` - 1, all with the same chance: draws that would favour the lower ones are drawn again.
fn below(count: usize, entropy: &mut impl Entropy) -> usize {
    let count = u32::try_from(count).expect("there are 65,535 ports at most");
    let fair = u32::MAX - u32::MAX % count;
    loop {
        let mut bytes = [0; 4];
        entropy.fill(&mut bytes);
        let drawn = u32::from_ne_bytes(bytes);
        if drawn < fair {
            return (drawn % count) as usize;
        }
    }
}

#[cfg(test)]
mod tests;
