//! How much one person may have.

pub mod user;
