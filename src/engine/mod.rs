//! Sockets and threads around the relay server: one thread a core, each with its own sockets and its own share of the
//! clients; nothing shared on the packet path.
//!
//! [`Engine::start`] binds everything before it starts anything. Every worker has its own socket for each listening
//! address, sharing the port, so that a client's 5-tuple always reaches the same one; its relay server, its relay
//! sockets and its counters are its alone. What workers share is the pool of ports, and that is asked only when a relay
//! socket is opened or closed.
//!
//! Knows no policy: servers and the sinks of their audit events are made by the caller. Linux only.
#![deny(unsafe_code)]

mod buffers;
mod clock;
mod config;
mod counters;
mod entropy;
mod error;
mod intake;
mod listener;
mod news;
mod outbox;
mod own_line;
mod pace;
mod packet;
mod port_pool;
mod proxied_clients;
mod relay_range;
mod relay_socket;
mod reservations;
pub mod sim;
mod stream;
pub(crate) mod sys;
mod tls;
mod udp_socket;
mod worker;

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use buffers::{Buffers, Granted};
pub use clock::Clock;
pub use config::{Dscp, EngineConfig, MAX_LISTENERS, MAX_WORKERS, RelayConfig, StreamKind, StreamListen};
pub use counters::{EngineCounters, ReceiveCounters, SendCounters, WorkerCounters};
pub use entropy::SystemEntropy;
pub use error::EngineError;
pub use listener::Listening;
pub use news::News;
pub use port_pool::{PortPool, PortUsage, Rest};
pub use stream::{
    Foreign, HandOver, PassThrough, Proxies, StreamCounters, StreamEnd, StreamLimits, StreamListening, Way,
};
pub(crate) use sys::address_notices::AddressNotices;
pub(crate) use sys::bell::Bell;
pub(crate) use sys::clock_notices::ClockNotices;
pub(crate) use sys::file_notices::FileNotices;
pub use tls::{Certificate, Certificates, ClientCertificates, Tls, TlsError, TlsProfile};

use counters::Published;
use listener::Listener;
use own_line::OwnLine;
use packet::Arena;
use proxied_clients::ProxiedClients;
use relay_range::RelayRange;
use relay_socket::Ranges;
use stream::acceptor::Acceptor;
use stream::admission::Admission;
use stream::{Gate, StreamParts, limits::HANDSHAKE_THREADS};
use sys::epoll::Epoll;
use sys::eventfd::Waker;
use tls::handshakes::Handshakes;
use worker::Parts;

use crate::relay::Family;
use crate::relay::seam::{Entropy, EventSink, Policy};
use crate::relay::server::Server;

/// Running workers. Dropping it stops them, as [`Engine::stop`] does.
pub struct Engine {
    listening: Vec<Listening>,
    stream_listening: Vec<StreamListening>,
    ranges: Ranges,
    workers: Vec<Worker>,
    /// Work on handshakes for all workers.
    handshakes: Option<Handshakes>,
    stopping: Arc<OwnLine<AtomicBool>>,
    running: Arc<Running>,
    news: Arc<News>,
}

/// A worker as its engine sees it.
struct Worker {
    waker: Arc<Waker>,
    published: Published,
    thread: JoinHandle<()>,
}

/// How a stop went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// What each worker has counted in all.
    pub counters: Vec<WorkerCounters>,
    /// Workers that had not finished in time; 0 if every allocation was closed and recorded.
    pub late: usize,
}

