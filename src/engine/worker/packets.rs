//! The packet path of a worker: what came in is read into the arena, judged, and put into the outbox.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::AsFd;

use super::Worker;
use crate::engine::counters::ReceiveCounters;
use crate::engine::listener::Listener;
use crate::engine::outbox::{Body, Exit, Manner};
use crate::engine::packet::{SLOTS, Span};
use crate::engine::proxied_clients::Unintroduced;
use crate::engine::sys::error_queue::{self, Reported};
use crate::engine::sys::mmsg::Received;
use crate::relay::seam::{Entropy, EventSink, Policy};
use crate::relay::{ClientAddr, ListenerId, Path, PeerAddr, PeerVerdict, RelayId, Transport, Verdict};
use crate::wire::attribute::Icmp;

/// Datagrams read from a listener at a time.
pub(super) const LISTENER_BATCH: usize = 64;
/// Batches read from a listener in one turn, before relay sockets have theirs.
const LISTENER_ROUNDS: usize = 4;
/// Reads from a relay socket in one turn, of a datagram or of a run that came merged: a flood at one relayed port costs
/// the others no more than this.
pub(super) const RELAY_BATCH: usize = 16;

const _: () = assert!(LISTENER_BATCH <= SLOTS && RELAY_BATCH <= LISTENER_BATCH);

impl<P: Policy, E: Entropy, S: EventSink> Worker<P, E, S> {
    /// Reads one listener, for as long as its budget lasts.
    pub(super) fn hear_clients(&mut self, index: usize) {
        for _ in 0..LISTENER_ROUNDS {
            self.make_room(LISTENER_BATCH);
            let Some(listener) = self.parts.listeners.get_mut(index) else { return };
            let ask = listener.intake.ask(self.counters.turns, LISTENER_BATCH);
            let buffers = self.parts.arena.buffers(self.used).take(ask);
            let got = heard(self.receiver.receive(listener.as_fd(), buffers), &mut self.counters.from_clients);
            listener.intake.learn(self.counters.turns, ask, got);
            let first = self.used;
            self.used += got;
            self.foresee_clients(index, got);
            for offset in 0..got {
                self.on_client(index, offset, first + offset);
            }
            if got < ask {
                return;
            }
        }
    }

    /// The `offset`th datagram of the last read, from a client, in buffer `slot`.
    fn on_client(&mut self, index: usize, offset: usize, slot: usize) {
        let Some(listener) = self.parts.listeners.get_mut(index) else { return };
        let Some(message) = self.receiver.message(offset) else { return };
        let tally = &mut self.counters.from_clients;
        count_losses(&message, |total| listener.intake.newly_lost(total), tally);
        let Some(path) = path_of(listener, index, &message) else {
            tally.unanswerable += 1;
            return;
        };
        if message.truncated {
            tally.truncated += 1;
            return;
        }
        let run = self.parts.arena.received(slot, message.len).segments(message.beside.segment);
        for (number, datagram) in run.enumerate() {
            self.counters.from_clients.received += u64::from(number > 0);
            let Some((path, datagram)) = self.behind_proxy(path, datagram) else { continue };
            self.on_client_datagram(path, datagram, message.beside.tos);
        }
    }

    /// The client that has sent `datagram`, and what it said: who sent it may be its proxy.
    #[inline]
    fn behind_proxy(&mut self, path: Path, datagram: Span) -> Option<(Path, Span)> {
        let Some(proxied) = &mut self.parts.proxied else { return Some((path, datagram)) };
        match proxied.sender(self.now.instant, &path, self.parts.arena.bytes(datagram)) {
            // A header alone: what the client says comes behind it.
            Ok((_, len)) if len > 0 && len == datagram.len() => None,
            Ok((client, len)) => Some((Path { client, ..path }, datagram.part(len..datagram.len()))),
            Err(Unintroduced) => {
                self.counters.unintroduced += 1;
                None
            }
        }
    }

