//! What the load tester says of itself: that it was too slow, too few, or on a core of its own.

use turnkeep::load::result::{Count, LoadResult};

use crate::rig::Rig;

fn total(result: &LoadResult) -> &Count {
    &result.traffic.as_ref().expect("something was relayed").total
}

/// No machine sends so much: what is left at the end is not forgotten.
#[test]
fn what_could_not_be_sent_is_told() {
    let rig = Rig::new();
    let arguments = "--rate 30M --duration 200ms --warmup 0s --allocations 4 --path up --payload 24";
    let output = rig.run(&rig.target(), &format!("{arguments} --fail-if not-sent>1%"));
    assert_eq!(output.status.code(), Some(3));
    let result = rig.result();
    let Count { scheduled, sent, not_sent, .. } = *total(&result);
    assert_eq!((scheduled, sent + not_sent), (Some(6_000_000), 6_000_000));
    assert!(result.generator.was_limit);
    let remarks = result.generator.remarks.concat();
    assert!(remarks.contains("too slow for the rate") && remarks.contains(" of 6000000 "), "{remarks}");
    let summary = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(summary.contains(&format!("{sent} of 6000000 sent")), "{summary}");
}

#[test]
fn a_flood_that_could_not_be_poured_is_told() {
    let rig = Rig::new();
    let result = rig.load("--profile flood --rate 30M --duration 100ms --allocations 16");
    let flood = result.flood.expect("requests were sent");
    assert!(flood.scheduled == Some(3_000_000) && flood.requests < 3_000_000, "{flood:?}");
    assert!(result.generator.was_limit);
}

/// Two clients cannot make 20,000 cycles/s at a server that answers in its own time.
#[test]
fn cycles_that_found_no_client_are_told() {
    let rig = Rig::new();
    let result = rig.load("--profile churn --rate 20k --duration 500ms --allocations 2");
    let churn = result.churn.expect("cycles were made");
    assert_eq!(churn.scheduled, Some(10_000));
    assert!(churn.begun < 10_000 && churn.not_begun == Some(10_000 - churn.begun), "{churn:?}");
    assert_eq!(churn.unfinished, Some(churn.begun - churn.completed - churn.failed));
    assert!(churn.cycle.p99_us > 1000.0, "the wait for a client is part of the cycle: {churn:?}");
    let remarks = result.generator.remarks.concat();
    assert!(remarks.contains("All 2 clients were busy") && remarks.contains("--allocations"), "{remarks}");
    assert!(!remarks.contains("too slow for the rate"), "{remarks}");
    // From when a client was free: not the tens of milliseconds that cycles waited for one.
    let late = &result.generator.lateness;
    assert!(late.count == churn.begun && late.p50_us < churn.cycle.p50_us / 4.0, "{late:?}");
}

/// A core that it is pinned to is not all that there are.
#[test]
fn a_pinned_load_tester_polls_as_one_that_is_not() {
    let rig = Rig::new();
    let cores = std::thread::available_parallelism().expect("it is known").get();
    let expected = if cores > 1 { "busy" } else { "napping" };
    for pin in ["", "--cpu 0"] {
        let result = rig.load(&format!("--rate 500 --duration 200ms --warmup 0s --allocations 4 {pin}"));
        assert_eq!(result.generator.polling.as_deref(), Some(expected), "{pin}");
    }
    let result = rig.load("--profile idle --duration 200ms --allocations 4");
    assert_eq!(result.generator.polling.as_deref(), Some("napping"));
}

/// The rate is bearable but for the end: only a tenth of the time tells.
#[test]
fn a_ramp_is_told_in_tenths() {
    let rig = Rig::new();
    let result = rig.load("--rate 1000 --ramp 1s --duration 1s --warmup 0s --allocations 4 --path up");
    let stages = &result.traffic.as_ref().expect("something was relayed").stages;
    let sent: Vec<_> = stages.iter().map(|stage| stage.sent).collect();
    assert_eq!(sent, [5, 15, 25, 35, 45, 55, 65, 75, 85, 95], "half of t², in tenths");
}

#[test]
fn allocations_that_did_not_come_into_being_are_told() {
    let rig = Rig::with_one_port();
    let output = rig.run(&rig.target(), "--rate 200 --duration 200ms --warmup 0s --allocations 4");
    let result = rig.result();
    assert_eq!((result.plan.allocations, result.setup.took_part, result.setup.failed), (4, Some(1), 3));
    assert_eq!(total(&result).flows, 2, "both ways of one");
    let remarks = result.generator.remarks.concat();
    assert!(remarks.contains("Only 1 of 4 allocations took part. The rate was spread"), "{remarks}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 of 4 allocations"));
    assert!(!result.generator.was_limit || remarks.contains("late"), "that is no fault of the load tester");
}
