//! The relay floor without sockets: a world with a clock that is turned by hand, an engine that opens relay sockets at
//! once, clients that say exactly what a test wants said, and a judge who looks at every message that leaves.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test target uses its own part")]

mod client;
mod judge;
mod message;
mod policy;
pub mod stun;
mod world;

pub use client::{Client, Kind, SERVER, SERVER_V6};
pub use judge::{Judge, xored_address};
pub use message::{Attribute, Raw, channel_header, channel_message, code, message, only_reply, outcome, refusal};
pub use policy::{BRIEF_UNTIL, EPOCH, KNOWN, Lease, REALM, Seeded, TestPolicy, password_of};
pub use world::{Output, World, settings};
