//! A thousand clients that do nothing good, at once: what they cost in memory, and that others notice nothing of them.
//!
//! The allocator counts what lies on the heap of the whole process. The clients have theirs before the count begins.
#![cfg(feature = "server")]

#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "engine/harness.rs"]
mod harness;
#[path = "sans_io/mod.rs"]
mod sans_io;
#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "engine/secured.rs"]
mod secured;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use harness::{Client, Connection, Relay, Talk, next, peer, start};
use secured::{NAME, Pair, Secured, by_tls, listening, offering, trusting};
use socket2::{Domain, Socket, Type};
use support::program::say;
use turnkeep::engine::{
    EngineConfig, StreamEnd, StreamKind, StreamLimits, StreamListen, WorkerCounters, raise_descriptor_limit,
};

struct Counting;

/// Bytes that lie on the heap.
static HELD: AtomicUsize = AtomicUsize::new(0);
/// The most of them since [`heap_growth`] began.
static MOST: AtomicUsize = AtomicUsize::new(0);
/// One test at a time: they share the count.
static ALONE: Mutex<()> = Mutex::new(());

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: it hands everything to the system's allocator unchanged; counting takes no memory.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promises are passed on as they are.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller's promises are passed on as they are.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// By how many bytes the heap grows while `work` is done, at its largest.
fn heap_growth<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let done = work();
    (MOST.load(Ordering::Relaxed) - before, done)
}

const CROWD: u32 = 1000;
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// By TLS and by TCP, with room for the crowd from one address.
fn relay(pair: &Pair, handshake: Duration) -> Relay {
    raise_descriptor_limit().unwrap();
    let stream_limits = StreamLimits {
        unauthenticated_per_network: 2 * CROWD,
        first_byte: Duration::from_secs(60),
        handshake,
        ..StreamLimits::default()
    };
    let mut config = EngineConfig { stream_limits, ..listening(StreamKind::Tls, offering(pair)) };
    config.streams.push(StreamListen { address: "127.0.0.1:0".parse().unwrap(), kind: StreamKind::Plain });
    start(&config)
}

const TLS: usize = 0;
const TCP: usize = 2;

fn streams(counters: &[WorkerCounters]) -> turnkeep::engine::StreamCounters {
    counters[0].engine.streams
}

/// A-067, F-20: a thousand handshakes that stall cost 8 KiB each at most until their time is over, and nobody anything
/// else. Half of them stop in the middle of what they say first, half when the server has answered.
#[test]
fn a_thousand_stalled_handshakes_hold_nobody_up() {
    let _alone = ALONE.lock().unwrap();
    let pair = Pair::new(NAME);
    let relay = relay(&pair, Duration::from_secs(8));
    let server = relay.stream_address(TLS);
    let mut hello = Vec::new();
    let config = Arc::new(trusting(&pair));
    let mut client = rustls::ClientConnection::new(config, NAME.try_into().unwrap()).unwrap();
    client.write_tls(&mut hello).unwrap();
    let calls = Calls::begin(&relay, &pair);

    let (grown, stalled) = heap_growth(|| {
        let stalled: Vec<TcpStream> = (0..CROWD)
            .map(|number| {
                let mut socket = TcpStream::connect(server).unwrap();
                socket.write_all(&hello[..if number % 2 == 0 { hello.len() } else { 40 }]).unwrap();
                socket
            })
            .collect();
        relay.until(|counters| counters[0].streams_open == CROWD as usize + 1);
        // Half of them have been answered: this waits behind their handshakes.
        by_tls(server, trusting(&pair)).allocate();
        stalled
    });
    assert!(grown < CROWD as usize * 8 * KIB, "{grown} bytes");

    let all_timed_out = |counters: &[WorkerCounters]| ended(counters, StreamEnd::HandshakeTimeout) == u64::from(CROWD);
    let end = Instant::now() + Duration::from_secs(30);
    while !all_timed_out(&relay.engine.counters()) {
        assert!(Instant::now() < end, "{:?}", relay.engine.counters());
        thread::sleep(Duration::from_millis(100));
    }
    drop(stalled);
    let slowest = calls.end();
    say(&format!("{CROWD} stalled handshakes: {} KiB of heap; the slowest echo took {slowest:?}", grown / KIB));
}

