//! RFC 8656 §9 and §10: permissions and CreatePermission.

use std::net::SocketAddr;

use turnkeep::relay::event::{Denial, Event};
use turnkeep::relay::limits::{MAX_PEERS_PER_REQUEST, MAX_PERMISSIONS};
use turnkeep::relay::{DropReason, Family};
use turnkeep::wire::attribute::{Lifetime, XorPeerAddress};
use turnkeep::wire::header::Method;

use super::sans_io::stun::{number, xored};
use super::sans_io::{Attribute, Client, Raw, World};

const PEER: &str = "192.0.2.77:5000";
const PEER_V6: &str = "[2001:db8:7::77]:5000";
const OTHER: &str = "192.0.2.78:5000";
const DENIED: &str = "10.66.0.1:5000";

fn allocated() -> (World, Client, SocketAddr) {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate_with(&mut world, &[&Lifetime(3600)]);
    (world, alice, relayed)
}

/// Every kind of client with an allocation of each family, and a peer of that family and one of the other.
fn each_allocated() -> impl Iterator<Item = (World, Client, SocketAddr, &'static str, &'static str)> {
    let families = [(Family::V4, PEER, PEER_V6), (Family::V6, PEER_V6, PEER)];
    Client::each().flat_map(move |alice| {
        families.map(|(family, peer, other)| {
            let (mut world, mut alice) = (World::default(), alice.clone());
            let relayed = alice.allocate_in(&mut world, family);
            (world, alice, relayed, peer, other)
        })
    })
}

fn hears(world: &mut World, relayed: SocketAddr, peer: &str) -> bool {
    !world.peer_says(relayed, peer.parse().unwrap(), b"x").is_empty()
}

/// Sends a CreatePermission with these attributes.
fn create(world: &mut World, alice: &mut Client, peers: &[Raw]) -> u16 {
    let peers: Vec<_> = peers.iter().map(|raw| raw as &dyn Attribute).collect();
    alice.code(world, Method::CREATE_PERMISSION, &peers)
}

fn peer(address: &str) -> Raw {
    Raw(number::XOR_PEER_ADDRESS, xored(address))
}

/// IPv4 peers with consecutive addresses.
fn many(count: usize) -> Vec<Raw> {
    (0..count).map(|index| peer(&format!("203.0.{}.{}:1", index / 250, index % 250 + 1))).collect()
}

/// C-167, C-312, RFC 8656 §9: a permission lasts for 300 s, in both directions.
#[test]
fn a_permission_lasts_for_five_minutes() {
    for (mut world, mut alice, relayed, peer, _) in each_allocated() {
        assert_eq!(alice.permit(&mut world, peer), 0);
        world.advance_secs(299);
        assert!(hears(&mut world, relayed, peer));
        assert_eq!(alice.send(&mut world, peer, b"x").len(), 1);
        world.advance_secs(2);
        assert!(!hears(&mut world, relayed, peer));
        assert_eq!(alice.send(&mut world, peer, b"x"), []);
        assert_eq!(world.drops, [DropReason::NoPermission; 2]);
    }
}

/// C-168, C-212, RFC 8656 §9: CreatePermission and ChannelBind, in any order, set it back to 300 s.
#[test]
fn requests_refresh_a_permission() {
    for (mut world, mut alice, relayed, peer, _) in each_allocated() {
        assert_eq!(alice.permit(&mut world, peer), 0);
        world.advance_secs(250);
        assert_eq!(alice.bind(&mut world, 0x4000, peer), 0);
        world.advance_secs(250);
        assert!(hears(&mut world, relayed, peer));
        assert_eq!(alice.refresh(&mut world, 3600), 0);
        assert_eq!(alice.permit(&mut world, peer), 0);
        world.advance_secs(299);
        assert!(hears(&mut world, relayed, peer));
        world.advance_secs(2);
        assert!(!hears(&mut world, relayed, peer));
        assert_eq!(alice.permit(&mut world, peer), 0, "it can be had again");
        assert!(hears(&mut world, relayed, peer));
    }
}

/// C-169, C-170, A-018, RFC 8656 §9: only the address counts: every port of it passes, no other address does.
#[test]
fn a_permission_is_for_an_address() {
    let (mut world, mut alice, relayed) = allocated();
    assert_eq!(alice.permit(&mut world, PEER), 0);
    for port in [1, 53, 4999, 5001, 65_535] {
        assert!(hears(&mut world, relayed, &format!("192.0.2.77:{port}")), "{port}");
        assert_eq!(alice.send(&mut world, &format!("192.0.2.77:{port}"), b"x").len(), 1, "{port}");
    }
    for address in ["192.0.2.76", "192.0.2.78", "192.0.3.77", "77.2.0.192", "0.0.0.0", "255.255.255.255"] {
        assert!(!hears(&mut world, relayed, &format!("{address}:5000")), "{address}");
    }
    for address in ["[::ffff:192.0.2.77]:5000", "[::192.0.2.77]:5000", "[64:ff9b::192.0.2.77]:5000"] {
        assert!(!hears(&mut world, relayed, address), "{address} is another address");
    }
}

