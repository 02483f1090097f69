//! The sockets of clients and peers, and how packets get to and from them: many in one system call.
//!
//! Against a server on the IPv4 loopback network, one wildcard socket stands for all clients: each has a source
//! address of its own in 127.64.0.0/10, put beside every datagram (IP_PKTINFO), so that thousands of 5-tuples leave in
//! one sendmmsg and come back in one recvmmsg. The peers likewise, in 127.128.0.0/10. Elsewhere each client has a
//! socket, and a few sockets are the peers.
//!
//! Streams (TCP, TLS) will be another kind of [`Side`]: what is above knows clients by number only.

mod side;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use self::side::{CLIENT_BASE, Kind, PEER_BASE, Queued, Side, route_to};
use super::result::TransportFacts;
use super::settings::Settings;
use crate::engine::sys::epoll::{Epoll, Ready};
use crate::engine::sys::meminfo::receive_drops;
use crate::engine::sys::mmsg::{Receiver, Sender};
use crate::engine::sys::nap;
use crate::engine::sys::segment::receive_runs;

/// Datagrams taken by one system call.
const RECEIVE_BATCH: usize = 64;
/// Datagrams handed over by one system call.
pub(super) const SEND_BATCH: usize = 64;
/// Bytes that can wait to be sent.
const OUT_BYTES: usize = 1 << 20;
/// Up to so many sockets are asked in turn; of more, epoll says which. A set of epoll is looked at by the kernel
/// whenever a packet leaves or arrives, also on the server's time: a tenth of what sending takes (benches/README.md).
const ASK_IN_TURN: usize = nap::MAX_DESCRIPTORS;

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

/// All sockets.
pub(super) struct Fleet {
    target: SocketAddr,
    clients: Side,
    peers: Side,
    sender: Sender,
    receiver: Receiver,
    buffers: Box<[u8]>,
    slot: usize,
    out: Box<[u8]>,
    used: usize,
    /// None for a few sockets: they are asked in turn.
    waiting: Option<(Epoll, Ready)>,
}

/// A datagram that came in, but for its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    /// None if it was sent to nobody of ours.
    pub(super) place: Option<Place>,
    pub(super) source: SocketAddr,
    start: usize,
    len: usize,
    segment: usize,
}

