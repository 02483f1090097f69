//! The loop: one thread that sends what is due, takes what has come, and keeps the clock.

mod progress;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) use progress::Clock;
pub use progress::{Progress, Standing};

use super::cast::Cast;
use super::client::{Client, Told};
use super::fleet::{Fleet, News};
use super::host;
use super::mark::{Bodies, mix};
use super::phase::{Flows, Phase, dispatch};
use super::result::{Second, Traffic};
use super::schedule::{Course, Stream, nanos};
use super::server::{Watch, own_cpu_ns};
use super::settings::{Path, Settings, Shape};
use super::usage::{Mark, Meter, Usage};

/// How long what is on the way may take after the last packet was sent.
const DRAIN: Duration = Duration::from_secs(1);
/// Frames that are still due so long after the end are not sent any more.
pub(super) const OVERTIME: Duration = Duration::from_millis(50);
/// When nothing has come for so long after the last packet was sent, the load is over; what comes later is late.
const QUIET: Duration = Duration::from_millis(5);
/// Frees per second at the end.
const FREE_RATE: f64 = 20_000.0;
/// How long the answers to them are waited for.
const FREE_PATIENCE: Duration = Duration::from_secs(5);
/// Shorter pauses are not slept: the kernel's timers are that imprecise.
const SHORTEST_NAP: Duration = Duration::from_micros(200);
/// So much earlier it gets up.
const EARLY: Duration = Duration::from_micros(100);

/// A run under way.
pub(super) struct Session<'a> {
    pub(super) settings: &'a Settings,
    pub(super) clock: Clock,
    pub(super) fleet: Fleet,
    pub(super) cast: Cast,
    pub(super) watch: Watch,
    pub(super) observer: &'a mut dyn FnMut(&Progress),
    stop: &'a AtomicBool,
    /// There is a core for the load tester alone: while packets flow it does not sleep.
    can_spin: bool,
    bodies: Bodies,
    /// 24 bits of the run, 8 that count phases.
    run: u32,
    strays: u64,
    events: Vec<(u32, Told)>,
    /// Of connections.
    news: Vec<(u32, News)>,
}

/// What came of a phase.
pub(super) struct PhaseReport {
    pub(super) traffic: Traffic,
    pub(super) usage: Usage,
}

