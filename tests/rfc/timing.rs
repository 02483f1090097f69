//! When things end, to the second, under a clock that is turned by hand.

use std::net::SocketAddr;
use std::time::Duration;

use turnkeep::relay::event::Event;
use turnkeep::relay::limits::MAX_EXPIRIES_PER_CALL;
use turnkeep::relay::{CloseReason, Instant, Now};
use turnkeep::wire::attribute::{Lifetime, RequestedTransport};
use turnkeep::wire::header::Method;

use super::sans_io::{Client, World, code, only_reply, refusal};

const PEER: &str = "192.0.2.77:5000";

fn allocated(lifetime: u32) -> (World, Client, SocketAddr) {
    let (mut world, mut alice) = (World::default(), Client::alice());
    // A second that does not begin with a whole number: nothing may be rounded in its favour.
    world.now.instant = Instant::from_nanos(world.now.instant.as_nanos() + 654_321_000);
    let relayed = alice.allocate_with(&mut world, &[&Lifetime(lifetime)]);
    (world, alice, relayed)
}

fn hears(world: &mut World, relayed: SocketAddr) -> bool {
    !world.peer_says(relayed, PEER.parse().unwrap(), b"x").is_empty()
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// C-311, RFC 8656 §6: an allocation is alive to the last millisecond of its lifetime and gone with it, its socket
/// within a second; the audit trail says that it expired.
#[test]
fn an_allocation_ends_on_time() {
    for lifetime in [600, 601, 777, 3600] {
        let (mut world, mut alice, relayed) = allocated(lifetime);
        world.advance(Duration::from_secs(lifetime.into()) - Duration::from_secs(200));
        assert_eq!(alice.permit(&mut world, PEER), 0);
        world.advance(Duration::from_secs(200) - MILLISECOND);
        assert!(hears(&mut world, relayed));
        assert_eq!(alice.send(&mut world, PEER, b"x").len(), 1);
        world.advance(MILLISECOND);
        assert!(!hears(&mut world, relayed));
        assert_eq!(alice.send(&mut world, PEER, b"x"), []);
        world.advance_secs(1);
        assert_eq!((world.server.allocations(), world.relays.len(), world.policy.held()), (0, 0, 0));
        let expired = |event: &Event| matches!(event, Event::Closed { reason: CloseReason::Expired, .. });
        assert_eq!(world.events.iter().filter(|event| expired(event)).count(), 1);
    }
}

/// C-312, RFC 8656 §9: a permission, to the millisecond.
#[test]
fn a_permission_ends_on_time() {
    let (mut world, mut alice, relayed) = allocated(3600);
    assert_eq!(alice.permit(&mut world, PEER), 0);
    world.advance(Duration::from_secs(300) - MILLISECOND);
    assert!(hears(&mut world, relayed) && alice.send(&mut world, PEER, b"x").len() == 1);
    world.advance(MILLISECOND);
    assert!(!hears(&mut world, relayed) && alice.send(&mut world, PEER, b"x").is_empty());
}

/// C-313, C-216, RFC 8656 §12: a channel, and its rest of five minutes, to the millisecond.
#[test]
fn a_channel_ends_on_time() {
    let (mut world, mut alice, _) = allocated(3600);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    world.advance(Duration::from_secs(600) - MILLISECOND);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x").len(), 1);
    world.advance(MILLISECOND);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), []);
    world.advance(Duration::from_secs(300) - MILLISECOND);
    assert_eq!(alice.bind(&mut world, 0x4000, "192.0.2.78:1"), 400);
    world.advance(MILLISECOND);
    assert_eq!(alice.bind(&mut world, 0x4000, "192.0.2.78:1"), 0);
}

/// C-310, RFC 8656 §5: a NONCE: good a second before its end, stale a second after; what the monotonic clock does is
/// nothing to it.
#[test]
fn a_nonce_ends_on_time() {
    let (mut world, mut alice, _) = allocated(3600);
    world.now = Now { unix_millis: world.now.unix_millis + 3_599_000, ..world.now };
    assert_eq!(alice.refresh(&mut world, 600), 0);
    world.now.unix_millis += 2000;
    assert_eq!(alice.refresh(&mut world, 600), 438);
}

/// C-311, A-076, RFC 8656 §6: late timers keep nothing alive, and a mass expiry is worked off in bounded steps that
/// leave out nobody.
#[test]
fn late_timers_and_mass_expiry() {
    let (mut world, mut clients) = (World::with_quota(usize::MAX), Vec::new());
    let count = u16::try_from(3 * MAX_EXPIRIES_PER_CALL + 7).unwrap();
    for port in 0..count {
        let mut client = Client::new("alice", &format!("203.0.113.5:{}", 10_000 + port));
        let relayed = client.allocate(&mut world);
        assert_eq!(client.permit(&mut world, PEER), 0);
        clients.push((client, relayed));
    }
    let (unix_millis, late) = (world.now.unix_millis + 700_000, world.now.instant.after(Duration::from_secs(700)));
    world.now = Now { instant: late, unix_millis };
    for (client, relayed) in clients.iter_mut().step_by(50) {
        assert!(!hears(&mut world, *relayed), "expired, though no timer has fired");
        assert_eq!(client.send(&mut world, PEER, b"x"), []);
        assert_eq!(client.refresh(&mut world, 600), 437);
    }
    let mut steps = 0;
    while world.server.next_deadline().is_some_and(|deadline| deadline <= late) {
        let before = world.server.allocations();
        world.server.on_deadline(world.now);
        assert!(before - world.server.allocations() <= MAX_EXPIRIES_PER_CALL);
        steps += 1;
    }
    world.run();
    assert!((4..=5).contains(&steps), "{steps} steps");
    assert_eq!((world.server.allocations(), world.relays.len(), world.policy.held()), (0, 0, 0));
}

/// C-311, C-112, RFC 8656 §6: what expired is no obstacle to a new Allocate, though no timer has fired; the one that
/// made it is still remembered.
#[test]
fn an_expired_allocation_makes_way() {
    let (mut world, mut alice) = (World::with_quota(1), Client::alice());
    alice.challenge(&mut world);
    let first = alice.signed(Method::ALLOCATE, &[&RequestedTransport(17)]);
    assert_eq!(code(&only_reply(world.client_says(alice.path, &first))), 0);
    world.now.instant = world.now.instant.after(Duration::from_secs(600));
    assert_eq!(refusal(&only_reply(world.client_says(alice.path, &first))), 437);
    assert_eq!(alice.try_allocate(&mut world, &[]), 0);
    assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (1, 1, 1));
}

/// C-316, C-112, RFC 8489 §6.3.1: an answered Allocate is remembered for 40 s after its allocation ended.
#[test]
fn an_answer_is_remembered_for_the_retransmission_window() {
    let (mut world, mut alice, _) = allocated(600);
    let mut bob = alice.clone();
    (bob.user, bob.password) = ("bob".into(), "bob".into());
    assert_eq!(alice.refresh(&mut world, 0), 0);
    world.advance(Duration::from_secs(40) - MILLISECOND);
    assert_eq!(bob.try_allocate(&mut world, &[]), 437);
    world.advance(MILLISECOND);
    assert_eq!(bob.try_allocate(&mut world, &[]), 0);
}
