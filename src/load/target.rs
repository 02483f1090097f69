//! Whom a load test may be let loose on: without an explicit word, this host and private networks alone.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Whether `target` is on this host or in a private network: loopback, RFC 1918, link-local (RFC 3927, RFC 4291),
/// unique local (RFC 4193), or behind a carrier's NAT (RFC 6598).
pub fn is_near(target: SocketAddr) -> bool {
    match target.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let is_shared = a == 100 && b & 0xC0 == 64;
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip == Ipv6Addr::LOCALHOST || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far_are_told_apart_at_their_borders() {
        let near = [
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.1.1",
            "100.64.0.0",
            "100.127.255.255",
            "::1",
            "::ffff:10.0.0.1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
        ];
        let far = [
            "126.255.255.255",
            "128.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "100.63.255.255",
            "100.128.0.0",
            "0.0.0.0",
            "8.8.8.8",
            "::",
            "::2",
            "::ffff:8.8.8.8",
            "fbff::1",
            "fe00::1",
            "fec0::1",
            "2001:db8::1",
        ];
        let is_near = |ip: &str| is_near(SocketAddr::new(ip.parse().unwrap(), 3478));
        assert!(near.iter().all(|ip| is_near(ip)), "{near:?}");
        for ip in far {
            assert!(!is_near(ip), "{ip}");
        }
    }
}
