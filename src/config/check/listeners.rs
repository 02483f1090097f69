//! Where clients come in.

use super::Judge;
use crate::config::schema::Listener;

/// As many as an engine takes.
const MAX_LISTENERS: usize = 64;

/// Ports below 1024 that browsers take TURN servers on.
const BROWSERS_LOW_PORTS: [u16; 3] = [53, 80, 443];

pub(super) fn check(judge: &mut Judge<'_>) {
    let listeners = &judge.config.listeners;
    if listeners.is_empty() {
        judge.error("listener", "no listener: clients have nowhere to come in; write [[listener]]".into());
    }
    if listeners.len() > MAX_LISTENERS {
        let count = listeners.len();
        judge.error("listener", format!("{count} listeners are more than the {MAX_LISTENERS} that can be had"));
    }
    for (index, listener) in listeners.iter().enumerate() {
        let Some(earlier) = listeners.iter().take(index).position(|other| overlap(other, listener)) else { continue };
        let place = judge.place(&format!("listener.{earlier}.address"));
        let sentence = format!("{} listens already on what would come here ({place})", listeners[earlier].address);
        judge.error(&format!("listener.{index}.address"), sentence);
    }
    for (index, listener) in listeners.iter().enumerate() {
        check_port(judge, &format!("listener.{index}.address"), listener.address.get().port());
        check_relay_range(judge, index);
    }
}

/// One socket would receive what is sent to the other.
fn overlap(one: &Listener, other: &Listener) -> bool {
    let (a, b) = (one.address.get(), other.address.get());
    let covers = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    one.transport.is_stream() == other.transport.is_stream()
        && a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && covers
}

fn check_port(judge: &mut Judge<'_>, path: &str, port: u16) {
    if port == 53 {
        judge.warn(path, "browsers do not reach TURN servers on port 53; take 3478 or 443".into());
    } else if port < 1024 && !BROWSERS_LOW_PORTS.contains(&port) {
        judge.warn(path, format!("browsers refuse TURN servers on port {port}; take 80, 443 or one from 1024 on"));
    }
}

/// A relayed port must not be a listener's: the allocation that gets it could not be opened, or would hear clients.
fn check_relay_range(judge: &mut Judge<'_>, index: usize) {
    let config = judge.config;
    let listener = config.listeners[index].address.get();
    let ports = config.relay.ports;
    let meets = |relay: std::net::IpAddr| match listener.ip() {
        any if any.is_unspecified() => any.is_ipv4() == relay.is_ipv4(),
        one => one == relay,
    };
    if ports.get().contains(&listener.port()) && config.relay.addresses.iter().any(|relay| meets(relay.bind.get())) {
        let place = judge.place("relay.ports");
        let sentence = format!("port {} lies among the relayed ports {ports} ({place}); move one", listener.port());
        judge.error(&format!("listener.{index}.address"), sentence);
    }
}
