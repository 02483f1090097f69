//! Cycles of allocation (challenge, allocate, permission, channel, free) and of connection (TCP, TLS, a Binding), from
//! another 5-tuple each time.

use std::collections::VecDeque;

use super::client::{Outcome, Step, Told};
use super::measure::Times;
use super::result::Churn;
use super::schedule::nanos;
use super::session::{OVERTIME, Session, due_at, due_before};
use super::units;
use super::usage::{LATE_US, Meter, Usage};

/// How long cycles that have begun may take after the end.
const PATIENCE_NS: u64 = 2_000_000_000;
/// How long a client rests in a closed loop that was told that the server has nothing left. A client in earnest would
/// wait a minute (RFC 8656 §7.4 on 486 and 508); without any wait it would be refusals that are measured.
const REST_NS: u64 = 100_000_000;

/// The state of a churn.
struct Cycles {
    /// When the cycle of each client should have begun; none: it is idle.
    begun_ns: Vec<Option<u64>>,
    idle: Vec<u32>,
    /// Idle from that time on, the earliest in front.
    resting: VecDeque<(u64, u32)>,
    /// Since when there has been an idle client.
    free_since_ns: u64,
    /// No client is idle.
    is_starved: bool,
    times: Times,
    /// From when a cycle was due and a client free to when it began.
    lateness: Times,
    /// From when a cycle was due to when a client was free.
    waited: Times,
    begun: u64,
    completed: u64,
    failed: u64,
    series: Vec<u64>,
}

/// When cycles begin.
#[derive(Clone, Copy)]
struct Pace {
    start_ns: u64,
    end_ns: u64,
    /// Cycles/s; none: each as soon as another has ended.
    rate: Option<f64>,
}

/// Runs cycles for the measured time: as scheduled, or, without a rate, each as soon as another has ended.
pub(super) fn run(session: &mut Session<'_>) -> (Churn, Usage) {
    let ((mut cycles, pace), mut usage) = session.measured(|session, meter| {
        let mut cycles = Cycles::new(session);
        let pace = cycles.turn_over(session, meter);
        (cycles, pace)
    });
    let duration_s = (pace.end_ns - pace.start_ns) as f64 / 1e9;
    let scheduled = pace.scheduled();
    let not_begun = scheduled.map(|scheduled| scheduled.saturating_sub(cycles.begun));
    usage.lateness = std::mem::take(&mut cycles.lateness);
    usage.behind = not_begun.filter(|_| !cycles.is_starved).unwrap_or(0);
    usage.remarks.extend(cycles.shortage(not_begun.unwrap_or(0)));
    let churn = Churn {
        closed_loop: pace.rate.is_none(),
        duration_s,
        scheduled,
        not_begun,
        begun: cycles.begun,
        completed: cycles.completed,
        failed: cycles.failed,
        unfinished: Some(cycles.begun - cycles.completed - cycles.failed),
        cycles_per_s: (cycles.in_time() as f64 / duration_s * 10.0).round() / 10.0,
        cycle: cycles.times.latency(),
        server_cpu_ns_per_cycle: usage.server_cpu_ns_per(cycles.completed),
        series: cycles.series,
    };
    (churn, usage)
}

impl Pace {
    /// When cycle `index` is due; in a closed loop at once.
    fn due_ns(&self, index: u64, now_ns: u64) -> u64 {
        self.rate.map_or(now_ns, |rate| due_at(self.start_ns, index, rate))
    }

    /// Cycles that are due before the end.
    fn scheduled(&self) -> Option<u64> {
        self.rate.map(|rate| due_before(self.start_ns, self.end_ns, rate))
    }
}

impl Cycles {
    fn new(session: &Session<'_>) -> Self {
        let count = session.cast.clients().len() as u32;
        let seconds = session.settings.duration.as_secs_f64().ceil() as usize;
        Self {
            begun_ns: vec![None; count as usize],
            idle: (0..count).rev().collect(),
            resting: VecDeque::with_capacity(count as usize),
            free_since_ns: 0,
            is_starved: false,
            times: Times::new(),
            lateness: Times::new(),
            waited: Times::new(),
            begun: 0,
            completed: 0,
            failed: 0,
            series: vec![0; seconds],
        }
    }

