//! TLS that is somebody else's: what is listed leaves the worker as it came, and everything else is ours.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use turnkeep::engine::{
    EngineConfig, Foreign, HandOver, PassThrough, Proxies, StreamEnd, StreamKind, StreamLimits, Way,
};

use crate::harness::{Client, Connection, Relay, start};
use crate::secured::{NAME, Pair, by_tls, listening, offering, trusting, wanting};
use crate::tls::ended;

const WWW: &str = "www.example.org";
const PATIENCE: Duration = Duration::from_secs(10);

/// A relay that passes on what is for two web sites, and what it has passed on.
fn passing(kind: StreamKind, pair: &Pair, more: EngineConfig) -> (Relay, Receiver<Foreign>) {
    let (sender, passed) = channel();
    let sender = Mutex::new(sender);
    let hand_over = HandOver(Arc::new(move |foreign| sender.lock().unwrap().send(foreign).unwrap()));
    let way = |names: &[&str], protocols: &[&str]| Way {
        server_names: names.iter().map(|name| (*name).to_owned()).collect(),
        protocols: protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(),
    };
    let ways = vec![way(&["*.example.net"], &["h2", "http/1.1"]), way(&[WWW], &["imap"])];
    let EngineConfig { streams, tls, .. } = listening(kind, offering(pair));
    let config = EngineConfig { streams, tls, pass_through: Some(PassThrough { ways, hand_over }), ..more };
    (start(&config), passed)
}

fn plainly(kind: StreamKind, pair: &Pair) -> (Relay, Receiver<Foreign>) {
    passing(kind, pair, crate::harness::loopback())
}

/// What a client says first.
fn hello(config: ClientConfig, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same message in records of `size` bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&hello[..3], &u16::try_from(part.len()).unwrap().to_be_bytes(), part].concat();
    hello[5..].chunks(size).flat_map(record).collect()
}

fn next(passed: &Receiver<Foreign>) -> Foreign {
    passed.recv_timeout(PATIENCE).expect("it is passed on")
}

/// The connection that was passed on is the client's.
fn assert_joined(mut client: &TcpStream, foreign: &Foreign) {
    assert_eq!(foreign.client, client.local_addr().unwrap());
    (&foreign.socket).write_all(b"from there").unwrap();
    let mut heard = [0; 10];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"from there");
}

#[test]
fn what_is_listed_leaves_as_it_came_however_it_is_cut() {
    let pair = Pair::new(NAME);
    let (relay, passed) = plainly(StreamKind::Tls, &pair);
    let whole = hello(wanting(&[&pair], rustls::ALL_VERSIONS, &["h2"]), WWW);
    let cuts = [whole.clone(), in_records(&whole, 1), in_records(&whole, 40)];
    for bytes in &cuts {
        let client = Connection::to(relay.stream_address(0));
        (&client.socket).write_all(bytes).unwrap();
        let foreign = next(&passed);
        assert_eq!((foreign.way, &foreign.heard), (1, bytes), "a name goes before a protocol");
        assert_eq!(foreign.server, relay.stream_address(0));
        assert_joined(&client.socket, &foreign);
    }
    // Byte by byte, and something behind it.
    let client = Connection::to(relay.stream_address(0));
    let bytes = [&whole[..], b"\x17\x03\x03\0\x01x"].concat();
    bytes.iter().for_each(|byte| (&client.socket).write_all(&[*byte]).unwrap());
    let foreign = next(&passed);
    let (heard, rest) = bytes.split_at(foreign.heard.len());
    assert!(heard == foreign.heard && heard.len() >= whole.len());
    foreign.socket.set_nonblocking(false).unwrap();
    let mut read = vec![0; rest.len()];
    (&foreign.socket).read_exact(&mut read).unwrap();
    assert_eq!(read, rest);
    relay.until(|counters| ended(counters, StreamEnd::PassedThrough) == 4 && counters[0].streams_open == 0);
}

#[test]
fn names_and_protocols_choose_the_way() {
    let pair = Pair::new(NAME);
    let (relay, passed) = plainly(StreamKind::Auto, &pair);
    let ways: [(&str, &[&str], usize); 5] = [
        ("WWW.Example.ORG", &[], 1),
        ("mail.example.net", &["imap"], 0),
        (NAME, &["http/1.1"], 0),
        ("else.example.com", &["x", "imap"], 1),
        ("192.0.2.80", &["h2", "http/1.1"], 0),
    ];
    for (name, protocols, way) in ways {
        let client = Connection::to(relay.stream_address(0));
        (&client.socket).write_all(&hello(wanting(&[&pair], rustls::ALL_VERSIONS, protocols), name)).unwrap();
        assert_eq!(next(&passed).way, way, "{name} {protocols:?}");
    }
}

