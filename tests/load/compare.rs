//! Comparisons, as golden files and from the program.

use std::process::{Command, Output};

use tempfile::TempDir;
use turnkeep::load::compare::{Comparison, Side, html, text};
use turnkeep::load::result::LoadResult;

use crate::golden::assert_golden;
use crate::report::run;

/// The sample, and one that is better at some things and worse at others.
fn sides() -> [Side; 2] {
    let (a, mut b) = (run(), run());
    let traffic = b.traffic.as_mut().expect("the sample has traffic");
    for count in traffic.directions.values_mut().chain([&mut traffic.total]) {
        let latency = &mut count.latency;
        for time in [&mut latency.p50_us, &mut latency.p90_us, &mut latency.p99_us] {
            *time *= 0.5;
        }
        latency.curve.iter_mut().take(28).for_each(|[_, time]| *time *= 0.5);
        latency.p99_99_us *= 1.2;
        (count.lost, count.loss) = (900, 0.003);
    }
    for second in &mut traffic.series {
        second.arrived = second.sent - 30;
        second.p99_us *= 0.5;
        second.server_cpu = second.server_cpu.map(|cpu| cpu * 0.6);
    }
    let server = b.server.as_mut().expect("the sample has a server");
    server.cpu_ns_per_packet = server.cpu_ns_per_packet.map(|cpu| cpu * 0.6);
    server.cpu_share *= 0.6;
    server.memory.per_allocation_bytes = Some(1900.0);
    b.host.kernel = "6.19.0".into();
    b.plan.rate_per_s = 12_000.0;
    [("coturn", a), ("turnkeep", b)].map(|(name, result)| Side { name: name.into(), result })
}

fn comparison(conditions: &[&str]) -> Comparison {
    let [a, b] = sides();
    let conditions: Vec<_> = conditions.iter().map(|condition| condition.parse().expect("a condition")).collect();
    Comparison::new(a, b, 0.1, &conditions)
}

#[test]
fn the_comparison_is_as_it_was() {
    let comparison = comparison(&["cpu>1.1x", "loss>1x"]);
    assert!(comparison.has_failed());
    assert_golden("tests/golden/load/compare.txt", &text(&comparison));
    assert_golden("tests/golden/load/compare.html", &html(&comparison));
}

#[test]
fn the_same_run_twice_is_the_same() {
    let [a, _] = sides();
    let again = Side { name: "again".into(), result: a.result.clone() };
    let text = text(&Comparison::new(a, again, 0.1, &[]));
    assert!(text.contains("B is better in 0 figures, worse in 0"), "{text}");
}

fn compare(results: [&LoadResult; 2], arguments: &[&str]) -> (Output, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, result) in ["a.json", "b.json"].into_iter().zip(results) {
        let json = serde_json::to_string(result).expect("it has string keys alone");
        std::fs::write(directory.path().join(name), json).expect("a file");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
    command.current_dir(directory.path()).args(["load", "compare", "a.json", "b.json"]).args(arguments);
    (command.output().expect("the program runs"), directory)
}

#[test]
fn conditions_on_ratios_set_the_exit_code() {
    let [a, b] = sides();
    let code = |results, arguments: &[&str]| compare(results, arguments).0.status.code();
    let (a, b) = (&a.result, &b.result);
    assert_eq!(code([a, b], &["--fail-if", "cpu>1.1x"]), Some(0));
    assert_eq!(code([b, a], &["--fail-if", "cpu>1.1x"]), Some(3));
    assert_eq!(code([a, b], &["--fail-if", "cpu>10%"]), Some(2));
}

#[test]
fn a_page_is_written_beside_the_table() {
    let [a, b] = sides();
    let (output, directory) = compare([&a.result, &b.result], &["--report", "c.html", "--noise", "50%"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("more than 50 %"));
    let page = std::fs::read_to_string(directory.path().join("c.html")).expect("a page");
    assert!(page.contains("b against a") && page.ends_with("</html>\n"));
}

#[test]
fn what_makes_figures_incomparable_is_said() {
    let [a, _] = sides();
    let mut other = a.result.clone();
    other.plan.payload_bytes = 1150;
    other.host.cores = 64;
    other.tool.build = "debug".into();
    other.generator.was_limit = true;
    other.generator.polling = Some("napping".into());
    other.host.sysctls.clear();
    let (output, _directory) = compare([&a.result, &other], &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for warning in [
        "Not comparable: another payload.",
        "Different payload, largest: 160 bytes in A, 1150 bytes in B.",
        "Different number of cores: 2 in A, 64 in B.",
        "B was measured with a debug build",
        "In B the load tester was the limit",
        "Different way of the load tester to wait: busy in A, napping in B.",
        "Different net.core.rmem_max: 212992 in A, nothing in B.",
    ] {
        assert!(text.contains(warning), "{warning}: {text}");
    }
    assert!(!text.lines().any(|line| line.ends_with("  better") || line.ends_with("  worse")), "{text}");
    let (output, _directory) = compare([&a.result, &other], &["--fail-if", "loss>1000x"]);
    assert_eq!(output.status.code(), Some(3), "what does not compare does not pass");
}

#[test]
fn a_load_tester_that_was_the_limit_makes_nothing_better() {
    let [a, mut b] = sides();
    b.result.generator.was_limit = true;
    let text = text(&Comparison::new(a, b, 0.1, &[]));
    let p50 = text.lines().find(|line| line.starts_with("p50")).expect("a line");
    assert!(p50.ends_with("  unsure"), "{p50}");
}
