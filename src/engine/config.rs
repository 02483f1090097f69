//! What an engine is told when it starts, and what can be wrong with it before a socket is opened.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use super::error::EngineError;
use super::port_pool::Rest;
use super::stream::{PassThrough, Proxies, StreamLimits};
use super::tls::Tls;

/// Where to listen, where to relay from, and how.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The addresses that clients reach us at. A wildcard (`0.0.0.0`, `[::]`, each for its own family only) answers
    /// from the address that was asked; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// The addresses that clients reach us at by TCP. A [`ListenerId`](crate::relay::ListenerId) counts them behind
    /// those of `listen`.
    pub streams: Vec<StreamListen>,
    /// What TLS clients are offered; none where there are none.
    pub tls: Option<Tls>,
    /// Which TLS connections are not ours but passed on, of all addresses of `streams`.
    pub pass_through: Option<PassThrough>,
    /// Who speaks for others by the PROXY protocol, on all addresses of `streams`.
    pub proxies: Proxies,
    /// Who speaks for others by version 2 of it in front of datagrams, on all addresses of `listen`.
    pub datagram_proxies: Proxies,
    /// How many connections there may be, and for how long.
    pub stream_limits: StreamLimits,
    /// Where IPv4 relayed addresses live; none if they are not offered.
    pub relay_v4: Option<RelayConfig<Ipv4Addr>>,
    /// Where IPv6 relayed addresses live; none if they are not offered.
    pub relay_v6: Option<RelayConfig<Ipv6Addr>>,
    /// Threads; none: as many as there are cores to run on.
    pub workers: Option<NonZeroUsize>,
    /// What DSCP the relayed packets leave with.
    pub dscp: Dscp,
    /// Receive and send buffer to ask for on each listening socket, in bytes.
    pub listener_buffer: usize,
    /// Receive buffer to ask for on each relay socket, in bytes: it holds one client's traffic only.
    pub relay_buffer: usize,
}

/// An address that clients reach us at by TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamListen {
    /// As in [`EngineConfig::listen`].
    pub address: SocketAddr,
    /// What is spoken there.
    pub kind: StreamKind,
}

/// What is spoken on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// STUN and ChannelData.
    Plain,
    /// The same in TLS.
    Tls,
    /// Either, as the first byte tells.
    Auto,
}

impl StreamKind {
    /// The name in configuration and log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "tcp",
            Self::Tls => "tls",
            Self::Auto => "auto",
        }
    }
}

/// The relayed addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig<A> {
    /// The address of this host that the sockets are bound to.
    pub bind: A,
    /// The address that clients and peers are told: another one behind a 1:1 NAT.
    pub advertise: A,
    /// Which ports.
    pub ports: RangeInclusive<u16>,
    /// How long a freed port rests.
    pub rest: Rest,
}

/// The DSCP of packets that are relayed from UDP to UDP (RFC 8656 §14). ECN is carried across in any case: a mark of
/// congestion that were swallowed would keep the sender from slowing down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dscp {
    /// The one that the packet came with: RFC 8656's preferred behaviour.
    #[default]
    Copy,
    /// This one (0 to 63), on our own answers as well.
    Fixed(u8),
}

/// The most listening addresses.
pub const MAX_LISTENERS: usize = 64;
/// The most workers.
pub const MAX_WORKERS: usize = 256;
/// Below this, ports belong to well-known services.
const FIRST_RELAY_PORT: u16 = 1024;

impl EngineConfig {
    /// Listens on `listen` and relays nothing yet; everything else as recommended.
    pub fn new(listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            streams: Vec::new(),
            tls: None,
            pass_through: None,
            proxies: Proxies::default(),
            datagram_proxies: Proxies::default(),
            stream_limits: StreamLimits::default(),
            relay_v4: None,
            relay_v6: None,
            workers: None,
            dscp: Dscp::Copy,
            // 208 KiB, the usual default, overflow in a stall of a millisecond at 100,000 packets a second.
            listener_buffer: 4 << 20,
            relay_buffer: 256 << 10,
        }
    }

    /// The number of workers to run.
    pub(super) fn worker_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.workers.unwrap_or_else(cores).get().min(MAX_WORKERS)
    }

    /// Refuses what cannot work.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        let streams: Vec<SocketAddr> = self.streams.iter().map(|stream| stream.address).collect();
        let count = self.listen.len() + streams.len();
        if count == 0 || count > MAX_LISTENERS {
            return Err(EngineError::ListenerCount(count));
        }
        for addresses in [&self.listen, &streams] {
            for (index, &address) in addresses.iter().enumerate() {
                if let Some(&other) = addresses.iter().take(index).find(|other| overlap(**other, address)) {
                    return Err(EngineError::ListenersOverlap { address, other });
                }
            }
        }
        if let Some(needy) = self.streams.iter().find(|stream| stream.kind != StreamKind::Plain && self.tls.is_none()) {
            return Err(EngineError::NoCertificate(needy.address));
        }
        if let Dscp::Fixed(value @ 64..) = self.dscp {
            return Err(EngineError::Dscp(value));
        }
        self.relay_v4.as_ref().map_or(Ok(()), RelayConfig::check)?;
        self.relay_v6.as_ref().map_or(Ok(()), RelayConfig::check)
    }
}