/// C-171, C-228, RFC 8656 §11.2, RFC 8656 §12.6: data never refreshes a permission, whichever way it flows.
#[test]
fn data_refreshes_nothing() {
    let (mut world, mut alice, relayed) = allocated();
    assert_eq!(alice.permit(&mut world, PEER), 0);
    assert_eq!(alice.bind(&mut world, 0x4000, OTHER), 0);
    for _ in 0..299 {
        world.advance_secs(1);
        assert_eq!(alice.send(&mut world, PEER, b"x").len(), 1);
        assert_eq!(alice.send(&mut world, OTHER, b"x").len(), 1);
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x").len(), 1);
        assert!(hears(&mut world, relayed, PEER) && hears(&mut world, relayed, OTHER));
    }
    world.advance_secs(2);
    assert!(!hears(&mut world, relayed, PEER) && !hears(&mut world, relayed, OTHER));
    assert_eq!(alice.send(&mut world, PEER, b"x"), []);
}

/// C-172, RFC 8656 §9: one allocation's permissions are nothing to another's, of the same user neither.
#[test]
fn permissions_are_per_allocation() {
    let (mut world, mut alice, relayed) = allocated();
    let mut second = alice.clone();
    second.path.client.0.set_port(40_001);
    second.nonce.clear();
    let other = second.allocate(&mut world);
    assert_ne!(relayed, other);
    assert_eq!(alice.permit(&mut world, PEER), 0);
    assert!(hears(&mut world, relayed, PEER) && !hears(&mut world, other, PEER));
    assert_eq!(second.send(&mut world, PEER, b"x"), []);
}

/// C-173, C-174, C-293, A-118, RFC 8656 §10.2: no peer, or any that is invalid, wherever it stands: 400, and none is
/// installed.
#[test]
fn missing_and_invalid_peers_are_refused() {
    let (mut world, mut alice, relayed) = allocated();
    assert_eq!(create(&mut world, &mut alice, &[]), 400);
    let mut invalid: Vec<Vec<u8>> = [0, 2, 4, 7, 9, 12, 19, 21].map(|len| vec![1; len]).to_vec();
    for family in [0, 2, 3, 4, 9, 255] {
        let mut value = xored(OTHER);
        value[1] = family;
        invalid.push(value);
    }
    let mut short_v6 = vec![0; 20];
    short_v6[1] = 1;
    invalid.push(short_v6);
    for value in invalid {
        let bad = Raw(number::XOR_PEER_ADDRESS, value.clone());
        for request in [vec![bad.clone()], vec![bad.clone(), peer(PEER)], vec![peer(PEER), bad]] {
            assert_eq!(create(&mut world, &mut alice, &request), 400, "{value:?}");
        }
    }
    assert!(!hears(&mut world, relayed, PEER));
}

/// C-175, RFC 8656 §10.2: several peers in one request are all installed, as many as a request may name.
#[test]
fn several_peers_are_all_installed() {
    let (mut world, mut alice, relayed) = allocated();
    let peers = many(MAX_PEERS_PER_REQUEST);
    assert_eq!(create(&mut world, &mut alice, &peers), 0);
    for index in 1..=MAX_PEERS_PER_REQUEST {
        assert!(hears(&mut world, relayed, &format!("203.0.0.{index}:9")), "{index}");
    }
    let same: Vec<_> = (1..=40).map(|port| peer(&format!("192.0.2.77:{port}"))).collect();
    assert_eq!(create(&mut world, &mut alice, &same), 0, "forty ports of one address are one peer");
}

/// C-176, C-177, C-179, C-295, C-303, A-024, A-030, RFC 8656 §10.2: one refused peer refuses the request: 443 for the
/// other family, 403 for what policy forbids, signed; none of the good ones is installed.
#[test]
fn one_refused_peer_refuses_all() {
    for (mut world, mut alice, relayed, good, other) in each_allocated() {
        let denied = if relayed.is_ipv4() { DENIED } else { "[2001:db8:66::1]:5000" };
        for (refused, code) in [(denied, 403), (other, 443)] {
            for peers in [vec![refused], vec![good, refused], vec![refused, good], vec![good, refused, good]] {
                assert_eq!(alice.permit_all(&mut world, &peers), code, "{peers:?}");
                assert!(!hears(&mut world, relayed, good));
                assert_eq!(alice.send(&mut world, good, b"x"), []);
            }
        }
        assert_eq!(alice.permit(&mut world, good), 0);
        assert_eq!(alice.permit_all(&mut world, &[good, denied]), 403);
        assert!(hears(&mut world, relayed, good), "what was installed before stays");
        let by_rule = |event: &&Event| matches!(event, Event::Denied { denial: Denial::Peer { .. }, code: 403, .. });
        assert_eq!(world.events.iter().filter(by_rule).count(), 5, "each 403 is recorded with its rule");
    }
}

