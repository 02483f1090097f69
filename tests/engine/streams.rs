//! Clients that come by TCP: their messages are found in the stream wherever it is cut, and what they may not do ends
//! their connection and nobody else's.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use turnkeep::engine::{EngineConfig, StreamEnd, StreamLimits, WorkerCounters};
use turnkeep::relay::{CloseReason, DropReason, Event};
use turnkeep::wire::attribute::XorMappedAddress;
use turnkeep::wire::message::Message;

use crate::harness::{Client, Connection, Relay, Talk, is_quiet, loopback_with_tcp, next, peer, start};
use crate::relaying::{carries_channels, carries_indications};
use crate::sans_io::Seeded;

/// Both families.
const LISTENERS: [usize; 2] = [0, 1];

fn with_limits(stream_limits: StreamLimits) -> Relay {
    start(&EngineConfig { stream_limits, ..loopback_with_tcp() })
}

/// How many connections ended for `end`.
fn ended(counters: &[WorkerCounters], end: StreamEnd) -> u64 {
    counters.iter().map(|worker| worker.engine.streams.ended(end)).sum()
}

fn pair(server: SocketAddr) -> (Client<Connection>, std::net::UdpSocket) {
    (Client::by_tcp(server), peer(server))
}

/// C-040, C-043.
#[test]
fn a_binding_request_is_answered_on_its_connection() {
    let relay = start(&loopback_with_tcp());
    for listener in LISTENERS {
        let mut client = Client::by_tcp(relay.stream_address(listener));
        assert_eq!(client.mapped_address(), client.socket.local());
    }
}

/// C-098, C-153, C-226, C-227: what pads ChannelData is neither relayed nor counted.
#[test]
fn payloads_of_every_size_pass_both_ways() {
    let relay = start(&loopback_with_tcp());
    for listener in LISTENERS {
        carries_channels(Client::by_tcp(relay.stream_address(listener)));
        carries_indications(Client::by_tcp(relay.stream_address(listener)));
    }
}

/// Between two allocations of one worker, and between UDP and TCP.
#[test]
fn clients_reach_each_other_however_they_come() {
    let relay = start(&loopback_with_tcp());
    let mut by_tcp = Client::by_tcp(relay.stream_address(0));
    let mut by_udp = Client::of(relay.address(0));
    let (tcp_relayed, udp_relayed) = (by_tcp.allocate(), by_udp.allocate());
    by_tcp.bind(0x4000, udp_relayed);
    by_udp.bind(0x4000, tcp_relayed);
    by_tcp.send_channel(0x4000, b"from tcp");
    assert_eq!(by_udp.hear_channel(), (0x4000, b"from tcp".to_vec()));
    by_udp.send_channel(0x4000, b"from udp");
    assert_eq!(by_tcp.hear_channel(), (0x4000, b"from udp".to_vec()));
}

/// C-046, A-123.
#[test]
fn pipelined_requests_are_all_answered() {
    let relay = start(&loopback_with_tcp());
    let mut client = Client::by_tcp(relay.stream_address(0));
    let requests: Vec<Vec<u8>> = (0..2000).map(|_| client.binding()).collect();
    client.say(&requests.concat());
    for request in &requests {
        assert_eq!(client.hear()[8..20], request[8..20]);
    }
}

/// C-047, A-123: wherever a stream is cut, the same messages are found.
#[test]
fn every_split_of_every_message_is_put_together() {
    let relay = start(&loopback_with_tcp());
    let (mut client, peer) = pair(relay.stream_address(0));
    // Its answer says that the worker has read what was sent before.
    let mut witness = Client::of(relay.address(0));
    client.allocate();
    client.bind(0x4001, peer.local_addr().unwrap());
    let channel = |payload: &[u8]| {
        let len = u8::try_from(payload.len()).expect("a short one");
        let mut message = [&[0x40, 1, 0, len], payload].concat();
        message.resize(message.len().next_multiple_of(4), 0);
        message
    };
    let request = client.binding();
    let stream = [channel(b"one"), request.clone(), channel(b""), channel(b"four")].concat();
    let mut check = |cuts: &[usize]| {
        let mut from = 0;
        for &cut in cuts.iter().chain([&stream.len()]) {
            client.say(&stream[from..cut]);
            witness.mapped_address();
            from = cut;
        }
        assert_eq!([(); 3].map(|()| next(&peer).0), [&b"one"[..], b"", b"four"], "{cuts:?}");
        assert_eq!(client.hear()[8..20], request[8..20], "{cuts:?}");
    };
    for cut in 1..stream.len() {
        check(&[cut]);
    }
    check(&(1..stream.len()).collect::<Vec<_>>());
}

