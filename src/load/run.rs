//! The order of a load test, and how its result is put together.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::capacity::{Outcome, START, Search};
use super::cast::needs_credentials;
use super::phase::Flows;
use super::result::{Count, Ended, Generator, KernelMemory, LoadResult, PlanFacts, Server, Setup, Step, Traffic};
use super::schedule::Course;
use super::server::Memory;
use super::session::{PhaseReport, Progress, Session};
use super::settings::{Profile, Settings};
use super::usage::{LATE_US, Usage};
use super::{churn, finding, flood, host, knock, units};
use crate::engine::sys::affinity;

/// So long a server may take to give memory back.
const SETTLE: Duration = Duration::from_millis(500);
/// A flood comes from so many sources, unless another number is asked for.
const FLOOD_SOURCES: u32 = 65_536;

/// Runs a load test until it is done or `stop` is set; `observer` is told once a second how it goes.
///
/// # Errors
/// A sentence: why nothing could be measured. What goes wrong at the server is no error but part of the result.
pub fn run(settings: &Settings, stop: &AtomicBool, observer: &mut dyn FnMut(&Progress)) -> Result<LoadResult, String> {
    settings.check()?;
    needs_credentials(&settings.credentials)?;
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Pinned, it would see its own core alone.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    if let Some(cpu) = settings.cpu {
        affinity::pin_to(cpu).map_err(|error| format!("cannot run on core {cpu}: {error}"))?;
    }
    let clients = match (settings.profile, settings.allocations) {
        (Profile::Flood, None) if settings.target.ip().is_loopback() && settings.target.is_ipv4() => FLOOD_SOURCES,
        _ => settings.allocations(),
    };
    let mut session = Session::open(settings, clients, cores, stop, observer)?;
    knock::knock(&mut session)?;
    let mut result = LoadResult {
        command: settings.command.clone(),
        started_unix_ms: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
        host: host::facts(),
        plan: plan_facts(settings, clients),
        ..LoadResult::empty()
    };
    let mut test = Test { memory: [session.watch.memory(); 4], usage: None, result: &mut result };
    match settings.profile {
        Profile::Churn | Profile::Connect => test.churn(&mut session),
        Profile::Flood => test.flood(&mut session),
        _ => test.relay(&mut session)?,
    }
    test.conclude(&mut session);
    result.errors = session.cast.errors();
    result.transport = session.fleet.facts();
    if session.is_stopped() {
        result.ended = Ended::Interrupted;
    }
    finding::find(&mut session, &mut result);
    result.thresholds = settings.fail_if.iter().map(|threshold| threshold.judge(&result)).collect();
    Ok(result)
}

/// A test under way.
struct Test<'r> {
    result: &'r mut LoadResult,
    /// Before, allocated, loaded, freed.
    memory: [Memory; 4],
    /// Of what was measured.
    usage: Option<Usage>,
}

