//! One thread of the engine: its sockets, its share of the clients, and the loop around their relay server.
//!
//! A turn waits for sockets, and then works in batches: receive into the arena, ask the server for a verdict on each
//! datagram, put what it says into the outbox; when the arena is used up or no socket is left, send the outbox, carry
//! out the server's commands, and read the clocks anew. Nobody else touches any of it, so a relayed packet meets no
//! lock; it takes no memory from the heap, and its payload stays where the kernel has put it.
#![forbid(unsafe_code)]

use std::any::Any;
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{error, warn};

use super::clock::Clock;
use super::config::Dscp;
use super::counters::{EngineCounters, Published, Publishing, ReceiveCounters, WorkerCounters};
use super::entropy::SystemEntropy;
use super::listener::Listener;
use super::outbox::{Body, Exit, Manner, Outbox, Queue};
use super::pace::Pace;
use super::packet::{Arena, SLOTS, Span};
use super::relay_socket::{Ranges, RelaySockets};
use super::sys::epoll::{Epoll, Ready};
use super::sys::eventfd::Waker;
use super::sys::mmsg::{Received, Receiver};
use super::sys::timer_slack::sleep_exactly;
use crate::relay::seam::{Entropy, EventSink, Policy};
use crate::relay::server::Server;
use crate::relay::{
    ClientAddr, Command, Counters, Family, Instant, ListenerId, Now, Path, PeerAddr, PeerVerdict, PortParity,
    RelayFailure, RelayId, Transport, Verdict,
};

/// Datagrams read from a listener at a time.
const LISTENER_BATCH: usize = 64;
/// Batches read from a listener in one turn, before relay sockets have theirs.
const LISTENER_ROUNDS: usize = 4;
/// Reads from a relay socket in one turn, of a datagram or of a run that came merged: a flood at one relayed port costs
/// the others no more than this.
const RELAY_BATCH: usize = 16;
/// Sockets served in one turn: with [`RELAY_BATCH`], the most that is done before listeners are looked at again.
const EVENTS: usize = 64;
/// A worker that panics again within a second waits this long, so that a packet which kills it cannot fill the log.
const PANIC_PAUSE: Duration = Duration::from_millis(100);
/// The log hears of relay sockets that cannot be opened this often.
const WARN_EVERY: Duration = Duration::from_secs(10);

const _: () = assert!(LISTENER_BATCH <= SLOTS && RELAY_BATCH <= LISTENER_BATCH);

/// What a worker is made of and shares with the engine, before it has a thread.
pub(super) struct Parts {
    /// Its number, from 0.
    pub(super) index: usize,
    /// Its own socket for each listening address.
    pub(super) listeners: Vec<Listener>,
    /// Where relay sockets can be opened.
    pub(super) ranges: Ranges,
    /// Its packet memory.
    pub(super) arena: Arena,
    /// Its set of sockets.
    pub(super) epoll: Epoll,
    /// How others wake it.
    pub(super) waker: Arc<Waker>,
    /// Set when it shall stop.
    pub(super) stopping: Arc<AtomicBool>,
    /// Where others read its counters.
    pub(super) published: Published,
    /// The engine's clocks.
    pub(super) clock: Clock,
    /// The source of random ports.
    pub(super) entropy: SystemEntropy,
    /// What DSCP relayed packets leave with.
    pub(super) dscp: Dscp,
}

/// Which socket is ready, as epoll remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Waker,
    Listener(u32),
    Relay(u32),
}

