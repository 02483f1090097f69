//! What turnkeep set out to show, beside what was measured: the table at the head of the results.

use std::fmt::Write;

use crate::case::{Case, Group};
use crate::metric::Metric;
use crate::record::{Record, Records};
use crate::verdict::{Bound, Figure, Marks, Verdict, spread};

/// A figure, what it is a multiple of, and how high or low it should be.
struct Goal {
    /// Its number in the list of what is to be shown.
    number: &'static str,
    /// The case's name.
    case: &'static str,
    metric: Metric,
    /// Who is measured.
    subject: &'static str,
    /// What the figure is divided by.
    against: Against,
    /// None: it is shown, and nothing was promised.
    bound: Option<Bound>,
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

use Against::{BestOther, Nothing, Server};
use Bound::{AtLeast, AtMost};

const TURNKEEP: &str = "turnkeep";
const COTURN: &str = "coturn";
const OTHERS: [&str; 4] = [COTURN, "turn-crate", "pion", "turn-server"];

fn goals() -> Vec<Goal> {
    let mut goals = Vec::new();
    let mut add = |number, case, metric, against, bound| {
        goals.push(Goal { number, case, metric, subject: TURNKEEP, against, bound: Some(bound) });
    };
    for case in ["up-160-1000-50k", "up-160-1000-100k", "down-160-1000-50k", "down-160-1000-100k"] {
        add("1", case, Metric::CpuNsPerPacket, Server(COTURN), AtMost(0.6));
        add("1", case, Metric::CpuNsPerPacket, Server("forwarder"), AtMost(1.15));
        add("1", case, Metric::P99Us, Nothing, AtMost(300.0));
    }
    for (case, most) in
        [("burst-up-single", 0.85), ("burst-down-single", 0.85), ("burst-up-merged", 0.4), ("burst-down-merged", 0.4)]
    {
        add("2", case, Metric::CpuNsPerPacket, Server(COTURN), AtMost(most));
    }
    add("3", "pair-160-100-50k", Metric::CpuNsPerPacket, Server(COTURN), AtMost(0.55));
    for (case, least) in
        [("capacity-up-1000", 1.3), ("capacity-down-1000", 1.3), ("capacity-up-100", 1.0), ("capacity-down-100", 1.0)]
    {
        add("4", case, Metric::CapacityPerS, Server(COTURN), AtLeast(least));
    }
    for (case, base) in [
        ("up-160-10000-50k", "up-160-100-50k"),
        ("up-160-10000-100k", "up-160-100-100k"),
        ("down-160-10000-50k", "down-160-100-50k"),
        ("down-160-10000-100k", "down-160-100-100k"),
    ] {
        add("4", case, Metric::CpuNsPerPacket, Against::Case(base), AtMost(1.1));
    }
    add("5", "cycles", Metric::CyclesPerS, BestOther, AtLeast(1.5));
    add("5", "memory", Metric::UserKibPerAllocation, Nothing, AtMost(2.0));
    add("5", "memory", Metric::UserKibPerAllocation, Server(COTURN), AtMost(0.1));
    add("5", "memory", Metric::KeptShare, Nothing, AtMost(0.1));
    add("6", "idle", Metric::SwitchesPerS, Nothing, AtMost(1.0));
    add("6", "one-call", Metric::P50Us, Server(COTURN), AtMost(1.0));
    add("6", "one-call", Metric::P99Us, Server(COTURN), AtMost(1.0));
    let shared = |case, bound| Goal {
        number: "7",
        case,
        metric: Metric::CpuNsPerPacket,
        subject: "turnkeep-two",
        against: Server(TURNKEEP),
        bound: Some(bound),
    };
    goals.extend(["workers-up-100k", "workers-down-100k"].map(|case| shared(case, AtMost(1.1))));
    let over_tls =
        |case, metric, bound| Goal { number: "TLS", case, metric, subject: TURNKEEP, against: Server(COTURN), bound };
    for case in ["tls-up-160-100-50k", "tls-down-160-100-50k"] {
        goals.push(over_tls(case, Metric::CpuNsPerPacket, Some(AtMost(0.6))));
    }
    for case in ["handshakes-rsa", "handshakes-ecdsa"] {
        goals.push(Goal { against: Nothing, ..over_tls(case, Metric::CyclesPerS, None) });
    }
    goals
}

/// The table of all goals, those that were not raced as well; nothing if there is no figure at all.
pub(crate) fn table(records: &Records) -> String {
    let (cases, goals) = (Case::all(), goals());
    if goals.iter().all(|goal| goal.compare(records, goal.subject).figures.is_empty()) {
        return String::new();
    }
    let row = |goal: &Goal| Some(goal.row(records, cases.iter().find(|case| case.name == goal.case)?));
    let rows: String = goals.iter().filter_map(row).collect();
    format!(
        "\n## What was to be shown\n\n{HOW}\n\n| | what | goal | turnkeep | | coturn | floor |\n|{}\n{rows}",
        " --- |".repeat(7)
    )
}

const HOW: &str = "\
A ratio is that of two servers in the same round; a cell is the median of the rounds, in brackets the lowest and the
highest. **met**: in each of at least three rounds; **missed**: in none; undecided: in some, or in rounds whose marks
leave it open. Of a rate that the generator limited (`‡`) only the least is known; its other figures are of another
load and compared with nothing. A server that lost packets (`†`) would have used at least as much time for all of them
as for those that it relayed, and a lost packet is later than any. p99 is that of the whole way, of which up to the
generator's own lateness (its p99.9) may be the generator's: it is met if the whole way is short enough, and missed if
it is too long without that. The floor is what a bare forwarder needs that has nothing to decide; nobody can be much
below it with the same system calls. Over TLS, in cycles, memory and idleness there is none.";

impl Goal {
    fn row(&self, records: &Records, case: &Case) -> String {
        let compared = self.compare(records, self.subject);
        let beside = |name: &str| match self.against {
            // It is the measure.
            Server(other) if other == name && !compared.figures.is_empty() => "1".into(),
            _ => self.compare(records, name).median(|value| self.write(value)),
        };
        let mut out = String::new();
        let _ = writeln!(
            out,
            "| {} | {}: {}{} | {} | {} | {} | {} | {} |",
            self.number,
            case.group.short_title(&case.title),
            self.metric.title(),
            self.measure(),
            self.bound_written(),
            compared.spread(|value| self.write(value)),
            self.verdict(&compared),
            beside(if self.subject == TURNKEEP { COTURN } else { "coturn-two" }),
            beside(case.group.floor()),
        );
        out
    }