impl<A: Copy + Into<IpAddr>> RelayConfig<A> {
    /// Bound to and advertised as `address`, on the ports that RFC 8656 §7.2 recommends.
    pub fn at(address: A) -> Self {
        Self { bind: address, advertise: address, ports: 49_152..=65_535, rest: Rest::default() }
    }

    fn check(&self) -> Result<(), EngineError> {
        for address in [self.bind.into(), self.advertise.into()] {
            if address.is_unspecified() || address.is_multicast() {
                return Err(EngineError::RelayAddress(address));
            }
        }
        if self.ports.is_empty() || *self.ports.start() < FIRST_RELAY_PORT {
            return Err(EngineError::RelayPorts(self.ports.clone()));
        }
        Ok(())
    }
}

impl Dscp {
    /// The TOS byte or traffic class to send a packet with that came with `tos`.
    pub(super) fn across(self, tos: u8) -> u8 {
        const ECN: u8 = 0b11;
        match self {
            Self::Copy => tos,
            Self::Fixed(value) => value << 2 | tos & ECN,
        }
    }

    /// The TOS byte or traffic class of our own answers: they are not ECN-capable, since nobody here would slow down.
    pub(super) fn own(self) -> u8 {
        self.across(0) & !0b11
    }
}

/// One socket would receive what is sent to the other.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_port = a.port() == b.port() && a.port() != 0;
    let covers = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    same_port && a.is_ipv4() == b.is_ipv4() && covers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &[&str]) -> EngineConfig {
        EngineConfig::new(listen.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn listeners_that_cover_each_other_are_refused() {
        for (listen, fine) in [
            (&["0.0.0.0:3478", "[::]:3478"][..], true),
            (&["0.0.0.0:3478", "0.0.0.0:443"], true),
            (&["127.0.0.1:0", "127.0.0.1:0"], true),
            (&["127.0.0.1:3478", "127.0.0.2:3478"], true),
            (&["127.0.0.1:3478", "127.0.0.1:3478"], false),
            (&["127.0.0.1:3478", "0.0.0.0:3478"], false),
            (&["[::]:3478", "[::1]:3478"], false),
            (&[], false),
        ] {
            assert_eq!(config(listen).check().is_ok(), fine, "{listen:?}");
        }
    }

    #[test]
    fn relay_addresses_and_ports_must_be_usable() {
        let good = RelayConfig::at(Ipv4Addr::LOCALHOST);
        assert!(good.check().is_ok());
        assert!(RelayConfig::at(Ipv4Addr::UNSPECIFIED).check().is_err());
        assert!(RelayConfig::at(Ipv6Addr::UNSPECIFIED).check().is_err());
        assert!(RelayConfig { advertise: Ipv4Addr::new(224, 0, 0, 1), ..good.clone() }.check().is_err());
        assert!(RelayConfig { ports: 1023..=65_535, ..good.clone() }.check().is_err());
        #[expect(clippy::reversed_empty_ranges, reason = "that is the case")]
        let reversed = 50_001..=50_000;
        assert!(RelayConfig { ports: reversed, ..good }.check().is_err());
    }

    #[test]
    fn ecn_survives_every_dscp_policy() {
        for tos in 0..=u8::MAX {
            assert_eq!(Dscp::Copy.across(tos), tos);
            assert_eq!(Dscp::Fixed(46).across(tos), 0xB8 | tos & 3);
        }
        assert_eq!((Dscp::Copy.own(), Dscp::Fixed(46).own()), (0, 0xB8));
        assert!(EngineConfig { dscp: Dscp::Fixed(64), ..config(&["127.0.0.1:0"]) }.check().is_err());
    }
}
