//! What the figures do not say by themselves, a sentence each; and which of them mean nothing for it.

use super::result::{LoadResult, Second, Traffic};
use super::server::Watch;
use super::session::Session;
use super::settings::Transport;
use super::units;

/// So many seconds at the end without anything are silence: a packet or two may be late.
const SILENT_SECONDS: usize = 2;

/// Adds what is found to `result`, and takes away what was not measured after all.
pub(super) fn find(session: &mut Session<'_>, result: &mut LoadResult) {
    session.watch.look(session.clock.now());
    let (target, is_udp) = (session.settings.target, session.settings.transport == Transport::Udp);
    let mut found = Vec::new();
    match session.cast.nonsense() {
        0 => {}
        count => found.push(format!(
            "{} datagrams came from {target} that are no answers in STUN: is this a TURN server?",
            units::count(count)
        )),
    }
    found.extend(result.traffic.as_ref().and_then(silence));
    found.extend(ports_alone(result));
    if !session.watch.is_empty() {
        let holds_port = session.watch.holds_port(target.port(), is_udp);
        let (sentences, is_measured) = processes(&session.watch, result, target.port(), holds_port);
        found.extend(sentences);
        if !is_measured {
            forget_server(result);
        }
    }
    result.findings = found;
}

/// Total silence from some time on.
fn silence(traffic: &Traffic) -> Option<String> {
    let sent = |second: &Second| second.sent > 0;
    let last = traffic.series.iter().rposition(|second| second.received > 0);
    let from = last.map_or(0, |last| last + 1);
    let silent = traffic.series.get(from..)?;
    let is_silence = silent.iter().filter(|second| sent(second)).count() >= SILENT_SECONDS;
    match last {
        _ if !is_silence => None,
        None => Some("Nothing arrived at all.".to_owned()),
        Some(last) => {
            // Packets leave evenly: how far into its last second it went on is told by what of it arrived.
            let second = traffic.series.get(last)?;
            let part = if second.sent > 0 { second.arrived as f64 / second.sent as f64 } else { 1.0 };
            Some(format!("Nothing arrived after {:.1} s.", f64::from(second.at_s) + part.min(1.0)))
        }
    }
}

/// Cycles that ended for want of ports say how many ports there are, and no more.
fn ports_alone(result: &LoadResult) -> Option<String> {
    let refused = result.errors.iter().find(|(what, _)| what.ends_with(" 508"))?;
    let failed = result.churn.as_ref()?.failed;
    (*refused.1 * 2 > failed).then(|| {
        "508: the server ran out of ports, which rest after use: the cycles/s are those that its range allows, not \
         those that it could bear; use a lower --rate, or widen the range."
            .to_owned()
    })
}

/// What is to be said of the server's processes, and whether what they used is the server's.
fn processes(watch: &Watch, result: &LoadResult, port: u16, holds_port: Option<bool>) -> (Vec<String>, bool) {
    let names = |pids: &[u32]| {
        let named =
            |(pid, name): (&u32, String)| if name.is_empty() { pid.to_string() } else { format!("{pid} ({name})") };
        pids.iter().zip(watch.names()).map(named).collect::<Vec<_>>().join(", ")
    };
    let ended = watch.ended();
    if !ended.is_empty() {
        let sentence = |(pid, at_ns): &(u32, u64)| {
            format!(
                "Process {pid} ended {:.0} s into the run: its CPU and memory are not measured.",
                *at_ns as f64 / 1e9
            )
        };
        return (ended.iter().map(sentence).collect(), false);
    }
    let worked = result.traffic.as_ref().map(|traffic| traffic.total.received > 0);
    let worked = worked.or(result.churn.as_ref().map(|churn| churn.completed > 0));
    let worked = worked.or(result.flood.as_ref().map(|flood| flood.answers > 0)).unwrap_or(false);
    let which = if watch.pids().len() == 1 { "Process" } else { "Processes" };
    let who = format!("{which} {}", names(watch.pids()));
    let used_none = result.server.as_ref().is_some_and(|server| server.cpu_s == 0.0);
    match (worked && used_none, holds_port) {
        (true, _) => {
            (vec![format!("{who} used no CPU while the server worked: is that the server? Not measured.")], false)
        }
        (false, Some(false)) => (vec![format!("{who}: no socket on port {port}: is that the server?")], true),
        (false, _) => (Vec::new(), true),
    }
}

/// What processes used that are not the server, or are no more, was not measured.
fn forget_server(result: &mut LoadResult) {
    result.server = None;
    for step in &mut result.steps {
        (step.server_cpu_share, step.server_cpu_ns_per_packet) = (None, None);
    }
    result.churn.iter_mut().for_each(|churn| churn.server_cpu_ns_per_cycle = None);
    result.flood.iter_mut().for_each(|flood| flood.server_cpu_ns_per_request = None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::result::{Churn, Count, Server};

    fn series(arrived: &[u64]) -> Traffic {
        let second = |(at_s, arrived): (u32, &u64)| Second {
            at_s,
            sent: 100,
            arrived: *arrived,
            received: *arrived,
            ..Second::default()
        };
        Traffic { series: (0..).zip(arrived).map(second).collect(), ..Traffic::default() }
    }

    #[test]
    fn silence_to_the_end_is_told_with_its_beginning() {
        assert_eq!(silence(&series(&[100, 60, 0, 0, 0])).as_deref(), Some("Nothing arrived after 1.6 s."));
        assert_eq!(silence(&series(&[0, 0, 0])).as_deref(), Some("Nothing arrived at all."));
        assert_eq!(silence(&series(&[100, 0, 0, 90])), None, "it came back");
        assert_eq!(silence(&series(&[100, 100])), None);
    }

    #[test]
    fn a_range_of_ports_is_no_rate() {
        let mut result = LoadResult { churn: Some(Churn { failed: 10, ..Churn::default() }), ..LoadResult::empty() };
        result.errors.insert("allocate 508".into(), 10);
        assert!(ports_alone(&result).is_some_and(|sentence| sentence.contains("ran out of ports")));
        result.errors.insert("allocate 508".into(), 3);
        assert_eq!(ports_alone(&result), None, "that is not why they failed");
    }

    #[test]
    fn who_uses_nothing_is_not_the_server() {
        let watch = Watch::new(&[std::process::id()]).unwrap();
        let total = Count { received: 10, ..Count::default() };
        let mut result = LoadResult {
            traffic: Some(Traffic { total, ..Traffic::default() }),
            server: Some(Server::default()),
            ..LoadResult::empty()
        };
        let (sentences, is_measured) = processes(&watch, &result, 3478, Some(false));
        assert!(!is_measured && sentences[0].contains("used no CPU"), "{sentences:?}");
        result.server = Some(Server { cpu_s: 0.5, ..Server::default() });
        let (sentences, is_measured) = processes(&watch, &result, 3478, Some(false));
        assert!(is_measured && sentences[0].contains("no socket on port 3478"), "{sentences:?}");
        assert_eq!(processes(&watch, &result, 3478, Some(true)), (Vec::new(), true));
        assert_eq!(processes(&watch, &result, 3478, None), (Vec::new(), true), "it cannot be seen");
        forget_server(&mut result);
        assert_eq!(result.server, None);
    }
}
