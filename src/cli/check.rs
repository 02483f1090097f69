//! `turnkeep check`: what is wrong with a configuration, and what it would do.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::out;
use crate::config::{self, Report, Scope, Severity};

/// Look at a configuration: what is wrong with it, and what it would do
///
/// Prints a line for each finding as FILE:LINE: SEVERITY: KEY: SENTENCE, and what would listen, relay, be reached and
/// be recorded. Nothing stays open or changed. Run it as the user that turnkeep runs as, on its host.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXIT_CODES)]
pub(super) struct Check {
    /// The configuration
    file: PathBuf,
    /// Judge the text alone: it is for another host, so don't look at this one's addresses, secrets and directories
    #[arg(long)]
    text_only: bool,
}

const CHECK_EXIT_CODES: &str = "\
Exit codes:
  0  it would start; there may be warnings and notes
  1  it would not start
  2  the arguments were not understood";

impl Check {
    pub(super) fn run(self) -> ExitCode {
        let loaded = match config::load(&self.file) {
            Ok(loaded) => loaded,
            Err(report) => return conclude(&report, ""),
        };
        let scope = if self.text_only { Scope::Text } else { Scope::Host };
        conclude(&config::check(&loaded, scope, super::now_unix()), &config::summary(&loaded))
    }
}

fn conclude(report: &Report, summary: &str) -> ExitCode {
    let findings: String = report.lines().map(|line| line + "\n").collect();
    let gap = if findings.is_empty() || summary.is_empty() { "" } else { "\n" };
    let [errors, warnings, notes] =
        [Severity::Error, Severity::Warning, Severity::Note].map(|severity| count(report.count(severity), severity));
    let verdict = if report.has_errors() { "would not start" } else { "would start" };
    let printed = out::print(&format!("{findings}{gap}{summary}\n{verdict}: {errors}, {warnings}, {notes}\n"));
    if report.has_errors() { ExitCode::FAILURE } else { printed }
}

fn count(count: usize, severity: Severity) -> String {
    format!("{count} {severity}{}", if count == 1 { "" } else { "s" })
}
