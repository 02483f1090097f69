//! `benches/RESULTS.md`, written from the records alone: nobody edits a figure.

use std::fmt::Write;

use crate::case::{Case, Group};
use crate::goal;
use crate::metric::Metric;
use crate::record::{Entrant, Record, Records};
use crate::stats::Spread;
use crate::verdict::{Figure, LOSS_SAID, spread};

/// What stands around the tables.
pub(crate) struct Frame<'a> {
    /// (what, how it is) of the machine.
    pub(crate) machine: &'a [(&'static str, String)],
    /// Writes a time in seconds since 1970.
    pub(crate) time: &'a dyn Fn(u64) -> String,
    /// Written by hand, put in as it is.
    pub(crate) notes: &'a str,
}

/// Of prose; a table's row cannot be folded.
const MAX_COLUMNS: usize = 114;

/// The whole document.
pub(crate) fn write(records: &Records, cases: &[Case], servers: &[Entrant], frame: &Frame<'_>) -> String {
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
pub(crate) fn those_with_figures<'a>(records: &Records, cases: &[&Case], servers: &'a [Entrant]) -> Vec<&'a Entrant> {
    let has = |server: &&Entrant| {
        let mut rounds = cases.iter().flat_map(|case| records.of(&case.name, &server.name));
        rounds.any(|record| !record.figures.is_empty())
    };
    servers.iter().filter(has).collect()
}

fn head(out: &mut String, records: &Records, servers: &[Entrant], frame: &Frame<'_>) {
    out.push_str("# The race\n\nWritten by `scripts/race`; change `benches/race`, not this file.\n\n");
    for command in distinct(records, |record| &record.origin.command) {
        let _ = writeln!(out, "    {}", folded("        ", command).replace('\n', " \\\n"));
    }
    let _ = write!(out, "\n{}\n\n", folded("", &how(records)));
    let facts = frame.machine.iter().map(|(what, how)| format!("{what}: {how}"));
    let facts = facts.chain([when(records, frame), commits(records)]);
    facts.for_each(|fact| out.push_str(&(folded("  ", &format!("- {fact}")) + "\n")));
    out.push_str("\n| server | version | settings |\n| --- | --- | --- |\n");
    for Entrant { name, versions, settings } in servers {
        let _ = writeln!(out, "| {name} | {} | {settings} |", versions.join("; "));
    }
}

fn how(records: &Records) -> String {
    let rounds = match records.rounds() {
        (fewest, most) if fewest == most => counted(most),
        (fewest, most) => format!("{fewest} to {most} rounds"),
    };
    let seconds: Vec<String> = distinct(records, |record| &record.seconds).iter().map(ToString::to_string).collect();
    format!(
        "{rounds} of {} s, servers interleaved, every second round in the reverse order, a fresh server for each \
         measurement; the server on one core, the load generator (`turnkeep load`) on another. A measurement during \
         which other programs, or the host's other guests, had more than a twentieth of a core is made again. A \
         cell is the median, in brackets the lowest and the highest round. CPU is the server's user and system \
         time. `†`: more than 0.1 % was lost, and what is lost costs nothing. `‡`: in a round the load generator \
         was the limit, not the server.",
        seconds.join(" or ")
    )
}

fn when(records: &Records, frame: &Frame<'_>) -> String {
    let times = || records.iter().map(|record| record.begun_s);
    let [first, last] = [times().min(), times().max()].map(|time| (frame.time)(time.unwrap_or_default()));
    let most = records.iter().map(|record| record.others).fold(0.0, f64::max);
    format!("time: {first} to {last} UTC; others had {:.1} % of a core at most during a measurement", most * 100.0)
}

/// Which turnkeep all of it is of; if it is not of one, that is said.
fn commits(records: &Records) -> String {
    let commits = distinct(records, |record| &record.origin.commit);
    let generators = distinct(records, |record| &record.origin.generator).len();
    match (commits.as_slice(), generators) {
        ([commit], 1) => format!("commit: {commit}, of turnkeep and of the load generator, in all measurements"),
        (commits, generators) => {
            let commits: Vec<&str> = commits.iter().map(|commit| commit.as_str()).collect();
            format!(
                "commit: **not one**: {}, with {generators} builds of the load generator; figures of one and another \
                 are not comparable",
                commits.join(", ")
            )
        }
    }
}