impl Engine {
    /// Checks the whole configuration, binds every socket, and then starts the workers. Each makes its relay server and
    /// its sink of audit events by `server` and `sink`, which are told its number, on its own thread; and another
    /// server if it panics. What they are told of the time is `clock`'s.
    ///
    /// # Errors
    /// What is wrong and how to mend it, in a sentence. Nothing is left bound then.
    pub fn start<P, E, S>(
        config: &EngineConfig,
        clock: Clock,
        server: impl Fn(usize) -> Server<P, E> + Send + Sync + 'static,
        sink: impl Fn(usize) -> S + Send + Sync + 'static,
    ) -> Result<Self, EngineError>
    where
        P: Policy,
        E: Entropy,
        S: EventSink,
    {
        config.check()?;
        let ranges = Ranges {
            v4: config.relay_v4.as_ref().map(|relay| RelayRange::new(relay, config.relay_buffer, clock)).transpose()?,
            v6: config.relay_v6.as_ref().map(|relay| RelayRange::new(relay, config.relay_buffer, clock)).transpose()?,
        };
        let news = News::new().map_err(|error| EngineError::Resource { what: "a wake-up descriptor", error })?;
        let count = config.worker_count();
        let (of_workers, listening) = listener::bind_all(&config.listen, count, config.listener_buffer)?;
        let (acceptors, stream_listening) =
            stream::acceptor::bind_all(&config.streams, count, config.listen.len(), config.dscp)?;
        let admission = Arc::new(Admission::new(config.stream_limits));
        let gate = config.pass_through.clone().map(|pass| Gate::new(pass, config.stream_limits));
        let doors = (admission, gate);
        let mut engine = Self {
            listening,
            stream_listening,
            ranges,
            workers: Vec::with_capacity(count),
            handshakes: config.tls.is_some().then(|| start_handshakes(count)).transpose()?,
            stopping: Arc::default(),
            running: Arc::default(),
            news: Arc::new(news),
        };
        let of_workers = of_workers.into_iter().zip(acceptors).enumerate();
        let parts = of_workers.map(|(index, sockets)| engine.prepare(index, sockets, &doors, clock, config));
        let (server, sink) = (Arc::new(server), Arc::new(sink));
        for parts in parts.collect::<Result<Vec<_>, _>>()? {
            let (server, sink) = (server.clone(), sink.clone());
            // Dropping the engine stops those that run already.
            engine.spawn(parts, move |parts| worker::run(parts, &*server, &*sink))?;
        }
        Ok(engine)
    }

    /// The addresses that clients can reach, in the order of the configuration.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// The addresses that clients can reach by TCP, in the order of the configuration.
    pub fn stream_listening(&self) -> &[StreamListening] {
        &self.stream_listening
    }

    /// What each worker has counted, at most a tenth of a second old. Costs the packet path nothing.
    pub fn counters(&self) -> Vec<WorkerCounters> {
        self.workers.iter().map(|worker| worker.published.read()).collect()
    }

    /// What each relay socket of `family` has to keep packets in; none if the family is not offered.
    pub fn relay_buffers(&self, family: Family) -> Option<Buffers> {
        self.ranges.of(family).map(|range| range.buffers())
    }

    /// Gives reserved ports back whose time is over, as every use of the ports does, and returns how many still wait
    /// for their token. To be called now and then, or the last ones stay reserved until somebody asks for a port.
    pub fn release_reserved(&self) -> usize {
        let ranges = [Family::V4, Family::V6].into_iter().filter_map(|family| self.ranges.of(family));
        ranges.map(|range| range.sweep()).sum()
    }

    /// How the relay ports of `family` are used, by all workers; none if it is not offered.
    pub fn ports(&self, family: Family) -> Option<PortUsage> {
        self.ranges.of(family).map(|range| range.usage())
    }

    /// Tells of new counters, and of workers that have ended.
    pub fn news(&self) -> &Arc<News> {
        &self.news
    }

    /// Workers that run. Fewer than were started means that a server or a sink could not even be made.
    pub fn running(&self) -> usize {
        self.running.count()
    }

    /// Closes every allocation, with its audit event, and ends the workers; waits for them no longer than `within`.
    pub fn stop(mut self, within: Duration) -> Stopped {
        let published: Vec<Published> = self.workers.iter().map(|worker| worker.published.clone()).collect();
        let late = self.stop_workers(within);
        Stopped { counters: published.iter().map(Published::read).collect(), late }
    }

    fn prepare(
        &self,
        index: usize,
        (listeners, acceptors): (Vec<Listener>, Vec<Acceptor>),
        (admission, gate): &(Arc<Admission>, Option<Gate>),
        clock: Clock,
        config: &EngineConfig,
    ) -> Result<Parts, EngineError> {
        let lacking = |what| move |error| EngineError::Resource { what, error };
        let no_entropy = || lacking("random numbers")(io::Error::from(io::ErrorKind::Unsupported));
        let waker = Arc::new(Waker::new().map_err(lacking("a wake-up descriptor"))?);
        let parts = Parts {
            index,
            listeners,
            streams: Some(StreamParts {
                acceptors,
                admission: admission.clone(),
                limits: config.stream_limits,
                tls: config.tls.clone().zip(self.handshakes.as_ref().map(|threads| threads.desk(waker.clone()))),
                proxies: config.proxies.clone(),
                gate: gate.clone(),
            }),
            proxied: ProxiedClients::new(&config.datagram_proxies, clock.now().instant),
            ranges: self.ranges.clone(),
            arena: Arena::new().map_err(lacking("packet memory"))?,
            epoll: Epoll::new().map_err(lacking("a set of sockets"))?,
            waker,
            stopping: self.stopping.clone(),
            published: Published::default(),
            news: self.news.clone(),
            clock,
            entropy: SystemEntropy::new().ok_or_else(no_entropy)?,
            dscp: config.dscp,
        };
        parts.watch().map_err(lacking("a place in a set of sockets"))?;
        Ok(parts)
    }

