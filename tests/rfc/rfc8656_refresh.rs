//! RFC 8656 §8: Refresh.

use std::time::Duration;

use turnkeep::relay::event::{Denial, Event};
use turnkeep::relay::{CloseReason, Family, Settings};
use turnkeep::wire::attribute::Lifetime;
use turnkeep::wire::header::Method;

use super::sans_io::stun::{Stun, number};
use super::sans_io::{Client, Raw, World, code, only_reply, settings};

const PEER: &str = "192.0.2.77:5000";

/// The LIFETIME of a success.
fn granted(answer: &[u8]) -> u32 {
    assert_eq!(code(answer), 0);
    u32::from_be_bytes(Stun::read(answer).unwrap().first(number::LIFETIME).unwrap().try_into().unwrap())
}

/// C-156, C-159, A-081, RFC 8656 §8.2: a success tells what was granted: never less than the default, never more than
/// the maximum, and the allocation lives as long.
#[test]
fn lifetimes_are_bounded() {
    let cases = [(None, 600), (Some(1), 600), (Some(599), 600), (Some(600), 600), (Some(601), 601)];
    let long = [(Some(3599), 3599), (Some(3600), 3600), (Some(3601), 3600), (Some(u32::MAX), 3600)];
    for (asked, expected) in cases.into_iter().chain(long) {
        for mut alice in Client::each() {
            let mut world = World::default();
            alice.allocate_with(&mut world, &[&Lifetime(3600)]);
            let answer = match asked {
                None => alice.ask(&mut world, Method::REFRESH, &[]),
                Some(asked) => alice.ask(&mut world, Method::REFRESH, &[&Lifetime(asked)]),
            };
            assert_eq!(granted(&answer), expected, "{asked:?}");
            world.advance_secs(u64::from(expected) - 1);
            assert_eq!(world.server.allocations(), 1);
            world.advance_secs(3);
            assert_eq!(world.server.allocations(), 0);
        }
    }
}

/// C-159, RFC 8656 §8.2: the configured maximum bounds them, too.
#[test]
fn the_maximum_is_configurable() {
    let mut world = World::new(Settings { max_lifetime: Duration::from_secs(900), ..settings() });
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    for (asked, expected) in [(899, 899), (901, 900), (u32::MAX, 900)] {
        assert_eq!(granted(&alice.ask(&mut world, Method::REFRESH, &[&Lifetime(asked)])), expected);
    }
}

/// C-157, RFC 8656 §8.2: LIFETIME 0 is answered with 0 and ends the allocation at once, its permissions and channels
/// with it; the user's share is free, and a new allocation knows nothing of the old one.
#[test]
fn lifetime_zero_ends_the_allocation() {
    for mut alice in Client::each() {
        for family in [Family::V4, Family::V6] {
            let mut world = World::with_quota(1);
            let peer = if family == Family::V4 { PEER } else { "[2001:db8:7::77]:5000" };
            alice.nonce.clear();
            let relayed = alice.allocate_in(&mut world, family);
            assert_eq!(alice.bind(&mut world, 0x4000, peer), 0);
            assert_eq!(granted(&alice.ask(&mut world, Method::REFRESH, &[&Lifetime(0)])), 0);
            assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (0, 0, 0));
            let closed = |event: &Event| matches!(event, Event::Closed { reason: CloseReason::ClientRefresh, .. });
            assert!(world.events.last().is_some_and(closed));
            assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), []);
            assert_eq!(alice.send(&mut world, peer, b"x"), []);
            assert_eq!(world.peer_says(relayed, peer.parse().unwrap(), b"x"), []);

            let relayed = alice.allocate_in(&mut world, family);
            assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), []);
            assert_eq!(alice.send(&mut world, peer, b"x"), []);
            assert_eq!(world.peer_says(relayed, peer.parse().unwrap(), b"x"), []);
        }
    }
}

