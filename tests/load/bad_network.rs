//! Honesty: between the load tester and the relay stands a forwarder that loses, copies, reorders, damages and
//! misdirects packets and counts what it did. The result must say exactly that.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::rig::{Rig, direction};

#[test]
fn what_a_bad_network_does_is_told_exactly() {
    let rig = Rig::new();
    let forwarder = Forwarder::start(rig.target().parse().expect("an address"));
    let arguments = format!("--duration 2s --warmup 0s --allocations 2 --rate 1000 --server-pid {}", rig.program.id());
    let output = rig.run(&forwarder.target.to_string(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let did = forwarder.stop();
    let result = rig.result();

    let up = direction(&result, "up");
    assert!(
        did.lost > 20 && did.copied > 20 && did.reordered > 20 && did.damaged > 20 && did.misdirected > 20,
        "{did:?}"
    );
    assert_eq!(
        (up.lost, up.duplicates, up.reordered, up.corrupted, up.misdelivered),
        (did.lost + did.damaged, did.copied, did.reordered, did.damaged, 0)
    );
    let down = direction(&result, "down");
    assert_eq!(
        (down.lost, down.duplicates, down.reordered, down.corrupted, down.misdelivered),
        (did.misdirected, 0, 0, 0, did.misdirected)
    );
    let by_second: u64 = result.traffic.iter().flat_map(|traffic| &traffic.series).map(|s| s.sent - s.arrived).sum();
    assert_eq!(by_second, up.lost + down.lost);
    // What was lost is waited for, for a second; that is no time of the load.
    let server = result.server.as_ref().expect("its process id was given");
    let load_s = server.cpu_s / server.cpu_share;
    assert!((1.9..2.5).contains(&load_s), "{load_s}");
}

/// What was done to packets, up but for the last.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    lost: u64,
    copied: u64,
    reordered: u64,
    damaged: u64,
    /// Down: sent to another client.
    misdirected: u64,
}

struct Forwarder {
    target: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Done>,
}

impl Forwarder {
    fn start(server: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("a port");
        front.set_nonblocking(true).expect("an option");
        let target = front.local_addr().expect("it is bound");
        let stop = Arc::new(AtomicBool::new(false));
        let mut network = Network { front, server, clients: Vec::new(), known: HashMap::new(), done: Done::default() };
        let flag = stop.clone();
        let thread = thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                if !network.turn() {
                    thread::sleep(Duration::from_micros(100));
                }
            }
            network.done
        });
        Self { target, stop, thread }
    }

    fn stop(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it did not panic")
    }
}

struct Network {
    front: UdpSocket,
    server: SocketAddr,
    clients: Vec<Line>,
    known: HashMap<SocketAddr, usize>,
    done: Done,
}

/// One client's way to the server.
struct Line {
    client: SocketAddr,
    socket: UdpSocket,
    /// Data packets so far, up and down.
    up: u64,
    down: u64,
    /// One that others may overtake.
    held: Option<Vec<u8>>,
}

impl Network {
    /// Whether there was anything.
    fn turn(&mut self) -> bool {
        let mut buffer = [0; 2048];
        let mut was_busy = false;
        while let Ok((len, from)) = self.front.recv_from(&mut buffer) {
            self.up(from, &mut buffer[..len]);
            was_busy = true;
        }
        for index in 0..self.clients.len() {
            loop {
                match self.clients[index].socket.recv(&mut buffer) {
                    Ok(len) => self.down(index, &buffer[..len]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => continue,
                }
                was_busy = true;
            }
        }
        was_busy
    }

    fn line(&mut self, from: SocketAddr) -> usize {
        if let Some(index) = self.known.get(&from) {
            return *index;
        }
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_nonblocking(true).expect("an option");
        socket.connect(self.server).expect("a loopback address");
        self.clients.push(Line { client: from, socket, up: 0, down: 0, held: None });
        self.known.insert(from, self.clients.len() - 1);
        self.clients.len() - 1
    }

    fn up(&mut self, from: SocketAddr, packet: &mut [u8]) {
        if packet.starts_with(&BINDING) {
            // The load tester asks whether anybody is there, from an address that is no client's.
            return;
        }
        let index = self.line(from);
        let (line, done) = (&mut self.clients[index], &mut self.done);
        let send = |packet: &[u8]| drop(line.socket.send(packet));
        if !is_data(packet) {
            return send(packet);
        }
        line.up += 1;
        match line.up % 20 {
            3 => return done.lost += 1,
            7 => return line.held = Some(packet.to_vec()),
            11 => {
                send(packet);
                done.copied += 1;
            }
            15 => {
                // Behind ChannelData's header and the tester's: its body.
                packet[60] ^= 1;
                done.damaged += 1;
            }
            _ => {}
        }
        send(packet);
        if let Some(held) = line.held.take() {
            send(&held);
            done.reordered += 1;
        }
    }

    fn down(&mut self, index: usize, packet: &[u8]) {
        let line = &mut self.clients[index];
        line.down += u64::from(is_data(packet));
        let mut to = line.client;
        if is_data(packet) && line.down % 20 == 9 {
            to = self.clients[1 - index].client;
            self.done.misdirected += 1;
        }
        // Loopback takes it.
        let _ = self.front.send_to(packet, to);
    }
}

/// The type of a Binding request (RFC 8489 §5).
const BINDING: [u8; 2] = [0x00, 0x01];

/// ChannelData (RFC 8656 §12.4).
pub(crate) fn is_data(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| (0x40..=0x4F).contains(first))
}