    fn spawn(&mut self, parts: Parts, run: impl FnOnce(Parts) + Send + 'static) -> Result<(), EngineError> {
        let (waker, published) = (parts.waker.clone(), parts.published.clone());
        let guard = RunningGuard::new(&self.running, &self.news);
        let thread = thread::Builder::new().name(format!("turnkeep-{}", parts.index)).spawn(move || {
            let _guard = guard;
            run(parts);
        });
        let thread = thread.map_err(|error| EngineError::Resource { what: "a thread", error })?;
        self.workers.push(Worker { waker, published, thread });
        Ok(())
    }

    /// Returns how many are late.
    fn stop_workers(&mut self, within: Duration) -> usize {
        self.stopping.store(true, Ordering::Release);
        self.workers.iter().for_each(|worker| worker.waker.wake());
        let late = self.running.wait(within);
        // One that is late is left to itself: to wait for it could be for ever.
        for worker in self.workers.drain(..).filter(|worker| late == 0 || worker.thread.is_finished()) {
            // A panic was logged by the thread itself.
            let _ = worker.thread.join();
        }
        late
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        const WITHIN: Duration = Duration::from_secs(5);
        // After a stop there is nobody left to wait for, late ones included.
        if !self.workers.is_empty() {
            self.stop_workers(WITHIN);
        }
    }
}

/// Half as many threads as there are workers: handshakes are rare, and give way to packets.
fn start_handshakes(workers: usize) -> Result<Handshakes, EngineError> {
    let threads = workers.div_ceil(2).min(HANDSHAKE_THREADS);
    Handshakes::start(threads).map_err(|error| EngineError::Resource { what: "a thread", error })
}

/// Counts the workers that run.
#[derive(Debug, Default)]
struct Running {
    count: Mutex<usize>,
    fewer: Condvar,
}

/// One worker that runs, until it is dropped.
struct RunningGuard {
    running: Arc<Running>,
    news: Arc<News>,
}

impl Running {
    fn count(&self) -> usize {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until none runs, or `within` has passed, and returns how many still do.
    fn wait(&self, within: Duration) -> usize {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.fewer.wait_timeout_while(count, within, |count| *count > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl RunningGuard {
    fn new(running: &Arc<Running>, news: &Arc<News>) -> Self {
        *running.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self { running: running.clone(), news: news.clone() }
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        *self.running.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.running.fewer.notify_all();
        self.news.tell();
    }
}

/// Every address of this host, loopback, link-local and broadcast ones included.
///
/// # Errors
/// A sandbox that forbids to ask.
pub fn local_addresses() -> io::Result<Vec<IpAddr>> {
    sys::interfaces::local_addresses()
}

/// Raises the limit on open descriptors as far as the process may, and returns it. Every allocation needs one.
///
/// # Errors
/// A sandbox that forbids it.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    sys::limit::raise_descriptors()
}

/// Forbids core dumps of this process and looks into it by others of the same user.
///
/// # Errors
/// A sandbox that forbids it.
pub fn forbid_dumps() -> io::Result<()> {
    sys::process::forbid_dumps()
}

/// Gives memory that was freed back to the system. It takes some milliseconds, in which other threads may have to wait
/// for memory: requests may, relayed packets need none.
pub fn give_back_memory() {
    sys::memory::trim();
}

/// Has memory that is freed in large pieces given back at once from now on. To be called at the start.
pub fn keep_little_memory() {
    sys::memory::keep_little();
}

/// Lowers the priority of the calling thread below that of the workers.
///
/// # Errors
/// A sandbox that forbids it.
pub(crate) fn yield_to_others() -> io::Result<()> {
    sys::nice::yield_to_others()
}

/// The user id that this process acts as.
pub fn effective_user() -> u32 {
    sys::process::effective_user()
}

/// The name of this host.
///
/// # Errors
/// A sandbox that forbids to ask.
pub fn host_name() -> io::Result<String> {
    sys::process::host_name()
}
