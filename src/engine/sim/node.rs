//! A worker without a kernel: the relay server, its listeners, its relay sockets and their ports.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use super::random::Random;
use crate::engine::port_pool::{LeasedPort, PortPool, PortUsage, Rest};
use crate::engine::reservations::Reservations;
use crate::relay::event::Event;
use crate::relay::limits::MAX_REPLY;
use crate::relay::seam::{Entropy, Policy};
use crate::relay::{
    ClientAddr, Command, DropReason, Family, ListenerId, Now, Path, PeerAddr, PeerVerdict, PortWish, RelayFailure,
    RelayId, RelayedAddr, Server, ServerAddr, Transport, Verdict,
};

/// A relay server as its engine runs it. Every call hands out, in order, what the engine would then do.
pub struct Node<P: Policy, E: Entropy> {
    server: Server<P, E>,
    listeners: Vec<ServerAddr>,
    addresses: RelayAddresses,
    pools: [PortPool; 2],
    reserved: [Reservations<LeasedPort>; 2],
    /// Draws the ports.
    random: Random,
    sockets: BTreeMap<SocketAddr, Socket>,
    addresses_of: HashMap<RelayId, SocketAddr>,
    heard: u64,
}

/// Where a node's relayed addresses are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayAddresses {
    /// Of IPv4 and of IPv6 allocations.
    pub ips: [IpAddr; 2],
    /// Of either.
    pub ports: RangeInclusive<u16>,
    /// How long a freed port rests.
    pub rest: Rest,
}

struct Socket {
    relay: RelayId,
    port: LeasedPort,
}

/// A relay socket that the server asks for: it is to be opened, or refused, at once or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The name it will have.
    pub relay: RelayId,
    /// Of its address.
    pub family: Family,
    /// Of its port.
    pub port: PortWish,
}

/// What an engine does because its server says so.
#[derive(Debug)]
pub enum Output {
    /// Sends a message to a client.
    ToClient {
        /// Where to, and from which listener.
        path: Path,
        /// All of it.
        bytes: Vec<u8>,
        /// It carries a datagram that came from this peer to this relayed address.
        relayed: Option<(RelayedAddr, PeerAddr)>,
    },
    /// Sends a datagram to a peer.
    ToPeer {
        /// From which relay socket.
        from: RelayedAddr,
        /// Where to.
        peer: PeerAddr,
        /// The payload.
        bytes: Vec<u8>,
        /// DF is set.
        dont_fragment: bool,
    },
    /// Opens a relay socket.
    Open(Opening),
    /// Closes one.
    Close(RelayedAddr),
    /// Hands an event to the audit trail.
    Audit(Box<Event>),
    /// Does nothing: what came was dropped.
    Dropped(DropReason),
}

impl<P: Policy, E: Entropy> Node<P, E> {
    /// A node that clients reach at `listeners`.
    pub fn new(server: Server<P, E>, listeners: Vec<ServerAddr>, addresses: RelayAddresses, random: Random) -> Self {
        let pool = || PortPool::new(addresses.ports.clone(), addresses.rest);
        let pools = [pool(), pool()];
        let reserved = [Reservations::new(), Reservations::new()];
        let (sockets, addresses_of) = (BTreeMap::new(), HashMap::new());
        Self { server, listeners, addresses, pools, reserved, random, sockets, addresses_of, heard: 0 }
    }

    /// The relay server.
    pub fn server(&self) -> &Server<P, E> {
        &self.server
    }

    /// Datagrams that reached the server, from clients and from peers.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// The relayed addresses that are open.
    pub fn open(&self) -> impl Iterator<Item = RelayedAddr> {
        self.sockets.keys().copied().map(RelayedAddr)
    }

    /// How the ports of a family are used.
    pub fn ports(&mut self, family: Family, now: Now) -> PortUsage {
        self.pools[index_of(family)].usage(now.instant)
    }

