//! What the engine counted, and how it is read from outside without a lock or an atomic on the packet path.
#![forbid(unsafe_code)]

use std::ops::AddAssign;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::stream::StreamCounters;
use super::sys::mmsg::Sent;
use crate::relay::{Counters, Instant};

/// Running counts of one worker; they only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineCounters {
    /// Times the worker went round its loop: woken by sockets, a timer or another thread.
    pub turns: u64,
    /// Datagrams received from clients.
    pub from_clients: ReceiveCounters,
    /// Datagrams received from peers.
    pub from_peers: ReceiveCounters,
    /// Datagrams sent to clients.
    pub to_clients: SendCounters,
    /// Datagrams sent to peers.
    pub to_peers: SendCounters,
    /// Datagrams from one allocation of the worker to another: they met no socket in between.
    pub switched: u64,
    /// Datagrams of proxies that had not said for whom they speak: dropped.
    pub unintroduced: u64,
    /// Connections of clients, and what came and went by them.
    pub streams: StreamCounters,
    /// Relay sockets that were opened.
    pub relays_opened: u64,
    /// Relay sockets that could not be opened, whatever the reason.
    pub relays_refused: u64,
    /// Panics that ended the worker's server, and with it its allocations.
    pub panics: u64,
}

/// Of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveCounters {
    /// Received, the dropped ones below included.
    pub received: u64,
    /// Dropped: longer than a receive buffer.
    pub truncated: u64,
    /// Dropped: sent to a broadcast or multicast address, or from an address family that we don't speak.
    pub unanswerable: u64,
    /// Lost in the kernel because the socket's receive buffer was full.
    pub buffer_full: u64,
    /// Receive calls that failed, such as with an ICMP error on an earlier send.
    pub errors: u64,
}

/// Of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendCounters {
    /// Taken by the kernel.
    pub sent: u64,
    /// Dropped: the socket's or the device's queue is full.
    pub queue_full: u64,
    /// Dropped: longer than the path or the protocol lets through.
    pub too_long: u64,
    /// Dropped: no route, or the host's own packet filter forbids it.
    pub unreachable: u64,
    /// Dropped for another reason.
    pub failed: u64,
}

impl EngineCounters {
    /// Datagrams and messages received.
    pub fn heard(&self) -> u64 {
        let datagrams = self.from_clients.received.saturating_add(self.from_peers.received);
        datagrams.saturating_add(self.streams.messages_in)
    }

    /// Datagrams that the kernel had no room to receive.
    pub fn receive_buffer_full(&self) -> u64 {
        self.from_clients.buffer_full.saturating_add(self.from_peers.buffer_full)
    }

    /// Datagrams that were to be sent and were not, whatever the reason.
    pub fn not_sent(&self) -> u64 {
        let of = |send: &SendCounters| [send.queue_full, send.too_long, send.unreachable, send.failed];
        of(&self.to_clients).into_iter().chain(of(&self.to_peers)).fold(0, u64::saturating_add)
    }
}

impl AddAssign<Sent> for SendCounters {
    fn add_assign(&mut self, sent: Sent) {
        self.sent += sent.sent;
        self.queue_full += sent.queue_full;
        self.too_long += sent.too_long;
        self.unreachable += sent.unreachable;
        self.failed += sent.failed;
    }
}

/// What one worker counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounters {
    /// By its relay server, restarts included.
    pub relay: Counters,
    /// By its loop.
    pub engine: EngineCounters,
    /// Relay sockets that are open now.
    pub relays_open: usize,
    /// Connections of clients that are open now.
    pub streams_open: usize,
}

/// The counters of one worker where others may read them: at most [`Published::EVERY`] old while it works, exact when
/// it is idle.
#[derive(Clone, Debug, Default)]
pub(super) struct Published(Arc<Mutex<WorkerCounters>>);

impl Published {
    /// How often they are published.
    pub(super) const EVERY: Duration = Duration::from_millis(100);

    /// Lets `write` bring them up to date, unless somebody reads them at this very moment: a worker never waits.
    pub(super) fn update(&self, write: impl FnOnce(&mut WorkerCounters)) -> bool {
        let Ok(mut counters) = self.0.try_lock() else { return false };
        write(&mut counters);
        true
    }

    /// Brings them up to date for the last time: the worker has nothing left to do but wait.
    pub(super) fn update_finally(&self, write: impl FnOnce(&mut WorkerCounters)) {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// As last published.
    pub(super) fn read(&self) -> WorkerCounters {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// When a worker publishes next.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    due: Option<Instant>,
}

impl Publishing {
    /// Something was counted at `now`.
    pub(super) fn touch(&mut self, now: Instant) {
        self.due.get_or_insert(now.after(Published::EVERY));
    }

    /// When to publish; none if nothing was counted since.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// It was done.
    pub(super) fn done(&mut self) {
        self.due = None;
    }
}