/// lengths near the end of 16 bits are waited for in full, and do not swallow or invent what follows.
#[test]
fn the_longest_messages_do_not_desynchronise() {
    let relay = start(&loopback_with_tcp());
    let mut client = Client::by_tcp(relay.stream_address(0));
    let mut witness = Client::of(relay.address(0));
    client.allocate();
    let binding = client.binding();
    let stun = |len: u16| [&[0, 1], &len.to_be_bytes()[..], &binding[4..20]].concat();
    let channel = |len: u16| [&[0x40, 1], &len.to_be_bytes()[..]].concat();
    let heads = [0xFFF0, 0xFFF4, 0xFFF8, 0xFFFC].map(|len| (stun(len), usize::from(len))).into_iter();
    let tails = [0xFFFC, 0xFFFD, 0xFFFF].map(|len| (channel(len), usize::from(len).next_multiple_of(4)));
    for (head, body) in heads.chain(tails) {
        // A body made of Binding requests, each of which would be answered if the frame were lost.
        let mut bytes = head;
        let end = bytes.len() + body;
        while bytes.len() < end {
            bytes.extend(&binding);
        }
        bytes.truncate(end);
        let request = client.binding();
        let cut = bytes.len() - 1;
        client.say(&bytes[..cut]);
        witness.mapped_address();
        client.say(&bytes[cut..]);
        client.say(&request);
        assert_eq!(client.hear()[8..20], request[8..20], "{body}");
    }
}

