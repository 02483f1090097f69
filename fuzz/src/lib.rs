//! The fuzz drivers: each is a function of bytes, and a panic is a finding. libFuzzer calls them (`fuzz_targets/`), and
//! so does `cargo test --test fuzz_corpus`, with the inputs that are kept.
#![allow(dead_code, unreachable_pub, reason = "shared by two crates, each of which uses its own part")]

pub mod channel_data;
pub mod client_hello;
pub mod framer;
pub mod message;
pub mod proxy_header;
pub mod server_authenticated;
pub mod server_unauthenticated;

mod answer;
mod input;
mod oracle;
mod request;
mod shadow;

#[path = "../../tests/sans_io/mod.rs"]
mod sans_io;

/// A function of bytes that panics when it finds something.
pub type Driver = fn(&[u8]);

/// Each driver by its target's name, which is also that of its folders in `corpus/` and `regressions/`.
pub const TARGETS: [(&str, Driver); 7] = [
    ("message", message::run),
    ("channel_data", channel_data::run),
    ("framer", framer::run),
    ("proxy_header", proxy_header::run),
    ("client_hello", client_hello::run),
    ("server_unauthenticated", server_unauthenticated::run),
    ("server_authenticated", server_authenticated::run),
];