    pub(super) fn on_client_datagram(&mut self, path: Path, datagram: Span, tos: u8) {
        self.make_place();
        let bytes = self.parts.arena.bytes(datagram);
        match self.server.on_client_datagram(self.now, path, bytes, self.outbox.reply_buffer()) {
            Verdict::Forward { relay, peer, payload, dont_fragment } => {
                let payload = datagram.part(payload);
                match self.relays.switch(relay, peer) {
                    Some((own, from)) => {
                        self.counters.switched += 1;
                        self.on_payload(own, from, payload, tos);
                    }
                    None => self.queue_to_peer((relay, peer), payload, tos, dont_fragment),
                }
            }
            Verdict::Reply { len } => {
                let body = self.outbox.reply(len);
                self.queue_to_client(path, body, self.parts.dscp.own());
            }
            Verdict::Pending | Verdict::Drop(_) => {}
        }
    }

    /// The `got` datagrams of the last read come next. Saves some 5 % of a packet's cost with 1,000 allocations
    /// (`scripts/race --cases up-160-1000-100k`); between relay sockets' reads it saves nothing.
    fn foresee_clients(&mut self, index: usize, got: usize) {
        // One alone is read when it is needed.
        if got < 2 {
            return;
        }
        let Some(listener) = self.parts.listeners.get(index) else { return };
        let messages = (0..got).filter_map(|offset| self.receiver.message(offset));
        let paths = messages.filter_map(|message| path_of(listener, index, &message));
        self.foreseen.clear();
        self.foreseen.extend(paths.filter_map(|path| self.server.slot_of(&path)));
        self.relays.foresee(&self.foreseen);
        self.server.foresee(&self.foreseen);
    }

    /// Puts a datagram for a peer into the outbox.
    fn queue_to_peer(&mut self, way: (RelayId, PeerAddr), payload: Span, tos: u8, dont_fragment: bool) {
        let (relay, peer) = way;
        let Some(socket) = self.relays.get(relay) else {
            self.counters.to_peers.failed += 1;
            return;
        };
        let manner = Manner { to: socket.outward(peer), from: None, tos: self.parts.dscp.across(tos), dont_fragment };
        self.outbox.push(&mut socket.queue, Exit::Relay(relay.slot), Body::Packet(payload), manner);
    }

    /// Reads what became of datagrams that one relay socket has sent, within its budget: what is left, epoll tells of
    /// again. Until it is read, the socket's calls fail for it.
    pub(super) fn hear_errors(&mut self, slot: u32) {
        for _ in 0..RELAY_BATCH {
            let Some(socket) = self.relays.in_slot(slot) else { return };
            let Some(reported) = error_queue::next(socket.as_fd()) else { return };
            let inward = |error: Reported| (socket.inward(self.outbox.refused(slot, error.to)), error);
            let (relay, reported) = (socket.id(slot), reported.map(inward));
            if let Some((peer, Reported { icmp_type, code, mtu, .. })) = reported {
                let error = Icmp { icmp_type, code, error_data: mtu.to_be_bytes() };
                self.server.on_peer_icmp(self.now.instant, relay, peer, error);
            }
        }
    }

    /// Reads one relay socket, within its budget.
    pub(super) fn hear_peers(&mut self, slot: u32) {
        self.make_room(RELAY_BATCH);
        // A command of this turn may have closed it.
        let Some(socket) = self.relays.in_slot(slot) else { return };
        let ask = socket.intake.ask(self.counters.turns, RELAY_BATCH);
        let buffers = self.parts.arena.buffers(self.used).take(ask);
        let got = heard(self.receiver.receive(socket.as_fd(), buffers), &mut self.counters.from_peers);
        socket.intake.learn(self.counters.turns, ask, got);
        let first = self.used;
        self.used += got;
        for offset in 0..got {
            self.on_peer(slot, offset, first + offset);
        }
    }

