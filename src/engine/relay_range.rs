//! The relayed addresses of one family: an address, its ports, and the difference between what the socket is bound to
//! and what the world is told (1:1 NAT). Shared by all workers; the packet path reads plain fields only.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::Socket;

use super::buffers::Buffers;
use super::clock::Clock;
use super::config::RelayConfig;
use super::error::EngineError;
use super::port_pool::{LeasedPort, PortPool, PortUsage};
use super::reservations::Reservations;
use super::sys::{is_out_of_descriptors, option};
use super::udp_socket;
use crate::relay::seam::Entropy;
use crate::relay::{Family, Instant, PeerAddr, PortParity, PortWish, RelayFailure, RelayedAddr, Reservation};

/// The relayed addresses of one family.
#[derive(Debug)]
pub(super) struct RelayRange {
    bind: IpAddr,
    advertise: IpAddr,
    ports: RangeInclusive<u16>,
    /// Receive and send buffer of each socket, in bytes: as asked for.
    buffer: usize,
    granted: Buffers,
    clock: Clock,
    /// Locked when a relay socket is opened or closed, never for a packet.
    pools: Mutex<Ports>,
}

/// The ports of a range, and those that wait for a token: with their sockets, so that no other program takes them.
#[derive(Debug)]
struct Ports {
    pool: PortPool,
    reserved: Reservations<Reserved>,
}

#[derive(Debug)]
struct Reserved {
    socket: Socket,
    port: LeasedPort,
}

/// Ports of one range that are tried for one allocation, while other programs turn out to hold them.
const MAX_TRIES: usize = 16;

impl RelayRange {
    /// The range that `config` describes.
    ///
    /// # Errors
    /// The address is none of this host's.
    pub(super) fn new<A>(config: &RelayConfig<A>, buffer: usize, clock: Clock) -> Result<Arc<Self>, EngineError>
    where
        A: Copy + Into<IpAddr>,
    {
        let bind = config.bind.into();
        let granted = try_bind(bind, buffer).map_err(|error| EngineError::Relay { address: bind, error })?;
        Ok(Arc::new(Self {
            bind,
            advertise: config.advertise.into(),
            ports: config.ports.clone(),
            buffer,
            granted,
            clock,
            pools: Mutex::new(Ports {
                pool: PortPool::new(config.ports.clone(), config.rest),
                reserved: Reservations::new(),
            }),
        }))
    }

    /// Opens a socket on a random port, or on the one that was reserved.
    pub(super) fn open(
        self: &Arc<Self>,
        wish: &PortWish,
        entropy: &mut impl Entropy,
    ) -> Result<(Socket, PortLease), OpenError> {
        match wish {
            PortWish::Single(parity) => self.open_single(*parity, entropy),
            PortWish::Pair(reservation) => self.open_pair(reservation, entropy),
            PortWish::Reserved(reservation) => {
                let reserved = self.ports().reserved.redeem(self.clock.instant(), reservation);
                let Reserved { socket, port } = reserved.ok_or(OpenError::NotReserved)?;
                Ok((socket, PortLease { port: Some(port), range: self.clone() }))
            }
        }
    }

    /// Opens a socket on an even port, and reserves the next.
    fn open_pair(
        self: &Arc<Self>,
        reservation: &Reservation,
        entropy: &mut impl Entropy,
    ) -> Result<(Socket, PortLease), OpenError> {
        for _ in 0..MAX_TRIES {
            let now = self.clock.instant();
            let pair = {
                let mut ports = self.ports();
                if ports.reserved.is_full() { None } else { ports.pool.lease_pair(now, entropy) }
            };
            let pair =
                pair.ok_or(OpenError::Exhausted)?.map(|port| PortLease { port: Some(port), range: self.clone() });
            let [first, second] = pair.map(|lease| self.bind(lease));
            let (Some(first), Some((socket, mut second))) = (first?, second?) else { continue };
            if let Some(port) = second.port.take() {
                let (now, kept) = (self.clock.instant(), Reserved { socket, port });
                self.ports().reserved.keep(now, reservation.clone(), kept);
            }
            return Ok(first);
        }
        Err(OpenError::Exhausted)
    }

    fn open_single(
        self: &Arc<Self>,
        parity: PortParity,
        entropy: &mut impl Entropy,
    ) -> Result<(Socket, PortLease), OpenError> {
        for _ in 0..MAX_TRIES {
            let port = self.ports().pool.lease(self.clock.instant(), parity, entropy).ok_or(OpenError::Exhausted)?;
            if let Some(opened) = self.bind(PortLease { port: Some(port), range: self.clone() })? {
                return Ok(opened);
            }
        }
        Err(OpenError::Exhausted)
    }

