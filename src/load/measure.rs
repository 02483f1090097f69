//! Counts and times of one phase of traffic, and how they become a result.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::ledger::{Arrival, Ledger};
use super::result::{Count, Latency, Second, Stage, Traffic};

/// Longer times are noted as this: a minute, in nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
/// Parts of a course that rises: what is bad at its height is no less so for what was good at its foot.
const STAGES: u64 = 10;

/// From where to where a flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
    Pair,
}

const DIRECTIONS: [Direction; 3] = [Direction::Up, Direction::Down, Direction::Pair];

impl Direction {
    const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Pair => "pair",
        }
    }
}

/// Times in nanoseconds, three significant digits.
pub(super) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

impl Times {
    pub(super) fn new() -> Self {
        // Fails for bounds and digits that make no sense, and these are fixed.
        Self(Histogram::new_with_bounds(1, LONGEST_NS, 3).unwrap_or_else(|error| unreachable!("{error}")))
    }

    pub(super) fn note(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.max(1));
    }

    fn add(&mut self, other: &Self) {
        // Both have the same bounds: there is nothing that would not fit.
        let _ = self.0.add(&other.0);
    }

    fn clear(&mut self) {
        self.0.reset();
    }

    fn micros(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }

    pub(super) fn latency(&self) -> Latency {
        let count = self.0.len();
        if count == 0 {
            return Latency::default();
        }
        Latency {
            count,
            min_us: self.0.min() as f64 / 1000.0,
            mean_us: (self.0.mean()).round() / 1000.0,
            p50_us: self.micros(0.5),
            p90_us: self.micros(0.9),
            p99_us: self.micros(0.99),
            p99_9_us: self.micros(0.999),
            p99_99_us: self.micros(0.9999),
            max_us: self.0.max() as f64 / 1000.0,
            curve: self.curve(count),
        }
    }

    /// Four points for each halving of what is left, as far as there is a sample for each.
    fn curve(&self, count: u64) -> Vec<[f64; 2]> {
        let left = (0..).map(|step| 0.5_f64.powf(f64::from(step) / 4.0)).take_while(|left| left * count as f64 >= 1.0);
        let quantiles = left.map(|left| ((1.0 - left) * 1e7).round() / 1e7).chain([1.0]);
        let mut curve: Vec<_> = quantiles.map(|quantile| [quantile, self.micros(quantile)]).collect();
        curve.dedup_by_key(|[quantile, _]| *quantile);
        curve
    }
}

/// The account of one phase.
pub(super) struct Recorder {
    ledger: Ledger,
    tallies: [Tally; 3],
    seconds: Vec<Row>,
    /// Latencies of what arrived in the second that is under way.
    current: Times,
    current_row: usize,
    /// Of a course that rises, each `stage_ns` long.
    stages: Vec<StageTally>,
    stage_ns: u64,
    pub(super) lateness: Times,
    pub(super) strays: u64,
}

#[derive(Default)]
struct Tally {
    flows: u32,
    sent: u64,
    not_sent: u64,
    held_up: u64,
    /// Due before their allocation was there: it came late, or not at all.
    absent: u64,
    received: u64,
    duplicates: u64,
    reordered: u64,
    misdelivered: u64,
    corrupted: u64,
    bytes: u64,
    times: Times,
}

/// What was due in one part of the time, and what became of it.
#[derive(Default)]
struct StageTally {
    sent: u64,
    times: Times,
}

#[derive(Clone, Copy, Default)]
struct Row {
    sent: u64,
    arrived: u64,
    received: u64,
    bytes: u64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    server_cpu: Option<f64>,
}

/// A packet of ours that came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) direction: Direction,
    pub(super) flow: u32,
    pub(super) sequence: u32,
    /// Both in nanoseconds since the phase began.
    pub(super) due_ns: u64,
    pub(super) now_ns: u64,
    pub(super) bytes: usize,
}

impl Recorder {
    /// For flows of these numbers (up, down, pair), each of which sends up to `most` packets within `length_ns`.
    pub(super) fn new(flows: [u32; 3], most: u32, length_ns: u64) -> Self {
        // What comes in late belongs to the last second.
        let seconds = usize::try_from(length_ns.div_ceil(SECOND_NS)).unwrap_or(0).max(1);
        Self {
            ledger: Ledger::new(flows.iter().sum::<u32>() as usize, most),
            tallies: flows.map(Tally::new),
            seconds: vec![Row::default(); seconds],
            current: Times::new(),
            current_row: 0,
            stages: Vec::new(),
            stage_ns: (length_ns / STAGES).max(1),
            lateness: Times::new(),
            strays: 0,
        }
    }

    /// The same, which accounts for each part of the time apart.
    pub(super) fn with_stages(self) -> Self {
        Self { stages: (0..STAGES).map(|_| StageTally::default()).collect(), ..self }
    }

