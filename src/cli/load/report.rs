//! `turnkeep load report`: a report from a result.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::is_dash;
use super::output::Output;
use crate::cli::out;
use crate::load::read::from_json;
use crate::load::report;
use crate::load::result::LoadResult;

/// Make a report from a result that --json has written
///
/// One HTML file with plots that needs nothing else: for a browser, a phone, paper.
#[derive(Debug, Args)]
pub(in crate::cli) struct Report {
    /// The result; - is standard input
    #[arg(value_name = "RESULT.json")]
    result: PathBuf,
    /// Where the report goes [default: standard output]
    #[arg(short, long, value_name = "FILE.html")]
    output: Option<PathBuf>,
}

impl Report {
    pub(in crate::cli) fn run(&self) -> ExitCode {
        match read(&self.result) {
            Ok(result) => write(self.output.as_deref(), &report::html(&result)),
            Err(sentence) => out::fail(sentence),
        }
    }
}

/// The result in `file`.
pub(super) fn read(file: &Path) -> Result<LoadResult, String> {
    let mut text = String::new();
    let read = match is_dash(file) {
        true => std::io::stdin().read_to_string(&mut text).map(drop),
        false => fs::read_to_string(file).map(|read| text = read),
    };
    read.map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    from_json(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// Writes to a file, or to standard output.
pub(super) fn write(file: Option<&Path>, text: &str) -> ExitCode {
    match file.filter(|file| !is_dash(file)) {
        None => out::print(text),
        Some(file) => match Output::check(file).and_then(|output| output.write(text)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(sentence) => out::fail(sentence),
        },
    }
}
