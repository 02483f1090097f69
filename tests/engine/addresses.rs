//! Answers leave from the address that was asked, and relayed addresses are those that are advertised.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use turnkeep::engine::{EngineConfig, RelayConfig};
use turnkeep::relay::Event;
use turnkeep::wire::header::{Class, Method, TransactionId};

use crate::harness::{Client, listening, loopback, next, peer, start, try_start};
use crate::namespace;
use crate::sans_io::message;

#[test]
fn binding_tells_the_clients_address() {
    let relay = start(&loopback());
    for listener in [0, 1] {
        let mut client = Client::of(relay.address(listener));
        assert_eq!(client.mapped_address(), client.socket.local_addr().unwrap());
    }
}

/// C-042.
#[test]
fn a_wildcard_listener_answers_from_the_address_that_was_asked() {
    let relay_v4 = Some(RelayConfig::at(Ipv4Addr::LOCALHOST));
    let relay = start(&EngineConfig { relay_v4, ..listening(&["0.0.0.0:0", "[::]:0"]) });
    for (listener, asked) in [(0, "127.0.0.1"), (0, "127.0.0.2"), (0, "127.9.9.9"), (1, "::1")] {
        let server = SocketAddr::new(asked.parse().unwrap(), relay.address(listener).port());
        // `Client::hear` compares the source of every answer with `server`.
        let mut client = Client::of(server);
        assert_eq!(client.mapped_address(), client.socket.local_addr().unwrap());
        if server.is_ipv6() {
            continue;
        }
        let peer = peer(server);
        let relayed = client.allocate();
        client.bind(0x4001, peer.local_addr().unwrap());
        peer.send_to(b"media", relayed).unwrap();
        assert_eq!(client.hear_channel(), (0x4001, b"media".to_vec()));
        let asked_in_the_record = relay.events().iter().any(|(_, event)| match event {
            Event::Opened { allocation, .. } => allocation.path.server.0 == server,
            _ => false,
        });
        assert!(asked_in_the_record, "the audit trail names {server}, not the wildcard");
    }
}

/// C-042.
#[test]
fn a_wildcard_listener_answers_from_each_of_several_ipv6_addresses() {
    namespace::with_addresses(&["2001:db8::1", "2001:db8::2"], || {
        let relay_v6 = Some(RelayConfig::at("2001:db8::2".parse().unwrap()));
        let relay = start(&EngineConfig { relay_v6, ..listening(&["[::]:0"]) });
        for asked in ["::1", "2001:db8::1", "2001:db8::2"] {
            let server = SocketAddr::new(asked.parse().unwrap(), relay.address(0).port());
            let (mut client, peer) = (Client::of(server), peer(server));
            assert_eq!(client.mapped_address(), client.socket.local_addr().unwrap());
            let relayed = client.allocate();
            client.bind(0x4001, peer.local_addr().unwrap());
            peer.send_to(b"media", relayed).unwrap();
            assert_eq!(client.hear_channel(), (0x4001, b"media".to_vec()));
        }
    });
}

#[test]
fn several_listeners_serve_side_by_side() {
    let relay = start(&listening(&["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0", "[::1]:0"]));
    for listener in 0..4 {
        let mut client = Client::of(relay.address(listener));
        assert_eq!(client.mapped_address(), client.socket.local_addr().unwrap());
    }
}

#[test]
fn a_broadcast_is_not_answered() {
    let workers = NonZeroUsize::new(1);
    let relay = start(&EngineConfig { workers, ..listening(&["0.0.0.0:0"]) });
    let client = Client::of(relay.address(0));
    client.socket.set_broadcast(true).unwrap();
    let request = message(Method::BINDING, Class::Request, TransactionId([1; 12]), &[], None);
    client.socket.send_to(&request, ("127.255.255.255", relay.address(0).port())).unwrap();
    relay.until(|workers| workers[0].engine.from_clients.unanswerable == 1);
    assert_eq!(relay.engine.counters()[0].engine.to_clients.sent, 0);
}

#[test]
fn relayed_addresses_are_advertised_and_meet_without_a_nat() {
    let mut config = loopback();
    config.relay_v4.as_mut().unwrap().advertise = Ipv4Addr::new(203, 0, 113, 5);
    let relay = start(&config);
    let (mut alice, mut bob) = (Client::of(relay.address(0)), Client::named("bob", relay.address(0)));
    let (alice_at, bob_at) = (alice.allocate(), bob.allocate());
    assert!([alice_at, bob_at].iter().all(|address| address.ip() == Ipv4Addr::new(203, 0, 113, 5)));

    alice.bind(0x4001, bob_at);
    bob.permit(alice_at);
    alice.send_channel(0x4001, b"hello");
    assert_eq!(bob.hear_data(), (alice_at, b"hello".to_vec()), "bob sees the advertised address");
    bob.send(alice_at, b"hello yourself", &[]);
    assert_eq!(alice.hear_channel(), (0x4001, b"hello yourself".to_vec()));

    // A peer elsewhere on this host sees the bound address, and is seen as what it is.
    let peer = peer(alice.server);
    alice.permit(peer.local_addr().unwrap());
    alice.send(peer.local_addr().unwrap(), b"outside", &[]);
    let bound = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), alice_at.port());
    assert_eq!(next(&peer), (b"outside".to_vec(), bound));
}

#[test]
fn a_start_that_cannot_work_says_why_in_a_sentence() {
    let mut elsewhere = loopback();
    elsewhere.relay_v4 = Some(RelayConfig::at(Ipv4Addr::new(203, 0, 113, 5)));
    let text = try_start(&elsewhere).err().unwrap().to_string();
    let expected = "cannot relay from 203.0.113.5: 203.0.113.5 is not an address of this host; did you mean advertise?";
    assert_eq!(text, expected);

    let text = try_start(&listening(&["203.0.113.5:3478"])).err().unwrap().to_string();
    assert_eq!(text, "cannot listen on 203.0.113.5:3478: 203.0.113.5 is not an address of this host");
}
