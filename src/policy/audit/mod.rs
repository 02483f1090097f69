//! The audit trail: who was given what, when, and why not.

pub mod aggregate;
mod file;
mod format;
pub mod json;
mod queue;
pub mod record;
mod sink;
mod writer;

pub use file::{OpenError, OpenFailure, probe};
pub use queue::{AuditHandle, AuditStatus, Tick};
pub use record::{Entry, Origin};
pub use sink::{AuditSettings, AuditSink, DEFAULT_QUEUE, StopError};
pub use writer::Trouble;
