//! The configuration in the terms of the floors below.

use std::net::IpAddr;

use super::keys::Keys;
use super::schema::{Config, PeerRule, UsernameOrder};
use crate::policy::auth::Authenticator;
use crate::policy::auth::ephemeral::Ephemeral;
use crate::policy::auth::username::{self, Grammar};
use crate::policy::peer::canonical::Embeddings;
use crate::policy::peer::{self, OwnHost, PeerSettings};

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
        embeddings: Embeddings {
            nat64: peers.nat64_prefixes.iter().map(|prefix| prefix.get()).collect(),
            six_rd: Vec::new(),
        },
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
