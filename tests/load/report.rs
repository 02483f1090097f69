//! Reports, as golden files and from the program.

use std::process::Command;

use turnkeep::load::report::html;
use turnkeep::load::result::{Latency, LoadResult, Second};

use crate::document::sample;
use crate::golden::assert_golden;
use crate::rig::Rig;

#[test]
fn the_report_is_as_it_was() {
    assert_golden("tests/golden/load/report.html", &html(&run()));
}

/// The sample of the document, with a curve and some seconds that a plot can show.
pub(crate) fn run() -> LoadResult {
    let mut result = sample();
    result.churn = None;
    result.flood = None;
    let traffic = result.traffic.as_mut().expect("the sample has traffic");
    traffic.stages = Vec::new();
    traffic.series = (0..30).map(second).collect();
    traffic.directions.values_mut().chain([&mut traffic.total]).for_each(|count| shape(&mut count.latency));
    result
}

/// Gives it a long tail, with the points that the tool writes.
fn shape(latency: &mut Latency) {
    let time = |left: f64| (10.0 + 30.0 * left.powf(-0.35)).min(latency.max_us).round();
    let left = (0..70).map(|step| 0.5_f64.powf(f64::from(step) / 4.0));
    let curve: Vec<_> = left.map(|left| [1.0 - left, time(left)]).chain([[1.0, latency.max_us]]).collect();
    (latency.p50_us, latency.p90_us, latency.p99_us) = (time(0.5), time(0.1), time(0.01));
    (latency.p99_9_us, latency.p99_99_us) = (time(0.001), time(0.0001));
    latency.curve = curve;
}

fn second(at_s: u32) -> Second {
    let wave = f64::from(at_s % 7);
    Second {
        at_s,
        sent: 10_000,
        arrived: if at_s == 12 { 9_970 } else { 10_000 },
        received: 10_000,
        received_bytes: 1_600_000,
        p50_us: 40.0 + wave,
        p99_us: 85.0 + 3.0 * wave,
        max_us: 200.0 + 150.0 * wave,
        server_cpu: Some(0.06 + wave / 500.0),
    }
}

/// Nothing is fetched, nothing runs, every element is closed.
#[test]
fn the_report_needs_nothing_else() {
    let html = html(&run());
    for foreign in ["<script", "http:", "https:", "<link", "<img", "@import", "url(", "NaN", "inf"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    for tag in ["div", "table", "tr", "td", "figure", "svg", "dl", "ul", "p", "h2", "text", "thead", "tbody", "pre"] {
        let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn a_run_leaves_a_report_and_a_result_makes_the_same() {
    let rig = Rig::new();
    let (during, after) = (rig.relay.path("during.html"), rig.relay.path("after.html"));
    rig.load(&format!("--duration 1s --warmup 0s --allocations 4 --rate 200 --report {during}"));
    let output = Command::new(env!("CARGO_BIN_EXE_turnkeep"))
        .args(["load", "report", &rig.relay.path("result.json"), "-o", &after])
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |path: &str| std::fs::read_to_string(path).expect("a report was written");
    assert!(read(&during).contains("200"));
    assert_eq!(read(&during), read(&after));
}

#[test]
fn what_is_no_result_makes_no_report() {
    let output = Command::new(env!("CARGO_BIN_EXE_turnkeep"))
        .args(["load", "report", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .expect("the program runs");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no result of a load test"));
}
