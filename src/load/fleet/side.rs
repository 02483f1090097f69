//! The sockets of one role: where they are, whose they are, and what waits to leave through them.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use super::{Place, Role, SEND_BATCH, Ticket};
use crate::engine::sys::cmsg::Asked;
use crate::engine::sys::limit::raise_descriptors;
use crate::engine::sys::mmsg::{Outgoing, Sender};
use crate::engine::sys::option::{self, Fragmenting};
use crate::engine::sys::receive_buffer::set_receive_buffer;
use crate::load::settings::Settings;

/// The sockets of one role, and what waits to leave through them.
pub(super) struct Side {
    pub(super) role: Role,
    pub(super) sockets: Vec<UdpSocket>,
    pub(super) kind: Kind,
    pub(super) queue: Vec<Queued>,
    /// The kernel's word on the smallest receive buffer, in bytes.
    pub(super) granted: usize,
}

pub(super) enum Kind {
    /// Addresses from `base` on; `count` of them are in use, of which each number has one in turn.
    Shared { base: u32, port_of: Vec<u16>, count: u32, generations: Vec<u32> },
    /// Socket n is number n's.
    Each { sources: Vec<IpAddr> },
    /// Sockets that all share.
    Few,
}

pub(super) struct Queued {
    pub(super) socket: usize,
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
    pub(super) ticket: Option<Ticket>,
}

/// What the sockets of a side shall hold together: 80 ms of 50,000 packets/s, as the kernel counts packets.
const RECEIVE_BUFFER: usize = 16 << 20;
/// Below this a side gets more sockets instead, up to [`MAX_SHARED`].
const ENOUGH_BUFFER: usize = 4 << 20;
const MAX_SHARED: usize = 16;
/// Sockets of peers that are not on the loopback network.
const PEER_SOCKETS: u32 = 4;
/// 127.64.0.1 and on are clients, 127.128.0.1 and on peers: 4 million each.
pub(super) const CLIENT_BASE: u32 = u32::from_be_bytes([127, 64, 0, 1]);
pub(super) const PEER_BASE: u32 = u32::from_be_bytes([127, 128, 0, 1]);
pub(super) const ADDRESSES: u32 = (1 << 22) - 2;
/// Ports of wildcard sockets, below those that relays and kernels choose from. Each run begins elsewhere in them: the
/// 5-tuples of the last one may still rest at the server, which answers 437 then (RFC 8656 §7.2).
const PORTS: std::ops::Range<u16> = 20_000..30_000;

impl Side {
    /// Wildcard sockets, as many as it takes to have room for what comes in.
    pub(super) fn shared(role: Role, base: u32, count: u32) -> Result<Self, String> {
        let (mut sockets, mut port_of, mut granted) = (Vec::new(), Vec::new(), usize::MAX);
        while sockets.is_empty() || (granted * sockets.len() < ENOUGH_BUFFER && sockets.len() < MAX_SHARED) {
            let (socket, port, buffer) = wildcard().map_err(|error| format!("cannot open a socket: {error}"))?;
            sockets.push(socket);
            port_of.push(port);
            granted = granted.min(buffer);
        }
        let generations = vec![0; count as usize];
        Ok(Self::of(role, sockets, Kind::Shared { base, port_of, count, generations }, granted))
    }

    /// A socket for each client.
    pub(super) fn each(settings: &Settings, count: u32) -> Result<Self, String> {
        let allowed = raise_descriptors().unwrap_or(u64::MAX);
        if u64::from(count) + 64 > allowed {
            return Err(format!(
                "{count} clients need a socket each, and this process may have {allowed} files; raise the limit \
                 (ulimit -n) or ask for fewer"
            ));
        }
        let mut granted = usize::MAX;
        let sockets = (0..count).map(|number| {
            let from = source_of(&settings.sources, settings.target, number);
            let mut open = || {
                let socket = udp_socket(from)?;
                granted = granted.min(set_receive_buffer(socket.as_fd(), RECEIVE_BUFFER / MAX_SHARED)?);
                Ok(socket)
            };
            open().map_err(|error: io::Error| format!("cannot open a socket at {from}: {error}"))
        });
        let sockets = sockets.collect::<Result<_, _>>()?;
        Ok(Self::of(Role::Client, sockets, Kind::Each { sources: settings.sources.clone() }, granted))
    }

    /// A few sockets at `ip`.
    pub(super) fn few(ip: IpAddr) -> Result<Self, String> {
        let mut granted = usize::MAX;
        let sockets = (0..PEER_SOCKETS).map(|_| {
            let mut open = || {
                let socket = udp_socket(SocketAddr::new(ip, 0))?;
                granted = granted.min(set_receive_buffer(socket.as_fd(), RECEIVE_BUFFER)?);
                Ok(socket)
            };
            open().map_err(|error: io::Error| format!("cannot open a peer's socket at {ip}: {error}; see --peer"))
        });
        let sockets = sockets.collect::<Result<_, _>>()?;
        Ok(Self::of(Role::Peer, sockets, Kind::Few, granted))
    }

    fn of(role: Role, sockets: Vec<UdpSocket>, kind: Kind, granted: usize) -> Self {
        Self { role, sockets, kind, queue: Vec::with_capacity(4 * SEND_BATCH), granted }
    }