/// Runs a worker until it is told to stop. A panic ends its server and its allocations, audit events included; another
/// server takes over, and other workers notice nothing.
pub(super) fn run<P, E, S>(parts: Parts, server: impl Fn(usize) -> Server<P, E>, sink: impl Fn(usize) -> S)
where
    P: Policy,
    E: Entropy,
    S: EventSink,
{
    let index = parts.index;
    if let Err(error) = sleep_exactly() {
        warn!(worker = index, "naps cannot be timed exactly ({error}): under load packets are held up longer");
    }
    let mut worker = Worker::new(parts, server(index), sink(index));
    let mut last_panic: Option<Instant> = None;
    // Unwind safety: `start_over` replaces or clears everything that a panic may have left half-done.
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.serve())) {
        error!(worker = index, "a worker panicked: {}; its allocations are closed", message_of(&*panic));
        worker.start_over(|| server(index));
        let now = worker.now.instant;
        if last_panic.replace(now).is_some_and(|last| now.since(last) < Duration::from_secs(1)) {
            std::thread::sleep(PANIC_PAUSE);
        }
    }
}

struct Worker<P: Policy, E: Entropy, S> {
    parts: Parts,
    relays: RelaySockets,
    receiver: Receiver,
    outbox: Outbox,
    ready: Ready,
    server: Server<P, E>,
    sink: S,
    now: Now,
    /// Buffers of the arena that this batch has filled.
    used: usize,
    /// Slots of allocations whose datagrams come next.
    foreseen: Vec<u32>,
    counters: EngineCounters,
    pace: Pace,
    /// What servers before the present one counted.
    past: Counters,
    publishing: Publishing,
    warned: Option<Instant>,
}

impl<P: Policy, E: Entropy, S: EventSink> Worker<P, E, S> {
    fn new(parts: Parts, server: Server<P, E>, sink: S) -> Self {
        Self {
            relays: RelaySockets::new(parts.ranges.clone()),
            receiver: Receiver::new(LISTENER_BATCH),
            outbox: Outbox::new(),
            ready: Ready::new(EVENTS),
            server,
            sink,
            now: parts.clock.now(),
            used: 0,
            foreseen: Vec::with_capacity(LISTENER_BATCH),
            counters: EngineCounters::default(),
            pace: Pace::default(),
            past: Counters::default(),
            publishing: Publishing::default(),
            warned: None,
            parts,
        }
    }

    fn serve(&mut self) {
        while !self.parts.stopping.load(Ordering::Acquire) {
            self.turn();
        }
        self.close();
    }

    /// Waits, and serves what is ready.
    fn turn(&mut self) {
        if !self.pace.nap().is_zero() {
            std::thread::sleep(self.pace.nap());
        }
        let patience = self.patience();
        self.parts.epoll.wait(&mut self.ready, patience);
        self.now = self.parts.clock.now();
        let (woken, heard) = (self.now.instant, self.counters.heard());
        self.counters.turns += 1;
        for index in 0..self.ready.count() {
            match self.ready.token(index).map(Token::from) {
                Some(Token::Listener(listener)) => self.hear_clients(listener as usize),
                Some(Token::Relay(slot)) => self.hear_peers(slot),
                Some(Token::Waker) | None => self.parts.waker.rest(),
            }
        }
        if self.ready.is_full() {
            // More sockets are ready than were told of. Requests must not queue behind a flood at relayed ports.
            (0..self.parts.listeners.len()).for_each(|listener| self.hear_clients(listener));
        }
        self.finish_batch();
        self.pace.learn(woken, self.now.instant, self.counters.heard() - heard);
        self.keep_time();
    }

    /// How long nothing needs to be done unless a socket says so.
    fn patience(&self) -> Option<Duration> {
        let due = [self.server.next_deadline(), self.publishing.due()].into_iter().flatten().min()?;
        Some(due.since(self.now.instant))
    }

    /// Reads one listener, for as long as its budget lasts.
    fn hear_clients(&mut self, index: usize) {
        for _ in 0..LISTENER_ROUNDS {
            self.make_room(LISTENER_BATCH);
            let Some(listener) = self.parts.listeners.get_mut(index) else { return };
            let ask = listener.intake.ask(LISTENER_BATCH);
            let buffers = self.parts.arena.buffers(self.used).take(ask);
            let got = heard(self.receiver.receive(listener.as_fd(), buffers), &mut self.counters.from_clients);
            listener.intake.learn(ask, got);
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
            self.on_client_datagram(path, datagram, message.beside.tos);
        }
    }