/// C-160, C-303, RFC 8656 §8.2: a REQUESTED-ADDRESS-FAMILY that is not the allocation's, of no family included: 443,
/// and nothing changes; its own family is fine, and its reserved bits mean nothing.
#[test]
fn the_family_must_be_the_allocations() {
    for mut alice in Client::each() {
        for (family, own, others) in [(Family::V4, 1, [0, 2, 3, 255]), (Family::V6, 2, [0, 1, 3, 255])] {
            let mut world = World::default();
            alice.nonce.clear();
            alice.allocate_in(&mut world, family);
            for other in others {
                let wanted = Raw(number::REQUESTED_ADDRESS_FAMILY, vec![other, 0, 0, 0]);
                assert_eq!(alice.code(&mut world, Method::REFRESH, &[&wanted]), 443, "{other}");
                assert_eq!(alice.code(&mut world, Method::REFRESH, &[&wanted, &Lifetime(0)]), 443, "{other}");
            }
            assert_eq!(world.server.allocations(), 1);
            let wanted = Raw(number::REQUESTED_ADDRESS_FAMILY, vec![own, 0xFF, 0xFF, 0xFF]);
            assert_eq!(alice.code(&mut world, Method::REFRESH, &[&wanted]), 0);
            assert_eq!(alice.code(&mut world, Method::REFRESH, &[&wanted, &Lifetime(0)]), 0);
            assert_eq!(world.server.allocations(), 0);
        }
    }
}

/// C-151, C-129, RFC 8656 §18.2, RFC 8656 §18.6: attributes of a wrong length are 400 (D-07).
#[test]
fn malformed_attributes_are_refused() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.allocate(&mut world);
    for len in [0, 1, 3, 5, 8] {
        for attribute in [number::LIFETIME, number::REQUESTED_ADDRESS_FAMILY] {
            let malformed = Raw(attribute, vec![0; len]);
            assert_eq!(alice.code(&mut world, Method::REFRESH, &[&malformed]), 400, "{len} of {attribute:#06x}");
        }
    }
    assert_eq!(world.server.allocations(), 1);
}

/// C-164, C-311, RFC 8656 §8.2, RFC 8656 §6: a Refresh in the last second wins, and one a second late finds nothing.
#[test]
fn a_refresh_just_before_expiry_wins() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let relayed = alice.allocate(&mut world);
        assert_eq!(alice.permit(&mut world, PEER), 0);
        world.advance(Duration::from_millis(599_999));
        assert_eq!(alice.refresh(&mut world, 600), 0);
        world.advance(Duration::from_millis(599_999));
        assert_eq!(alice.permit(&mut world, PEER), 0);
        assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x").len(), 1);
        world.advance(Duration::from_millis(1));
        assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x"), []);
        assert_eq!(alice.send(&mut world, PEER, b"x"), []);
        assert_eq!(alice.refresh(&mut world, 600), 437);
        world.advance_secs(1);
        assert_eq!(alice.refresh(&mut world, 600), 437);
        let expired = |event: &Event| matches!(event, Event::Closed { reason: CloseReason::Expired, .. });
        let told: Vec<&Event> = world.events.iter().rev().take(3).collect();
        let is_mismatch = |event: &Event| matches!(event, Event::Denied { denial: Denial::NoAllocation, .. });
        assert!(matches!(told[..], [after, end, before] if is_mismatch(after) && expired(end) && is_mismatch(before)));
    }
}

/// C-165, C-166, RFC 8656 §5: without credentials 401, with a NONCE that is not valid 438; the allocation is as it was.
#[test]
fn an_unauthenticated_refresh_has_no_effect() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.allocate(&mut world);
        let bare = alice.bare(Method::REFRESH, &[&Lifetime(0)]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &bare))), 401);
        let mut foreign = alice.clone();
        foreign.nonce[20] ^= 1;
        assert_eq!(foreign.refresh(&mut world, 0), 438);
        let mut wrong = alice.clone();
        wrong.password = "wrong".into();
        assert_eq!(wrong.refresh(&mut world, 0), 401);
        assert_eq!(world.server.allocations(), 1);
        assert_eq!(alice.refresh(&mut world, 600), 0);
    }
}
