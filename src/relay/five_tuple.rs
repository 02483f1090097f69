//! The key that a client's messages are found by.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use super::addr::{Path, Transport};

/// A 5-tuple (RFC 8656 §2), packed for hashing and comparing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FiveTuple {
    client_ip: u128,
    server_ip: u128,
    /// Both ports, both families, the transport: all that is not an IP.
    rest: u64,
}

impl FiveTuple {
    pub(super) fn of(path: &Path) -> Self {
        let (client_ip, client_rest) = pack(path.client.0);
        let (server_ip, server_rest) = pack(path.server.0);
        let transport = match path.transport {
            Transport::Udp => 0u64,
            Transport::Tcp(_) => 1,
            Transport::Tls(..) => 2,
        };
        Self { client_ip, server_ip, rest: (client_rest << 40) | (server_rest << 16) | transport }
    }
}

/// The IP as a number, and the port with a bit for the family: 17 bits.
fn pack(address: SocketAddr) -> (u128, u64) {
    let port = u64::from(address.port());
    match address {
        SocketAddr::V4(v4) => (u128::from(u32::from(*v4.ip())), port),
        SocketAddr::V6(v6) => (u128::from(*v6.ip()), port | 1 << 16),
    }
}

impl Hash for FiveTuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.client_ip);
        state.write_u128(self.server_ip);
        state.write_u64(self.rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::addr::{ClientAddr, ListenerId, ServerAddr};

    fn path(client: &str, server: &str) -> Path {
        Path {
            client: ClientAddr(client.parse().unwrap()),
            server: ServerAddr(server.parse().unwrap()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        }
    }

    #[test]
    fn every_part_but_the_listener_counts() {
        let base = path("192.0.2.1:1000", "192.0.2.9:3478");
        let same = Path { listener: ListenerId(7), ..base };
        assert_eq!(FiveTuple::of(&base), FiveTuple::of(&same));
        for other in [
            path("192.0.2.2:1000", "192.0.2.9:3478"),
            path("192.0.2.1:1001", "192.0.2.9:3478"),
            path("192.0.2.1:1000", "192.0.2.8:3478"),
            path("192.0.2.1:1000", "192.0.2.9:3479"),
            path("[::c000:201]:1000", "192.0.2.9:3478"),
            path("192.0.2.1:1000", "[::c000:209]:3478"),
        ] {
            assert_ne!(FiveTuple::of(&base), FiveTuple::of(&other), "{other:?}");
        }
    }
}
