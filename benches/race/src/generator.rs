//! Drives `turnkeep load` and reads what it leaves. What it is told and what is read of its document stands here alone.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::case::{Case, Kind, Traffic, Transport, probe};
use crate::metric::Metric;
use crate::server::{PASSWORD, Programs, Running, USER};

/// Allocations begun per second: below what the slowest manages.
pub(crate) const SETUP_PER_S: u32 = 2000;

/// The share of allocations that may fail without making the figures another case's.
const FAILED_BORNE: f64 = 0.01;

/// What one run of the load generator says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) figures: BTreeMap<Metric, f64>,
    pub(crate) generator_limited: bool,
}

/// Puts the load of `case` on `server` from core `cpu` (from any if none is given), and leaves the document at
/// `document`.
pub(crate) fn run(
    programs: &Programs,
    case: &Case,
    server: &Running,
    cpu: Option<usize>,
    seconds: Duration,
    document: &Path,
) -> Result<Outcome, String> {
    // What an earlier run left is not this one's.
    let _ = fs::remove_file(document);
    let mut command = Command::new(&programs.generator);
    command.arg("load").arg(server.address()).args(["--user", USER, "--password", PASSWORD]);
    command.args(arguments(case, seconds));
    if let Some(cpu) = cpu {
        command.args(["--cpu", &cpu.to_string()]);
    }
    command.args(["--server-pid", &server.pid().to_string()]).arg("--json").arg(document);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("the load generator: {error}"))?;
    let read = fs::read_to_string(document).and_then(|text| {
        serde_json::from_str::<Value>(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    });
    match read {
        Ok(value) => outcome(case, &value),
        Err(_) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            Err(format!("the load generator left no result ({}): {last}", output.status))
        }
    }
}

fn arguments(case: &Case, seconds: Duration) -> Vec<String> {
    let mut words: Vec<String> = match case.kind {
        Kind::Capacity(_) => vec!["--find-capacity".into()],
        Kind::Rate(Traffic { merged: true, .. }) => vec!["--merged".into()],
        _ => Vec::new(),
    };
    let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
    match case.kind {
        Kind::Rate(traffic) => {
            add_traffic(&mut add, traffic);
            add("--duration", format!("{}s", seconds.as_secs()));
        }
        Kind::Capacity(traffic) => {
            add_traffic(&mut add, traffic);
            add("--duration", format!("{}s", probe(seconds).as_secs()));
        }
        Kind::Cycles { at_once } => {
            add("--profile", "churn".into());
            // As many as go: the server sets the pace.
            add("--rate", "max".into());
            add("--allocations", at_once.to_string());
            add("--duration", format!("{}s", seconds.as_secs()));
        }
        Kind::Connections { at_once } => {
            add("--profile", "connect".into());
            add("--rate", "max".into());
            add("--allocations", at_once.to_string());
            add("--duration", format!("{}s", seconds.as_secs()));
        }
        Kind::Memory { allocations } => {
            add("--profile", "idle".into());
            add("--setup-rate", SETUP_PER_S.to_string());
            add("--allocations", allocations.to_string());
            add("--duration", "3s".into());
        }
        // Nobody is asked.
        Kind::Idle => {}
    }
    if case.transport != Transport::Udp {
        add("--transport", case.transport.name().into());
    }
    if matches!(case.transport, Transport::Tls(_)) {
        words.push("--insecure".into());
    }
    words
}

fn add_traffic(add: &mut impl FnMut(&str, String), traffic: Traffic) {
    add("--profile", "raw".into());
    add("--path", traffic.path.name().into());
    add("--allocations", traffic.allocations.to_string());
    add("--rate", traffic.rate_per_s.to_string());
    add("--payload", traffic.payload_bytes.to_string());
    add("--burst", traffic.burst.to_string());
    add("--setup-rate", SETUP_PER_S.to_string());
}

