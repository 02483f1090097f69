//! State that should not come to be, or should not stay.

use turnkeep::relay::limits::{MAX_CHANNELS, MAX_PERMISSIONS};
use turnkeep::relay::{ClientAddr, RelayFailure};
use turnkeep::wire::attribute::{Lifetime, RequestedTransport};
use turnkeep::wire::header::Method;

use super::sans_io::{Client, Raw, World, code, only_reply};

const PEER: &str = "192.0.2.77:5000";

/// RFC 8489 §9.2.4: requests without credentials, and with forged ones, from 5,000 sources each:
/// no allocation, no timer, no command, no audit record, and no user is looked up.
#[test]
fn strangers_leave_no_state() {
    let (mut world, mut mallory) = (World::default(), Client::alice());
    mallory.nonce = b"obMatJos2gAAAnever minted here".to_vec();
    let requests = [
        (mallory.bare(Method::BINDING, &[]), 0),
        (mallory.bare(Method::ALLOCATE, &[&RequestedTransport(17)]), 401),
        (mallory.signed(Method::ALLOCATE, &[&RequestedTransport(17)]), 438),
        (mallory.forged(Method::REFRESH, &[], |all| all[0] = Raw(0x001E, vec![7; 32])), 438),
    ];
    for (request, expected) in requests {
        for source in 0..5000_u32 {
            let ip = (0x0b00_0000 + source).to_be_bytes();
            mallory.path.client = ClientAddr((ip, 40_000).into());
            assert_eq!(code(&only_reply(world.client_says(mallory.path, &request))), expected);
        }
    }
    assert_eq!((world.server.allocations(), world.policy.held(), world.policy.asked()), (0, 0, 0));
    assert_eq!((world.server.next_deadline(), world.events.len(), world.relays.len()), (None, 0, 0));
    world.assert_alive();
}

/// RFC 8489 §6.3.1: duplicates and refusals, a thousand times and in turns: one allocation, one share,
/// one channel, and the next request is answered.
#[test]
fn repetition_piles_up_nothing() {
    for mut alice in Client::each() {
        let mut world = World::with_quota(2);
        alice.challenge(&mut world);
        let allocate = alice.signed(Method::ALLOCATE, &[&RequestedTransport(17)]);
        let first = only_reply(world.client_says(alice.path, &allocate));
        for _ in 0..250 {
            assert_eq!(only_reply(world.client_says(alice.path, &allocate)), first);
            assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
            assert_eq!(alice.bind(&mut world, 0x4000, "192.0.2.78:1"), 400);
            assert_eq!(alice.permit(&mut world, "10.66.0.1:1"), 403);
            assert_eq!(alice.try_allocate(&mut world, &[]), 437);
        }
        assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (1, 1, 1));
        world.assert_alive();
    }
}

/// A-085, RFC 8656 §8, RFC 8656 §12: allocate, bind, refresh, expire and delete in every order, many times: afterwards
/// there is nothing left, no timer, no socket, no share.
#[test]
fn cycles_leave_nothing() {
    let (mut world, mut alice) = (World::with_quota(1), Client::alice());
    for round in 0..1000_u32 {
        alice.challenge(&mut world);
        if round % 7 == 0 {
            world.relay_failures.push_back(RelayFailure::PortsExhausted);
            assert_eq!(alice.try_allocate(&mut world, &[]), 508);
        }
        assert_eq!(alice.try_allocate(&mut world, &[]), 0, "round {round}");
        assert_eq!(alice.bind(&mut world, 0x4000 + u16::try_from(round % 4096).unwrap(), PEER), 0);
        if round % 5 == 0 {
            assert_eq!(alice.refresh(&mut world, 1200), 0);
        }
        if round % 3 == 0 {
            world.advance_secs(1202);
        } else {
            assert_eq!(alice.refresh(&mut world, 0), 0);
        }
        assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (0, 0, 0));
        assert_eq!(world.server.next_deadline(), None);
    }
    world.assert_alive();
}

/// A-084, RFC 8656 §8.2: a client that refreshes all the time is answered each time, and does not fill the audit trail.
#[test]
fn refreshing_all_the_time_fills_no_trail() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.allocate(&mut world);
    world.events.clear();
    for lifetime in (600..700).cycle().take(1000) {
        assert_eq!(alice.refresh(&mut world, lifetime), 0);
    }
    assert_eq!(world.events.len(), 1);
    world.advance_secs(9);
    assert_eq!((alice.refresh(&mut world, 600), world.events.len()), (0, 1));
    world.advance_secs(1);
    assert_eq!((alice.refresh(&mut world, 600), world.events.len()), (0, 2));
}

/// RFC 8656 §10.2, RFC 8656 §12.2: one allocation at all of its limits leaves every other one its
/// own.
#[test]
fn a_hoarder_takes_nothing_from_others() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.allocate_with(&mut world, &[&Lifetime(3600)]);
    let (mut permitted, mut bound) = (0, 0);
    for index in 0..MAX_PERMISSIONS + MAX_CHANNELS {
        let peer = format!("203.0.{}.{}:1", index / 250, index % 250 + 1);
        permitted += usize::from(alice.permit(&mut world, &peer) == 0);
        bound += usize::from(alice.bind(&mut world, 0x4000 + u16::try_from(index).unwrap(), &peer) == 0);
    }
    assert_eq!((permitted, bound), (MAX_PERMISSIONS, MAX_CHANNELS));
    let mut bob = Client::bob();
    bob.allocate(&mut world);
    assert_eq!(bob.bind(&mut world, 0x4000, "203.0.0.1:1"), 0);
    world.assert_alive();
}