impl Fleet {
    /// Opens the sockets of `count` clients and their peers.
    ///
    /// # Errors
    /// A sentence: no descriptors, no such address.
    pub(super) fn open(settings: &Settings, count: u32) -> Result<Self, String> {
        let is_local = matches!(settings.target.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let clients = if is_local && settings.sources.is_empty() {
            Side::shared(Role::Client, CLIENT_BASE, count)
        } else {
            Side::each(settings, count)
        };
        let peers = match settings.peer {
            None if is_local => Side::shared(Role::Peer, PEER_BASE, count),
            peer => Side::few(peer.map_or_else(|| route_to(settings.target), Ok)?),
        };
        let (clients, peers) = (clients?, peers?);
        let slot = if settings.merged { 1 << 16 } else { 2048_usize.max(usize::from(settings.payload) + 128) };
        let mut fleet = Self {
            target: settings.target,
            clients,
            peers,
            sender: if settings.merged { Sender::new(SEND_BATCH) } else { Sender::one_by_one(SEND_BATCH) },
            receiver: Receiver::new(RECEIVE_BATCH),
            buffers: vec![0; slot * RECEIVE_BATCH].into(),
            slot,
            out: vec![0; OUT_BYTES].into(),
            used: 0,
            waiting: None,
        };
        fleet.watch(settings.merged).map_err(|error| format!("cannot wait for sockets: {error}"))?;
        Ok(fleet)
    }

    fn watch(&mut self, merged: bool) -> io::Result<()> {
        let sides = [&self.clients, &self.peers];
        if merged {
            sides.iter().flat_map(|side| &side.sockets).try_for_each(|socket| receive_runs(socket.as_fd()))?;
        }
        if sides.map(|side| side.sockets.len()).iter().sum::<usize>() <= ASK_IN_TURN {
            return Ok(());
        }
        let epoll = Epoll::new()?;
        for side in sides {
            for (index, socket) in side.sockets.iter().enumerate() {
                epoll.add(socket.as_fd(), token(side.role, index))?;
            }
        }
        self.waiting = Some((epoll, Ready::new(256)));
        Ok(())
    }

    pub(super) fn facts(&self) -> TransportFacts {
        TransportFacts {
            protocol: "udp".into(),
            clients: self.clients.kind.name().into(),
            peers: self.peers.kind.name().into(),
            client_sockets: self.clients.sockets.len() as u32,
            peer_sockets: self.peers.sockets.len() as u32,
            receive_buffer_bytes: self.clients.granted.min(self.peers.granted) as u64,
        }
    }

    /// The peer of client `number`.
    pub(super) fn peer_address(&self, number: u32) -> SocketAddr {
        self.peers.address(number)
    }

    /// Where packets to client or peer `number` arrive.
    pub(super) fn place(&self, role: Role, number: u32) -> Place {
        let number = match self.side(role).kind {
            Kind::Few => self.side(role).socket_of(number) as u32,
            Kind::Shared { .. } | Kind::Each { .. } => number,
        };
        Place { role, number }
    }

    /// Gives client `number` another 5-tuple: one that was freed rests at the server.
    ///
    /// # Errors
    /// No descriptor or port left.
    pub(super) fn renew(&mut self, number: u32) -> io::Result<()> {
        if self.clients.renew(number, self.target)?
            && let Some((epoll, _)) = &self.waiting
        {
            let socket = &self.clients.sockets[number as usize];
            epoll.add(socket.as_fd(), token(Role::Client, number as usize))?;
        }
        Ok(())
    }

    /// Queues a datagram of `len` bytes, which `fill` writes. It leaves from client or peer `number`: a client's goes
    /// to the server, a peer's to `to`.
    pub(super) fn queue(
        &mut self,
        from: Place,
        to: Option<SocketAddr>,
        len: usize,
        ticket: Option<Ticket>,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let start = self.used;
        let Some(bytes) = self.out.get_mut(start..start + len) else {
            debug_assert!(false, "flushed too late");
            return;
        };
        fill(bytes);
        self.used += len.next_multiple_of(64);
        let to = to.unwrap_or(self.target);
        let side = match from.role {
            Role::Client => &mut self.clients,
            Role::Peer => &mut self.peers,
        };
        let (socket, from) = (side.socket_of(from.number), side.source(from.number));
        side.queue.push(Queued { socket, start, len, to, from, ticket });
    }

    /// Nothing of `more` bytes can be queued before a flush.
    pub(super) fn is_full(&self, more: usize) -> bool {
        self.used + more + 64 > OUT_BYTES
    }

    /// Sends what is queued, and tells `refused` what the kernel did not take.
    pub(super) fn flush(&mut self, mut refused: impl FnMut(Option<Ticket>)) {
        for side in [&mut self.clients, &mut self.peers] {
            side.flush(&mut self.sender, &self.out, &mut refused);
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
        let Some((epoll, mut ready)) = self.waiting.take() else {
            let (clients, peers) = (self.clients.sockets.len(), self.peers.sockets.len());
            let all =
                (0..clients).map(|index| (Role::Client, index)).chain((0..peers).map(|index| (Role::Peer, index)));
            return all.map(|(role, index)| self.receive_from(role, index, &mut on_batch, &mut see)).sum();
        };
        epoll.wait(&mut ready, Some(Duration::ZERO));
        let mut count = 0;
        for index in 0..ready.count() {
            let (role, socket) = ready.token(index).map_or((Role::Client, 0), from_token);
            count += self.receive_from(role, socket, &mut on_batch, &mut see);
        }
        self.waiting = Some((epoll, ready));
        count
    }

    fn receive_from(
        &mut self,
        role: Role,
        index: usize,
        on_batch: &mut impl FnMut() -> u64,
        see: &mut impl FnMut(u64, Incoming, &[u8]),
    ) -> usize {
        let side = match role {
            Role::Client => &mut self.clients,
            Role::Peer => &mut self.peers,
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
            let incoming = Incoming { place, source, start: row * self.slot, len: message.len, segment };
            for bytes in self.buffers[incoming.start..incoming.start + incoming.len].chunks(incoming.segment) {
                see(now, incoming, bytes);
            }
        }
        count
    }

    /// Datagrams that the receive queues had no room for, since the sockets were opened.
    pub(super) fn drops(&self) -> u64 {
        let sockets = self.clients.sockets.iter().chain(&self.peers.sockets);
        sockets.map(|socket| u64::from(receive_drops(socket.as_fd()).unwrap_or(0))).sum()
    }

    /// Sleeps until something comes in or `longest` has passed.
    pub(super) fn nap(&self, longest: Duration) {
        match &self.waiting {
            Some((epoll, _)) => nap::until_readable(epoll.as_fd(), longest),
            None => {
                let sockets = self.clients.sockets.iter().chain(&self.peers.sockets);
                nap::until_any_readable(sockets.map(AsFd::as_fd), longest)
            }
        };
    }

    fn side(&self, role: Role) -> &Side {
        match role {
            Role::Client => &self.clients,
            Role::Peer => &self.peers,
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
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::load::credential::Credentials;

    fn fleet(target: &str, count: u32) -> Fleet {
        let credentials = Credentials::Secret(b"north".to_vec().into());
        Fleet::open(&Settings::new(target.parse().unwrap(), credentials), count).unwrap()
    }

    /// Sends one datagram of each client to peer `peer_of(client)`'s address, and returns who got whose.
    fn exchange(fleet: &mut Fleet, count: u32) -> Vec<(u32, Place, SocketAddr)> {
        for number in 0..count {
            let to = fleet.peer_address(number);
            let from = Place { role: Role::Client, number };
            fleet.queue(from, Some(to), 4, None, |bytes| bytes.copy_from_slice(&number.to_be_bytes()));
        }
        fleet.flush(|ticket| panic!("{ticket:?} was refused"));
        let mut got = Vec::new();
        while fleet.receive(
            || 0,
            |_, incoming, bytes| {
                let number = u32::from_be_bytes(bytes.try_into().unwrap());
                got.push((number, incoming.place.unwrap(), incoming.source));
            },
        ) > 0
        {}
        got.sort_by_key(|(number, ..)| *number);
        got
    }

    #[test]
    fn clients_and_peers_share_sockets_and_keep_their_addresses() {
        let mut fleet = fleet("127.0.0.1:9", 300);
        let got = exchange(&mut fleet, 300);
        assert_eq!(got.len(), 300);
        for (index, (number, place, source)) in (0..).zip(&got) {
            assert_eq!((*number, *place), (index, Place { role: Role::Peer, number: index }));
            assert_eq!(source.ip(), IpAddr::from(Ipv4Addr::from_bits(CLIENT_BASE + index)));
        }
        assert_eq!(fleet.facts().clients, "shared");
    }

    #[test]
    fn a_renewed_client_has_another_address_and_hears_nothing_at_the_old_one() {
        let mut fleet = fleet("127.0.0.1:9", 10);
        let old = fleet.clients.address(3);
        fleet.renew(3).unwrap();
        let new = fleet.clients.address(3);
        assert_eq!(new.ip(), IpAddr::from(Ipv4Addr::from_bits(CLIENT_BASE + 13)));
        for to in [old, new] {
            fleet.queue(Place { role: Role::Peer, number: 0 }, Some(to), 1, None, |_| {});
        }
        fleet.flush(|_| panic!("it was refused"));
        let mut places = Vec::new();
        fleet.receive(|| 0, |_, incoming, _| places.push(incoming.place));
        assert_eq!(places, [None, Some(Place { role: Role::Client, number: 3 })]);
    }

    #[test]
    fn elsewhere_each_client_has_a_socket() {
        let mut fleet = fleet("[::1]:9", 20);
        let got = exchange(&mut fleet, 20);
        assert_eq!(got.len(), 20);
        for (number, place, source) in &got {
            assert_eq!(*place, fleet.place(Role::Peer, *number));
            assert_eq!(source.port(), fleet.clients.address(*number).port());
        }
        assert_eq!((fleet.facts().clients.as_str(), fleet.facts().peers.as_str()), ("each", "sockets"));
    }

    #[test]
    fn a_run_is_counted_by_its_datagrams() {
        let mut settings = Settings::new("127.0.0.1:9".parse().unwrap(), Credentials::Secret(vec![0].into()));
        settings.merged = true;
        let mut fleet = Fleet::open(&settings, 1).unwrap();
        let to = fleet.peer_address(0);
        for len in [100, 100, 50] {
            fleet.queue(Place { role: Role::Client, number: 0 }, Some(to), len, None, |bytes| bytes.fill(7));
        }
        fleet.flush(|_| panic!("it was refused"));
        let mut lengths = Vec::new();
        fleet.receive(|| 0, |_, _, bytes| lengths.push(bytes.len()));
        assert_eq!(lengths, [100, 100, 50]);
    }

    #[test]
    fn the_kernels_refusals_are_told_packet_by_packet() {
        let mut fleet = fleet("127.0.0.1:9", 2);
        let (good, nowhere) = (fleet.peer_address(0), "127.0.0.1:0".parse().unwrap());
        for (flow, to) in (0..).zip([good, nowhere, good]) {
            let ticket = Some(Ticket { flow, due_ns: 7 });
            fleet.queue(Place { role: Role::Client, number: 0 }, Some(to), 4, ticket, |bytes| bytes.fill(7));
        }
        fleet.queue(Place { role: Role::Client, number: 1 }, Some(nowhere), 4, None, |bytes| bytes.fill(7));
        let mut refused = Vec::new();
        fleet.flush(|ticket| refused.push(ticket));
        assert_eq!(refused, [Some(Ticket { flow: 1, due_ns: 7 }), None]);
    }
}
