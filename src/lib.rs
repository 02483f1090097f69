//! turnkeep: a TURN/STUN relay that is closed by default, blind to the media it forwards, and explains itself.
//!
//! The floors, from the bottom up; each may use those below it and none above (`tests/tidy.rs` checks it):
//!
//! | floor | module | knows |
//! | --- | --- | --- |
//! | wire | [`wire`] | bytes and messages: zero-copy, no heap, no clock, no I/O |
//! | relay | [`relay`] | the TURN server as a sans-IO state machine: time, randomness and policy answers are arguments |
//! | policy | [`policy`] | credentials, peers, limits, audit; no socket |
//! | engine | `engine` | sockets and threads; no policy |
//! | service | `config`, `telemetry`, `supervisor`, `load`, `probe` | puts the floors together and runs them; measures and checks servers |
//! | cli | `cli` | the commands |
//!
//! Beside the floors stand what is arithmetic alone, [`calendar`], and what `load` and `probe` have in common as
//! clients, `client`.

pub mod calendar;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod client;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod load;
pub mod policy;
#[cfg(feature = "probe")]
pub mod probe;
pub mod relay;
#[cfg(feature = "server")]
pub mod supervisor;
#[cfg(feature = "server")]
pub mod telemetry;
pub mod wire;
