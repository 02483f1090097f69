//! What extensions that are not switched on are answered with (RFC 6062, RFC 8016, RFC 7635, RFC 8155).

use turnkeep::relay::DropReason;
use turnkeep::wire::attribute::{RequestedTransport, XorPeerAddress};
use turnkeep::wire::header::{Class, Method};

use super::sans_io::stun::{Stun, number};
use super::sans_io::{Client, Raw, World, code, message, only_reply};

const PEER: &str = "192.0.2.77:5000";
const CONNECTION_ID: u16 = 0x002A;
const MOBILITY_TICKET: u16 = 0x8030;
const ACCESS_TOKEN: u16 = 0x001B;

/// C-251, A-113, RFC 6062 §5.2, RFC 8489 §6.3: Connect, ConnectionBind and ConnectionAttempt are methods that do not
/// exist here: silence, with and without credentials, with and without an allocation (D-15).
#[test]
fn tcp_methods_are_silence() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.challenge(&mut world);
        for allocated in [false, true] {
            if allocated {
                alice.allocate(&mut world);
            }
            let peer = XorPeerAddress(PEER.parse().unwrap());
            let id = Raw(CONNECTION_ID, vec![0, 0, 0, 1]);
            for method in [Method::CONNECT, Method::CONNECTION_BIND, Method::CONNECTION_ATTEMPT] {
                let indication = message(method, Class::Indication, alice.id(), &[&peer, &id], None);
                for request in [alice.bare(method, &[]), alice.signed(method, &[&peer]), indication] {
                    assert_eq!(world.silence(alice.path, &request), DropReason::UnsupportedMethod, "{method}");
                }
            }
        }
        let id = Raw(CONNECTION_ID, vec![0, 0, 0, 1]);
        assert_eq!(alice.code(&mut world, Method::REFRESH, &[&id]), 420, "nor is its attribute known");
    }
}

/// C-265, RFC 8016 §3.1.2: an empty MOBILITY-TICKET, and any other, may be ignored and is: a success without a ticket
/// (the judge allows none).
#[test]
fn a_mobility_ticket_is_ignored() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.allocate_with(&mut world, &[&Raw(MOBILITY_TICKET, vec![])]);
        assert_eq!(alice.code(&mut world, Method::REFRESH, &[&Raw(MOBILITY_TICKET, vec![7; 40])]), 0);
        let mut elsewhere = alice.clone();
        elsewhere.path.client.0.set_port(40_001);
        elsewhere.nonce.clear();
        elsewhere.challenge(&mut world);
        assert_eq!(elsewhere.code(&mut world, Method::REFRESH, &[&Raw(MOBILITY_TICKET, vec![7; 40])]), 437);
    }
}

/// C-271, A-110, RFC 7635 §6.2, RFC 8489 §6.3.1: an ACCESS-TOKEN, whatever its inner lengths say, is an unknown
/// required attribute: 420 once the request is authenticated, 401 before.
#[test]
fn an_access_token_is_unknown() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.challenge(&mut world);
        for nonce_len in [0_u16, 12, 0x00FF, 0x7FFF, 0xFFFF] {
            let token = Raw(ACCESS_TOKEN, [&nonce_len.to_be_bytes()[..], &[7; 40]].concat());
            let bare = alice.bare(Method::ALLOCATE, &[&RequestedTransport(17), &token]);
            assert_eq!(code(&only_reply(world.client_says(alice.path, &bare))), 401);
            let answer = alice.ask(&mut world, Method::ALLOCATE, &[&RequestedTransport(17), &token]);
            let answer = Stun::read(&answer).unwrap();
            assert_eq!((answer.code(), answer.first(number::UNKNOWN_ATTRIBUTES)), (420, Some(&[0, 0x1B][..])));
        }
        assert_eq!(world.server.allocations(), 0);
    }
}

/// C-290, A-001, RFC 8155 §8: nobody allocates without authentication, whatever he says of himself.
#[test]
fn there_is_no_unauthenticated_mode() {
    let (mut world, mut guest) = (World::default(), Client::new("guest", "203.0.113.5:40000"));
    for name in ["", "anonymous", "guest", "alice"] {
        let name = Raw(number::USERNAME, name.into());
        let request = guest.bare(Method::ALLOCATE, &[&RequestedTransport(17), &name]);
        assert_eq!(code(&only_reply(world.client_says(guest.path, &request))), 401);
        assert_eq!(guest.try_allocate(&mut world, &[]), 401);
    }
    assert_eq!(world.server.allocations(), 0);
}
