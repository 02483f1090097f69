//! `turnkeep version`: what this binary is.

use std::process::ExitCode;

use clap::Args;

use super::out;

/// Print the version and how the program was built
#[derive(Debug, Args)]
pub(super) struct Version {}

impl Version {
    pub(super) fn run(self) -> ExitCode {
        out::print(&facts())
    }
}

fn facts() -> String {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    // Packagers set it to the commit that they build from.
    let commit = option_env!("TURNKEEP_COMMIT").unwrap_or("unknown");
    format!(
        "turnkeep {}\ncommit    {commit}\nbuilt for {}-{}, {profile}\nrust      {} or later\nlicence   {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        env!("CARGO_PKG_RUST_VERSION"),
        env!("CARGO_PKG_LICENSE"),
    )
}
