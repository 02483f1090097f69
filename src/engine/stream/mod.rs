//! The connections of one worker's clients: taken in, read, written to and closed, each within bounds.
//!
//! A worker serves them from its own set of sockets and in its own batches, as it serves datagrams: one owner, one
//! reading of the clock a batch, no task and no waker. What knows messages is above (`worker/streams.rs`) and below
//! (`wire::framer`); here are bytes.
#![forbid(unsafe_code)]

pub(super) mod acceptor;
pub(super) mod admission;
mod backlog;
mod connection;
mod counters;
mod end;
mod foreign;
mod layer;
pub(super) mod limits;
mod proxied;
mod secure;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::AsFd;
use std::sync::Arc;

use socket2::Socket;
use tracing::warn;

pub use acceptor::StreamListening;
pub use counters::StreamCounters;
pub use end::StreamEnd;
pub use foreign::{Foreign, HandOver, PassThrough, Way};
pub use limits::StreamLimits;
pub use proxied::Proxies;

pub(super) use connection::{Got, Heard, Stream};
pub(super) use foreign::Gate;
pub(super) use layer::Layer;

use acceptor::Acceptor;
use admission::{Admission, Place};
use counters::Untold;
use layer::TLS_HANDSHAKE;
use limits::{ACCEPT_PAUSE, ACCEPTS_PER_TURN, READ, READ_OF_STRANGER, SPARE_BUFFER, SPARE_BUFFERS};
use proxied::Header;

use super::config::StreamKind;
use super::sys::epoll::{Epoll, Interest};
use super::sys::mmsg::Outgoing;
use super::tls::Tls;
use super::tls::handshakes::Desk;
use crate::relay::{ClientAddr, Instant, Path, ServerAddr, StreamId, Transport};

/// The connections of one worker.
pub(super) struct Streams {
    limits: StreamLimits,
    admission: Arc<Admission>,
    acceptors: Vec<Acceptor>,
    slots: Vec<Option<Box<Stream>>>,
    free: Vec<u32>,
    /// One entry for each connection, and some for ones that have ended: when to look, its slot and its serial number.
    deadlines: BinaryHeap<Reverse<(Instant, u32, u64)>>,
    serial: u64,
    /// The slots of those that end with this batch.
    ending: Vec<u32>,
    /// Bytes of memory that queues of clients take.
    queued: usize,
    /// Bytes of memory for what is not all there: of clients that have authenticated, and of others.
    held: [usize; 2],
    /// The places of those that ended while their handshake was worked on: they are free once it comes back. Else
    /// whoever begins handshakes and leaves would have others wait for them, however few may be at it.
    away: Vec<((u32, u64), Place)>,
    /// Empty buffers for more of it.
    spares: Vec<Vec<u8>>,
    /// What TLS clients are offered, and who works on their handshakes.
    tls: Option<(Tls, Desk)>,
    proxies: Proxies,
    /// Where what is not ours leaves, if it does.
    gate: Option<Gate>,
    /// For messages on their way into records, and for records.
    sending: [Vec<u8>; 2],
    /// For what answers records that came.
    scratch: Vec<u8>,
    untold: Untold,
}

/// What they are made of.
pub(super) struct StreamParts {
    pub(super) acceptors: Vec<Acceptor>,
    pub(super) admission: Arc<Admission>,
    pub(super) limits: StreamLimits,
    pub(super) tls: Option<(Tls, Desk)>,
    pub(super) proxies: Proxies,
    pub(super) gate: Option<Gate>,
}

/// How the worker has its set of sockets tell of connections and of those who take them in.
#[derive(Clone, Copy)]
pub(super) struct Watch<'e> {
    pub(super) epoll: &'e Epoll,
    /// The token of the connection in a slot.
    pub(super) stream: fn(u32) -> u64,
    /// The token of the acceptor with an index.
    pub(super) acceptor: fn(u32) -> u64,
}

