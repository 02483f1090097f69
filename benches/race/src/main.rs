//! Races TURN servers against each other and writes `benches/RESULTS.md`. `scripts/race` builds and starts it.
//!
//! `case.rs` says what is raced, `server.rs` who races and how each is set, `measure.rs` what one measurement is,
//! `generator.rs` what `turnkeep load` is told and what is read of its answer, `record.rs` what is kept of it,
//! `goal.rs` and `verdict.rs` whether it is what was to be shown, `report.rs` and `plot.rs` what comes out.

mod arguments;
mod case;
mod certificate;
mod facts;
mod generator;
mod goal;
mod measure;
mod metric;
mod plot;
mod process;
mod record;
mod report;
mod server;
mod stats;
mod verdict;

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arguments::{Arguments, Plan};
use case::{Case, Group};
use generator::Outcome;
use measure::{Setting, build_id, measure};
use metric::Metric;
use record::{Origin, Record, Records};
use server::Server;

fn main() -> ExitCode {
    match Arguments::read(std::env::args().skip(1)).and_then(|arguments| race(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripts/race: {error}");
            ExitCode::FAILURE
        }
    }
}

fn race(arguments: &Arguments) -> Result<(), String> {
    let plan = arguments.plan()?;
    if arguments.help {
        println!("{}\n\n{}", arguments::USAGE, about(&plan, plan.estimate()));
        return Ok(());
    }
    if arguments.list {
        list(&plan);
        return Ok(());
    }
    let scratch = &arguments.programs.scratch;
    fs::create_dir_all(scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let origins = origins(arguments, &plan);
    let mut records = open(arguments, &origins, plan.seconds)?;
    if !arguments.report {
        process::allow_many_descriptors().map_err(|error| format!("descriptor limit: {error}"))?;
        run(arguments, &plan, &origins, &mut records)?;
    }
    if records.is_empty() {
        return Err("nothing has been measured".into());
    }
    write_results(arguments, &records).map_err(|error| format!("results: {error}"))
}

/// How much there is to do.
fn about(plan: &Plan, estimate: Duration) -> String {
    format!(
        "About {} minutes for {} rounds of {} s with {} servers. What others disturb is measured again and comes \
         on top.",
        estimate.as_secs().div_ceil(60),
        plan.rounds,
        plan.seconds,
        plan.servers.len()
    )
}

fn list(plan: &Plan) {
    println!("Cases, and about how long each takes:");
    let minutes = |case: &Case| plan.estimate_of(case).as_secs_f64() / 60.0;
    let line = |case: &Case| {
        println!("  {:24}{:4.1} min  {}: {}", case.name, minutes(case), case.group.title(), case.title);
    };
    plan.cases.iter().for_each(line);
    println!("Servers:");
    plan.servers.iter().for_each(|server| println!("  {:24}{}", server.name, server.describe()));
    println!("{}", about(plan, plan.estimate()));
}

/// What runs under each server's name.
fn origins(arguments: &Arguments, plan: &Plan) -> Vec<(String, Origin)> {
    let programs = &arguments.programs;
    let (commit, generator) = (facts::commit(programs), build_id(&programs.generator));
    let origin = |server: &Server| Origin {
        commit: commit.clone(),
        build: build_id(&server.program(programs)),
        generator: generator.clone(),
        version: facts::version(server, programs),
        settings: server.describe(),
        command: arguments.command.clone(),
    };
    plan.servers.iter().map(|server| (server.name.clone(), origin(server))).collect()
}

/// The records to go on with: none of another commit, build or length, and none of what failed.
fn open(arguments: &Arguments, origins: &[(String, Origin)], seconds: u64) -> Result<Records, String> {
    let path = arguments.programs.scratch.join("records.jsonl");
    let said = |error: std::io::Error| format!("{}: {error}; --anew begins anew", path.display());
    if arguments.anew {
        return Records::create(&path).map_err(said);
    }
    let mut records = Records::open(&path).map_err(said)?;
    if arguments.report {
        return Ok(records);
    }
    if let Some(Record { server, origin, seconds, .. }) = records.stranger(origins, seconds) {
        return Err(format!(
            "{} has measurements of another build or length: {server} ({}), raced at commit {} for {seconds} s. Go on \
             with these, or begin anew with --anew.",
            path.display(),
            origin.version,
            origin.commit
        ));
    }
    records.forget(|record| record.failure.is_some()).map_err(said)?;
    Ok(records)
}

fn run(arguments: &Arguments, plan: &Plan, origins: &[(String, Origin)], records: &mut Records) -> Result<(), String> {
    let is_left = |heat: &Heat<'_>| !records.has(&heat.case.name, &heat.server.name, heat.round);
    let all: Vec<Heat<'_>> = heats(plan).filter(is_left).collect();
    let seconds = Duration::from_secs(plan.seconds);
    let estimate = all.iter().map(|heat| heat.case.estimate(seconds)).sum();
    println!("{} measurements. {} The machine should do nothing else.", all.len(), about(plan, estimate));
    let Arguments { server_cpu, generator_cpu, .. } = *arguments;
    let setting = Setting { server_cpu, generator_cpu, seconds, bears_others: arguments.is_quick() };
    let begin = Instant::now();
    for (index, heat) in all.iter().enumerate() {
        let Heat { case, server, round } = heat;
        if arguments.limit.is_some_and(|limit| begin.elapsed() + case.estimate(seconds) > limit) {
            println!("The time is up; {} are left: the same command goes on.", all.len() - index);
            break;
        }
        let begun_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let outcome = measure(&arguments.programs, setting, case, server, *round);
        let others = outcome.as_ref().map(|(_, others)| *others).unwrap_or_default();
        let failure = outcome.as_ref().err().cloned();
        let (Outcome { figures, generator_limited }, _) = outcome.unwrap_or_default();
        let origin = origins.iter().find(|(name, _)| *name == server.name).map(|(_, origin)| origin.clone());
        let record = Record {
            case: case.name.clone(),
            server: server.name.clone(),
            round: *round,
            origin: origin.unwrap_or_default(),
            begun_s,
            seconds: plan.seconds,
            figures,
            generator_limited,
            others,
            failure,
        };
        println!("{:4}/{} {}", index + 1, all.len(), line(&record, case));
        records.add(record).map_err(|error| format!("records: {error}"))?;
    }
    Ok(())
}

/// One measurement to be made.
struct Heat<'a> {
    case: &'a Case,
    server: &'a Server,
    round: usize,
}