    /// The sequence number of the next packet of `flow`, which is due at `due_ns`.
    pub(super) fn send(&mut self, direction: Direction, flow: u32, due_ns: u64) -> Option<u32> {
        let sequence = self.ledger.send(flow)?;
        self.tallies[direction as usize].sent += 1;
        self.row(due_ns).sent += 1;
        if let Some(stage) = self.stage(due_ns) {
            stage.sent += 1;
        }
        Some(sequence)
    }

    /// A packet that was due at `due_ns`, and that the kernel did not take after all.
    pub(super) fn not_sent(&mut self, direction: Direction, due_ns: u64) {
        let tally = &mut self.tallies[direction as usize];
        tally.not_sent += 1;
        tally.sent = tally.sent.saturating_sub(1);
        let row = self.row(due_ns);
        row.sent = row.sent.saturating_sub(1);
        if let Some(stage) = self.stage(due_ns) {
            stage.sent = stage.sent.saturating_sub(1);
        }
    }

    /// Packets that the load tester had not got to when the time was over.
    pub(super) fn never_sent(&mut self, direction: Direction, packets: u64) {
        self.tallies[direction as usize].not_sent += packets;
    }

    /// Packets that were due before their allocation was there.
    pub(super) fn absent(&mut self, direction: Direction, packets: u64) {
        self.tallies[direction as usize].absent += packets;
    }

    /// All of these.
    pub(super) fn all_absent(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.absent).sum()
    }

    /// A packet that its connection did not take: it counts as sent, and is lost.
    pub(super) fn held_up(&mut self, direction: Direction) {
        self.tallies[direction as usize].held_up += 1;
    }

    /// A packet that came whole to the right place.
    pub(super) fn arrive(&mut self, arrived: Arrived) {
        let Arrived { direction, flow, sequence, due_ns, now_ns, bytes } = arrived;
        self.roll(now_ns, None);
        let arrival = self.ledger.arrive(flow, sequence);
        let tally = &mut self.tallies[direction as usize];
        match arrival {
            Arrival::Impossible => return tally.corrupted += 1,
            Arrival::Duplicate => tally.duplicates += 1,
            Arrival::First { reordered } => {
                tally.received += 1;
                tally.bytes += bytes as u64;
                tally.reordered += u64::from(reordered);
                let latency = now_ns.saturating_sub(due_ns);
                tally.times.note(latency);
                self.current.note(latency);
                self.row(due_ns).arrived += 1;
                if let Some(stage) = self.stage(due_ns) {
                    stage.times.note(latency);
                }
            }
        }
        let row = self.row(now_ns);
        row.received += 1;
        row.bytes += bytes as u64;
    }

    pub(super) fn misdelivered(&mut self, direction: Direction) {
        self.tallies[direction as usize].misdelivered += 1;
    }

    pub(super) fn corrupted(&mut self, direction: Direction) {
        self.tallies[direction as usize].corrupted += 1;
    }

    /// Nothing is missing.
    pub(super) fn is_complete(&self) -> bool {
        self.tallies.iter().all(|tally| tally.received + tally.held_up >= tally.sent)
    }

    /// Closes the seconds before `now_ns`; the last of them with the server's CPU share.
    pub(super) fn roll(&mut self, now_ns: u64, server_cpu: Option<f64>) {
        let row = self.index(now_ns);
        if row != self.current_row {
            self.close(server_cpu);
            self.current_row = row;
        }
    }

    /// Notes the server's CPU share in second `at`.
    pub(super) fn note_cpu(&mut self, at: usize, share: f64) {
        if let Some(row) = self.seconds.get_mut(at) {
            row.server_cpu = Some(share);
        }
    }

    fn close(&mut self, server_cpu: Option<f64>) {
        let row = &mut self.seconds[self.current_row];
        if self.current.0.is_empty() {
            return;
        }
        row.p50_us = self.current.micros(0.5);
        row.p99_us = self.current.micros(0.99);
        row.max_us = self.current.0.max() as f64 / 1000.0;
        row.server_cpu = row.server_cpu.or(server_cpu);
        self.current.clear();
    }

    fn index(&self, at_ns: u64) -> usize {
        usize::try_from(at_ns / SECOND_NS).unwrap_or(usize::MAX).min(self.seconds.len() - 1)
    }

    fn row(&mut self, at_ns: u64) -> &mut Row {
        let index = self.index(at_ns);
        &mut self.seconds[index]
    }

    fn stage(&mut self, at_ns: u64) -> Option<&mut StageTally> {
        let index = usize::try_from(at_ns / self.stage_ns).unwrap_or(usize::MAX).min(self.stages.len().checked_sub(1)?);
        self.stages.get_mut(index)
    }

    /// Second `at` as far as it is known.
    pub(super) fn second(&self, at: usize) -> Option<Second> {
        let mut row = *self.seconds.get(at)?;
        if at == self.current_row && !self.current.0.is_empty() {
            // It is not closed yet, as the last one is until the end.
            (row.p50_us, row.p99_us) = (self.current.micros(0.5), self.current.micros(0.99));
            row.max_us = self.current.0.max() as f64 / 1000.0;
        }
        let at_s = u32::try_from(at).unwrap_or(u32::MAX);
        let Row { sent, arrived, received, bytes: received_bytes, p50_us, p99_us, max_us, server_cpu } = row;
        Some(Second { at_s, sent, arrived, received, received_bytes, p50_us, p99_us, max_us, server_cpu })
    }

    /// What was counted, over `duration_s` seconds of sending.
    pub(super) fn traffic(&mut self, duration_s: f64) -> Traffic {
        self.close(None);
        let used = (duration_s.ceil() as usize).clamp(1, self.seconds.len());
        let live = DIRECTIONS.iter().zip(&self.tallies).filter(|(_, tally)| tally.flows > 0);
        let directions: BTreeMap<_, _> =
            live.map(|(direction, tally)| (direction.name().to_owned(), tally.count(duration_s))).collect();
        let mut total = Tally::new(0);
        self.tallies.iter().for_each(|tally| total.add(tally));
        let series = (0..used).filter_map(|at| self.second(at)).collect();
        let length_s = self.stage_ns as f64 / 1e9;
        let begun = self.stages.iter().enumerate().filter(|(at, _)| *at as f64 * length_s < duration_s);
        let stages = begun.map(|(at, stage)| stage.told(at as f64 * length_s, length_s)).collect();
        Traffic { total: total.count(duration_s), directions, series, stages }
    }
}

