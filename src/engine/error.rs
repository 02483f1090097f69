//! Why an engine does not start: one sentence each, naming the address and the mend.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use super::config::MAX_LISTENERS;

/// Why an engine does not start.
#[derive(Debug)]
pub enum EngineError {
    /// No listening address, or too many.
    ListenerCount(usize),
    /// Two listening addresses of which one covers the other.
    ListenersOverlap {
        /// One.
        address: SocketAddr,
        /// The other.
        other: SocketAddr,
    },
    /// A listening address for TLS, and no certificate.
    NoCertificate(SocketAddr),
    /// A DSCP above 63.
    Dscp(u8),
    /// A relay address that names no single host.
    RelayAddress(IpAddr),
    /// A port range that is empty or reaches below 1024.
    RelayPorts(RangeInclusive<u16>),
    /// A listening address could not be had.
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the kernel says.
        error: io::Error,
    },
    /// Nothing can be bound to the relay address.
    Relay {
        /// Which.
        address: IpAddr,
        /// What the kernel says.
        error: io::Error,
    },
    /// The host lacks something else.
    Resource {
        /// What.
        what: &'static str,
        /// What the kernel says.
        error: io::Error,
    },
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListenerCount(0) => write!(f, "no address to listen on is configured"),
            Self::ListenerCount(count) => write!(f, "{count} listening addresses are more than {MAX_LISTENERS}"),
            Self::ListenersOverlap { address, other } => {
                write!(f, "listening addresses {other} and {address} cover each other: keep one of them")
            }
            Self::NoCertificate(address) => write!(f, "{address} is for TLS, and there is no certificate for it"),
            Self::Dscp(value) => write!(f, "DSCP {value} is not a value from 0 to 63"),
            Self::RelayAddress(address) => {
                write!(f, "relay address {address} names no single host: give one address of this host")
            }
            Self::RelayPorts(ports) => {
                write!(f, "relay ports {} to {} are no range within 1024 to 65535", ports.start(), ports.end())
            }
            Self::Listen { address, error } => write_listen(f, *address, error),
            Self::Relay { address, error } => write_relay(f, *address, error),
            Self::Resource { what, error } => write!(f, "cannot get {what}: {error}"),
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { error, .. } | Self::Relay { error, .. } | Self::Resource { error, .. } => Some(error),
            _ => None,
        }
    }
}

fn write_listen(f: &mut fmt::Formatter<'_>, address: SocketAddr, error: &io::Error) -> fmt::Result {
    match error.kind() {
        io::ErrorKind::AddrInUse => write!(
            f,
            "cannot listen on {address}: the address is in use; is another relay running? `ss -lunp` tells which"
        ),
        io::ErrorKind::AddrNotAvailable => {
            write!(f, "cannot listen on {address}: {} is not an address of this host", address.ip())
        }
        io::ErrorKind::PermissionDenied if address.port() < 1024 => write!(
            f,
            "cannot listen on {address}: ports below 1024 need the capability CAP_NET_BIND_SERVICE, \
             or the sysctl net.ipv4.ip_unprivileged_port_start"
        ),
        _ => write!(f, "cannot listen on {address}: {error}"),
    }
}

fn write_relay(f: &mut fmt::Formatter<'_>, address: IpAddr, error: &io::Error) -> fmt::Result {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            write!(f, "cannot relay from {address}: {address} is not an address of this host; did you mean advertise?")
        }
        _ => write!(f, "cannot relay from {address}: {error}"),
    }
}
