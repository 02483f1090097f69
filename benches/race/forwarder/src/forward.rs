//! The loop: wait, read, forward, send.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use crate::io::{Arena, Datagram, Epoll, Outbox, Piece, Strategy, merge_on_arrival};
use crate::ring::Ring;
use crate::setup::{Answer, Change, Setup};
use crate::table::{Allocation, Table, handle_of};

/// The listener's mark in the epoll set or the ring; those of relay sockets are their places in the table.
const LISTENER: u64 = u64::MAX;
/// Added to a place: the socket there that is connected to its peer.
const TWIN: u64 = 1 << 32;
/// What a piece for the listener names when there is a ring.
const LISTENER_SLOT: RawFd = 0;

/// Datagrams of one read, at most.
const BATCH: usize = 64;

/// ChannelData's header (RFC 8656 §12.4).
const HEADER: usize = 4;

pub(crate) struct Forwarder {
    listener: UdpSocket,
    /// What a piece for the listener names.
    handle: RawFd,
    /// How many datagrams the next read of the listener asks for.
    asks: usize,
    table: Table,
    setup: Setup,
    waiting: Waiting,
    arena: Arena,
    outbox: Outbox,
    received: Vec<Datagram>,
    window: Duration,
}

/// What tells that there is something to read.
enum Waiting {
    Epoll(Epoll),
    Ring(Box<Ring>),
}

impl Forwarder {
    pub(crate) fn new(
        listener: UdpSocket,
        table: Table,
        setup: Setup,
        strategy: Strategy,
        window: Duration,
    ) -> io::Result<Self> {
        let (mut arena, outbox) = (Arena::new(strategy), Outbox::new(strategy));
        let fd = listener.as_raw_fd();
        let (waiting, handle) = match strategy {
            Strategy::Ring => {
                let mut ring = Ring::new(&mut arena)?;
                ring.add(fd, LISTENER_SLOT, LISTENER)?;
                (Waiting::Ring(Box::new(ring)), LISTENER_SLOT)
            }
            _ => {
                let epoll = Epoll::new()?;
                epoll.add(fd, LISTENER)?;
                (Waiting::Epoll(epoll), fd)
            }
        };
        if strategy == Strategy::Merged {
            merge_on_arrival(fd)?;
        }
        Ok(Self { listener, handle, asks: 1, table, setup, waiting, arena, outbox, received: Vec::new(), window })
    }

    pub(crate) fn run(&mut self) -> io::Result<()> {
        let (mut marks, mut arrived) = (Vec::new(), Vec::new());
        let mut pace = Pace::new(self.window);
        loop {
            match &mut self.waiting {
                Waiting::Epoll(epoll) => {
                    std::thread::sleep(pace.nap);
                    epoll.wait(&mut marks)?;
                    let woken = Instant::now();
                    let packets = self.read(&marks);
                    pace.learn(woken, packets);
                }
                Waiting::Ring(ring) => {
                    let table = &self.table;
                    let handle = |mark| match place(mark) {
                        None => Some(LISTENER_SLOT),
                        Some(place) => table.at(place).map(|allocation| allocation.handle),
                    };
                    ring.wait(&self.arena, pace.nap, handle, |mark, datagram| arrived.push((mark, datagram)))?;
                    pace.learn_before_sending(Instant::now(), arrived.len());
                    self.take(&mut arrived);
                }
            }
        }
    }

    /// Reads what epoll names, forwards it, and returns how many packets that was.
    fn read(&mut self, marks: &[u64]) -> u32 {
        let mut packets = 0;
        for &mark in marks {
            packets += match place(mark) {
                None => self.read_clients(),
                Some(place) => self.read_peers(place, mark & TWIN != 0),
            };
            if self.arena.room() < 2 * BATCH {
                self.send();
            }
        }
        self.send();
        packets
    }

    /// Forwards what the ring has read: it leaves with the next wait.
    fn take(&mut self, arrived: &mut Vec<(u64, Datagram)>) {
        for (mark, datagram) in arrived.drain(..) {
            match place(mark) {
                None => self.sort_out(datagram),
                Some(place) => self.down(place, datagram),
            }
        }
        if let Waiting::Ring(ring) = &mut self.waiting {
            ring.send(self.outbox.pieces(), &self.arena);
        }
        self.outbox.clear();
    }

