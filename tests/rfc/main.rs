//! Conformance by RFC and section: each item of the list is one stimulus and the answer that a client must see.
#[path = "../sans_io/mod.rs"]
mod sans_io;

mod rfc8656_relaying;
