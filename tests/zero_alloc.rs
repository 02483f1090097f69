//! A relayed packet takes no memory from the heap: neither in the relay server nor in the engine around it, nor in the
//! load tester that measures them.
//!
//! The allocator counts what watched threads ask for. A worker thread is watched from the moment it makes its server.
#![cfg(feature = "server")]

#[path = "sans_io/mod.rs"]
mod sans_io;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sans_io::{Client, TestPolicy, World, channel_message, message, password_of, settings};
use turnkeep::engine::{Clock, Engine, EngineConfig, RelayConfig, SystemEntropy};
use turnkeep::load;
use turnkeep::load::credential::Credentials;
use turnkeep::relay::limits::MAX_REPLY;
use turnkeep::relay::seam::EventSink;
use turnkeep::relay::{ClientAddr, Event, PeerAddr, PeerVerdict, Server, ServerAddr, Verdict};
use turnkeep::wire::attribute::{ChannelNumberAttribute, Data, RequestedTransport, XorPeerAddress, XorRelayedAddress};
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
    let _alone = ALONE.lock().unwrap();
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let relay_v4 = Some(RelayConfig::at(Ipv4Addr::LOCALHOST));
    let config = EngineConfig { workers: NonZeroUsize::new(1), relay_v4, ..EngineConfig::new(listen) };
    let policy = TestPolicy::new(1);
    let server = move |_| {
        WATCHED.set(true);
        Server::new(settings(), policy.clone(), SystemEntropy::new().unwrap())
    };
    let engine = Engine::start(&config, Clock::start(), server, |_| Forget).unwrap();
    let exchange = Exchange::set_up(engine.listening()[0].address);

    exchange.run(50);
    let allocations = allocations_of(|| exchange.run(1000));
    assert_eq!(allocations, 0);
    assert!(engine.stop(Duration::from_secs(5)).late == 0);
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > 0, "the worker was watched: to stop it takes an audit event");
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

/// A client, two peers, and what they say, all made beforehand.
struct Exchange {
    client: UdpSocket,
    server: SocketAddr,
    relayed: SocketAddr,
    /// The peer of the channel, and one with a permission only.
    peers: [UdpSocket; 2],
    up: [Vec<u8>; 2],
}

impl Exchange {
    /// Packets a burst, direction and kind: with four of these, more than one arena's worth a round.
    const BURST: usize = 40;

    fn set_up(server: SocketAddr) -> Self {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket
        };
        let (client, peers) = (socket(), [socket(), socket()]);
        let [bound, permitted] = [0, 1].map(|index: usize| peers[index].local_addr().unwrap());
        let mut voice = Client::new("alice", &client.local_addr().unwrap().to_string());
        voice.path.client = ClientAddr(client.local_addr().unwrap());
        voice.path.server = ServerAddr(server);
        let ask = |request: &[u8]| {
            client.send_to(request, server).unwrap();
            let mut answer = vec![0; 2048];
            let len = client.recv(&mut answer).unwrap();
            answer.truncate(len);
            answer
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
        Self { client, server, relayed, peers, up }
    }

    /// Sends bursts both ways, and waits for every packet.
    fn run(&self, rounds: usize) {
        let mut heard = [0; 2048];
        for _ in 0..rounds {
            for _ in 0..Self::BURST {
                for (datagram, peer) in self.up.iter().zip(&self.peers) {
                    self.client.send_to(datagram, self.server).unwrap();
                    peer.send_to(&PAYLOAD, self.relayed).unwrap();
                }
            }
            for _ in 0..Self::BURST {
                for peer in &self.peers {
                    assert_eq!(peer.recv(&mut heard).unwrap(), PAYLOAD.len());
                    assert!(self.client.recv(&mut heard).unwrap() > PAYLOAD.len());
                }
            }
        }
    }
}

fn send_indication(client: &mut Client, peer: SocketAddr) -> Vec<u8> {
    message(Method::SEND, Class::Indication, client.id(), &[&XorPeerAddress(peer), &Data(&PAYLOAD)], None)
}