/// sequences of messages of all lengths up to the longest, cut anywhere, from a seed. Requests are
/// answered and payloads arrive, each once and in order, and a body is never taken for messages.
#[test]
fn whatever_the_messages_and_the_cuts_none_is_lost_or_invented() {
    const SEQUENCES: u64 = 150;
    let relay = start(&loopback_with_tcp());
    let (mut client, peer) = pair(relay.stream_address(0));
    // Its answer says that the worker has read what was sent before.
    let mut witness = Client::of(relay.address(0));
    client.allocate();
    client.bind(0x4001, peer.local_addr().unwrap());
    for seed in 0..SEQUENCES {
        let mut random = Seeded(seed);
        let mut below = |bound: usize| usize::try_from(random.next() % bound as u64).unwrap();
        let (mut stream, mut requests, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..=below(6) {
            let bait = client.binding();
            match below(4) {
                0 => {
                    stream.extend(&bait);
                    requests.push(bait);
                }
                1 => {
                    let payload: Vec<u8> = bait.iter().copied().cycle().take(below(200)).collect();
                    stream.extend([0x40, 1, 0, u8::try_from(payload.len()).unwrap()]);
                    stream.extend(&payload);
                    stream.resize(stream.len().next_multiple_of(4), 0xEE);
                    payloads.push(payload);
                }
                // On a channel that is not bound; its body would be answered.
                2 => {
                    let len = 0xFFFF - u16::try_from(below(20)).unwrap();
                    stream.extend([0x40, 2]);
                    stream.extend(len.to_be_bytes());
                    stream.extend(bait.iter().cycle().take(usize::from(len).next_multiple_of(4)));
                }
                // A Send indication that is broken inside.
                _ => {
                    let len = 0xFFFC - 4 * u16::try_from(below(5)).unwrap();
                    stream.extend([0x00, 0x16]);
                    stream.extend(len.to_be_bytes());
                    stream.extend(&bait[4..20]);
                    stream.extend(bait.iter().cycle().take(usize::from(len)));
                }
            }
        }
        let last = client.binding();
        stream.extend(&last);
        requests.push(last);
        let mut rest = &stream[..];
        while !rest.is_empty() {
            // Short pieces and long ones.
            let bound = [9, 3000, 70_000][below(3)];
            let (piece, more) = rest.split_at((below(bound) + 1).min(rest.len()));
            client.say(piece);
            witness.mapped_address();
            rest = more;
        }
        for request in &requests {
            assert_eq!(client.hear()[8..20], request[8..20], "seed {seed}");
        }
        for payload in &payloads {
            assert!(next(&peer).0 == *payload, "seed {seed}");
        }
    }
    assert!(is_quiet(&peer));
}

/// D-12, C-230, A-122, A-131, A-141: nothing is answered, and the connection is closed.
#[test]
fn what_is_not_turn_ends_the_connection() {
    let relay = start(&loopback_with_tcp());
    let starts: [&[u8]; 8] = [
        b"\x40\x00\x00\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xFC\x03\x03",
        b"\x50\0\0\0",
        b"\x80",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"\0\x01\0\x03\x21\x12\xA4\x42",
        b"\0\x01\0\0\x21\x12\xA4\x43",
    ];
    for (count, start) in (1..).zip(starts) {
        let client = Client::by_tcp(relay.stream_address(0));
        client.say(start);
        assert!(client.socket.is_closed(), "{start:?}");
        relay.until(|counters| ended(counters, StreamEnd::NotTurn) == count);
    }
    // What came before it is answered.
    let mut client = Client::by_tcp(relay.stream_address(0));
    let request = client.binding();
    client.say(&[&request[..], b"\x80"].concat());
    assert_eq!(client.hear()[8..20], request[8..20]);
    assert!(client.socket.is_closed());
}

/// D-12: the frame is sound, so the stream is.
#[test]
fn a_message_that_is_broken_inside_is_dropped_and_the_stream_goes_on() {
    let relay = start(&loopback_with_tcp());
    let mut client = Client::by_tcp(relay.stream_address(0));
    let mut broken = client.binding();
    broken[3] = 4;
    broken.extend([0, 6, 0, 99]);
    client.say(&broken);
    client.mapped_address();
    relay.until(|counters| counters[0].relay.dropped(DropReason::Malformed) == 1);
}

/// D-11, C-154, C-317, A-132: however the connection ends.
#[test]
fn the_allocation_goes_with_its_connection() {
    let relay = start(&loopback_with_tcp());
    let endings: [fn(Client<Connection>); 3] = [
        |client| drop(client),
        |client| client.socket.socket.shutdown(Shutdown::Write).unwrap(),
        |client| {
            let socket = socket2::Socket::from(client.socket.socket);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        },
    ];
    for (count, end) in (1..).zip(endings) {
        let mut client = Client::by_tcp(relay.stream_address(0));
        client.allocate();
        let since = Instant::now();
        end(client);
        let closed =
            |(_, event): &(usize, Event)| matches!(event, Event::Closed { reason: CloseReason::StreamClosed, .. });
        relay.until(|_| relay.events().iter().filter(|event| closed(event)).count() == count);
        assert!(since.elapsed() < Duration::from_secs(1));
        relay.until(|counters| (counters[0].relays_open, counters[0].streams_open) == (0, 0));
    }
}

/// C-045.
#[test]
fn a_client_that_has_said_all_is_answered_before_the_connection_is_closed() {
    let relay = start(&loopback_with_tcp());
    let mut client = Client::by_tcp(relay.stream_address(0));
    let request = client.binding();
    client.say(&request);
    client.socket.socket.shutdown(Shutdown::Write).unwrap();
    let answer = client.hear();
    assert!(Message::parse(&answer).unwrap().get::<XorMappedAddress>().unwrap().is_some());
    assert!(client.socket.is_closed());
}

/// C-102: the transport is part of the 5-tuple.
#[test]
fn one_address_and_port_has_an_allocation_by_each_transport() {
    let mut config = loopback_with_tcp();
    config.streams.truncate(1);
    let relay = start(&config);
    // Another test's socket may have the port that the system has chosen for ours, by the other transport.
    let both = std::iter::repeat_with(|| {
        let by_tcp = Client::by_tcp(relay.stream_address(0));
        let socket = std::net::UdpSocket::bind(by_tcp.socket.local()).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Some((by_tcp, Client::with("alice", relay.address(0), socket)))
    });
    let (mut by_tcp, mut by_udp) = both.take(100).flatten().next().expect("a port that is free by both transports");
    assert_ne!(by_tcp.allocate(), by_udp.allocate());
    assert_eq!((by_tcp.refresh(0), by_udp.refresh(600)), (0, 0));
    assert_eq!(by_tcp.refresh(600), 437);
}

/// The same client may come again at once, over the connection that it has.
#[test]
fn an_allocation_can_be_given_back_and_had_again() {
    let relay = start(&loopback_with_tcp());
    let mut client = Client::by_tcp(relay.stream_address(0));
    for _ in 0..3 {
        client.allocate();
        assert_eq!(client.refresh(0), 0);
    }
}

/// A-071, F-23: what a client does not read is bounded, dropped by whole messages, and nobody else's trouble.
#[test]
fn a_slow_reader_loses_whole_messages_and_holds_nobody_up() {
    let relay = start(&loopback_with_tcp());
    let (mut slow, flood) = pair(relay.stream_address(0));
    let (mut quick, other) = pair(relay.stream_address(0));
    let relayed = slow.allocate();
    slow.bind(0x4001, flood.local_addr().unwrap());
    let quick_relayed = quick.allocate();
    quick.bind(0x4001, other.local_addr().unwrap());
    let numbered = |number: u32| [&number.to_be_bytes()[..], &[7; 1197]].concat();
    let mut sent = 0;
    let dropped = |counters: &[WorkerCounters]| counters[0].engine.streams.dropped;
    let deadline = Instant::now() + Duration::from_secs(20);
    while dropped(&relay.engine.counters()) < 1000 {
        assert!(Instant::now() < deadline, "nothing is dropped");
        for _ in 0..100 {
            flood.send_to(&numbered(sent), relayed).unwrap();
            sent += 1;
        }
        other.send_to(b"quick", quick_relayed).unwrap();
        assert_eq!(quick.hear_channel(), (0x4001, b"quick".to_vec()));
    }
    // Answers have a place of their own, and then all is well again.
    let request = slow.binding();
    slow.say(&request);
    let mut last = None;
    loop {
        let message = slow.hear();
        if message[8..20] == request[8..20] && message[0] == 1 {
            break;
        }
        assert_eq!((&message[..4], message.len()), (&[0x40, 1, 0x04, 0xB1][..], 4 + 1204));
        let number = u32::from_be_bytes(message[4..8].try_into().unwrap());
        assert!(last < Some(number) && number < sent, "{last:?} {number}");
        assert_eq!(message[4..][..1201], numbered(number));
        last = Some(number);
    }
    flood.send_to(b"after", relayed).unwrap();
    while slow.hear_channel() != (0x4001, b"after".to_vec()) {}
}

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(60);

fn limits() -> StreamLimits {
    StreamLimits { first_byte: LONG, first_message: LONG, authenticated: LONG, idle: LONG, ..StreamLimits::default() }
}

/// D-36, A-066: each step in its time.
#[test]
fn who_does_not_get_on_is_closed() {
    let steps: [(StreamLimits, &[u8], StreamEnd); 3] = [
        (StreamLimits { first_byte: SHORT, ..limits() }, b"", StreamEnd::NoFirstByte),
        (StreamLimits { first_message: SHORT, ..limits() }, b"\0\x01\0\0\x21\x12\xA4\x42", StreamEnd::NoMessage),
        (
            StreamLimits { authenticated: SHORT, ..limits() },
            b"\0\x01\0\0\x21\x12\xA4\x42is-it-there?",
            StreamEnd::NotAuthenticated,
        ),
    ];
    for (limits, bytes, end) in steps {
        let relay = with_limits(StreamLimits { first_byte: limits.first_byte.min(LONG), ..limits });
        let mut honest = Client::by_tcp(relay.stream_address(0));
        honest.allocate();
        let client = Connection::to(relay.stream_address(0));
        (&client.socket).write_all(bytes).unwrap();
        if end == StreamEnd::NotAuthenticated {
            client.hear(relay.stream_address(0));
        }
        assert!(client.is_closed(), "{end:?}");
        relay.until(|counters| ended(counters, end) == 1);
        assert_eq!(honest.refresh(600), 0, "who has authenticated stays");
    }
}

#[test]
fn a_connection_that_has_lost_its_allocation_is_closed_after_a_while() {
    let relay = with_limits(StreamLimits { authenticated: SHORT, idle: SHORT, ..limits() });
    let mut client = Client::by_tcp(relay.stream_address(0));
    client.allocate();
    std::thread::sleep(4 * SHORT);
    assert_eq!(client.refresh(0), 0, "with one it is kept");
    assert!(client.socket.is_closed());
    relay.until(|counters| ended(counters, StreamEnd::Idle) == 1);
}

/// those who have yet to authenticate are counted over all workers.
#[test]
fn too_many_strangers_are_turned_away_and_known_clients_are_not_counted() {
    let workers = NonZeroUsize::new(2);
    let stream_limits = StreamLimits { unauthenticated_per_network: 10, ..StreamLimits::default() };
    let relay = start(&EngineConfig { workers, stream_limits, ..loopback_with_tcp() });
    let server = relay.stream_address(0);
    let known: Vec<_> = (0..5)
        .map(|_| {
            let mut client = Client::by_tcp(server);
            client.allocate();
            client
        })
        .collect();
    let strangers: Vec<_> = (0..10).map(|_| Connection::to(server)).collect();
    relay.until(|counters| counters.iter().map(|worker| worker.streams_open).sum::<usize>() == 15);
    assert!((0..20).all(|_| Connection::to(server).is_closed()));
    relay.until(|counters| ended(counters, StreamEnd::TooManyFromNetwork) == 20);
    // Another network has its own share, and who leaves makes room.
    let mut elsewhere = Client::by_tcp(relay.stream_address(1));
    elsewhere.allocate();
    drop(strangers);
    relay.until(|counters| counters.iter().map(|worker| worker.streams_open).sum::<usize>() == 6);
    Client::by_tcp(server).allocate();
    drop(known);
}

#[test]
fn a_stop_closes_connections_and_records_their_allocations() {
    let relay = start(&loopback_with_tcp());
    let mut client = Client::by_tcp(relay.stream_address(0));
    client.allocate();
    let events = relay.stop();
    assert!(matches!(&events.last().unwrap().1, Event::Closed { reason: CloseReason::Shutdown, .. }));
    assert!(client.socket.is_closed());
}

/// Its clients come again and find another server.
#[test]
fn a_panic_closes_connections() {
    let relay = start(&loopback_with_tcp());
    let mut alice = Client::by_tcp(relay.stream_address(0));
    alice.allocate();
    Client::with("carol", relay.stream_address(0), Connection::to(relay.stream_address(0))).knock();
    assert!(alice.socket.is_closed());
    relay.until(|counters| ended(counters, StreamEnd::WorkerRestarted) == 2);
    Client::by_tcp(relay.stream_address(0)).allocate();
}

/// As for UDP, and beside it.
#[test]
fn a_second_start_at_the_same_address_fails() {
    let relay = start(&loopback_with_tcp());
    let mut config = loopback_with_tcp();
    config.streams[0].address = relay.stream_address(0);
    let error = crate::harness::try_start(&config).err().expect("it is taken").to_string();
    assert!(error.contains(&relay.stream_address(0).to_string()) && error.contains("in use"), "{error}");
}
