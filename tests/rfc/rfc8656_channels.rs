//! RFC 8656 §12: channels.

use std::net::SocketAddr;

use turnkeep::relay::limits::{MAX_CHANNELS, MAX_PERMISSIONS};
use turnkeep::relay::{DropReason, Family, Settings};
use turnkeep::wire::attribute::Lifetime;
use turnkeep::wire::channel_data::ChannelNumbers;
use turnkeep::wire::header::Method;

use super::sans_io::stun::{Stun, number, xored};
use super::sans_io::{Attribute, Client, Output, Raw, World, channel_header, channel_message, only_reply, settings};

const PEER: &str = "192.0.2.77:5000";
const PEER_V6: &str = "[2001:db8:7::77]:5000";
const OTHER: &str = "192.0.2.78:5000";
const DENIED: &str = "10.66.0.1:5000";

/// An allocation that lives as long as one can, and its relayed address.
fn allocated() -> (World, Client, SocketAddr) {
    allocated_in(settings())
}

fn allocated_in(settings: Settings) -> (World, Client, SocketAddr) {
    let (mut world, mut alice) = (World::new(settings), Client::alice());
    let relayed = alice.allocate_with(&mut world, &[&Lifetime(3600)]);
    (world, alice, relayed)
}

/// Every kind of client with a channel 0x4000 to a peer of its allocation's family.
fn each_bound() -> impl Iterator<Item = (World, Client, SocketAddr, &'static str)> {
    Client::each().flat_map(|alice| {
        [(Family::V4, PEER), (Family::V6, PEER_V6)].map(|(family, peer)| {
            let (mut world, mut alice) = (World::default(), alice.clone());
            let relayed = alice.allocate_in(&mut world, family);
            assert_eq!(alice.bind(&mut world, 0x4000, peer), 0);
            (world, alice, relayed, peer)
        })
    })
}

fn to_peer(from: SocketAddr, peer: &str, payload: &[u8]) -> Vec<Output> {
    vec![Output::ToPeer { from, peer: peer.parse().unwrap(), payload: payload.to_vec(), dont_fragment: false }]
}

fn number_attribute(number: u16) -> Raw {
    let [hi, lo] = number.to_be_bytes();
    Raw(number::CHANNEL_NUMBER, vec![hi, lo, 0, 0])
}

fn peer_attribute(peer: &str) -> Raw {
    Raw(number::XOR_PEER_ADDRESS, xored(peer))
}

fn bind_with(world: &mut World, alice: &mut Client, attributes: &[Raw]) -> u16 {
    let attributes: Vec<_> = attributes.iter().map(|raw| raw as &dyn Attribute).collect();
    alice.code(world, Method::CHANNEL_BIND, &attributes)
}

/// What the client hears of a peer's datagram: nothing, a Data indication, or ChannelData on this number.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Indication,
    Channel(u16),
}

fn hears(world: &mut World, relayed: SocketAddr, peer: &str) -> Heard {
    match &world.peer_says(relayed, peer.parse().unwrap(), b"data")[..] {
        [] => Heard::Nothing,
        [Output::ToClient { bytes, .. }] if Stun::read(bytes).is_some() => Heard::Indication,
        [Output::ToClient { bytes, .. }] => Heard::Channel(u16::from_be_bytes([bytes[0], bytes[1]])),
        other => panic!("{other:?}"),
    }
}

