//! The judge at the server's door: everything that comes in and goes out passes here, and is held to the promises.
//!
//! P1: what belongs to one 5-tuple reaches no other. P2: nothing leaves a relayed address, or comes in by one, without
//! a permission that was granted, has not expired and that policy allows. P3: what was received was relayed, answered
//! or counted as dropped. P4: a success is told after its allocation was recorded; what was opened is closed once, with
//! the right totals.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use turnkeep::engine::sim::Output;
use turnkeep::relay::event::{AllocationRecord, AllocationUuid, Event, Totals};
use turnkeep::relay::seam::{Identity, Policy};
use turnkeep::relay::{Counters, Instant, Path, PeerAddr, RelayedAddr, Settings};
use turnkeep::wire::attribute::{ChannelNumberAttribute, XorPeerAddress, XorRelayedAddress};
use turnkeep::wire::header::{Class, Method};
use turnkeep::wire::message::Message;

use crate::policy::SharedPolicy;
use crate::sans_io::Judge;

const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);

pub(crate) struct Ledger {
    judge: Judge,
    policy: SharedPolicy,
    now: Instant,
    open: Vec<Entry>,
    /// Names of all that were ever opened.
    names: Vec<AllocationUuid>,
    /// Requests that were not answered yet.
    asked: Vec<(Path, Vec<u8>)>,
    pub(crate) stats: Stats,
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) opened: u64,
    pub(crate) refreshed: u64,
    /// Of two addresses one was given up, or expired.
    pub(crate) narrowed: u64,
    pub(crate) closed: u64,
    pub(crate) denied: u64,
    /// Allocations that a crash took away.
    pub(crate) lost: u64,
    pub(crate) answers: u64,
    pub(crate) to_peers: u64,
    pub(crate) to_clients: u64,
    pub(crate) dropped: u64,
}

/// An open allocation, as the audit trail and the answers tell of it.
struct Entry {
    name: AllocationUuid,
    /// One relayed address, or one of each family.
    relayed: Vec<SocketAddr>,
    who: Identity,
    path: Path,
    permissions: BTreeMap<IpAddr, Instant>,
    /// Until when each number and peer are bound to each other.
    channels: BTreeMap<(u16, SocketAddr), Instant>,
    totals: Totals,
}

