//! What is to be sent at the end of a batch: gathered by socket, in the order in which it came, and handed to the
//! kernel in one call a socket.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use super::counters::EngineCounters;
use super::listener::Listener;
use super::packet::{Arena, SLOTS, Span};
use super::relay_socket::RelaySockets;
use super::stream::{Streams, Watch};
use super::sys::mmsg::{Outgoing, Sender, Sent};
use super::sys::option::{Fragmenting, set_fragmenting_v4, set_fragmenting_v6};
use crate::relay::limits::MAX_REPLY;
use crate::relay::verdict::Front;

/// Datagrams that wait for the end of the batch.
pub(super) struct Outbox {
    entries: Vec<Entry>,
    /// The sockets that have something to send, in the order of their first datagram.
    exits: Vec<Exit>,
    fronts: Vec<Front>,
    replies: Box<[[u8; MAX_REPLY]]>,
    replies_used: usize,
    messages: Vec<Box<[u8]>>,
    sender: Sender,
    refused: Refused,
}

/// Through which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// The listener with this index.
    Listener(u16),
    /// The relay socket in this slot.
    Relay(u32),
    /// The connection in this slot.
    Stream(u32),
}

/// The datagrams that wait for one socket: a list through [`Outbox::entries`]. The socket itself holds its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    first: u16,
    last: u16,
}

/// What is sent, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A received datagram, or a part of it, in the arena.
    Packet(Span),
    /// The same behind a header.
    Fronted {
        /// Which.
        front: u16,
        /// What follows it.
        payload: Span,
        /// Zeros at the end.
        padding: u8,
    },
    /// The `len` first bytes of a reply buffer.
    Reply {
        /// Which.
        index: u16,
        /// In bytes.
        len: u16,
    },
    /// A message of its own.
    Message(u16),
}

/// How it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// Where to.
    pub(super) to: SocketAddr,
    /// From which of our addresses, where the socket has several.
    pub(super) from: Option<IpAddr>,
    /// TOS byte or traffic class.
    pub(super) tos: u8,
    /// With DF set.
    pub(super) dont_fragment: bool,
}

struct Entry {
    body: Body,
    manner: Manner,
    next: u16,
}

/// The end of a list.
const END: u16 = u16::MAX;
/// As many datagrams as an arena has buffers: a batch never has more, and what commands add is sent when it is full.
const CAPACITY: usize = SLOTS;

impl Default for Queue {
    fn default() -> Self {
        Self { first: END, last: END }
    }
}

impl Outbox {
    /// An empty one, with all its memory.
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::with_capacity(CAPACITY),
            exits: Vec::with_capacity(CAPACITY),
            fronts: Vec::with_capacity(CAPACITY),
            replies: vec![[0; MAX_REPLY]; CAPACITY].into(),
            replies_used: 0,
            messages: Vec::with_capacity(CAPACITY),
            sender: Sender::new(CAPACITY / 2),
            refused: Refused(VecDeque::with_capacity(MAX_REFUSED)),
        }
    }

    /// Where the datagram went that the relay socket in `slot` was refused, as far as the kernel tells: of what is too
    /// large for the host itself it leaves the port out.
    pub(super) fn refused(&mut self, slot: u32, to: SocketAddr) -> SocketAddr {
        if to.port() == 0 { self.refused.take(slot, to.ip()).unwrap_or(to) } else { to }
    }

    /// There is no room for another datagram.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() == CAPACITY
    }

    /// There is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// `payload` is to be sent behind `front`, with `padding` zeros at the end.
    pub(super) fn fronted(&mut self, front: Front, payload: Span, padding: usize) -> Body {
        self.fronts.push(front);
        // RFC 8656 §12.5: padding to a multiple of four.
        let padding = u8::try_from(padding).unwrap_or(u8::MAX);
        Body::Fronted { front: index16(self.fronts.len() - 1), payload, padding }
    }

    /// The buffer for the next reply; [`Outbox::reply`] keeps what was written.
    pub(super) fn reply_buffer(&mut self) -> &mut [u8; MAX_REPLY] {
        // There are as many buffers as entries, and the caller makes room first.
        let last = self.replies.len() - 1;
        &mut self.replies[self.replies_used.min(last)]
    }

    /// The first `len` bytes of the reply buffer are to be sent.
    pub(super) fn reply(&mut self, len: usize) -> Body {
        let body = Body::Reply { index: index16(self.replies_used), len: index16(len.min(MAX_REPLY)) };
        self.replies_used += 1;
        body
    }

    /// `message` is to be sent.
    pub(super) fn message(&mut self, message: Box<[u8]>) -> Body {
        self.messages.push(message);
        Body::Message(index16(self.messages.len() - 1))
    }

    /// Puts a datagram behind those that wait in `queue`, which is that of `exit`.
    pub(super) fn push(&mut self, queue: &mut Queue, exit: Exit, body: Body, manner: Manner) {
        debug_assert!(!self.is_full());
        let index = self.entries.len();
        self.entries.push(Entry { body, manner, next: END });
        match self.entries.get_mut(usize::from(queue.last)).filter(|_| queue.first != END) {
            Some(last) => last.next = index16(index),
            None => {
                queue.first = index16(index);
                self.exits.push(exit);
            }
        }
        queue.last = index16(index);
    }

    /// Sends everything, and is empty afterwards.
    pub(super) fn flush(
        &mut self,
        arena: &Arena,
        listeners: &mut [Listener],
        relays: &mut RelaySockets,
        (streams, watch): (&mut Streams, Watch<'_>),
        counters: &mut EngineCounters,
    ) {
        let Self { entries, exits, fronts, replies, messages, sender, refused, .. } = self;
        let waiting = |queue: &mut Queue| {
            let next = std::mem::take(queue).first;
            Waiting { entries, fronts, replies, messages, arena, next }
        };
        for exit in exits.drain(..) {
            match exit {
                Exit::Listener(index) => {
                    let Some(listener) = listeners.get_mut(usize::from(index)) else { continue };
                    let waiting = waiting(&mut listener.queue);
                    counters.to_clients += sender.send(listener.as_fd(), waiting);
                }
                Exit::Relay(slot) => {
                    let Some(relay) = relays.in_slot(slot) else { continue };
                    let waiting = waiting(&mut relay.queue);
                    counters.to_peers +=
                        send_to_peers(sender, relay.as_fd(), waiting, &mut |to| refused.note(slot, to));
                }
                Exit::Stream(slot) => {
                    let Some(stream) = streams.in_slot(slot) else { continue };
                    let waiting = waiting(&mut stream.queue);
                    streams.send(slot, waiting, watch, &mut counters.streams);
                }
            }
        }
        self.clear();
    }

    /// Forgets everything; the queues of the sockets must be forgotten too.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.exits.clear();
        self.fronts.clear();
        self.messages.clear();
        self.replies_used = 0;
    }
}

