//! RFC 8656 §7.4 and §21: whose an allocation is, and where it must not lead.

use turnkeep::relay::event::{Denial, Event};
use turnkeep::relay::{DropReason, Family};
use turnkeep::wire::attribute::RequestedTransport;
use turnkeep::wire::header::Method;

use super::sans_io::{Client, Kind, World, only_reply};

const PEER: &str = "192.0.2.77:5000";
const PEER_V6: &str = "[2001:db8:7::77]:5000";

/// Bob where alice is: a NAT gave him her address.
fn bob_at(alice: &Client) -> Client {
    let mut bob = alice.clone();
    (bob.user, bob.password) = ("bob".into(), "bob".into());
    bob
}

/// C-243, C-244, A-008, A-009, RFC 8656 §21.4: an Allocate from a tunnel, or a permission or channel to one, is 403,
/// and leads nowhere.
#[test]
fn tunnels_are_refused() {
    for kind in Kind::ALL {
        for tunnel in ["[2002:cb00:7105::1]:40000", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]:40000"] {
            let (mut world, mut alice) = (World::default(), Client::of(kind, "alice", tunnel));
            assert_eq!(alice.try_allocate(&mut world, &[]), 403, "from {tunnel}");
            let by_rule = |event: &Event| matches!(event, Event::Denied { denial: Denial::Client(_), .. });
            assert!(world.events.iter().any(by_rule));
            assert_eq!((world.server.allocations(), world.policy.held()), (0, 0));

            let mut alice = Client::of(kind, "alice", "203.0.113.5:40000");
            let relayed = alice.allocate_in(&mut world, Family::V6);
            assert_eq!(alice.permit(&mut world, tunnel), 403);
            assert_eq!(alice.permit_all(&mut world, &[PEER_V6, tunnel]), 403);
            assert_eq!(alice.bind(&mut world, 0x4000, tunnel), 403);
            assert_eq!(alice.send(&mut world, tunnel, b"x"), []);
            assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), []);
            assert_eq!(world.peer_says(relayed, tunnel.parse().unwrap(), b"x"), []);
        }
    }
}

/// A-103, C-110, RFC 8656 §7.4: when another user asks for an allocation on a live 5-tuple, he gets 437, and nothing of
/// its peers until its owner authenticates again there (D-37).
#[test]
fn a_five_tuple_that_went_to_another_user_is_suspended() {
    for request in ["refresh", "permit", "bind"] {
        for mut alice in Client::each() {
            let mut world = World::default();
            let relayed = alice.allocate(&mut world);
            assert_eq!(alice.permit(&mut world, PEER), 0);
            let mut bob = bob_at(&alice);
            assert_eq!(bob.try_allocate(&mut world, &[]), 437);
            for _ in 0..3 {
                assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"for alice"), []);
                assert_eq!(world.drops.pop(), Some(DropReason::Suspended));
                assert_eq!(bob.refresh(&mut world, 600), 441, "which is no authentication of the owner");
            }
            match request {
                "refresh" => assert_eq!(alice.refresh(&mut world, 600), 0),
                "permit" => assert_eq!(alice.permit(&mut world, PEER), 0),
                _ => assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0),
            }
            assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"for alice").len(), 1);
        }
    }
}

/// A-103, RFC 8656 §7.4: what is not authenticated suspends nothing, and ends no suspension.
#[test]
fn strangers_cannot_suspend() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, PEER), 0);
    let bare = alice.bare(Method::ALLOCATE, &[&RequestedTransport(17)]);
    let mut wrong = bob_at(&alice);
    wrong.password = "wrong".into();
    let mut stale = bob_at(&alice);
    stale.nonce[20] ^= 1;
    let unauthenticated = [
        bare,
        wrong.signed(Method::ALLOCATE, &[&RequestedTransport(17)]),
        stale.signed(Method::ALLOCATE, &[&RequestedTransport(17)]),
        alice.bare(Method::BINDING, &[]),
    ];
    for request in &unauthenticated {
        only_reply(world.client_says(alice.path, request));
        assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x").len(), 1);
    }
    assert_eq!(bob_at(&alice).try_allocate(&mut world, &[]), 437);
    let mut false_alice = alice.clone();
    false_alice.password = "wrong".into();
    assert_eq!(false_alice.refresh(&mut world, 600), 401);
    for request in &unauthenticated {
        only_reply(world.client_says(alice.path, request));
    }
    alice.send(&mut world, PEER, b"x");
    assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x"), [], "still suspended");
}

/// RFC 8656 §7.4: the owner under a new credential is no other user: 437, but his peers are heard.
#[test]
fn a_new_credential_of_the_owner_suspends_nothing() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, PEER), 0);
    let mut renewed = alice.clone();
    (renewed.user, renewed.password) = ("1795293100:alice".into(), "ecila:0013925971".into());
    assert_eq!(renewed.try_allocate(&mut world, &[]), 437);
    assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x").len(), 1);
}

/// C-157, RFC 8656 §8.2: a datagram for a relayed address that was given up reaches nobody, not even who has the slot
/// next.
#[test]
fn what_was_given_up_is_deaf() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, PEER), 0);
    let old = *world.relays.keys().next().unwrap();
    assert_eq!(alice.refresh(&mut world, 0), 0);
    let mut bob = Client::bob();
    bob.allocate(&mut world);
    assert_eq!(bob.permit(&mut world, PEER), 0);
    world.relays.insert(old, relayed);
    assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"for alice"), []);
    assert_eq!(world.drops, [DropReason::NoAllocation]);
}
