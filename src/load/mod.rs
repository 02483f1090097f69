//! The load tester: puts a measured load on any TURN server and says what became of every packet.
//!
//! [`run()`] takes [`Settings`] and leaves a [`result::LoadResult`], with which all else about load tests begins.
//! One thread, no heap on the packet path: `schedule` says when each packet leaves, `phase` writes it and knows it
//! again, `fleet` moves many at once, `ledger` and `measure` account for each, `cast` keeps the clients (each a state
//! machine, `client`) alive, `session` is the loop around them, and `run` the order of a test.
//!
//! It shares nothing with the server but the wire floor and the system calls: a measure must not have the faults of
//! what it measures.
#![forbid(unsafe_code)]
// Counts and times become floating point for ratios, and indices are below the bounds of `settings`.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

pub mod answer;
mod capacity;
mod cast;
mod churn;
mod client;
pub mod compare;
mod finding;
mod fleet;
mod flood;
mod host;
mod knock;
mod ledger;
pub mod live;
mod mark;
mod measure;
mod phase;
pub mod plan;
pub mod read;
pub mod report;
pub mod result;
mod run;
mod schedule;
mod server;
mod session;
pub mod settings;
pub mod summary;
pub mod target;
pub mod threshold;
mod units;
mod usage;

pub use run::run;
pub use session::{Progress, Standing};
pub use settings::Settings;
