//! `benches/RESULTS.md`, written from the records alone: nobody edits a figure.

use std::fmt::Write;

use crate::case::{Case, Group};
use crate::goal;
use crate::metric::Metric;
use crate::record::Records;
use crate::server::Server;
use crate::stats::Spread;

/// What stands around the tables.
pub(crate) struct Frame<'a> {
    /// (what, how it is) of the machine.
    pub(crate) machine: &'a [(&'static str, String)],
    /// The version of each server, in the order of the servers.
    pub(crate) versions: &'a [String],
    pub(crate) command: &'a str,
    pub(crate) seconds: u64,
    /// Written by hand, put in as it is.
    pub(crate) notes: &'a str,
}

/// More loss than this is said beside a figure: what is lost costs nothing.
const LOSS_SAID: f64 = 0.001;

/// Of prose; a table's row cannot be folded.
const MAX_COLUMNS: usize = 114;

/// The whole document.
pub(crate) fn write(records: &Records, cases: &[Case], servers: &[Server], frame: &Frame<'_>) -> String {
    let mut out = String::new();
    head(&mut out, records, servers, frame);
    out.push_str(&goal::table(records));
    for group in Group::ALL {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.group == group).collect();
        let servers = those_with_figures(records, &cases, servers);
        if !servers.is_empty() {
            section(&mut out, records, group, &cases, &servers);
        }
    }
    failures(&mut out, records, cases, servers);
    let notes = frame.notes.trim();
    if !notes.is_empty() {
        let _ = write!(out, "\n{notes}\n");
    }
    out
}

/// The servers that a table of `cases` has columns for.
pub(crate) fn those_with_figures<'a>(records: &Records, cases: &[&Case], servers: &'a [Server]) -> Vec<&'a Server> {
    let has = |server: &&Server| {
        let mut rounds = cases.iter().flat_map(|case| records.of(&case.name, &server.name));
        rounds.any(|record| !record.figures.is_empty())
    };
    servers.iter().filter(has).collect()
}

fn head(out: &mut String, records: &Records, servers: &[Server], frame: &Frame<'_>) {
    let rounds = match records.rounds() {
        (fewest, most) if fewest == most => counted(most),
        (fewest, most) => format!("{fewest} to {most} rounds"),
    };
    let how = format!(
        "{rounds} of {} s, servers interleaved, the order rotated, a fresh server for each measurement; the server on \
         one core, the load generator (`turnkeep load`) on another. A measurement during which other programs had more \
         than a twentieth of a core is made again. A cell is the median, in brackets the lowest and the highest round. \
         CPU is the server's user and system time. `†`: more than 0.1 % was lost, and what is lost costs nothing. `‡`: \
         the load generator was the limit, not the server.",
        frame.seconds
    );
    let _ = write!(
        out,
        "# The race\n\nWritten by `scripts/race`; change `benches/race`, not this file.\n\n    {}\n\n{}\n\n",
        folded("        ", frame.command).replace('\n', " \\\n"),
        folded("", &how)
    );
    for (what, how) in frame.machine {
        let _ = writeln!(out, "{}", folded("  ", &format!("- {what}: {how}")));
    }
    out.push_str("\n| server | version | settings |\n| --- | --- | --- |\n");
    for (server, version) in servers.iter().zip(frame.versions) {
        let _ = writeln!(out, "| {} | {version} | {} |", server.name, server.describe());
    }
}

/// Prose in lines that fit a screen, all but the first behind `indent`.
fn folded(indent: &str, text: &str) -> String {
    let (mut out, mut columns) = (String::new(), 0);
    for word in text.split(' ') {
        let width = word.chars().count();
        if columns > 0 && columns + 1 + width > MAX_COLUMNS {
            let _ = write!(out, "\n{indent}");
            columns = indent.len();
        } else if columns > 0 {
            out.push(' ');
            columns += 1;
        }
        out.push_str(word);
        columns += width;
    }
    out
}

fn section(out: &mut String, records: &Records, group: Group, cases: &[&Case], servers: &[&Server]) {
    let stem = group.file_stem();
    let _ = write!(out, "\n## {}\n\n![{}](results/{stem}.svg)\n", group.title(), group.title());
    for &metric in Metric::of(group) {
        let cell = |case: &Case, server: &Server| cell(records, case, server, metric);
        table(out, metric.title(), cases, servers, cell);
    }
    let Some(&metric) = Metric::of(group).first() else {
        return;
    };
    for baseline in ["coturn", group.floor()] {
        if !servers.iter().any(|server| server.name == baseline) {
            continue;
        }
        let ratio = |case: &Case, server: &Server| {
            let of = |name: &str| records.spread(&case.name, name, metric);
            let ratio = of(&server.name).zip(of(baseline)).and_then(|(own, other)| own.ratio_to(other));
            ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}"))
        };
        table(out, &format!("{}, ratio to {baseline}", metric.title()), cases, servers, ratio);
    }
}

fn table(out: &mut String, title: &str, cases: &[&Case], servers: &[&Server], cell: impl Fn(&Case, &Server) -> String) {
    let row = |case: &&Case| {
        let cells: Vec<String> = servers.iter().map(|server| cell(case, server)).collect();
        cells.iter().any(|cell| cell != "–").then(|| format!("| {} | {} |\n", case.title, cells.join(" | ")))
    };
    let rows: String = cases.iter().filter_map(row).collect();
    if rows.is_empty() {
        return;
    }
    let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    let _ = write!(out, "\n| {title} | {} |\n|{}\n{rows}", names.join(" | "), " --- |".repeat(names.len() + 1));
}

