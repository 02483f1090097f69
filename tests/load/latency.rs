//! Latency from the intended time on: between the load tester and the relay stands a forwarder that delays every packet
//! and once stops for a while. All packets that were due meanwhile must show it, not one (no coordinated omission).

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use turnkeep::load::result::Latency;

use crate::bad_network::is_data;
use crate::rig::{Rig, assert_flawless, direction};

const DELAY: Duration = Duration::from_millis(20);
const STALL_AFTER: Duration = Duration::from_millis(700);
const STALL: Duration = Duration::from_millis(200);
/// What is held for longer was due in the stall.
const LONG: Duration = Duration::from_millis(100);

#[test]
fn a_stall_is_charged_with_every_packet_that_waited() {
    let rig = Rig::new();
    let forwarder = Forwarder::start(rig.target().parse().expect("an address"));
    let arguments = "--path up --duration 2s --warmup 0s --allocations 4 --rate 1000";
    let output = rig.run(&forwarder.target.to_string(), arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let held = forwarder.stop();
    let result = rig.result();
    let up = direction(&result, "up");
    assert_flawless(up);
    assert_eq!(up.sent, 2000);
    let p50_ms = up.latency.p50_us / 1000.0;
    assert!((20.0..30.0).contains(&p50_ms), "{p50_ms} ms");
    // Of the 200 packets of the stall those of its first 120 ms waited for 80 ms and more, beside the delay.
    assert!(held >= 100, "{held}");
    let [fewest, most] = share_above(&up.latency, LONG);
    let share = held as f64 / up.sent as f64;
    assert!(fewest - 0.01 <= share && share <= most + 0.01, "{held} were held: {fewest} to {most}");
    assert!(up.latency.max_us >= 200_000.0, "{}", up.latency.max_us);
}

/// The share of packets that took longer, as closely as the points of the curve tell: at least, at most.
fn share_above(latency: &Latency, time: Duration) -> [f64; 2] {
    let micros = time.as_secs_f64() * 1e6;
    let above = latency.curve.iter().position(|[_, value]| *value > micros).expect("some took longer");
    let left = |index: usize| 1.0 - latency.curve[index][0];
    [left(above), left(above.saturating_sub(1))]
}

struct Forwarder {
    target: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Forwarder {
    fn start(server: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("a port");
        front.set_nonblocking(true).expect("an option");
        let target = front.local_addr().expect("it is bound");
        let stop = Arc::new(AtomicBool::new(false));
        let mut network = Network { front, server, lines: Vec::new(), waiting: VecDeque::new(), stall: None, held: 0 };
        let flag = stop.clone();
        let thread = thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                network.turn();
                thread::sleep(Duration::from_micros(100));
            }
            network.held
        });
        Self { target, stop, thread }
    }

    /// How many packets were held for long.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it did not panic")
    }
}

struct Network {
    front: UdpSocket,
    server: SocketAddr,
    /// A client, and its way to the server.
    lines: Vec<(SocketAddr, UdpSocket)>,
    /// Data on its way up, with when it came and whose it is.
    waiting: VecDeque<(Instant, usize, Vec<u8>)>,
    /// When the stall begins, once there is data.
    stall: Option<Instant>,
    held: u64,
}

impl Network {
    fn turn(&mut self) {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = self.front.recv_from(&mut buffer) {
            let line = self.line(from);
            if is_data(&buffer[..len]) {
                self.stall.get_or_insert_with(|| Instant::now() + STALL_AFTER);
                self.waiting.push_back((Instant::now(), line, buffer[..len].to_vec()));
            } else {
                self.lines[line].1.send(&buffer[..len]).expect("loopback takes it");
            }
        }
        for (client, socket) in &self.lines {
            while let Ok(len) = socket.recv(&mut buffer) {
                self.front.send_to(&buffer[..len], client).expect("loopback takes it");
            }
        }
        self.release();
    }

    fn release(&mut self) {
        let now = Instant::now();
        if self.stall.is_some_and(|stall| (stall..stall + STALL).contains(&now)) {
            return;
        }
        while let Some((came, line, packet)) = self.waiting.pop_front_if(|(came, ..)| *came + DELAY <= now) {
            self.held += u64::from(now - came > LONG);
            self.lines[line].1.send(&packet).expect("loopback takes it");
        }
    }

    fn line(&mut self, from: SocketAddr) -> usize {
        if let Some(index) = self.lines.iter().position(|(client, _)| *client == from) {
            return index;
        }
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_nonblocking(true).expect("an option");
        socket.connect(self.server).expect("a loopback address");
        self.lines.push((from, socket));
        self.lines.len() - 1
    }
}
