//! A configuration that this machine alone can reach.

use std::net::{IpAddr, SocketAddr};

use super::schema::{
    Audit, ChannelNumbers, Config, Credentials, Drain, Limits, Listener, Log, PeerRule, Peers, ProxyProtocol, Relay,
    RelayAddress, Streams, Tls, Transport, default_zone,
};
use super::value::{Cidr, Id, PortRange, Realm, Whole};

/// Enough for a load test by one user.
const ALLOCATIONS_PER_USER: u32 = 1000;
/// As many ports for each family: fewer files than every system lets a process open.
const PORTS: PortRange = PortRange::of(49_152, 50_151);

impl Config {
    /// Listens on `listeners`, by UDP and TCP, and relays from `addresses`, all of them loopback ones, to loopback
    /// peers.
    pub fn for_loopback(listeners: &[SocketAddr], addresses: &[IpAddr]) -> Self {
        let listener =
            |transport| move |address: &SocketAddr| Listener { address: (*address).into(), transport, legacy: None };
        let by = |transport| listeners.iter().map(listener(transport));
        let relay_address = |ip: &IpAddr| RelayAddress { bind: (*ip).into(), advertise: None };
        Self {
            realm: Realm::of_try_out(),
            node: None,
            zone: default_zone(),
            lab: true,
            workers: Whole::of(0),
            listeners: by(Transport::Udp).chain(by(Transport::Tcp)).collect(),
            tls: Tls::default(),
            pass_through: Vec::new(),
            streams: Streams::default(),
            proxy_protocol: ProxyProtocol::default(),
            relay: Relay {
                ports: PORTS,
                // coturn's client, with which many try it out, picks channel numbers from all of these.
                channel_numbers: ChannelNumbers::Rfc5766,
                addresses: addresses.iter().map(relay_address).collect(),
                ..Relay::default()
            },
            credentials: Credentials::default(),
            peers: Peers { allowed: Vec::from([Cidr::LOOPBACK_V4, Cidr::LOOPBACK_V6].map(rule)), ..Peers::default() },
            drain: Drain::default(),
            limits: Limits {
                allocations_per_user: Whole::of(ALLOCATIONS_PER_USER),
                allocations_per_user_per_minute: Whole::of(ALLOCATIONS_PER_USER * 10),
                ..Limits::default()
            },
            audit: Audit::default(),
            log: Log::default(),
        }
    }
}

fn rule(cidr: Cidr) -> PeerRule {
    let family = if cidr.get().addr().is_ipv4() { "v4" } else { "v6" };
    PeerRule { id: Id::of_loopback(family), cidr, description: None }
}
