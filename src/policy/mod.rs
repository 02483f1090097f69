//! Credentials, peers, limits and the audit trail: answers the questions of the relay floor, and knows no socket.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod peer;