    /// The `offset`th datagram of the last read, from a peer, in buffer `buffer`.
    fn on_peer(&mut self, slot: u32, offset: usize, buffer: usize) {
        let Some(socket) = self.relays.in_slot(slot) else { return };
        let Some(message) = self.receiver.message(offset) else { return };
        let tally = &mut self.counters.from_peers;
        count_losses(&message, |total| socket.intake.newly_lost(total), tally);
        let Some(source) = message.source else {
            tally.unanswerable += 1;
            return;
        };
        if message.truncated {
            tally.truncated += 1;
            return;
        }
        let (relay, peer) = (socket.id(slot), socket.inward(source));
        let run = self.parts.arena.received(buffer, message.len).segments(message.beside.segment);
        for (number, payload) in run.enumerate() {
            self.counters.from_peers.received += u64::from(number > 0);
            self.make_place();
            self.on_payload(relay, peer, payload, message.beside.tos);
        }
    }

    /// What `peer` sent to the relayed address of `relay`, by the network or within this worker.
    fn on_payload(&mut self, relay: RelayId, peer: PeerAddr, payload: Span, tos: u8) {
        match self.server.on_peer_datagram(self.now.instant, relay, peer, payload.len()) {
            PeerVerdict::ToClient { path, front, padding } => {
                let body = self.outbox.fronted(front, payload, padding);
                self.queue_to_client(path, body, self.parts.dscp.across(tos));
            }
            PeerVerdict::Drop(_) => {}
        }
    }

    /// Puts a datagram for a client into the outbox.
    pub(super) fn queue_to_client(&mut self, path: Path, body: Body, tos: u8) {
        if let Some(stream) = path.transport.stream() {
            return self.queue_to_stream(stream, path, body);
        }
        let ListenerId(index) = path.listener;
        let Some(listener) = self.parts.listeners.get_mut(usize::from(index)) else {
            self.counters.to_clients.failed += 1;
            return;
        };
        let from = listener.is_wildcard().then(|| path.server.ip());
        let to = match &mut self.parts.proxied {
            Some(proxied) => proxied.way_to(self.now.instant, &path),
            None => path.client.0,
        };
        let manner = Manner { to, from, tos, dont_fragment: false };
        self.outbox.push(&mut listener.queue, Exit::Listener(index), body, manner);
    }

    /// Ends the batch if the arena has less than `slots` buffers left.
    pub(super) fn make_room(&mut self, slots: usize) {
        if SLOTS - self.used < slots {
            self.finish_batch();
        }
    }

    /// Sends what waits if there is no place for another datagram.
    pub(super) fn make_place(&mut self) {
        if self.outbox.is_full() {
            self.flush();
        }
    }
}

/// The path of a datagram that came in by the listener with this index; none if it cannot be answered.
fn path_of(listener: &Listener, index: usize, message: &Received) -> Option<Path> {
    let (client, server) = (ClientAddr(message.source?), listener.asked(message.beside.asked)?);
    Some(Path { client, server, transport: Transport::Udp, listener: listener_id(index) })
}

/// How many datagrams a read has brought.
fn heard(read: io::Result<usize>, tally: &mut ReceiveCounters) -> usize {
    match read {
        Ok(got) => {
            tally.received += got as u64;
            got
        }
        Err(error) => {
            let nothing_there = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            tally.errors += u64::from(!nothing_there);
            0
        }
    }
}

/// Counts what the socket says it has lost.
fn count_losses(message: &Received, newly_lost: impl FnOnce(u32) -> u32, tally: &mut ReceiveCounters) {
    if let Some(total) = message.beside.lost {
        tally.buffer_full += u64::from(newly_lost(total));
    }
}

/// There are no more listeners than [`crate::engine::config::MAX_LISTENERS`].
fn listener_id(index: usize) -> ListenerId {
    ListenerId(u16::try_from(index).unwrap_or(u16::MAX))
}
