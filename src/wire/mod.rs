//! Bytes and messages: STUN (RFC 8489), TURN (RFC 8656) and ChannelData, zero-copy, without heap, clock or I/O.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod integrity;