    /// A socket on the port of `lease`; none if another program holds it.
    fn bind(&self, lease: PortLease) -> Result<Option<(Socket, PortLease)>, OpenError> {
        let socket = udp_socket::open(self.family(), self.buffer)?;
        option::report_errors(socket.as_fd(), self.family() == Family::V4)?;
        match socket.bind(&SocketAddr::new(self.bind, lease.number()).into()) {
            Ok(()) => Ok(Some((socket, lease))),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                lease.set_aside();
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether `peer` is one of them, by what is advertised.
    pub(super) fn has(&self, peer: PeerAddr) -> bool {
        peer.ip() == self.advertise && self.ports.contains(&peer.port())
    }

    /// Where a datagram for `peer` must be sent: our own relayed addresses are reached without a detour through the
    /// NAT, which may not let us out and in again.
    pub(super) fn outward(&self, peer: PeerAddr) -> SocketAddr {
        match self.has(peer) {
            true => SocketAddr::new(self.bind, peer.port()),
            false => peer.0,
        }
    }

    /// Whom a datagram from `source` is from: our own relayed addresses are known by what is advertised.
    pub(super) fn inward(&self, source: SocketAddr) -> PeerAddr {
        match source.ip() == self.bind && self.ports.contains(&source.port()) {
            true => PeerAddr(SocketAddr::new(self.advertise, source.port())),
            false => PeerAddr(source),
        }
    }

    /// Of its addresses.
    pub(super) fn family(&self) -> Family {
        Family::of(self.bind)
    }

    /// What its sockets have to keep packets in.
    pub(super) fn buffers(&self) -> Buffers {
        self.granted
    }

    /// How its ports are used.
    pub(super) fn usage(&self) -> PortUsage {
        self.ports().pool.usage(self.clock.instant())
    }

    /// Gives back what was reserved for nobody who came, and returns how many ports are still reserved.
    pub(super) fn sweep(&self) -> usize {
        self.ports().reserved.len()
    }

    fn ports(&self) -> MutexGuard<'_, Ports> {
        // None of the methods panics half-way, so what a panic elsewhere left behind is whole.
        let mut ports = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        ports.sweep(self.clock.instant());
        ports
    }
}

impl Ports {
    fn sweep(&mut self, now: Instant) {
        while let Some(Reserved { socket, port }) = self.reserved.pop_over(now) {
            drop(socket);
            self.pool.release(port, now);
        }
    }
}

/// Whether a socket can be bound to `address` at all, and what buffers it is granted.
fn try_bind(address: IpAddr, buffer: usize) -> io::Result<Buffers> {
    let socket = udp_socket::open(Family::of(address), buffer)?;
    socket.bind(&SocketAddr::new(address, 0).into())?;
    Buffers::of(&socket, buffer)
}

/// Why a relay socket could not be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// No port is free and rested.
    Exhausted,
    /// Nothing is kept under the token.
    NotReserved,
    /// What the kernel says.
    System(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted => f.write_str("no port of the range is free and rested"),
            Self::NotReserved => f.write_str("nothing is reserved under the token"),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl OpenError {
    /// What the relay server is told.
    pub(super) fn failure(&self) -> RelayFailure {
        match self {
            Self::Exhausted => RelayFailure::PortsExhausted,
            Self::NotReserved => RelayFailure::NotReserved,
            Self::System(error) if is_out_of_descriptors(error) => RelayFailure::DescriptorsExhausted,
            Self::System(_) => RelayFailure::Refused,
        }
    }
}

/// A port that is ours until this is dropped; then it rests.
#[derive(Debug)]
pub(super) struct PortLease {
    /// None only while it is being dropped.
    port: Option<LeasedPort>,
    range: Arc<RelayRange>,
}

impl PortLease {
    /// The address that clients and peers know it by.
    pub(super) fn advertised(&self) -> RelayedAddr {
        RelayedAddr(SocketAddr::new(self.range.advertise, self.number()))
    }

    /// The range it belongs to.
    pub(super) fn range(&self) -> &RelayRange {
        &self.range
    }

    fn number(&self) -> u16 {
        self.port.as_ref().map_or(0, LeasedPort::get)
    }

    /// Another program holds it.
    fn set_aside(mut self) {
        if let Some(port) = self.port.take() {
            self.range.ports().pool.set_aside(port, self.range.clock.instant());
        }
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        if let Some(port) = self.port.take() {
            self.range.ports().pool.release(port, self.range.clock.instant());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::entropy::SystemEntropy;
    use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

    fn range_of(ports: RangeInclusive<u16>, advertise: Ipv4Addr) -> Arc<RelayRange> {
        let config = RelayConfig { ports, advertise, ..RelayConfig::at(Ipv4Addr::LOCALHOST) };
        RelayRange::new(&config, 64 << 10, Clock::start()).unwrap()
    }

    /// A port that was free a moment ago.
    fn free_port() -> u16 {
        UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn an_address_elsewhere_is_refused_with_a_hint() {
        let config = RelayConfig::at(Ipv4Addr::new(203, 0, 113, 5));
        let error = RelayRange::new(&config, 64 << 10, Clock::start()).unwrap_err().to_string();
        assert!(error.ends_with("203.0.113.5 is not an address of this host; did you mean advertise?"), "{error}");
    }

    #[test]
    fn what_the_host_lacks_is_told_apart() {
        let failure = |errno| OpenError::System(io::Error::from_raw_os_error(errno)).failure();
        assert_eq!(failure(libc::EMFILE), RelayFailure::DescriptorsExhausted);
        assert_eq!(failure(libc::ENFILE), RelayFailure::DescriptorsExhausted);
        assert_eq!(failure(libc::ENOMEM), RelayFailure::Refused);
        assert_eq!(OpenError::Exhausted.failure(), RelayFailure::PortsExhausted);
    }

    #[test]
    fn a_port_that_another_program_holds_is_set_aside() {
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let range = range_of(port..=port, Ipv4Addr::LOCALHOST);
        let mut entropy = SystemEntropy::new().unwrap();
        assert!(matches!(range.open(&PortWish::Single(PortParity::Any), &mut entropy), Err(OpenError::Exhausted)));
        assert_eq!(range.usage(), PortUsage { set_aside: 1, ..PortUsage::default() });
    }

    #[test]
    fn a_port_rests_when_its_socket_is_closed() {
        let port = free_port();
        let range = range_of(port..=port, Ipv4Addr::new(192, 0, 2, 1));
        let mut entropy = SystemEntropy::new().unwrap();
        let (socket, lease) = range.open(&PortWish::Single(PortParity::Any), &mut entropy).unwrap();
        assert_eq!(socket.local_addr().unwrap().as_socket().unwrap(), SocketAddr::new(range.bind, port));
        assert_eq!(lease.advertised().0, SocketAddr::new(range.advertise, port));
        assert_eq!(range.usage(), PortUsage { used: 1, ..PortUsage::default() });
        drop((socket, lease));
        assert_eq!(range.usage(), PortUsage { resting: 1, ..PortUsage::default() });
    }

    #[test]
    fn only_relayed_addresses_are_translated() {
        let range = range_of(50_000..=50_010, Ipv4Addr::new(192, 0, 2, 1));
        let peer = |text: &str| PeerAddr(text.parse().unwrap());
        for (peer_address, target) in [
            ("192.0.2.1:50000", "127.0.0.1:50000"),
            ("192.0.2.1:50010", "127.0.0.1:50010"),
            ("192.0.2.1:50011", "192.0.2.1:50011"),
            ("192.0.2.2:50000", "192.0.2.2:50000"),
        ] {
            assert_eq!(range.outward(peer(peer_address)), target.parse().unwrap());
            let back = if peer_address.ends_with("50011") { target } else { peer_address };
            assert_eq!(range.inward(target.parse().unwrap()), peer(back));
        }
        assert_eq!(range.inward("127.0.0.1:3478".parse().unwrap()), peer("127.0.0.1:3478"));
    }

    #[test]
    fn an_ipv6_range_opens_ipv6_sockets() {
        let range = RelayRange::new(&RelayConfig::at(Ipv6Addr::LOCALHOST), 64 << 10, Clock::start()).unwrap();
        let (socket, lease) =
            range.open(&PortWish::Single(PortParity::Even), &mut SystemEntropy::new().unwrap()).unwrap();
        assert!(socket.only_v6().unwrap());
        assert_eq!(lease.advertised().port() % 2, 0);
        assert_eq!((range.family(), lease.advertised().family()), (Family::V6, Family::V6));
    }
}
