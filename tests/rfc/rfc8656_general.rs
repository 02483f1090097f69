//! RFC 8656 §5 and §6: what holds for all of TURN.

use turnkeep::relay::{DropReason, Family};
use turnkeep::wire::attribute::{Data, Lifetime, RequestedTransport, XorPeerAddress};
use turnkeep::wire::header::Method;

use super::sans_io::{Client, Output, Raw, World, channel_message, code, only_reply, refusal};

const PEER: &str = "192.0.2.77:5000";

/// C-099, C-298, RFC 8656 §5: an authenticated request about an allocation that is not there: 437, signed; before what
/// else may be wrong with it.
#[test]
fn without_an_allocation_requests_are_refused() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.challenge(&mut world);
        for method in [Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
            assert_eq!(alice.code(&mut world, method, &[]), 437, "{method}");
            assert_eq!(alice.code(&mut world, method, &[&Lifetime(0)]), 437, "{method}");
        }
        assert_eq!(world.server.allocations(), 0);
    }
}

/// C-100, RFC 8656 §5: Send and ChannelData without an allocation are silently ignored.
#[test]
fn without_an_allocation_data_is_ignored() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let mut bob = Client::bob();
    bob.allocate(&mut world);
    assert_eq!(bob.bind(&mut world, 0x4000, PEER), 0);
    let peer = XorPeerAddress(PEER.parse().unwrap());
    let send = alice.indication(&[&peer, &Data(b"x")]);
    assert_eq!(world.silence(alice.path, &send), DropReason::NoAllocation);
    assert_eq!(world.silence(alice.path, &channel_message(0x4000, b"x")), DropReason::NoAllocation);
}

/// C-101, C-301, A-099, RFC 8656 §5, RFC 8656 §21.3.3: on an allocation, another user's credentials, however good, are
/// 441 and change nothing.
#[test]
fn another_users_credentials_are_wrong() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let relayed = alice.allocate(&mut world);
        assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
        let mut bob = alice.clone();
        (bob.user, bob.password) = ("bob".into(), "bob".into());
        assert_eq!(bob.refresh(&mut world, 0), 441);
        assert_eq!(bob.refresh(&mut world, 3600), 441);
        assert_eq!(bob.permit(&mut world, "192.0.2.78:1"), 441);
        assert_eq!(bob.bind(&mut world, 0x4001, "192.0.2.78:1"), 441);
        assert_eq!(bob.bind(&mut world, 0x4000, PEER), 441);
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x").len(), 1);
        assert_eq!(alice.channel_data(&mut world, 0x4001, b"x"), []);
        assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x").len(), 1);
        assert_eq!(world.peer_says(relayed, "192.0.2.78:1".parse().unwrap(), b"x"), []);
        world.advance_secs(601);
        assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x"), [], "nor was it refreshed");
    }
}

/// A-100, RFC 8656 §5: a new credential of the same user is another username: 441, and the old one goes on working.
#[test]
fn a_new_username_in_mid_call_is_wrong() {
    for mut alice in Client::each() {
        (alice.user, alice.password) = ("1795289500:alice".into(), "ecila:0059825971".into());
        let mut world = World::default();
        alice.allocate(&mut world);
        let mut renewed = alice.clone();
        (renewed.user, renewed.password) = ("1795293100:alice".into(), "ecila:0013925971".into());
        assert_eq!(renewed.refresh(&mut world, 600), 441);
        assert_eq!(renewed.permit(&mut world, PEER), 441);
        assert_eq!(alice.refresh(&mut world, 600), 0);
        assert_eq!(alice.permit(&mut world, PEER), 0);
    }
}

/// A-101, RFC 8656 §8: an expired credential begins nothing, but what it began goes on (D-19).
#[test]
fn expiry_is_judged_on_allocate() {
    for address in ["203.0.113.5:40000", "[2001:db8:5::5]:40000"] {
        let (mut world, mut brief) = (World::default(), Client::new("brief", address));
        brief.allocate(&mut world);
        world.advance_secs(60);
        assert_eq!(brief.refresh(&mut world, 600), 0);
        assert_eq!(brief.permit(&mut world, PEER), 0);
        assert_eq!(brief.bind(&mut world, 0x4000, PEER), 0);
        let mut second = brief.clone();
        second.path.client.0.set_port(40_001);
        second.nonce.clear();
        assert_eq!(second.try_allocate(&mut world, &[]), 401);
        assert_eq!(brief.refresh(&mut world, 0), 0);
        assert_eq!(brief.try_allocate(&mut world, &[]), 401);
    }
}