    /// Gives `number` another address, or another socket: then true.
    pub(super) fn renew(&mut self, number: u32, target: SocketAddr) -> io::Result<bool> {
        match &mut self.kind {
            Kind::Shared { count, generations, .. } => {
                let generation = &mut generations[number as usize];
                *generation = (*generation + 1) % (ADDRESSES / *count).max(1);
                Ok(false)
            }
            Kind::Each { sources } => {
                let socket = udp_socket(source_of(sources, target, number))?;
                set_receive_buffer(socket.as_fd(), RECEIVE_BUFFER / MAX_SHARED)?;
                self.sockets[number as usize] = socket;
                Ok(true)
            }
            Kind::Few => Ok(false),
        }
    }

    /// Neighbours share a socket, so that what they send in turn leaves together.
    pub(super) fn socket_of(&self, number: u32) -> usize {
        let sockets = self.sockets.len();
        match self.kind {
            Kind::Shared { count, .. } => (number as usize * sockets / count.max(1) as usize).min(sockets - 1),
            Kind::Each { .. } => number as usize,
            Kind::Few => number as usize % sockets,
        }
    }

    /// The address to send from, where the socket does not say it.
    pub(super) fn source(&self, number: u32) -> Option<IpAddr> {
        match &self.kind {
            Kind::Shared { base, count, generations, .. } => {
                let generation = generations.get(number as usize)?;
                Some(Ipv4Addr::from_bits(base + number + generation * count).into())
            }
            Kind::Each { .. } | Kind::Few => None,
        }
    }

    pub(super) fn address(&self, number: u32) -> SocketAddr {
        let socket = self.socket_of(number);
        match (&self.kind, self.source(number)) {
            (Kind::Shared { port_of, .. }, Some(ip)) => SocketAddr::new(ip, port_of[socket]),
            // Our own socket, bound.
            _ => self.sockets[socket].local_addr().unwrap_or_else(|_| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)),
        }
    }

    /// Whose a datagram is that came to `asked` at socket `index`.
    pub(super) fn place_of(&self, index: usize, asked: Option<Asked>) -> Option<Place> {
        let number = match &self.kind {
            Kind::Each { .. } | Kind::Few => u32::try_from(index).ok()?,
            Kind::Shared { base, count, generations, .. } => {
                let Some(Asked::Unicast(IpAddr::V4(ip))) = asked else { return None };
                let offset = ip.to_bits().checked_sub(*base)?;
                let (number, generation) = (offset % count, offset / count);
                let is_current = generations.get(number as usize) == Some(&generation);
                (is_current && self.socket_of(number) == index).then_some(number)?
            }
        };
        Some(Place { role: self.role, number })
    }

    /// Sends what is queued, and tells `refused` what the kernel did not take.
    pub(super) fn flush(&mut self, sender: &mut Sender, out: &[u8], refused: &mut dyn FnMut(Option<Ticket>)) {
        for chunk in self.queue.chunk_by(|a, b| a.socket == b.socket) {
            let Some(first) = chunk.first() else { continue };
            let datagrams = chunk.iter().map(|queued| Outgoing {
                front: &[],
                bytes: &out[queued.start..queued.start + queued.len],
                padding: 0,
                to: queued.to,
                from: queued.from,
                tos: 0,
            });
            sender.send_noting(self.sockets[first.socket].as_fd(), datagrams, &mut |range| {
                chunk[range].iter().for_each(|queued| refused(queued.ticket));
            });
        }
        self.queue.clear();
    }
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Shared { .. } => "shared",
            Self::Each { .. } => "each",
            Self::Few => "sockets",
        }
    }
}

/// A socket at every address, that tells whom a datagram was for; its port and its receive buffer.
fn wildcard() -> io::Result<(UdpSocket, u16, usize)> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    option::report_asked_address(socket.as_fd(), true)?;
    // With DF the kernel need not choose an IP identification for each datagram.
    option::set_fragmenting_v4(socket.as_fd(), Fragmenting::Forbidden)?;
    socket.set_nonblocking(true)?;
    let mut free = Err(io::ErrorKind::AddrInUse.into());
    let first = (RandomState::new().hash_one(PORTS) % PORTS.len() as u64) as usize;
    for port in PORTS.skip(first).chain(PORTS.take(first)) {
        free = socket.bind(&SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port).into()).map(|()| port);
        if free.is_ok() {
            break;
        }
    }
    let port = free?;
    let buffer = set_receive_buffer(socket.as_fd(), RECEIVE_BUFFER)?;
    Ok((socket.into(), port, buffer))
}

/// A socket of its own at `at`.
fn udp_socket(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(at)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Where client `number` sends from: each of `sources` in turn, or what the kernel chooses.
pub(in crate::load) fn source_of(sources: &[IpAddr], target: SocketAddr, number: u32) -> SocketAddr {
    let any = if target.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let index = if sources.is_empty() { 0 } else { number as usize % sources.len() };
    SocketAddr::new(sources.get(index).copied().unwrap_or(any), 0)
}

/// The address of ours from which `target` is reached.
pub(super) fn route_to(target: SocketAddr) -> Result<IpAddr, String> {
    let ask = || {
        let socket = UdpSocket::bind(source_of(&[], target, 0))?;
        socket.connect(target)?;
        socket.local_addr().map(|address| address.ip())
    };
    ask().map_err(|error: io::Error| format!("no route to {target}: {error}"))
}
