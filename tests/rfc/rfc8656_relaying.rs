//! RFC 8656 §11: Send and Data. Channels have a file of their own.

use std::net::SocketAddr;

use turnkeep::relay::limits::MAX_PAYLOAD;
use turnkeep::relay::{DropReason, Family};
use turnkeep::wire::attribute::{Data, DontFragment, XorPeerAddress};

use super::sans_io::stun::{Stun, append, append_integrity, number, xored};
use super::sans_io::{Client, Output, Raw, World, channel_header, only_reply};

const PEER: &str = "192.0.2.77:5000";
const PEER_V6: &str = "[2001:db8:7::77]:5000";

fn peer_of(family: Family) -> &'static str {
    if family == Family::V4 { PEER } else { PEER_V6 }
}

fn to_peer(from: SocketAddr, peer: &str, payload: &[u8]) -> Vec<Output> {
    vec![Output::ToPeer { from, peer: peer.parse().unwrap(), payload: payload.to_vec(), dont_fragment: false }]
}

/// An allocation with a permission for PEER.
fn permitted() -> (World, Client, SocketAddr) {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, PEER), 0);
    (world, alice, relayed)
}

/// C-098, C-183, C-191, C-193, C-217, C-223, C-291, A-032, RFC 8656 §11.2, RFC 8656 §11.3, RFC 8656 §12.6: data flows
/// both ways, by indications without integrity and by channel, byte for byte whatever it looks like, for every kind of
/// client and all pairs of families.
#[test]
fn data_flows_both_ways_by_indication_and_by_channel() {
    let framed = [&channel_header(0x4000, 4)[..], b"nest"].concat();
    let payloads: [&[u8]; 6] = [b"", b"x", b"hello", &framed, &[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], &[0xEE; 1400]];
    for mut alice in Client::each() {
        for family in [Family::V4, Family::V6] {
            let (mut world, peer) = (World::default(), peer_of(family));
            alice.nonce.clear();
            let relayed = alice.allocate_in(&mut world, family);
            assert_eq!(alice.permit(&mut world, peer), 0);
            for payload in payloads {
                assert_eq!(alice.send(&mut world, peer, payload), to_peer(relayed, peer, payload));
                let indication = only_reply(world.peer_says(relayed, peer.parse().unwrap(), payload));
                assert_eq!(Stun::read(&indication).unwrap().first(number::DATA), Some(payload));
            }
            assert_eq!(alice.bind(&mut world, 0x4000, peer), 0);
            for payload in payloads {
                assert_eq!(alice.channel_data(&mut world, 0x4000, payload), to_peer(relayed, peer, payload));
                let message = only_reply(world.peer_says(relayed, peer.parse().unwrap(), payload));
                let length = u16::try_from(payload.len()).unwrap();
                assert_eq!(message, [&channel_header(0x4000, length)[..], payload].concat());
            }
        }
    }
}

/// C-184, A-119, A-133, RFC 8656 §11.2: Send without a peer, without data, or with an invalid peer is discarded.
#[test]
fn an_incomplete_send_is_discarded() {
    let (mut world, mut alice, _) = permitted();
    let peer = XorPeerAddress(PEER.parse().unwrap());
    let mut invalid: Vec<Vec<u8>> = [0, 2, 4, 7, 9, 12, 19, 21].map(|len| vec![1; len]).to_vec();
    for family in [0, 2, 3, 9, 255] {
        let mut value = xored(PEER);
        value[1] = family;
        invalid.push(value);
    }
    let no_peer = alice.indication(&[&Data(b"x")]);
    let no_data = alice.indication(&[&peer]);
    assert_eq!(world.silence(alice.path, &no_peer), DropReason::BadSend);
    assert_eq!(world.silence(alice.path, &no_data), DropReason::BadSend);
    for value in invalid {
        let send = alice.indication(&[&Raw(number::XOR_PEER_ADDRESS, value.clone()), &Data(b"x")]);
        assert_eq!(world.silence(alice.path, &send), DropReason::BadSend, "{value:?}");
    }
    let mut overlong = alice.indication(&[&peer, &Data(b"data")]);
    let at = overlong.len() - 5;
    overlong[at] += 4;
    assert_eq!(world.silence(alice.path, &overlong), DropReason::Malformed, "DATA longer than the message");
    assert_eq!(alice.send(&mut world, PEER, b"x").len(), 1, "a good one passes");
}

/// C-185, C-192, A-119, A-129, RFC 8656 §11.2, RFC 8656 §11.3: no bytes are data, too, in both directions.
#[test]
fn empty_data_is_relayed() {
    let (mut world, mut alice, relayed) = permitted();
    assert_eq!(alice.send(&mut world, PEER, b""), to_peer(relayed, PEER, b""));
    let indication = only_reply(world.peer_says(relayed, PEER.parse().unwrap(), b""));
    assert_eq!(Stun::read(&indication).unwrap().first(number::DATA), Some(&[][..]));
}

/// C-186, RFC 8656 §11.2: Send to an address without permission is discarded, and installs none.
#[test]
fn send_needs_a_permission_and_makes_none() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate(&mut world);
    for _ in 0..2 {
        assert_eq!(alice.send(&mut world, PEER, b"x"), []);
        assert_eq!(world.drops.pop(), Some(DropReason::NoPermission));
        assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x"), []);
        assert_eq!(world.drops.pop(), Some(DropReason::NoPermission));
    }
    assert_eq!(alice.permit(&mut world, PEER), 0);
    assert_eq!(alice.send(&mut world, "192.0.2.78:5000", b"x"), [], "a neighbour's permission is none");
}

