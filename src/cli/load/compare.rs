//! `turnkeep load compare`: two results side by side.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{CONDITION_HOLDS, report, share};
use crate::cli::out;
use crate::load::compare::{Comparison, Ratio, Side, html, text};

/// Compare two results: B against A, with ratios, and which differences mean something
///
/// Warns of everything that makes the figures incomparable: other plans, hosts, tools.
#[derive(Debug, Args)]
#[command(after_help = COMPARE_HELP)]
pub(in crate::cli) struct Compare {
    /// A result that --json has written
    #[arg(value_name = "A.json")]
    a: PathBuf,
    /// The one that is judged
    #[arg(value_name = "B.json")]
    b: PathBuf,
    /// Fail if B in terms of A is such as cpu>1.1x, p99>2x, rate<0.9x (can be given several times)
    #[arg(long, value_name = "CONDITION")]
    fail_if: Vec<Ratio>,
    /// Differences up to this are those between two runs of the same
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = share)]
    noise: f64,
    /// Write the comparison with plots: one HTML file that needs nothing else
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

const COMPARE_HELP: &str = "\
Conditions take the names of `turnkeep load --fail-if`, and a ratio. One that was not measured in both fails.

Exit codes:
  0  done
  1  not done; standard error says why
  2  the arguments were not understood
  3  a condition of --fail-if holds";

impl Compare {
    pub(in crate::cli) fn run(&self) -> ExitCode {
        let (a, b) = match (side(&self.a), side(&self.b)) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(sentence), _) | (_, Err(sentence)) => return out::fail(sentence),
        };
        let comparison = Comparison::new(a, b, self.noise, &self.fail_if);
        if let Some(file) = &self.report {
            let written = report::write(Some(file), &html(&comparison));
            if written != ExitCode::SUCCESS {
                return written;
            }
        }
        let printed = out::print(&text(&comparison));
        if comparison.has_failed() { ExitCode::from(CONDITION_HOLDS) } else { printed }
    }
}

/// A result under the name of its file.
fn side(file: &Path) -> Result<Side, String> {
    let name = file.file_stem().map_or_else(|| file.display().to_string(), |stem| stem.to_string_lossy().into_owned());
    report::read(file).map(|result| Side { name, result })
}