/// C-200, C-174, C-209, C-210, C-293, A-118, RFC 8656 §12.2, RFC 8656 §18.1: number and peer both, and both valid, or
/// 400; the reserved half of CHANNEL-NUMBER means nothing.
#[test]
fn a_bind_needs_a_number_and_a_peer() {
    let (mut world, mut alice, relayed) = allocated();
    let (number, peer) = (number_attribute(0x4000), peer_attribute(PEER));
    for missing in [vec![], vec![number.clone()], vec![peer.clone()]] {
        assert_eq!(bind_with(&mut world, &mut alice, &missing), 400, "{missing:?}");
    }
    for len in [0, 1, 2, 3, 5, 8] {
        let malformed = Raw(number::CHANNEL_NUMBER, vec![0x40; len]);
        assert_eq!(bind_with(&mut world, &mut alice, &[malformed, peer.clone()]), 400, "{len} bytes");
    }
    let lengths = [0, 2, 4, 7, 9, 12, 19, 21].map(|len| vec![1; len]);
    let families = [0, 2, 3, 9, 255].map(|family| [&[0, family], &xored(PEER)[2..]].concat());
    for value in lengths.into_iter().chain(families) {
        let malformed = Raw(number::XOR_PEER_ADDRESS, value.clone());
        assert_eq!(bind_with(&mut world, &mut alice, &[number.clone(), malformed]), 400, "{value:?}");
    }
    assert_eq!(bind_with(&mut world, &mut alice, &[number, peer_attribute("192.0.2.77:0")]), 400, "port 0 (D-26)");
    assert_eq!(hears(&mut world, relayed, PEER), Heard::Nothing, "no permission either");
    let reserved = Raw(number::CHANNEL_NUMBER, vec![0x40, 0, 0xFF, 0xFF]);
    assert_eq!(bind_with(&mut world, &mut alice, &[reserved, peer]), 0);
    assert_eq!(hears(&mut world, relayed, PEER), Heard::Channel(0x4000));
}

/// C-201, A-134, RFC 8656 §12, RFC 8656 §12.2: 0x4000 to 0x4FFF are channel numbers, and no others are, neither to bind
/// nor to send on.
#[test]
fn channel_numbers_have_a_range() {
    for (number, valid) in [
        (0x0000, false),
        (0x3FFF, false),
        (0x4000, true),
        (0x4800, true),
        (0x4FFF, true),
        (0x5000, false),
        (0x7FFF, false),
        (0x8000, false),
        (0xFFFF, false),
    ] {
        let (mut world, mut alice, relayed) = allocated();
        assert_eq!(alice.bind(&mut world, number, PEER), if valid { 0 } else { 400 }, "{number:#06x}");
        let expected = if valid { to_peer(relayed, PEER, b"x") } else { vec![] };
        assert_eq!(world.client_says(alice.path, &channel_message(number, b"x")), expected, "{number:#06x}");
    }
}

/// C-201, RFC 5766 §11: where a relay is told to serve old clients, the numbers up to 0x7FFF are good, too, and what is
/// no ChannelData still passes nobody.
#[test]
fn the_older_range_can_be_switched_on() {
    for (number, valid) in [(0x3FFF, false), (0x4000, true), (0x5000, true), (0x7FFF, true), (0x8000, false)] {
        let channel_numbers = ChannelNumbers::Rfc5766;
        let (mut world, mut alice, relayed) = allocated_in(Settings { channel_numbers, ..settings() });
        assert_eq!(alice.bind(&mut world, number, PEER), if valid { 0 } else { 400 }, "{number:#06x}");
        let expected = if valid { to_peer(relayed, PEER, b"x") } else { vec![] };
        assert_eq!(world.client_says(alice.path, &channel_message(number, b"x")), expected, "{number:#06x}");
        if valid {
            assert_eq!(hears(&mut world, relayed, PEER), Heard::Channel(number));
        }
    }
}

/// C-202, C-203, C-293, RFC 8656 §12, RFC 8656 §12.2: neither a bound number nor a bound peer takes another partner;
/// the binding stays as it was.
#[test]
fn a_binding_is_one_to_one() {
    for (mut world, mut alice, relayed, peer) in each_bound() {
        let mut sibling: SocketAddr = peer.parse().unwrap();
        sibling.set_port(5001);
        let sibling = sibling.to_string();
        assert_eq!(alice.bind(&mut world, 0x4000, &sibling), 400, "the number is bound");
        assert_eq!(alice.bind(&mut world, 0x4001, peer), 400, "the peer is bound");
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), to_peer(relayed, peer, b"x"));
        assert_eq!(alice.channel_data(&mut world, 0x4001, b"x"), []);
        assert_eq!(alice.bind(&mut world, 0x4001, &sibling), 0);
        assert_eq!(alice.bind(&mut world, 0x4000, &sibling), 400, "both are bound");
    }
}

