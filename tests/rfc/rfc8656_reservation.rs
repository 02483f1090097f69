//! RFC 8656 §7.2: pairs of ports, by EVEN-PORT with the R bit and RESERVATION-TOKEN.

use std::net::SocketAddr;

use turnkeep::relay::Family;
use turnkeep::wire::attribute::RequestedAddressFamily;
use turnkeep::wire::header::Method;

use super::sans_io::stun::{Stun, number};
use super::sans_io::{Client, Raw, World, code, only_reply, xored_address};

const ALLOCATE: Method = Method::ALLOCATE;

fn udp() -> Raw {
    Raw(number::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])
}

fn pair() -> Raw {
    Raw(number::EVEN_PORT, vec![0x80])
}

fn token(bytes: &[u8]) -> Raw {
    Raw(number::RESERVATION_TOKEN, bytes.to_vec())
}

/// A pair for this client: the first address, and the token of the second.
fn reserve(world: &mut World, client: &mut Client, family: Family) -> (SocketAddr, Vec<u8>) {
    client.challenge(world);
    let family = RequestedAddressFamily(family.number());
    let request = client.signed(ALLOCATE, &[&udp(), &pair(), &family]);
    let first = only_reply(world.client_says(client.path, &request));
    assert_eq!(code(&first), 0);
    assert_eq!(only_reply(world.client_says(client.path, &request)), first, "a retransmission gets it, too");
    let answer = Stun::read(&first).unwrap();
    let relayed = xored_address(answer.first(number::XOR_RELAYED_ADDRESS).unwrap(), answer.id());
    (relayed, answer.first(number::RESERVATION_TOKEN).unwrap().to_vec())
}

/// Another 5-tuple of the same user.
fn elsewhere(world: &mut World, client: &Client) -> Client {
    let mut other = client.clone();
    let port = client.path.client.port() + 1;
    other.path.client.0.set_port(port);
    other.challenge(world);
    other
}

/// C-111, C-139, C-140, C-314, RFC 8656 §7.2, RFC 8656 §18.10: the first has an even port and 8 bytes of token; who
/// shows them within 30 seconds, from whatever 5-tuple, gets the next port of the same address.
#[test]
fn a_token_is_good_for_the_next_port() {
    for mut alice in Client::each() {
        for family in [Family::V4, Family::V6] {
            let mut world = World::default();
            alice.nonce.clear();
            let (first, shown) = reserve(&mut world, &mut alice, family);
            assert!(first.port().is_multiple_of(2) && shown.len() == 8 && Family::of(first.ip()) == family);
            world.advance_secs(29);
            let second = elsewhere(&mut world, &alice).allocate_with(&mut world, &[&token(&shown)]);
            assert_eq!(second, SocketAddr::new(first.ip(), first.port() + 1));
        }
    }
}

/// C-122, C-141, C-142, RFC 8656 §7.2: used, or after 30 seconds, or never handed out: 508, and nothing is held.
#[test]
fn a_token_is_good_once_and_not_for_long() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let (_, shown) = reserve(&mut world, &mut alice, Family::V4);
        let mut second = elsewhere(&mut world, &alice);
        second.allocate_with(&mut world, &[&token(&shown)]);
        let mut third = elsewhere(&mut world, &second);
        assert_eq!(third.try_allocate(&mut world, &[&token(&shown)]), 508, "used");
        assert_eq!(third.try_allocate(&mut world, &[&token(&[9; 8])]), 508, "never handed out");
        third.nonce.clear();
        let (_, late) = reserve(&mut world, &mut third, Family::V4);
        world.advance_secs(30);
        let mut fourth = elsewhere(&mut world, &third);
        assert_eq!(fourth.try_allocate(&mut world, &[&token(&late)]), 508, "too late");
        assert_eq!((world.server.allocations(), world.policy.held()), (3, 3));
    }
}

/// C-122, A-059, RFC 8656 §7.2, RFC 8656 §18.10: to another user it is invalid (D-40), and stays good for its own.
#[test]
fn a_token_is_its_users_own() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let (first, shown) = reserve(&mut world, &mut alice, Family::V4);
        let mut bob = Client::bob();
        assert_eq!(bob.try_allocate(&mut world, &[&token(&shown)]), 508);
        let second = elsewhere(&mut world, &alice).allocate_with(&mut world, &[&token(&shown)]);
        assert_eq!(second.port(), first.port() + 1);
    }
}

/// C-139, RFC 8656 §7.2: two tokens differ, and none is in the answer of an allocation that has no pair.
#[test]
fn tokens_differ() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let (_, one) = reserve(&mut world, &mut alice, Family::V4);
    let mut second = elsewhere(&mut world, &alice);
    second.nonce.clear();
    let (_, other) = reserve(&mut world, &mut second, Family::V4);
    assert_ne!(one, other);
    let mut third = elsewhere(&mut world, &second);
    let answer = third.ask(&mut world, ALLOCATE, &[&udp()]);
    assert!(!Stun::read(&answer).unwrap().has(number::RESERVATION_TOKEN));
}
