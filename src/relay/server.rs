//! The server: control flow only. What a request does is in `request/`, one file a method.

use std::collections::VecDeque;
use std::time::Duration;

use super::addr::{Family, ListenerId, Path, PeerAddr, RelayedAddr, Transport};
use super::clock::{Instant, Now};
use super::command::{Command, RelayFailure, RelayId};
use super::counters::Counters;
use super::event::Event;
use super::icmp;
use super::limits::{MAX_EXPIRIES_PER_CALL, MAX_LIFETIME, MAX_PAYLOAD, MAX_REPLY, NONCE_LIFETIME};
use super::nonce::{Features, NonceKey, Nonces};
use super::reason::{CloseReason, DropReason};
use super::request::send::Send;
use super::request::{self, allocate};
use super::resting::Resting;
use super::seam::{Entropy, Policy};
use super::table::Table;
use super::timer::Wheel;
use super::verdict::{FRONT_MAX, Front, PeerVerdict, Verdict};
use crate::wire::attribute::{Icmp, PasswordAlgorithms};
use crate::wire::channel_data::{self, ChannelData, ChannelDataError, ChannelNumber, ChannelNumbers};
use crate::wire::demux::{self, Kind};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::header::{Class, Method, TransactionId};
use crate::wire::message::Message;
use crate::wire::writer;

/// What is configured of the relay floor.
#[derive(Clone, Debug)]
pub struct Settings {
    /// REALM of every challenge: at most [`Settings::REALM_MAX`] bytes of printable ASCII without `"` and `\`.
    pub realm: Box<str>,
    /// Offer SHA-256 beside MD5 (PASSWORD-ALGORITHMS, RFC 8489 §9.2.1).
    pub offer_sha256: bool,
    /// Offer USERHASH in place of USERNAME (username anonymity, RFC 8489 §9.2): policy must know every user name
    /// beforehand, since clients that know RFC 8489 hide theirs then.
    pub offer_userhash: bool,
    /// Listeners that take SHA-256 alone: neither an MD5 key nor MESSAGE-INTEGRITY. Nobody gets in there unless SHA-256
    /// is offered.
    pub modern_only: Box<[ListenerId]>,
    /// Families of relayed addresses that the engine can open.
    pub families: Families,
    /// The longest lifetime that is granted; at most [`MAX_LIFETIME`].
    pub max_lifetime: Duration,
    /// The key of the nonces.
    pub nonce_key: NonceKey,
    /// What clients send on a channel is dropped, too, once the permission of its peer has expired (RFC 8656 §12.6 asks
    /// for the channel only).
    pub strict_permissions: bool,
    /// The numbers that clients may bind.
    pub channel_numbers: ChannelNumbers,
}

impl Settings {
    /// Keeps every challenge within 128 bytes for the usual realms and within [`MAX_REPLY`] for all.
    pub const REALM_MAX: usize = 127;

    /// PASSWORD-ALGORITHMS of the challenges at `listener` (RFC 8489 §14.11), best first.
    pub(super) fn algorithms(&self, listener: ListenerId) -> Option<PasswordAlgorithms<'static>> {
        match (self.offer_sha256, self.takes_legacy(listener)) {
            (false, _) => None,
            (true, true) => Some(PasswordAlgorithms::SHA256_THEN_MD5),
            (true, false) => Some(PasswordAlgorithms::SHA256),
        }
    }

    /// Whether MD5 and SHA-1 will do at `listener`.
    pub(super) fn takes_legacy(&self, listener: ListenerId) -> bool {
        !self.modern_only.contains(&listener)
    }

    fn features(&self) -> Features {
        Features { password_algorithms: self.offer_sha256, anonymity: self.offer_userhash }
    }
}

