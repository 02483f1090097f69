//! The server in a simulated network: loss, duplicates, stragglers, NATs, cuts, stalls, crashes, clocks that are set,
//! sockets that fail or open late, and people who mean ill. A seed decides everything; the promises are held over every
//! step, and each seed is run twice and must leave the same trace.
//!
//! A failing seed prints the line that replays it, step by step. More seeds: `TURNKEEP_SEEDS=5000 cargo test --test
//! simulation`. One that found something is kept in [`KEPT`].
//!
//! What the world is made of is `turnkeep::engine::sim`. Those who live there and the judges are here: they are about
//! promises, and no bench or fuzzer could use them without making the same ones.

#[path = "../sans_io/mod.rs"]
mod sans_io;

mod actor;
mod caller;
mod ledger;
mod mark;
mod peer;
mod plan;
mod policy;
mod speech;
mod villain;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use turnkeep::engine::sim::Seed;

use self::plan::Plan;
use self::world::{Report, run};

/// Seeds that found something once.
const KEPT: &[u64] = &[];

#[test]
fn every_seed_holds_every_promise() {
    let count = std::env::var("TURNKEEP_SEEDS").map_or(300, |count| count.parse().expect("a number of seeds"));
    let seeds: Vec<u64> = KEPT.iter().copied().chain(0..count).collect();
    let (next, failed, reports) = (AtomicU64::new(0), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap()) {
                    match catch_unwind(AssertUnwindSafe(|| twice(*seed))) {
                        Ok(report) => reports.lock().unwrap().push(report),
                        Err(_) => failed.lock().unwrap().push(*seed),
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_unstable();
    let lines: String = failed.iter().take(5).map(|seed| format!("\n{}", replay_line(*seed))).collect();
    assert!(failed.is_empty(), "{} seeds of {} fail; replay with:{lines}", failed.len(), seeds.len());
    assert_something_happened(&reports.into_inner().unwrap());
}

/// P10.
fn twice(seed: u64) -> Report {
    let report = run(Plan::draw(Seed(seed)), false);
    assert_eq!(run(Plan::draw(Seed(seed)), false), report, "P10: one seed, two runs");
    report
}

fn replay_line(seed: u64) -> String {
    format!("TURNKEEP_SEED={seed} cargo test --test simulation replay -- --nocapture")
}

/// The promises would be cheap if nothing happened.
fn assert_something_happened(reports: &[Report]) {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let each = reports.len() as u64;
    assert!(sum(|report| report.echoes) > 50 * each, "words came back");
    assert!(sum(|report| report.stats.opened) > 3 * each, "allocations were made");
    assert!(sum(|report| report.stats.dropped) > 10 * each, "and datagrams dropped");
    assert!(sum(|report| report.stats.denied) > each, "and requests refused");
    assert!(sum(|report| report.stats.lost) > 0, "and lost to a crash");
    assert!(sum(|report| report.stats.narrowed) > each / 10, "and addresses of one family given up");
}

/// Runs the seed of `TURNKEEP_SEED` and shows every step.
#[test]
#[allow(clippy::print_stdout, reason = "a replay is read")]
fn replay() {
    let Ok(seed) = std::env::var("TURNKEEP_SEED") else { return };
    let plan = Plan::draw(Seed(seed.parse().expect("a seed is a number")));
    println!("{plan:#?}");
    println!("{:#?}", run(plan, true));
}

/// Where nothing goes wrong, every word comes back.
#[test]
fn in_a_peaceful_world_nothing_is_lost() {
    for seed in 0..20 {
        let report = run(Plan::peaceful(Seed(seed)), false);
        assert_eq!((report.stats.lost, report.stats.denied, report.overflowed), (0, 0, 0), "seed {seed}");
        assert_eq!(report.lost_words, 0, "seed {seed}");
    }
}
