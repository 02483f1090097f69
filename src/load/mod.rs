//! The load tester: puts a measured load on any TURN server and says what became of every packet.
//!
//! [`result::LoadResult`] is what it leaves, and what everything else about load tests starts from.
#![forbid(unsafe_code)]

pub mod result;
