//! RFC 8489 §14.8, RFC 8656 §19: every error code that a TURN server over UDP has, and none besides.

use std::collections::BTreeSet;

use turnkeep::relay::RelayFailure;
use turnkeep::wire::attribute::{Lifetime, RequestedTransport, XorPeerAddress};
use turnkeep::wire::header::Method;

use super::sans_io::{Attribute, Client, Raw, World, code, only_reply};

const UDP: RequestedTransport = RequestedTransport(17);

/// All codes that one client is answered with in the course of a day on which everything goes wrong.
fn codes(mut alice: Client) -> BTreeSet<u16> {
    let (mut world, mut codes) = (World::with_quota(1), BTreeSet::new());
    let peer = |address: &str| XorPeerAddress(address.parse().unwrap());
    let unknown = alice.bare(Method::BINDING, &[&Raw(0x7FFF, vec![])]);
    let bare = alice.bare(Method::ALLOCATE, &[&UDP]);
    for request in [unknown, bare] {
        codes.insert(code(&only_reply(world.client_says(alice.path, &request))));
    }
    alice.challenge(&mut world);
    world.relay_failures.push_back(RelayFailure::PortsExhausted);
    let (tcp, family) = (RequestedTransport(6), Raw(0x0017, vec![9, 0, 0, 0]));
    let asked: [&[&dyn Attribute]; 6] = [&[], &[&tcp], &[&UDP, &family], &[&UDP], &[&UDP], &[&UDP]];
    for attributes in asked {
        codes.insert(alice.code(&mut world, Method::ALLOCATE, attributes));
    }
    let mut second = alice.clone();
    second.path.client.0.set_port(40_001);
    second.nonce.clear();
    codes.insert(second.try_allocate(&mut world, &[]));
    codes.insert(second.refresh(&mut world, 600));
    let mut bob = alice.clone();
    (bob.user, bob.password) = ("bob".into(), "bob".into());
    codes.insert(bob.refresh(&mut world, 600));
    for address in ["10.66.0.1:1", "[2001:db8:7::77]:1", "192.0.2.77:1"] {
        codes.insert(alice.code(&mut world, Method::CREATE_PERMISSION, &[&peer(address)]));
    }
    world.now.unix_millis += 3_601_000;
    codes.insert(alice.code(&mut world, Method::REFRESH, &[&Lifetime(600)]));
    codes
}

/// C-293, C-294, C-295, C-297, C-298, C-299, C-300, C-301, C-302, C-303, C-306, C-309, RFC 8489 §14.8, RFC 8656 §19:
/// each of them is provoked.
#[test]
fn every_code_is_provoked() {
    let expected = BTreeSet::from([0, 400, 401, 403, 420, 437, 438, 440, 441, 442, 443, 486, 508]);
    for alice in Client::each() {
        assert_eq!(codes(alice), expected);
    }
}

/// C-307, C-054, A-111, RFC 8445 §19, RFC 8489 §14.8: 487 is of ICE, whose attributes are unknown here; 300 is never
/// sent, nor is any other code (the judge allows none).
#[test]
fn role_conflicts_are_none_of_ours() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let (controlled, controlling) = (Raw(0x8029, vec![0; 8]), Raw(0x802A, vec![0xFF; 8]));
        let request = alice.bare(Method::BINDING, &[&controlled, &controlling]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 0);
        let (priority, use_candidate) = (Raw(0x0024, vec![0; 4]), Raw(0x0025, vec![]));
        let request = alice.bare(Method::BINDING, &[&priority, &use_candidate, &controlling]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 420);
    }
}