fn cell(records: &Records, case: &Case, server: &Server, metric: Metric) -> String {
    let Some(spread) = records.spread(&case.name, &server.name, metric) else {
        return "–".into();
    };
    let Spread { median, min, max } = spread;
    let mut text = metric.write(median);
    let (low, high) = (metric.write(min), metric.write(max));
    if low != high {
        let _ = write!(text, " ({low}–{high})");
    }
    let loss = records.spread(&case.name, &server.name, Metric::Loss);
    if let Some(loss) = loss.filter(|loss| loss.median > LOSS_SAID) {
        let _ = write!(text, " †{}", Metric::Loss.write(loss.median));
    }
    if records.of(&case.name, &server.name).any(|record| record.generator_limited) {
        text.push_str(" ‡");
    }
    text
}

fn counted(rounds: usize) -> String {
    if rounds == 1 { "1 round".into() } else { format!("{rounds} rounds") }
}

/// What could not be measured, and why.
fn failures(out: &mut String, records: &Records, cases: &[Case], servers: &[Server]) {
    let mut lines = Vec::new();
    for case in cases {
        for server in servers {
            let failed = records.of(&case.name, &server.name).filter_map(|record| record.failure.as_deref());
            let failed: Vec<&str> = failed.collect();
            if let Some(why) = failed.last() {
                lines.push(format!("- {}, {}: {}, {why}\n", case.name, server.name, counted(failed.len())));
            }
        }
    }
    if !lines.is_empty() {
        let _ = write!(out, "\n## What failed\n\n{}", lines.concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{path, record};
    use crate::server::ServerKind;

    fn server(name: &str, kind: ServerKind) -> Server {
        Server { name: name.into(), kind }
    }

    fn frame() -> Frame<'static> {
        Frame { machine: &[], versions: &[], command: "scripts/race", seconds: 5, notes: "## Notes\n\nBy hand.\n" }
    }

    fn report(name: &str, list: Vec<crate::record::Record>, case: &str) -> String {
        let path = path(name);
        let mut records = Records::create(&path).unwrap();
        list.into_iter().for_each(|record| records.add(record).unwrap());
        std::fs::remove_file(path).unwrap();
        let cases = Case::select(&[case.into()]).unwrap();
        let servers = [
            server("turnkeep", ServerKind::Turnkeep { program: "turnkeep".into(), workers: 1 }),
            server("coturn", ServerKind::Coturn { threads: 1 }),
            server("pion", ServerKind::Pion),
        ];
        write(&records, &cases, &servers, &frame())
    }

    #[test]
    fn tables_have_medians_spread_and_ratios() {
        let case = "up-160-100-50k";
        let cpu = |server: &str, round: usize, ns: f64| record(case, server, round, &[(Metric::CpuNsPerPacket, ns)]);
        let rounds = [4100.0, 4000.0, 4900.0];
        let mut list: Vec<_> = rounds.iter().enumerate().map(|(round, ns)| cpu("turnkeep", round, *ns)).collect();
        list.push(cpu("coturn", 0, 8200.0));
        let text = report("ratios", list, case);
        let row = "| client to peer, 100 allocations, 50k/s |";
        assert!(text.contains(&format!("{row} 4100 (4000–4900) | 8200 |\n")), "{text}");
        assert!(text.contains(&format!("{row} 0.50 | 1.00 |\n")), "{text}");
        assert!(text.contains("3 rounds of 5 s") && text.contains("results/relay.svg"), "{text}");
        assert!(text.ends_with("\n## Notes\n\nBy hand.\n"), "{text}");
        assert!(!text.contains("What failed"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("| CPU") && line.contains("pion")), "a column of nothing");
    }

    #[test]
    fn prose_is_folded() {
        let long = format!("scripts/race --cases {}", ["up-160-1000-100k"; 12].join(" --cases "));
        let path = path("folded");
        let frame = Frame { command: &long, ..frame() };
        let text = write(&Records::create(&path).unwrap(), &[], &[], &frame);
        std::fs::remove_file(path).unwrap();
        assert!(text.contains(" \\\n        ") && text.lines().all(|line| line.chars().count() <= 120), "{text}");

        let text = folded("  ", &format!("- {}", "word ".repeat(60).trim_end()));
        assert!(text.lines().all(|line| line.chars().count() <= MAX_COLUMNS), "{text}");
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().skip(1).all(|line| line.starts_with("  word")), "{text}");
    }

    #[test]
    fn what_a_figure_hides_is_said_beside_it() {
        let case = "up-160-100-50k";
        let mut lossy = record(case, "coturn", 0, &[(Metric::CpuNsPerPacket, 5000.0), (Metric::Loss, 0.05)]);
        lossy.generator_limited = true;
        let mut failed = record(case, "pion", 0, &[]);
        failed.failure = Some("the server died".into());
        let text = report("marks", vec![lossy, failed], case);
        assert!(text.contains("| 5000 †5.0 % ‡ |"), "{text}");
        assert!(text.contains("- up-160-100-50k, pion: 1 round, the server died\n"), "{text}");
    }
}