/// The figures in a result document (its `format` 1).
fn outcome(case: &Case, document: &Value) -> Result<Outcome, String> {
    if document["format"] != 1 {
        return Err(format!("a result of format {}, which is not known here", document["format"]));
    }
    if document["ended"] != "completed" {
        return Err(format!("the load {}: {}", document["ended"], document["errors"]));
    }
    let number = |pointer: &str| document.pointer(pointer).and_then(Value::as_f64);
    let part = if matches!(case.kind, Kind::Cycles { .. } | Kind::Connections { .. }) { "/churn" } else { "/setup" };
    let (failed, all) = (number(&format!("{part}/failed")), number("/setup/attempted"));
    if let Some((failed, all)) = failed.zip(all).filter(|(failed, all)| *failed > FAILED_BORNE * all) {
        return Err(format!("{failed} of {all} allocations failed: {}", document["errors"]));
    }
    if document.pointer("/capacity/confirmed") == Some(&Value::Bool(false)) {
        return Err("the search found no rate that a longer run bore out".into());
    }
    let mut outcome = Outcome::default();
    let mut put = |metric: Metric, value: Option<f64>| {
        if let Some(value) = value {
            outcome.figures.insert(metric, value);
        }
    };
    match case.kind {
        Kind::Rate(_) => {
            let received = number("/traffic/total/received").filter(|received| *received > 0.0);
            let switches = number("/server/voluntary_switches").zip(number("/server/involuntary_switches"));
            put(Metric::CpuNsPerPacket, number("/server/cpu_ns_per_packet"));
            put(Metric::P50Us, number("/traffic/total/latency/p50_us"));
            put(Metric::P99Us, number("/traffic/total/latency/p99_us"));
            put(Metric::LateP999Us, number("/generator/lateness/p99_9_us"));
            put(Metric::Loss, number("/traffic/total/loss"));
            put(Metric::ReceivedPerS, number("/traffic/total/received_per_s"));
            put(Metric::SwitchesPerPacket, switches.zip(received).map(|((some, others), all)| (some + others) / all));
        }
        Kind::Capacity(_) => put(Metric::CapacityPerS, number("/capacity/rate_per_s")),
        Kind::Cycles { .. } | Kind::Connections { .. } => {
            put(Metric::CyclesPerS, number("/churn/cycles_per_s"));
            put(Metric::CpuUsPerCycle, number("/churn/server_cpu_ns_per_cycle").map(|ns| ns / 1000.0));
        }
        Kind::Memory { .. } => {
            put(
                Metric::UserKibPerAllocation,
                number("/server/memory/per_allocation_bytes").map(|bytes| bytes / 1024.0),
            );
        }
        Kind::Idle => {}
    }
    if outcome.figures.is_empty() {
        return Err("a result without the figures of this case".into());
    }
    let limits = ["/generator/was_limit", "/capacity/generator_limited"];
    outcome.generator_limited = limits.iter().any(|pointer| document.pointer(pointer) == Some(&Value::Bool(true)));
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn case(name: &str) -> Case {
        Case::select(&[name.into()]).unwrap().remove(0)
    }

    #[test]
    fn a_steady_rate_is_read() {
        let document = json!({
            "format": 1, "ended": "completed",
            "traffic": {"total": {
                "received": 1000, "loss": 0.002, "received_per_s": 998.0, "latency": {"p50_us": 11.0, "p99_us": 20.5}
            }},
            "server": {"cpu_ns_per_packet": 4071.5, "voluntary_switches": 400, "involuntary_switches": 100},
            "generator": {"was_limit": true, "lateness": {"p99_9_us": 97.5}}
        });
        let outcome = outcome(&case("up-160-100-50k"), &document).unwrap();
        assert_eq!(outcome.figures[&Metric::CpuNsPerPacket], 4071.5);
        assert_eq!(outcome.figures[&Metric::P99Us], 20.5);
        assert_eq!(outcome.figures[&Metric::LateP999Us], 97.5);
        assert_eq!(outcome.figures[&Metric::SwitchesPerPacket], 0.5);
        assert!(outcome.generator_limited);
    }

    #[test]
    fn memory_is_per_allocation() {
        let memory = json!({"per_allocation_bytes": 2048.0});
        let document = json!({"format": 1, "ended": "completed", "server": {"memory": memory}});
        let outcome = outcome(&case("memory"), &document).unwrap();
        assert_eq!(outcome.figures[&Metric::UserKibPerAllocation], 2.0);
    }

    #[test]
    fn what_is_no_result_is_a_failure() {
        let case = case("cycles");
        assert!(outcome(&case, &json!({"format": 2})).unwrap_err().contains("format 2"));
        let failed = json!({"format": 1, "ended": "setup_failed", "errors": {"allocate 486": 3}});
        assert!(outcome(&case, &failed).unwrap_err().contains("486"));
        let refused = json!({
            "format": 1, "ended": "completed", "errors": {"channel_bind 403": 90},
            "setup": {"attempted": 100, "failed": 90}, "churn": {"failed": 90, "cycles_per_s": 2.0}
        });
        assert!(outcome(&case, &refused).unwrap_err().contains("90 of 100 allocations failed"));
        let found = json!({"rate_per_s": 9e4, "confirmed": false});
        let unconfirmed = outcome(&case, &json!({"format": 1, "ended": "completed", "capacity": found}));
        assert!(unconfirmed.unwrap_err().contains("bore out"));
        let empty = json!({"format": 1, "ended": "completed", "churn": null});
        assert!(outcome(&case, &empty).unwrap_err().contains("without the figures"));
    }

    #[test]
    fn loads_say_what_the_case_says() {
        let words = arguments(&case("burst-down-merged"), Duration::from_secs(5)).join(" ");
        for part in ["--path down", "--rate 100000", "--payload 1150", "--burst 8", "--merged", "--duration 5s"] {
            assert!(words.contains(part), "{part} in {words}");
        }
        let words = arguments(&case("handshakes-rsa"), Duration::from_secs(5)).join(" ");
        for part in ["--profile connect", "--allocations 64", "--transport tls", "--insecure"] {
            assert!(words.contains(part), "{part} in {words}");
        }
        assert!(arguments(&case("capacity-up-100"), Duration::ZERO).contains(&"--find-capacity".into()));
    }
}
