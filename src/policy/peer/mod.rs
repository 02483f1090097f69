//! Who may be reached: closed towards everything that is not an ordinary host of the internet, opened by rules.

pub mod canonical;
pub mod prefix_table;
pub mod rule;
pub mod special_use;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use canonical::{Embeddings, Form};
use ipnet::IpNet;
use prefix_table::PrefixTable;
use rule::Effect;
pub use rule::{BadRange, BadRules, MAX_RULES, PeerRule, Range};
use special_use::{SPECIAL_USE, SpecialUse};

use crate::relay::port_set::PortSet;
use crate::relay::reason::{PEER_PORT, RuleId};
use crate::relay::seam::{PeerPorts, Refusal};
use crate::relay::{ClientAddr, PeerAddr};

/// What the peer policy is made from.
#[derive(Clone, Debug)]
pub struct PeerSettings {
    /// What may be reached although it is special, or although a wider rule denies it.
    pub allow: Vec<PeerRule>,
    /// What may not be reached although it is an ordinary address.
    pub deny: Vec<PeerRule>,
    /// Lets allow rules open loopback, documentation and benchmarking addresses. Not for production.
    pub lab: bool,
    /// The operator's translators and tunnels between IPv6 and IPv4.
    pub embeddings: Embeddings,
    /// This host.
    pub own: OwnHost,
    /// The hosts of audit sinks, databases and the like: closed whatever a rule says.
    pub backends: Vec<IpAddr>,
    /// The smallest port of a peer; 0 and 1 both mean no limit.
    pub min_port: u16,
    /// Ports that no peer may have.
    pub deny_ports: Vec<u16>,
}

/// This host, which is no peer but for its relayed addresses.
#[derive(Clone, Debug)]
pub struct OwnHost {
    /// Every address of every interface, broadcast addresses, and the advertised addresses.
    pub addresses: Vec<IpAddr>,
    /// The ports that we listen on, for clients, metrics or administration: never reached, on no address.
    pub listener_ports: Vec<u16>,
    /// Where relayed addresses live, bound and advertised.
    pub relay_addresses: Vec<IpAddr>,
    /// The ports of relayed addresses.
    pub relayed_ports: RangeInclusive<u16>,
    /// Relayed addresses may reach one another.
    pub relay_to_relay: bool,
}

/// Judges peers. The order, and so what wins:
///
/// 1. our own addresses and backends: refused, but for relayed ports where [`OwnHost::relay_to_relay`] is on;
/// 2. IPv4 embedded in IPv6: refused, by the rule that refuses the address inside if there is one;
/// 3. the longest range decides, among special uses and configured rules: a deny rule wins a tie against an allow rule,
///    a configured rule wins a tie against a special use. So `allow 0.0.0.0/0` opens nothing that is special, and
///    `allow 10.0.0.0/8` opens all of it; what [`special_use::Opening::Never`] marks stays closed;
/// 4. an address that no range holds may be reached.
#[derive(Debug)]
pub struct PeerPolicy {
    rules: PrefixTable<Rule>,
    special: PrefixTable<&'static SpecialUse>,
    embeddings: Embeddings,
    own: HashSet<IpAddr>,
    relay: HashSet<IpAddr>,
    backends: HashSet<IpAddr>,
    min_port: u16,
    ports: PortsByHost,
}

#[derive(Clone, Debug)]
struct Rule {
    effect: Effect,
    id: RuleId,
}

/// The ports that may be reached, by what the host is.
#[derive(Debug)]
struct PortsByHost {
    /// A host that is not ours.
    other: PeerPorts,
    /// Ours, where relayed addresses live; none if they may not reach one another.
    relay: Option<PeerPorts>,
    /// Ours, by a loopback address that a laboratory opened.
    loopback: PeerPorts,
}