/// C-204, C-205, C-211, C-212, C-313, RFC 8656 §12, RFC 8656 §12.2: a binding lasts for 600 s, and its permission for
/// 300; the same pair again sets both back; another port of the address has a channel of its own.
#[test]
fn a_binding_lasts_for_ten_minutes() {
    for (mut world, mut alice, relayed, peer) in each_bound() {
        assert_eq!(alice.refresh(&mut world, 3600), 0);
        world.advance_secs(299);
        assert_eq!(hears(&mut world, relayed, peer), Heard::Channel(0x4000));
        world.advance_secs(2);
        assert_eq!(hears(&mut world, relayed, peer), Heard::Nothing, "its permission has gone");
        world.advance_secs(200);
        assert_eq!(alice.bind(&mut world, 0x4000, peer), 0, "at 501 s");
        world.advance_secs(299);
        assert_eq!(hears(&mut world, relayed, peer), Heard::Channel(0x4000));
        world.advance_secs(300);
        assert_eq!(alice.permit(&mut world, peer), 0);
        assert_eq!(hears(&mut world, relayed, peer), Heard::Channel(0x4000), "599 s after");
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), to_peer(relayed, peer, b"x"));
        world.advance_secs(2);
        assert_eq!(hears(&mut world, relayed, peer), Heard::Indication, "601 s after: unbound, but permitted");
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), []);
    }
    let (mut world, mut alice, relayed) = allocated();
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    assert_eq!(alice.bind(&mut world, 0x4001, "192.0.2.77:5001"), 0);
    assert_eq!(hears(&mut world, relayed, PEER), Heard::Channel(0x4000));
    assert_eq!(hears(&mut world, relayed, "192.0.2.77:5001"), Heard::Channel(0x4001));
}

/// C-206, C-207, C-295, C-303, RFC 8656 §12.2: a peer of the other family is 443, a forbidden address or port 403;
/// neither leaves a channel or a permission.
#[test]
fn a_bind_is_held_to_family_and_policy() {
    let (mut world, mut alice, relayed) = allocated();
    for (peer, code) in [
        (PEER_V6, 443),
        ("[::ffff:192.0.2.77]:5000", 443),
        (DENIED, 403),
        ("10.67.0.1:49999", 403),
        ("10.67.0.1:53", 403),
    ] {
        assert_eq!(alice.bind(&mut world, 0x4000, peer), code, "{peer}");
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), []);
        assert_eq!(hears(&mut world, relayed, peer), Heard::Nothing);
    }
    assert_eq!(hears(&mut world, relayed, "10.67.0.1:50000"), Heard::Nothing);
    assert_eq!(alice.bind(&mut world, 0x4000, "10.67.0.1:50000"), 0, "the number is still free");
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.nonce.clear();
        alice.allocate_in(&mut world, Family::V6);
        assert_eq!(alice.bind(&mut world, 0x4000, PEER), 443);
        assert_eq!(alice.bind(&mut world, 0x4000, "[2001:db8:66::1]:5000"), 403);
        assert_eq!(alice.bind(&mut world, 0x4000, PEER_V6), 0);
    }
}

/// C-200, C-202, C-206, C-207, C-208, RFC 8656 §12.2: of several faults, those of the request and of the binding go
/// before the family, that before policy, and capacity comes last (D-06).
#[test]
fn the_gravest_fault_decides() {
    let (mut world, mut alice, _) = allocated();
    for (index, number) in (0..MAX_CHANNELS).zip(0x4000..) {
        assert_eq!(alice.bind(&mut world, number, &format!("192.0.2.77:{}", 1000 + index)), 0);
    }
    for peer in [PEER_V6, DENIED, OTHER] {
        assert_eq!(alice.bind(&mut world, 0x3FFF, peer), 400, "no channel number");
        assert_eq!(alice.bind(&mut world, 0x4000, peer), 400, "bound to another");
    }
    assert_eq!(bind_with(&mut world, &mut alice, &[peer_attribute(DENIED)]), 400);
    for (peer, code) in [(PEER_V6, 443), (DENIED, 403), (OTHER, 508)] {
        assert_eq!(alice.bind(&mut world, 0x4FFF, peer), code, "{peer}");
    }
}

