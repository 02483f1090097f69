//! The load tester, as its users meet it.
#![cfg(feature = "server")]

#[path = "../support/golden.rs"]
mod golden;
#[path = "../support/relay.rs"]
mod relay;
#[path = "../sans_io/mod.rs"]
mod sans_io;
#[path = "../support/mod.rs"]
mod support;

mod bad_network;
mod command;
mod compare;
mod document;
mod honesty;
mod latency;
mod mishaps;
mod plan;
mod profiles;
mod readme;
mod report;
mod rig;
mod streams;
