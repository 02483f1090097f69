//! RFC 8656 §7.2, step 9, and §8: allocations with an address of each family.

use std::net::SocketAddr;
use std::time::Duration;

use turnkeep::relay::event::Event;
use turnkeep::relay::{CloseReason, DropReason, PeerAddr, PeerVerdict, RelayFailure};
use turnkeep::wire::attribute::{Lifetime, RequestedAddressFamily};
use turnkeep::wire::header::Method;

use super::sans_io::stun::{Stun, number};
use super::sans_io::{Client, Output, Raw, World, code, only_reply, xored_address};

const PEERS: [&str; 2] = ["192.0.2.77:5000", "[2001:db8:7::77]:5000"];

fn udp() -> Raw {
    Raw(number::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])
}

fn additional() -> Raw {
    Raw(number::ADDITIONAL_ADDRESS_FAMILY, vec![2, 0, 0, 0])
}

fn relayed(answer: &[u8]) -> Vec<SocketAddr> {
    let answer = Stun::read(answer).unwrap();
    let all = answer.attributes.iter().filter(|tlv| tlv.number == number::XOR_RELAYED_ADDRESS);
    all.map(|tlv| xored_address(tlv.value, answer.id())).collect()
}

/// A dual allocation of this client's: IPv4 and IPv6.
fn allocate(world: &mut World, client: &mut Client) -> [SocketAddr; 2] {
    client.challenge(world);
    let request = client.signed(Method::ALLOCATE, &[&udp(), &additional()]);
    let answer = only_reply(world.client_says(client.path, &request));
    assert_eq!(code(&answer), 0);
    assert_eq!(only_reply(world.client_says(client.path, &request)), answer, "a retransmission gets it, too");
    assert!(!Stun::read(&answer).unwrap().has(number::ADDRESS_ERROR_CODE));
    relayed(&answer).try_into().unwrap()
}

fn refresh(world: &mut World, client: &mut Client, family: Option<u8>, lifetime: u32) -> u16 {
    match family {
        Some(family) => client.code(world, Method::REFRESH, &[&Lifetime(lifetime), &RequestedAddressFamily(family)]),
        None => client.refresh(world, lifetime),
    }
}

/// Both ways, by indication and by channel, between the client and each peer; which of the families relay.
fn relays(world: &mut World, client: &mut Client, own: [SocketAddr; 2]) -> [bool; 2] {
    let mut alive = [false; 2];
    for (index, (peer, relayed)) in PEERS.iter().zip(own).enumerate() {
        let number = 0x4000 + u16::try_from(index).unwrap();
        let sent = client.send(world, peer, b"out");
        let on_channel = client.channel_data(world, number, b"on");
        let heard = world.peer_says(relayed, peer.parse().unwrap(), b"back");
        let from = |outputs: &[Output]| matches!(outputs, [Output::ToPeer { from, .. }] if *from == relayed);
        alive[index] = from(&sent);
        assert_eq!([from(&on_channel), heard.len() == 1], [alive[index]; 2], "{peer}");
    }
    alive
}

fn bind_both(world: &mut World, client: &mut Client) {
    for (number, peer) in (0x4000..).zip(PEERS) {
        assert_eq!(client.bind(world, number, peer), 0);
    }
}

/// C-134, C-178, RFC 8656 §7.2, RFC 8656 §10.1: two addresses, IPv4 first, for one share of the quota; peers of both
/// families are reached, each from the address of its own; the audit trail names both.
#[test]
fn both_families_can_be_had_at_once() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let own = allocate(&mut world, &mut alice);
        assert!(own[0].is_ipv4() && own[1].is_ipv6());
        assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (1, 1, 2));
        assert_eq!(alice.permit_all(&mut world, &PEERS), 0, "peers of both in one request");
        bind_both(&mut world, &mut alice);
        assert_eq!(relays(&mut world, &mut alice, own), [true, true]);
        let Some(Event::Opened { allocation, .. }) = world.events.first() else { panic!("{:?}", world.events) };
        assert_eq!((allocation.relayed.0, allocation.also.map(|also| also.0)), (own[0], Some(own[1])));
        assert_eq!(alice.refresh(&mut world, 0), 0);
        assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (0, 0, 0));
        world.assert_alive();
    }
}

