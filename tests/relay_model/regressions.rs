//! What the model found, one test each.

use std::time::Duration;

use turnkeep::relay::event::{Denial, Event};
use turnkeep::wire::attribute::{Lifetime, RequestedTransport};
use turnkeep::wire::header::Method;

use crate::sans_io::{BRIEF_UNTIL, Client, EPOCH, Raw, World, code};

const ADDRESS: &str = "203.0.113.5:40000";
const PEER: &str = "192.0.2.77:5000";

/// An expired credential made a new allocation in the second between the end of its old one and the timer.
#[test]
fn an_expired_credential_makes_nothing_new_on_an_allocation_that_has_just_ended() {
    let (mut world, mut brief) = (World::default(), Client::new("brief", ADDRESS));
    brief.allocate(&mut world);
    let lifetime = 600;
    assert!(EPOCH + lifetime > BRIEF_UNTIL, "the credential ends before the allocation");
    let until_the_end = Duration::from_secs(lifetime);
    world.advance(until_the_end);
    assert_eq!(world.server.allocations(), 1, "the timer comes within the next second");
    let answer = brief.ask(&mut world, Method::ALLOCATE, &[&RequestedTransport(17)]);
    assert_eq!(code(&answer), 401);
}

/// Only requests that got past 420 and 400 showed that the owner is there (D-37).
#[test]
fn the_owner_is_known_by_any_request_that_authenticates() {
    let (mut world, mut alice) = (World::default(), Client::new("alice", ADDRESS));
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, PEER), 0);
    let mut bob = Client::new("bob", ADDRESS);
    bob.nonce = alice.nonce.clone();
    assert_eq!(bob.code(&mut world, Method::ALLOCATE, &[&RequestedTransport(17)]), 437);
    assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"for whom?"), []);
    assert_eq!(alice.code(&mut world, Method::REFRESH, &[&Raw(0x7777, Vec::new())]), 420);
    assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"for alice").len(), 1);
}

/// The audit trail was told of a live 5-tuple that another user wants, but not of a freed one (D-09).
#[test]
fn another_user_on_a_freed_5_tuple_is_noted() {
    let (mut world, mut alice) = (World::default(), Client::new("alice", ADDRESS));
    alice.allocate(&mut world);
    assert_eq!(alice.refresh(&mut world, 0), 0);
    let mut bob = Client::new("bob", ADDRESS);
    bob.nonce = alice.nonce.clone();
    assert_eq!(bob.code(&mut world, Method::ALLOCATE, &[&RequestedTransport(17)]), 437);
    assert!(matches!(world.events.last(), Some(Event::Denied { code: 437, denial: Denial::WrongUser, .. })));
}

/// A conflict is among the tests of RFC 8656 §12.2 that come before family and policy.
#[test]
fn a_channel_that_is_taken_is_told_before_the_peer_is_judged() {
    let (mut world, mut alice) = (World::default(), Client::new("alice", ADDRESS));
    alice.allocate(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    assert_eq!(alice.bind(&mut world, 0x4000, "[2001:db8:7::1]:5000"), 400);
    assert_eq!(alice.bind(&mut world, 0x4000, "10.66.0.1:5000"), 400);
    assert_eq!(alice.bind(&mut world, 0x4001, "10.66.0.1:5000"), 403);
}

/// An engine that reports a failure for a socket that is open took the allocation away, and told nobody.
#[test]
fn a_late_failure_of_an_open_socket_changes_nothing() {
    let (mut world, mut alice) = (World::default(), Client::new("alice", ADDRESS));
    alice.allocate_with(&mut world, &[&Lifetime(600)]);
    let relay = *world.relays.keys().next().unwrap();
    world.server.on_relay_failed(world.now, relay, turnkeep::relay::RelayFailure::Refused);
    assert_eq!(world.run(), []);
    assert_eq!(world.server.allocations(), 1);
    assert_eq!(alice.refresh(&mut world, 600), 0);
}
