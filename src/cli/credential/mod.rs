//! `turnkeep credential`: makes ephemeral credentials, and says what the relay makes of one.

mod explain;
mod mint;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::out;
use crate::config::{self, Report, translate};
use crate::policy::auth::Authenticator;

/// Make an ephemeral credential, or say what the relay makes of one
#[derive(Debug, Args)]
pub(super) struct Credential {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Mint(mint::Mint),
    Explain(explain::Explain),
}

impl Credential {
    pub(super) fn run(self) -> ExitCode {
        match self.what {
            What::Mint(mint) => mint.run(),
            What::Explain(explain) => explain.run(),
        }
    }
}

/// Which relay's credentials.
#[derive(Debug, Args)]
struct Relay {
    /// The relay's configuration, which names its secrets
    #[arg(long, value_name = "FILE", default_value = "/etc/turnkeep/turnkeep.toml")]
    config: PathBuf,
}

impl Relay {
    /// Reads what the relay judges credentials by; what is wrong with it is said on standard error.
    fn authenticator(&self) -> Result<Authenticator, ExitCode> {
        let complain = |report: Report| {
            out::complain(&report);
            ExitCode::FAILURE
        };
        let loaded = config::load(&self.config).map_err(complain)?;
        let keys = loaded.keys().map_err(|findings| complain(Report::of(&self.config, findings)))?;
        Ok(translate::authenticator(&loaded.config, keys))
    }
}
