//! The end-to-end check of a TURN server: what a client does, step by step, then what a server must refuse, and in
//! plain words what failed and what most likely cures it.
//!
//! [`run()`] takes [`Settings`] and makes a [`Report`]. Each URI is resolved, and each of its addresses is walked
//! (`walk`): `reach` connects, `login` passes the challenge and allocates, `echo` sends through the relay and back,
//! `independent` does it again with a client that we did not write (the `turn` and `stun` crates). `negative` holds
//! what must fail.
//!
//! It shares nothing with the server but the wire floor, so that it can be wrong about a server in no way that the
//! server shares. One request is under way at a time; what is sent is counted and bounded.
#![forbid(unsafe_code)]

mod cause;
mod certificate;
mod client;
mod echo;
mod far;
mod independent;
mod link;
mod login;
mod negative;
mod reach;
mod report;
mod resolve;
mod settings;
mod text;
mod tls;
mod walk;

pub use report::{Path, Report, Section, Step, Summary, Target, Verdict};
pub use settings::{Negative, Settings, Trust};
pub use text::{heading, line, summary};
pub use walk::run;
