//! The `turnkeep` command.
#![forbid(unsafe_code)]

fn main() {}