/// C-187, A-017, RFC 8656 §11.2: Send to a port that policy forbids, to port 0 or to the other family is discarded.
#[test]
fn send_is_held_to_policy() {
    let (mut world, mut alice, relayed) = permitted();
    assert_eq!(alice.permit(&mut world, "10.67.0.1:0"), 0, "the address is allowed, most ports are not");
    for (peer, reason) in [
        ("10.67.0.1:49999", DropReason::PeerPortDenied),
        ("10.67.0.1:53", DropReason::PeerPortDenied),
        ("192.0.2.77:0", DropReason::BadSend),
        ("10.67.0.1:0", DropReason::BadSend),
        ("10.66.0.1:5000", DropReason::NoPermission),
        (PEER_V6, DropReason::FamilyMismatch),
        ("[::ffff:192.0.2.77]:5000", DropReason::FamilyMismatch),
    ] {
        assert_eq!(alice.send(&mut world, peer, b"x"), [], "{peer}");
        assert_eq!(world.drops.pop(), Some(reason), "{peer}");
    }
    assert_eq!(alice.send(&mut world, "10.67.0.1:50000", b"x"), to_peer(relayed, "10.67.0.1:50000", b"x"));
}

/// C-188, RFC 8656 §11.2, RFC 8656 §13.1, RFC 8656 §13.2, RFC 8656 §13.3: DONT-FRAGMENT in Send asks for DF from IPv4
/// to IPv4, and must be ignored where an IPv6 header is on either side.
#[test]
fn dont_fragment_counts_from_ipv4_to_ipv4_alone() {
    for client in ["203.0.113.5:40000", "[2001:db8:5::5]:40000"] {
        for family in [Family::V4, Family::V6] {
            let (mut world, mut alice) = (World::default(), Client::new("alice", client));
            let relayed = alice.allocate_in(&mut world, family);
            let peer = peer_of(family);
            assert_eq!(alice.permit(&mut world, peer), 0);
            let peer = XorPeerAddress(peer.parse().unwrap());
            let send = alice.indication(&[&DontFragment, &peer, &Data(b"x")]);
            let dont_fragment = alice.path.client.0.is_ipv4() && relayed.is_ipv4();
            let expected = Output::ToPeer { from: relayed, peer: peer.0, payload: b"x".to_vec(), dont_fragment };
            assert_eq!(world.client_says(alice.path, &send), [expected], "from {client} to {family:?}");
        }
    }
}

/// C-189, RFC 8489 §9.2, RFC 8656 §5: Send is not authenticated; one that carries integrity, right or wrong, is not
/// refused.
#[test]
fn integrity_in_send_is_ignored() {
    let (mut world, mut alice, relayed) = permitted();
    let peer = XorPeerAddress(PEER.parse().unwrap());
    for key in [alice.key().as_bytes(), b"wrong"] {
        let mut send = alice.clone().indication(&[&peer, &Data(b"x")]);
        append(&mut send, number::USERNAME, b"bob");
        append_integrity(&mut send, number::MESSAGE_INTEGRITY, key);
        assert_eq!(world.client_says(alice.path, &send), to_peer(relayed, PEER, b"x"));
    }
    let mut behind = alice.indication(&[&peer]);
    append_integrity(&mut behind, number::MESSAGE_INTEGRITY, b"any");
    append(&mut behind, number::DATA, b"x");
    assert_eq!(world.silence(alice.path, &behind), DropReason::BadSend, "DATA behind integrity is none");
}

/// C-190, RFC 8656 §11.1: Send works also to a peer that has a channel.
#[test]
fn send_passes_beside_a_channel() {
    let (mut world, mut alice, relayed) = permitted();
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    assert_eq!(alice.send(&mut world, PEER, b"x"), to_peer(relayed, PEER, b"x"));
    assert_eq!(alice.send(&mut world, "192.0.2.77:5001", b"x"), to_peer(relayed, "192.0.2.77:5001", b"x"));
}

/// C-191, RFC 8656 §11.3: a Data indication names the peer's address and port as the datagram showed them.
#[test]
fn a_data_indication_names_its_peer() {
    let (mut world, _, relayed) = permitted();
    let mut ids = std::collections::HashSet::new();
    for port in [1, 5000, 5001, u16::MAX] {
        let peer = SocketAddr::new([192, 0, 2, 77].into(), port);
        let indication = only_reply(world.peer_says(relayed, peer, b"payload"));
        assert!(ids.insert(indication[8..20].to_vec()), "each has a transaction id of its own");
    }
}

/// RFC 8656 §11.3: large payloads are relayed whole; what does not fit into a datagram with its header is
/// dropped whole and counted.
#[test]
fn a_datagram_is_relayed_whole_or_not_at_all() {
    let (mut world, mut alice, relayed) = permitted();
    let large = vec![0xEE; 4096];
    assert_eq!(alice.send(&mut world, PEER, &large), to_peer(relayed, PEER, &large));
    for _ in ["as Data indication", "as ChannelData"] {
        assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), &large).len(), 1);
        assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), &vec![1; MAX_PAYLOAD]).len(), 1);
        for too_long in [MAX_PAYLOAD + 1, 65_507, 65_527] {
            assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), &vec![1; too_long]), []);
            assert_eq!(world.drops.pop(), Some(DropReason::TooLong));
        }
        assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    }
    assert_eq!(alice.channel_data(&mut world, 0x4000, &large), to_peer(relayed, PEER, &large));
}
