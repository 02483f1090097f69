//! Races TURN servers against each other and writes `benches/RESULTS.md`. `scripts/race` builds and starts it.
//!
//! `case.rs` says what is raced, `server.rs` who races and how each is set, `measure.rs` what one measurement is,
//! `generator.rs` what `turnkeep load` is told and what is read of its answer, `report.rs` and `plot.rs` what comes
//! out.

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

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use arguments::{Arguments, Plan};
use case::{Case, Group};
use measure::{Setting, build_id, measure};
use metric::Metric;
use record::{Record, Records};
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
    if arguments.list {
        list(&plan);
        return Ok(());
    }
    let scratch = &arguments.programs.scratch;
    fs::create_dir_all(scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let mut records = open(arguments, &plan).map_err(|error| format!("records: {error}"))?;
    if !arguments.report {
        process::allow_many_descriptors().map_err(|error| format!("descriptor limit: {error}"))?;
        run(arguments, &plan, &mut records)?;
    }
    if records.is_empty() {
        return Err("nothing has been measured".into());
    }
    write_results(arguments, &plan, &records).map_err(|error| format!("results: {error}"))
}

fn list(plan: &Plan) {
    println!("Cases:");
    plan.cases.iter().for_each(|case| println!("  {:24}{}: {}", case.name, case.group.title(), case.title));
    println!("Servers:");
    plan.servers.iter().for_each(|server| println!("  {:24}{}", server.name, server.describe()));
}

/// The records to go on with: none of another build.
fn open(arguments: &Arguments, plan: &Plan) -> std::io::Result<Records> {
    let path = arguments.programs.scratch.join("records.jsonl");
    if !arguments.resume && !arguments.report {
        return Records::create(&path);
    }
    let mut records = Records::open(&path)?;
    if !arguments.report {
        let builds: Vec<_> =
            plan.servers.iter().map(|server| (&server.name, build_id(&arguments.programs, server))).collect();
        let is_stale =
            |record: &Record| builds.iter().any(|(name, build)| **name == record.server && *build != record.build);
        records.retain(|record| !is_stale(record) && record.failure.is_none())?;
    }
    Ok(records)
}

fn run(arguments: &Arguments, plan: &Plan, records: &mut Records) -> Result<(), String> {
    let all: Vec<Heat<'_>> = heats(plan)
        .filter(|heat| {
            let build = build_id_of(arguments, heat.server);
            !records.has(&heat.case.name, &heat.server.name, heat.round, &build, plan.seconds)
        })
        .collect();
    let seconds = Duration::from_secs(plan.seconds);
    let estimate: Duration = all.iter().map(|heat| heat.case.estimate(seconds)).sum();
    let minutes = estimate.as_secs().div_ceil(60);
    println!("{} measurements, about {minutes} minutes. The machine should do nothing else.", all.len());
    let setting = Setting { server_cpu: arguments.server_cpu, generator_cpu: arguments.generator_cpu, seconds };
    let begin = Instant::now();
    for (index, heat) in all.iter().enumerate() {
        let Heat { case, server, round } = heat;
        if arguments.limit.is_some_and(|limit| begin.elapsed() + case.estimate(seconds) > limit) {
            println!("The time is up; {} are left, go on with --resume.", all.len() - index);
            break;
        }
        let outcome = measure(&arguments.programs, setting, case, server, *round);
        let record = Record {
            case: case.name.clone(),
            server: server.name.clone(),
            round: *round,
            build: build_id_of(arguments, server),
            seconds: plan.seconds,
            generator_limited: outcome.as_ref().is_ok_and(|outcome| outcome.generator_limited),
            failure: outcome.as_ref().err().cloned(),
            figures: outcome.map(|outcome| outcome.figures).unwrap_or_default(),
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

/// Round after round within each case, the servers taking turns.
fn heats(plan: &Plan) -> impl Iterator<Item = Heat<'_>> {
    plan.cases.iter().flat_map(move |case| {
        let servers: Vec<&Server> = plan.servers.iter().filter(|server| server.runs(case)).collect();
        (0..plan.rounds).flat_map(move |round| {
            let servers = servers.clone();
            stats::order(servers.len(), round).map(move |index| Heat { case, server: servers[index], round })
        })
    })
}

fn build_id_of(arguments: &Arguments, server: &Server) -> String {
    build_id(&arguments.programs, server)
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

fn write_results(arguments: &Arguments, plan: &Plan, records: &Records) -> std::io::Result<()> {
    let notes = fs::read_to_string(&arguments.notes).unwrap_or_default();
    let versions: Vec<String> = plan.servers.iter().map(|server| facts::version(server, &arguments.programs)).collect();
    let frame = report::Frame {
        machine: &facts::machine(),
        versions: &versions,
        command: &arguments.command,
        seconds: plan.seconds,
        notes: &notes,
    };
    let text = report::write(records, &plan.cases, &plan.servers, &frame);
    let plots = arguments.out.join("results");
    fs::create_dir_all(&plots)?;
    let file = arguments.out.join("RESULTS.md");
    fs::write(&file, text)?;
    for group in Group::ALL {
        write_plot(&plots, group, plan, records)?;
    }
    println!("{}", file.display());
    Ok(())
}

fn write_plot(directory: &Path, group: Group, plan: &Plan, records: &Records) -> std::io::Result<()> {
    let cases: Vec<&Case> = plan.cases.iter().filter(|case| case.group == group).collect();
    let servers = report::those_with_figures(records, &cases, &plan.servers);
    if servers.is_empty() {
        return Ok(());
    }
    let file = directory.join(format!("{}.svg", group.file_stem()));
    fs::write(file, plot::write(records, group, &cases, &servers))
}