/// C-208, C-309, A-064, RFC 8656 §12.2: beyond the limit 508, and no permission; a pair that exists can be bound again
/// (D-32), and what has rested makes room.
#[test]
fn channels_are_limited() {
    let (mut world, mut alice, relayed) = allocated();
    let peer = |index: usize| format!("192.0.2.77:{}", 1000 + index);
    let numbers = 0x4000..;
    for (index, number) in (0..MAX_CHANNELS).zip(numbers) {
        assert_eq!(alice.bind(&mut world, number, &peer(index)), 0);
    }
    assert_eq!(alice.bind(&mut world, 0x4FFF, OTHER), 508);
    assert_eq!(hears(&mut world, relayed, OTHER), Heard::Nothing);
    assert_eq!(alice.bind(&mut world, 0x4000, &peer(0)), 0);
    world.advance_secs(600);
    assert_eq!(alice.bind(&mut world, 0x4FFF, OTHER), 508, "an expired one still rests");
    world.advance_secs(301);
    assert_eq!(alice.bind(&mut world, 0x4FFF, OTHER), 0);
    const { assert!(MAX_CHANNELS <= MAX_PERMISSIONS) };
}

/// C-213, RFC 8656 §9, RFC 8656 §12.6: the channel lives, its permission does not: nothing is heard of the peer, and
/// what the client sends passes, unless permissions are strict (D-08).
#[test]
fn a_channel_outlives_its_permission() {
    for strict_permissions in [false, true] {
        let (mut world, mut alice, relayed) = allocated_in(Settings { strict_permissions, ..settings() });
        assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
        world.advance_secs(301);
        assert_eq!(hears(&mut world, relayed, PEER), Heard::Nothing);
        let expected = if strict_permissions { vec![] } else { to_peer(relayed, PEER, b"x") };
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), expected);
        assert_eq!(alice.send(&mut world, PEER, b"x"), [], "Send needs the permission (RFC 8656 §11.2)");
        assert_eq!(alice.permit(&mut world, PEER), 0);
        assert_eq!(hears(&mut world, relayed, PEER), Heard::Channel(0x4000));
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), to_peer(relayed, PEER, b"x"));
    }
}

/// C-214, C-215, RFC 8656 §12: bindings are an allocation's own, and end with it.
#[test]
fn channels_are_per_allocation() {
    for (mut world, mut alice, relayed, peer) in each_bound() {
        let mut second = alice.clone();
        second.path.client.0.set_port(40_001);
        second.nonce.clear();
        let family = if relayed.is_ipv4() { Family::V4 } else { Family::V6 };
        let other = second.allocate_in(&mut world, family);
        assert_eq!(second.channel_data(&mut world, 0x4000, b"x"), []);
        assert_eq!(second.bind(&mut world, 0x4001, peer), 0, "the peer is bound to 0x4000 elsewhere");
        assert_eq!(hears(&mut world, relayed, peer), Heard::Channel(0x4000));
        assert_eq!(hears(&mut world, other, peer), Heard::Channel(0x4001));
        assert_eq!(alice.refresh(&mut world, 0), 0);
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), []);
        assert_eq!(hears(&mut world, other, peer), Heard::Channel(0x4001));
        alice.allocate_in(&mut world, family);
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), []);
        assert_eq!(alice.bind(&mut world, 0x4001, peer), 0, "nor does the old binding rest here");
    }
}

/// C-216, A-105, RFC 8656 §12: for five minutes after a binding expired, neither side takes another partner (D-10);
/// both may have each other again.
#[test]
fn an_expired_binding_rests() {
    for (mut world, mut alice, relayed, peer) in each_bound() {
        assert_eq!(alice.refresh(&mut world, 3600), 0);
        let mut sibling: SocketAddr = peer.parse().unwrap();
        sibling.set_port(5001);
        let sibling = sibling.to_string();
        for wait in [601, 298] {
            world.advance_secs(wait);
            assert_eq!(alice.bind(&mut world, 0x4000, &sibling), 400);
            assert_eq!(alice.bind(&mut world, 0x4001, peer), 400);
            assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), []);
        }
        world.advance_secs(2);
        assert_eq!(alice.bind(&mut world, 0x4000, &sibling), 0, "at 901 s");
        assert_eq!(alice.bind(&mut world, 0x4001, peer), 0);
        assert_eq!(hears(&mut world, relayed, &sibling), Heard::Channel(0x4000));
        assert_eq!(hears(&mut world, relayed, peer), Heard::Channel(0x4001));
    }
    for (mut world, mut alice, relayed, peer) in each_bound() {
        assert_eq!(alice.refresh(&mut world, 3600), 0);
        world.advance_secs(700);
        assert_eq!(alice.bind(&mut world, 0x4000, peer), 0, "the old pair need not rest");
        assert_eq!(hears(&mut world, relayed, peer), Heard::Channel(0x4000));
    }
}

