//! The far end of an echo: a socket of our own as the peer, or a second allocation on the same server.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::client::{By, Client, Delivery, NOTHING, Outcome, compose};
use super::link::{is_timeout, unspecified};
use super::login::{self, Allocation};
use super::walk::Scene;
use crate::wire::attribute::{XorMappedAddress, XorPeerAddress};
use crate::wire::{Class, Message, Method};

/// How long the far end's own address is asked for.
const PATIENCE: Duration = Duration::from_millis(500);
const MAX_DATAGRAM: usize = 65_535;

/// The far end of an echo.
pub(super) trait Far {
    /// Where the relay sends to.
    fn address(&self) -> SocketAddr;
    /// What comes next, and from whom it seems to come; nothing if nothing comes before `deadline`.
    fn receive(&mut self, deadline: Instant) -> io::Result<Option<(Vec<u8>, SocketAddr)>>;
    /// Sends to a relayed address.
    fn send(&mut self, payload: &[u8], to: SocketAddr) -> io::Result<()>;
    /// What it is.
    fn words(&self) -> String;
}

/// A socket of our own.
pub(super) struct Peer {
    socket: UdpSocket,
    local: SocketAddr,
    /// What the server, or a NAT on the way to it, makes of its address; none if it could not be asked.
    mapped: Option<SocketAddr>,
}

impl Peer {
    /// One that `relayed` is reached from.
    pub(super) fn open(scene: &Scene<'_>, relayed: SocketAddr) -> io::Result<Self> {
        let ip = scene.settings.peer.or_else(|| source_towards(relayed)).or_else(|| source_towards(scene.server));
        let ip = ip.filter(|ip| ip.is_ipv4() == relayed.is_ipv4()).ok_or(io::ErrorKind::NetworkUnreachable)?;
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0))?;
        let local = socket.local_addr()?;
        let mut peer = Self { socket, local, mapped: None };
        if scene.server.is_ipv4() == relayed.is_ipv4() {
            peer.mapped = peer.ask_for_mapping(scene)?;
        }
        Ok(peer)
    }

    /// A Binding over UDP, also where the server is probed over another transport: the relay sends UDP.
    fn ask_for_mapping(&self, scene: &Scene<'_>) -> io::Result<Option<SocketAddr>> {
        let request = compose(Method::BINDING, NOTHING, None, true);
        scene.tally.add(request.len());
        if self.socket.send_to(&request, scene.server).is_err() {
            return Ok(None);
        }
        self.socket.set_read_timeout(Some(PATIENCE))?;
        let mut buffer = [0; 1500];
        let Ok((len, _)) = self.socket.recv_from(&mut buffer) else { return Ok(None) };
        let Ok(message) = Message::parse(&buffer[..len]) else { return Ok(None) };
        let is_answer = message.class() == Class::Success && message.transaction_id().0 == request[8..20];
        let mapped = message.get::<XorMappedAddress>().ok().flatten();
        Ok(mapped.filter(|_| is_answer).map(|XorMappedAddress(mapped)| mapped))
    }

    /// The server sees the peer at another address than its own.
    pub(super) fn is_behind_nat(&self) -> bool {
        self.mapped.is_some_and(|mapped| mapped != self.local)
    }
}

/// Our address on the way to `other`; nothing is sent.
pub(super) fn source_towards(other: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(unspecified(other)).ok()?;
    socket.connect(other).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

impl Far for Peer {
    fn address(&self) -> SocketAddr {
        self.mapped.unwrap_or(self.local)
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<Option<(Vec<u8>, SocketAddr)>> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return Ok(None);
            };
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => {
                    buffer.truncate(len);
                    return Ok(Some((buffer, from)));
                }
                Err(error) if is_timeout(&error) => {}
                // Word of a datagram that went nowhere is no end.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn send(&mut self, payload: &[u8], to: SocketAddr) -> io::Result<()> {
        self.socket.send_to(payload, to).map(drop)
    }

    fn words(&self) -> String {
        match self.mapped {
            Some(mapped) if mapped != self.local => format!("own peer {}, seen as {mapped}", self.local),
            _ => format!("own peer {}", self.local),
        }
    }
}

/// A second allocation on the server.
pub(super) struct Twin {
    client: Client,
    relayed: SocketAddr,
}

impl Twin {
    /// One with a permission for `relayed`; none if the server does not give it.
    pub(super) fn open(scene: &Scene<'_>, relayed: SocketAddr) -> Option<Self> {
        let allocation = login::quietly(scene, "twin")?;
        let own = allocation.relayed;
        let mut client = allocation.client?;
        let permitted = client.ask_signed(Method::CREATE_PERMISSION, &|writer| writer.put(&XorPeerAddress(relayed)));
        if matches!(permitted, Outcome::Success(_)) {
            return Some(Self { client, relayed: own });
        }
        login::give_back(Allocation { client: Some(client), relayed: own, lifetime: None });
        None
    }

    /// Ends its allocation.
    pub(super) fn close(self) {
        login::give_back(Allocation { client: Some(self.client), relayed: self.relayed, lifetime: None });
    }
}

impl Far for Twin {
    fn address(&self) -> SocketAddr {
        self.relayed
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<Option<(Vec<u8>, SocketAddr)>> {
        Ok(self.client.data(deadline)?.and_then(|Delivery { payload, by }| match by {
            By::Indication(peer) => Some((payload, peer)),
            By::Channel(_) => None,
        }))
    }

    fn send(&mut self, payload: &[u8], to: SocketAddr) -> io::Result<()> {
        self.client.send_to(to, payload)
    }

    fn words(&self) -> String {
        format!("a second allocation, {}", self.relayed)
    }
}