/// C-135, C-136, RFC 8656 §7.2, RFC 8656 §18.12: one of the two cannot be opened: success, with a 508 that names it;
/// neither: 508, and nothing is held.
#[test]
fn half_of_it_is_better_than_nothing() {
    let full = RelayFailure::PortsExhausted;
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.challenge(&mut world);
        world.relay_failures.extend([full, full]);
        assert_eq!(alice.code(&mut world, Method::ALLOCATE, &[&udp(), &additional()]), 508);
        assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (0, 0, 0));
        world.relay_failures.push_back(full);
        let answer = alice.ask(&mut world, Method::ALLOCATE, &[&udp(), &additional()]);
        assert!(matches!(relayed(&answer)[..], [only] if only.is_ipv6()));
        let error = Stun::read(&answer).unwrap().first(number::ADDRESS_ERROR_CODE).unwrap()[..4].to_vec();
        assert_eq!(error, [1, 0, 5, 8], "IPv4: 508");
        assert_eq!([alice.permit(&mut world, PEERS[0]), alice.permit(&mut world, PEERS[1])], [443, 0]);
        assert_eq!(alice.send(&mut world, PEERS[1], b"out").len(), 1);
        assert_eq!(refresh(&mut world, &mut alice, Some(2), 0), 0);
        assert_eq!((world.server.allocations(), world.relays.len()), (0, 0));
    }
    let (mut world, mut alice) = (World::default(), Client::alice());
    world.hold_relays = true;
    alice.challenge(&mut world);
    let request = alice.signed(Method::ALLOCATE, &[&udp(), &additional()]);
    assert_eq!(world.client_says(alice.path, &request), []);
    // The second socket is heard of first, and the first one not at all.
    let (first, second) = (world.held.remove(0), world.held.remove(0));
    world.hold_relays = false;
    world.held.push(second);
    assert_eq!(world.open_held(), [], "nothing is said before both are heard of");
    world.relay_failures.push_back(full);
    world.held.push(first);
    let answer = only_reply(world.open_held());
    assert!(matches!(relayed(&answer)[..], [only] if only.is_ipv6()));
    assert_eq!(alice.refresh(&mut world, 0), 0);
    assert_eq!((world.server.allocations(), world.relays.len()), (0, 0));
}

/// C-161, C-163, RFC 8656 §8.1, RFC 8656 §8.2: a Refresh of 0 for one family ends that address with its permissions and
/// channels, and no other; it is told to the audit trail; what is gone is a 443.
#[test]
fn one_half_can_be_deleted() {
    for gone in [1_u8, 2] {
        for mut alice in Client::each() {
            let mut world = World::default();
            let own = allocate(&mut world, &mut alice);
            bind_both(&mut world, &mut alice);
            assert_eq!(refresh(&mut world, &mut alice, Some(gone), 0), 0);
            assert_eq!(relays(&mut world, &mut alice, own), [gone == 2, gone == 1]);
            assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (1, 1, 1));
            let ended = own[usize::from(gone) - 1];
            let told = world.events.last();
            assert!(matches!(told, Some(Event::Narrowed { ended: told, .. }) if told.0 == ended), "{told:?}");
            for lifetime in [0, 600] {
                assert_eq!(refresh(&mut world, &mut alice, Some(gone), lifetime), 443);
            }
            assert_eq!(alice.permit(&mut world, PEERS[usize::from(gone) - 1]), 443);
            assert_eq!(refresh(&mut world, &mut alice, Some(3 - gone), 0), 0, "the last one");
            assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (0, 0, 0));
            world.assert_alive();
        }
    }
}

