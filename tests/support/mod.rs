//! What tests that drive programs share: a server to talk to, credentials for it, and programs with a deadline.
#![allow(dead_code, reason = "each test target uses a part of it")]

pub(crate) mod credential;
pub(crate) mod program;
pub(crate) mod server;
