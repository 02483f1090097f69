//! The configuration in the terms of the floors below.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};

use super::keys::Keys;
use super::schema::{ChannelNumbers, Config, Legacy, Listener, PassThrough, PeerRule, Peers, Transport, UsernameOrder};
use super::value::{Cidr, Dscp};
use crate::engine::{self, EngineConfig, Proxies, RelayConfig, Rest, StreamKind, StreamLimits, StreamListen, Way};
use crate::policy::auth::Authenticator;
use crate::policy::auth::ephemeral::Ephemeral;
use crate::policy::auth::username::{self, Grammar};
use crate::policy::drain::{Drain, Target};
use crate::policy::limit::rate::AllocationRate;
use crate::policy::peer::canonical::Embeddings;
use crate::policy::peer::{self, OwnHost, PeerSettings};
use crate::relay::{Families, ListenerId, NonceKey, Settings};
use crate::wire::channel_data;

/// What the peer policy is made from; `interfaces` are the addresses of all interfaces of this host.
pub fn peer_settings(config: &Config, interfaces: &[IpAddr]) -> PeerSettings {
    let peers = &config.peers;
    let relay = &config.relay;
    let relay_addresses: Vec<IpAddr> =
        relay.addresses.iter().flat_map(|address| [address.bind.get(), address.advertised().get()]).collect();
    PeerSettings {
        allow: peers.allowed.iter().map(peer_rule).collect(),
        deny: peers.denied.iter().map(peer_rule).collect(),
        lab: config.lab,
        embeddings: Embeddings { nat64: peers.nat64_prefixes.iter().map(|prefix| prefix.get()).collect() },
        own: OwnHost {
            addresses: interfaces.iter().copied().chain(relay_addresses.iter().copied()).collect(),
            listener_ports: config.listeners.iter().map(|listener| listener.address.get().port()).collect(),
            relay_addresses,
            relayed_ports: relay.ports.get(),
            relay_to_relay: peers.relay_to_relay,
        },
        backends: peers.backends.iter().map(|backend| backend.get()).collect(),
        min_port: peers.min_port.get(),
        deny_ports: peers.deny_ports.iter().flat_map(|ports| ports.get()).collect(),
    }
}

/// The name of this relay in records: the configured one, or else the `host`'s.
pub fn node_name(config: &Config, host: &str) -> String {
    config.node.as_ref().map_or(host, |node| node.as_str()).to_owned()
}

/// What the engine is told.
pub fn engine_config(config: &Config) -> EngineConfig {
    let relay = &config.relay;
    let least = relay.min_port_rest.get();
    let rest = Rest { full: Rest::default().full.max(least), least };
    let datagrams = config.listeners.iter().filter(|listener| !listener.transport.is_stream());
    let mut engine = EngineConfig::new(datagrams.map(|listener| listener.address.get()).collect());
    engine.streams = config.listeners.iter().filter_map(stream_listener).collect();
    engine.stream_limits = stream_limits(config);
    let networks = |all: &[Cidr]| Proxies(all.iter().map(|network| network.get()).collect());
    engine.proxies = networks(&config.proxy_protocol.from);
    engine.datagram_proxies = networks(&config.proxy_protocol.udp_from);
    for address in &relay.addresses {
        match (address.bind.get(), address.advertised().get()) {
            (IpAddr::V4(bind), IpAddr::V4(advertise)) => {
                engine.relay_v4 = Some(RelayConfig { bind, advertise, ports: relay.ports.get(), rest });
            }
            (IpAddr::V6(bind), IpAddr::V6(advertise)) => {
                engine.relay_v6 = Some(RelayConfig { bind, advertise, ports: relay.ports.get(), rest });
            }
            // The check refuses a mixture.
            _ => {}
        }
    }
    engine.workers = usize::try_from(config.workers.get()).ok().and_then(NonZeroUsize::new);
    engine.dscp = match relay.dscp {
        Dscp::Copy => engine::Dscp::Copy,
        Dscp::Fixed(value) => engine::Dscp::Fixed(value),
    };
    engine
}

/// Which TLS connections are passed on, in the order of the configuration.
pub fn ways(config: &Config) -> Vec<Way> {
    let way = |pass: &PassThrough| Way {
        server_names: pass.server_names.iter().map(|name| name.as_str().to_owned()).collect(),
        protocols: pass.alpn.iter().map(|protocol| protocol.as_str().as_bytes().to_vec()).collect(),
    };
    config.pass_through.iter().map(way).collect()
}