impl<'a> Session<'a> {
    /// With `clients` clients on a host of `cores` cores.
    pub(super) fn open(
        settings: &'a Settings,
        clients: u32,
        cores: usize,
        stop: &'a AtomicBool,
        observer: &'a mut dyn FnMut(&Progress),
    ) -> Result<Self, String> {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            settings,
            clock: Clock::start(),
            fleet: Fleet::open(settings, clients)?,
            cast: Cast::new(settings, clients, unix.as_secs()),
            watch: Watch::new(&settings.server_pids)?,
            observer,
            stop,
            can_spin: cores > 1,
            bodies: Bodies::new(settings.seed),
            run: (mix(nanos(unix)) as u32) & 0xFFFF_FF00,
            strays: 0,
            events: Vec::new(),
            news: Vec::new(),
        })
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Brings all clients to where packets can flow, or to where they never will; returns how long it took.
    pub(super) fn set_up(&mut self) -> f64 {
        let count = self.cast.clients().len() as u32;
        let begun_ns = self.clock.now();
        let mut started = 0;
        let mut next_look_ns = 0;
        loop {
            let now = self.clock.now();
            while started < count && due_at(begun_ns, started.into(), self.settings.setup_rate) <= now {
                self.cast.begin(started, due_at(begun_ns, started.into(), self.settings.setup_rate));
                started += 1;
            }
            let was_busy = self.turn(None);
            self.introduce();
            if started < count && now >= next_look_ns {
                next_look_ns = now + 250_000_000;
                self.tell("setup", begun_ns, None, self.settings.setup_rate, started.into(), Default::default());
            } else if now >= next_look_ns {
                let is_settled = |client: &Client| client.is_ready() || client.is_gone();
                if self.cast.clients().iter().all(is_settled) {
                    break;
                }
                next_look_ns = now + 2_000_000;
                self.tell("setup", begun_ns, None, self.settings.setup_rate, started.into(), Default::default());
            }
            if self.is_stopped() {
                break;
            }
            if !was_busy {
                let next_start = (started < count).then(|| due_at(begun_ns, started.into(), self.settings.setup_rate));
                self.rest(next_start, Some(now + 2_000_000));
            }
        }
        (self.clock.now() - begun_ns) as f64 / 1e9
    }

    /// Tells clients that have got an allocation whom to reach.
    fn introduce(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        self.cast.take_events(&mut events);
        for (number, _) in &events {
            let number = *number;
            if self.settings.path == Path::Pair && self.settings.profile.relays() {
                self.introduce_pair(number);
            } else if self.cast.client(number).is_some_and(Client::is_allocated) {
                self.cast.reach(number, self.fleet.peer_address(number));
            }
        }
        self.events = events;
    }

    fn introduce_pair(&mut self, number: u32) {
        let state = |number| {
            let client: Option<&Client> = self.cast.client(number);
            (client.filter(|c| c.is_allocated()).and_then(Client::relayed), client.is_none_or(Client::is_gone))
        };
        let ((mine, i_am_gone), (other, other_is_gone)) = (state(number), state(number ^ 1));
        match (mine, other) {
            (Some(mine), Some(other)) => {
                self.cast.reach(number, other);
                self.cast.reach(number ^ 1, mine);
            }
            (None, Some(_)) if i_am_gone => self.cast.give_up(number ^ 1, "pair lost"),
            (Some(_), None) if other_is_gone => self.cast.give_up(number, "pair lost"),
            _ => {}
        }
    }

    /// Sends `streams` over `course` and accounts for what comes of it.
    pub(super) fn run_phase(
        &mut self,
        name: &'static str,
        flows: &Flows,
        streams: &[Stream],
        course: Course,
    ) -> Result<PhaseReport, String> {
        // The next phase is told from this one by the last 8 bits.
        self.run = (self.run & 0xFFFF_FF00) | (self.run.wrapping_add(1) & 0xFF);
        let mut meter = Meter::new(self.mark());
        let start_ns = self.clock.now() + 1_000_000;
        let mut phase = Phase::new(flows, streams, course, self.run, start_ns)?;
        let rate = streams.iter().map(packets_per_s).sum();
        let end_ns = start_ns + nanos(course.length);
        // Those that are there already do not begin again.
        let (mut joined, joining) = (0, if course.growth.is_zero() { 0 } else { self.cast.clients().len() as u32 });
        let (mut next_tick_ns, mut ticks) = (start_ns + 1_000_000_000, 0);
        let mut server_ns = self.watch.cpu_ns();
        let spins = self.can_spin && !streams.is_empty();
        let sent_until_ns = loop {
            let now = self.clock.now();
            if self.is_stopped() || now >= end_ns + nanos(OVERTIME) || (now >= end_ns && phase.next_ns().is_none()) {
                break now.clamp(start_ns + 1, end_ns);
            }
            while joined < joining && start_ns + course.joins_ns(joined, joining) <= now {
                self.cast.begin(joined, start_ns + course.joins_ns(joined, joining));
                joined += 1;
            }
            let was_busy = self.turn(Some(&mut phase));
            self.introduce();
            if now >= next_tick_ns {
                let cpu = (!self.watch.is_empty()).then(|| self.watch.cpu_ns());
                if let Some(cpu) = cpu {
                    phase.recorder.note_cpu(ticks, cpu.saturating_sub(server_ns) as f64 / 1e9);
                    server_ns = cpu;
                }
                phase.recorder.roll(now - start_ns, None);
                let seconds = [Some(ticks), ticks.checked_sub(1)].map(|at| phase.recorder.second(at?));
                self.tell(name, start_ns, Some(course.length), rate, 0, seconds);
                (next_tick_ns, ticks) = (next_tick_ns + 1_000_000_000, ticks + 1);
            }
            if !was_busy {
                if !spins {
                    let next = phase.next_ns().unwrap_or(end_ns).min(next_tick_ns);
                    let joins = (joined < joining).then(|| start_ns + course.joins_ns(joined, joining));
                    self.rest(Some(next), joins);
                }
                meter.idle(self.clock.now() - now);
            }
        };
        // Stopped early, it was allowed to be as late as at the end.
        let is_whole = sent_until_ns == end_ns;
        let behind = phase.give_up(if is_whole { end_ns } else { sent_until_ns - nanos(OVERTIME).min(sent_until_ns) });
        self.settle(&mut phase, &mut meter);
        if let Some(cpu) = (!self.watch.is_empty() && ticks == 0).then(|| self.watch.cpu_ns()) {
            phase.recorder.note_cpu(0, cpu.saturating_sub(server_ns) as f64 / 1e9);
        }
        self.cast.note_errors("packet before its allocation".into(), phase.recorder.all_absent());
        let mut usage = self.usage(meter);
        usage.strays += phase.recorder.strays;
        (usage.behind, usage.polled_busily) = (behind, spins);
        let duration_s = (sent_until_ns - start_ns) as f64 / 1e9;
        let traffic = phase.recorder.traffic(duration_s);
        usage.lateness = std::mem::take(&mut phase.recorder.lateness);
        Ok(PhaseReport { traffic, usage })
    }

    /// Gives every allocation back.
    pub(super) fn free_all(&mut self) {
        let count = self.cast.clients().len() as u32;
        let begun_ns = self.clock.now();
        let last_ns = begun_ns + due_at(0, count.into(), FREE_RATE) + nanos(FREE_PATIENCE);
        let mut freed = 0;
        let mut next_look_ns = 0;
        loop {
            let now = self.clock.now();
            while freed < count && due_at(begun_ns, freed.into(), FREE_RATE) <= now {
                self.cast.free(freed);
                freed += 1;
            }
            let was_busy = self.turn(None);
            if freed == count && now >= next_look_ns {
                if self.cast.clients().iter().all(Client::is_gone) {
                    break;
                }
                next_look_ns = now + 2_000_000;
            }
            if now > last_ns {
                break;
            }
            if !was_busy {
                self.rest((freed < count).then(|| due_at(begun_ns, freed.into(), FREE_RATE)), Some(now + 2_000_000));
            }
        }
        let mut events = std::mem::take(&mut self.events);
        self.cast.take_events(&mut events);
        self.events = events;
    }

    /// Sends what is due and takes what has come; whether there was anything.
    pub(super) fn turn(&mut self, mut phase: Option<&mut Phase<'_>>) -> bool {
        let now = self.clock.now();
        let mut sends = self.cast.tend(now, &mut self.fleet);
        if let Some(phase) = phase.as_deref_mut() {
            sends |= phase.emit(now, &mut self.fleet, &self.bodies, &self.cast);
        }
        if sends {
            self.flush(phase.as_deref_mut());
        }
        self.receive(phase) > 0 || sends
    }

    /// Hands over what is queued. A request that the kernel does not take goes out again in its time, as one that was
    /// lost does.
    fn flush(&mut self, mut phase: Option<&mut Phase<'_>>) {
        self.fleet.flush(|ticket, why| {
            if let (Some(ticket), Some(phase)) = (ticket, phase.as_deref_mut()) {
                phase.refused(ticket, why);
            }
        });
        if let Some(phase) = phase {
            phase.sent(self.clock.now());
        }
    }

    /// Takes what is still on its way.
    fn settle(&mut self, phase: &mut Phase<'_>, meter: &mut Meter) {
        let mut heard_ns = self.clock.now();
        let last_ns = heard_ns + nanos(DRAIN);
        loop {
            let now = self.clock.now();
            if phase.recorder.is_complete() || now >= last_ns {
                break;
            }
            if self.drain(phase) {
                heard_ns = now;
                continue;
            }
            meter.idle(self.clock.now() - now);
            if now - heard_ns > nanos(QUIET) {
                meter.end(|| self.mark());
            }
        }
        meter.end(|| self.mark());
    }

    /// Whether anything came.
    fn drain(&mut self, phase: &mut Phase<'_>) -> bool {
        let now = self.clock.now();
        if self.cast.tend(now, &mut self.fleet) {
            self.flush(Some(phase));
        }
        let came = self.receive(Some(phase)) > 0;
        if !came {
            self.rest(None, Some(now + 1_000_000));
        }
        came
    }

    fn receive(&mut self, mut phase: Option<&mut Phase<'_>>) -> usize {
        let Self { fleet, cast, clock, bodies, settings, strays, news, .. } = self;
        let target: SocketAddr = settings.target;
        let mut count = fleet.receive(
            || clock.now(),
            |now, incoming, bytes| {
                let is_ours = dispatch(now, target, incoming, bytes, bodies, cast, phase.as_deref_mut());
                *strays += u64::from(!is_ours);
            },
        );
        fleet.take_news(news);
        count += news.len();
        news.drain(..).for_each(|(number, news)| cast.on_news(clock.now(), number, news));
        count
    }

    /// Sleeps until something comes in, or the earliest of these times and the next timer.
    pub(super) fn rest(&self, next_ns: Option<u64>, other_ns: Option<u64>) {
        let now = self.clock.now();
        let wake = [next_ns, other_ns, self.cast.next_timer()].into_iter().flatten().min().unwrap_or(now + 100_000_000);
        let pause = Duration::from_nanos(wake.saturating_sub(now));
        if pause >= SHORTEST_NAP {
            self.fleet.nap(pause - EARLY);
        }
    }

    pub(super) fn tell(
        &mut self,
        phase: &'static str,
        begun_ns: u64,
        length: Option<Duration>,
        rate_per_s: f64,
        done: u64,
        [second, settled]: [Option<Second>; 2],
    ) {
        let now = self.clock.now();
        self.watch.look(now);
        let elapsed_s = now.saturating_sub(begun_ns) as f64 / 1e9;
        let length_s = length.map(|length| length.as_secs_f64());
        let (begun, answered) = self.cast.begun_and_answered();
        let (target, wanted) = (self.settings.target, self.cast.clients().len() as u64);
        let clients = (phase == "setup").then_some(Standing { target, wanted, begun, answered });
        (self.observer)(&Progress { phase, elapsed_s, length_s, rate_per_s, clients, done, second, settled });
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            server: self.watch.sample(),
            own_cpu_ns: own_cpu_ns(),
            drops: self.fleet.drops(),
            kernel: host::counters(),
            at_ns: self.clock.now(),
        }
    }

    fn usage(&mut self, meter: Meter) -> Usage {
        let strays = std::mem::take(&mut self.strays);
        Usage { strays, ..meter.usage(&self.mark(), !self.watch.is_empty()) }
    }

    /// Accounts for what `work` takes.
    pub(super) fn measured<T>(&mut self, work: impl FnOnce(&mut Self, &mut Meter) -> T) -> (T, Usage) {
        let mut meter = Meter::new(self.mark());
        let outcome = work(self, &mut meter);
        (outcome, self.usage(meter))
    }
}

/// When number `index` of a row at `rate` per second is due.
pub(super) fn due_at(begun_ns: u64, index: u64, rate: f64) -> u64 {
    begun_ns + (index as f64 / rate * 1e9) as u64
}

/// How many of such a row are due before `until_ns`.
pub(super) fn due_before(begun_ns: u64, until_ns: u64, rate: f64) -> u64 {
    let mut count = (until_ns.saturating_sub(begun_ns) as f64 / 1e9 * rate) as u64;
    // Fractions: it is off by one at most.
    while count > 0 && due_at(begun_ns, count - 1, rate) >= until_ns {
        count -= 1;
    }
    while due_at(begun_ns, count, rate) < until_ns {
        count += 1;
    }
    count
}

fn packets_per_s(stream: &Stream) -> f64 {
    let Stream { flows, frames_per_s, frame, key, .. } = *stream;
    f64::from(flows) * Shape { frame, frames_per_s, key }.packets_per_s()
}