    fn on_client_datagram(&mut self, path: Path, datagram: Span, tos: u8) {
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
        let Some(listener) = self.parts.listeners.get(index) else { return };
        let messages = (0..got).filter_map(|offset| self.receiver.message(offset));
        let paths = messages.filter_map(|message| path_of(listener, index, &message));
        self.foreseen.clear();
        self.foreseen.extend(paths.filter_map(|path| self.server.slot_of(&path)));
        // One alone is read when it is needed.
        if self.foreseen.len() > 1 {
            self.relays.foresee(&self.foreseen);
            self.server.foresee(&self.foreseen);
        }
    }

    /// Puts a datagram for a peer into the outbox.
    fn queue_to_peer(&mut self, way: (RelayId, PeerAddr), payload: Span, tos: u8, dont_fragment: bool) {
        let (relay, peer) = way;
        let Some(socket) = self.relays.get(relay) else {
            self.counters.to_peers.failed += 1;
            return;
        };
        let manner = Manner {
            to: socket.outward(peer),
            from: None,
            tos: self.parts.dscp.across(tos),
            dont_fragment: dont_fragment && socket.knows_dont_fragment(),
        };
        self.outbox.push(&mut socket.queue, Exit::Relay(relay.slot), Body::Packet(payload), manner);
    }

    /// Reads one relay socket, within its budget.
    fn hear_peers(&mut self, slot: u32) {
        self.make_room(RELAY_BATCH);
        // A command of this turn may have closed it.
        let Some(socket) = self.relays.in_slot(slot) else { return };
        let ask = socket.intake.ask(RELAY_BATCH);
        let buffers = self.parts.arena.buffers(self.used).take(ask);
        let got = heard(self.receiver.receive(socket.as_fd(), buffers), &mut self.counters.from_peers);
        socket.intake.learn(ask, got);
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
    fn queue_to_client(&mut self, path: Path, body: Body, tos: u8) {
        let ListenerId(index) = path.listener;
        let Some(listener) = self.parts.listeners.get_mut(usize::from(index)) else {
            self.counters.to_clients.failed += 1;
            return;
        };
        let from = listener.is_wildcard().then(|| path.server.ip());
        let manner = Manner { to: path.client.0, from, tos, dont_fragment: false };
        self.outbox.push(&mut listener.queue, Exit::Listener(index), body, manner);
    }

    /// Ends the batch if the arena has less than `slots` buffers left.
    fn make_room(&mut self, slots: usize) {
        if SLOTS - self.used < slots {
            self.finish_batch();
        }
    }

    /// Sends what waits if there is no place for another datagram.
    fn make_place(&mut self) {
        if self.outbox.is_full() {
            self.flush();
        }
    }

    /// Sends what the batch has gathered and carries out what the server asks for.
    fn finish_batch(&mut self) {
        if self.used > 0 {
            self.publishing.touch(self.now.instant);
        }
        // Packets first: a command may close the socket that they leave by.
        self.flush();
        self.carry_out_commands();
        self.flush();
        self.used = 0;
        self.now = self.parts.clock.now();
    }

    fn flush(&mut self) {
        if !self.outbox.is_empty() {
            let Parts { arena, listeners, .. } = &mut self.parts;
            self.outbox.flush(arena, listeners, &mut self.relays, &mut self.counters);
        }
    }

    fn carry_out_commands(&mut self) {
        while let Some(command) = self.server.next_command() {
            match command {
                Command::OpenRelay { relay, family, parity } => self.open_relay(relay, family, parity),
                Command::CloseRelay { relay } => self.relays.close(relay),
                Command::SendToClient { path, message } => {
                    self.make_place();
                    let body = self.outbox.message(message);
                    self.queue_to_client(path, body, self.parts.dscp.own());
                }
                Command::Audit(event) => self.sink.record(*event),
            }
        }
    }

    fn open_relay(&mut self, relay: RelayId, family: Family, parity: PortParity) {
        let watch = (&self.parts.epoll, Token::Relay(relay.slot).into());
        match self.relays.open(relay, (family, parity), &mut self.parts.entropy, watch) {
            Ok(relayed) => {
                self.counters.relays_opened += 1;
                self.server.on_relay_opened(self.now, relay, relayed);
            }
            Err(error) => {
                self.counters.relays_refused += 1;
                // That ports are used up is told with the refusal itself.
                let is_news = error.failure() != RelayFailure::PortsExhausted;
                if is_news && self.warned.is_none_or(|last| self.now.instant.since(last) >= WARN_EVERY) {
                    self.warned = Some(self.now.instant);
                    let (worker, refused) = (self.parts.index, self.counters.relays_refused);
                    warn!(worker, ?family, refused, "no relay socket for an allocation: {error}");
                }
                self.server.on_relay_failed(self.now, relay, error.failure());
            }
        }
    }

    /// What is due by the clock.
    fn keep_time(&mut self) {
        let now = self.now.instant;
        if self.server.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.server.on_deadline(self.now);
            self.publishing.touch(now);
            self.finish_batch();
        }
        if self.publishing.due().is_some_and(|due| due <= now) {
            self.publishing.done();
            if !self.parts.published.update(|counters| self.tell(counters)) {
                self.publishing.touch(now);
            }
        }
    }

