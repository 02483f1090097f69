//! Clients that we did not write relay data through the server. Each test runs twice: against turnkeep, and against
//! Debian's coturn as the control. What a test needs, scripts/test installs; without it the test says that it skips.

#[path = "../support/mod.rs"]
mod support;

mod aioice;
mod chromium;
mod turn_client_proto;
mod turn_crate;
mod uclient;

/// The given functions of the module as tests, against each make of server.
macro_rules! against_each_server {
    ($($test:ident),+ $(,)?) => {
        mod coturn {
            $(#[test] fn $test() { super::$test($crate::support::server::Make::Coturn); })+
        }
    };
}
pub(crate) use against_each_server;
