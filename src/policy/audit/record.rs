//! The records of the audit trail: one line of canonical JSON each, with stable field names.

use std::borrow::Cow;

use super::format::{Timestamp, Uuid};
use super::json::{MAX_NUMBER, Object};
use crate::policy::auth;
use crate::policy::rule_sentence;
use crate::relay::event::{AllocationRecord, AllocationUuid, Denial, Event, RequestKind, Totals};
use crate::relay::reason::{CloseReason, RuleId};
use crate::relay::seam::Identity;
use crate::relay::{ClientAddr, Now, Path, PeerAddr, RelayedAddr, Transport};

/// Something to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// What the relay did.
    Event(Event),
    /// Denials like one that was recorded before: the last of them stands for all.
    Repeats {
        /// The last.
        last: Event,
        /// How many.
        count: u64,
        /// When the first of them came.
        first: Now,
    },
    /// Denials of too many kinds to tell them apart.
    Spilled {
        /// How many.
        count: u64,
        /// When the first of them came.
        first: Now,
        /// When the last of them came.
        at: Now,
    },
    /// Events that are lost, because the writer could not keep up.
    Gap {
        /// How many.
        count: u64,
        /// When the first was lost.
        first: Now,
        /// When the last was lost.
        at: Now,
    },
    /// Recording begins.
    Started {
        /// When.
        at: Now,
    },
    /// Recording ends as it should.
    Stopped {
        /// When.
        at: Now,
    },
    /// The file was moved away or deleted; this record stands in the one that takes its place, and numbers go on.
    Rotated {
        /// When it was noticed.
        at: Now,
        /// No name is left of the old one.
        was_deleted: bool,
    },
    /// The wall clock went another way than the monotonic one.
    ClockStepped {
        /// When it was noticed.
        at: Now,
        /// How far it jumped, in milliseconds; negative is back.
        by_millis: i64,
    },
    /// The end of the file was a record that a crash cut short; it was taken off.
    Recovered {
        /// When.
        at: Now,
        /// How many bytes were taken off.
        torn_bytes: u64,
    },
}

/// Where records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The name of this relay.
    pub node: String,
    /// What tells this run of it from every other.
    pub boot_id: String,
}

impl Entry {
    /// Appends the record's line, with its line feed, to `out`.
    pub fn write_line(&self, origin: &Origin, seq: u64, out: &mut String) {
        Fields::of(self).write(origin, seq, out);
        out.push('\n');
    }
}

/// The fields of a record, absent where they do not apply. `prev` will stand here once records are chained.
struct Fields<'a> {
    at: Now,
    event: &'static str,
    failed: bool,
    detail: Cow<'a, str>,
    reason: Option<&'static str>,
    rule: Option<&'a str>,
    allocation: Option<AllocationUuid>,
    who: Option<&'a Identity>,
    client: Option<Client>,
    relay: Option<RelayedAddr>,
    relay_also: Option<RelayedAddr>,
    peer: Option<PeerAddr>,
    totals: Option<&'a Totals>,
    duration_ms: Option<u64>,
    count: Option<u64>,
    first: Option<Now>,
}

/// A client; without a port where the record is about several of them.
struct Client {
    addr: ClientAddr,
    transport: Transport,
    with_port: bool,
}

impl<'a> Fields<'a> {
    fn new(at: Now, event: &'static str, detail: impl Into<Cow<'a, str>>) -> Self {
        Self {
            at,
            event,
            failed: false,
            detail: detail.into(),
            reason: None,
            rule: None,
            allocation: None,
            who: None,
            client: None,
            relay: None,
            relay_also: None,
            peer: None,
            totals: None,
            duration_ms: None,
            count: None,
            first: None,
        }
    }