    /// Returns the pace that was kept: stopped early, it ends then.
    fn turn_over(&mut self, session: &mut Session<'_>, meter: &mut Meter) -> Pace {
        let start_ns = session.clock.now();
        let end_ns = start_ns + nanos(session.settings.duration);
        let mut pace = Pace { start_ns, end_ns, rate: Some(session.settings.total_rate()).filter(|rate| *rate > 0.0) };
        let mut next_tick_ns = start_ns + 1_000_000_000;
        let mut events = Vec::new();
        loop {
            let now = session.clock.now();
            if session.is_stopped() && now < pace.end_ns {
                pace.end_ns = now.max(start_ns + 1);
            }
            let begins = now < pace.end_ns || self.is_behind(&pace, now);
            if begins {
                self.begin(session, &pace, now);
            } else if self.idle.len() + self.resting.len() == self.begun_ns.len() || now >= pace.end_ns + PATIENCE_NS {
                return pace;
            }
            let was_busy = session.turn(None);
            session.cast.take_events(&mut events);
            for (number, told) in &events {
                self.go_on(session, *number, told, &pace);
            }
            if now >= next_tick_ns {
                let rate = session.settings.total_rate();
                let length = session.settings.duration;
                session.tell("churn", start_ns, Some(length), rate, self.completed, Default::default());
                next_tick_ns += 1_000_000_000;
            }
            if !was_busy && events.is_empty() {
                if !begins {
                    meter.end(|| session.mark());
                }
                let next = pace.rate.filter(|_| begins).map(|rate| due_at(start_ns, self.begun, rate));
                session.rest(next.filter(|_| !self.is_starved), Some(now + 1_000_000));
                meter.idle(session.clock.now() - now);
            }
        }
    }

    /// There are cycles that were due before the end, and it is not too late for them.
    fn is_behind(&self, pace: &Pace, now_ns: u64) -> bool {
        now_ns < pace.end_ns + nanos(OVERTIME) && pace.scheduled().is_some_and(|scheduled| self.begun < scheduled)
    }

    /// Begins what is due, as far as there are idle clients.
    fn begin(&mut self, session: &mut Session<'_>, pace: &Pace, now_ns: u64) {
        while let Some((_, number)) = self.resting.pop_front_if(|(until_ns, _)| *until_ns <= now_ns) {
            self.idle.push(number);
        }
        loop {
            let due_ns = pace.due_ns(self.begun, now_ns);
            if due_ns > now_ns || (due_ns >= pace.end_ns && pace.rate.is_some()) {
                break;
            }
            let Some(number) = self.idle.pop() else { break };
            self.begun += 1;
            let ready_ns = due_ns.max(self.free_since_ns);
            self.waited.note(ready_ns - due_ns);
            self.lateness.note(now_ns.saturating_sub(ready_ns));
            // Without another port there is no cycle; the next attempt may find one.
            if let Err(error) = session.fleet.renew(number) {
                session.cast.note_errors(format!("socket {error}"), 1);
                self.failed += 1;
                self.idle.push(number);
                break;
            }
            self.begun_ns[number as usize] = Some(due_ns);
            session.cast.begin(number, due_ns);
        }
        self.is_starved = self.idle.is_empty();
    }

    fn go_on(&mut self, session: &mut Session<'_>, number: u32, told: &Told, pace: &Pace) {
        let is_done = matches!(told.what, Outcome::Done { .. });
        if is_done && !matches!(told.step, Step::Free | Step::Binding) {
            let Some(client) = session.cast.client(number) else { return };
            if client.is_allocated() {
                session.cast.reach(number, session.fleet.peer_address(number));
            } else if client.is_ready() {
                session.cast.free(number);
            }
            return;
        }
        let Some(begun_ns) = self.begun_ns[number as usize].take() else { return };
        let now = session.clock.now();
        session.fleet.disconnect(number);
        if self.idle.is_empty() {
            self.free_since_ns = now;
        }
        match told.what {
            Outcome::Refused(486 | 508) if pace.rate.is_none() => self.resting.push_back((now + REST_NS, number)),
            _ => self.idle.push(number),
        }
        if !is_done {
            self.failed += 1;
            return;
        }
        self.completed += 1;
        self.times.note(now - begun_ns);
        if let Some(second) = self.series.get_mut(((now - pace.start_ns) / 1_000_000_000) as usize) {
            *second += 1;
        }
    }

    /// Cycles that ended within the measured time.
    fn in_time(&self) -> u64 {
        self.series.iter().sum()
    }

    /// What is to be said where clients were too few.
    fn shortage(&self, not_begun: u64) -> Option<String> {
        let (clients, waited_us) = (self.begun_ns.len(), self.waited.latency().p99_us);
        let not_begun = if self.is_starved { not_begun } else { 0 };
        (not_begun > 0 || waited_us > LATE_US).then(|| {
            format!(
                "All {clients} clients were busy: one cycle in a hundred waited {} for one, and {not_begun} were not \
                 begun in their time. Give more --allocations; if that does not help, the server is slower than the \
                 rate.",
                units::micros(waited_us)
            )
        })
    }
}