impl PeerPolicy {
    /// From settings.
    ///
    /// # Errors
    /// A rule that cannot have the effect it asks for, or an id that is taken.
    pub fn new(settings: &PeerSettings) -> Result<Self, BadRules> {
        check_rules(settings)?;
        let with = |effect| move |rule: &PeerRule| (rule.range, Rule { effect, id: RuleId(rule.id.clone().into()) });
        // Of equal ranges the table keeps the first: deny wins.
        let deny = settings.deny.iter().map(with(Effect::Deny));
        let allow = settings.allow.iter().map(with(Effect::Allow));
        let canonical = |ips: &[IpAddr]| ips.iter().map(IpAddr::to_canonical).collect();
        Ok(Self {
            rules: PrefixTable::new(deny.chain(allow)),
            special: special_use::table(),
            embeddings: settings.embeddings.clone(),
            own: canonical(&settings.own.addresses),
            relay: canonical(&settings.own.relay_addresses),
            backends: canonical(&settings.backends),
            min_port: settings.min_port,
            ports: PortsByHost::new(settings),
        })
    }

    /// May `peer` be reached, and on which ports? Port 0 asks for the address alone (D-26: CreatePermission ignores
    /// it).
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn judge(&self, peer: PeerAddr) -> Result<PeerPorts, Refusal> {
        let ip = peer.ip();
        if let IpAddr::V6(ip) = ip {
            self.refuse_embedded(ip)?;
        }
        let ports = self.judge_native(ip)?;
        if peer.port() != 0 && !ports.allow(peer.port()) {
            return Err(self.port_refusal(ip, peer.port()));
        }
        Ok(ports.clone())
    }

    fn refuse_embedded(&self, ip: Ipv6Addr) -> Result<(), Refusal> {
        for reading in self.embeddings.readings(ip) {
            self.judge_native(reading.inside.into())?;
        }
        match self.embeddings.readings(ip).next() {
            Some(reading) => refuse(reading.form.rule()),
            None => Ok(()),
        }
    }

    /// Judges an address that embeds no other.
    fn judge_native(&self, ip: IpAddr) -> Result<&PeerPorts, Refusal> {
        if self.backends.contains(&ip) {
            return refuse(OWN_BACKEND);
        }
        if self.lab_loopback(ip) {
            return Ok(&self.ports.loopback);
        }
        if self.relay.contains(&ip) {
            return self.ports.relay.as_ref().map_or_else(|| refuse(OWN_ADDRESS), Ok);
        }
        if self.own.contains(&ip) {
            return refuse(OWN_ADDRESS);
        }
        self.judge_by_range(ip)?;
        Ok(&self.ports.other)
    }

    /// An allow rule inside a range that it must not open was refused when the policy was made ([`rule::check_allow`]).
    fn judge_by_range(&self, ip: IpAddr) -> Result<(), Refusal> {
        let special = self.special.lookup(ip);
        let Some(rule) = self.rules.lookup(ip) else {
            return special.map_or(Ok(()), |special| refuse(special.value.rule));
        };
        match (special, rule.value.effect) {
            (Some(special), _) if special.net.prefix_len() > rule.net.prefix_len() => refuse(special.value.rule),
            (_, Effect::Allow) => Ok(()),
            (_, Effect::Deny) => Err(Refusal { rule: rule.value.id.clone() }),
        }
    }

    /// A laboratory may put its peers on the relay's own loopback interface. All of 127.0.0.0/8 is this host, so none
    /// of it is "another host", whatever the list of own addresses says.
    fn lab_loopback(&self, ip: IpAddr) -> bool {
        ip.is_loopback() && self.judge_by_range(ip).is_ok()
    }

    fn port_refusal(&self, ip: IpAddr, port: u16) -> Refusal {
        let rule = match () {
            () if self.relay.contains(&ip) || ip.is_loopback() => OWN_ADDRESS,
            () if port < self.min_port => PORT_TOO_LOW,
            () => PORT_DENIED,
        };
        Refusal { rule: RuleId(rule.into()) }
    }
}

