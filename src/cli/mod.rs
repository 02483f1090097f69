//! The commands: each parses its arguments, calls the floor below and prints.
#![forbid(unsafe_code)]

mod check;
mod config;
mod credential;
mod load;
mod out;
mod plan;
#[cfg(feature = "probe")]
mod probe;
mod serve;
mod version;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};

use crate::engine;

/// What every command says of its exit code.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  not done; standard error says why
  2  the arguments were not understood";

/// A TURN/STUN relay that is closed by default, blind to media, and explains itself
///
/// Without a command it serves: without a configuration, too, as a try-out that this machine alone can reach.
#[derive(Debug, Parser)]
#[command(name = "turnkeep", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Config(config::Config),
    Credential(credential::Credential),
    Load(Box<load::Load>),
    Plan(plan::Plan),
    #[cfg(feature = "probe")]
    Probe(Box<probe::Probe>),
    Version(version::Version),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Every command but the smallest reads secrets. Where it is forbidden to forbid this, `serve` says so.
    let _ = engine::forbid_dumps();
    match arguments.command {
        None => arguments.serve.run(),
        Some(Command::Serve(serve)) => serve.run(),
        Some(Command::Check(check)) => check.run(),
        Some(Command::Config(config)) => config.run(),
        Some(Command::Credential(credential)) => credential.run(),
        Some(Command::Load(load)) => load.run(),
        Some(Command::Plan(plan)) => plan.run(),
        #[cfg(feature = "probe")]
        Some(Command::Probe(probe)) => probe.run(),
        Some(Command::Version(version)) => version.run(),
    }
}

/// The wall clock, in seconds since 1970.
fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
