//! A simulated network: just another engine. No socket, no thread, no clock; one seed decides everything.
//!
//! [`Node`] is what a worker is in the real engine: a relay server with its listeners, its relay sockets and its pool
//! of ports. It is given datagrams and says what it sends; the time between is the caller's. [`Network`] says when a
//! datagram arrives, if it does; [`Nat`] under which address; [`Schedule`] holds what is to happen, in order; [`Seed`]
//! gives each part of a world a stream of randomness of its own, so that changing one leaves the others alone; and
//! [`TraceHash`] tells whether two runs were the same.
//!
//! Here is what a world is made of, for tests, benches and fuzzers alike. Who lives in it, and which promises are held
//! over it, is a test's own matter (`tests/simulation`).
#![forbid(unsafe_code)]

mod nat;
mod network;
mod node;
mod random;
mod schedule;
mod trace;

pub use nat::{Behaviour, Nat};
pub use network::{Carried, Impairment, Network, NetworkCounters};
pub use node::{Node, Opening, Output, RelayAddresses};
pub use random::{Random, Seed};
pub use schedule::Schedule;
pub use trace::TraceHash;