/// C-217, C-218, C-219, C-220, C-221, C-222, A-120, A-133, RFC 8656 §12.6: ChannelData relays Length bytes: not more,
/// if more follow, and nothing if fewer do; nothing on an unbound number.
#[test]
fn channel_data_relays_its_length() {
    for (mut world, mut alice, relayed, peer) in each_bound() {
        let expect = |payload: &[u8]| to_peer(relayed, peer, payload);
        for len in [0, 1, 2, 3, 4, 5, 1200] {
            let payload = vec![0xEE; len];
            for behind in [0, 1, 2, 3, 7, 100] {
                let datagram = [channel_message(0x4000, &payload), vec![0xAB; behind]].concat();
                assert_eq!(world.client_says(alice.path, &datagram), expect(&payload), "{len}, {behind} behind");
            }
            for more in [1, 2, 3, 4, 1000, u16::MAX - u16::try_from(len).unwrap()] {
                let mut short = channel_message(0x4000, &payload);
                short[2..4].copy_from_slice(&(u16::try_from(len).unwrap() + more).to_be_bytes());
                assert_eq!(world.silence(alice.path, &short), DropReason::TruncatedChannelData, "{more} missing");
            }
        }
        for len in 1..4 {
            let header = &channel_message(0x4000, b"")[..len];
            assert_eq!(world.silence(alice.path, header), DropReason::TruncatedChannelData, "{len} bytes");
        }
        for unbound in [0x4001, 0x4FFF] {
            let reason = world.silence(alice.path, &channel_message(unbound, b"x"));
            assert_eq!(reason, DropReason::UnboundChannel);
        }
        for reserved in [0x5000, 0x7FFF, 0xFFFF] {
            assert_eq!(world.silence(alice.path, &channel_message(reserved, b"x")), DropReason::NotTurn);
        }
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), expect(b"x"));
    }
}

/// C-223, C-224, C-225, RFC 8656 §12.5, RFC 8656 §12.7: what a bound peer sends is ChannelData, an empty datagram too;
/// from another port of its address it is a Data indication, and so it is again when a channel was bound to that.
#[test]
fn a_bound_peer_is_heard_by_channel() {
    for (mut world, mut alice, relayed, peer) in each_bound() {
        assert_eq!(only_reply(world.peer_says(relayed, peer.parse().unwrap(), b"")), channel_header(0x4000, 0));
        let mut sibling: SocketAddr = peer.parse().unwrap();
        for port in [1, 4999, 5001, 65_535] {
            sibling.set_port(port);
            assert_eq!(hears(&mut world, relayed, &sibling.to_string()), Heard::Indication, "{port}");
        }
        assert_eq!(alice.bind(&mut world, 0x4001, &sibling.to_string()), 0);
        assert_eq!(hears(&mut world, relayed, &sibling.to_string()), Heard::Channel(0x4001));
        assert_eq!(hears(&mut world, relayed, peer), Heard::Channel(0x4000));
    }
}

/// C-228, RFC 8656 §12.6: ChannelData refreshes neither the channel nor its permission.
#[test]
fn channel_data_refreshes_nothing() {
    let (mut world, mut alice, relayed) = allocated();
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    for _ in 0..599 {
        world.advance_secs(1);
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x").len(), 1);
        hears(&mut world, relayed, PEER);
    }
    assert_eq!(hears(&mut world, relayed, PEER), Heard::Nothing, "the permission went after 300 s");
    world.advance_secs(2);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), []);
}