/// Round after round within each group, case after case within each round, the servers taking turns: what is compared
/// is measured at about the same time, and a race that is stopped has fewer rounds rather than fewer cases.
fn heats(plan: &Plan) -> impl Iterator<Item = Heat<'_>> {
    let rounds = |group: Group| (0..plan.rounds).map(move |round| (group, round));
    Group::ALL.into_iter().flat_map(rounds).flat_map(move |(group, round)| {
        plan.cases.iter().filter(move |case| case.group == group).flat_map(move |case| {
            let servers: Vec<&Server> = plan.servers.iter().filter(|server| server.runs(case)).collect();
            stats::order(servers.len(), round).map(move |index| Heat { case, server: servers[index], round })
        })
    })
}

fn line(record: &Record, case: &Case) -> String {
    let shown = |metric: &Metric| {
        let value = record.figures.get(metric)?;
        Some(format!("{} {}", metric.write(*value), metric.title()))
    };
    let mut figures: Vec<String> = Metric::of(case.group).iter().filter_map(shown).collect();
    if let Some(loss) = record.figures.get(&Metric::Loss).filter(|loss| **loss > 0.0) {
        figures.push(format!("{} loss", Metric::Loss.write(*loss)));
    }
    if record.generator_limited {
        figures.push("the load generator was the limit".into());
    }
    let said = record.failure.as_ref().map_or_else(|| figures.join(", "), |failure| format!("failed: {failure}"));
    format!("{} round {} {}: {said}", record.case, record.round + 1, record.server)
}

/// Of all records, whichever run they are of.
fn write_results(arguments: &Arguments, records: &Records) -> std::io::Result<()> {
    let notes = fs::read_to_string(&arguments.notes).unwrap_or_default();
    let entrants = records.entrants(|name| Server::rank(&arguments.programs, name));
    let frame = report::Frame { machine: &facts::machine(), time: &facts::time, notes: &notes };
    let cases = Case::all();
    let text = report::write(records, &cases, &entrants, &frame);
    let plots = arguments.out.join("results");
    fs::create_dir_all(&plots)?;
    let file = arguments.out.join("RESULTS.md");
    fs::write(&file, text)?;
    for group in Group::ALL {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.group == group).collect();
        let entrants = report::those_with_figures(records, &cases, &entrants);
        if !entrants.is_empty() {
            let plot = plots.join(format!("{}.svg", group.file_stem()));
            fs::write(plot, plot::write(records, group, &cases, &entrants))?;
        }
    }
    println!("{}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_go_through_all_cases_of_a_group() {
        let words = ["--cases", "up-160-100-50k,up-160-1000-50k,idle", "--servers", "coturn,pion", "--rounds", "2"];
        let plan =
            Arguments::read(words.into_iter().map(str::to_owned)).and_then(|arguments| arguments.plan()).unwrap();
        let heats: Vec<_> = heats(&plan).map(|heat| (heat.case.name.as_str(), heat.round, &heat.server.name)).collect();
        let (hundred, thousand, idle) = ("up-160-100-50k", "up-160-1000-50k", "idle");
        let rounds: Vec<_> = heats.iter().map(|(case, round, _)| (*case, *round)).step_by(2).collect();
        assert_eq!(rounds, [(hundred, 0), (thousand, 0), (hundred, 1), (thousand, 1), (idle, 0), (idle, 1)]);
        let servers: Vec<_> = heats.iter().filter(|(case, ..)| *case == hundred).map(|(.., server)| *server).collect();
        assert_eq!(servers, ["coturn", "pion", "pion", "coturn"]);
    }
}
