//! A relayed packet takes no memory from the heap: neither in the relay server nor in the engine around it, nor in the
//! load tester that measures them.
//!
//! The allocator counts what watched threads ask for. A worker thread is watched from the moment it makes its server.
#![cfg(feature = "server")]

#[path = "sans_io/mod.rs"]
mod sans_io;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use sans_io::{Client, TestPolicy, World, channel_message, message, password_of, settings};
use turnkeep::client::Credentials;
use turnkeep::engine::{
    Certificate, ClientCertificates, Clock, Engine, EngineConfig, RelayConfig, StreamKind, StreamListen, SystemEntropy,
    Tls, TlsProfile,
};
use turnkeep::load;
use turnkeep::relay::limits::MAX_REPLY;
use turnkeep::relay::seam::EventSink;
use turnkeep::relay::{ClientAddr, Event, PeerAddr, PeerVerdict, Server, ServerAddr, Verdict};
use turnkeep::wire::attribute::{ChannelNumberAttribute, Data, RequestedTransport, XorPeerAddress, XorRelayedAddress};
use turnkeep::wire::channel_data::ChannelNumbers;
use turnkeep::wire::framer::{self, Frame};
use turnkeep::wire::header::{Class, Method};
use turnkeep::wire::message::Message;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// One test at a time: they share the count.
static ALONE: Mutex<()> = Mutex::new(());

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: it hands everything to the system's allocator unchanged; counting takes no memory.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promises are passed on as they are.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller's promises are passed on as they are.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    // SAFETY: the caller's promises are passed on as they are.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

