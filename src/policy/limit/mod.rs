//! How much one person may have.

pub mod rate;
pub mod user;