impl Streams {
    /// None yet.
    pub(super) fn new(parts: StreamParts) -> Self {
        let StreamParts { acceptors, admission, limits, tls, proxies, gate } = parts;
        Self {
            limits,
            admission,
            acceptors,
            slots: Vec::new(),
            free: Vec::new(),
            deadlines: BinaryHeap::new(),
            serial: 0,
            ending: Vec::new(),
            queued: 0,
            held: [0; 2],
            away: Vec::new(),
            spares: Vec::with_capacity(SPARE_BUFFERS),
            tls,
            proxies,
            gate,
            sending: [Vec::new(), Vec::new()],
            scratch: Vec::new(),
            untold: Untold::default(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes in connections that wait at the acceptor with this index, so many a turn.
    pub(super) fn accept(&mut self, index: u32, now: Instant, watch: Watch<'_>, counters: &mut StreamCounters) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(acceptor) = self.acceptors.get_mut(index as usize) else { return };
            let (socket, client, server) = match acceptor.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // The client has gone again (accept(2)).
                Err(error) if is_of_the_connection(&error) => continue,
                Err(error) => {
                    let address = acceptor.id;
                    warn!(?address, "no connection can be taken in for half a second: {error}");
                    counters.accept_failures += 1;
                    acceptor.paused_until = Some(now.after(ACCEPT_PAUSE));
                    // Else the set would tell of it again and again. It was added when the worker began.
                    let _ = watch.epoll.change(acceptor.as_fd(), (watch.acceptor)(index), Interest::None);
                    return;
                }
            };
            let (client, server) = (ClientAddr(client), ServerAddr(server));
            let (listener, kind) = (acceptor.id, acceptor.kind);
            counters.accepted += 1;
            let slot = Transport::Tcp(StreamId(0));
            let path = Path { client, server, transport: slot, listener };
            if let Err(end) = self.admit(socket, path, kind, now, watch) {
                counters.count_end(end);
                self.untold.note(end, client, now);
            }
        }
    }

    fn admit(
        &mut self,
        socket: Socket,
        path: Path,
        kind: StreamKind,
        now: Instant,
        watch: Watch<'_>,
    ) -> Result<(), StreamEnd> {
        let is_proxy = self.proxies.have(path.client.ip());
        let place = match is_proxy {
            true => self.admission.enter_as_proxy()?,
            false => self.admission.enter(path.client.ip())?,
        };
        let slot = self.free_slot().ok_or(StreamEnd::TooManyConnections)?;
        let path = Path { transport: Transport::Tcp(StreamId(slot)), ..path };
        let layer = match kind {
            _ if is_proxy => Layer::Proxied(Vec::new()),
            StreamKind::Plain => Layer::Plain,
            StreamKind::Tls | StreamKind::Auto => Layer::Undecided,
        };
        if watch.epoll.add(socket.as_fd(), (watch.stream)(slot)).is_err() {
            self.free.push(slot);
            return Err(StreamEnd::NoResources);
        }
        self.serial += 1;
        let mut stream = Stream::new(socket, path, (kind, layer), place, now, self.serial);
        let due = stream.judge(now, &self.limits, false).unwrap_or(now);
        self.deadlines.push(Reverse((due, slot, self.serial)));
        if let Some(home) = self.slots.get_mut(slot as usize) {
            *home = Some(Box::new(stream));
        }
        Ok(())
    }

    fn free_slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = u32::try_from(self.slots.len()).ok().filter(|slot| *slot < self.limits.per_worker)?;
        self.slots.push(None);
        Some(slot)
    }

    /// The connection in `slot`, unless it is about to end: nothing more is heard from it then.
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Stream> {
        self.in_slot(slot).filter(|stream| stream.end.is_none())
    }

    /// The connection in `slot`, about to end or not: what was said before is still answered.
    pub(super) fn in_slot(&mut self, slot: u32) -> Option<&mut Stream> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    /// Reads what there is, as far as it fits and is heard in one turn.
    pub(super) fn read(&mut self, slot: u32, buffer: &mut [u8]) -> Got {
        let Some(stream) = self.get_mut(slot) else { return Got::Nothing };
        let most = if stream.is_stranger() { READ_OF_STRANGER } else { READ };
        let len = buffer.len().min(most);
        stream.read(buffer.get_mut(..len).unwrap_or_default())
    }

