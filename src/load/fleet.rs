//! The sockets of clients and peers, and how packets get to and from them: many in one system call.
//!
//! Against a server on the IPv4 loopback network, one wildcard socket stands for all clients: each has a source
//! address of its own in 127.64.0.0/10, put beside every datagram (IP_PKTINFO), so that thousands of 5-tuples leave in
//! one sendmmsg and come back in one recvmmsg. The peers likewise, in 127.128.0.0/10. Elsewhere each client has a
//! socket, and a few sockets are the peers.
//!
//! Over TCP and TLS each client has a connection of its own; peers are the same. What is above knows clients by number
//! only.

mod connection;
mod side;
mod streams;
mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

pub(super) use self::connection::News;
pub(super) use self::side::source_of;
use self::side::{CLIENT_BASE, Kind, PEER_BASE, Queued, Side, route_to};
use self::streams::Streams;
use super::result::TransportFacts;
use super::settings::{Settings, Transport};
use crate::engine::sys::epoll::{Epoll, Ready};
use crate::engine::sys::meminfo::receive_drops;
use crate::engine::sys::mmsg::{Receiver, Sender};
use crate::engine::sys::nap::until_readable;
use crate::engine::sys::segment::receive_runs;

/// Datagrams taken by one system call.
const RECEIVE_BATCH: usize = 64;
/// Datagrams handed over by one system call.
pub(super) const SEND_BATCH: usize = 64;
/// Bytes that can wait to be sent.
const OUT_BYTES: usize = 1 << 20;

/// Clients or peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Peer,
}

/// Where a datagram arrived: a client's number, or which peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) role: Role,
    pub(super) number: u32,
}

/// Which packet of a flow a datagram is; what is no packet of a flow (a request) has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) flow: u32,
    /// In nanoseconds since the phase began.
    pub(super) due_ns: u64,
}

/// Why a packet of a flow did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The kernel did not take it.
    Kernel,
    /// Its connection is over, or takes nothing, so that too much waits already (back-pressure).
    Connection,
}

/// The clients' side.
enum Clients {
    Datagrams(Side),
    Streams(Streams),
}

/// All sockets.
pub(super) struct Fleet {
    target: SocketAddr,
    transport: Transport,
    clients: Clients,
    peers: Side,
    sender: Sender,
    receiver: Receiver,
    buffers: Box<[u8]>,
    slot: usize,
    out: Box<[u8]>,
    used: usize,
    epoll: Epoll,
    ready: Ready,
}

/// A datagram that came in, but for its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    /// None if it was sent to nobody of ours.
    pub(super) place: Option<Place>,
    pub(super) source: SocketAddr,
}