/// C-102, RFC 8656 §5, RFC 8656 §2: the server's address is part of the 5-tuple: on another one the same client has
/// another allocation.
#[test]
fn the_server_address_is_part_of_the_five_tuple() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let first = alice.allocate(&mut world);
        let mut elsewhere = alice.clone();
        elsewhere.path.server.0.set_port(443);
        elsewhere.nonce.clear();
        let second = elsewhere.allocate(&mut world);
        assert_ne!(first, second);
        assert_eq!(alice.permit(&mut world, PEER), 0);
        assert_eq!(alice.send(&mut world, PEER, b"x").len(), 1);
        assert_eq!(elsewhere.send(&mut world, PEER, b"x"), []);
        assert_eq!(elsewhere.refresh(&mut world, 0), 0);
        assert_eq!(alice.send(&mut world, PEER, b"x").len(), 1);
    }
}

/// C-104, RFC 8656 §6: neither data, nor permissions, nor channels extend an allocation.
#[test]
fn only_refresh_extends_an_allocation() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate(&mut world);
    for second in 0..599 {
        world.advance_secs(1);
        if second % 100 == 0 {
            assert_eq!(alice.permit(&mut world, PEER), 0);
            assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
        }
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x").len(), 1);
        assert_eq!(alice.send(&mut world, PEER, b"x").len(), 1);
        assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x").len(), 1);
    }
    world.advance_secs(2);
    assert_eq!(alice.send(&mut world, PEER, b"x"), []);
    assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x"), []);
    assert_eq!(alice.refresh(&mut world, 600), 437);
}

/// C-137, C-306, A-055, RFC 8656 §5, RFC 8656 §7.2: beyond the limit of allocations 486, wherever the user comes from;
/// one given back makes room for one.
#[test]
fn allocations_are_limited_by_user() {
    let mut world = World::with_quota(4);
    let mut clients: Vec<_> = (1..=5).map(|host| Client::new("alice", &format!("203.0.113.{host}:40000"))).collect();
    for client in &mut clients[..4] {
        client.allocate(&mut world);
    }
    for _ in 0..3 {
        assert_eq!(clients[4].try_allocate(&mut world, &[]), 486);
    }
    assert_eq!((world.server.allocations(), world.policy.held()), (4, 4));
    assert_eq!(clients[1].refresh(&mut world, 0), 0);
    assert_eq!(clients[4].try_allocate(&mut world, &[]), 0);
    assert_eq!(clients[1].try_allocate(&mut world, &[]), 486);
    world.advance_secs(602);
    assert_eq!((world.server.allocations(), world.policy.held()), (0, 0), "what expires is given back, too");
}

/// C-049, C-111, C-316, A-058, RFC 8489 §6.3.1, RFC 8656 §5, RFC 8656 §7.2: a retransmitted Allocate, at once or 40 s
/// later, while its relay socket is being opened or after, gets the first one's answer; there is one allocation and one
/// share in use.
#[test]
fn a_retransmitted_allocate_is_one_allocate() {
    for mut alice in Client::each() {
        for family in [Family::V4, Family::V6] {
            let mut world = World::default();
            alice.nonce.clear();
            alice.challenge(&mut world);
            let family = Raw(0x0017, vec![if family == Family::V4 { 1 } else { 2 }, 0, 0, 0]);
            let request = alice.signed(Method::ALLOCATE, &[&RequestedTransport(17), &family, &Lifetime(900)]);
            world.hold_relays = true;
            for _ in 0..3 {
                assert_eq!(world.client_says(alice.path, &request), []);
            }
            assert_eq!(world.held.len(), 1);
            world.hold_relays = false;
            let first = only_reply(world.open_held());
            assert_eq!(code(&first), 0);
            for wait in [0, 1, 3, 7, 15, 14] {
                world.advance_secs(wait);
                assert_eq!(only_reply(world.client_says(alice.path, &request)), first);
            }
            assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (1, 1, 1));
            assert_eq!(world.events.len(), 1);
        }
    }
}

