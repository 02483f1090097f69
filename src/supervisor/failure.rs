//! Why the relay does not start, or did not end as it should: one sentence each.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::engine::EngineError;
use crate::policy::audit::{OpenError, StopError};
use crate::policy::peer::BadRules;
use crate::telemetry::TelemetryError;

/// Why the relay does not start, or did not end as it should.
#[derive(Debug)]
pub enum Failure {
    /// There is no log.
    Telemetry(TelemetryError),
    /// There are no random numbers.
    Entropy,
    /// The host does not tell its addresses.
    Interfaces(io::Error),
    /// The peer rules cannot be had.
    Peers(BadRules),
    /// The audit file cannot be written.
    Audit(OpenError),
    /// A certificate has changed for the worse since it was checked.
    Certificate(String),
    /// Sockets or threads cannot be had.
    Engine(EngineError),
    /// A thread of our own cannot be had.
    Thread(io::Error),
    /// The runtime that waits for signals cannot be had.
    Runtime(io::Error),
    /// The try-out has no directory for its audit file.
    Directory(PathBuf, io::Error),
    /// A worker ended by itself.
    WorkerDied,
    /// So many workers did not end.
    LateWorkers(usize),
    /// The audit trail is not complete at its end.
    AuditEnd(StopError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = match self {
            Self::Telemetry(error) => error.to_string(),
            Self::Entropy => "the kernel gives no random numbers".to_owned(),
            Self::Interfaces(error) => format!("cannot list this host's own addresses: {error}"),
            Self::Peers(error) => error.to_string(),
            Self::Audit(error) => error.to_string(),
            Self::Certificate(why) => why.clone(),
            Self::Engine(error) => error.to_string(),
            Self::Thread(error) => format!("cannot start a thread: {error}"),
            Self::Runtime(error) => format!("cannot wait for signals: {error}"),
            Self::Directory(within, error) => format!(
                "cannot make a directory for the audit file in {}: {error}; set TMPDIR to one that can be written",
                within.display()
            ),
            Self::WorkerDied => "a worker thread ended by itself; the log has its panic".to_owned(),
            Self::LateWorkers(late) => format!("{late} worker threads did not stop in time"),
            Self::AuditEnd(error) => error.to_string(),
        };
        f.write_str(sentence.trim_end_matches('.'))
    }
}

impl std::error::Error for Failure {}