/// C-177, RFC 8656 §10.2: a mapped address is IPv6, whatever it maps (D-21).
#[test]
fn a_mapped_peer_is_of_the_other_family() {
    let (mut world, mut alice, relayed) = allocated();
    assert_eq!(alice.permit(&mut world, "[::ffff:192.0.2.77]:5000"), 443);
    assert!(!hears(&mut world, relayed, PEER));
}

/// C-173, C-174, C-176, C-177, C-179, C-180, RFC 8656 §10.2: of several faults, 400 goes before 443, 443 before 403,
/// 403 before 508, in whatever order the peers stand (D-06, D-27).
#[test]
fn the_gravest_fault_decides() {
    let (mut world, mut alice, relayed) = allocated();
    let other = XorPeerAddress(PEER_V6.parse().unwrap());
    let malformed = Raw(number::XOR_PEER_ADDRESS, vec![0, 9, 0, 0]);
    let denied = peer(DENIED);
    let crowd = many(MAX_PEERS_PER_REQUEST + 1);
    let mut ladder: Vec<&dyn Attribute> = crowd.iter().map(|raw| raw as &dyn Attribute).collect();
    for (worse, code) in
        [(None, 508), (Some(&denied as &dyn Attribute), 403), (Some(&other), 443), (Some(&malformed), 400)]
    {
        ladder.extend(worse);
        assert_eq!(alice.code(&mut world, Method::CREATE_PERMISSION, &ladder), code);
        ladder.reverse();
        assert_eq!(alice.code(&mut world, Method::CREATE_PERMISSION, &ladder), code, "the other way round");
    }
    assert!(!hears(&mut world, relayed, "203.0.0.1:9"));
}

/// C-180, C-309, A-062, RFC 8656 §10.2: beyond the limit 508, and nothing of the request; what exists can be refreshed
/// (D-32), what expired makes room.
#[test]
fn permissions_are_limited() {
    let (mut world, mut alice, relayed) = allocated();
    let all = many(MAX_PERMISSIONS + 1);
    for request in all[..MAX_PERMISSIONS].chunks(MAX_PEERS_PER_REQUEST) {
        assert_eq!(create(&mut world, &mut alice, request), 0);
    }
    let last = &all[MAX_PERMISSIONS];
    world.advance_secs(100);
    for request in [vec![last.clone()], vec![all[0].clone(), last.clone()]] {
        assert_eq!(create(&mut world, &mut alice, &request), 508);
    }
    let channel = Raw(number::CHANNEL_NUMBER, vec![0x40, 0, 0, 0]);
    assert_eq!(alice.code(&mut world, Method::CHANNEL_BIND, &[&channel, last]), 508, "a channel needs one, too");
    assert_eq!(create(&mut world, &mut alice, &all[1..2]), 0, "at the limit, an old one is refreshed");
    assert_eq!(alice.code(&mut world, Method::CHANNEL_BIND, &[&channel, &all[1]]), 0);
    world.advance_secs(201);
    assert!(!hears(&mut world, relayed, "203.0.0.1:9"), "the refused request did not refresh it");
    assert!(hears(&mut world, relayed, "203.0.0.2:9"));
    assert_eq!(create(&mut world, &mut alice, std::slice::from_ref(last)), 0);
}

/// A-063, RFC 8656 §10.2: more peers than a request may name: refused as a whole (D-27), or, where a message has more
/// attributes than are read, discarded.
#[test]
fn peers_of_one_request_are_limited() {
    let (mut world, mut alice, relayed) = allocated();
    for count in [MAX_PEERS_PER_REQUEST + 1, 50, 60] {
        assert_eq!(create(&mut world, &mut alice, &many(count)), 508, "{count}");
    }
    for count in [62, 100, 200, 1000] {
        let request = alice.forged(Method::CREATE_PERMISSION, &many(count), |_| {});
        assert_eq!(world.silence(alice.path, &request), DropReason::Malformed, "{count}");
    }
    assert!(!hears(&mut world, relayed, "203.0.0.1:9"));
    assert_eq!(create(&mut world, &mut alice, &many(1)), 0);
}

/// C-181, RFC 8656 §10.2: a peer's port means nothing here, 0 neither (D-26).
#[test]
fn the_port_of_a_permission_is_ignored() {
    for (mut world, mut alice, relayed, good, _) in each_allocated() {
        let mut at_zero: SocketAddr = good.parse().unwrap();
        at_zero.set_port(0);
        assert_eq!(alice.permit(&mut world, &at_zero.to_string()), 0);
        assert!(hears(&mut world, relayed, good));
    }
    let (mut world, mut alice, _) = allocated();
    assert_eq!(alice.permit(&mut world, "10.67.0.1:53"), 0, "which ports may be sent to is asked when sending");
    assert_eq!(alice.send(&mut world, "10.67.0.1:53", b"x"), []);
}
