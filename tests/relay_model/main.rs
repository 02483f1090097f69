//! The relay floor against a small reference model: random steps are done to both, and after each of them answers,
//! datagrams, drops, sockets, audit events and tables must be the same.

#[path = "../sans_io/mod.rs"]
mod sans_io;

mod regressions;