    /// Sends `messages` to the client in `slot`.
    pub(super) fn send<'o>(
        &mut self,
        slot: u32,
        messages: impl Iterator<Item = Outgoing<'o>>,
        watch: Watch<'_>,
        counters: &mut StreamCounters,
    ) {
        let Some(stream) = self.slots.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return };
        let before = stream.backlog.memory();
        let delivered = stream.send(messages, self.queued, &mut self.sending);
        counters.messages_out += delivered.sent;
        counters.dropped += delivered.dropped;
        self.settle(slot, before, watch);
    }

    /// The client in `slot` can take more.
    pub(super) fn on_writable(&mut self, slot: u32, watch: Watch<'_>) {
        let Some(stream) = self.get_mut(slot) else { return };
        let before = stream.backlog.memory();
        stream.send_backlog();
        self.settle(slot, before, watch);
    }

    /// After something was sent: what waits is counted, and watched for.
    fn settle(&mut self, slot: u32, before: usize, watch: Watch<'_>) {
        let Some(home) = self.slots.get_mut(slot as usize) else { return };
        let Some(stream) = home.as_deref_mut() else { return };
        self.queued = self.queued + stream.backlog.memory() - before;
        stream.settle_interest(watch, slot);
        if stream.end.is_some() {
            self.ending.push(slot);
        }
    }

    /// Keeps `bytes`, which belong to an unfinished message of the client in `slot`.
    pub(super) fn keep(&mut self, slot: u32, bytes: &[u8]) -> Result<(), StreamEnd> {
        let spares = &mut self.spares;
        let Some(stream) = self.slots.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return Ok(()) };
        if stream.partial.capacity() == 0 {
            stream.partial = spares.pop().unwrap_or_default();
        }
        stream.partial.extend_from_slice(bytes);
        self.count_held(slot)
    }

    /// Gives up the beginning that was kept. Its buffer goes to [`Self::spare`] afterwards.
    pub(super) fn take_partial(&mut self, slot: u32) -> Vec<u8> {
        let partial = self.in_slot(slot).map(|stream| std::mem::take(&mut stream.partial)).unwrap_or_default();
        // There is less than before.
        let _ = self.count_held(slot);
        partial
    }

    /// Keeps a buffer for the next beginning, so that messages which come in parts take nothing from the heap.
    pub(super) fn spare(&mut self, mut buffer: Vec<u8>) {
        if self.spares.len() < SPARE_BUFFERS && (1..=SPARE_BUFFER).contains(&buffer.capacity()) {
            buffer.clear();
            self.spares.push(buffer);
        }
    }

    /// The client in `slot` was given an allocation: nothing hurries any more.
    pub(super) fn on_authenticated(&mut self, slot: u32) {
        let Some(stream) = self.slots.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return };
        if stream.place.take().is_some() {
            self.held[1] -= stream.counted;
            self.held[0] += stream.counted;
        }
    }

    /// The first bytes of the client in `slot` tell what it speaks.
    pub(super) fn decide(&mut self, slot: u32, bytes: &[u8]) -> Result<(), StreamEnd> {
        let may_be_foreign = self.gate.is_some();
        let Some(stream) = self.get_mut(slot) else { return Ok(()) };
        let is_tls = bytes.first() == Some(&TLS_HANDSHAKE);
        match (stream.kind, is_tls) {
            (StreamKind::Auto | StreamKind::Tls, true) if may_be_foreign => {
                stream.layer = Layer::Greeting(Vec::new());
                Ok(())
            }
            (StreamKind::Auto | StreamKind::Tls, true) => self.begin_tls(slot),
            (StreamKind::Plain | StreamKind::Auto, false) => {
                stream.layer = Layer::Plain;
                Ok(())
            }
            (StreamKind::Tls, false) => Err(StreamEnd::NotTls),
            (StreamKind::Plain, true) => Err(StreamEnd::NotTurn),
        }
    }

    /// More has come of what a proxy says about the client in `slot`. Once that is all there, the rest of the bytes.
    pub(super) fn on_proxied(&mut self, slot: u32, bytes: &[u8]) -> Result<Option<Vec<u8>>, StreamEnd> {
        let Some(stream) = self.get_mut(slot) else { return Ok(None) };
        let Layer::Proxied(begun) = &mut stream.layer else { return Ok(None) };
        begun.extend_from_slice(bytes);
        let Some(Header { len, ends }) = proxied::read(begun)? else { return self.count_held(slot).map(|()| None) };
        let mut rest = std::mem::take(begun);
        rest.drain(..len);
        // There is less than before; it was counted with others like it.
        let _ = self.count_held(slot);
        let admission = self.admission.clone();
        let Some(stream) = self.get_mut(slot) else { return Ok(None) };
        if let Some((client, server)) = ends {
            // From now on it counts as what it is.
            stream.place = None;
            stream.place = Some(admission.enter(client.ip())?);
            (stream.path.client, stream.path.server) = (ClientAddr(client), ServerAddr(server));
        }
        stream.layer = if stream.kind == StreamKind::Plain { Layer::Plain } else { Layer::Undecided };
        Ok(Some(rest))
    }

    /// Ends the connection in `slot` with this batch.
    pub(super) fn end(&mut self, slot: u32, end: StreamEnd) {
        if let Some(stream) = self.get_mut(slot) {
            stream.end = Some(end);
            self.ending.push(slot);
        }
    }

    /// The next one that ends with this batch: it is closed once it is dropped.
    pub(super) fn next_ended(
        &mut self,
        now: Instant,
        watch: Watch<'_>,
        counters: &mut StreamCounters,
    ) -> Option<Box<Stream>> {
        while let Some(slot) = self.ending.pop() {
            let Some(mut stream) = self.slots.get_mut(slot as usize).and_then(Option::take) else { continue };
            self.queued -= stream.backlog.memory();
            self.held[usize::from(stream.place.is_some())] -= stream.counted;
            self.free.push(slot);
            if let Layer::Handshake(None, _) = &stream.layer {
                self.away.extend(stream.place.take().map(|place| ((slot, stream.serial), place)));
            }
            // What it was owed, as far as the kernel takes it.
            stream.say_goodbye(&mut self.scratch);
            stream.send_backlog();
            let end = stream.end.unwrap_or(StreamEnd::Shutdown);
            counters.count_end(end);
            self.untold.note(end, stream.path.client, now);
            if let Some(stream) = self.pass_on(stream, watch) {
                return Some(stream);
            }
        }
        None
    }

    /// When to call [`Self::on_deadline`] next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let paused = self.acceptors.iter().filter_map(|acceptor| acceptor.paused_until);
        self.deadlines.peek().map(|Reverse((due, ..))| *due).into_iter().chain(paused).min()
    }

    /// Ends what took too long, and listens again where it paused.
    pub(super) fn on_deadline(&mut self, now: Instant, watch: Watch<'_>, has_allocation: impl Fn(&Path) -> bool) {
        while let Some(&Reverse((due, slot, serial))) = self.deadlines.peek()
            && due <= now
        {
            self.deadlines.pop();
            let limits = self.limits;
            let Some(stream) = self.get_mut(slot).filter(|stream| stream.serial == serial) else { continue };
            match stream.judge(now, &limits, has_allocation(&stream.path)) {
                Ok(due) => self.deadlines.push(Reverse((due, slot, serial))),
                Err(end) => self.end(slot, end),
            }
        }
        for (index, acceptor) in (0..).zip(&mut self.acceptors) {
            if acceptor.paused_until.take_if(|until| *until <= now).is_some() {
                // It was added when the worker began.
                let _ = watch.epoll.change(acceptor.as_fd(), (watch.acceptor)(index), Interest::Read);
            }
        }
    }

    /// Ends all of them with this batch.
    pub(super) fn end_all(&mut self, end: StreamEnd) {
        let slots = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        (0..slots).for_each(|slot| self.end(slot, end));
    }

    /// Forgets what was to be sent.
    pub(super) fn forget_queues(&mut self) {
        self.slots.iter_mut().flatten().for_each(|stream| stream.queue = Default::default());
    }
}