    /// A datagram arrives at one of the node's addresses. None of them has a socket for it: then nothing happens.
    pub fn on_datagram(&mut self, now: Now, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Vec<Output> {
        let listener = self.listeners.iter().position(|listener| listener.0 == to);
        if let Some(listener) = listener {
            let path = Path {
                client: ClientAddr(from),
                server: ServerAddr(to),
                transport: Transport::Udp,
                listener: ListenerId(u16::try_from(listener).unwrap_or_default()),
            };
            return self.on_client(now, path, bytes);
        }
        match self.sockets.get(&to).map(|socket| socket.relay) {
            Some(relay) => self.on_peer(now, relay, RelayedAddr(to), PeerAddr(from), bytes),
            None => Vec::new(),
        }
    }

    /// When [`Self::on_deadline`] is due.
    pub fn next_deadline(&self) -> Option<crate::relay::Instant> {
        self.server.next_deadline()
    }

    /// What is due by the clock.
    pub fn on_deadline(&mut self, now: Now) -> Vec<Output> {
        self.server.on_deadline(now);
        self.commands(now)
    }

    /// Opens a socket that was asked for, if a port is to be had.
    pub fn open_relay(&mut self, now: Now, opening: Opening) -> Vec<Output> {
        let Opening { relay, family, .. } = opening;
        let index = index_of(family);
        let port = match self.lease(now, index, &opening.port) {
            Ok(port) => port,
            Err(failure) => return self.refuse_relay(now, &opening, failure),
        };
        let address = SocketAddr::new(self.addresses.ips[index], port.get());
        self.sockets.insert(address, Socket { relay, port });
        self.addresses_of.insert(relay, address);
        self.server.on_relay_opened(now, relay, RelayedAddr(address));
        self.commands(now)
    }

    fn lease(&mut self, now: Now, index: usize, wish: &PortWish) -> Result<LeasedPort, RelayFailure> {
        let (now, pool, reserved) = (now.instant, &mut self.pools[index], &mut self.reserved[index]);
        while let Some(port) = reserved.pop_over(now) {
            pool.release(port, now);
        }
        match wish {
            PortWish::Single(parity) => pool.lease(now, *parity, &mut self.random).ok_or(RelayFailure::PortsExhausted),
            PortWish::Reserved(shown) => reserved.redeem(now, shown).ok_or(RelayFailure::NotReserved),
            PortWish::Pair(_) if reserved.is_full() => Err(RelayFailure::PortsExhausted),
            PortWish::Pair(reservation) => {
                let pair = pool.lease_pair(now, &mut self.random);
                let [first, second] = pair.ok_or(RelayFailure::PortsExhausted)?;
                reserved.keep(now, reservation.clone(), second);
                Ok(first)
            }
        }
    }

    /// Reports that a socket that was asked for cannot be had.
    pub fn refuse_relay(&mut self, now: Now, opening: &Opening, failure: RelayFailure) -> Vec<Output> {
        self.server.on_relay_failed(now, opening.relay, failure);
        self.commands(now)
    }

    /// The server stops, in order.
    pub fn shutdown(&mut self, now: Now) -> Vec<Output> {
        self.server.shutdown(now);
        self.commands(now)
    }

    /// The process dies and another one starts with this server: every socket is closed and nobody is told. What the
    /// old one knew of ports is kept, as the ports of a real crash rest by the new process's start.
    pub fn crash(&mut self, now: Now, server: Server<P, E>) -> Vec<RelayedAddr> {
        self.server = server;
        self.heard = 0;
        self.addresses_of.clear();
        let gone = std::mem::take(&mut self.sockets);
        gone.into_iter().map(|(address, socket)| self.release(now, address, socket)).collect()
    }

    fn on_client(&mut self, now: Now, path: Path, bytes: &[u8]) -> Vec<Output> {
        self.heard += 1;
        let mut reply = [0; MAX_REPLY];
        let mut outputs = match self.server.on_client_datagram(now, path, bytes, &mut reply) {
            Verdict::Forward { relay, peer, payload, dont_fragment } => {
                let payload = bytes.get(payload).unwrap_or_default().to_vec();
                let from = self.addresses_of.get(&relay).copied().map(RelayedAddr);
                from.map(|from| Output::ToPeer { from, peer, bytes: payload, dont_fragment })
            }
            Verdict::Reply { len } => {
                let bytes = reply.get(..len).unwrap_or_default().to_vec();
                Some(Output::ToClient { path, bytes, relayed: None })
            }
            Verdict::Pending => None,
            Verdict::Drop(reason) => Some(Output::Dropped(reason)),
        }
        .into_iter()
        .collect::<Vec<_>>();
        outputs.extend(self.commands(now));
        outputs
    }

    fn on_peer(
        &mut self,
        now: Now,
        relay: RelayId,
        relayed: RelayedAddr,
        peer: PeerAddr,
        payload: &[u8],
    ) -> Vec<Output> {
        self.heard += 1;
        vec![match self.server.on_peer_datagram(now.instant, relay, peer, payload.len()) {
            PeerVerdict::ToClient { path, front, padding } => {
                let bytes = [front.as_bytes(), payload, &vec![0; padding]].concat();
                Output::ToClient { path, bytes, relayed: Some((relayed, peer)) }
            }
            PeerVerdict::Drop(reason) => Output::Dropped(reason),
        }]
    }

    fn commands(&mut self, now: Now) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(command) = self.server.next_command() {
            match command {
                Command::OpenRelay { relay, family, port } => {
                    outputs.push(Output::Open(Opening { relay, family, port }));
                }
                Command::CloseRelay { relay } => outputs.extend(self.close(now, relay).map(Output::Close)),
                Command::SendToClient { path, message } => {
                    outputs.push(Output::ToClient { path, bytes: message.into(), relayed: None });
                }
                Command::Audit(event) => outputs.push(Output::Audit(event)),
            }
        }
        outputs
    }

    fn close(&mut self, now: Now, relay: RelayId) -> Option<RelayedAddr> {
        let address = self.addresses_of.remove(&relay)?;
        let socket = self.sockets.remove(&address)?;
        Some(self.release(now, address, socket))
    }

    fn release(&mut self, now: Now, address: SocketAddr, socket: Socket) -> RelayedAddr {
        self.pools[index_of(Family::of(address.ip()))].release(socket.port, now.instant);
        RelayedAddr(address)
    }
}

fn index_of(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}
