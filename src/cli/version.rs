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
    let (version, licence) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_LICENSE"));
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    let rust = env!("CARGO_PKG_RUST_VERSION");
    format!(
        "turnkeep {version}\ncommit    {commit}\nfeatures  server\nbuilt for {arch}-{os}, {profile}\n\
         rust      {rust} or later\nlicence   {licence}\n"
    )
}