/// A failed accept(2) that is the fault of the connection, not of the host.
fn is_of_the_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    !error.raw_os_error().is_some_and(|code| exhausted.contains(&code))
        && error.kind() != ErrorKind::Unsupported
        && error.kind() != ErrorKind::InvalidInput
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::ListenerId;
    use limits::PARTIAL_OF_STRANGERS;

    const BEGUN: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01";
    const PROXIED: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.9 40000 443\r\n";

    fn streams(limits: StreamLimits) -> Streams {
        let admission = Arc::new(Admission::new(limits));
        let parts = StreamParts {
            acceptors: Vec::new(),
            admission,
            limits,
            tls: None,
            proxies: Proxies::default(),
            gate: None,
        };
        Streams::new(parts)
    }

    /// Takes in a stranger in this layer, and lets `step` happen to it until it ends.
    fn end_by(
        streams: &mut Streams,
        layer: Layer,
        step: impl Fn(&mut Streams, u32, Watch<'_>) -> Result<(), StreamEnd>,
    ) -> StreamEnd {
        let epoll = Epoll::new().unwrap();
        let watch = Watch { epoll: &epoll, stream: u64::from, acceptor: u64::from };
        let (socket, _there) = Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        let [client, server] = ["192.0.2.7:1", "192.0.2.9:443"].map(|text| text.parse().unwrap());
        let (client, server) = (ClientAddr(client), ServerAddr(server));
        let path = Path { client, server, transport: Transport::Tcp(StreamId(0)), listener: ListenerId(0) };
        let now = Instant::default();
        streams.admit(socket, path, StreamKind::Auto, now, watch).unwrap();
        streams.get_mut(0).unwrap().layer = layer;
        let end = (0..100_000).find_map(|_| step(streams, 0, watch).err()).expect("it ends");
        streams.end(0, end);
        assert!(streams.next_ended(now, watch, &mut StreamCounters::default()).is_some());
        end
    }

    /// However a stream ends that keeps something, it leaves nothing behind in the count, or strangers would find less
    /// and less room.
    #[test]
    fn who_ends_is_counted_no_more() {
        let mut full = streams(StreamLimits::default());
        full.held[1] = PARTIAL_OF_STRANGERS - 100;
        for layer in [Layer::Plain, Layer::Proxied(Vec::new())] {
            let is_plain = matches!(layer, Layer::Plain);
            let end = end_by(&mut full, layer, |streams, slot, _| match is_plain {
                true => streams.keep(slot, &[0; 7]),
                false => streams.on_proxied(slot, PROXIED.get(..1).unwrap_or_default()).map(drop),
            });
            assert!(matches!(end, StreamEnd::PartialMessages | StreamEnd::BadProxyHeader), "{end:?}");
            assert_eq!(full.held, [0, PARTIAL_OF_STRANGERS - 100]);
        }

        // Whoever is behind the proxy finds no place.
        let mut crowded = streams(StreamLimits { unauthenticated_per_network: 1, ..StreamLimits::default() });
        let _other = crowded.admission.enter("192.0.2.1".parse().unwrap()).unwrap();
        let proxied = [PROXIED, BEGUN].concat();
        let end = end_by(&mut crowded, Layer::Proxied(Vec::new()), |streams, slot, _| {
            streams.on_proxied(slot, &proxied).map(drop)
        });
        assert_eq!((end, crowded.held), (StreamEnd::TooManyFromNetwork, [0, 0]));
    }
}