fn count() {
    if WATCHED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

/// What watched threads allocate while `work` is done.
fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    work();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// The same, with this thread watched.
fn allocations_here(work: impl FnOnce()) -> usize {
    allocations_of(|| {
        WATCHED.set(true);
        work();
        WATCHED.set(false);
    })
}

const CHANNEL: u16 = 0x4001;
const PAYLOAD: [u8; 160] = [7; 160];

#[test]
fn the_server_relays_a_million_packets_without_an_allocation() {
    let _alone = ALONE.lock().unwrap();
    assert_eq!(allocations_here(|| drop(std::hint::black_box(Box::new(1)))), 1, "the counter counts");

    let mut world = World::default();
    let mut client = Client::alice();
    client.allocate(&mut world);
    let (bound, permitted) = ("198.51.100.7:7000", "198.51.100.8:8000");
    assert_eq!((client.bind(&mut world, CHANNEL, bound), client.permit(&mut world, permitted)), (0, 0));
    let (bound, permitted): (SocketAddr, SocketAddr) = (bound.parse().unwrap(), permitted.parse().unwrap());
    let relay = *world.relays.keys().next().unwrap();
    let up = [channel_message(CHANNEL, &PAYLOAD), send_indication(&mut client, permitted)];
    let (server, now) = (&mut world.server, world.now);
    let mut reply = [0; MAX_REPLY];

    const ROUNDS: usize = 250_000;
    let allocations = allocations_here(|| {
        for _ in 0..ROUNDS {
            for datagram in &up {
                let verdict = server.on_client_datagram(now, client.path, datagram, &mut reply);
                assert!(matches!(verdict, Verdict::Forward { payload, .. } if datagram[payload.clone()] == PAYLOAD));
            }
            for peer in [bound, permitted] {
                let verdict = server.on_peer_datagram(now.instant, relay, PeerAddr(peer), PAYLOAD.len());
                assert!(matches!(verdict, PeerVerdict::ToClient { .. }));
            }
            assert!(server.next_command().is_none());
        }
    });
    assert_eq!(allocations, 0);
    let counters = server.counters();
    assert_eq!((counters.packets_to_peers, counters.packets_to_clients), (500_000, 500_000));
}

#[test]
fn a_worker_relays_on_loopback_without_an_allocation() {
    assert_eq!(allocations_of_a_worker(Way::Udp), 0);
}

/// Nor for clients of TCP, though their messages come in two parts each.
#[test]
fn a_worker_relays_from_and_to_streams_without_an_allocation() {
    assert_eq!(allocations_of_a_worker(Way::Tcp), 0);
}

/// rustls hands out what a record says, and makes one, in memory of its own; nothing is added to that.
#[test]
fn a_record_of_tls_takes_one_allocation() {
    for version in rustls::ALL_VERSIONS {
        let allocations = allocations_of_a_worker(Way::Tls(version));
        assert_eq!(allocations, ROUNDS * Exchange::BURST * 4, "{version:?}");
    }
}

/// How a client comes.
#[derive(Clone, Copy)]
enum Way {
    Udp,
    Tcp,
    Tls(&'static SupportedProtocolVersion),
}

/// Bursts whose allocations are counted.
const ROUNDS: usize = 1000;

/// What a worker takes from the heap for [`ROUNDS`] bursts of a client that comes by `way`.
fn allocations_of_a_worker(way: Way) -> usize {
    let _alone = ALONE.lock().unwrap();
    let local = || "127.0.0.1:0".parse().unwrap();
    let relay_v4 = Some(RelayConfig::at(Ipv4Addr::LOCALHOST));
    let mut config =
        EngineConfig { workers: NonZeroUsize::new(1), relay_v4, ..EngineConfig::new(vec![local(), local()]) };
    let shown = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(shown.signing_key.serialize_der().into());
    let shown = shown.cert.der().clone();
    let certificate = Certificate::new(vec!["localhost".into()], vec![shown.clone()], key).unwrap();
    config.tls = Some(Tls::new(TlsProfile::Modern, &ClientCertificates::None, vec![certificate]).unwrap());
    config.streams = [StreamKind::Plain, StreamKind::Tls].map(|kind| StreamListen { address: local(), kind }).to_vec();
    let policy = TestPolicy::new(1);
    let server = move |_| {
        WATCHED.set(true);
        Server::new(settings(), policy.clone(), SystemEntropy::new().unwrap())
    };
    let engine = Engine::start(&config, Clock::start(), server, |_| Forget).unwrap();
    let mut exchange = Exchange::set_up(Line::to(&engine, way, shown));

    exchange.run(50);
    let allocations = allocations_of(|| exchange.run(ROUNDS));
    assert!(engine.stop(Duration::from_secs(5)).late == 0);
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > 0, "the worker was watched: to stop it takes an audit event");
    allocations
}

/// A pause to make room for a vector would be taken for one of the server.
#[test]
fn a_load_tester_sends_and_counts_without_an_allocation() {
    let _alone = ALONE.lock().unwrap();
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let relay_v4 = Some(RelayConfig::at(Ipv4Addr::LOCALHOST));
    let config = EngineConfig { workers: NonZeroUsize::new(1), relay_v4, ..EngineConfig::new(listen) };
    let policy = TestPolicy::new(1);
    let server = move |_| Server::new(settings(), policy.clone(), SystemEntropy::new().unwrap());
    let engine = Engine::start(&config, Clock::start(), server, |_| Forget).unwrap();
    let credentials = Credentials::User { name: "alice".into(), password: password_of("alice").into() };
    let load = load::Settings {
        allocations: Some(1),
        rate: Some(2000.0),
        duration: Duration::from_secs(4),
        warmup: Duration::ZERO,
        peer: Some(Ipv4Addr::LOCALHOST.into()),
        ..load::Settings::new(engine.listening()[0].address, credentials)
    };
    let (mut seconds, mut before, mut during) = (0, 0, None);
    // It is told at the end of each second, by the thread that sends: two of them are watched from end to end.
    let mut observer = |progress: &load::Progress| {
        seconds += u32::from(progress.phase == "traffic");
        if seconds == 1 {
            before = ALLOCATIONS.load(Ordering::Relaxed);
            WATCHED.set(true);
        } else if seconds == 3 && during.is_none() {
            drop(std::hint::black_box(Box::new(1)));
            WATCHED.set(false);
            during = Some(ALLOCATIONS.load(Ordering::Relaxed) - before);
        }
    };
    let result = load::run(&load, &AtomicBool::new(false), &mut observer).unwrap();
    assert_eq!(during, Some(1), "that of this test, which shows that it is watched");
    assert!(result.traffic.is_some_and(|traffic| traffic.total.received > 4000), "{:?}", result.errors);
    assert_eq!(engine.stop(Duration::from_secs(5)).late, 0);
}

struct Forget;

impl EventSink for Forget {
    fn record(&mut self, _: Event) {}
}

/// What a client and its server talk over.
enum Line {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>, Vec<u8>),
}

impl Line {
    fn to(engine: &Engine, way: Way, shown: CertificateDer<'static>) -> Self {
        let patience = Some(Duration::from_secs(5));
        let connect = |listener: usize| {
            let stream = TcpStream::connect(engine.stream_listening()[listener].address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(patience).unwrap();
            stream
        };
        match way {
            Way::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(engine.listening()[0].address).unwrap();
                socket.set_read_timeout(patience).unwrap();
                Self::Udp(socket)
            }
            Way::Tcp => Self::Tcp(connect(0), Vec::new()),
            Way::Tls(version) => {
                let mut roots = RootCertStore::empty();
                roots.add(shown).unwrap();
                let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
                let builder = builder.with_protocol_versions(&[version]).unwrap();
                let client = builder.with_root_certificates(roots).with_no_client_auth();
                let client = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
                Self::Tls(Box::new(StreamOwned::new(client, connect(1))), Vec::new())
            }
        }
    }

