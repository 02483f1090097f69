//! RFC 8656 §7.2: Allocate, in the order of its checks; and what extensions that are off answer.

use std::time::Duration;

use turnkeep::relay::event::{Denial, Event};
use turnkeep::relay::{Families, Family, RelayFailure, Settings};
use turnkeep::wire::attribute::{Lifetime, RequestedTransport};
use turnkeep::wire::header::Method;

use super::sans_io::stun::{Stun, number};
use super::sans_io::{Attribute, Client, Raw, World, code, only_reply, settings, xored_address};

const PEER: &str = "192.0.2.77:5000";
const PEER_V6: &str = "[2001:db8:7::77]:5000";
const ALLOCATE: Method = Method::ALLOCATE;

fn family(number: u8) -> Raw {
    Raw(number::REQUESTED_ADDRESS_FAMILY, vec![number, 0, 0, 0])
}

fn additional(number: u8) -> Raw {
    Raw(number::ADDITIONAL_ADDRESS_FAMILY, vec![number, 0, 0, 0])
}

fn even_port(flags: u8) -> Raw {
    Raw(number::EVEN_PORT, vec![flags])
}

fn token() -> Raw {
    Raw(number::RESERVATION_TOKEN, vec![7; 8])
}

fn transport(protocol: u8) -> Raw {
    Raw(number::REQUESTED_TRANSPORT, vec![protocol, 0, 0, 0])
}

fn only(v4: bool, v6: bool) -> World {
    World::new(Settings { families: Families { v4, v6 }, ..settings() })
}

/// The code of an Allocate with just these attributes, from every kind of client; nothing is held for a refused one.
#[track_caller]
fn outcome(attributes: &[Raw]) -> u16 {
    outcome_in(World::default, attributes)
}

#[track_caller]
fn outcome_in(world: impl Fn() -> World, attributes: &[Raw]) -> u16 {
    let codes = Client::each().map(|mut alice| {
        let mut world = world();
        alice.challenge(&mut world);
        let attributes: Vec<_> = attributes.iter().map(|raw| raw as &dyn Attribute).collect();
        let code = alice.code(&mut world, ALLOCATE, &attributes);
        let held = usize::from(code == 0);
        assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (held, held, held));
        code
    });
    let codes: Vec<_> = codes.collect();
    assert!(codes.iter().all(|code| *code == codes[0]), "the same for all: {codes:?}");
    codes[0]
}

/// C-109, C-126, C-130, C-147, RFC 8656 §7.2: a success tells the relayed address, of the family that was asked for or
/// IPv4, the lifetime, and the client's own address (the judge compares it), and is signed.
#[test]
fn a_success_tells_addresses_and_lifetime() {
    for mut alice in Client::each() {
        for (asked, is_v4) in [(None, true), (Some(family(1)), true), (Some(family(2)), false)] {
            let mut world = World::default();
            alice.nonce.clear();
            alice.challenge(&mut world);
            let mut attributes: Vec<&dyn Attribute> = vec![&RequestedTransport(17)];
            attributes.extend(asked.iter().map(|asked| asked as &dyn Attribute));
            let answer = alice.ask(&mut world, ALLOCATE, &attributes);
            assert_eq!(code(&answer), 0);
            let answer = Stun::read(&answer).unwrap();
            let relayed = xored_address(answer.first(number::XOR_RELAYED_ADDRESS).unwrap(), answer.id());
            assert_eq!(relayed.is_ipv4(), is_v4);
            assert!(world.relays.values().any(|open| *open == relayed));
            assert_eq!(answer.first(number::LIFETIME), Some(&600_u32.to_be_bytes()[..]));
        }
    }
}

/// C-110, C-298, RFC 8656 §7.2: another Allocate on the 5-tuple is 437, and the first allocation is as it was.
#[test]
fn a_five_tuple_has_one_allocation() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let relayed = alice.allocate(&mut world);
        assert_eq!(alice.permit(&mut world, PEER), 0);
        for attributes in [vec![], vec![transport(17)], vec![transport(17), family(2)], vec![transport(6)]] {
            let attributes: Vec<_> = attributes.iter().map(|raw| raw as &dyn Attribute).collect();
            assert_eq!(alice.code(&mut world, ALLOCATE, &attributes), 437);
        }
        assert_eq!((world.server.allocations(), world.policy.held()), (1, 1));
        assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x").len(), 1);
        world.advance_secs(601);
        assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x"), [], "nor was it extended");
    }
}

