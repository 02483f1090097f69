//! TLS that is passed on.

use std::net::{IpAddr, SocketAddr};

use super::{Judge, repeats};
use crate::config::schema::{Config, Listener};

/// The protocols of RFC 7443: who offers one of them wants this relay.
const OURS: [&str; 2] = ["stun.turn", "stun.nat-discovery"];

/// `interfaces` are the addresses of this host, where it is the one.
pub(super) fn check(judge: &mut Judge<'_>, interfaces: &[IpAddr]) {
    let config = judge.config;
    let all = &config.pass_through;
    if !all.is_empty() && !config.listeners.iter().any(|listener| listener.transport.may_be_tls()) {
        judge.warn("pass_through", "nothing is passed on: no listener has transport = \"tls\" or \"auto\"".into());
    }
    for (index, pass) in all.iter().enumerate() {
        let path = format!("pass_through.{index}");
        if pass.server_names.is_empty() && pass.alpn.is_empty() {
            judge.error(&path, "lets nothing through: write server_names, or alpn".into());
        }
        for protocol in pass.alpn.iter().filter(|protocol| OURS.contains(&protocol.as_str())) {
            judge.error(&format!("{path}.alpn"), format!("{protocol} is what this relay speaks; take it out"));
        }
        if let Some(own) = own_listener(config, interfaces, pass.to.get()) {
            let place = judge.place(&format!("listener.{own}.address"));
            let sentence = format!("{} is this relay itself ({place}): connections would go in a circle", pass.to);
            judge.error(&format!("{path}.to"), sentence);
        }
        let certified = config.tls.certificates.iter().flat_map(|certificate| &certificate.names);
        let certified: Vec<String> = certified.map(|name| name.as_str().to_ascii_lowercase()).collect();
        for name in pass.server_names.iter().filter(|name| certified.iter().any(|own| own == name.as_str())) {
            let sentence = format!("{name} has a certificate here: who asks for it reaches this relay no more");
            judge.warn(&format!("{path}.server_names"), sentence);
        }
    }
    let names =
        all.iter().enumerate().flat_map(|(index, pass)| pass.server_names.iter().map(move |name| (index, name)));
    let names: Vec<_> = names.collect();
    let bare: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
    for (later, _) in repeats(&bare) {
        let (index, name) = names[later];
        judge.error(&format!("pass_through.{index}.server_names"), format!("{name} goes another way already"));
    }
}

/// The listener that `to` would lead to.
fn own_listener(config: &Config, interfaces: &[IpAddr], to: SocketAddr) -> Option<usize> {
    let relayed = &config.relay.addresses;
    let is_own = to.ip().is_loopback()
        || interfaces.contains(&to.ip())
        || relayed.iter().any(|relay| [relay.bind.get(), relay.advertised().get()].contains(&to.ip()));
    let leads = |listener: &Listener| {
        let address = listener.address.get();
        // A 1:1 NAT sends what is for the one to the other.
        let is_in_front =
            relayed.iter().any(|relay| relay.advertised().get() == to.ip() && relay.bind.get() == address.ip());
        let is_every = address.ip().is_unspecified() && address.is_ipv4() == to.is_ipv4();
        let is_there = address.ip() == to.ip() || is_in_front || is_every && is_own;
        listener.transport.is_stream() && address.port() == to.port() && is_there
    };
    config.listeners.iter().position(leads)
}
