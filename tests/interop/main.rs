//! Clients that we did not write relay data through the server. Each test runs twice: against turnkeep, and against
//! Debian's coturn as the control. What a test needs, scripts/test installs; without it the test says that it skips.

#[path = "../support/mod.rs"]
mod support;

mod aioice;
mod chromium;
mod libnice;
mod turn_client_proto;
mod turn_crate;
mod uclient;

use support::program::{find, find_tool};

/// A run that lacks programs says so in one place, whatever the test runner does with the output of tests that pass.
#[test]
fn missing_programs_are_named() {
    for program in ["turnserver", "turnutils_uclient", "turnutils_peer", "chromium", "node"] {
        find(program);
    }
    for tool in [aioice::PYTHON, chromium::MODULES] {
        find_tool(tool);
    }
    libnice::flags();
}

/// The given functions of the module as tests against each make of server, and those that take long against ours only.
macro_rules! against_each_server {
    ($($test:ident),+ $(,)? $(; turnkeep only: $($ours:ident),+ $(,)?)?) => {
        mod turnkeep {
            $(#[test] fn $test() { super::$test($crate::support::server::Make::Turnkeep); })+
            $($(#[test] fn $ours() { super::$ours($crate::support::server::Make::Turnkeep); })+)?
        }
        mod coturn {
            $(#[test] fn $test() { super::$test($crate::support::server::Make::Coturn); })+
        }
    };
}
pub(crate) use against_each_server;
