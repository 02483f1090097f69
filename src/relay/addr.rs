//! One type for each role an address plays, so that none is taken for another.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// An address family of RFC 8656 §18.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// 0x01
    V4,
    /// 0x02
    V6,
}

impl Family {
    /// The family of `ip`.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The one that it is not.
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// Its number in attributes.
    pub fn number(self) -> u8 {
        match self {
            Self::V4 => 0x01,
            Self::V6 => 0x02,
        }
    }
}

macro_rules! address_role {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub SocketAddr);

        impl $name {
            /// The IP part.
            pub fn ip(&self) -> IpAddr {
                self.0.ip()
            }

            /// The port part.
            pub fn port(&self) -> u16 {
                self.0.port()
            }

            /// The family of the IP part.
            pub fn family(&self) -> Family {
                Family::of(self.0.ip())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

address_role!(
    /// "The transport address of a TURN client as seen by the server": behind a NAT its server-reflexive address
    /// (RFC 8656 §2).
    ClientAddr
);
address_role!(
    /// The transport address on the server that the client sent to and that its answers must come from (RFC 8656 §2,
    /// "TURN server transport address"): on a wildcard listener the address that was asked, never the wildcard.
    ServerAddr
);
address_role!(
    /// The transport address of a peer as seen by the server (RFC 8656 §2).
    PeerAddr
);
address_role!(
    /// The relayed transport address of an allocation (RFC 8656 §2) as its client and peers know it: behind a 1:1 NAT
    /// the advertised address, not the one the socket is bound to.
    RelayedAddr
);

/// How a client reaches the server; part of its 5-tuple (RFC 8656 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A TCP connection.
    Tcp(StreamId),
    /// TLS over a TCP connection.
    Tls(StreamId, TlsSession),
}

/// The engine's own number for a client's connection; like [`ListenerId`] no part of the 5-tuple's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u32);

/// What was agreed on for a TLS connection, by IANA's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlsSession {
    /// Such as 0x0304 for TLS 1.3.
    pub version: u16,
    /// Such as 0x1301 for TLS_AES_128_GCM_SHA256.
    pub cipher_suite: u16,
}

impl Transport {
    /// The name in configuration, audit and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp(_) => "tcp",
            Self::Tls(..) => "tls",
        }
    }

    /// Whether the server shows a certificate on it, as TLS and DTLS have it.
    pub fn has_certificate(self) -> bool {
        match self {
            Self::Udp | Self::Tcp(_) => false,
            Self::Tls(..) => true,
        }
    }

    /// The connection; none for datagrams.
    #[inline]
    pub fn stream(self) -> Option<StreamId> {
        match self {
            Self::Udp => None,
            Self::Tcp(stream) | Self::Tls(stream, _) => Some(stream),
        }
    }

    /// Whether messages come in a stream of bytes instead of datagrams.
    #[inline]
    pub fn is_stream(self) -> bool {
        self.stream().is_some()
    }
}

/// The engine's own number for a listening socket; the relay floor hands it back with every answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u16);

/// Where a client's message came from and where its answer must go: the 5-tuple of RFC 8656 §2, and the socket it is
/// served by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The client's side.
    pub client: ClientAddr,
    /// Our side.
    pub server: ServerAddr,
    /// The transport between them.
    pub transport: Transport,
    /// The socket; not part of the identity of the 5-tuple.
    pub listener: ListenerId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_what_it_is() {
        let peer = PeerAddr("[2001:db8::1]:5000".parse().unwrap());
        assert_eq!(
            (format!("{peer}"), format!("{peer:?}")),
            ("[2001:db8::1]:5000".into(), "[2001:db8::1]:5000".into())
        );
        assert_eq!((peer.ip(), peer.port(), peer.family()), ("2001:db8::1".parse().unwrap(), 5000, Family::V6));
        assert_eq!(PeerAddr("192.0.2.1:5000".parse().unwrap()).family(), Family::V4);
    }
}
