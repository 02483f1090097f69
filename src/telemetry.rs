//! The log: events on standard error, for people or as JSON; never a line for a packet.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::schema::{Log, LogFormat, LogLevel};

/// The environment variable that goes before the configured level, with the filters of the `tracing` crate.
pub const FILTER_VARIABLE: &str = "TURNKEEP_LOG";

/// Why there is no log.
#[derive(Debug)]
pub enum TelemetryError {
    /// The environment variable holds something else than filters.
    Filter(tracing_subscriber::filter::ParseError),
    /// The process has a log already.
    Installed(TryInitError),
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => {
                write!(f, "{FILTER_VARIABLE} is not understood ({error}); write a level such as debug, or filters")
            }
            Self::Installed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TelemetryError {}

/// Starts the process's log.
///
/// # Errors
/// Filters of the environment that are none, or a log that was started already.
pub fn start(log: &Log) -> Result<(), TelemetryError> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(filters) if !filters.is_empty() => EnvFilter::try_new(filters).map_err(TelemetryError::Filter)?,
        _ => EnvFilter::new(level_name(log.level)),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match log.format {
        // https://no-color.org: set and not empty means no colours.
        LogFormat::Human => {
            let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let colours = wants_colour && std::io::stderr().is_terminal();
            registry.with(lines.with_target(false).with_ansi(colours)).try_init()
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    started.map_err(TelemetryError::Installed)
}

fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}
