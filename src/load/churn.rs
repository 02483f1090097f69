//! Cycles of allocation (challenge, allocate, permission, channel, free) and of connection (TCP, TLS, a Binding), from
//! another 5-tuple each time.

use std::collections::VecDeque;

use super::client::{Outcome, Step, Told};
use super::measure::Times;
use super::result::Churn;
use super::schedule::nanos;
use super::session::{Session, Usage, due_at};

/// How long cycles that have begun may take after the end.
const PATIENCE_NS: u64 = 2_000_000_000;

/// The state of a churn.
struct Cycles {
    /// When the cycle of each client should have begun; none: it is idle.
    begun_ns: Vec<Option<u64>>,
    idle: Vec<u32>,
    /// Cycles that are due and find no idle client.
    waiting: VecDeque<u64>,
    times: Times,
    lateness: Times,
    begun: u64,
    completed: u64,
    failed: u64,
    series: Vec<u64>,
}

/// Runs cycles for the measured time: as scheduled, or, without a rate, each as soon as another has ended.
pub(super) fn run(session: &mut Session<'_>) -> (Churn, Usage) {
    let (mut cycles, mut usage) = session.measured(|session| {
        let begun_ns = session.clock.now();
        let mut cycles = Cycles::new(session);
        let idle_ns = cycles.turn_over(session, begun_ns);
        (cycles, idle_ns)
    });
    let settings = session.settings;
    let duration_s = settings.duration.as_secs_f64().min(usage.wall_s);
    usage.lateness = std::mem::replace(&mut cycles.lateness, Times::new());
    let cpu = usage.server.as_ref().filter(|_| cycles.completed > 0);
    let churn = Churn {
        closed_loop: settings.rate.is_none(),
        duration_s,
        begun: cycles.begun,
        completed: cycles.completed,
        failed: cycles.failed,
        cycles_per_s: (cycles.in_time() as f64 / duration_s * 10.0).round() / 10.0,
        cycle: cycles.times.latency(),
        server_cpu_ns_per_cycle: cpu.map(|used| (used.cpu_ns as f64 / cycles.completed as f64).round()),
        series: cycles.series,
    };
    (churn, usage)
}

impl Cycles {
    fn new(session: &Session<'_>) -> Self {
        let count = session.cast.clients().len() as u32;
        let seconds = session.settings.duration.as_secs_f64().ceil() as usize;
        Self {
            begun_ns: vec![None; count as usize],
            idle: (0..count).rev().collect(),
            waiting: VecDeque::new(),
            times: Times::new(),
            lateness: Times::new(),
            begun: 0,
            completed: 0,
            failed: 0,
            series: vec![0; seconds],
        }
    }

    /// Returns how long there was nothing to do.
    fn turn_over(&mut self, session: &mut Session<'_>, start_ns: u64) -> u64 {
        let end_ns = start_ns + nanos(session.settings.duration);
        let (mut idle_ns, mut next_tick_ns) = (0, start_ns + 1_000_000_000);
        let (mut scheduled, mut events) = (0, Vec::new());
        loop {
            let now = session.clock.now();
            if now < end_ns && !session.is_stopped() {
                self.begin(session, start_ns, now, &mut scheduled);
            } else if self.idle.len() == self.begun_ns.len() || now >= end_ns + PATIENCE_NS {
                return idle_ns;
            }
            let was_busy = session.turn(None);
            session.cast.take_events(&mut events);
            for (number, told) in &events {
                self.go_on(session, *number, told, start_ns);
            }
            if now >= next_tick_ns {
                let rate = session.settings.total_rate();
                let length = session.settings.duration;
                session.tell("churn", start_ns, Some(length), rate, self.completed, Default::default());
                next_tick_ns += 1_000_000_000;
            }
            if !was_busy && events.is_empty() {
                let next = session.settings.rate.map(|rate| due_at(start_ns, scheduled, rate));
                session.rest(next, Some(now + 1_000_000));
                idle_ns += session.clock.now() - now;
            }
        }
    }

    /// Begins what is due, as far as there are idle clients.
    fn begin(&mut self, session: &mut Session<'_>, start_ns: u64, now_ns: u64, scheduled: &mut u32) {
        if let Some(rate) = session.settings.rate {
            while due_at(start_ns, *scheduled, rate) <= now_ns {
                self.waiting.push_back(due_at(start_ns, *scheduled, rate));
                *scheduled += 1;
            }
        }
        let is_closed = session.settings.rate.is_none();
        while let Some(number) = self.idle.pop() {
            let Some(intended_ns) = self.waiting.pop_front().or(is_closed.then_some(now_ns)) else {
                self.idle.push(number);
                return;
            };
            // Without another port there is no cycle; the next attempt may find one.
            if session.fleet.renew(number).is_err() {
                self.failed += 1;
                self.idle.push(number);
                return;
            }
            self.begun += 1;
            self.begun_ns[number as usize] = Some(intended_ns);
            self.lateness.note(now_ns.saturating_sub(intended_ns));
            session.cast.begin(number, intended_ns);
        }
    }

    fn go_on(&mut self, session: &mut Session<'_>, number: u32, told: &Told, start_ns: u64) {
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
        self.idle.push(number);
        if !is_done {
            self.failed += 1;
            return;
        }
        self.completed += 1;
        self.times.note(now - begun_ns);
        if let Some(second) = self.series.get_mut(((now - start_ns) / 1_000_000_000) as usize) {
            *second += 1;
        }
    }

    /// Cycles that ended within the measured time.
    fn in_time(&self) -> u64 {
        self.series.iter().sum()
    }
}