/// C-113, C-114, C-115, C-116, C-117, C-248, C-302, RFC 8656 §7.2, RFC 8656 §18.8: the transport: missing or malformed
/// 400, other than UDP 442, TCP included, since RFC 6062 is off; its reserved bits mean nothing.
#[test]
fn the_transport_is_udp() {
    assert_eq!(outcome(&[]), 400);
    for len in [0, 1, 3, 5, 8] {
        assert_eq!(outcome(&[Raw(number::REQUESTED_TRANSPORT, vec![17; len])]), 400, "{len} bytes");
    }
    for protocol in [0, 1, 6, 16, 18, 58, 132, 255] {
        assert_eq!(outcome(&[transport(protocol)]), 442, "{protocol}");
    }
    assert_eq!(outcome(&[Raw(number::REQUESTED_TRANSPORT, vec![17, 0xFF, 0xFF, 0xFF])]), 0);
}

/// C-118, RFC 8656 §7.2: DF can be set, so DONT-FRAGMENT is no unknown attribute; with a value it is malformed (D-07).
#[test]
fn dont_fragment_is_supported() {
    assert_eq!(outcome(&[transport(17), Raw(number::DONT_FRAGMENT, vec![])]), 0);
    assert_eq!(outcome(&[transport(17), family(2), Raw(number::DONT_FRAGMENT, vec![])]), 0);
    assert_eq!(outcome(&[transport(17), Raw(number::DONT_FRAGMENT, vec![0; 4])]), 400);
}

/// C-119, C-120, C-121, C-122, C-123, C-293, C-309, RFC 8656 §7.2, RFC 8656 §18.10: a RESERVATION-TOKEN excludes what
/// would choose another address (400); none was handed out, so each is invalid (508).
#[test]
fn reservation_tokens_are_invalid() {
    for excluded in [even_port(0), even_port(0x80), family(1), family(2), additional(2)] {
        assert_eq!(outcome(&[transport(17), token(), excluded.clone()]), 400, "{excluded:?}");
    }
    for value in [[0; 8], [7; 8], [0xFF; 8]] {
        let token = Raw(number::RESERVATION_TOKEN, value.to_vec());
        assert_eq!(outcome(&[transport(17), token.clone()]), 508);
        assert_eq!(outcome_in(|| only(false, true), &[transport(17), token]), 508, "step 5 comes before step 7");
    }
    for len in [0, 4, 7, 9, 16] {
        let code = outcome(&[transport(17), Raw(number::RESERVATION_TOKEN, vec![7; len])]);
        assert!([400, 508].contains(&code), "{len} bytes: {code}");
    }
}

/// C-124, C-125, C-127, C-128, C-129, C-300, A-030, RFC 8656 §7.2, RFC 8656 §18.6: the family: not both attributes
/// (400), one that is offered and exists (440), 4 bytes of which 3 mean nothing (D-28).
#[test]
fn the_family_is_one_that_is_offered() {
    for first in [1, 2, 9] {
        assert_eq!(outcome(&[transport(17), family(first), additional(2)]), 400);
    }
    for unknown in [0, 3, 4, 6, 255] {
        assert_eq!(outcome(&[transport(17), family(unknown)]), 440, "{unknown}");
        assert_eq!(outcome(&[transport(17), additional(unknown)]), 440, "{unknown}");
    }
    assert_eq!(outcome_in(|| only(true, false), &[transport(17), family(2)]), 440);
    assert_eq!(outcome_in(|| only(true, false), &[transport(17)]), 0);
    for asked in [vec![transport(17)], vec![transport(17), family(1)]] {
        assert_eq!(outcome_in(|| only(false, true), &asked), 440);
    }
    assert_eq!(outcome_in(|| only(false, true), &[transport(17), family(2)]), 0);
    assert_eq!(outcome(&[transport(17), Raw(number::REQUESTED_ADDRESS_FAMILY, vec![2, 0xFF, 0xFF, 0xFF])]), 0);
    for len in [0, 1, 3, 5, 8] {
        for attribute in [number::REQUESTED_ADDRESS_FAMILY, number::ADDITIONAL_ADDRESS_FAMILY] {
            assert_eq!(outcome(&[transport(17), Raw(attribute, vec![1; len])]), 400, "{len} of {attribute:#06x}");
        }
    }
}

