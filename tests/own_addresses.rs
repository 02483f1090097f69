//! the relay's own host is no peer, and an address that it gains while it runs is its own as well.

#[path = "engine/namespace.rs"]
mod namespace;
#[path = "support/relay.rs"]
mod relay;
#[path = "sans_io/mod.rs"]
mod sans_io;
mod support;

use namespace::{ip, with_addresses};
use relay::{Client, PATIENCE, Relay};
use support::credential::Credential;
use support::program::wait_for;
use turnkeep::wire::attribute::XorPeerAddress;
use turnkeep::wire::header::Method;

#[test]
fn an_address_that_the_host_gains_is_closed_at_once() {
    let ran = with_addresses(&[], || {
        let relay = Relay::new();
        let program = relay.serve_until_ready("");
        let mut alice = Client::new(&relay, &Credential::of("alice"));
        assert_eq!(alice.allocate(), 0);
        let peer = XorPeerAddress("9.9.9.9:5353".parse().expect("an address"));
        assert_eq!(alice.ask(Method::CREATE_PERMISSION, &[&peer]), 0, "a stranger, so far");

        ip(&["address", "add", "9.9.9.9/32", "dev", "lo"]).expect("a namespace of our own");
        let refused = || (alice.ask(Method::CREATE_PERMISSION, &[&peer]) == 403).then_some(());
        assert!(wait_for(PATIENCE, refused).is_some(), "{}", program.output());
        let line = wait_for(PATIENCE, || program.output().contains("rule=\"own.address\"").then_some(()));
        assert!(line.is_some(), "{}", program.output());
    });
    assert!(ran || std::env::var_os("CI").is_none(), "CI can make network namespaces");
}