    fn verdict(&self, compared: &Compared) -> String {
        let Some(bound) = self.bound else { return String::new() };
        match bound.judge(&compared.figures) {
            _ if compared.rounds == 0 => "not raced".into(),
            Verdict::TooFew => {
                format!("undecided: {} of {} rounds compare", compared.figures.len(), compared.rounds)
            }
            verdict => verdict.write().into(),
        }
    }

    /// `server`'s figures, or how many times the other one they are, round by round.
    fn compare(&self, records: &Records, server: &str) -> Compared {
        let mut compared = Compared::default();
        for own in records.of(self.case, server).filter(|record| record.failure.is_none()) {
            compared.rounds += 1;
            let others = self.others(records, server, own.round);
            let marks = others.iter().flatten().map(|record| Marks::of(record));
            compared.marks = marks.fold(compared.marks.and(Marks::of(own)), Marks::and);
            let figure = Figure::of(own, self.metric).and_then(|figure| match self.against {
                // The generator's lateness is in both sides of a ratio.
                Nothing if self.metric == Metric::P99Us => {
                    Some(figure.less(own.figures.get(&Metric::LateP999Us).copied().unwrap_or_default()))
                }
                Nothing => Some(figure),
                _ => figure.over(self.highest(&others)?),
            });
            compared.figures.extend(figure);
        }
        compared
    }

    /// Those whose figures are the measure in a round; None for each that should have one and has not.
    fn others<'a>(&self, records: &'a Records, server: &str, round: usize) -> Vec<Option<&'a Record>> {
        let one = |case, server| vec![records.in_round(case, server, round)];
        match self.against {
            Nothing => Vec::new(),
            // Two threads are compared with one of the same server.
            Server(_) if server == "coturn-two" => one(self.case, COTURN),
            Server(other) => one(self.case, other),
            Against::Case(case) => one(case, server),
            BestOther => {
                let races = |other: &&&str| **other != server && records.of(self.case, other).next().is_some();
                OTHERS.iter().filter(races).map(|other| records.in_round(self.case, other, round)).collect()
            }
        }
    }

    /// The highest figure of `others`; none unless each has one.
    fn highest(&self, others: &[Option<&Record>]) -> Option<Figure> {
        let figures: Option<Vec<Figure>> =
            others.iter().map(|record| record.and_then(|record| Figure::of(record, self.metric))).collect();
        figures?.into_iter().reduce(Figure::or_higher)
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
            Some(AtMost(most)) => format!("≤ {}", self.write(most)),
            Some(AtLeast(least)) => format!("≥ {}", self.write(least)),
            None => "–".into(),
        }
    }

    fn write(&self, value: f64) -> String {
        if matches!(self.against, Nothing) { self.metric.write(value) } else { format!("{value:.2}") }
    }
}

/// What the rounds say of a goal.
#[derive(Default)]
struct Compared {
    /// Of the rounds that can be compared.
    figures: Vec<Figure>,
    /// All of the subject's.
    rounds: usize,
    /// Of both sides.
    marks: Marks,
}

impl Compared {
    fn median(&self, write: impl Fn(f64) -> String) -> String {
        spread(&self.figures).map_or_else(|| "–".into(), |spread| write(spread.median) + self.marks.write())
    }

