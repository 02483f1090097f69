//! The TURN server as a sans-IO state machine (RFC 8656).
//!
//! The fast path is a return value ([`Verdict`], [`PeerVerdict`]), side effects are a queue ([`Command`]); time and
//! randomness are arguments, and what is a matter of policy is asked through the traits of [`seam`]. Nothing here
//! opens a socket, reads a clock, takes a lock or writes a log, so the whole server runs under a simulated clock and
//! network.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod addr;
mod allocation;
mod channel;
pub mod clock;
pub mod command;
pub mod counters;
pub mod event;
mod five_tuple;
mod icmp;
pub mod limits;
pub mod nonce;
mod permission;
pub mod port_set;
pub mod reason;
mod request;
mod resting;
pub mod seam;
pub mod server;
mod table;
mod timer;
pub mod verdict;

pub use addr::{
    ClientAddr, Family, ListenerId, Path, PeerAddr, RelayedAddr, ServerAddr, StreamId, TlsSession, Transport,
};
pub use clock::{Instant, Now};
pub use command::{Command, PortParity, PortWish, RelayFailure, RelayId, Reservation, Token};
pub use counters::Counters;
pub use event::Event;
pub use nonce::NonceKey;
pub use reason::{CloseReason, DropReason};
pub use server::{Families, Server, Settings};
pub use verdict::{Front, PeerVerdict, Verdict};
