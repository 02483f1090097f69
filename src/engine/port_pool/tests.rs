//! The pool against a naive model, and its randomness (A-061, A-087, A-104; C-103, C-145, C-146; D-09).

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

/// SplitMix64: repeatable, and good enough to judge uniformity by.
struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

fn at(secs: u64) -> Instant {
    Instant::from_nanos(secs * 1_000_000_000)
}

/// What the pool promises, told as slowly as possible.
struct Model {
    rest: Rest,
    ports: BTreeMap<u16, State>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Free,
    Leased,
    Resting(Instant),
    Aside(Instant),
}

impl Model {
    fn state(&self, port: u16, now: Instant) -> State {
        match self.ports[&port] {
            State::Resting(at) if now.since(at) >= self.rest.full => State::Free,
            State::Aside(at) if now.since(at) >= RETRY_AFTER => State::Free,
            other => other,
        }
    }

    /// The ports that may be leased now.
    fn candidates(&self, now: Instant, parity: PortParity) -> Vec<u16> {
        let suits = |port: &u16| parity == PortParity::Any || port.is_multiple_of(2);
        let of_parity: Vec<u16> = self.ports.keys().copied().filter(suits).collect();
        let free: Vec<u16> = of_parity.iter().copied().filter(|&p| self.state(p, now) == State::Free).collect();
        if !free.is_empty() {
            return free;
        }
        let rested_since = |&port: &u16| match self.state(port, now) {
            State::Resting(at) if now.since(at) >= self.rest.least => Some(at),
            _ => None,
        };
        let longest = of_parity.iter().filter_map(rested_since).min();
        of_parity.into_iter().filter(|port| longest.is_some() && rested_since(port) == longest).collect()
    }

    fn usage(&self, now: Instant) -> PortUsage {
        let mut usage = PortUsage::default();
        for &port in self.ports.keys() {
            match self.state(port, now) {
                State::Free => usage.free += 1,
                State::Leased => usage.used += 1,
                State::Resting(_) => usage.resting += 1,
                State::Aside(_) => usage.set_aside += 1,
            }
        }
        usage
    }
}

