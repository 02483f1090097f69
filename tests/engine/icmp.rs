//! ICMP errors (RFC 8656 §11.5), and tokens of RFC 8656 §7.2 on another worker than the one that reserved.

use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroUsize;

use turnkeep::engine::EngineConfig;
use turnkeep::wire::attribute::{Icmp, XorPeerAddress};
use turnkeep::wire::header::{Class, Method};
use turnkeep::wire::message::Message;

use crate::harness::{Client, Talk, loopback, next, peer, start};

/// An address that nobody listens at.
fn closed(like: SocketAddr) -> SocketAddr {
    peer(like).local_addr().unwrap()
}

/// The next message, which must tell of an ICMP error: about what is for whom, and which.
pub(crate) fn heard<T: Talk>(client: &Client<T>) -> (SocketAddr, Icmp) {
    let bytes = client.hear();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    (message.get::<XorPeerAddress>().unwrap().unwrap().0, message.get().unwrap().expect("ICMP"))
}

/// C-194, C-195, C-199: the kernel says that nobody is there, and the client hears it, by indication also on a channel;
/// the socket goes on, and no datagram to others behind it is lost.
#[test]
fn a_closed_port_is_told_to_the_client() {
    let relay = start(&loopback());
    for listener in [0, 1] {
        let server = relay.address(listener);
        let (mut client, open, gone) = (Client::of(server), peer(server), closed(server));
        let relayed = client.allocate();
        client.permit(open.local_addr().unwrap());
        client.bind(0x4001, gone);
        let unreachable = if server.is_ipv4() { (3, 3) } else { (1, 4) };
        for round in 0..3_u8 {
            client.send_channel(0x4001, b"anybody?");
            client.send(open.local_addr().unwrap(), &[round], &[]);
            let (about, icmp) = heard(&client);
            assert_eq!((about, (icmp.icmp_type, icmp.code), icmp.error_data), (gone, unreachable, [0; 4]));
            assert_eq!(next(&open), (vec![round], relayed), "what is for others arrives");
        }
        open.send_to(b"back", relayed).unwrap();
        assert_eq!(client.hear_data(), (open.local_addr().unwrap(), b"back".to_vec()));
    }
    relay.until(|counters| counters[0].engine.to_peers.unreachable == 0);
}

/// C-199: a client that is gone makes its listener neither spin nor stop.
#[test]
fn a_client_that_is_gone_troubles_nobody() {
    let relay = start(&loopback());
    for listener in [0, 1] {
        let server = relay.address(listener);
        let from = peer(server);
        let relayed = {
            let mut gone = Client::of(server);
            let relayed = gone.allocate();
            gone.permit(from.local_addr().unwrap());
            relayed
        };
        (0..100).for_each(|_| drop(from.send_to(b"hello?", relayed)));
        let sent = (u64::try_from(listener).unwrap() + 1) * 100;
        relay.until(|counters| counters[0].relay.packets_to_clients >= sent);
        let turns = relay.engine.counters()[0].engine.turns;
        let mut other = Client::of(server);
        other.allocate();
        assert!(relay.engine.counters()[0].engine.turns < turns + 50, "it rests");
    }
}

/// C-140, C-141: the port is kept by the engine, not by a worker, with its socket: no other program gets it.
#[test]
fn a_token_is_good_on_another_worker() {
    let relay = start(&EngineConfig { workers: NonZeroUsize::new(4), ..loopback() });
    for _ in 0..8 {
        let mut first = Client::of(relay.address(0));
        let (even, token) = first.allocate_pair();
        let next_port = SocketAddr::new(even.ip(), even.port() + 1);
        assert!(even.port().is_multiple_of(2) && UdpSocket::bind(next_port).is_err());
        let mut second = Client::of(relay.address(0));
        assert_eq!(second.redeem(token), Ok(next_port));
        let mut third = Client::of(relay.address(0));
        assert_eq!(third.redeem(token), Err(508), "once");
        let peer = peer(relay.address(0));
        second.permit(peer.local_addr().unwrap());
        second.send(peer.local_addr().unwrap(), b"x", &[]);
        assert_eq!(next(&peer), (b"x".to_vec(), next_port));
    }
    relay.until(|counters| counters.iter().filter(|worker| worker.engine.relays_opened > 0).count() > 1);
    assert_eq!(relay.engine.release_reserved(), 0);
}