    fn of(entry: &'a Entry) -> Self {
        match entry {
            Entry::Event(event) => Self::of_event(event),
            Entry::Repeats { last, count, first } => Self::of_event(last).repeated(*count, *first),
            Entry::Spilled { count, first, at } => Self {
                failed: true,
                reason: Some("too_many_kinds"),
                rule: Some("limit.audit_denials"),
                ..Self::new(*at, "limit.hit", "Denials of more kinds than are told apart were counted together.")
            }
            .with_count(*count, *first),
            Entry::Gap { count, first, at } => Self {
                failed: true,
                reason: Some("queue_full"),
                ..Self::new(
                    *at,
                    "audit.gap",
                    "Events were lost because the audit file could not be written fast enough.",
                )
            }
            .with_count(*count, *first),
            Entry::Started { at } => Self::new(*at, "audit.start", "Recording begins."),
            Entry::Stopped { at } => Self::new(*at, "audit.stop", "Recording ends."),
            Entry::Rotated { at, was_deleted: false } => {
                Self::new(*at, "audit.rotate", "The file was moved away; recording goes on in this one.")
            }
            Entry::Rotated { at, was_deleted: true } => Self {
                failed: true,
                reason: Some("file_deleted"),
                ..Self::new(
                    *at,
                    "audit.rotate",
                    "The file was deleted with its records; recording goes on in this one.",
                )
            },
            Entry::ClockStepped { at, by_millis } => Self::new(
                *at,
                "clock.step",
                format!(
                    "The wall clock jumped by {by_millis} ms; by mono_ns, records before and after it can be compared."
                ),
            ),
            Entry::Recovered { at, torn_bytes } => Self::new(
                *at,
                "relay.recovered",
                format!("A crash had cut the last record short; {torn_bytes} bytes of it were taken off."),
            ),
        }
    }

    fn of_event(event: &'a Event) -> Self {
        match event {
            Event::Opened { at, allocation, lifetime } => Self::of_allocation(
                *at,
                "allocation.open",
                format!("Allocated for {} s.", lifetime.as_secs()),
                allocation,
                None,
            ),
            Event::Refreshed { at, allocation, lifetime, totals } => Self::of_allocation(
                *at,
                "allocation.refresh",
                format!("Refreshed for {} s.", lifetime.as_secs()),
                allocation,
                Some(totals),
            ),
            Event::Narrowed { at, allocation, ended, reason } => Self {
                reason: Some(reason.name()),
                relay: Some(*ended),
                relay_also: None,
                ..Self::of_allocation(
                    *at,
                    "allocation.narrow",
                    format!("One of its two addresses ended; {} goes on.", allocation.relayed),
                    allocation,
                    None,
                )
            },
            Event::Closed { at, allocation, reason, totals } => Self {
                reason: Some(reason.name()),
                ..Self::of_allocation(*at, "allocation.close", close_sentence(*reason), allocation, Some(totals))
            },
            Event::Denied { at, path, who, allocation, request, code, denial } => Self {
                failed: true,
                reason: Some(reason_of(denial)),
                rule: rule_of(denial).map(|rule| &*rule.0),
                allocation: *allocation,
                who: who.as_ref(),
                client: Some(Client::of(path)),
                peer: if let Denial::Peer { peer, .. } = denial { Some(*peer) } else { None },
                ..Self::new(*at, denial_event(*request, denial), denial_sentence(*request, *code, denial))
            },
        }
    }

    fn of_allocation(
        at: Now,
        event: &'static str,
        detail: impl Into<Cow<'a, str>>,
        allocation: &'a AllocationRecord,
        totals: Option<&'a Totals>,
    ) -> Self {
        let stood = at.instant.since(allocation.opened.instant);
        Self {
            allocation: Some(allocation.uuid),
            who: Some(&allocation.who),
            client: Some(Client::of(&allocation.path)),
            relay: Some(allocation.relayed),
            relay_also: allocation.also,
            totals,
            duration_ms: totals.map(|_| u64::try_from(stood.as_millis()).unwrap_or(MAX_NUMBER)),
            ..Self::new(at, event, detail)
        }
    }