/// C-162, RFC 8656 §8.1: without a family a Refresh is about both.
#[test]
fn a_refresh_without_family_is_about_both() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let own = allocate(&mut world, &mut alice);
        world.advance_secs(599);
        assert_eq!(refresh(&mut world, &mut alice, None, 600), 0);
        world.advance_secs(599);
        bind_both(&mut world, &mut alice);
        assert_eq!(relays(&mut world, &mut alice, own), [true, true]);
        assert_eq!(refresh(&mut world, &mut alice, None, 0), 0);
        assert_eq!((world.server.allocations(), world.relays.len()), (0, 0));
    }
}

/// C-160, C-311, RFC 8656 §6, RFC 8656 §8.1: each address has a time-to-expiry of its own: of a family that is not
/// refreshed the address ends, with its socket, and the other goes on.
#[test]
fn each_half_expires_by_itself() {
    for kept in [1_u8, 2] {
        for mut alice in Client::each() {
            let mut world = World::default();
            let own = allocate(&mut world, &mut alice);
            world.advance_secs(500);
            assert_eq!(refresh(&mut world, &mut alice, Some(kept), 600), 0);
            world.advance_secs(99);
            bind_both(&mut world, &mut alice);
            assert_eq!(relays(&mut world, &mut alice, own), [true, true]);
            world.advance_secs(2);
            assert_eq!(relays(&mut world, &mut alice, own), [kept == 1, kept == 2]);
            assert_eq!((world.server.allocations(), world.relays.len()), (1, 1));
            assert!(matches!(world.events.last(), Some(Event::Narrowed { reason: CloseReason::Expired, .. })));
            world.advance_secs(500);
            assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (0, 0, 0));
            assert!(matches!(world.events.last(), Some(Event::Closed { reason: CloseReason::Expired, .. })));
        }
    }
}

/// C-163, C-164, RFC 8656 §8.2: an address that has ended, though its timer has not come round to it, is not refreshed
/// with the other.
#[test]
fn a_refresh_brings_no_ended_half_back() {
    for kept in [1_u8, 2] {
        let (mut world, mut alice) = (World::default(), Client::alice());
        let own = allocate(&mut world, &mut alice);
        world.advance_secs(500);
        assert_eq!(refresh(&mut world, &mut alice, Some(kept), 600), 0);
        bind_both(&mut world, &mut alice);
        world.now.instant = world.now.instant.after(Duration::from_millis(100_001));
        assert_eq!(world.relays.len(), 2, "no timer has run");
        assert_eq!(refresh(&mut world, &mut alice, None, 600), 0);
        assert_eq!(relays(&mut world, &mut alice, own), [kept == 1, kept == 2]);
        world.advance_secs(2);
        assert_eq!((world.server.allocations(), world.relays.len()), (1, 1));
        assert_eq!(relays(&mut world, &mut alice, own), [kept == 1, kept == 2]);
        assert!(matches!(world.events.last(), Some(Event::Narrowed { reason: CloseReason::Expired, .. })));
    }
}

/// C-100, RFC 8656 §6: a peer that writes to an address which has just ended finds nobody, also where its allocation
/// stands.
#[test]
fn the_name_of_a_closed_half_names_nothing() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let own = allocate(&mut world, &mut alice);
    bind_both(&mut world, &mut alice);
    let id_of = |address| *world.relays.iter().find(|(_, found)| **found == address).unwrap().0;
    let second = id_of(own[1]);
    assert_eq!(refresh(&mut world, &mut alice, Some(2), 0), 0);
    let peer = PeerAddr(PEERS[1].parse().unwrap());
    let verdict = world.server.on_peer_datagram(world.now.instant, second, peer, 4);
    assert_eq!(verdict, PeerVerdict::Drop(DropReason::NoAllocation));
}