/// C-049, C-182, C-204, RFC 8489 §6.3.1, RFC 8656 §10.2, RFC 8656 §12.2: retransmitted Refresh, CreatePermission and
/// ChannelBind requests succeed again and leave the same state.
#[test]
fn other_retransmissions_succeed_again() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let relayed = alice.allocate(&mut world);
        let peer = XorPeerAddress(PEER.parse().unwrap());
        let number = Raw(0x000C, vec![0x40, 0, 0, 0]);
        let requests = [
            alice.signed(Method::CREATE_PERMISSION, &[&peer]),
            alice.signed(Method::CHANNEL_BIND, &[&number, &peer]),
            alice.signed(Method::REFRESH, &[&Lifetime(1200)]),
        ];
        for request in &requests {
            let first = only_reply(world.client_says(alice.path, request));
            assert_eq!(code(&first), 0);
            for _ in 0..3 {
                assert_eq!(only_reply(world.client_says(alice.path, request)), first);
            }
        }
        assert!(matches!(world.peer_says(relayed, peer.0, b"x")[..], [Output::ToClient { .. }]));
        assert_eq!(world.server.allocations(), 1);
    }
}

/// C-112, C-158, C-298, C-316, RFC 8489 §6.3.1, RFC 8656 §8.2: after an allocation was deleted, its retransmitted
/// Allocate makes no other one for 40 s, and its retransmitted Refresh is 437, signed (D-09, D-31).
#[test]
fn a_retransmission_after_the_end_is_refused() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.challenge(&mut world);
        let allocate = alice.signed(Method::ALLOCATE, &[&RequestedTransport(17)]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &allocate))), 0);
        let delete = alice.signed(Method::REFRESH, &[&Lifetime(0)]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &delete))), 0);
        for wait in [0, 1, 38] {
            world.advance_secs(wait);
            assert_eq!(refusal(&only_reply(world.client_says(alice.path, &allocate))), 437);
            assert_eq!(refusal(&only_reply(world.client_says(alice.path, &delete))), 437);
        }
        assert_eq!((world.server.allocations(), world.policy.held()), (0, 0));
    }
}

/// C-112, C-049, RFC 8489 §6.3.1: nor does it after the client made and deleted another allocation meanwhile (D-09).
#[test]
fn an_older_retransmission_is_refused_too() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.challenge(&mut world);
    let oldest = alice.signed(Method::ALLOCATE, &[&RequestedTransport(17)]);
    assert_eq!(code(&only_reply(world.client_says(alice.path, &oldest))), 0);
    for _ in 0..3 {
        assert_eq!(alice.refresh(&mut world, 0), 0);
        assert_eq!(refusal(&only_reply(world.client_says(alice.path, &oldest))), 437);
        world.advance_secs(5);
        assert_eq!(alice.try_allocate(&mut world, &[]), 0, "a new one is accepted at once");
    }
}

/// C-112, RFC 8656 §7.2: a freed 5-tuple is its user's for 40 s: at once with a new Allocate, another user's after the
/// rest (D-09).
#[test]
fn a_freed_five_tuple_rests() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.allocate(&mut world);
        assert_eq!(alice.refresh(&mut world, 0), 0);
        let mut bob = alice.clone();
        (bob.user, bob.password) = ("bob".into(), "bob".into());
        assert_eq!(bob.try_allocate(&mut world, &[]), 437);
        assert_eq!(alice.try_allocate(&mut world, &[]), 0);
        assert_eq!(alice.refresh(&mut world, 0), 0);
        world.advance_secs(39);
        assert_eq!(bob.try_allocate(&mut world, &[]), 437);
        world.advance_secs(2);
        assert_eq!(bob.try_allocate(&mut world, &[]), 0);
    }
}
