//! One thread of the engine: its sockets, its share of the clients, and the loop around their relay server.
//!
//! A turn waits for sockets, and then works in batches: receive into the arena, ask the server for a verdict on each
//! datagram, put what it says into the outbox; when the arena is used up or no socket is left, send the outbox, carry
//! out the server's commands, and read the clocks anew. Nobody else touches any of it, so a relayed packet meets no
//! lock; it takes no memory from the heap, and its payload stays where the kernel has put it.
#![forbid(unsafe_code)]

mod control;
mod packets;
mod streams;

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
use super::counters::{EngineCounters, Published, Publishing};
use super::entropy::SystemEntropy;
use super::listener::Listener;
use super::news::News;
use super::outbox::Outbox;
use super::own_line::OwnLine;
use super::pace::Pace;
use super::packet::Arena;
use super::proxied_clients::ProxiedClients;
use super::relay_socket::{Ranges, RelaySockets};
use super::stream::{StreamParts, Streams};
use super::sys::epoll::{Epoll, Ready};
use super::sys::eventfd::Waker;
use super::sys::mmsg::Receiver;
use super::sys::timer_slack::sleep_exactly;
use crate::relay::seam::{Entropy, EventSink, Policy};
use crate::relay::server::Server;
use crate::relay::{Counters, Instant, Now};
use packets::LISTENER_BATCH;

/// Sockets served in one turn: with [`RELAY_BATCH`](packets::RELAY_BATCH), the most that is done before listeners are
/// looked at again.
const EVENTS: usize = 64;
/// A worker that panics again within a second waits this long, so that a packet which kills it cannot fill the log.
const PANIC_PAUSE: Duration = Duration::from_millis(100);

/// What a worker is made of and shares with the engine, before it has a thread.
pub(super) struct Parts {
    /// Its number, from 0.
    pub(super) index: usize,
    /// Its own socket for each listening address.
    pub(super) listeners: Vec<Listener>,
    /// What its connections are made of.
    pub(super) streams: Option<StreamParts>,
    /// Clients whose datagrams come by way of a proxy, where there may be any.
    pub(super) proxied: Option<Box<ProxiedClients>>,
    /// Where relay sockets can be opened.
    pub(super) ranges: Ranges,
    /// Its packet memory.
    pub(super) arena: Arena,
    /// Its set of sockets.
    pub(super) epoll: Epoll,
    /// How others wake it.
    pub(super) waker: Arc<Waker>,
    /// Set when it shall stop. Read in each turn.
    pub(super) stopping: Arc<OwnLine<AtomicBool>>,
    /// Where others read its counters.
    pub(super) published: Published,
    /// Tells that they have changed.
    pub(super) news: Arc<News>,
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
    Acceptor(u32),
    Stream(u32),
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
    streams: Streams,
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
    fn new(mut parts: Parts, server: Server<P, E>, sink: S) -> Self {
        Self {
            relays: RelaySockets::new(parts.ranges.clone()),
            streams: Streams::new(parts.streams.take().expect("a worker is made once")),
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
                Some(Token::Relay(slot)) => {
                    if self.ready.has_error(index) {
                        self.hear_errors(slot);
                    }
                    self.hear_peers(slot);
                }
                Some(Token::Acceptor(acceptor)) => self.accept(acceptor),
                Some(Token::Stream(slot)) => {
                    let (can_read, can_write) = (self.ready.is_readable(index), self.ready.is_writable(index));
                    self.serve_stream(slot, can_read, can_write);
                }
                Some(Token::Waker) | None => {
                    self.parts.waker.rest();
                    self.take_back_handshakes();
                }
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
        let due = [self.server.next_deadline(), self.streams.next_deadline(), self.publishing.due()]
            .into_iter()
            .flatten()
            .min()?;
        Some(due.since(self.now.instant))
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
        self.close_streams();
        self.used = 0;
        self.now = self.parts.clock.now();
    }

    fn flush(&mut self) {
        if !self.outbox.is_empty() {
            let Parts { arena, listeners, epoll, .. } = &mut self.parts;
            let streams = (&mut self.streams, streams::watch(epoll));
            self.outbox.flush(arena, listeners, &mut self.relays, streams, &mut self.counters);
        }
    }
}

impl Parts {
    /// Has the set of sockets tell of the waker and the listeners.
    pub(super) fn watch(&self) -> io::Result<()> {
        self.epoll.add(self.waker.as_fd(), Token::Waker.into())?;
        for (index, listener) in (0..).zip(&self.listeners) {
            self.epoll.add(listener.as_fd(), Token::Listener(index).into())?;
        }
        for (index, acceptor) in (0..).zip(self.streams.iter().flat_map(|streams| &streams.acceptors)) {
            self.epoll.add(acceptor.as_fd(), Token::Acceptor(index).into())?;
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
            Token::Acceptor(index) => 3 << 32 | Self::from(index),
            Token::Stream(slot) => 4 << 32 | Self::from(slot),
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
            3 => Self::Acceptor(low),
            4 => Self::Stream(low),
            _ => Self::Waker,
        }
    }
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
        let lows = [0, 63, u32::MAX];
        let tokens = lows.into_iter().flat_map(|low| {
            [Token::Listener(low), Token::Relay(low), Token::Acceptor(low), Token::Stream(low), Token::Waker]
        });
        for token in tokens {
            assert_eq!(Token::from(u64::from(token)), token);
        }
    }
}