impl Fleet {
    /// Opens the sockets of `count` clients and their peers.
    ///
    /// # Errors
    /// A sentence: no descriptors, no such address.
    pub(super) fn open(settings: &Settings, count: u32) -> Result<Self, String> {
        let is_local = matches!(settings.target.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let clients = match settings.transport {
            Transport::Udp if is_local && settings.sources.is_empty() => {
                Clients::Datagrams(Side::shared(Role::Client, CLIENT_BASE, count)?)
            }
            Transport::Udp => Clients::Datagrams(Side::each(settings, count)?),
            Transport::Tcp | Transport::Tls => Clients::Streams(Streams::new(settings, count)?),
        };
        let peers = match settings.peer {
            None if is_local => Side::shared(Role::Peer, PEER_BASE, count),
            peer => Side::few(peer.map_or_else(|| route_to(settings.target), Ok)?),
        }?;
        let slot = if settings.merged { 1 << 16 } else { 2048_usize.max(usize::from(settings.payload) + 128) };
        let cannot = |error| format!("cannot wait for sockets: {error}");
        let fleet = Self {
            target: settings.target,
            transport: settings.transport,
            clients,
            peers,
            sender: if settings.merged { Sender::new(SEND_BATCH) } else { Sender::one_by_one(SEND_BATCH) },
            receiver: Receiver::new(RECEIVE_BATCH),
            buffers: vec![0; slot * RECEIVE_BATCH].into(),
            slot,
            out: vec![0; OUT_BYTES].into(),
            used: 0,
            epoll: Epoll::new().map_err(cannot)?,
            ready: Ready::new(256),
        };
        fleet.watch(settings.merged).map_err(cannot)?;
        Ok(fleet)
    }

    fn watch(&self, merged: bool) -> io::Result<()> {
        for side in self.datagram_sides() {
            for (index, socket) in side.sockets.iter().enumerate() {
                if merged {
                    receive_runs(socket.as_fd())?;
                }
                self.epoll.add(socket.as_fd(), token(side.role, index))?;
            }
        }
        Ok(())
    }

    fn datagram_sides(&self) -> impl Iterator<Item = &Side> {
        let clients = match &self.clients {
            Clients::Datagrams(side) => Some(side),
            Clients::Streams(_) => None,
        };
        clients.into_iter().chain([&self.peers])
    }

    pub(super) fn facts(&self) -> TransportFacts {
        let (kind, count, tls) = match &self.clients {
            Clients::Datagrams(side) => (side.kind.name(), side.sockets.len(), None),
            Clients::Streams(streams) => ("each", streams.count(), streams.agreed()),
        };
        TransportFacts {
            protocol: self.transport.name().into(),
            tls: tls.map(str::to_owned),
            clients: kind.into(),
            peers: self.peers.kind.name().into(),
            client_sockets: count as u32,
            peer_sockets: self.peers.sockets.len() as u32,
            receive_buffer_bytes: self.datagram_sides().map(|side| side.granted).min().unwrap_or(0) as u64,
        }
    }

    /// The peer of client `number`.
    pub(super) fn peer_address(&self, number: u32) -> SocketAddr {
        self.peers.address(number)
    }

    /// Where packets to client or peer `number` arrive.
    pub(super) fn place(&self, role: Role, number: u32) -> Place {
        let number = match self.side(role) {
            Some(side) if matches!(side.kind, Kind::Few) => side.socket_of(number) as u32,
            _ => number,
        };
        Place { role, number }
    }

    /// Begins to connect client `number`, where there is something to connect.
    pub(super) fn connect(&mut self, number: u32, now_ns: u64) {
        if let Clients::Streams(streams) = &mut self.clients {
            streams.connect(&self.epoll, number, now_ns);
        }
    }

    /// Closes what client `number` has connected.
    pub(super) fn disconnect(&mut self, number: u32) {
        if let Clients::Streams(streams) = &mut self.clients {
            streams.close(number);
        }
    }

    /// What has become of connections since the last call, appended.
    pub(super) fn take_news(&mut self, into: &mut Vec<(u32, News)>) {
        if let Clients::Streams(streams) = &mut self.clients {
            streams.take_news(into);
        }
    }

    /// Gives client `number` another 5-tuple: one that was freed rests at the server.
    ///
    /// # Errors
    /// No descriptor or port left.
    pub(super) fn renew(&mut self, number: u32) -> io::Result<()> {
        match &mut self.clients {
            Clients::Streams(streams) => streams.renew(number),
            Clients::Datagrams(side) => {
                if side.renew(number, self.target)? {
                    let socket = &side.sockets[number as usize];
                    self.epoll.add(socket.as_fd(), token(Role::Client, number as usize))?;
                }
            }
        }
        Ok(())
    }

    /// Queues a datagram or message of `len` bytes, which `fill` writes. It leaves from client or peer `number`: a
    /// client's goes to the server, a peer's to `to`.
    pub(super) fn queue(
        &mut self,
        from: Place,
        to: Option<SocketAddr>,
        len: usize,
        ticket: Option<Ticket>,
        fill: impl FnOnce(&mut [u8]),
    ) {
        if let (Role::Client, Clients::Streams(streams)) = (from.role, &mut self.clients) {
            return streams.queue(from.number, len, ticket, fill);
        }
        let start = self.used;
        let Some(bytes) = self.out.get_mut(start..start + len) else {
            debug_assert!(false, "flushed too late");
            return;
        };
        fill(bytes);
        self.used += len.next_multiple_of(64);
        let to = to.unwrap_or(self.target);
        let Some(side) = self.side_mut(from.role) else { return };
        let (socket, from) = (side.socket_of(from.number), side.source(from.number));
        side.queue.push(Queued { socket, start, len, to, from, ticket });
    }

    /// Nothing of `more` bytes can be queued before a flush.
    pub(super) fn is_full(&self, more: usize) -> bool {
        self.used + more + 64 > OUT_BYTES
    }

    /// Sends what is queued, and tells `refused` what does not leave.
    pub(super) fn flush(&mut self, mut refused: impl FnMut(Option<Ticket>, Refusal)) {
        let Self { clients, peers, sender, out, epoll, .. } = self;
        let clients = match clients {
            Clients::Datagrams(side) => Some(side),
            Clients::Streams(streams) => {
                streams.flush(epoll, &mut |ticket| refused(Some(ticket), Refusal::Connection));
                None
            }
        };
        for side in clients.into_iter().chain([peers]) {
            side.flush(sender, out, &mut |ticket| refused(ticket, Refusal::Kernel));
        }
        self.used = 0;
    }

    /// Takes what has come in, up to one batch for each socket, and shows it to `see`; returns how many datagrams.
    /// `on_batch` is called before each batch is shown, after it was taken: to read the clock.
    pub(super) fn receive(
        &mut self,
        mut on_batch: impl FnMut() -> u64,
        mut see: impl FnMut(u64, Incoming, &[u8]),
    ) -> usize {
        self.epoll.wait(&mut self.ready, Some(Duration::ZERO));
        let mut count = 0;
        for index in 0..self.ready.count() {
            let (role, socket) = self.ready.token(index).map_or((Role::Client, 0), from_token);
            count += match (&mut self.clients, role) {
                (Clients::Streams(streams), Role::Client) => {
                    let (number, now) = (socket as u32, on_batch());
                    let can = [self.ready.is_readable(index), self.ready.is_writable(index)];
                    let incoming = Incoming { place: Some(Place { role, number }), source: self.target };
                    streams.on_ready(&self.epoll, number, can, now, &mut |message| see(now, incoming, message))
                }
                _ => self.receive_from(role, socket, &mut on_batch, &mut see),
            };
        }
        count
    }

    fn receive_from(
        &mut self,
        role: Role,
        index: usize,
        on_batch: &mut impl FnMut() -> u64,
        see: &mut impl FnMut(u64, Incoming, &[u8]),
    ) -> usize {
        let side = match (role, &self.clients) {
            (Role::Client, Clients::Datagrams(side)) => side,
            (Role::Client, Clients::Streams(_)) => return 0,
            (Role::Peer, _) => &self.peers,
        };
        let Some(socket) = side.sockets.get(index) else { return 0 };
        // An error is that nothing waits, or an ICMP message about an earlier send: a loss like any other.
        let count = self.receiver.receive(socket.as_fd(), self.buffers.chunks_exact_mut(self.slot)).unwrap_or(0);
        if count == 0 {
            return 0;
        }
        let now = on_batch();
        for row in 0..count {
            let Some(message) = self.receiver.message(row) else { break };
            let Some(source) = message.source else { continue };
            let place = side.place_of(index, message.beside.asked);
            let segment = message.beside.segment.map_or(message.len, usize::from).max(1);
            let start = row * self.slot;
            for bytes in self.buffers[start..start + message.len].chunks(segment) {
                see(now, Incoming { place, source }, bytes);
            }
        }
        count
    }

    /// Datagrams that the receive queues had no room for, since the sockets were opened.
    pub(super) fn drops(&self) -> u64 {
        let sockets = self.datagram_sides().flat_map(|side| &side.sockets);
        sockets.map(|socket| u64::from(receive_drops(socket.as_fd()).unwrap_or(0))).sum()
    }

    /// Sleeps until something comes in or `longest` has passed.
    pub(super) fn nap(&self, longest: Duration) {
        until_readable(self.epoll.as_fd(), longest);
    }

    /// The sockets of a role, where they are of datagrams.
    fn side(&self, role: Role) -> Option<&Side> {
        match (role, &self.clients) {
            (Role::Client, Clients::Datagrams(side)) => Some(side),
            (Role::Client, Clients::Streams(_)) => None,
            (Role::Peer, _) => Some(&self.peers),
        }
    }

    fn side_mut(&mut self, role: Role) -> Option<&mut Side> {
        match (role, &mut self.clients) {
            (Role::Client, Clients::Datagrams(side)) => Some(side),
            (Role::Client, Clients::Streams(_)) => None,
            (Role::Peer, _) => Some(&mut self.peers),
        }
    }
}

const PEER_BIT: u64 = 1 << 63;

fn token(role: Role, index: usize) -> u64 {
    index as u64 | if role == Role::Peer { PEER_BIT } else { 0 }
}

fn from_token(token: u64) -> (Role, usize) {
    let role = if token & PEER_BIT == 0 { Role::Client } else { Role::Peer };
    (role, (token & !PEER_BIT) as usize)
}

#[cfg(test)]
mod tests;