/// What records have, each once, in the order of the records.
fn distinct<T: PartialEq>(records: &Records, part: impl Fn(&Record) -> &T) -> Vec<&T> {
    let mut all = Vec::new();
    for value in records.iter().map(part) {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all
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

fn section(out: &mut String, records: &Records, group: Group, cases: &[&Case], servers: &[&Entrant]) {
    let stem = group.file_stem();
    let _ = write!(out, "\n## {}\n\n![{}](results/{stem}.svg)\n", group.title(), group.title());
    if let Some(remark) = group.remark() {
        let _ = write!(out, "\n{}\n", folded("", remark));
    }
    for &metric in Metric::of(group) {
        let cell = |case: &Case, server: &Entrant| cell(records, case, server, metric);
        table(out, metric.title(), cases, servers, cell);
    }
    let Some(&metric) = Metric::of(group).first() else {
        return;
    };
    for baseline in ["coturn", group.floor()] {
        if !servers.iter().any(|server| server.name == baseline) {
            continue;
        }
        let ratio = |case: &Case, server: &Entrant| ratio(records, case, [&server.name, baseline], metric);
        table(out, &format!("{}, ratio to {baseline}", metric.title()), cases, servers, ratio);
    }
}

fn table(
    out: &mut String,
    title: &str,
    cases: &[&Case],
    servers: &[&Entrant],
    cell: impl Fn(&Case, &Entrant) -> String,
) {
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

fn cell(records: &Records, case: &Case, server: &Entrant, metric: Metric) -> String {
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

/// The median over the rounds, in each of which both were measured, and the ends.
fn ratio(records: &Records, case: &Case, [own, other]: [&str; 2], metric: Metric) -> String {
    let in_round = |record: &Record| {
        let other = Figure::of(records.in_round(&case.name, other, record.round)?, metric)?;
        Figure::of(record, metric)?.over(other)
    };
    let ratios: Vec<Figure> = records.of(&case.name, own).filter_map(in_round).collect();
    let Some(Spread { median, min, max }) = spread(&ratios) else { return "–".into() };
    let [median, low, high] = [median, min, max].map(|ratio| format!("{ratio:.2}"));
    if low == high { median } else { format!("{median} ({low}–{high})") }
}

fn counted(rounds: usize) -> String {
    if rounds == 1 { "1 round".into() } else { format!("{rounds} rounds") }
}

/// What could not be measured, and why.
fn failures(out: &mut String, records: &Records, cases: &[Case], servers: &[Entrant]) {
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

    fn entrant(name: &str) -> Entrant {
        Entrant { name: name.into(), versions: vec!["1.0".into(), "1.1".into()], settings: "as it comes".into() }
    }

    fn frame() -> Frame<'static> {
        Frame { machine: &[], time: &|seconds| format!("second {seconds}"), notes: "## Notes\n\nBy hand.\n" }
    }

    fn report(name: &str, list: Vec<Record>, case: &str) -> String {
        let path = path(name);
        let mut records = Records::create(&path).unwrap();
        list.into_iter().for_each(|record| records.add(record).unwrap());
        std::fs::remove_file(path).unwrap();
        let cases = Case::select(&[case.into()]).unwrap();
        write(&records, &cases, &["turnkeep", "coturn", "pion"].map(entrant), &frame())
    }

    #[test]
    fn tables_have_medians_spread_and_ratios_of_rounds() {
        let case = "up-160-100-50k";
        let cpu = |server: &str, round: usize, ns: f64| record(case, server, round, &[(Metric::CpuNsPerPacket, ns)]);
        let of =
            |server: &'static str, all: [f64; 3]| all.into_iter().enumerate().map(move |(r, ns)| cpu(server, r, ns));
        let list = of("turnkeep", [4100.0, 4000.0, 4900.0]).chain(of("coturn", [8200.0, 8000.0, 4900.0])).collect();
        let text = report("ratios", list, case);
        let row = "| client to peer, 100 allocations, 50k/s |";
        assert!(text.contains(&format!("{row} 4100 (4000–4900) | 8000 (4900–8200) |\n")), "{text}");
        assert!(text.contains(&format!("{row} 0.50 (0.50–1.00) | 1.00 |\n")), "{text}");
        assert!(text.contains("3 rounds of 5 s") && text.contains("results/relay.svg"), "{text}");
        assert!(text.ends_with("\n## Notes\n\nBy hand.\n"), "{text}");
        assert!(!text.contains("What failed"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("| CPU") && line.contains("pion")), "a column of nothing");
    }

    #[test]
    fn what_ran_is_said() {
        let of = |commit: &str, command: &str, server: &str| {
            let mut record = record("idle", server, 0, &[(Metric::SwitchesPerS, 1.0)]);
            record.origin.commit = commit.into();
            record.origin.command = command.into();
            record
        };
        let list = vec![of("abc", "scripts/race --cases idle", "turnkeep"), of("abc", "scripts/race", "coturn")];
        let text = report("origins", list, "idle");
        assert!(text.contains("\n    scripts/race --cases idle\n    scripts/race\n"), "{text}");
        assert!(text.contains("- commit: abc, of turnkeep and of the load generator"), "{text}");
        assert!(text.contains("| coturn | 1.0; 1.1 | as it comes |"), "{text}");
        assert!(text.contains("- time: second 1800000000 to second 1800000000 UTC;"), "{text}");
        let list = vec![of("abc", "scripts/race", "turnkeep"), of("abd", "scripts/race", "coturn")];
        assert!(report("origins-two", list, "idle").contains("**not one**: abc, abd, with 1 builds"));
    }

    #[test]
    fn prose_is_folded() {
        let long = format!("scripts/race --cases {}", ["up-160-1000-100k"; 12].join(" --cases "));
        let mut record = record("idle", "pion", 0, &[]);
        record.origin.command = long;
        let text = report("folded", vec![record], "idle");
        let is_narrow = |line: &str| line.starts_with('|') || line.chars().count() <= 120;
        assert!(text.contains(" \\\n        ") && text.lines().all(is_narrow), "{text}");

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