impl Test<'_> {
    fn churn(&mut self, session: &mut Session<'_>) {
        let (churn, usage) = churn::run(session);
        self.memory[1] = session.watch.memory();
        self.memory[2] = self.memory[1];
        session.free_all();
        self.memory[3] = settled(session);
        self.result.setup = session.cast.setup(churn.duration_s);
        self.result.churn = Some(churn);
        self.usage = Some(usage);
    }

    fn flood(&mut self, session: &mut Session<'_>) {
        let (flood, usage) = flood::run(session);
        self.memory[1..].fill(session.watch.memory());
        self.result.flood = Some(flood);
        self.usage = Some(usage);
    }

    fn relay(&mut self, session: &mut Session<'_>) -> Result<(), String> {
        let grows = !session.settings.growth.is_zero();
        let setup_s = if grows { session.settings.growth.as_secs_f64() } else { session.set_up() };
        self.memory[1] = session.watch.memory();
        let flows = Flows::of(session.settings, &session.cast, &session.fleet);
        let outcome = match (flows.is_empty(), session.settings.profile) {
            (true, _) => {
                self.result.ended = Ended::SetupFailed;
                Ok(())
            }
            (false, Profile::Idle) => self.idle(session, &flows),
            (false, _) => self.traffic(session, &flows),
        };
        self.memory[2] = session.watch.memory();
        if grows {
            self.memory[1] = self.memory[2];
        }
        let allocated = session.cast.clients().iter().filter(|client| client.relayed().is_some()).count();
        // Where they grow, all have flows, and some may never have got an allocation for them.
        let took_part = flows.clients().min(if grows { allocated as u32 } else { u32::MAX });
        session.free_all();
        self.memory[3] = settled(session);
        self.result.setup = Setup { took_part: Some(took_part), ..session.cast.setup(setup_s) };
        self.note_absence(session.settings.profile);
        if allocated == 0 {
            self.result.ended = Ended::SetupFailed;
        }
        if self.result.ended != Ended::SetupFailed && allocated > 0 {
            self.note_memory_of(allocated);
        }
        outcome
    }

    /// Holds the allocations; nothing is sent but refreshes.
    fn idle(&mut self, session: &mut Session<'_>, flows: &Flows) -> Result<(), String> {
        let course = Course { growth: session.settings.growth, ..Course::even(session.settings.duration) };
        let report = session.run_phase("idle", flows, &[], course)?;
        self.usage = Some(report.usage);
        Ok(())
    }

    fn traffic(&mut self, session: &mut Session<'_>, flows: &Flows) -> Result<(), String> {
        let settings = session.settings;
        if let Some(limits) = settings.search {
            return self.search(session, flows, Search::new(limits, settings.rate.unwrap_or(START)));
        }
        let course = Course { ramp: settings.ramp, growth: settings.growth, length: settings.duration };
        if settings.steps.is_empty() {
            let report = measure(session, flows, settings.total_rate(), course)?;
            self.keep(report);
            return Ok(());
        }
        for rate in &settings.steps {
            let report = measure(session, flows, *rate, course)?;
            self.result.steps.push(step(*rate, None, &report));
            self.keep(report);
            if session.is_stopped() {
                break;
            }
        }
        Ok(())
    }

    fn search(&mut self, session: &mut Session<'_>, flows: &Flows, mut search: Search) -> Result<(), String> {
        while let Some(probe) = search.next().filter(|_| !session.is_stopped()) {
            let length = session.settings.duration * if probe.is_confirmation { 2 } else { 1 };
            let report = measure(session, flows, probe.rate_per_s, Course::even(length))?;
            if session.is_stopped() {
                break;
            }
            let Count { loss, ref latency, scheduled, not_sent, .. } = report.traffic.total;
            let generator_limited = !complaints(&report.usage, scheduled, not_sent).is_empty();
            let passed = search.judge(Outcome { loss, p99_us: latency.p99_us, generator_limited });
            self.result.steps.push(step(probe.rate_per_s, passed, &report));
            if passed == Some(true) {
                self.keep(report);
            }
        }
        self.result.capacity = Some(search.capacity());
        Ok(())
    }

    fn keep(&mut self, report: PhaseReport) {
        self.result.traffic = Some(report.traffic);
        self.usage = Some(report.usage);
    }

    /// Says so where allocations are missing.
    fn note_absence(&mut self, profile: Profile) {
        let (asked, took_part) = (self.result.plan.allocations, self.result.setup.took_part.unwrap_or(0));
        let Some(usage) = self.usage.as_mut().filter(|_| took_part < asked) else { return };
        let spread = if profile == Profile::Raw { " The rate was spread over these." } else { "" };
        usage.remarks.push(format!("Only {took_part} of {asked} allocations took part.{spread}"));
    }

    fn note_memory_of(&mut self, allocations: usize) {
        let [before, allocated, _, freed] = self.memory;
        if before.bytes == 0 {
            return;
        }
        let each = |before: u64, after: u64| Some(((after as f64 - before as f64) / allocations as f64).round());
        let memory = &mut self.result.server.get_or_insert_default().memory;
        memory.per_allocation_bytes = each(before.bytes, allocated.bytes);
        memory.kernel = Some(KernelMemory {
            slab_before_bytes: before.slab_bytes,
            slab_allocated_bytes: allocated.slab_bytes,
            slab_freed_bytes: freed.slab_bytes,
            udp_sockets_before: before.udp_sockets,
            udp_sockets_allocated: allocated.udp_sockets,
            slab_per_allocation_bytes: each(before.slab_bytes, allocated.slab_bytes),
        });
    }

    /// Says what was used, by whom.
    fn conclude(&mut self, session: &mut Session<'_>) {
        let received = self.result.traffic.as_ref().map(|traffic| traffic.total.received).filter(|count| *count > 0);
        let Some(usage) = self.usage.take() else { return };
        self.result.generator = generator(&usage, self.result, session.settings.cpu);
        self.result.kernel = usage.kernel.clone();
        let Some(used) = &usage.server else {
            self.result.server = None;
            return;
        };
        let server = self.result.server.get_or_insert_default();
        let [before, allocated, loaded, freed] = self.memory;
        let memory = &mut server.memory;
        memory.source = if before.is_pss { "pss" } else { "rss" }.to_owned();
        (memory.before_bytes, memory.allocated_bytes) = (before.bytes, allocated.bytes);
        (memory.loaded_bytes, memory.freed_bytes) = (loaded.bytes, freed.bytes);
        let memory = std::mem::take(memory);
        *server = Server {
            pids: session.watch.pids().to_vec(),
            names: session.watch.names(),
            cpu_source: used.source.to_owned(),
            cpu_s: used.cpu_ns as f64 / 1e9,
            cpu_share: used.cpu_ns as f64 / 1e9 / usage.wall_s,
            cpu_ns_per_packet: received.and_then(|received| usage.server_cpu_ns_per(received)),
            voluntary_switches: used.voluntary,
            involuntary_switches: used.involuntary,
            memory,
        };
    }
}

