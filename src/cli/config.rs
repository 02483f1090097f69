//! `turnkeep config`: the documentation of the configuration, from the program itself.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::out;
use crate::config;

/// Print the documentation of the configuration
#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print every key with its meaning and default, as a file to start from
    Reference,
    /// Print the JSON Schema, for editors
    Schema,
}

impl Config {
    pub(super) fn run(self) -> ExitCode {
        match self.what {
            What::Reference => out::print(&config::reference()),
            What::Schema => out::print(&format!("{:#}\n", config::json_schema())),
        }
    }
}
