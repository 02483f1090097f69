//! The load tester, as its users meet it.
#![cfg(feature = "server")]
#[path = "../support/golden.rs"]
mod golden;

mod document;