#[derive(Clone, Debug)]
enum Step {
    Lease(bool),
    Release(prop::sample::Index),
    SetAside(prop::sample::Index),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(Step::Lease),
        4 => any::<prop::sample::Index>().prop_map(Step::Release),
        1 => any::<prop::sample::Index>().prop_map(Step::SetAside),
        2 => (0..4u64).prop_map(Step::Wait),
        1 => (0..130u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn does_what_the_model_allows(
        seed: u64,
        first in 49_152..49_155u16,
        count in 0..12u16,
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let range = first..=first + count;
        let rest = Rest::default();
        let mut model = Model { rest, ports: range.clone().map(|port| (port, State::Free)).collect() };
        let (mut pool, mut entropy) = (PortPool::new(range, rest), Seeded(seed));
        let (mut held, mut now) = (Vec::new(), at(1000));
        for step in steps {
            match step {
                Step::Lease(even) => {
                    let parity = if even { PortParity::Even } else { PortParity::Any };
                    let candidates = model.candidates(now, parity);
                    match pool.lease(now, parity, &mut entropy) {
                        Some(port) => {
                            prop_assert!(candidates.contains(&port.get()), "{} not in {candidates:?}", port.get());
                            model.ports.insert(port.get(), State::Leased);
                            held.push(port);
                        }
                        None => prop_assert!(candidates.is_empty(), "nothing leased of {candidates:?}"),
                    }
                }
                Step::Release(which) if !held.is_empty() => {
                    let port = held.swap_remove(which.index(held.len()));
                    model.ports.insert(port.get(), State::Resting(now));
                    pool.release(port, now);
                }
                Step::SetAside(which) if !held.is_empty() => {
                    let port = held.swap_remove(which.index(held.len()));
                    model.ports.insert(port.get(), State::Aside(now));
                    pool.set_aside(port, now);
                }
                Step::Wait(secs) => now = now.after(Duration::from_secs(secs)),
                Step::Release(_) | Step::SetAside(_) => {}
            }
            prop_assert_eq!(pool.usage(now), model.usage(now));
        }
    }
}

#[test]
fn every_port_is_as_likely_as_any_other() {
    // 64 ports, 64,000 draws: chi-square with 63 degrees of freedom passes 103.4 once in a thousand seeds.
    let mut pool = PortPool::new(50_000..=50_063, Rest { full: Duration::ZERO, least: Duration::ZERO });
    let (mut entropy, mut drawn) = (Seeded(7), HashMap::<u16, u32>::new());
    let mut sequence = Vec::new();
    for _ in 0..64_000 {
        let port = pool.lease(at(0), PortParity::Any, &mut entropy).unwrap();
        *drawn.entry(port.get()).or_default() += 1;
        sequence.push(f64::from(port.get()) - 50_031.5);
        pool.release(port, at(0));
    }
    let chi_square: f64 = drawn.values().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
    assert!(drawn.len() == 64 && chi_square < 103.4, "{chi_square}");

    // Nor does one port tell the next: the correlation at lags 1 to 10 stays within five standard deviations of 0.
    let variance: f64 = sequence.iter().map(|x| x * x).sum();
    for lag in 1..=10 {
        let correlation: f64 = sequence.iter().zip(&sequence[lag..]).map(|(a, b)| a * b).sum::<f64>() / variance;
        assert!(correlation.abs() < 5.0 / 64_000f64.sqrt(), "lag {lag}: {correlation}");
    }
}

#[test]
fn a_freed_port_rests_until_the_pool_is_short() {
    let mut pool = PortPool::new(50_000..=50_003, Rest::default());
    let mut entropy = Seeded(1);
    let mut lease = |pool: &mut PortPool, secs| pool.lease(at(secs), PortParity::Any, &mut entropy);
    let first = lease(&mut pool, 0).unwrap();
    let number = first.get();
    pool.release(first, at(0));
    let others: Vec<_> = (0..3).map(|_| lease(&mut pool, 1).unwrap()).collect();
    assert!(others.iter().all(|port| port.get() != number), "it rests while others are free");
    assert_eq!(lease(&mut pool, 1), None, "a second of rest is too short even when nothing else is left");
    assert_eq!(lease(&mut pool, 2).unwrap().get(), number);
    assert_eq!(pool.usage(at(2)), PortUsage { used: 4, ..PortUsage::default() });
}

#[test]
fn a_clock_that_is_read_late_does_not_disturb_the_order() {
    let mut pool = PortPool::new(50_000..=50_001, Rest::default());
    let mut entropy = Seeded(1);
    let ports: Vec<_> = (0..2).map(|_| pool.lease(at(10), PortParity::Any, &mut entropy).unwrap()).collect();
    let [first, second] = <[LeasedPort; 2]>::try_from(ports).unwrap();
    let number = first.get();
    pool.release(first, at(20));
    pool.release(second, at(19));
    assert_eq!(pool.lease(at(21), PortParity::Any, &mut entropy), None);
    let taken = pool.lease(at(22), PortParity::Any, &mut entropy).unwrap().get();
    assert!(taken == number || number % 2 != taken % 2);
}

#[test]
fn port_zero_and_empty_ranges_are_never_leased() {
    let mut entropy = Seeded(1);
    assert_eq!(PortPool::new(0..=0, Rest::default()).lease(at(0), PortParity::Any, &mut entropy), None);
    #[expect(clippy::reversed_empty_ranges, reason = "that is the case")]
    let reversed = 2..=1;
    assert_eq!(PortPool::new(reversed, Rest::default()).lease(at(0), PortParity::Any, &mut entropy), None);
    let mut odd_only = PortPool::new(50_001..=50_001, Rest::default());
    assert_eq!(odd_only.lease(at(0), PortParity::Even, &mut entropy), None);
}

#[test]
fn ten_million_turns_leave_the_pool_as_it_was() {
    let mut pool = PortPool::new(1..=65_535, Rest { full: Duration::from_secs(1), least: Duration::ZERO });
    let mut entropy = Seeded(3);
    let turns: u64 = if cfg!(debug_assertions) { 300_000 } else { 10_000_000 };
    for turn in 0..turns {
        let now = Instant::from_nanos(turn * 10_000);
        let port = pool.lease(now, PortParity::Any, &mut entropy).expect("one is always free");
        pool.release(port, now);
    }
    assert_eq!(pool.usage(at(1_000_000)), PortUsage { free: 65_535, ..PortUsage::default() });
}

/// C-139: RFC 8656 §7.2.
#[test]
fn a_pair_is_an_even_port_and_the_next_one_and_each_pair_comes_up() {
    let mut entropy = Seeded(1);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let mut pool = PortPool::new(50_000..=50_007, Rest::default());
        let pairs: Vec<_> = std::iter::from_fn(|| pool.lease_pair(Instant::default(), &mut entropy)).collect();
        assert_eq!((pairs.len(), pool.usage(Instant::default()).used), (4, 8));
        for [first, second] in &pairs {
            assert!(first.get() % 2 == 0 && second.get() == first.get() + 1);
        }
        seen.insert(pairs[0][0].get());
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn no_pair_is_made_of_ports_that_are_leased_or_rest_or_lie_outside() {
    let mut entropy = Seeded(1);
    let mut pool = PortPool::new(50_001..=50_004, Rest::default());
    let [first, second] = pool.lease_pair(Instant::default(), &mut entropy).unwrap();
    assert_eq!((first.get(), second.get()), (50_002, 50_003));
    assert_eq!(pool.lease_pair(Instant::default(), &mut entropy), None, "50,004 has no next one");
    pool.release(second, Instant::default());
    pool.release(first, Instant::default());
    assert_eq!(pool.lease_pair(Instant::default(), &mut entropy), None, "they rest");
}
