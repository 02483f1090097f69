//! One client's connection.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::Socket;

use super::Watch;
use super::admission::Place;
use super::backlog::{self, Backlog, Bound};
use super::end::StreamEnd;
use super::layer::Layer;
use super::limits::{GATHERED, GATHERED_RECORDS, StreamLimits};
use crate::engine::config::StreamKind;
use crate::engine::outbox::Queue;
use crate::engine::sys::epoll::Interest;
use crate::engine::sys::mmsg::Outgoing;
use crate::relay::{Instant, Path};

/// One client's connection.
pub(in crate::engine) struct Stream {
    socket: Socket,
    /// Its 5-tuple.
    pub(in crate::engine) path: Path,
    /// What is to be sent at the end of the batch.
    pub(in crate::engine) queue: Queue,
    /// The beginning of a message whose end has not come.
    pub(in crate::engine) partial: Vec<u8>,
    /// What lies between its bytes and its messages.
    pub(in crate::engine) layer: Layer,
    /// What is spoken on it.
    pub(in crate::engine) kind: StreamKind,
    pub(super) backlog: Backlog,
    /// As how much of what is not all there it was counted last.
    pub(super) counted: usize,
    /// What the set of sockets tells of.
    interest: Interest,
    /// It has yet to authenticate.
    pub(super) place: Option<Place>,
    pub(super) heard: Heard,
    opened: Instant,
    /// When the client could begin to speak.
    pub(super) began: Instant,
    /// At the last look it had no allocation any more.
    pub(super) is_lonely: bool,
    /// Tells it from others that had its slot.
    pub(super) serial: u64,
    /// Nothing can be sent any more.
    is_broken: bool,
    /// It ends with the batch.
    pub(super) end: Option<StreamEnd>,
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Heard {
    Nothing,
    Bytes,
    Message,
}

/// What a read has brought.
pub(in crate::engine) enum Got {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The end.
    End(StreamEnd),
}

/// What became of messages for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Taken by the kernel, or waiting for it.
    pub(super) sent: u64,
    /// Dropped: too much waits already.
    pub(super) dropped: u64,
}

impl Stream {
    pub(super) fn new(
        socket: Socket,
        path: Path,
        (kind, layer): (StreamKind, Layer),
        place: Place,
        opened: Instant,
        serial: u64,
    ) -> Self {
        Self {
            socket,
            path,
            queue: Queue::default(),
            partial: Vec::new(),
            layer,
            kind,
            backlog: Backlog::default(),
            counted: 0,
            interest: Interest::Read,
            place: Some(place),
            heard: Heard::Nothing,
            opened,
            began: opened,
            is_lonely: false,
            serial,
            is_broken: false,
            end: None,
        }
    }

    /// It has yet to authenticate.
    pub(in crate::engine) fn is_stranger(&self) -> bool {
        self.place.is_some()
    }

    /// What is left of it when it is not ours.
    pub(super) fn into_parts(self) -> (Socket, Path, Layer, Option<Place>) {
        (self.socket, self.path, self.layer, self.place)
    }

    /// Bytes of memory that it takes for what is not all there.
    pub(super) fn held(&self) -> usize {
        self.partial.capacity() + self.layer.held()
    }

    /// The client has come this far.
    pub(in crate::engine) fn heard(&mut self, heard: Heard) {
        self.heard = self.heard.max(heard);
    }