    fn repeated(self, count: u64, first: Now) -> Self {
        let client = self.client.map(|client| Client { with_port: false, ..client });
        let detail = format!("{count} more like this, from the same network. The last: {}", self.detail);
        Self { client, detail: detail.into(), allocation: None, peer: None, ..self }.with_count(count, first)
    }

    fn with_count(self, count: u64, first: Now) -> Self {
        Self { count: Some(count), first: Some(first), ..self }
    }

    fn write(&self, origin: &Origin, seq: u64, out: &mut String) {
        Object::write(out, |record| {
            self.allocation.iter().for_each(|uuid| record.display("alloc", Uuid(uuid)));
            record.text("boot_id", &origin.boot_id);
            self.totals.iter().for_each(|totals| {
                record.object("bytes", |bytes| directions(bytes, totals.bytes_to_peers, totals.bytes_to_client));
            });
            self.client.iter().for_each(|client| record.object("client", |object| client.write(object)));
            self.count.iter().for_each(|count| record.number("count", *count));
            record.text("detail", &self.detail);
            self.totals.iter().for_each(|totals| {
                record.object("dropped", |dropped| dropped.number("total", totals.dropped));
            });
            self.duration_ms.iter().for_each(|duration| record.number("duration_ms", *duration));
            record.text("event", self.event);
            self.first.iter().for_each(|first| record.display("first_ts", Timestamp(*first)));
            self.who.and_then(|who| who.key_id.as_deref()).iter().for_each(|id| record.text("kid", id));
            // Stands still after 104 days, when it is `MAX_NUMBER`; `seq` orders records for ever.
            record.number("mono_ns", self.at.instant.as_nanos());
            record.text("node", &origin.node);
            record.text("outcome", if self.failed { "failure" } else { "success" });
            self.totals.iter().for_each(|totals| {
                record.object("packets", |packets| {
                    directions(packets, totals.packets_to_peers, totals.packets_to_client)
                });
            });
            self.peer.iter().for_each(|peer| record.object("peer", |object| transport_address(object, peer.0)));
            self.reason.iter().for_each(|reason| record.text("reason", reason));
            self.relay.iter().for_each(|relay| record.object("relay", |object| transport_address(object, relay.0)));
            self.relay_also.iter().for_each(|relay| {
                record.object("relay_also", |object| transport_address(object, relay.0));
            });
            self.rule.iter().for_each(|rule| record.text("rule", rule));
            record.number("seq", seq);
            record.display("ts", Timestamp(self.at));
            self.who.iter().for_each(|who| record.text("user", &who.user.0));
            record.number("v", 1);
        });
    }
}

impl Client {
    fn of(path: &Path) -> Self {
        Self { addr: path.client, transport: path.transport, with_port: true }
    }

    fn write(&self, object: &mut Object<'_>) {
        object.display("ip", self.addr.ip());
        if self.with_port {
            object.number("port", self.addr.port().into());
        }
        if let Transport::Tls(_, agreed) = self.transport {
            object.object("tls", |object| {
                object.text("cipher", cipher_suite(agreed.cipher_suite));
                object.text("version", tls_version(agreed.version));
            });
        }
        object.text("transport", self.transport.name());
    }
}

/// The name in IANA's registry "TLS Cipher Suites", of those that are spoken here.
fn cipher_suite(number: u16) -> &'static str {
    match number {
        0x1301 => "TLS_AES_128_GCM_SHA256",
        0x1302 => "TLS_AES_256_GCM_SHA384",
        0x1303 => "TLS_CHACHA20_POLY1305_SHA256",
        0xC02B => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        0xC02C => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        0xC02F => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        0xC030 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        0xCCA8 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        0xCCA9 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        _ => "another",
    }
}

fn tls_version(number: u16) -> &'static str {
    match number {
        0x0303 => "1.2",
        0x0304 => "1.3",
        _ => "another",
    }
}

fn directions(object: &mut Object<'_>, client_to_peers: u64, peers_to_client: u64) {
    object.number("c2p", client_to_peers);
    object.number("p2c", peers_to_client);
}