impl StageTally {
    fn told(&self, from_s: f64, length_s: f64) -> Stage {
        let (sent, latency) = (self.sent, self.times.latency());
        let lost = sent.saturating_sub(latency.count);
        let loss = if sent == 0 { 0.0 } else { lost as f64 / sent as f64 };
        let round = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        Stage { from_s: round(from_s), to_s: round(from_s + length_s), sent, arrived: latency.count, loss, latency }
    }
}

impl Tally {
    fn new(flows: u32) -> Self {
        Self { flows, ..Self::default() }
    }

    fn add(&mut self, other: &Self) {
        self.flows += other.flows;
        self.sent += other.sent;
        self.not_sent += other.not_sent;
        self.held_up += other.held_up;
        self.absent += other.absent;
        self.received += other.received;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.misdelivered += other.misdelivered;
        self.corrupted += other.corrupted;
        self.bytes += other.bytes;
        self.times.add(&other.times);
    }

    fn count(&self, duration_s: f64) -> Count {
        let lost = self.sent.saturating_sub(self.received);
        let per_s = |count: f64| if duration_s > 0.0 { (count / duration_s * 10.0).round() / 10.0 } else { 0.0 };
        Count {
            duration_s,
            flows: self.flows,
            scheduled: Some(self.sent + self.not_sent + self.absent),
            sent: self.sent,
            not_sent: self.not_sent,
            held_up: Some(self.held_up),
            received: self.received,
            lost,
            loss: if self.sent == 0 { 0.0 } else { lost as f64 / self.sent as f64 },
            duplicates: self.duplicates,
            reordered: self.reordered,
            misdelivered: self.misdelivered,
            corrupted: self.corrupted,
            sent_per_s: per_s(self.sent as f64),
            received_per_s: per_s(self.received as f64),
            goodput_bits_per_s: per_s(self.bytes as f64 * 8.0),
            latency: self.times.latency(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(flow: u32, sequence: u32, due_ms: u64, now_ms: u64) -> Arrived {
        let (due_ns, now_ns) = (due_ms * 1_000_000, now_ms * 1_000_000);
        Arrived { direction: Direction::Up, flow, sequence, due_ns, now_ns, bytes: 100 }
    }

    #[test]
    fn what_is_counted_is_what_happened() {
        let mut recorder = Recorder::new([2, 0, 0], 64, 2 * SECOND_NS);
        for due_ms in [100, 200, 900, 1100, 1900] {
            assert!(recorder.send(Direction::Up, 0, due_ms * 1_000_000).is_some());
        }
        recorder.arrive(arrived(0, 0, 100, 101));
        recorder.arrive(arrived(0, 2, 900, 1500));
        recorder.arrive(arrived(0, 1, 200, 1501));
        recorder.arrive(arrived(0, 1, 200, 1502));
        recorder.misdelivered(Direction::Up);
        recorder.arrive(arrived(0, 4, 1900, 3000));
        let traffic = recorder.traffic(2.0);
        let Count { sent, received, lost, loss, duplicates, reordered, misdelivered, latency, .. } = traffic.total;
        assert_eq!((sent, received, lost, duplicates, reordered, misdelivered), (5, 4, 1, 1, 1, 1));
        assert!((loss - 0.2).abs() < 1e-9);
        assert_eq!(latency.count, 4);
        assert!((latency.max_us - 1_301_000.0).abs() < 1301.0, "{}", latency.max_us);
        let seconds: Vec<_> = traffic.series.iter().map(|s| (s.sent, s.arrived, s.received)).collect();
        assert_eq!(seconds, [(3, 3, 1), (2, 1, 4)], "a loss belongs to the second of its sending");
        assert!((traffic.series[0].max_us - 1000.0).abs() < 2.0);
        assert_eq!(traffic.directions.keys().collect::<Vec<_>>(), ["up"]);
    }

    #[test]
    fn the_second_under_way_has_its_times() {
        let mut recorder = Recorder::new([1, 0, 0], 64, SECOND_NS);
        assert!(recorder.send(Direction::Up, 0, 0).is_some());
        recorder.arrive(arrived(0, 0, 0, 1));
        let second = recorder.second(0).unwrap();
        assert!((second.p99_us - 1000.0).abs() < 2.0 && (second.max_us - 1000.0).abs() < 2.0, "{second:?}");
    }

    #[test]
    fn what_the_kernel_refused_is_not_lost() {
        let mut recorder = Recorder::new([1, 0, 0], 64, SECOND_NS);
        (0..3).for_each(|sequence| assert_eq!(recorder.send(Direction::Up, 0, 0), Some(sequence)));
        recorder.not_sent(Direction::Up, 0);
        recorder.arrive(arrived(0, 0, 0, 1));
        let traffic = recorder.traffic(1.0);
        let Count { sent, not_sent, received, lost, .. } = traffic.total;
        assert_eq!((sent, not_sent, received, lost), (2, 1, 1, 1));
        let Second { sent, arrived, .. } = traffic.series[0];
        assert_eq!((sent, arrived), (2, 1), "nor in its second");
    }

    #[test]
    fn a_course_that_rises_is_told_in_parts() {
        let mut recorder = Recorder::new([1, 0, 0], 64, 2 * SECOND_NS).with_stages();
        for (sequence, due_ms) in (0..).zip([100, 200, 1900, 1950]) {
            assert!(recorder.send(Direction::Up, 0, due_ms * 1_000_000).is_some());
            if sequence != 2 {
                recorder.arrive(arrived(0, sequence, due_ms, due_ms + 5));
            }
        }
        let stages = recorder.traffic(2.0).stages;
        let facts: Vec<_> = stages.iter().map(|stage| (stage.sent, stage.arrived)).collect();
        assert_eq!(facts, [(1, 1), (1, 1), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (2, 1)]);
        assert_eq!((stages[9].from_s, stages[9].to_s, stages[9].loss), (1.8, 2.0, 0.5));
        assert!((stages[9].latency.p50_us - 5000.0).abs() < 5.0);
        assert_eq!(recorder.traffic(0.5).stages.len(), 3, "stopped early");
    }

    #[test]
    fn all_that_was_due_is_scheduled() {
        let mut recorder = Recorder::new([1, 1, 0], 64, SECOND_NS);
        (0..5).for_each(|_| assert!(recorder.send(Direction::Up, 0, 0).is_some()));
        recorder.not_sent(Direction::Up, 0);
        recorder.never_sent(Direction::Up, 7);
        recorder.absent(Direction::Down, 3);
        let traffic = recorder.traffic(1.0);
        let facts = |count: &Count| (count.scheduled, count.sent, count.not_sent);
        assert_eq!(facts(&traffic.total), (Some(15), 4, 8));
        assert_eq!(facts(&traffic.directions["down"]), (Some(3), 0, 0));
        assert_eq!(recorder.all_absent(), 3);
    }

    #[test]
    fn a_curve_rises_to_the_maximum() {
        let mut times = Times::new();
        (1..=1000).for_each(|micros| times.note(micros * 1000));
        let latency = times.latency();
        assert!(
            latency.curve.is_sorted_by_key(|[quantile, _]| *quantile) && latency.curve.is_sorted_by_key(|[_, v]| *v)
        );
        assert_eq!(latency.curve.last().map(|[quantile, _]| *quantile), Some(1.0));
        for (measured, expected) in [(latency.p50_us, 500.0), (latency.p99_us, 990.0), (latency.max_us, 1000.0)] {
            assert!((measured - expected).abs() / expected < 0.002, "{measured}");
        }
        assert_eq!(Times::new().latency(), Latency::default());
    }
}
