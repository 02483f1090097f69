//! Where relayed addresses live.

use std::net::SocketAddr;

use super::{Judge, repeats};
use crate::config::translate::peer_settings;
use crate::policy::peer::{self, PeerPolicy};
use crate::relay::PeerAddr;

/// The rule of policy on addresses that stand in examples.
const DOCUMENTATION: &str = "special.documentation";

pub(super) fn check(judge: &mut Judge<'_>) {
    let relay = &judge.config.relay;
    if relay.addresses.is_empty() {
        judge.error("relay.address", "no relayed address: nothing can be relayed; write [[relay.address]]".into());
    }
    let families: Vec<bool> = relay.addresses.iter().map(|address| address.bind.get().is_ipv4()).collect();
    for (index, earlier) in repeats(&families) {
        let family = if families[index] { "IPv4" } else { "IPv6" };
        let place = judge.place(&format!("relay.address.{earlier}.bind"));
        let sentence = format!("a second {family} address; there can be one for each family, and {place} has it");
        judge.error(&format!("relay.address.{index}.bind"), sentence);
    }
    for (index, address) in relay.addresses.iter().enumerate() {
        if address.bind.get().is_ipv4() != address.advertised().get().is_ipv4() {
            let sentence = format!("{} is not of the family of bind, {}", address.advertised(), address.bind);
            judge.error(&format!("relay.address.{index}.advertise"), sentence);
        }
        check_advertised(judge, index);
    }
    check_range(judge);
}

/// An address that peers do not reach is told to clients in vain: the commonest reason for calls without sound.
fn check_advertised(judge: &mut Judge<'_>, index: usize) {
    let address = &judge.config.relay.addresses[index];
    let advertised = address.advertised().get();
    let mut settings = peer_settings(judge.config, &[]);
    // What would be said of this address if it were somebody else's?
    settings.own.addresses.clear();
    settings.own.relay_addresses.clear();
    let Ok(policy) = PeerPolicy::new(&settings) else { return };
    let Err(refusal) = policy.judge(PeerAddr(SocketAddr::new(advertised, 0))) else { return };
    let rule = refusal.rule.0.as_ref();
    // A deny rule of the configuration is about others: the relay's own addresses have rules of their own.
    if peer::sentence(rule).is_none() {
        return;
    }
    let key = if address.advertise.is_some() { "advertise" } else { "bind" };
    let path = format!("relay.address.{index}.{key}");
    if rule == DOCUMENTATION {
        return judge.warn(&path, format!("{advertised} is an address for documentation; put in your own"));
    }
    judge.error(
        &path,
        format!(
            "clients and peers would be told {advertised}, which others do not reach ({rule}); behind a NAT set \
             advertise to the public address, or open the network in [[peers.allow]] if all of them are in it"
        ),
    );
}

fn check_range(judge: &mut Judge<'_>) {
    let (ports, limit) = (judge.config.relay.ports, judge.config.limits.allocations_per_user.get());
    let count = ports.count();
    if count <= limit {
        let ports = if count == 1 { "1 port is" } else { &format!("{count} ports are") };
        let sentence = format!("{ports} no more than the {limit} allocations that one user may have");
        judge.warn("relay.ports", sentence);
    }
}
