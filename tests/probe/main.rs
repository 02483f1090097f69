//! `turnkeep probe` finds the faults of real servers, coturn's and our own, and of scripted ones that no real server
//! has at hand; and finds none where there is none.

#[path = "../support/golden.rs"]
mod golden;
#[path = "../support/mod.rs"]
mod support;

mod command;
mod coturn;
mod rig;
mod scripted;
mod tls;
mod turnkeep;