/// Warms up, then measures.
fn measure(session: &mut Session<'_>, flows: &Flows, rate: f64, course: Course) -> Result<PhaseReport, String> {
    let streams = flows.streams(session.settings, rate);
    let warmup = session.settings.warmup.min(course.length);
    if !warmup.is_zero() && course.ramp.is_zero() && course.growth.is_zero() {
        session.run_phase("warm-up", flows, &streams, Course::even(warmup))?;
    }
    session.run_phase("traffic", flows, &streams, course)
}

fn step(rate_per_s: f64, passed: Option<bool>, report: &PhaseReport) -> Step {
    let (count, usage) = (&report.traffic.total, &report.usage);
    Step {
        rate_per_s,
        passed,
        generator_limited: !complaints(usage, count.scheduled, count.not_sent).is_empty(),
        count: count.clone(),
        lateness: Some(usage.lateness.latency()),
        server_cpu_share: usage.server.as_ref().map(|used| used.cpu_ns as f64 / 1e9 / usage.wall_s),
        server_cpu_ns_per_packet: usage.server_cpu_ns_per(count.received),
    }
}

/// What speaks against the load tester, a sentence each. `not_sent`: of `scheduled` packets or requests.
fn complaints(usage: &Usage, scheduled: Option<u64>, not_sent: u64) -> Vec<String> {
    let late = usage.lateness.latency().p99_us;
    let (behind, refused) = (usage.behind, not_sent.saturating_sub(usage.behind));
    let of = scheduled.map_or(String::new(), |scheduled| format!(" of {scheduled}"));
    let all = [
        (late > LATE_US)
            .then(|| format!("The load tester was late by {}, one time in a hundred.", units::micros(late))),
        (behind > 0).then(|| format!("It was too slow for the rate: {behind}{of} that were due it did not send.")),
        (usage.drops > 0).then(|| format!("Its own receive queues dropped {} packets that were relayed.", usage.drops)),
        (refused > 0).then(|| format!("The kernel did not take {refused} packets from it.")),
    ];
    all.into_iter().flatten().collect()
}

fn generator(usage: &Usage, result: &LoadResult, cpu: Option<usize>) -> Generator {
    let (scheduled, not_sent) = match (&result.traffic, &result.churn, &result.flood) {
        (Some(Traffic { total, .. }), ..) => (total.scheduled, total.not_sent),
        (_, Some(churn), _) => (churn.scheduled, usage.behind),
        (.., Some(flood)) => (flood.scheduled, flood.scheduled.unwrap_or(0).saturating_sub(flood.requests)),
        _ => (None, 0),
    };
    let mut remarks = complaints(usage, scheduled, not_sent);
    let was_limit = !remarks.is_empty();
    if usage.busy_share() > 0.9 && result.traffic.is_some() {
        remarks.push(format!("It was busy for {:.0} % of the time: near its own limit.", 100.0 * usage.busy_share()));
    }
    if cfg!(debug_assertions) {
        remarks.push("It is a debug build: slower by far than a release.".into());
    }
    remarks.extend_from_slice(&usage.remarks);
    Generator {
        cpu: cpu.and_then(|cpu| u32::try_from(cpu).ok()),
        polling: Some(if usage.polled_busily { "busy" } else { "napping" }.to_owned()),
        lateness: usage.lateness.latency(),
        cpu_share: usage.own_cpu_share(),
        busy_share: usage.busy_share(),
        receive_drops: usage.drops,
        strays: usage.strays,
        was_limit,
        remarks,
    }
}

/// The server's memory some time after its allocations are gone.
fn settled(session: &Session<'_>) -> Memory {
    if !session.watch.is_empty() {
        std::thread::sleep(SETTLE);
    }
    session.watch.memory()
}

fn plan_facts(settings: &Settings, clients: u32) -> PlanFacts {
    let shapes = settings.profile.shapes(settings.key_frames);
    let is_raw = settings.profile == Profile::Raw;
    let largest = shapes.iter().map(|shape| shape.frame).max_by_key(|frame| frame.payload);
    PlanFacts {
        target: settings.target.to_string(),
        profile: settings.profile.name().to_owned(),
        path: settings.path.name().to_owned(),
        framing: settings.framing.name().to_owned(),
        allocations: clients,
        rate_per_s: settings.steps.last().copied().unwrap_or_else(|| settings.total_rate()),
        payload_bytes: largest.map_or(if is_raw { settings.payload } else { 0 }, |frame| frame.payload).into(),
        burst: largest.map_or(if is_raw { settings.burst } else { 0 }, |frame| frame.packets).into(),
        merged: settings.merged,
        duration_s: settings.duration.as_secs_f64(),
        warmup_s: settings.warmup.as_secs_f64(),
        ramp_s: settings.ramp.as_secs_f64(),
        growth_s: Some(settings.growth.as_secs_f64()),
        key_frames_s: shapes.iter().any(|shape| shape.key.is_some()).then_some(settings.key_frames.as_secs_f64()),
        seed: settings.seed,
    }
}