impl Ledger {
    pub(crate) fn new(settings: &Settings, policy: SharedPolicy) -> Self {
        Self {
            judge: Judge::new(settings),
            policy,
            now: Instant::default(),
            open: Vec::new(),
            names: Vec::new(),
            asked: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// A datagram comes in at a listener.
    pub(crate) fn client_says(&mut self, path: Path, bytes: &[u8]) {
        let is_request = Message::parse(bytes).is_ok_and(|message| message.class() == Class::Request);
        if is_request {
            self.asked.push((path, bytes.to_vec()));
            // What is not answered at all (retransmissions of what is under way) is forgotten.
            if self.asked.len() > 4096 {
                self.asked.drain(..2048);
            }
        }
    }

    /// What the server does next.
    pub(crate) fn output(&mut self, now: Instant, output: &Output) {
        self.now = now;
        match output {
            Output::ToClient { path, bytes, relayed: None } => self.answered(*path, bytes),
            Output::ToClient { path, bytes, relayed: Some((relayed, peer)) } => {
                self.comes_from_peer(*path, bytes, *relayed, *peer);
            }
            Output::ToPeer { from, peer, bytes, .. } => self.leaves_for_peer(*from, *peer, bytes.len()),
            Output::Audit(event) => self.recorded(event),
            Output::Close(relayed) => {
                // CloseRelay is asked for before the event is recorded; both within one call.
                assert!(self.at(*relayed).is_some(), "a socket is closed that no allocation had");
            }
            Output::Open(_) => {}
            Output::Dropped(_) => self.stats.dropped += 1,
        }
    }

    /// P3, and the tables: `counters` are the server's, `heard` the datagrams that it was given.
    pub(crate) fn balance(&self, counters: &Counters, heard: u64, sockets: usize, allocations: usize) {
        let relayed = counters.packets_to_peers + counters.packets_to_clients;
        let accounted = relayed + counters.replies + counters.pending + counters.dropped_in_all();
        assert_eq!(accounted, heard, "P3: {counters:?}");
        let told: usize = self.open.iter().map(|entry| entry.relayed.len()).sum();
        // Of two sockets that are asked for, the first may be open.
        let half_open = sockets.checked_sub(told).expect("P6: a socket for each relayed address");
        assert!(half_open <= allocations.saturating_sub(self.open.len()), "P6: and for no others");
        assert_eq!(self.policy.held(), allocations, "P6: a part of a share for each allocation");
        assert!(allocations >= self.open.len(), "P6: those being opened come on top");
    }

    /// The process died: what was open is lost.
    pub(crate) fn crashed(&mut self) {
        self.stats.lost += self.open.len() as u64;
        self.open.clear();
        self.asked.clear();
    }

    /// The 5-tuples of what is open.
    pub(crate) fn tuples(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        self.open.iter().map(|entry| (entry.path.client.0, entry.path.server.0))
    }

    fn at(&mut self, relayed: RelayedAddr) -> Option<&mut Entry> {
        self.open.iter_mut().find(|entry| entry.relayed.contains(&relayed.0))
    }

    /// P4, at the end of all.
    pub(crate) fn close_books(&self) {
        assert_eq!(self.open.len(), 0, "P4: opened and never closed");
        let Stats { opened, closed, lost, .. } = self.stats;
        assert_eq!(opened, closed + lost, "P4: one close per open");
    }

    fn answered(&mut self, path: Path, bytes: &[u8]) {
        let message = Message::parse(bytes).expect("an answer is a STUN message");
        let id = message.transaction_id().0;
        let is_it = |(whose, request): &(Path, Vec<u8>)| *whose == path && request[8..20] == id;
        let place =
            self.asked.iter().position(is_it).unwrap_or_else(|| panic!("nobody on {path:?} asked: {message:?}"));
        let (_, request) = self.asked.swap_remove(place);
        self.judge.response(&path, &request, bytes);
        self.stats.answers += 1;
        if message.class() != Class::Success || message.method() == Method::BINDING {
            return;
        }
        if message.method() == Method::REFRESH {
            // Refresh(0) has closed it before it is answered.
            return;
        }
        let is_here = |entry: &&mut Entry| entry.path.client == path.client && entry.path.server == path.server;
        let open = self.open.iter_mut().find(is_here);
        let entry = open.expect("P4: a success is told before its allocation was recorded");
        let request = Message::parse(&request).expect("it was one");
        match message.method() {
            Method::ALLOCATE => {
                let told = message.all::<XorRelayedAddress>().map(|address| address.expect("an address").0);
                assert_eq!(told.collect::<Vec<_>>(), entry.relayed, "P4: told and recorded");
            }
            Method::CREATE_PERMISSION => {
                let until = self.now.after(PERMISSION);
                let peers = request.all::<XorPeerAddress>().map(|peer| peer.expect("a success has valid ones").0);
                entry.permissions.extend(peers.map(|peer| (peer.ip(), until)));
            }
            Method::CHANNEL_BIND => {
                let peer = request.get::<XorPeerAddress>().unwrap().expect("it was bound").0;
                let number = request.get::<ChannelNumberAttribute>().unwrap().expect("it was bound").0;
                entry.permissions.insert(peer.ip(), self.now.after(PERMISSION));
                entry.channels.insert((number, peer), self.now.after(CHANNEL));
            }
            other => panic!("a success for {other:?}"),
        }
    }

    fn recorded(&mut self, event: &Event) {
        match event {
            Event::Opened { allocation, .. } => {
                assert!(!self.names.contains(&allocation.uuid), "P4: a name is used once");
                self.names.push(allocation.uuid);
                self.stats.opened += 1;
                let relayed = addresses(allocation);
                let before = relayed.iter().find(|address| self.at(RelayedAddr(**address)).is_some());
                assert!(before.is_none(), "P1: one relayed address, two allocations");
                self.open.push(Entry {
                    name: allocation.uuid,
                    relayed,
                    who: allocation.who.clone(),
                    path: allocation.path,
                    permissions: BTreeMap::new(),
                    channels: BTreeMap::new(),
                    totals: Totals::default(),
                });
            }
            Event::Refreshed { allocation, totals, .. } => {
                self.stats.refreshed += 1;
                let entry = self.at(allocation.relayed).expect("P4: what is refreshed is open");
                entry.assert_is(allocation, totals);
            }
            Event::Narrowed { allocation, ended, .. } => {
                self.stats.narrowed += 1;
                let entry = self.at(*ended).expect("P4: what is given up was open");
                entry.forget(*ended);
                assert_eq!((entry.name, &entry.relayed), (allocation.uuid, &addresses(allocation)), "P4");
            }
            Event::Closed { allocation, totals, .. } => {
                self.stats.closed += 1;
                let place = self.open.iter().position(|entry| entry.relayed.contains(&allocation.relayed.0));
                let entry = self.open.remove(place.expect("P4: what is closed was open"));
                entry.assert_is(allocation, totals);
            }
            Event::Denied { .. } => self.stats.denied += 1,
        }
    }

    fn leaves_for_peer(&mut self, from: RelayedAddr, peer: PeerAddr, len: usize) {
        self.stats.to_peers += 1;
        let now = self.now;
        let entry = self.open.iter_mut().find(|entry| entry.relayed.contains(&from.0));
        let entry = entry.expect("P2: nothing leaves an address that is not open");
        assert_eq!(from.family(), peer.family(), "P2: each family by its own address");
        let is_permitted = entry.permissions.get(&peer.ip()).is_some_and(|until| *until > now);
        // A channel outlives its permission (RFC 8656 §12.6).
        let is_bound = entry.channels.iter().any(|((_, bound), until)| *bound == peer.0 && *until > now);
        assert!(is_permitted || is_bound, "P2: {peer} has no permission with {from}");
        let ports = self.policy.judge_peer(&entry.who, peer);
        assert!(ports.is_ok_and(|ports| ports.allow(peer.port())), "P2: policy does not allow {peer}");
        entry.totals.packets_to_peers += 1;
        entry.totals.bytes_to_peers += len as u64;
    }

    fn comes_from_peer(&mut self, path: Path, bytes: &[u8], relayed: RelayedAddr, peer: PeerAddr) {
        self.stats.to_clients += 1;
        let entry = self.open.iter_mut().find(|entry| entry.relayed.contains(&relayed.0));
        let entry = entry.expect("P2: nothing comes in by an address that is not open");
        assert_eq!(entry.path, path, "P1: what comes in goes to the owner");
        let is_permitted = entry.permissions.get(&peer.ip()).is_some_and(|until| *until > self.now);
        assert!(is_permitted, "P2: {peer} has no permission with {relayed}");
        let payload = match bytes[0] {
            0x40..=0x4F => {
                let number = u16::from_be_bytes([bytes[0], bytes[1]]);
                let until = entry.channels.get(&(number, peer.0));
                assert!(until.is_some_and(|until| *until > self.now), "P1: {peer} is not on channel {number:#x}");
                usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))
            }
            _ => {
                let front = if peer.0.is_ipv4() { 36 } else { 48 };
                usize::from(u16::from_be_bytes([bytes[front - 2], bytes[front - 1]]))
            }
        };
        entry.totals.packets_to_client += 1;
        entry.totals.bytes_to_client += payload as u64;
    }
}

impl Entry {
    /// P4: the record is of this allocation, as it is now.
    fn assert_is(&self, record: &AllocationRecord, totals: &Totals) {
        assert_eq!((self.name, &self.relayed), (record.uuid, &addresses(record)), "P4");
        assert_eq!(relayed_of(&self.totals), relayed_of(totals), "P4");
    }

    /// One address is gone, with what belonged to its family and nothing else (RFC 8656 §8.1).
    fn forget(&mut self, ended: RelayedAddr) {
        self.relayed.retain(|address| *address != ended.0);
        self.permissions.retain(|ip, _| ip.is_ipv4() != ended.0.is_ipv4());
        self.channels.retain(|(_, peer), _| peer.is_ipv4() != ended.0.is_ipv4());
    }
}

fn addresses(record: &AllocationRecord) -> Vec<SocketAddr> {
    [Some(record.relayed), record.also].into_iter().flatten().map(|address| address.0).collect()
}

/// Drops are counted by the server alone: which of them belong to an allocation, it decides.
fn relayed_of(totals: &Totals) -> Totals {
    Totals { dropped: 0, ..*totals }
}

#[cfg(test)]
mod tests;
