//! What turnkeep set out to show, beside what was measured: the table at the head of the results.

use std::fmt::Write;

use crate::case::{Case, Group};
use crate::metric::Metric;
use crate::record::Records;

/// A figure, what it is a multiple of, and how high or low it should be.
struct Goal {
    /// Its number in the list of what is to be shown.
    number: u8,
    /// The case's name.
    case: &'static str,
    metric: Metric,
    /// Who is measured.
    subject: &'static str,
    /// What the figure is divided by.
    against: Against,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Against {
    /// Nothing: the figure itself.
    Nothing,
    Server(&'static str),
    /// The same server in another case.
    Case(&'static str),
    /// The highest among the others.
    BestOther,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Against::{BestOther, Nothing, Server};
use Bound::{AtLeast, AtMost};

const TURNKEEP: &str = "turnkeep";
const COTURN: &str = "coturn";
const OTHERS: [&str; 4] = [COTURN, "turn-crate", "pion", "turn-server"];

fn goals() -> Vec<Goal> {
    let mut goals = Vec::new();
    let mut add = |number, case, metric, against, bound| {
        goals.push(Goal { number, case, metric, subject: TURNKEEP, against, bound });
    };
    for case in ["up-160-1000-50k", "up-160-1000-100k", "down-160-1000-50k", "down-160-1000-100k"] {
        add(1, case, Metric::CpuNsPerPacket, Server(COTURN), AtMost(0.6));
        add(1, case, Metric::CpuNsPerPacket, Server("forwarder"), AtMost(1.15));
        add(1, case, Metric::P99Us, Nothing, AtMost(300.0));
    }
    for (case, most) in
        [("burst-up-single", 0.85), ("burst-down-single", 0.85), ("burst-up-merged", 0.4), ("burst-down-merged", 0.4)]
    {
        add(2, case, Metric::CpuNsPerPacket, Server(COTURN), AtMost(most));
    }
    add(3, "pair-160-100-50k", Metric::CpuNsPerPacket, Server(COTURN), AtMost(0.55));
    for (case, least) in
        [("capacity-up-1000", 1.3), ("capacity-down-1000", 1.3), ("capacity-up-100", 1.0), ("capacity-down-100", 1.0)]
    {
        add(4, case, Metric::CapacityPerS, Server(COTURN), AtLeast(least));
    }
    for (case, base) in [("up-160-10000-100k", "up-160-100-100k"), ("down-160-10000-100k", "down-160-100-100k")] {
        add(4, case, Metric::CpuNsPerPacket, Against::Case(base), AtMost(1.1));
    }
    add(5, "cycles", Metric::CyclesPerS, BestOther, AtLeast(1.5));
    add(5, "memory", Metric::UserKibPerAllocation, Nothing, AtMost(2.0));
    add(5, "memory", Metric::UserKibPerAllocation, Server(COTURN), AtMost(0.1));
    add(5, "memory", Metric::KeptShare, Nothing, AtMost(0.1));
    add(6, "idle", Metric::SwitchesPerS, Nothing, AtMost(1.0));
    add(6, "one-call", Metric::P50Us, Server(COTURN), AtMost(1.0));
    add(6, "one-call", Metric::P99Us, Server(COTURN), AtMost(1.0));
    for case in ["workers-up-100k", "workers-down-100k"] {
        let (metric, against, bound) = (Metric::CpuNsPerPacket, Server(TURNKEEP), AtMost(1.1));
        goals.push(Goal { number: 7, case, metric, subject: "turnkeep-two", against, bound });
    }
    goals
}

/// The table of all goals, those that were not raced as well; nothing if there is no figure at all.
pub(crate) fn table(records: &Records) -> String {
    let (cases, goals) = (Case::all(), goals());
    if goals.iter().all(|goal| goal.value(records, goal.subject).is_none()) {
        return String::new();
    }
    let row = |goal: &Goal| Some(goal.row(records, cases.iter().find(|case| case.name == goal.case)?));
    let rows: String = goals.iter().filter_map(row).collect();
    format!(
        "\n## What was to be shown\n\n| | what | goal | turnkeep | | coturn | floor |\n|{}\n{rows}",
        " --- |".repeat(7)
    )
}

impl Goal {
    fn row(&self, records: &Records, case: &Case) -> String {
        let value = self.value(records, self.subject);
        let beside = |name: &str| match self.against {
            // It is the measure.
            Server(other) if other == name && value.is_some() => "1".into(),
            _ => self.value(records, name).map_or_else(|| "–".into(), |value| self.write(value)),
        };
        let limited = records.of(self.case, self.subject).any(|record| record.generator_limited);
        let mut out = String::new();
        let _ = writeln!(
            out,
            "| {} | {}: {}{} | {} | {}{} | {} | {} | {} |",
            self.number,
            case.group.short_title(&case.title),
            self.metric.title(),
            self.measure(),
            self.bound_written(),
            value.map_or_else(|| "–".into(), |value| self.write(value)),
            if limited { " ‡" } else { "" },
            match value {
                Some(value) if self.bound.holds(value) => "met",
                Some(_) => "**missed**",
                None => "not raced",
            },
            beside(if self.subject == TURNKEEP { COTURN } else { "coturn-two" }),
            beside(case.group.floor()),
        );
        out
    }

    /// `server`'s figure, or how many times the other one it is.
    fn value(&self, records: &Records, server: &str) -> Option<f64> {
        let median = |case, server| records.spread(case, server, self.metric).map(|spread| spread.median);
        let other = match self.against {
            Nothing => Some(1.0),
            // Two threads are compared with one of the same server.
            Server(_) if server == "coturn-two" => median(self.case, COTURN),
            Server(other) => median(self.case, other),
            Against::Case(case) => median(case, server),
            BestOther => OTHERS.iter().filter_map(|other| median(self.case, other)).reduce(f64::max),
        };
        Some(median(self.case, server)? / other.filter(|other| *other > 0.0)?)
    }

    fn measure(&self) -> String {
        match self.against {
            Nothing => String::new(),
            Server(other) => format!(", times {other}'s"),
            Against::Case(base) => {
                let cases = Case::all();
                let title = cases.iter().find(|case| case.name == base).map_or(base, |case| &case.title);
                format!(", times that of {title}")
            }
            BestOther => ", times the best of the others".into(),
        }
    }

    fn bound_written(&self) -> String {
        match self.bound {
            AtMost(most) => format!("≤ {}", self.write(most)),
            AtLeast(least) => format!("≥ {}", self.write(least)),
        }
    }

    fn write(&self, value: f64) -> String {
        if matches!(self.against, Nothing) { self.metric.write(value) } else { format!("{value:.2}") }
    }
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            AtMost(most) => value <= most,
            AtLeast(least) => value >= least,
        }
    }
}

impl Group {
    /// What a row beside those of other groups calls a case.
    fn short_title(self, case: &str) -> String {
        let of_its_own = match self {
            Self::Relay => return case.into(),
            Self::Bursts => "bursts",
            Self::Pair => "relay to relay",
            Self::Capacity => "highest rate",
            Self::Cycles => "allocation cycles",
            Self::Memory => "memory",
            Self::Idle => "idle",
            Self::OneCall => "one call alone",
            Self::Workers => "two threads instead of one",
            Self::Streams => "over a stream",
            Self::Handshakes => "TLS handshakes",
        };
        format!("{of_its_own}, {case}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{path, record};

    fn rows(name: &str, figures: &[(&str, &str, Metric, f64)]) -> String {
        let path = path(name);
        let mut records = Records::create(&path).unwrap();
        for (case, server, metric, value) in figures {
            records.add(record(case, server, 0, &[(*metric, *value)])).unwrap();
        }
        std::fs::remove_file(path).unwrap();
        table(&records)
    }

    #[test]
    fn every_goal_is_of_a_case() {
        let cases = Case::all();
        for goal in goals() {
            let case = cases.iter().find(|case| case.name == goal.case).unwrap_or_else(|| panic!("{}", goal.case));
            assert!(Metric::of(case.group).contains(&goal.metric), "{}: no such figure is taken", goal.case);
        }
        let numbers: Vec<u8> = goals().iter().map(|goal| goal.number).collect();
        assert!(numbers.is_sorted() && (1..=7).all(|number| numbers.contains(&number)), "{numbers:?}");
    }

    #[test]
    fn goals_are_met_or_missed_beside_the_floor() {
        let (cpu, case) = (Metric::CpuNsPerPacket, "pair-160-100-50k");
        let field = |own| {
            let all =
                [(case, "turnkeep", cpu, own), (case, "coturn", cpu, 1000.0), (case, "forwarder-switch", cpu, 300.0)];
            rows(&format!("goal-{own}"), &all)
        };
        assert!(field(500.0).contains("times coturn's | ≤ 0.55 | 0.50 | met | 1 | 0.30 |\n"), "{}", field(500.0));
        assert!(field(560.0).contains("| 0.56 | **missed** | 1 | 0.30 |\n"), "{}", field(560.0));
    }

    #[test]
    fn growth_and_threads_are_compared_with_the_same_server() {
        let cpu = Metric::CpuNsPerPacket;
        let text = rows(
            "goal-growth",
            &[
                ("up-160-100-100k", "turnkeep", cpu, 1000.0),
                ("up-160-10000-100k", "turnkeep", cpu, 1050.0),
                ("up-160-100-100k", "coturn", cpu, 1000.0),
                ("up-160-10000-100k", "coturn", cpu, 2000.0),
                ("workers-up-100k", "turnkeep", cpu, 1000.0),
                ("workers-up-100k", "turnkeep-two", cpu, 1080.0),
                ("workers-up-100k", "coturn", cpu, 3000.0),
                ("workers-up-100k", "coturn-two", cpu, 3300.0),
            ],
        );
        assert!(text.contains("| ≤ 1.10 | 1.05 | met | 2.00 | – |\n"), "{text}");
        assert!(text.contains("| ≤ 1.10 | 1.08 | met | 1.10 | – |\n"), "{text}");
    }

    #[test]
    fn what_was_not_raced_is_said() {
        assert_eq!(rows("goal-none", &[("cycles", "coturn", Metric::CyclesPerS, 5.0)]), "");
        let alone = rows("goal-idle", &[("idle", "turnkeep", Metric::SwitchesPerS, 0.0)]);
        assert!(alone.contains("| ≤ 0.55 | – | not raced | – | – |\n"), "{alone}");
        assert!(alone.contains("| 6 | idle, no client: context switches/s | ≤ 1.0 | 0.0 | met | – | – |\n"), "{alone}");
    }
}