    /// The client's address and the server's.
    fn ends(&self) -> (SocketAddr, SocketAddr) {
        match self {
            Self::Udp(socket) => (socket.local_addr().unwrap(), socket.peer_addr().unwrap()),
            Self::Tcp(stream, _) => (stream.local_addr().unwrap(), stream.peer_addr().unwrap()),
            Self::Tls(stream, _) => (stream.sock.local_addr().unwrap(), stream.sock.peer_addr().unwrap()),
        }
    }

    fn say(&mut self, message: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.send(message).unwrap()),
            Self::Tcp(stream, _) => {
                let (head, rest) = message.split_at(7);
                stream.write_all(head).and_then(|()| stream.write_all(rest)).unwrap();
            }
            Self::Tls(stream, _) => stream.write_all(message).and_then(|()| stream.flush()).unwrap(),
        }
    }

    /// The next message.
    fn hear(&mut self) -> Vec<u8> {
        let (stream, begun): (&mut dyn Read, _) = match self {
            Self::Udp(socket) => {
                let mut message = vec![0; 2048];
                let len = socket.recv(&mut message).unwrap();
                message.truncate(len);
                return message;
            }
            Self::Tcp(stream, begun) => (stream, begun),
            Self::Tls(stream, begun) => (stream, begun),
        };
        loop {
            if let Frame::Whole(len) = framer::frame(ChannelNumbers::Rfc8656, begun).unwrap() {
                return begun.drain(..len).collect();
            }
            let mut more = [0; 16_384];
            let len = stream.read(&mut more).unwrap();
            assert!(len > 0, "the server closed the connection");
            begun.extend(&more[..len]);
        }
    }
}

/// A client, two peers, and what they say, all made beforehand.
struct Exchange {
    line: Line,
    relayed: SocketAddr,
    /// The peer of the channel, and one with a permission only.
    peers: [UdpSocket; 2],
    up: [Vec<u8>; 2],
}

impl Exchange {
    /// Packets a burst, direction and kind: with four of these, more than one arena's worth a round.
    const BURST: usize = 40;

    fn set_up(mut line: Line) -> Self {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket
        };
        let peers = [socket(), socket()];
        let [bound, permitted] = [0, 1].map(|index: usize| peers[index].local_addr().unwrap());
        let (client, server) = line.ends();
        let mut voice = Client::new("alice", &client.to_string());
        (voice.path.client, voice.path.server) = (ClientAddr(client), ServerAddr(server));
        let mut ask = |request: &[u8]| {
            line.say(request);
            line.hear()
        };
        let challenge = voice.bare(Method::ALLOCATE, &[&RequestedTransport::UDP]);
        voice.learn(&ask(&challenge));
        let answer = ask(&voice.signed(Method::ALLOCATE, &[&RequestedTransport::UDP]));
        let relayed = Message::parse(&answer).unwrap().get::<XorRelayedAddress>().unwrap().unwrap().0;
        let bind = voice.signed(Method::CHANNEL_BIND, &[&ChannelNumberAttribute(CHANNEL), &XorPeerAddress(bound)]);
        assert_eq!(sans_io::code(&ask(&bind)), 0);
        let permit = voice.signed(Method::CREATE_PERMISSION, &[&XorPeerAddress(permitted)]);
        assert_eq!(sans_io::code(&ask(&permit)), 0);
        let up = [channel_message(CHANNEL, &PAYLOAD), send_indication(&mut voice, permitted)];
        Self { line, relayed, peers, up }
    }

    /// Sends bursts both ways, and waits for every packet.
    fn run(&mut self, rounds: usize) {
        let mut heard = [0; 2048];
        for _ in 0..rounds {
            for _ in 0..Self::BURST {
                for (message, peer) in self.up.iter().zip(&self.peers) {
                    self.line.say(message);
                    peer.send_to(&PAYLOAD, self.relayed).unwrap();
                }
            }
            for _ in 0..Self::BURST {
                for peer in &self.peers {
                    assert_eq!(peer.recv(&mut heard).unwrap(), PAYLOAD.len());
                    assert!(self.line.hear().len() > PAYLOAD.len());
                }
            }
        }
    }
}

fn send_indication(client: &mut Client, peer: SocketAddr) -> Vec<u8> {
    message(Method::SEND, Class::Indication, client.id(), &[&XorPeerAddress(peer), &Data(&PAYLOAD)], None)
}