/// Which families of relayed addresses there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Families {
    /// Whether `family` is among them.
    pub fn has(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// One worker's TURN server.
pub struct Server<P: Policy, E> {
    pub(super) settings: Settings,
    pub(super) policy: P,
    pub(super) entropy: E,
    pub(super) nonces: Nonces,
    pub(super) table: Table<P::Lease>,
    pub(super) wheel: Wheel,
    pub(super) resting: Resting,
    pub(super) commands: VecDeque<Command>,
    counters: Counters,
    /// Makes the transaction ids of Data indications, which nobody answers.
    pub(super) indications: u64,
}

impl<P: Policy, E: Entropy> Server<P, E> {
    /// A server without allocations.
    pub fn new(mut settings: Settings, policy: P, mut entropy: E) -> Self {
        settings.max_lifetime = settings.max_lifetime.min(MAX_LIFETIME);
        let mut seed = || {
            let mut bytes = [0; 8];
            entropy.fill(&mut bytes);
            u64::from_be_bytes(bytes)
        };
        Self {
            nonces: Nonces::new(&settings.nonce_key, settings.features(), NONCE_LIFETIME),
            table: Table::new(seed()),
            wheel: Wheel::new(),
            resting: Resting::new(seed()),
            commands: VecDeque::new(),
            counters: Counters::default(),
            indications: seed(),
            settings,
            policy,
            entropy,
        }
    }

    /// A datagram came from a client. An answer, if it is the verdict, is written into `reply`.
    pub fn on_client_datagram(
        &mut self,
        now: Now,
        path: Path,
        datagram: &[u8],
        reply: &mut [u8; MAX_REPLY],
    ) -> Verdict {
        let verdict = match demux::classify(datagram) {
            Kind::ChannelData => self.on_channel_data(now.instant, &path, datagram),
            Kind::Stun => self.on_stun(now, path, datagram, reply),
            // RFC 5766 has channel numbers where RFC 7983 has nothing.
            Kind::Other if self.settings.channel_numbers == ChannelNumbers::Rfc5766 => {
                self.on_channel_data(now.instant, &path, datagram)
            }
            Kind::Dtls | Kind::Other => Verdict::Drop(DropReason::NotTurn),
        };
        self.count(&verdict);
        verdict
    }

    /// A datagram of `len` bytes came from a peer to a relay socket.
    pub fn on_peer_datagram(&mut self, now: Instant, relay: RelayId, peer: PeerAddr, len: usize) -> PeerVerdict {
        let verdict = self.judge_peer_datagram(now, relay, peer, len);
        match &verdict {
            PeerVerdict::ToClient { .. } => {
                self.counters.packets_to_clients = self.counters.packets_to_clients.wrapping_add(1);
                self.counters.bytes_to_clients = self.counters.bytes_to_clients.wrapping_add(len as u64);
            }
            PeerVerdict::Drop(reason) => {
                self.counters.count_drop(*reason);
                if let Some(allocation) = self.table.get_mut(relay) {
                    allocation.totals.dropped = allocation.totals.dropped.wrapping_add(1);
                }
            }
        }
        verdict
    }

    /// The client's connection has ended, and its allocation with it (D-11 of docs/conformance.md).
    pub fn on_stream_closed(&mut self, now: Now, path: &Path) {
        // Behind a proxy two connections can claim to be of one client; the other one's allocation stays.
        let own = |id: &RelayId| self.table.get(*id).is_some_and(|own| own.path.transport == path.transport);
        if let Some(id) = self.table.find(path).filter(own) {
            self.close(now, id, CloseReason::StreamClosed);
        }
    }

    /// The channel numbers that clients may bind: they tell where messages begin in a stream.
    pub fn channel_numbers(&self) -> ChannelNumbers {
        self.settings.channel_numbers
    }

    /// An ICMP error came about a datagram that left `relay` for `peer`, whose port is 0 where it is not known (RFC
    /// 8656 §11.5). The client may hear of it, by a command. Never ends anything.
    pub fn on_peer_icmp(&mut self, now: Instant, relay: RelayId, peer: PeerAddr, error: Icmp) {
        let told = icmp::judge(self, now, relay, peer, error);
        match told {
            Ok(command) => self.commands.push_back(command),
            Err(reason) => self.counters.count_drop(reason),
        }
    }

    /// The slot of the allocation on this path, if there is one.
    pub fn slot_of(&self, path: &Path) -> Option<u32> {
        self.table.slot_of(path)
    }

    /// Datagrams for the allocations in these slots come next. What they will be judged by is read now, one step for
    /// all of them and then the next: the processor fetches many places from memory at once, instead of waiting for
    /// each in turn when it is needed. Changes nothing.
    pub fn foresee(&self, slots: &[u32]) {
        self.table.touch(slots);
    }

    /// The relay socket that a command asked for is open, and known to the world as `relayed`.
    pub fn on_relay_opened(&mut self, now: Now, relay: RelayId, relayed: RelayedAddr) {
        allocate::on_relay_opened(self, now, relay, relayed);
    }

    /// The relay socket that a command asked for cannot be had.
    pub fn on_relay_failed(&mut self, now: Now, relay: RelayId, failure: RelayFailure) {
        allocate::on_relay_failed(self, now, relay, failure);
    }

    /// The next side effect to carry out, in order. To be called until there is none, after a batch of other calls at
    /// the latest.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When to call [`Self::on_deadline`] next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// Ends what has expired, a bounded number at a time: if more is due, [`Self::next_deadline`] says so.
    pub fn on_deadline(&mut self, now: Now) {
        for _ in 0..MAX_EXPIRIES_PER_CALL {
            let Some(slot) = self.wheel.pop_due(now.instant) else { return };
            let Some(id) = self.table.at(slot) else { continue };
            self.close_if_expired(now, id);
        }
    }

    /// Ends every allocation.
    pub fn shutdown(&mut self, now: Now) {
        for id in self.table.ids() {
            self.close(now, id, CloseReason::Shutdown);
        }
    }

    /// Allocations that stand, those being opened included.
    pub fn allocations(&self) -> usize {
        self.table.len()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn on_channel_data(&mut self, now: Instant, path: &Path, datagram: &[u8]) -> Verdict {
        let Some((relay, allocation)) = self.table.by_path(path) else {
            return Verdict::Drop(DropReason::NoAllocation);
        };
        let verdict = match ChannelData::parse_among(self.settings.channel_numbers, datagram) {
            Err(ChannelDataError::BadNumber) => Verdict::Drop(DropReason::NotTurn),
            Err(_) => Verdict::Drop(DropReason::TruncatedChannelData),
            Ok(_) if !allocation.is_open(now) => Verdict::Drop(DropReason::RelayNotOpen),
            Ok(data) => match allocation.channels.by_number(data.number, now) {
                None => Verdict::Drop(DropReason::UnboundChannel),
                // RFC 8656 §12.6 asks for the channel only, which outlives its permission (D-08).
                Some(channel) if self.settings.strict_permissions && !channel.is_permitted(now) => {
                    Verdict::Drop(DropReason::NoPermission)
                }
                Some(channel) => match allocation.outlet(relay, channel.peer.family(), now) {
                    None => Verdict::Drop(DropReason::FamilyMismatch),
                    Some(relay) => {
                        Verdict::Forward { relay, peer: channel.peer, payload: data.payload, dont_fragment: false }
                    }
                },
            },
        };
        allocation.count(&verdict);
        verdict
    }

    fn on_stun(&mut self, now: Now, path: Path, datagram: &[u8], reply: &mut [u8; MAX_REPLY]) -> Verdict {
        let Ok(message) = Message::parse(datagram) else { return Verdict::Drop(DropReason::Malformed) };
        if message.fingerprint() == Fingerprint::Invalid {
            return Verdict::Drop(DropReason::BadFingerprint);
        }
        match (message.class(), message.method()) {
            (Class::Indication, Method::SEND) => self.on_send(now.instant, &path, &message),
            (Class::Indication, Method::BINDING) => Verdict::Pending,
            (Class::Request, _) if path.client.port() == 0 => Verdict::Drop(DropReason::SourcePortZero),
            (Class::Request, _) => request::handle(self, now, path, &message, reply),
            (Class::Indication, _) => Verdict::Drop(DropReason::UnsupportedMethod),
            (Class::Success | Class::Error, _) => Verdict::Drop(DropReason::UnexpectedResponse),
        }
    }

    fn on_send(&mut self, now: Instant, path: &Path, message: &Message<'_>) -> Verdict {
        let Some((relay, allocation)) = self.table.by_path(path) else {
            return Verdict::Drop(DropReason::NoAllocation);
        };
        let verdict = match request::send::judge(relay, allocation, now, message) {
            Ok(Send { relay, peer, payload, dont_fragment }) => {
                Verdict::Forward { relay, peer, payload, dont_fragment }
            }
            Err(reason) => Verdict::Drop(reason),
        };
        allocation.count(&verdict);
        verdict
    }

    fn judge_peer_datagram(&mut self, now: Instant, relay: RelayId, peer: PeerAddr, len: usize) -> PeerVerdict {
        let Some(allocation) = self.table.get_mut(relay) else {
            return PeerVerdict::Drop(DropReason::NoAllocation);
        };
        if allocation.outlet(relay, peer.family(), now).is_none() {
            return PeerVerdict::Drop(DropReason::RelayNotOpen);
        }
        if allocation.suspended {
            return PeerVerdict::Drop(DropReason::Suspended);
        }
        let channel = allocation.channels.by_peer(peer, now);
        let permitted = match channel {
            Some(channel) => channel.is_permitted(now),
            None => allocation.permissions.get(peer.ip(), now).is_some(),
        };
        if !permitted {
            return PeerVerdict::Drop(DropReason::NoPermission);
        }
        let front = match channel {
            Some(channel) => channel_front(channel.number, len, allocation.path.transport),
            None => {
                self.indications = self.indications.wrapping_add(1);
                data_indication_front(indication_id(self.indications), peer, len)
            }
        };
        let Some((front, padding)) = front else { return PeerVerdict::Drop(DropReason::TooLong) };
        allocation.totals.packets_to_client = allocation.totals.packets_to_client.wrapping_add(1);
        allocation.totals.bytes_to_client = allocation.totals.bytes_to_client.wrapping_add(len as u64);
        PeerVerdict::ToClient { path: allocation.path, front, padding }
    }

    fn count(&mut self, verdict: &Verdict) {
        let counters = &mut self.counters;
        match verdict {
            Verdict::Forward { payload, .. } => {
                counters.packets_to_peers = counters.packets_to_peers.wrapping_add(1);
                counters.bytes_to_peers = counters.bytes_to_peers.wrapping_add(payload.len() as u64);
            }
            Verdict::Reply { .. } => counters.replies = counters.replies.wrapping_add(1),
            Verdict::Pending => counters.pending = counters.pending.wrapping_add(1),
            Verdict::Drop(reason) => counters.count_drop(*reason),
        }
    }

    /// Ends the allocation if its time is over, and sets its timer again if not.
    pub(super) fn close_if_expired(&mut self, now: Now, id: RelayId) {
        let Some(allocation) = self.table.get(id) else { return };
        if allocation.is_over(now.instant) {
            return self.close(now, id, CloseReason::Expired);
        }
        let Some(expires) = allocation.next_expiry() else { return };
        if expires > now.instant {
            return self.wheel.set(now.instant, id.slot, expires);
        }
        let alive = if allocation.has(Family::V4, now.instant) { Family::V4 } else { Family::V6 };
        self.close_family(now, id, alive.other(), CloseReason::Expired);
    }

    /// Ends the address of one family; the allocation goes on with the other.
    pub(super) fn close_family(&mut self, now: Now, id: RelayId, family: Family, reason: CloseReason) {
        let Some(allocation) = self.table.get_mut(id) else { return };
        let Some((relay, ended)) = allocation.end(id, family) else { return };
        let (record, expires) = (allocation.record(), allocation.next_expiry());
        if relay != id {
            self.table.remove_second(relay);
        }
        self.commands.push_back(Command::CloseRelay { relay });
        if let Some(expires) = expires {
            self.wheel.set(now.instant, id.slot, expires);
        }
        if let Some(allocation) = record {
            self.audit(Event::Narrowed { at: now, allocation, ended, reason });
        }
    }

    /// Ends an allocation: its relay socket, its permissions and channels, its user's share; and tells the audit trail.
    pub(super) fn close(&mut self, now: Now, id: RelayId, reason: CloseReason) {
        self.wheel.cancel(id.slot);
        let Some(allocation) = self.table.remove(id) else { return };
        if self.table.len() == 0 {
            self.wheel.give_back();
        }
        let second = allocation.second.as_ref().map(|second| second.relay);
        // The first is gone if that of the other family has outlived it.
        let first = (allocation.first.is_some() || allocation.opening.is_some()).then_some(id);
        let sockets = first.into_iter().chain(second);
        self.commands.extend(sockets.map(|relay| Command::CloseRelay { relay }));
        // Over a stream nothing is retransmitted, and what was under way ended with it.
        if !allocation.path.transport.is_stream() {
            self.resting.add(now.instant, &allocation.path, &allocation.who.user, allocation.transaction_id);
        }
        if let Some(record) = allocation.record() {
            let event = Event::Closed { at: now, allocation: record, reason, totals: allocation.totals };
            self.audit(event);
        }
    }

    pub(super) fn audit(&mut self, event: Event) {
        self.commands.push_back(Command::Audit(Box::new(event)));
    }
}

/// The ChannelData header for a payload of `len` bytes, and the zero bytes due behind it: over a stream messages are
/// padded to a multiple of four, over UDP they are not (RFC 8656 §12.5).
fn channel_front(number: ChannelNumber, len: usize, transport: Transport) -> Option<(Front, usize)> {
    let header_len = u16::try_from(len).ok().filter(|_| len <= MAX_PAYLOAD)?;
    let padding = if transport.is_stream() { len.wrapping_neg() & 3 } else { 0 };
    Some((Front::new(&channel_data::header(number, header_len)), padding))
}

/// The transaction id of an indication, which nobody answers: to be unique is all that it is for.
pub(super) fn indication_id(number: u64) -> TransactionId {
    let mut id = [0; 12];
    // Weyl's sequence spreads consecutive numbers over all bits.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    id.iter_mut().zip(spread.into_iter().chain(spread)).for_each(|(to, from)| *to = from);
    TransactionId(id)
}

/// The Data indication up to its payload of `len` bytes, and the zero bytes due behind it.
fn data_indication_front(id: TransactionId, peer: PeerAddr, len: usize) -> Option<(Front, usize)> {
    if len > MAX_PAYLOAD {
        return None;
    }
    let mut bytes = [0; FRONT_MAX];
    let written = writer::data_indication_front(&mut bytes, id, peer.0, len).ok()?;
    Some((Front::new(bytes.get(..written.len)?), written.padding))
}