    fn tell(&self, counters: &mut WorkerCounters) {
        counters.relay.clone_from(&self.past);
        counters.relay.add(self.server.counters());
        counters.engine = self.counters;
        counters.relays_open = self.relays.open_count();
    }

    /// Ends every allocation, with its audit event.
    fn close(&mut self) {
        self.now = self.parts.clock.now();
        self.server.shutdown(self.now);
        self.finish_batch();
        self.relays.close_all();
        self.parts.published.update_finally(|counters| self.tell(counters));
    }

    /// After a panic: what the server still knows goes to the audit trail, and a fresh one takes over.
    fn start_over(&mut self, server: impl FnOnce() -> Server<P, E>) {
        self.counters.panics += 1;
        self.forget_batch();
        let closed = catch_unwind(AssertUnwindSafe(|| {
            self.server.shutdown(self.now);
            self.finish_batch();
        }));
        if closed.is_err() {
            error!(worker = self.parts.index, "its allocations could not all be recorded as closed");
        }
        self.forget_batch();
        self.relays.close_all();
        self.past.add(self.server.counters());
        self.server = server();
        self.now = self.parts.clock.now();
        self.publishing.touch(self.now.instant);
    }

    fn forget_batch(&mut self) {
        self.outbox.clear();
        self.parts.listeners.iter_mut().for_each(|listener| listener.queue = Queue::default());
        self.relays.forget_queues();
        self.used = 0;
    }
}

impl Parts {
    /// Has the set of sockets tell of the waker and the listeners.
    pub(super) fn watch(&self) -> io::Result<()> {
        self.epoll.add(self.waker.as_fd(), Token::Waker.into())?;
        for (index, listener) in (0..).zip(&self.listeners) {
            self.epoll.add(listener.as_fd(), Token::Listener(index).into())?;
        }
        Ok(())
    }
}

impl From<Token> for u64 {
    fn from(token: Token) -> Self {
        match token {
            Token::Waker => 0,
            Token::Listener(index) => 1 << 32 | Self::from(index),
            Token::Relay(slot) => 2 << 32 | Self::from(slot),
        }
    }
}

impl From<u64> for Token {
    fn from(token: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let low = token as u32;
        match token >> 32 {
            1 => Self::Listener(low),
            2 => Self::Relay(low),
            _ => Self::Waker,
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

/// There are no more listeners than [`super::config::MAX_LISTENERS`].
fn listener_id(index: usize) -> ListenerId {
    ListenerId(u16::try_from(index).unwrap_or(u16::MAX))
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for token in [Token::Waker, Token::Listener(0), Token::Listener(63), Token::Relay(0), Token::Relay(u32::MAX)] {
            assert_eq!(Token::from(u64::from(token)), token);
        }
    }
}
