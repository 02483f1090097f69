//! Which peers a server must keep its clients from, why, and what does that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Peers of one kind.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) peers: &'static [IpAddr],
    pub(super) why: &'static str,
    pub(super) cures: &'static [&'static str],
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// The same written as IPv6 (RFC 4291 §2.5.5.2).
const fn mapped(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V6(Ipv4Addr::new(a, b, c, d).to_ipv6_mapped())
}

const fn v6(first: u16, last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last))
}

/// turnkeep's part of every cure.
pub(super) const DENIED: &str = "turnkeep: denied unless a [[peers.allow]] rule says otherwise; take the rule out";
const HOST: &str = "clients reach services that listen for this host alone: administration, databases, caches";
const INTERNAL: &str = "clients reach hosts of the internal network that the firewall keeps from them";
const MEANT: &str = "if they are meant to: say so with --may-reach";

pub(super) const KINDS: [Kind; 7] = [
    Kind {
        name: "peer-loopback",
        what: "127.0.0.1, 127.8.8.8 and 0.0.0.0",
        peers: &[v4(127, 0, 0, 1), v4(127, 8, 8, 8), v4(0, 0, 0, 0)],
        why: HOST,
        cures: &["coturn: no `allow-loopback-peers`", DENIED],
    },
    Kind {
        name: "peer-loopback-6",
        what: "::1 and ::",
        peers: &[v6(0, 1), v6(0, 0)],
        why: HOST,
        cures: &["coturn: no `allow-loopback-peers`", DENIED],
    },
    Kind {
        name: "peer-mapped",
        what: "127.0.0.1, 10.1.2.3 and 169.254.169.254 written as IPv6 (::ffff:…)",
        peers: &[mapped(127, 0, 0, 1), mapped(10, 1, 2, 3), mapped(169, 254, 169, 254)],
        why: "rules for IPv4 can be walked round by writing the address as IPv6 (CVE-2020-26262 and its kin)",
        cures: &["coturn: `denied-peer-ip=::ffff:0.0.0.0-::ffff:255.255.255.255`, and a current version", DENIED],
    },
    Kind {
        name: "peer-private",
        what: "10.1.2.3, 172.16.1.2, 192.168.1.1 and 100.64.1.2",
        peers: &[v4(10, 1, 2, 3), v4(172, 16, 1, 2), v4(192, 168, 1, 1), v4(100, 64, 1, 2)],
        why: INTERNAL,
        cures: &[
            "coturn: `denied-peer-ip` with 10.0.0.0-10.255.255.255, with 172.16.0.0-172.31.255.255, with \
             192.168.0.0-192.168.255.255 and with 100.64.0.0-100.127.255.255",
            MEANT,
            DENIED,
        ],
    },
    Kind {
        name: "peer-private-6",
        what: "fd00::1 and fe80::1",
        peers: &[v6(0xFD00, 1), v6(0xFE80, 1)],
        why: INTERNAL,
        cures: &[
            "coturn: `denied-peer-ip` with fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff and with \
             fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            MEANT,
            DENIED,
        ],
    },
    Kind {
        name: "peer-metadata",
        what: "169.254.169.254, where clouds hand out a host's credentials",
        peers: &[v4(169, 254, 169, 254)],
        why: "in a cloud, a client that reaches it can become the server's host",
        cures: &["coturn: `denied-peer-ip=169.254.0.0-169.254.255.255`", DENIED],
    },
    Kind {
        name: "peer-multicast",
        what: "224.0.0.1, 239.255.255.250 and 255.255.255.255",
        peers: &[v4(224, 0, 0, 1), v4(239, 255, 255, 250), v4(255, 255, 255, 255)],
        why: "one packet of a client becomes one to every host of a network",
        cures: &["coturn: `no-multicast-peers`, and `denied-peer-ip=255.255.255.255`", DENIED],
    },
];