/// C-131, C-132, C-138, C-143, C-144, A-059, RFC 8656 §7.2, RFC 8656 §18.7: EVEN-PORT without R: an even port, without
/// a token; with R not beside ADDITIONAL-ADDRESS-FAMILY (400), and 508 where there is no pair; its other bits mean
/// nothing.
#[test]
fn an_even_port_can_be_had() {
    for flags in [0, 0x7F] {
        let (mut world, mut alice) = (World::default(), Client::alice());
        for port in 40_001..40_010 {
            alice.path.client.0.set_port(port);
            alice.nonce.clear();
            assert_eq!(alice.allocate_with(&mut world, &[&even_port(flags)]).port() % 2, 0);
            assert_eq!(world.reserved, []);
        }
    }
    for flags in [0x80, 0xFF] {
        assert_eq!(outcome(&[transport(17), even_port(flags), additional(2)]), 400);
        let exhausted = || {
            let mut world = World::default();
            world.relay_failures.push_back(RelayFailure::PortsExhausted);
            world
        };
        assert_eq!(outcome_in(exhausted, &[transport(17), even_port(flags)]), 508);
    }
    for len in [0, 2, 4] {
        assert_eq!(outcome(&[transport(17), Raw(number::EVEN_PORT, vec![0; len])]), 400, "{len} bytes");
    }
}

/// C-133, C-135, A-030, RFC 8656 §7.2, RFC 8656 §18.12: ADDITIONAL-ADDRESS-FAMILY must be IPv6 (400); where IPv6 is not
/// offered: success, with an ADDRESS-ERROR-CODE that names it.
#[test]
fn an_additional_family_that_is_not_offered_is_refused_within_a_success() {
    assert_eq!(outcome(&[transport(17), additional(1)]), 400);
    for mut alice in Client::each() {
        let mut world = only(true, false);
        alice.challenge(&mut world);
        let request = alice.signed(ALLOCATE, &[&transport(17), &additional(2)]);
        let answer = only_reply(world.client_says(alice.path, &request));
        assert_eq!(code(&answer), 0);
        let again = only_reply(world.client_says(alice.path, &request));
        assert_eq!(answer, again, "a retransmission gets it, too");
        let answer = Stun::read(&answer).unwrap();
        let error = answer.first(number::ADDRESS_ERROR_CODE).unwrap();
        assert_eq!(error[..4], [2, 0, 4, 40], "IPv6: 440");
        let relayed = xored_address(answer.first(number::XOR_RELAYED_ADDRESS).unwrap(), answer.id());
        assert!(relayed.is_ipv4());
        assert_eq!(alice.permit(&mut world, PEER_V6), 443, "an IPv6 peer is out of its reach");
    }
}

/// C-148, C-149, C-150, A-081, RFC 8656 §7.2: LIFETIME: never less than the default, never more than the maximum; so
/// long it lives.
#[test]
fn lifetimes_are_bounded() {
    let cases = [(0, 600), (10, 600), (600, 600), (1200, 1200), (3600, 3600), (3601, 3600), (u32::MAX, 3600)];
    for (asked, granted) in cases {
        for max in [3600_u32, 900] {
            let mut world = World::new(Settings { max_lifetime: Duration::from_secs(u64::from(max)), ..settings() });
            let mut alice = Client::alice();
            alice.challenge(&mut world);
            let answer = alice.ask(&mut world, ALLOCATE, &[&transport(17), &Lifetime(asked)]);
            let expected = granted.min(max);
            let lifetime = Stun::read(&answer).unwrap().first(number::LIFETIME).unwrap().to_vec();
            assert_eq!(lifetime, expected.to_be_bytes(), "{asked} of {max}");
            world.advance_secs(u64::from(expected) - 1);
            assert_eq!(world.server.allocations(), 1);
            world.advance_secs(3);
            assert_eq!(world.server.allocations(), 0);
        }
    }
}