/// Default deny: who asks for what nobody listed talks to us.
#[test]
fn everything_else_is_ours() {
    let pair = Pair::new(NAME);
    let (relay, passed) = plainly(StreamKind::Auto, &pair);
    by_tls(relay.stream_address(0), trusting(&pair)).allocate();
    by_tls(relay.stream_address(0), wanting(&[&pair], rustls::ALL_VERSIONS, &["h2", "stun.turn"])).allocate();
    Client::by_tcp(relay.stream_address(0)).allocate();
    // Neither another name, nor a protocol that nobody speaks, nor garbage gets anywhere.
    let strange = [
        hello(wanting(&[&pair], rustls::ALL_VERSIONS, &["ftp"]), "else.example.com"),
        hello(wanting(&[&pair], rustls::ALL_VERSIONS, &["ftp"]), "a.b.example.net"),
        b"\x16\x03\x01\0\x05\x02\0\0\x01\0".to_vec(),
    ];
    for (count, bytes) in (1..).zip(&strange) {
        let mut client = Connection::to(relay.stream_address(0)).socket;
        client.write_all(bytes).unwrap();
        // TLS says what it thinks of it; it may be reset behind that.
        let _ = client.read_to_end(&mut Vec::new());
        relay.until(|counters| ended(counters, StreamEnd::HandshakeFailed) == count);
    }
    assert!(passed.try_recv().is_err());
}

/// A dribble that never ends takes the time of a handshake and no more memory than one.
#[test]
fn who_does_not_finish_is_closed() {
    let pair = Pair::new(NAME);
    let stream_limits = StreamLimits { handshake: Duration::from_millis(200), ..StreamLimits::default() };
    let (relay, passed) = passing(StreamKind::Tls, &pair, EngineConfig { stream_limits, ..crate::harness::loopback() });
    let whole = hello(trusting(&pair), WWW);
    let slow = Connection::to(relay.stream_address(0));
    (&slow.socket).write_all(&whole[..whole.len() - 1]).unwrap();
    assert!(slow.is_closed());
    relay.until(|counters| ended(counters, StreamEnd::HandshakeTimeout) == 1);
    assert!(passed.try_recv().is_err());
}

#[test]
fn there_is_a_bound_on_how_many_are_passed_on() {
    let pair = Pair::new(NAME);
    let stream_limits = StreamLimits { passed_through: 8, unauthenticated_per_network: 1, ..StreamLimits::default() };
    let (relay, passed) = passing(StreamKind::Tls, &pair, EngineConfig { stream_limits, ..crate::harness::loopback() });
    let bytes = hello(trusting(&pair), WWW);
    let come = || {
        let client = Connection::to(relay.stream_address(0));
        (&client.socket).write_all(&bytes).unwrap();
        client
    };
    // A quarter from one network; they do not count among those who have yet to authenticate.
    let _clients = [(); 2].map(|()| (come(), passed.recv_timeout(PATIENCE).expect("a place")));
    assert!(come().is_closed());
    relay.until(|counters| ended(counters, StreamEnd::TooManyPassedThrough) == 1);
    by_tls(relay.stream_address(0), trusting(&pair)).allocate();
    drop(_clients);
    let _again = (come(), next(&passed));
}

#[test]
fn behind_a_proxy_it_is_the_client_who_is_passed_on() {
    let pair = Pair::new(NAME);
    let proxies = Proxies(vec!["127.0.0.1/32".parse().unwrap()]);
    let (relay, passed) = passing(StreamKind::Tls, &pair, EngineConfig { proxies, ..crate::harness::loopback() });
    let client = Connection::to(relay.stream_address(0));
    let bytes = hello(trusting(&pair), WWW);
    (&client.socket).write_all(b"PROXY TCP4 192.0.2.1 198.51.100.9 40000 443\r\n").unwrap();
    (&client.socket).write_all(&bytes).unwrap();
    let foreign = next(&passed);
    let expected: [SocketAddr; 2] = ["192.0.2.1:40000", "198.51.100.9:443"].map(|text| text.parse().unwrap());
    assert_eq!(([foreign.client, foreign.server], foreign.heard), (expected, bytes));
}
