//! the relay's own host is no peer, by no address that reaches it, nor by one that it gains while it runs.

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

/// What is sent to the broadcast address of a network of ours reaches us; the other end of a link is somebody else.
#[test]
fn broadcast_addresses_are_closed_and_neighbours_are_not() {
    let ran = with_addresses(&[], || {
        let set_up = [
            "link add tk0 type veth peer name tk1",
            "address add 9.9.8.1/24 broadcast + dev tk0",
            "address add 9.9.7.1 peer 9.9.7.2/32 dev tk0",
            "link set tk0 up",
            "link set tk1 up",
        ];
        for command in set_up {
            ip(&command.split(' ').collect::<Vec<_>>()).expect("a namespace of our own");
        }
        let relay = Relay::new();
        let program = relay.serve_until_ready("");
        let mut alice = Client::new(&relay, &Credential::of("alice"));
        assert_eq!(alice.allocate(), 0);
        let peers = ["9.9.8.1:9", "9.9.8.255:9", "9.9.8.2:9", "9.9.7.1:9", "9.9.7.2:9"];
        let peers = peers.map(|peer| XorPeerAddress(peer.parse().expect("an address")));
        let codes = peers.map(|peer| alice.ask(Method::CREATE_PERMISSION, &[&peer]));
        assert_eq!(codes, [403, 403, 0, 403, 0], "{}", program.output());
    });
    assert!(ran || std::env::var_os("CI").is_none(), "CI can make network namespaces");
}
