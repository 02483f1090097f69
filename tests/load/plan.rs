//! Plans, as a golden file and from the program.

use std::process::{Command, Output};

use turnkeep::load::plan::{Base, Demand, Media, Plan};
use turnkeep::load::result::LoadResult;

use crate::document::sample;
use crate::golden::assert_golden;

fn plan(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
    command.arg("plan").args(arguments.split_whitespace()).output().expect("the program runs")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn the_plan_is_as_it_was() {
    let printed = text(&plan("--visits-per-hour 200 --minutes 20 --relayed 25% --profile 720p"));
    assert_golden("tests/golden/load/plan.txt", &printed);
    let printed = text(&plan("--visits-per-hour 200 --profile audio --json"));
    assert_golden("tests/golden/load/plan.json", &printed);
}

#[test]
fn a_measured_result_is_the_base() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("capacity.json");
    std::fs::write(&file, serde_json::to_string(&sample()).expect("it has string keys alone")).expect("a file");
    let printed = text(&plan(&format!("--visits-per-hour 1000 --participants 3 --capacity {}", file.display())));
    assert_golden("tests/golden/load/plan-measured.txt", &printed);
    let wrong = plan(&format!("--visits-per-hour 1 --capacity {}/Cargo.toml", env!("CARGO_MANIFEST_DIR")));
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("no result of a load test"));
}

#[test]
fn what_cannot_be_worked_out_is_refused() {
    for arguments in ["--visits-per-hour 1e12", "--visits-per-hour 1 --participants 1"] {
        let refused = plan(arguments);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0), "{arguments}");
    }
    assert!(String::from_utf8_lossy(&plan("--visits-per-hour 1e12").stderr).contains("more than can be worked out"));
    let many = text(&plan("--visits-per-hour 1M --profile video-720p"));
    assert_eq!(many, text(&plan("--visits-per-hour 1M --profile 720p")));
}

fn demand(visits_per_hour: f64) -> Demand {
    Demand {
        visits_per_hour,
        minutes_per_visit: 30.0,
        participants: 2,
        relayed_share: 0.5,
        peak_factor: 1.0,
        blocked_share: 0.01,
        allocations_each: 6,
        utilisation: 0.5,
        media: Media { name: "test".into(), bits_per_s: 800_000.0, packets_per_s: 100.0 },
    }
}

/// By hand: 24 erlangs need 35 places at 1 %, so 420 allocations; 35 relayed participants have 70 streams, 7000
/// packets/s of 10 µs are 7 % of a core; 70 x (800 + 25.6) kbit/s.
#[test]
fn the_arithmetic_is_right() {
    let plan = Plan::new(demand(48.0), Base::assumed());
    for (key, expected) in [
        ("offered_load", 24.0),
        ("concurrent_calls", 35.0),
        ("allocations", 420.0),
        ("relay_ports", 420.0),
        ("relayed_participants", 35.0),
        ("packets_per_s", 7000.0),
        ("mbit_per_s_in", 57.792),
        ("cores", 1.0),
        ("file_descriptors", 1420.0),
    ] {
        let value = plan.value(key).unwrap_or(f64::NAN);
        assert!((value - expected).abs() < 1e-6, "{key}: {value}");
    }
    assert!(plan.remarks.is_empty());
}

/// The demand's packets are of 1000 bytes, and it has 420 allocations.
#[test]
fn what_was_measured_otherwise_is_pointed_out() {
    let remarks = |base| Plan::new(demand(48.0), base).remarks.concat();
    let of_packets = |payload_bytes| remarks(Base { payload_bytes: Some(payload_bytes), ..Base::assumed() });
    assert!(of_packets(160.0).contains("packets of 160 bytes, planned are 1000"), "{}", of_packets(160.0));
    assert!(of_packets(1600.0).contains("--payload 1000"));
    assert_eq!(of_packets(900.0), "");
    let of_allocations = |count| remarks(Base { allocations: Some(count), ..Base::assumed() });
    assert!(of_allocations(10).contains("Measured were 10 allocations, planned are 420"), "{}", of_allocations(10));
    assert_eq!(of_allocations(42), "");
    let one_rate = LoadResult { capacity: None, ..sample() };
    assert!(remarks(Base::measured(&one_rate).expect("it has the server's CPU time")).contains("no search"));
}

#[test]
fn too_many_ports_for_an_address_are_pointed_out() {
    let remark = |visits| Plan::new(demand(visits), Base::assumed()).remarks.concat();
    assert!(remark(3_000.0).contains("widen relay.ports"));
    assert!(remark(12_000.0).contains("2 relay addresses"));
}

#[test]
fn a_bitrate_is_voice_and_full_packets() {
    assert_eq!(Media::of_bitrate(40_000.0).packets_per_s, 50.0);
    assert_eq!(Media::of_bitrate(48_000.0 + 920_000.0).packets_per_s, 150.0);
    assert_eq!(plan("--visits-per-hour 1 --bitrate 1M --profile 720p").status.code(), Some(2));
    assert_eq!(plan("--visits-per-hour 1 --utilisation 0%").status.code(), Some(2));
}