fn transport_address(object: &mut Object<'_>, addr: std::net::SocketAddr) {
    object.display("ip", addr.ip());
    object.number("port", addr.port().into());
}

fn close_sentence(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::ClientRefresh => "The client ended it.",
        CloseReason::Expired => "Its lifetime passed without a Refresh.",
        CloseReason::StreamClosed => "The client's connection ended.",
        CloseReason::Shutdown => "The relay stopped.",
    }
}

fn denial_event(request: RequestKind, denial: &Denial) -> &'static str {
    match (denial, request) {
        (Denial::Credentials(_), _) => "auth.fail",
        (_, RequestKind::Allocate | RequestKind::Refresh) => "allocation.deny",
        (_, RequestKind::CreatePermission | RequestKind::ChannelBind) => "permission.deny",
    }
}

/// The stable code of a denial; one that a rule caused has the rule's id beside it.
pub fn reason_of(denial: &Denial) -> &'static str {
    match denial {
        Denial::Credentials(reason) => reason.name(),
        Denial::Peer { .. } => "peer_denied",
        Denial::Client(_) => "client_denied",
        Denial::BadRequest(_) => "bad_request",
        Denial::UnknownAttribute(_) => "unknown_attribute",
        Denial::NoAllocation => "no_allocation",
        Denial::AllocationExists => "allocation_exists",
        Denial::FamilyMismatch => "family_mismatch",
        Denial::WrongUser => "wrong_user",
        Denial::Family(_) => "family_not_offered",
        Denial::TransportProtocol(_) => "transport_not_offered",
        Denial::Elsewhere(_) => "try_alternate",
        Denial::Quota(_) => "quota_reached",
        Denial::Capacity(_) => "capacity_exhausted",
        Denial::Unavailable(_) => "not_available",
    }
}

/// The rule that caused a denial, if one did.
pub fn rule_of(denial: &Denial) -> Option<&RuleId> {
    match denial {
        Denial::Peer { rule, .. } | Denial::Client(rule) | Denial::Quota(rule) => Some(rule),
        _ => None,
    }
}

/// What was refused, with which code, and why: for people.
pub fn denial_sentence(request: RequestKind, code: u16, denial: &Denial) -> String {
    let request = match request {
        RequestKind::Allocate => "Allocate",
        RequestKind::Refresh => "Refresh",
        RequestKind::CreatePermission => "CreatePermission",
        RequestKind::ChannelBind => "ChannelBind",
    };
    let why: Cow<'_, str> = match denial {
        Denial::Credentials(reason) => auth::sentence(*reason).into(),
        Denial::Peer { rule, .. } | Denial::Client(rule) | Denial::Quota(rule) => match rule_sentence(&rule.0) {
            Some(sentence) => sentence.into(),
            None => format!("The configured rule {:?} says so.", rule.0).into(),
        },
        Denial::BadRequest(what) => format!("{what}.").into(),
        Denial::UnknownAttribute(number) => format!("Attribute {number:#06x} must be understood and is not.").into(),
        Denial::NoAllocation => "There is no allocation on the 5-tuple: it has ended, or never was.".into(),
        Denial::AllocationExists => {
            "The 5-tuple has an allocation already, or had it of this very request and ended it.".into()
        }
        Denial::FamilyMismatch => "The relayed address is of the other address family.".into(),
        Denial::WrongUser => "The allocation or its 5-tuple is another user's.".into(),
        Denial::Family(family) => format!("Address family {family} is not offered.").into(),
        Denial::TransportProtocol(protocol) => format!("Transport protocol {protocol} is not offered.").into(),
        Denial::Elsewhere(alternate) => format!("The client was sent to {}.", alternate.server).into(),
        Denial::Capacity(what) => format!("Out of {what}.").into(),
        Denial::Unavailable(what) => format!("{what}.").into(),
    };
    format!("{request} was refused with {code}. {why}")
}