fn stream_limits(config: &Config) -> StreamLimits {
    let streams = &config.streams;
    let bits = |bits: u32| u8::try_from(bits).unwrap_or(u8::MAX);
    StreamLimits {
        unauthenticated: streams.unauthenticated.get(),
        unauthenticated_per_network: streams.unauthenticated_per_network.get(),
        network_bits_v4: bits(streams.network_bits_v4.get()),
        network_bits_v6: bits(streams.network_bits_v6.get()),
        per_worker: streams.per_worker.get(),
        passed_through: streams.passed_through.get(),
        handshake: streams.handshake_timeout.get(),
        idle: streams.idle_timeout.get(),
        ..StreamLimits::default()
    }
}

fn stream_listener(listener: &Listener) -> Option<StreamListen> {
    let kind = match listener.transport {
        Transport::Udp => return None,
        Transport::Tcp => StreamKind::Plain,
        Transport::Tls => StreamKind::Tls,
        Transport::Auto => StreamKind::Auto,
    };
    Some(StreamListen { address: listener.address.get(), kind })
}

/// What the TURN servers of the workers are told.
pub fn relay_settings(config: &Config, nonce_key: NonceKey) -> Settings {
    let families = config.relay.addresses.iter().map(|address| address.bind.get().is_ipv4());
    let (v4, v6): (Vec<bool>, Vec<bool>) = families.partition(|is_v4| *is_v4);
    Settings {
        realm: config.realm.as_str().into(),
        offer_sha256: config.credentials.offer_sha256,
        offer_userhash: config.credentials.offer_userhash,
        modern_only: modern_only(config),
        families: Families { v4: !v4.is_empty(), v6: !v6.is_empty() },
        max_lifetime: config.limits.max_lifetime.get(),
        nonce_key,
        strict_permissions: config.peers.strict_permissions,
        channel_numbers: match config.relay.channel_numbers {
            ChannelNumbers::Rfc8656 => channel_data::ChannelNumbers::Rfc8656,
            ChannelNumbers::Rfc5766 => channel_data::ChannelNumbers::Rfc5766,
        },
    }
}

/// The engine counts the listeners of datagrams first.
fn in_engine_order(config: &Config) -> impl Iterator<Item = &Listener> {
    let of = |is_stream| config.listeners.iter().filter(move |listener| listener.transport.is_stream() == is_stream);
    of(false).chain(of(true))
}

/// The listeners that take SHA-256 alone, by the numbers that the engine gives them.
fn modern_only(config: &Config) -> Box<[ListenerId]> {
    let listeners = (0..).map(ListenerId).zip(in_engine_order(config));
    let denying =
        listeners.filter(|(_, listener)| listener.legacy.unwrap_or(config.credentials.legacy) == Legacy::Deny);
    denying.map(|(id, _)| id).collect()
}

/// Where clients are sent instead.
pub fn drain(config: &Config) -> Drain {
    let drain = &config.drain;
    let target = |is_v4: bool| {
        let server = drain.alternate_servers.iter().find(|server| server.ip().is_ipv4() == is_v4);
        server.map(|server| Target { ip: server.ip(), port: server.port() })
    };
    let domain = drain.alternate_domain.as_ref().map(|domain| domain.as_str().into());
    Drain { v4: target(true), v6: target(false), domain }
}

/// How often users may begin allocations.
pub fn allocation_rate(config: &Config) -> AllocationRate {
    let limits = &config.limits;
    let at_least_one = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
    let at_once = limits.allocations_per_user.get().saturating_mul(2);
    AllocationRate::new(at_least_one(limits.allocations_per_user_per_minute.get()), at_least_one(at_once))
}

/// Who may use the relay.
pub fn authenticator(config: &Config, keys: Keys) -> Authenticator {
    let credentials = &config.credentials;
    let order = match credentials.username_order {
        UsernameOrder::ExpiryFirst => username::UsernameOrder::ExpiryFirst,
        UsernameOrder::Any => username::UsernameOrder::Any,
    };
    Authenticator {
        realm: config.realm.as_str().to_owned(),
        ephemeral: Ephemeral {
            secrets: keys.secrets,
            grammar: Grammar { separator: credentials.separator.get(), order },
            max_ttl: credentials.max_ttl.get(),
            zone: config.zone.as_str().to_owned(),
        },
        static_users: keys.users,
    }
}

/// One rule.
pub(super) fn peer_rule(rule: &PeerRule) -> peer::PeerRule {
    peer::PeerRule { id: rule.id.as_str().to_owned(), range: rule.cidr.get() }
}

/// Whether an allow rule changes anything: a special-use range or a wider deny rule holds what it names.
pub(super) fn opens(peers: &Peers, rule: &PeerRule) -> bool {
    let range = rule.cidr.get();
    peer::is_special(range) || peers.denied.iter().any(|denied| denied.cidr.get().contains(&range))
}
