//! What is relayed arrives whole, in order and from the right place.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;

use turnkeep::engine::{EngineConfig, WorkerCounters};
use turnkeep::relay::DropReason;
use turnkeep::relay::limits::MAX_PAYLOAD;
use turnkeep::wire::attribute::EvenPort;

use crate::harness::{Client, Talk, is_quiet, loopback, next, peer, start};

/// Both families.
const LISTENERS: [usize; 2] = [0, 1];

#[test]
fn channels_carry_payloads_of_every_size_both_ways() {
    let relay = start(&loopback());
    for listener in LISTENERS {
        carries_channels(Client::of(relay.address(listener)));
    }
}

#[test]
fn indications_carry_payloads_of_every_size_both_ways() {
    let relay = start(&loopback());
    for listener in LISTENERS {
        carries_indications(Client::of(relay.address(listener)));
    }
}

/// Among them lengths that are padded, and one that no record of TLS holds.
const SIZES: [usize; 10] = [0, 1, 2, 3, 4, 5, 160, 1200, 16_384, 40_000];

/// Payloads go both ways through a channel of `client`, whatever it comes by.
pub(crate) fn carries_channels<T: Talk>(mut client: Client<T>) {
    let (relayed, peer) = (client.allocate(), peer(client.server));
    client.bind(0x4001, peer.local_addr().unwrap());
    for payload in SIZES.map(payload) {
        client.send_channel(0x4001, &payload);
        assert_eq!(next(&peer), (payload.clone(), relayed));
        peer.send_to(&payload, relayed).unwrap();
        assert_eq!(client.hear_channel(), (0x4001, payload));
    }
}

/// The same in indications.
pub(crate) fn carries_indications<T: Talk>(mut client: Client<T>) {
    let (relayed, peer) = (client.allocate(), peer(client.server));
    let address = peer.local_addr().unwrap();
    client.permit(address);
    for payload in SIZES.map(payload) {
        client.send(address, &payload, &[]);
        assert_eq!(next(&peer), (payload.clone(), relayed));
        peer.send_to(&payload, relayed).unwrap();
        assert_eq!(client.hear_data(), (address, payload));
    }
}

#[test]
fn bursts_keep_their_order_between_channels_indications_and_peers() {
    let relay = start(&loopback());
    let mut client = Client::of(relay.address(0));
    let peers = [peer(client.server), peer(client.server)];
    let relayed = client.allocate();
    let addresses = [0, 1].map(|index: usize| peers[index].local_addr().unwrap());
    client.bind(0x4000, addresses[0]);
    client.permit(addresses[1]);
    // More than a batch, and within the buffers of a relay socket.
    for number in 0..150u16 {
        let payload = number.to_be_bytes();
        client.send_channel(0x4000, &payload);
        client.send(addresses[usize::from(number % 2)], &payload, &[]);
    }
    let number_of = |(bytes, from): (Vec<u8>, SocketAddr)| {
        assert_eq!(from, relayed);
        u16::from_be_bytes(bytes.try_into().unwrap())
    };
    let first: Vec<u16> = (0..225).map(|_| number_of(next(&peers[0]))).collect();
    assert!(first.is_sorted());
    let second: Vec<u16> = (0..75).map(|_| number_of(next(&peers[1]))).collect();
    assert_eq!(second, (0..150).filter(|number| number % 2 == 1).collect::<Vec<_>>());

    for number in 0..150u16 {
        peers[0].send_to(&number.to_be_bytes(), relayed).unwrap();
    }
    for number in 0..150u16 {
        assert_eq!(client.hear_channel(), (0x4000, number.to_be_bytes().to_vec()));
    }
}

/// What a network card, or a sender on this host, has merged (UDP_SEGMENT, UDP_GRO) is many datagrams, not one.
#[test]
fn merged_datagrams_are_relayed_one_by_one_and_in_order() {
    let relay = start(&loopback());
    for listener in LISTENERS {
        let (mut client, peer) = pair(relay.address(listener));
        let relayed = client.allocate();
        client.bind(0x4001, peer.local_addr().unwrap());
        let words = [b"first.", b"second", b"third.", b"fourth"];
        let message = |word: &[u8]| [&[0x40, 0x01, 0, 6], word].concat();
        send_merged(&client.socket, &words.map(|word| message(word)).concat(), 10, client.server);
        for word in words {
            assert_eq!(next(&peer), (word.to_vec(), relayed));
        }
        send_merged(&peer, &[words.map(|word| &word[..]).concat().as_slice(), b"end"].concat(), 6, relayed);
        for word in words.iter().map(|word| &word[..]).chain([&b"end"[..]]) {
            assert_eq!(client.hear_channel(), (0x4001, word.to_vec()));
        }
        // More than the outbox has room for, in both directions and forms.
        client.permit(peer.local_addr().unwrap());
        for _ in 0..3 {
            send_merged(&client.socket, &message(b"again!").repeat(64), 10, client.server);
            send_merged(&peer, &b"answer".repeat(64), 6, relayed);
        }
        for _ in 0..3 * 64 {
            assert_eq!(next(&peer), (b"again!".to_vec(), relayed));
            assert_eq!(client.hear_channel(), (0x4001, b"answer".to_vec()));
        }
    }
}