/// C-151, RFC 8656 §18.2: a LIFETIME that is not 4 bytes is 400 (D-07).
#[test]
fn a_malformed_lifetime_is_refused() {
    for len in [0, 1, 3, 5, 8] {
        assert_eq!(outcome(&[transport(17), Raw(number::LIFETIME, vec![0; len])]), 400, "{len} bytes");
    }
}

/// C-152, A-033, RFC 8656 §7.2: a fresh allocation has neither permissions nor channels.
#[test]
fn a_fresh_allocation_relays_nothing() {
    for mut alice in Client::each() {
        for (family, peer) in [(Family::V4, PEER), (Family::V6, PEER_V6)] {
            let mut world = World::default();
            alice.nonce.clear();
            let relayed = alice.allocate_in(&mut world, family);
            assert_eq!(world.peer_says(relayed, peer.parse().unwrap(), b"x"), []);
            assert_eq!(alice.send(&mut world, peer, b"x"), []);
            for number in [0x4000, 0x4FFF] {
                assert_eq!(alice.channel_data(&mut world, number, b"x"), []);
            }
        }
    }
}

/// C-155, C-309, RFC 8656 §7.2: no port, no descriptor, no socket: 508, signed, and the user's share is free again.
#[test]
fn without_a_relay_socket_there_is_no_capacity() {
    for failure in [RelayFailure::PortsExhausted, RelayFailure::DescriptorsExhausted, RelayFailure::Refused] {
        for mut alice in Client::each() {
            let mut world = World::with_quota(1);
            world.relay_failures.extend([failure; 3]);
            for _ in 0..3 {
                assert_eq!(alice.try_allocate(&mut world, &[]), 508);
                let denied = |event: &Event| matches!(event, Event::Denied { denial: Denial::Capacity(_), .. });
                assert!(world.events.last().is_some_and(denied));
                assert_eq!((world.server.allocations(), world.policy.held()), (0, 0));
            }
            assert_eq!(alice.try_allocate(&mut world, &[]), 0);
        }
    }
}

/// C-023, C-020, C-110, C-113, C-116, C-125, C-137, RFC 8656 §7.2: of several faults the first check's decides, and the
/// quota comes last (D-30): each step of this ladder mends the fault that was found.
#[test]
fn checks_have_an_order() {
    for mut alice in Client::each() {
        let mut world = World::with_quota(0);
        alice.challenge(&mut world);
        let unknown = Raw(0x7FFF, vec![]);
        let bare = alice.bare(ALLOCATE, &[&unknown, &family(9)]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &bare))), 401);
        assert_eq!(alice.code(&mut world, ALLOCATE, &[&unknown, &transport(6), &family(9)]), 420);
        assert_eq!(alice.code(&mut world, ALLOCATE, &[&family(9), &token()]), 400);
        assert_eq!(alice.code(&mut world, ALLOCATE, &[&transport(6), &family(9), &token()]), 442);
        assert_eq!(alice.code(&mut world, ALLOCATE, &[&transport(17), &family(9), &token()]), 400);
        assert_eq!(alice.code(&mut world, ALLOCATE, &[&transport(17), &family(9), &even_port(0x80)]), 440);
        assert_eq!(alice.code(&mut world, ALLOCATE, &[&transport(17), &even_port(0x80), &additional(2)]), 400);
        assert_eq!(alice.code(&mut world, ALLOCATE, &[&transport(17), &family(2)]), 486);
        world.policy.quota = 1;
        assert_eq!(world.policy.held(), 0);
    }
    for (step, expected) in [(vec![even_port(0x80), additional(2)], 440), (vec![additional(1)], 440)] {
        let all = [vec![transport(17)], step].concat();
        assert_eq!(outcome_in(|| only(false, true), &all), expected, "step 7 comes before 8 and 9");
    }
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.allocate(&mut world);
    assert_eq!(alice.code(&mut world, ALLOCATE, &[&Raw(0x7FFF, vec![])]), 420, "before the 5-tuple");
    assert_eq!(alice.code(&mut world, ALLOCATE, &[&transport(6)]), 437, "after it");
}
