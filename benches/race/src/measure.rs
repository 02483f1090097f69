//! One measurement: a fresh server, its load, the figures.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::{Case, Group, Kind};
use crate::generator::{self, Outcome};
use crate::metric::Metric;
use crate::process::{Quiet, Usage, kernel_bytes, process_bytes};
use crate::server::{Programs, Running, Server};

/// Where and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) server_cpu: usize,
    pub(crate) generator_cpu: usize,
    /// Of measured traffic.
    pub(crate) seconds: Duration,
    /// Whether others may disturb it: to see that it runs, and for no results.
    pub(crate) bears_others: bool,
}

/// How long a server has for what it does after its start.
const SETTLE: Duration = Duration::from_millis(500);
/// Timers that a server has for nothing can be seconds apart.
const IDLE_LONGER: u32 = 4;
/// Servers and the kernel give memory back somewhat later than it is freed.
const GIVE_BACK: Duration = Duration::from_secs(2);

/// More than this share of a core is too much for others to have meanwhile.
const BORNE: f64 = 0.05;
/// How often a measurement is tried that others have disturbed.
const TRIES: usize = 4;

/// Measures `server` in `case`, again if others disturbed it, and says what share of a core these had. The load
/// generator's document lies in the scratch directory afterwards.
pub(crate) fn measure(
    programs: &Programs,
    setting: Setting,
    case: &Case,
    server: &Server,
    round: usize,
) -> Result<(Outcome, f64), String> {
    let mut disturbance = 0.0;
    for _ in 0..TRIES {
        match measure_once(programs, setting, case, server, round)? {
            measured @ (_, others) if others <= BORNE || setting.bears_others => return Ok(measured),
            (_, others) => disturbance = others,
        }
    }
    Err(format!("others had {:.0} % of a core meanwhile", disturbance * 100.0))
}

/// The figures, and the share of a core that others had meanwhile.
fn measure_once(
    programs: &Programs,
    setting: Setting,
    case: &Case,
    server: &Server,
    round: usize,
) -> Result<(Outcome, f64), String> {
    // Two threads want two cores, and there are no more: the load generator runs wherever there is room.
    let (one, other) = (setting.server_cpu, setting.generator_cpu);
    let (server_cpus, generator_cpu) = match case.group {
        Group::Workers => (format!("{one},{other}"), None),
        _ => (one.to_string(), Some(other)),
    };
    let quiet = Quiet::watch().map_err(|error| error.to_string())?;
    let mut running = server.start(programs, &server_cpus, case.transport).map_err(|error| error.to_string())?;
    thread::sleep(SETTLE);
    let document = programs.scratch.join(format!("{}-{}-{round}.json", case.name, server.name));
    let load = || generator::run(programs, case, &running, generator_cpu, setting.seconds, &document);
    let outcome = match case.kind {
        Kind::Idle => idle(&running, IDLE_LONGER * setting.seconds),
        Kind::Memory { allocations } => memory(running.pid(), allocations, load),
        Kind::Rate(_) | Kind::Capacity(_) | Kind::Cycles { .. } | Kind::Connections { .. } => load(),
    };
    match outcome {
        Ok(_) if running.has_died() => Err("the server died".into()),
        outcome => {
            let others = quiet.disturbance(running.pid()).map_err(|error| error.to_string())?;
            outcome.map(|outcome| (outcome, others))
        }
    }
}

/// What a server does that has nothing to do.
fn idle(running: &Running, seconds: Duration) -> Result<Outcome, String> {
    // The Binding request that it was greeted with is forgotten by then.
    thread::sleep(GIVE_BACK);
    let (begin, before) = (Instant::now(), Usage::of(running.pid()).map_err(|error| error.to_string())?);
    thread::sleep(seconds);
    let after = Usage::of(running.pid()).map_err(|error| error.to_string())?;
    let elapsed = begin.elapsed().as_secs_f64();
    let mut outcome = Outcome::default();
    outcome.figures.insert(Metric::SwitchesPerS, (after.switches - before.switches) / elapsed);
    outcome.figures.insert(Metric::CpuUsPerS, (after.cpu_ns - before.cpu_ns) / 1000.0 / elapsed);
    Ok(outcome)
}

/// Adds what the kernel needed at most while `load` ran (the load generator has few sockets, so that it is the
/// server's), and what the process keeps when the allocations have been freed for a while.
fn memory(pid: u32, allocations: u32, load: impl FnOnce() -> Result<Outcome, String>) -> Result<Outcome, String> {
    let said = |error: std::io::Error| error.to_string();
    let (kernel_before, process_before) = (kernel_bytes().map_err(said)?, process_bytes(pid).map_err(said)?);
    let done = AtomicBool::new(false);
    let (outcome, kernel_most) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = kernel_before;
            while !done.load(Ordering::Relaxed) {
                most = most.max(kernel_bytes().unwrap_or_default());
                thread::sleep(Duration::from_millis(100));
            }
            most
        });
        let outcome = load();
        done.store(true, Ordering::Relaxed);
        (outcome, watch.join().unwrap_or(kernel_before))
    });
    let mut outcome = outcome?;
    thread::sleep(GIVE_BACK);
    let process_after = process_bytes(pid).map_err(said)?;
    let per_allocation = |bytes: f64| bytes / 1024.0 / f64::from(allocations);
    outcome.figures.insert(Metric::KernelKibPerAllocation, per_allocation(kernel_most - kernel_before));
    if let Some(taken) = outcome.figures.get(&Metric::UserKibPerAllocation).filter(|taken| **taken > 0.0) {
        let kept = per_allocation(process_after - process_before).max(0.0) / taken;
        outcome.figures.insert(Metric::KeptShare, kept);
    }
    Ok(outcome)
}

/// Names a program by its bytes.
pub(crate) fn build_id(program: &Path) -> String {
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    for byte in fs::read(program).unwrap_or_default() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
    format!("{hash:016x}")
}
