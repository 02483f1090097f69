//! What most likely lies behind a failure, and what cures it, in coturn's words and in turnkeep's.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use super::settings::is_near;

/// What can be done where there is no way to a server, the likelier first.
pub(super) fn of_no_way(error: &io::Error, server: SocketAddr, transport: &str) -> [String; 2] {
    let port = server.port();
    match error.kind() {
        ErrorKind::ConnectionRefused => [
            format!("start the server, or let it listen for {transport} on {server}"),
            "look whether the URI has the port that the server's configuration has".into(),
        ],
        ErrorKind::TimedOut | ErrorKind::WouldBlock => [
            format!("open {transport} port {port} in the firewalls in front of the server and of this network"),
            "look whether the name leads to the right host, and whether it is up".into(),
        ],
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable if server.is_ipv6() => [
            "this host has no IPv6: probe from one that has, or give a URI with the IPv4 address".into(),
            "if it has: look at its routes".into(),
        ],
        _ => ["look at this host's routes and firewall".into(), format!("look whether {server} is right")],
    }
}

/// What an error code of an Allocate with credentials means, and what can be done. 401 is told apart elsewhere.
pub(super) fn of_refused_allocate(code: u16) -> (&'static str, &'static [&'static str]) {
    match code {
        300 => (
            "the server sends clients elsewhere, and browsers do not follow",
            &["give clients the other server's URI", "coturn: no `alternate-server`"],
        ),
        400 => ("the server takes the request for malformed", &["update the server, or tell its makers"]),
        403 => (
            "this user or this address must not allocate",
            &["coturn: a draining server (SIGUSR1) says so too", "look at the server's log for the rule"],
        ),
        420 => ("the server does not know an attribute that it must know", &["update the server"]),
        437 => (
            "the server still has an allocation for our address and port",
            &["probe again: the next attempt comes from another port"],
        ),
        438 => (
            "the server takes its own fresh nonce for stale",
            &[
                "if there are several servers behind one address: keep a client on one of them",
                "coturn: a longer `stale-nonce`",
            ],
        ),
        440 => (
            "the server relays in the other address family only",
            &["coturn: `relay-ip` of both families; turnkeep: a [[relay.address]] of each"],
        ),
        442 => ("the server relays no UDP", &["coturn: no `no-udp-relay`"]),
        486 => (
            "this user has as many allocations as he may",
            &[
                "coturn: a higher `user-quota`; turnkeep: limits.allocations_per_user; a browser takes 6 to 12",
                "wait until allocations that were not given back have ended: up to 10 minutes",
            ],
        ),
        508 => (
            "the server has no relayed address to give",
            &[
                "coturn: a wider `min-port` to `max-port`, or a higher `total-quota`; turnkeep: relay.ports",
                "more file descriptors: LimitNOFILE of its service",
                "coturn: see that `relay-ip` is an address of the server's host",
            ],
        ),
        500 => ("the server failed by itself", &["look at its log"]),
        _ => ("the server refuses without a reason that RFC 8656 knows", &["look at its log"]),
    }
}

/// What a relayed address should not be, and why: it is told to the peers, who must reach it.
pub(super) fn of_bad_relayed(relayed: SocketAddr, server: IpAddr, expected: Option<IpAddr>) -> Option<String> {
    let ip = relayed.ip();
    if let Some(expected) = expected.filter(|expected| *expected != ip) {
        return Some(format!("expected was {expected}"));
    }
    if ip.is_unspecified() || relayed.port() == 0 {
        return Some("that is no address that anybody can send to".into());
    }
    if ip.is_multicast() {
        return Some("that is a multicast address".into());
    }
    if is_near(ip) && !is_near(server) {
        return Some("it is private, and the server's address is public: peers elsewhere cannot reach it".into());
    }
    if ip.is_loopback() && !server.is_loopback() {
        return Some("it is a loopback address: peers on other hosts cannot reach it".into());
    }
    None
}

/// How the advertised address is set.
pub(super) const CURES_OF_RELAYED: [&str; 2] = [
    "coturn: `external-ip=PUBLIC/PRIVATE`, with `relay-ip=PRIVATE`; it is read at the start only",
    "turnkeep: `advertise` of [[relay.address]], beside `bind`",
];

/// What opens the way to relayed addresses.
pub(super) const CURE_OF_RELAY_RANGE: &str = "\
    open UDP to the whole relay range in the server's firewalls: coturn `min-port` to `max-port`, turnkeep relay.ports";

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(relayed: &str, server: &str, expected: Option<&str>) -> Option<String> {
        let expected = expected.map(|ip| ip.parse().unwrap());
        of_bad_relayed(relayed.parse().unwrap(), server.parse().unwrap(), expected)
    }

    /// The classical fault behind a 1:1 NAT, and its kin.
    #[test]
    fn relayed_addresses_that_peers_cannot_reach_are_told() {
        for (relayed, server) in [
            ("10.0.0.5:50000", "198.51.100.7"),
            ("172.31.3.4:50000", "198.51.100.7"),
            ("127.0.0.1:50000", "198.51.100.7"),
            ("[fd00::1]:50000", "2001:db8::1"),
        ] {
            assert!(bad(relayed, server, None).is_some_and(|why| why.contains("private")), "{relayed}");
        }
        assert!(bad("0.0.0.0:50000", "127.0.0.1", None).is_some());
        assert!(bad("198.51.100.7:0", "198.51.100.7", None).is_some());
        assert!(bad("239.1.1.1:5000", "198.51.100.7", None).is_some());
        assert!(bad("127.0.0.1:50000", "192.168.1.1", None).is_some_and(|why| why.contains("loopback")));
        assert!(
            bad("198.51.100.8:50000", "198.51.100.7", Some("198.51.100.7")).is_some_and(|why| why.contains("expected"))
        );
        for (relayed, server) in
            [("198.51.100.8:50000", "198.51.100.7"), ("127.0.0.1:50000", "127.0.0.1"), ("10.0.0.5:50000", "10.0.0.9")]
        {
            assert_eq!(bad(relayed, server, None), None, "{relayed}");
        }
        assert_eq!(bad("198.51.100.7:50000", "10.0.0.1", Some("198.51.100.7")), None);
    }
}
