//! When a worker looks at its sockets again: at once, or after a nap in which packets gather.
//!
//! What a packet costs is to a good part the wake-up that it causes: of 1,000 allocations' 50,000 packets/s to peers
//! one takes 7.6 µs of CPU and 0.12 context switches, and without a window 12.2 µs and 0.90 of them (five rounds on
//! this engine; `benches/race/NOTES.md`, "What the engine's strategies save", has these and other windows, and how to
//! measure them again). When packets come in so fast that several would arrive within [`WINDOW`], the worker sleeps
//! that long and finds them all at once; when they don't, as in a voice call, it waits for the next one and nothing
//! is held up. A burst whose packets come apart, such as a picture's, is held up by a window at most.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::relay::Instant;

/// How long packets gather: the most by which a packet is held up for the sake of others.
pub(super) const WINDOW: Duration = Duration::from_micros(150);
/// A window must promise so many packets, or the nap costs more than the wake-ups that it saves.
const WORTHWHILE: u64 = 2;

/// The decision, turn by turn.
#[derive(Debug, Default)]
pub(super) struct Pace {
    woken: Instant,
    nap: Duration,
}

impl Pace {
    /// How long to sleep before the next look.
    pub(super) fn nap(&self) -> Duration {
        self.nap
    }

    /// Learns from a turn: the worker woke up at `woken`, found `packets`, and was done with them at `done`.
    pub(super) fn learn(&mut self, woken: Instant, done: Instant, packets: u64) {
        let period = woken.since(std::mem::replace(&mut self.woken, woken)).as_nanos();
        let promised = u128::from(packets) * WINDOW.as_nanos();
        // A worker that is busy for all of the window has gathered already.
        self.nap = match promised >= u128::from(WORTHWHILE) * period {
            true => WINDOW.saturating_sub(done.since(woken)),
            false => Duration::ZERO,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets that come every `gap` µs, and turns that take 2 µs and 1 µs a packet: how long the `turns`th nap is.
    fn nap_after(turns: u64, gap: u64) -> Duration {
        let (mut pace, mut now, mut heard) = (Pace::default(), 1_000_000, 1_000_000 / gap);
        for _ in 0..turns {
            now += u64::try_from(pace.nap().as_micros()).unwrap();
            let mut packets = (now / gap).saturating_sub(heard);
            if packets == 0 {
                now = (now / gap + 1) * gap;
                packets = 1;
            }
            heard = now / gap;
            let woken = now;
            now += 2 + packets;
            pace.learn(Instant::from_nanos(woken * 1000), Instant::from_nanos(now * 1000), packets);
        }
        pace.nap()
    }

    #[test]
    fn packets_that_come_seldom_are_not_held_up() {
        for gap in [20_000, 1000, 200, 80] {
            assert!((2..20).all(|turns| nap_after(turns, gap).is_zero()), "every {gap} µs");
        }
    }

    #[test]
    fn a_busy_worker_wakes_once_a_window() {
        for gap in [40, 20, 10, 5] {
            for turns in 5..20 {
                let nap = nap_after(turns, gap);
                assert!(nap > WINDOW / 2 && nap < WINDOW, "every {gap} µs: {nap:?}");
            }
        }
    }

    #[test]
    fn one_that_is_always_busy_never_sleeps() {
        let mut pace = Pace::default();
        let micros = |micros: u64| Instant::from_nanos(micros * 1000);
        pace.learn(micros(1000), micros(1300), 200);
        pace.learn(micros(1301), micros(1601), 200);
        assert!(pace.nap().is_zero());
    }

    #[test]
    fn a_burst_after_silence_holds_nothing_up() {
        let mut pace = Pace::default();
        pace.learn(Instant::from_nanos(33_000_000), Instant::from_nanos(33_020_000), 8);
        assert!(pace.nap().is_zero());
    }
}