    /// The median and the ends.
    fn spread(&self, write: impl Fn(f64) -> String) -> String {
        let Some(spread) = spread(&self.figures) else { return format!("–{}", self.marks.write()) };
        let (low, high) = (write(spread.min), write(spread.max));
        let range = if low == high { String::new() } else { format!(" ({low}–{high})") };
        write(spread.median) + &range + self.marks.write()
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

    /// The table of figures that are the same in each of three rounds.
    fn rows(name: &str, figures: &[(&str, &str, Metric, f64)]) -> String {
        let rounds: Vec<_> = figures
            .iter()
            .flat_map(|(case, server, metric, value)| {
                (0..3).map(|round| record(case, server, round, &[(*metric, *value)]))
            })
            .collect();
        of(name, rounds)
    }

    fn of(name: &str, list: Vec<Record>) -> String {
        let path = path(name);
        let mut records = Records::create(&path).unwrap();
        list.into_iter().for_each(|record| records.add(record).unwrap());
        std::fs::remove_file(path).unwrap();
        table(&records)
    }

    #[test]
    fn every_goal_is_of_a_case() {
        let cases = Case::all();
        for goal in goals() {
            let case = cases.iter().find(|case| case.name == goal.case).unwrap_or_else(|| panic!("{}", goal.case));
            assert!(Metric::of(case.group).contains(&goal.metric), "{}: no such figure is taken", goal.case);
            if let Against::Case(base) = goal.against {
                assert!(cases.iter().any(|case| case.name == base), "{base}");
            }
        }
        let mut numbers: Vec<&str> = goals().iter().map(|goal| goal.number).collect();
        numbers.dedup();
        assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7", "TLS"]);
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
    fn ratios_are_of_the_same_round() {
        let (cpu, case) = (Metric::CpuNsPerPacket, "pair-160-100-50k");
        let rounds = |server: &str, values: [f64; 4]| {
            let record = |(round, value)| record(case, server, round, &[(cpu, value)]);
            values.into_iter().enumerate().map(record).collect::<Vec<_>>()
        };
        // The medians' ratio would be 0.50; the machine was slow in the last two rounds.
        let own = rounds("turnkeep", [500.0, 500.0, 1200.0, 1000.0]);
        let text = of("goal-rounds", [own.clone(), rounds("coturn", [1000.0, 1000.0, 2000.0, 2000.0])].concat());
        assert!(text.contains("| ≤ 0.55 | 0.50 (0.50–0.60) | undecided | 1 | – |\n"), "{text}");
        let text = of("goal-few", [own, rounds("coturn", [1000.0; 4])[..2].to_vec()].concat());
        assert!(text.contains("| 0.50 | undecided: 2 of 4 rounds compare | 1 | – |\n"), "{text}");
    }

    #[test]
    fn marks_of_either_side_count() {
        let (rate, case) = (Metric::CapacityPerS, "capacity-up-1000");
        let field = |name: &str, limited: &str, own: f64| {
            let rounds = (0..3).flat_map(|round| {
                [("turnkeep", own), ("coturn", 100.0)].map(|(server, value)| Record {
                    generator_limited: server == limited,
                    ..record(case, server, round, &[(rate, value)])
                })
            });
            of(&format!("goal-marks-{name}"), rounds.collect())
        };
        let text = field("own", "turnkeep", 150.0);
        assert!(text.contains("| ≥ 1.30 | 1.50 ‡ | met | 1 | – |\n"), "{text}");
        let text = field("own-low", "turnkeep", 110.0);
        assert!(text.contains("| ≥ 1.30 | 1.10 ‡ | undecided | 1 | – |\n"), "{text}");
        let text = field("other", "coturn", 150.0);
        assert!(text.contains("| ≥ 1.30 | 1.50 ‡ | undecided | 1 | – |\n"), "{text}");
    }

    #[test]
    fn the_best_of_the_others_is_every_others_best() {
        let cycles = |server: &str, round, value| record("cycles", server, round, &[(Metric::CyclesPerS, value)]);
        let mut list: Vec<Record> = (0..3)
            .flat_map(|round| {
                let best = if round == 1 { "pion" } else { "coturn" };
                ["coturn", "pion"].map(|server| cycles(server, round, if server == best { 1000.0 } else { 900.0 }))
            })
            .collect();
        list.extend((0..3).map(|round| cycles("turnkeep", round, 1600.0)));
        let text = of("goal-best", list.clone());
        assert!(text.contains("| ≥ 1.50 | 1.60 | met |"), "{text}");
        list[1] = Record { failure: Some("it died".into()), ..record("cycles", "pion", 0, &[]) };
        let text = of("goal-best-failed", list);
        assert!(text.contains("| 1.60 | undecided: 2 of 3 rounds compare |"), "{text}");
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