impl PortsByHost {
    fn new(settings: &PeerSettings) -> Self {
        let own = &settings.own;
        let without_rules = settings.min_port <= 1 && settings.deny_ports.is_empty();
        let mut other = PortSet::new();
        other.insert(settings.min_port.max(1)..=u16::MAX);
        for port in &settings.deny_ports {
            other.remove(*port..=*port);
        }
        let mut loopback = other.clone();
        for port in &own.listener_ports {
            loopback.remove(*port..=*port);
        }
        let mut relay = PortSet::new();
        own.relayed_ports.clone().filter(|port| loopback.contains(*port)).for_each(|port| relay.insert(port..=port));
        let whole_range = relay.len() as usize == own.relayed_ports.len();
        Self {
            other: if without_rules { PeerPorts::Any } else { PeerPorts::Listed(Arc::new(other)) },
            relay: own.relay_to_relay.then(|| match whole_range {
                true => PeerPorts::Only(own.relayed_ports.clone()),
                false => PeerPorts::Listed(Arc::new(relay)),
            }),
            loopback: PeerPorts::Listed(Arc::new(loopback)),
        }
    }
}

/// Whether all of `range` is of one special use: closed until a rule opens it.
pub fn is_special(range: IpNet) -> bool {
    SPECIAL_USE.iter().flat_map(|special| special.nets).any(|net| net.contains(&range))
}

/// May a client have this address? "A TURN server MUST NOT accept Teredo or 6to4 addresses" (RFC 8656 §21.4).
///
/// # Errors
/// The rule that refuses it.
pub fn judge_source(client: ClientAddr) -> Result<(), Refusal> {
    let IpAddr::V6(ip) = client.ip() else { return Ok(()) };
    for reading in Embeddings::default().readings(ip) {
        match reading.form {
            Form::SixToFour => return refuse(SOURCE_6TO4),
            Form::Teredo => return refuse(SOURCE_TEREDO),
            _ => {}
        }
    }
    Ok(())
}

/// What a built-in rule on peers and clients means, by its id.
pub fn sentence(rule: &str) -> Option<&'static str> {
    let special = SPECIAL_USE.iter().map(|special| (special.rule, special.sentence));
    let forms = Form::ALL.iter().map(|form| (form.rule(), form.sentence()));
    special.chain(forms).chain(SENTENCES.iter().copied()).find(|(id, _)| *id == rule).map(|(_, sentence)| sentence)
}

const OWN_ADDRESS: &str = "own.address";
const OWN_BACKEND: &str = "own.backend";
const PORT_TOO_LOW: &str = "port.too_low";
const PORT_DENIED: &str = "port.denied";
const SOURCE_6TO4: &str = "source.6to4";
const SOURCE_TEREDO: &str = "source.teredo";

const SENTENCES: &[(&str, &str)] = &[
    (OWN_ADDRESS, "The peer is this relay's own host; at most its relayed addresses may be reached."),
    (OWN_BACKEND, "The peer is a host that the relay itself depends on."),
    (PORT_TOO_LOW, "The peer's port is below the smallest that is allowed."),
    (PORT_DENIED, "The peer's port is one that no peer may have."),
    (PEER_PORT, "The peer may be reached, but not on this port."),
    (SOURCE_6TO4, "A client must not come from a 6to4 address (RFC 8656 §21.4)."),
    (SOURCE_TEREDO, "A client must not come from a Teredo address (RFC 8656 §21.4)."),
];

fn refuse<T>(rule: &'static str) -> Result<T, Refusal> {
    Err(Refusal { rule: RuleId(rule.into()) })
}

fn check_rules(settings: &PeerSettings) -> Result<(), BadRules> {
    let rules = settings.allow.len().saturating_add(settings.deny.len());
    if rules > MAX_RULES {
        return Err(BadRules::TooMany(rules));
    }
    let mut ids = HashSet::new();
    for rule in settings.allow.iter().chain(&settings.deny) {
        if sentence(&rule.id).is_some() || !ids.insert(&rule.id) {
            return Err(BadRules::IdTaken(rule.id.clone()));
        }
    }
    settings.allow.iter().try_for_each(|rule| rule::check_allow(rule, settings.lab, &settings.embeddings))
}
