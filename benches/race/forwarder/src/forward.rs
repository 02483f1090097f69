//! The loop: wait, read, forward, send.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::io::{Arena, Datagram, Epoll, Outbox, Piece, Strategy, merge_on_arrival};
use crate::setup::{Answer, Setup};
use crate::table::Table;

/// The listener's mark in the epoll set; those of relay sockets are their places in the table.
const LISTENER: u64 = u64::MAX;

/// Datagrams of one read, at most.
const BATCH: usize = 64;

/// ChannelData's header (RFC 8656 §12.4).
const HEADER: usize = 4;

pub(crate) struct Forwarder {
    listener: UdpSocket,
    /// How many datagrams the next read of the listener asks for.
    asks: usize,
    table: Table,
    setup: Setup,
    epoll: Epoll,
    arena: Arena,
    outbox: Outbox,
    received: Vec<Datagram>,
    window: Duration,
}

impl Forwarder {
    pub(crate) fn new(
        listener: UdpSocket,
        table: Table,
        setup: Setup,
        strategy: Strategy,
        window: Duration,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(listener.as_raw_fd(), LISTENER)?;
        if strategy == Strategy::Merged {
            merge_on_arrival(listener.as_raw_fd())?;
        }
        let (arena, outbox) = (Arena::new(strategy), Outbox::new(strategy));
        Ok(Self { listener, asks: 1, table, setup, epoll, arena, outbox, received: Vec::new(), window })
    }

    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut marks = Vec::new();
        let mut pace = Pace::new(self.window);
        loop {
            std::thread::sleep(pace.nap);
            self.epoll.wait(&mut marks)?;
            let woken = Instant::now();
            let mut packets = 0;
            for &mark in &marks {
                packets += match mark {
                    LISTENER => self.read_clients(),
                    place => self.read_peers(usize::try_from(place).unwrap_or(usize::MAX)),
                };
                if self.arena.room() < 2 * BATCH {
                    self.send();
                }
            }
            self.send();
            pace.learn(woken, packets);
        }
    }

    fn read_clients(&mut self) -> u32 {
        let mut heard = 0;
        loop {
            let asked = self.asks;
            self.received.clear();
            let got = self.arena.receive(self.listener.as_raw_fd(), asked, &mut self.received);
            self.asks = next_ask(asked, got);
            for index in 0..self.received.len() {
                let datagram = self.received[index];
                // 0b01 in front is ChannelData, 0b00 STUN (RFC 7983 §7).
                match self.arena.bytes(datagram).first() {
                    Some(0x40..=0x7F) => self.up(datagram),
                    Some(_) => self.request(datagram),
                    None => {}
                }
            }
            heard += u32::try_from(got).unwrap_or(u32::MAX);
            if got < asked || asked == 1 || self.arena.room() < 2 * BATCH {
                return heard;
            }
        }
    }

    fn up(&mut self, datagram: Datagram) {
        let Some(allocation) = self.table.of_client(datagram.source) else {
            return;
        };
        for segment in datagram.segments() {
            let bytes = self.arena.bytes(segment);
            let Some(&[n0, n1, l0, l1]) = bytes.first_chunk::<HEADER>() else {
                continue;
            };
            let len = usize::from(u16::from_be_bytes([l0, l1]));
            let Some(channel) = allocation.channel(u16::from_be_bytes([n0, n1])) else {
                continue;
            };
            if len > bytes.len() - HEADER {
                continue;
            }
            if let Some((neighbour, number)) = self.table.neighbour(allocation, channel) {
                let to = neighbour.client;
                self.arena.write(segment.at, number.to_be_bytes());
                let (at, len) = (segment.at, len + HEADER);
                self.outbox.push(Piece { socket: self.listener.as_raw_fd(), to, at, len, front: None });
                continue;
            }
            let (socket, at) = (allocation.socket.as_raw_fd(), segment.at + HEADER);
            self.outbox.push(Piece { socket, to: channel.peer, at, len, front: None });
        }
    }

    fn read_peers(&mut self, place: usize) -> u32 {
        let mut heard = 0;
        loop {
            let Some(allocation) = self.table.at_mut(place) else {
                return heard;
            };
            let asked = allocation.asks;
            self.received.clear();
            let got = self.arena.receive(allocation.socket.as_raw_fd(), asked, &mut self.received);
            allocation.asks = next_ask(asked, got);
            for index in 0..self.received.len() {
                self.down(place, self.received[index]);
            }
            heard += u32::try_from(got).unwrap_or(u32::MAX);
            if got < asked || asked == 1 || self.arena.room() < 2 * BATCH {
                return heard;
            }
        }
    }

    fn down(&mut self, place: usize, datagram: Datagram) {
        let Some((client, channel)) = self
            .table
            .at(place)
            .and_then(|allocation| Some((allocation.client, allocation.channel_to(datagram.source)?.number)))
        else {
            return;
        };
        let socket = self.listener.as_raw_fd();
        let [n0, n1] = channel.to_be_bytes();
        for segment in datagram.segments() {
            let [.., l0, l1] = segment.len.to_be_bytes();
            let header = [n0, n1, l0, l1];
            let piece = if segment.at == datagram.at {
                // The room in front of what arrived is free; in front of a later segment is the one before it.
                self.arena.write(segment.at - HEADER, header);
                Piece { socket, to: client, at: segment.at - HEADER, len: segment.len + HEADER, front: None }
            } else {
                Piece { socket, to: client, at: segment.at, len: segment.len, front: Some(header) }
            };
            self.outbox.push(piece);
        }
    }

    fn request(&mut self, datagram: Datagram) {
        for segment in datagram.segments() {
            let mut out = [0; 512];
            let answer = self.setup.answer(&mut self.table, self.arena.bytes(segment), datagram.source, &mut out);
            let Some(Answer { len, opened }) = answer else {
                continue;
            };
            if let Some(allocation) = opened.and_then(|place| self.table.at(place))
                && self.epoll.add(allocation.socket.as_raw_fd(), opened.unwrap_or_default() as u64).is_err()
            {
                continue;
            }
            // A response that is lost is asked for again.
            let _ = self.listener.send_to(&out[..len], datagram.source);
        }
    }

    fn send(&mut self) {
        self.outbox.send(&self.arena);
        self.arena.clear();
    }
}

/// When to look again, as turnkeep's engine decides it (`src/engine/pace.rs`): the gap to it must not be the pace.
struct Pace {
    window: Duration,
    nap: Duration,
    woken: Instant,
}

impl Pace {
    fn new(window: Duration) -> Self {
        Self { window, nap: Duration::ZERO, woken: Instant::now() }
    }

    /// After a turn that began at `woken` and found `packets`: when several come within a window, the next turn begins
    /// a window after this one; who comes seldom is served at once.
    fn learn(&mut self, woken: Instant, packets: u32) {
        let period = woken - std::mem::replace(&mut self.woken, woken);
        self.nap = match self.window * packets >= 2 * period {
            true => self.window.saturating_sub(woken.elapsed()),
            false => Duration::ZERO,
        };
    }
}

/// One datagram while no more wait, twice as many as came when a read was filled.
fn next_ask(asked: usize, got: usize) -> usize {
    if got == asked { (asked * 2).min(BATCH) } else { got.max(1) }
}
