//! Sockets over loopback.

use std::net::Ipv4Addr;

use super::*;
use crate::client::Credentials;

fn fleet(target: &str, count: u32) -> Fleet {
    let credentials = Credentials::Secret(b"north".to_vec().into());
    Fleet::open(&Settings::new(target.parse().unwrap(), credentials), count).unwrap()
}

/// Sends one datagram of each client to peer `peer_of(client)`'s address, and returns who got whose.
fn exchange(fleet: &mut Fleet, count: u32) -> Vec<(u32, Place, SocketAddr)> {
    for number in 0..count {
        let to = fleet.peer_address(number);
        let from = Place { role: Role::Client, number };
        fleet.queue(from, Some(to), 4, None, |bytes| bytes.copy_from_slice(&number.to_be_bytes()));
    }
    fleet.flush(|ticket, why| panic!("{ticket:?} was refused: {why:?}"));
    let mut got = Vec::new();
    while fleet.receive(
        || 0,
        |_, incoming, bytes| {
            let number = u32::from_be_bytes(bytes.try_into().unwrap());
            got.push((number, incoming.place.unwrap(), incoming.source));
        },
    ) > 0
    {}
    got.sort_by_key(|(number, ..)| *number);
    got
}

#[test]
fn clients_and_peers_share_sockets_and_keep_their_addresses() {
    let mut fleet = fleet("127.0.0.1:9", 300);
    let got = exchange(&mut fleet, 300);
    assert_eq!(got.len(), 300);
    for (index, (number, place, source)) in (0..).zip(&got) {
        assert_eq!((*number, *place), (index, Place { role: Role::Peer, number: index }));
        assert_eq!(source.ip(), IpAddr::from(Ipv4Addr::from_bits(CLIENT_BASE + index)));
    }
    assert_eq!(fleet.facts().clients, "shared");
}

#[test]
fn a_renewed_client_has_another_address_and_hears_nothing_at_the_old_one() {
    let mut fleet = fleet("127.0.0.1:9", 10);
    let address = |fleet: &Fleet, number| fleet.side(Role::Client).unwrap().address(number);
    let old = address(&fleet, 3);
    fleet.renew(3).unwrap();
    let new = address(&fleet, 3);
    assert_eq!(new.ip(), IpAddr::from(Ipv4Addr::from_bits(CLIENT_BASE + 13)));
    for to in [old, new] {
        fleet.queue(Place { role: Role::Peer, number: 0 }, Some(to), 1, None, |_| {});
    }
    fleet.flush(|_, _| panic!("it was refused"));
    let mut places = Vec::new();
    fleet.receive(|| 0, |_, incoming, _| places.push(incoming.place));
    assert_eq!(places, [None, Some(Place { role: Role::Client, number: 3 })]);
}

#[test]
fn elsewhere_each_client_has_a_socket() {
    let mut fleet = fleet("[::1]:9", 20);
    let got = exchange(&mut fleet, 20);
    assert_eq!(got.len(), 20);
    for (number, place, source) in &got {
        assert_eq!(*place, fleet.place(Role::Peer, *number));
        assert_eq!(source.port(), fleet.side(Role::Client).unwrap().address(*number).port());
    }
    assert_eq!((fleet.facts().clients.as_str(), fleet.facts().peers.as_str()), ("each", "sockets"));
}

#[test]
fn a_run_is_counted_by_its_datagrams() {
    let mut settings = Settings::new("127.0.0.1:9".parse().unwrap(), Credentials::Secret(vec![0].into()));
    settings.merged = true;
    let mut fleet = Fleet::open(&settings, 1).unwrap();
    let to = fleet.peer_address(0);
    for len in [100, 100, 50] {
        fleet.queue(Place { role: Role::Client, number: 0 }, Some(to), len, None, |bytes| bytes.fill(7));
    }
    fleet.flush(|_, _| panic!("it was refused"));
    let mut lengths = Vec::new();
    fleet.receive(|| 0, |_, _, bytes| lengths.push(bytes.len()));
    assert_eq!(lengths, [100, 100, 50]);
}

#[test]
fn the_kernels_refusals_are_told_packet_by_packet() {
    let mut fleet = fleet("127.0.0.1:9", 2);
    let (good, nowhere) = (fleet.peer_address(0), "127.0.0.1:0".parse().unwrap());
    for (flow, to) in (0..).zip([good, nowhere, good]) {
        let ticket = Some(Ticket { flow, due_ns: 7 });
        fleet.queue(Place { role: Role::Client, number: 0 }, Some(to), 4, ticket, |bytes| bytes.fill(7));
    }
    fleet.queue(Place { role: Role::Client, number: 1 }, Some(nowhere), 4, None, |bytes| bytes.fill(7));
    let mut refused = Vec::new();
    fleet.flush(|ticket, why| refused.push((ticket, why)));
    let ticket = Some(Ticket { flow: 1, due_ns: 7 });
    assert_eq!(refused, [(ticket, Refusal::Kernel), (None, Refusal::Kernel)]);
}