/// Sends `bytes` as datagrams of `segment` bytes each, in one piece.
fn send_merged(socket: &std::net::UdpSocket, bytes: &[u8], segment: i32, to: SocketAddr) {
    let cut = |segment: i32| {
        // SAFETY: the option's value is an int that outlives the call.
        let done = unsafe {
            let (fd, value) = (socket.as_raw_fd(), (&raw const segment).cast());
            libc::setsockopt(fd, libc::SOL_UDP, libc::UDP_SEGMENT, value, 4)
        };
        assert_eq!(done, 0);
    };
    cut(segment);
    socket.send_to(bytes, to).unwrap();
    cut(0);
}

/// Two allocations of one worker meet without a socket in between; those of two workers over the network.
#[test]
fn relayed_addresses_of_the_relay_meet_within_it() {
    for workers in [1, 2] {
        let relay = start(&EngineConfig { workers: NonZeroUsize::new(workers), ..loopback() });
        for listener in LISTENERS {
            let mut clients: Vec<_> = (0..8).map(|_| Client::of(relay.address(listener))).collect();
            let relayed: Vec<_> = clients.iter_mut().map(Client::allocate).collect();
            for (index, client) in clients.iter_mut().enumerate() {
                client.bind(0x4001, relayed[index ^ 1]);
            }
            for (index, client) in clients.iter().enumerate() {
                for payload in [&b"within"[..], b"", &payload(1200)] {
                    client.send_channel(0x4001, payload);
                    assert_eq!(clients[index ^ 1].hear_channel(), (0x4001, payload.to_vec()));
                }
            }
        }
        let switched = |workers: &[WorkerCounters]| workers.iter().map(|worker| worker.engine.switched).sum::<u64>();
        let most = 2 * 8 * 3;
        relay.until(|all| if workers == 1 { switched(all) == most } else { switched(all) <= most });
    }
}

/// C-242.
#[test]
fn a_payload_that_would_outgrow_its_datagram_is_dropped_and_counted() {
    let relay = start(&loopback());
    let (mut client, peer) = pair(relay.address(0));
    let relayed = client.allocate();
    client.bind(0x4001, peer.local_addr().unwrap());
    for len in [65_507, MAX_PAYLOAD + 1, MAX_PAYLOAD] {
        peer.send_to(&payload(len), relayed).unwrap();
    }
    assert_eq!(client.hear_channel(), (0x4001, payload(MAX_PAYLOAD)));
    relay.until(|workers| workers[0].relay.dropped(DropReason::TooLong) == 2);
}

#[test]
fn strangers_reach_nobody() {
    let relay = start(&loopback());
    let (mut client, stranger) = pair(relay.address(0));
    let relayed = client.allocate();
    stranger.send_to(b"let me in", relayed).unwrap();
    client.send(stranger.local_addr().unwrap(), b"no permission", &[]);
    client.send_channel(0x4001, b"no channel");
    relay.until(|workers| {
        let relay = &workers[0].relay;
        (relay.dropped(DropReason::NoPermission), relay.dropped(DropReason::UnboundChannel)) == (2, 1)
    });
    assert!(is_quiet(&client.socket) && is_quiet(&stranger));
}

/// C-199.
#[test]
fn a_peer_that_is_gone_disturbs_nobody() {
    let relay = start(&loopback());
    for listener in LISTENERS {
        let (mut client, present) = pair(relay.address(listener));
        let gone = peer(client.server).local_addr().unwrap();
        let relayed = client.allocate();
        client.bind(0x4001, gone);
        client.bind(0x4002, present.local_addr().unwrap());
        for _ in 0..10 {
            // Each earns the relay socket an ICMP "port unreachable".
            client.send_channel(0x4001, b"anybody?");
            client.send_channel(0x4002, b"media");
            assert_eq!(next(&present), (b"media".to_vec(), relayed));
        }
    }
}

#[test]
fn even_port_gives_an_even_port() {
    let relay = start(&loopback());
    for _ in 0..8 {
        let relayed = Client::of(relay.address(0)).try_allocate(&[&EvenPort { reserve_next: false }]).unwrap();
        assert_eq!(relayed.port() % 2, 0);
    }
}

#[test]
fn a_closed_allocation_relays_no_more_and_its_slot_serves_the_next() {
    let relay = start(&loopback());
    let (mut client, peer) = pair(relay.address(0));
    let old = client.allocate();
    client.bind(0x4001, peer.local_addr().unwrap());
    assert_eq!(client.refresh(0), 0);
    relay.until(|workers| workers[0].relays_open == 0);

    let mut other = Client::named("bob", relay.address(0));
    let new = other.allocate();
    assert_ne!(old.port(), new.port(), "a freed port rests");
    other.bind(0x4001, peer.local_addr().unwrap());
    peer.send_to(b"old", old).unwrap();
    peer.send_to(b"new", new).unwrap();
    assert_eq!(other.hear_channel(), (0x4001, b"new".to_vec()));
    assert!(is_quiet(&client.socket) && is_quiet(&other.socket));
}

fn pair(server: SocketAddr) -> (Client, std::net::UdpSocket) {
    let client = Client::of(server);
    let peer = peer(server);
    (client, peer)
}

/// Bytes that differ from their neighbours, so that a shift shows.
fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from(index % 251).unwrap()).collect()
}
