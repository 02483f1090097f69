//! What a worker does beside packets: the server's commands, what is due by the clock, the end, and a new beginning.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tracing::{error, warn};

use super::{Token, Worker};
use crate::engine::counters::WorkerCounters;
use crate::engine::outbox::Queue;
use crate::engine::stream::StreamEnd;
use crate::relay::seam::{Entropy, EventSink, Policy};
use crate::relay::server::Server;
use crate::relay::{Command, Family, PortWish, RelayFailure, RelayId};

/// The log hears of relay sockets that cannot be opened this often.
const WARN_EVERY: Duration = Duration::from_secs(10);

impl<P: Policy, E: Entropy, S: EventSink> Worker<P, E, S> {
    pub(super) fn carry_out_commands(&mut self) {
        while let Some(command) = self.server.next_command() {
            match command {
                Command::OpenRelay { relay, family, port } => self.open_relay(relay, family, &port),
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

    fn open_relay(&mut self, relay: RelayId, family: Family, port: &PortWish) {
        let watch = (&self.parts.epoll, Token::Relay(relay.slot).into());
        match self.relays.open(relay, (family, port), &mut self.parts.entropy, watch) {
            Ok(relayed) => {
                self.counters.relays_opened += 1;
                self.server.on_relay_opened(self.now, relay, relayed);
            }
            Err(error) => {
                self.counters.relays_refused += 1;
                // That ports are used up, or a token wrong, is told with the refusal itself.
                let is_news = !matches!(error.failure(), RelayFailure::PortsExhausted | RelayFailure::NotReserved);
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
    pub(super) fn keep_time(&mut self) {
        let now = self.now.instant;
        if self.server.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.server.on_deadline(self.now);
            self.publishing.touch(now);
            self.finish_batch();
        }
        if self.streams.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.keep_streams_in_time();
            self.finish_batch();
        }
        if self.publishing.due().is_some_and(|due| due <= now) {
            self.publishing.done();
            match self.parts.published.update(|counters| self.tell(counters)) {
                true => self.parts.news.tell(),
                false => self.publishing.touch(now),
            }
        }
    }

    fn tell(&self, counters: &mut WorkerCounters) {
        counters.relay.clone_from(&self.past);
        counters.relay.add(self.server.counters());
        counters.engine = self.counters;
        counters.relays_open = self.relays.open_count();
        counters.streams_open = self.streams.count();
    }

    /// Ends every allocation, with its audit event.
    pub(super) fn close(&mut self) {
        self.now = self.parts.clock.now();
        self.server.shutdown(self.now);
        self.streams.end_all(StreamEnd::Shutdown);
        self.finish_batch();
        self.relays.close_all();
        self.parts.published.update_finally(|counters| self.tell(counters));
    }

    /// After a panic: what the server still knows goes to the audit trail, and a fresh one takes over.
    pub(super) fn start_over(&mut self, server: impl FnOnce() -> Server<P, E>) {
        self.counters.panics += 1;
        self.forget_batch();
        let closed = catch_unwind(AssertUnwindSafe(|| {
            self.server.shutdown(self.now);
            // Their clients know nothing of a new server: they have to come again.
            self.streams.end_all(StreamEnd::WorkerRestarted);
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
        self.streams.forget_queues();
        self.used = 0;
    }
}