    /// Reads what there is, as far as it fits.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Got {
        match (&self.socket).read(buffer) {
            Ok(0) => Got::End(StreamEnd::ClosedByClient),
            Ok(len) => {
                self.heard = self.heard.max(Heard::Bytes);
                Got::Bytes(len)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Got::Nothing,
                _ => Got::End(end_of(&error)),
            },
        }
    }

    /// Sends `messages`, or lets them wait as far as there is room: whole ones, in their order. Queues of this worker
    /// take `in_all` bytes of memory.
    pub(super) fn send<'o>(
        &mut self,
        messages: impl Iterator<Item = Outgoing<'o>>,
        in_all: usize,
        scratch: &mut [Vec<u8>; 2],
    ) -> Delivered {
        match self.layer {
            Layer::Tls(..) => self.send_encrypted(messages, in_all, scratch),
            _ => self.send_plain(messages, in_all),
        }
    }

    fn send_plain<'o>(&mut self, mut messages: impl Iterator<Item = Outgoing<'o>>, in_all: usize) -> Delivered {
        let mut delivered = Delivered::default();
        let before = self.backlog.memory();
        let mut batch = [Message::default(); GATHERED];
        loop {
            let count = fill(&mut batch, &mut messages);
            let batch = &batch[..count];
            if batch.is_empty() {
                return delivered;
            }
            if self.is_broken {
                delivered.dropped += batch.len() as u64;
                continue;
            }
            let mut sent = if self.backlog.is_empty() { self.hand_over(batch) } else { 0 };
            for message in batch {
                let skip = sent.min(message.len());
                sent -= skip;
                // What has begun is finished, whatever waits: the client would never find the next message.
                let in_all = in_all + self.backlog.memory() - before;
                let fits = || self.backlog.has_room(message.len(), self.bound(message), in_all);
                if skip == message.len() || skip > 0 || fits() {
                    self.backlog.extend(message.parts(), skip);
                    delivered.sent += 1;
                } else {
                    delivered.dropped += 1;
                }
            }
        }
    }

    /// Each message in a record of its own, and many records in one call: some clients take all that a record holds
    /// for one message, and lose the others. coturn's turnutils_uclient does: of 100,000 echoes it lost 22,383 when
    /// messages that left together shared records (`-t -S -m 100 -n 1000`).
    ///
    /// Where single packets go to 100 clients that costs nothing that shows (50,000 packets/s of 160 bytes: 7.3 to 10.8
    /// µs of CPU each, 7.5 to 11.0 before); where bursts of 8 go to each of 20, 6.2 µs instead of 5.4 (40,000 packets/s
    /// of 1150 bytes; medians of three runs of `turnkeep load --transport tls --path down --server-pid` by turns).
    fn send_encrypted<'o>(
        &mut self,
        messages: impl Iterator<Item = Outgoing<'o>>,
        in_all: usize,
        [plain, records]: &mut [Vec<u8>; 2],
    ) -> Delivered {
        let mut delivered = Delivered::default();
        let before = self.backlog.memory();
        records.clear();
        for Outgoing { front, bytes, padding, .. } in messages {
            let message = Message { front, bytes, padding };
            // What is encrypted must be sent: it fits, or is alone and may be what the kernel takes a part of.
            let in_all = in_all + self.backlog.memory() - before;
            let bound = self.bound(&message);
            let mut fits = self.backlog.has_room(records.len() + message.len(), bound, in_all);
            if !fits && self.backlog.is_empty() {
                // Nothing waits so far but for this: the kernel may have room where we have none.
                self.send_raw(records);
                records.clear();
                fits = self.backlog.is_empty();
            }
            if self.is_broken || !fits || !self.encrypt(message, plain, records) {
                delivered.dropped += 1;
                continue;
            }
            delivered.sent += 1;
            if records.len() >= GATHERED_RECORDS {
                self.send_raw(records);
                records.clear();
            }
        }
        self.send_raw(records);
        delivered
    }

    /// How much may wait for it when `message` does.
    fn bound(&self, message: &Message<'_>) -> Bound {
        match (&self.place, message.is_answer()) {
            (Some(_), _) => Bound::STRANGERS,
            (None, true) => Bound::ANSWERS,
            (None, false) => Bound::MEDIA,
        }
    }

    /// Puts `message` behind `records` as a record. False if the connection is over.
    fn encrypt(&mut self, message: Message<'_>, plain: &mut Vec<u8>, records: &mut Vec<u8>) -> bool {
        let Layer::Tls(session, begun) = &mut self.layer else { return false };
        let is_sent = match message {
            Message { front: [], bytes, padding: 0 } => session.encrypt(bytes, begun, records),
            _ => {
                plain.clear();
                message.parts().iter().for_each(|part| plain.extend_from_slice(part));
                session.encrypt(plain, begun, records)
            }
        };
        if !is_sent {
            self.is_broken = true;
            self.end.get_or_insert(StreamEnd::TlsBroken);
        }
        is_sent
    }

    /// Sends bytes that are part of no message: none of them may be dropped.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.is_broken {
            return;
        }
        let message = Message { bytes, ..Message::default() };
        let sent = if self.backlog.is_empty() { self.hand_over(&[message]) } else { 0 };
        if sent < bytes.len() {
            self.backlog.extend(message.parts(), sent);
        }
    }

    /// Has the set of sockets tell of `interest`, and of room to write while something waits.
    pub(super) fn interest(&mut self, interest: Interest, watch: Watch<'_>, slot: u32) {
        let interest = match interest {
            Interest::Read if !self.backlog.is_empty() => Interest::ReadAndWrite,
            other => other,
        };
        if self.interest != interest {
            self.interest = interest;
            // It was added when it was taken in.
            let _ = watch.epoll.change(self.as_fd(), (watch.stream)(slot), interest);
        }
    }

    /// After something was sent.
    pub(super) fn settle_interest(&mut self, watch: Watch<'_>, slot: u32) {
        if self.interest != Interest::None {
            self.interest(Interest::Read, watch, slot);
        }
    }

    /// Says that nothing more will be said.
    pub(super) fn say_goodbye(&mut self, encrypted: &mut Vec<u8>) {
        encrypted.clear();
        if let Layer::Tls(session, begun) = &mut self.layer {
            session.close(begun, encrypted);
            self.send_raw(encrypted);
        }
    }

    /// How many bytes of `batch` the kernel takes.
    fn hand_over(&mut self, batch: &[Message<'_>]) -> usize {
        let mut slices = [IoSlice::new(&[]); 3 * GATHERED];
        let parts = batch.iter().flat_map(Message::parts);
        slices.iter_mut().zip(parts).for_each(|(slice, part)| *slice = IoSlice::new(part));
        match backlog::send(&self.socket, &slices[..3 * batch.len()]) {
            Ok(sent) => sent,
            Err(error) => {
                if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
                    self.break_off(&error);
                }
                0
            }
        }
    }

    /// Sends what waits.
    pub(super) fn send_backlog(&mut self) {
        if let Err(error) = self.backlog.send(&self.socket) {
            self.break_off(&error);
        }
    }

    /// Nothing can be sent any more.
    fn break_off(&mut self, error: &io::Error) {
        self.is_broken = true;
        self.end.get_or_insert(end_of(error));
    }

    /// What is to become of it at `now`: its end, or when to look again.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        limits: &StreamLimits,
        has_allocation: bool,
    ) -> Result<Instant, StreamEnd> {
        let steps = [
            (self.heard == Heard::Nothing, self.opened, limits.first_byte, StreamEnd::NoFirstByte),
            (!self.layer.is_settled(), self.opened, limits.handshake, StreamEnd::HandshakeTimeout),
            (self.heard < Heard::Message, self.began, limits.first_message, StreamEnd::NoMessage),
            (self.place.is_some(), self.began, limits.authenticated, StreamEnd::NotAuthenticated),
        ];
        let unmet = steps.into_iter().filter(|(waits, ..)| *waits);
        let first = unmet.map(|(_, since, within, end)| (since.after(within), end)).min_by_key(|(due, _)| *due);
        match first {
            Some((due, end)) if due <= now => return Err(end),
            Some((due, _)) => return Ok(due),
            None => {}
        }
        if std::mem::replace(&mut self.is_lonely, !has_allocation) && !has_allocation {
            return Err(StreamEnd::Idle);
        }
        Ok(now.after(limits.idle))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A message as it is gathered.
#[derive(Clone, Copy, Default)]
struct Message<'o> {
    front: &'o [u8],
    bytes: &'o [u8],
    padding: usize,
}

impl<'o> Message<'o> {
    fn len(&self) -> usize {
        self.front.len() + self.bytes.len() + self.padding
    }

    fn parts(&self) -> [&'o [u8]; 3] {
        const ZEROS: [u8; 4] = [0; 4];
        [self.front, self.bytes, ZEROS.get(..self.padding).unwrap_or(&ZEROS)]
    }

    /// Media comes behind a front.
    fn is_answer(&self) -> bool {
        self.front.is_empty()
    }
}

fn fill<'o>(batch: &mut [Message<'o>], messages: &mut impl Iterator<Item = Outgoing<'o>>) -> usize {
    let mut count = 0;
    for (place, Outgoing { front, bytes, padding, .. }) in batch.iter_mut().zip(messages) {
        *place = Message { front, bytes, padding };
        count += 1;
    }
    count
}

fn end_of(error: &io::Error) -> StreamEnd {
    if error.kind() == io::ErrorKind::TimedOut { StreamEnd::TimedOut } else { StreamEnd::Reset }
}