    fn read_clients(&mut self) -> u32 {
        let mut heard = 0;
        loop {
            let asked = self.asks;
            self.received.clear();
            let got = self.arena.receive(self.listener.as_raw_fd(), asked, &mut self.received);
            self.asks = next_ask(asked, got);
            for index in 0..self.received.len() {
                self.sort_out(self.received[index]);
            }
            heard += u32::try_from(got).unwrap_or(u32::MAX);
            if got < asked || asked == 1 || self.arena.room() < 2 * BATCH {
                return heard;
            }
        }
    }

    fn sort_out(&mut self, datagram: Datagram) {
        // 0b01 in front is ChannelData, 0b00 STUN (RFC 7983 §7).
        match self.arena.bytes(datagram).first() {
            Some(0x40..=0x7F) => self.up(datagram),
            Some(_) => self.request(datagram),
            None => {}
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
                self.outbox.push(Piece { socket: self.handle, to, connected: false, at, len, front: None });
                continue;
            }
            let ((socket, connected), at) = (allocation.way_to(channel), segment.at + HEADER);
            self.outbox.push(Piece { socket, to: channel.peer, connected, at, len, front: None });
        }
    }

    fn read_peers(&mut self, place: usize, twin: bool) -> u32 {
        let mut heard = 0;
        loop {
            let Some(allocation) = self.table.at_mut(place) else {
                return heard;
            };
            let asked = allocation.asks;
            self.received.clear();
            let socket = allocation.twin.as_ref().filter(|_| twin).unwrap_or(&allocation.socket).as_raw_fd();
            let got = self.arena.receive(socket, asked, &mut self.received);
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
        let (socket, connected) = (self.handle, false);
        let [n0, n1] = channel.to_be_bytes();
        for segment in datagram.segments() {
            let [.., l0, l1] = segment.len.to_be_bytes();
            let header = [n0, n1, l0, l1];
            let piece = if segment.at == datagram.at {
                // The room in front of what arrived is free; in front of a later segment is the one before it.
                self.arena.write(segment.at - HEADER, header);
                Piece { socket, to: client, connected, at: segment.at - HEADER, len: segment.len + HEADER, front: None }
            } else {
                Piece { socket, to: client, connected, at: segment.at, len: segment.len, front: Some(header) }
            };
            self.outbox.push(piece);
        }
    }

    fn request(&mut self, datagram: Datagram) {
        for segment in datagram.segments() {
            let mut out = [0; 512];
            let answer = self.setup.answer(&mut self.table, self.arena.bytes(segment), datagram.source, &mut out);
            let Some(Answer { len, change }) = answer else {
                continue;
            };
            if change.is_some_and(|change| self.follow(change).is_err()) {
                continue;
            }
            // A response that is lost is asked for again.
            let _ = self.listener.send_to(&out[..len], datagram.source);
        }
    }

    /// Waits for new sockets as well, and for old ones no more.
    fn follow(&mut self, change: Change) -> io::Result<()> {
        let (Change::Opened(place) | Change::Twinned(place) | Change::Closed(place)) = change;
        let (mark, allocation) = (place as u64, self.table.at(place));
        match (&mut self.waiting, change, allocation) {
            (Waiting::Epoll(epoll), Change::Opened(_), Some(one)) => epoll.add(one.socket.as_raw_fd(), mark),
            (Waiting::Ring(ring), Change::Opened(_), Some(one)) => ring.add(one.socket.as_raw_fd(), one.handle, mark),
            (Waiting::Epoll(epoll), Change::Twinned(_), Some(Allocation { twin: Some(twin), .. })) => {
                epoll.add(twin.as_raw_fd(), mark | TWIN)
            }
            (Waiting::Ring(ring), Change::Closed(_), _) => {
                ring.remove(handle_of(place), mark);
                Ok(())
            }
            _ => Ok(()),
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

    /// The same when what was found leaves with the next wait, so that how long that takes is known only from the last
    /// turn: its period without its nap.
    fn learn_before_sending(&mut self, woken: Instant, packets: usize) {
        let period = woken - std::mem::replace(&mut self.woken, woken);
        let packets = u32::try_from(packets).unwrap_or(u32::MAX);
        self.nap = match self.window.saturating_mul(packets) >= 2 * period {
            true => (self.window + self.nap).saturating_sub(period).min(self.window),
            false => Duration::ZERO,
        };
    }
}

/// The allocation that a mark is for; none if it is the listener's.
fn place(mark: u64) -> Option<usize> {
    (mark != LISTENER).then(|| usize::try_from(mark & !TWIN).unwrap_or(usize::MAX))
}

/// One datagram while no more wait, twice as many as came when a read was filled.
fn next_ask(asked: usize, got: usize) -> usize {
    if got == asked { (asked * 2).min(BATCH) } else { got.max(1) }
}
