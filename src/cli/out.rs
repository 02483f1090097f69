//! Standard output and standard error of the commands.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// The exit code for arguments that were not understood, as clap has it.
const NOT_UNDERSTOOD: u8 = 2;

/// Writes `text` to standard output; success, unless nobody can read it.
pub(super) fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("cannot write to standard output: {error}")),
    }
}

/// Writes one sentence to standard error; failure.
pub(super) fn fail(sentence: impl Display) -> ExitCode {
    complain(format_args!("turnkeep: error: {sentence}"));
    ExitCode::FAILURE
}

/// The same where it is the arguments that make no sense.
pub(super) fn refuse(sentence: impl Display) -> ExitCode {
    fail(sentence);
    ExitCode::from(NOT_UNDERSTOOD)
}

/// Writes lines to standard error.
pub(super) fn complain(lines: impl Display) {
    // Where standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{lines}");
}
