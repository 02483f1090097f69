//! What attackers and accidents try on the relay floor: each test names the cases of the catalogue that it shows, and
//! ends with a newcomer who is served as if nothing had happened. Cases that are at once items of conformance are in
//! `tests/rfc`.
#[path = "../sans_io/mod.rs"]
mod sans_io;

mod crossing;
mod garbage;
mod reflection;
mod state;