/// Sends through a relay socket. That nothing be fragmented is an option of the socket, so it is switched around each
/// run of datagrams that want it; if that fails they are dropped (RFC 8656 §11.2: set or discarded).
/// What the kernel does not take then is told to `refused`.
fn send_to_peers(
    sender: &mut Sender,
    socket: BorrowedFd<'_>,
    mut waiting: Waiting<'_>,
    refused: &mut dyn FnMut(SocketAddr),
) -> Sent {
    let mut sent = Sent::default();
    while let Some(Manner { dont_fragment, to, .. }) = waiting.peek().map(|entry| entry.manner) {
        // Peers of a socket are of its family.
        let set_fragmenting = if to.is_ipv4() { set_fragmenting_v4 } else { set_fragmenting_v6 };
        let first = waiting;
        let run = Run { waiting: &mut waiting, dont_fragment };
        if !dont_fragment {
            sent += sender.send(socket, run);
        } else if set_fragmenting(socket, Fragmenting::Forbidden).is_ok() {
            sent += sender.send_noting(socket, run, &mut |range| {
                first.skip(range.start).take(range.len()).for_each(|datagram| refused(datagram.to));
            });
            // It worked a moment ago, with the same call; were it to fail, the socket would go on as it is, and what is
            // too large for the path would be lost instead of fragmented.
            let _ = set_fragmenting(socket, Fragmenting::Allowed);
        } else {
            sent.failed += run.count() as u64;
        }
    }
    sent
}

/// The last datagrams with DF that the kernel did not take, by their slot: what is too large for the host itself it
/// tells of later, without the port ([`error_queue`](super::sys::error_queue)).
struct Refused(VecDeque<(u32, SocketAddr)>);

/// More than a client hears of at once; the oldest are forgotten.
const MAX_REFUSED: usize = 64;

impl Refused {
    fn note(&mut self, slot: u32, to: SocketAddr) {
        if self.0.len() == MAX_REFUSED {
            self.0.pop_front();
        }
        self.0.push_back((slot, to));
    }

    /// The first that is left, of those to one host.
    fn take(&mut self, slot: u32, ip: IpAddr) -> Option<SocketAddr> {
        let index = self.0.iter().position(|(of, to)| *of == slot && to.ip() == ip)?;
        self.0.remove(index).map(|(_, to)| to)
    }
}

/// What waits for one socket, in order.
#[derive(Clone, Copy)]
struct Waiting<'o> {
    entries: &'o [Entry],
    fronts: &'o [Front],
    replies: &'o [[u8; MAX_REPLY]],
    messages: &'o [Box<[u8]>],
    arena: &'o Arena,
    next: u16,
}

impl<'o> Waiting<'o> {
    fn peek(&self) -> Option<&'o Entry> {
        // `END` is beyond every list.
        self.entries.get(usize::from(self.next))
    }

    /// Front, bytes and padding.
    fn parts(&self, body: Body) -> (&'o [u8], &'o [u8], usize) {
        match body {
            Body::Packet(span) => (&[], self.arena.bytes(span), 0),
            Body::Fronted { front, payload, padding } => {
                (self.fronts[usize::from(front)].as_bytes(), self.arena.bytes(payload), usize::from(padding))
            }
            Body::Reply { index, len } => (&[], &self.replies[usize::from(index)][..usize::from(len)], 0),
            Body::Message(index) => (&[], &self.messages[usize::from(index)], 0),
        }
    }
}

impl<'o> Iterator for Waiting<'o> {
    type Item = Outgoing<'o>;

    fn next(&mut self) -> Option<Outgoing<'o>> {
        let entry = self.peek()?;
        self.next = entry.next;
        let Manner { to, from, tos, .. } = entry.manner;
        let (front, bytes, padding) = self.parts(entry.body);
        Some(Outgoing { front, bytes, padding, to, from, tos })
    }
}

/// The datagrams up to the first that wants DF otherwise.
struct Run<'w, 'o> {
    waiting: &'w mut Waiting<'o>,
    dont_fragment: bool,
}

impl<'o> Iterator for Run<'_, 'o> {
    type Item = Outgoing<'o>;

    fn next(&mut self) -> Option<Outgoing<'o>> {
        let entry = self.waiting.peek()?;
        if entry.manner.dont_fragment == self.dont_fragment { self.waiting.next() } else { None }
    }
}

/// Indexes here are below [`CAPACITY`], and lengths of replies below [`MAX_REPLY`].
fn index16(index: usize) -> u16 {
    const { assert!(CAPACITY < END as usize) };
    const { assert!(MAX_REPLY < END as usize) };
    u16::try_from(index).expect("bounded by the capacity")
}
