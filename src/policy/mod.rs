//! Credentials, peers, limits and the audit trail: answers the questions of the relay floor, and knows no socket.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod audit;
pub mod auth;
pub mod drain;
pub mod limit;
pub mod peer;
mod relay_policy;

pub use relay_policy::{LivePolicy, RelayPolicy};

/// What a built-in rule means, by its id: a sentence for the administrator. None for configured rules.
pub fn rule_sentence(rule: &str) -> Option<&'static str> {
    match rule {
        limit::rate::RULE => Some(limit::rate::SENTENCE),
        limit::user::RULE => Some(limit::user::SENTENCE),
        _ => peer::sentence(rule),
    }
}