/// A-071, F-23: a thousand clients that do not read what is sent to them, by TCP and by TLS, take 128 MiB at most, all
/// of them together. What finds no room is dropped by whole messages and counted, and nobody else loses any.
#[test]
fn a_thousand_slow_readers_hold_nobody_up() {
    let _alone = ALONE.lock().unwrap();
    let pair = Pair::new(NAME);
    let relay = relay(&pair, Duration::from_secs(60));
    let calls = Calls::begin(&relay, &pair);
    let flood = peer(relay.stream_address(TCP));
    let by_tcp: Vec<_> = (0..CROWD / 2).map(|_| Slow::new(&flood, slow_by_tcp(&relay))).collect();
    let by_tls: Vec<_> = (0..CROWD / 2).map(|_| Slow::new(&flood, slow_by_tls(&relay, &pair))).collect();
    let relayed: Vec<SocketAddr> =
        by_tcp.iter().map(|slow| slow.relayed).chain(by_tls.iter().map(|slow| slow.relayed)).collect();

    // Until all that comes is dropped: the kernel's buffers are full, and all that may wait here waits.
    let mut sent = 0;
    let (grown, ()) = heap_growth(|| {
        let mut message = [7; LONG];
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let before = streams(&relay.engine.counters()).dropped;
            for _ in 0..4 {
                message[..4].copy_from_slice(&u32::to_be_bytes(sent));
                sent += 1;
                for to in &relayed {
                    flood.send_to(&message, to).unwrap();
                }
            }
            thread::sleep(Duration::from_millis(200));
            if streams(&relay.engine.counters()).dropped - before > u64::from(CROWD) * 3 {
                return;
            }
            assert!(Instant::now() < end, "{:?}", streams(&relay.engine.counters()));
        }
    });
    let dropped = streams(&relay.engine.counters()).dropped;
    say(&format!("{CROWD} slow readers: {} KiB of heap, {dropped} messages dropped", grown / KIB));
    assert!(grown > 100 * MIB && grown <= 132 * MIB, "{grown} bytes");

    by_tcp.iter().take(20).for_each(|slow| slow.hears_whole_messages(sent));
    by_tls.iter().take(20).for_each(|slow| slow.hears_whole_messages(sent));
    say(&format!("the slowest echo took {:?}", calls.end()));
}

fn ended(counters: &[WorkerCounters], end: StreamEnd) -> u64 {
    streams(counters).ended(end)
}

/// Bytes of a message for a slow reader.
const LONG: usize = 8001;

/// A client that has an allocation and reads nothing.
struct Slow<T: Talk> {
    client: Client<T>,
    relayed: SocketAddr,
}

impl<T: Talk> Slow<T> {
    fn new(flood: &UdpSocket, mut client: Client<T>) -> Self {
        let relayed = client.allocate();
        client.bind(0x4001, flood.local_addr().unwrap());
        Self { client, relayed }
    }

    /// What has reached it of `sent` messages is whole and in order, and some is missing.
    fn hears_whole_messages(&self, sent: u32) {
        let mut last = None;
        let mut count = 0;
        loop {
            let (number, message) = self.client.hear_channel();
            assert_eq!((number, message.len()), (0x4001, LONG));
            let (head, rest) = message.split_at(4);
            let this = u32::from_be_bytes(head.try_into().unwrap());
            assert!(rest.iter().all(|byte| *byte == 7) && last < Some(this) && this < sent, "{last:?} {this}");
            (last, count) = (Some(this), count + 1);
            // What waits for it here and in the kernel is a part of what was sent.
            if count >= 12 {
                assert!(count < sent);
                return;
            }
        }
    }
}

fn slow_by_tcp(relay: &Relay) -> Client<Connection> {
    let server = relay.stream_address(TCP);
    Client::with("alice", server, Connection::over(slow_socket(server)))
}

fn slow_by_tls(relay: &Relay, pair: &Pair) -> Client<Secured> {
    let server = relay.stream_address(TLS);
    Client::with("alice", server, Secured::over(slow_socket(server), trusting(pair), NAME).unwrap())
}

/// Its kernel takes little that is not read.
fn slow_socket(server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16_384).unwrap();
    socket.connect(&server.into()).unwrap();
    socket.into()
}

/// Two calls that go on meanwhile, one by UDP and one by TLS.
struct Calls {
    is_over: Arc<AtomicBool>,
    threads: [JoinHandle<Duration>; 2],
}

impl Calls {
    fn begin(relay: &Relay, pair: &Pair) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let by_udp = Client::of(relay.address(0));
        let by_tls = by_tls(relay.stream_address(TLS), trusting(pair));
        let threads = [
            thread::spawn({
                let is_over = is_over.clone();
                move || talk(by_udp, &is_over)
            }),
            thread::spawn({
                let is_over = is_over.clone();
                move || talk(by_tls, &is_over)
            }),
        ];
        Self { is_over, threads }
    }

    /// How long the slowest echo took; none was lost.
    fn end(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().expect("nothing is lost")).max().unwrap_or_default()
    }
}

/// Sends a packet to a peer and hears its answer, a hundred times a second.
fn talk<T: Talk>(mut client: Client<T>, is_over: &AtomicBool) -> Duration {
    let (relayed, peer) = (client.allocate(), peer(client.server));
    client.bind(0x4001, peer.local_addr().unwrap());
    let mut slowest = Duration::ZERO;
    let mut number = 0u32;
    while !is_over.load(Ordering::Relaxed) {
        let since = Instant::now();
        let payload = [&number.to_be_bytes()[..], &[7; 156]].concat();
        client.send_channel(0x4001, &payload);
        assert_eq!(next(&peer), (payload.clone(), relayed));
        peer.send_to(&payload, relayed).unwrap();
        assert_eq!(client.hear_channel(), (0x4001, payload));
        slowest = slowest.max(since.elapsed());
        number += 1;
        thread::sleep(Duration::from_millis(10));
    }
    assert!(number > 10, "it went on meanwhile");
    slowest
}
