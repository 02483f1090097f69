//! The clients of a worker that come by TCP: their bytes are cut into messages, which are judged like datagrams.
#![forbid(unsafe_code)]

use super::{Token, Worker};
use crate::engine::outbox::{Body, Exit, Manner};
use crate::engine::packet::Span;
use crate::engine::stream::limits::MESSAGE_OF_STRANGER;
use crate::engine::stream::{Got, Heard, Layer, Stream, StreamEnd, Watch};
use crate::engine::sys::epoll::Epoll;
use crate::relay::seam::{Entropy, EventSink, Policy};
use crate::relay::{Path, StreamId};
use crate::wire::channel_data::ChannelNumbers;
use crate::wire::demux::{self, Kind};
use crate::wire::framer::{self, Frame};

/// Buffers that one read can need: for what is read, for what TLS makes of it, and for a message that was begun before.
const BUFFERS_PER_READ: usize = 3;

impl<P: Policy, E: Entropy, S: EventSink> Worker<P, E, S> {
    /// Takes in connections.
    pub(super) fn accept(&mut self, acceptor: u32) {
        let watch = watch(&self.parts.epoll);
        self.streams.accept(acceptor, self.now.instant, watch, &mut self.counters.streams);
        self.publishing.touch(self.now.instant);
    }

    /// The connection in `slot` can be read or written, as these say.
    pub(super) fn serve_stream(&mut self, slot: u32, can_read: bool, can_write: bool) {
        if can_write {
            self.streams.on_writable(slot, watch(&self.parts.epoll));
        }
        if can_read {
            self.hear_stream(slot);
        }
    }

    /// Reads one connection, once, so many bytes at most: a flood on one costs the others no more than that.
    fn hear_stream(&mut self, slot: u32) {
        self.make_room(BUFFERS_PER_READ);
        let buffer = self.used;
        let Some(bytes) = self.parts.arena.long_buffers(buffer).next() else { return };
        let begun = self.streams.begun_record(slot, bytes);
        match self.streams.read(slot, bytes.get_mut(begun..).unwrap_or_default()) {
            Got::Bytes(len) => {
                self.used += 1;
                self.counters.streams.bytes_in += len as u64;
                let heard = self.parts.arena.received(buffer, begun + len);
                if let Err(end) = self.on_raw_bytes(slot, buffer, heard) {
                    self.streams.end(slot, end);
                }
            }
            Got::Nothing => {}
            Got::End(end) => self.streams.end(slot, end),
        }
    }

    /// What came next on the connection in `slot`, and lies in `buffer`.
    fn on_raw_bytes(&mut self, slot: u32, buffer: usize, raw: Span) -> Result<(), StreamEnd> {
        let Some(stream) = self.streams.get_mut(slot) else { return Ok(()) };
        match stream.layer {
            Layer::Plain => self.on_stream_bytes(slot, raw),
            Layer::Tls(..) => self.on_records(slot, buffer, raw),
            Layer::Handshake(..) => {
                let bytes = self.parts.arena.bytes(raw);
                self.streams.on_handshake(slot, bytes, watch(&self.parts.epoll))
            }
            Layer::Greeting(_) => {
                let bytes = self.parts.arena.bytes(raw);
                self.streams.on_greeting(slot, bytes, watch(&self.parts.epoll))
            }
            // Nothing is read of it any more.
            Layer::Foreign(..) => Ok(()),
            Layer::Undecided => {
                self.streams.decide(slot, self.parts.arena.bytes(raw))?;
                self.on_raw_bytes(slot, buffer, raw)
            }
            Layer::Proxied(_) => match self.streams.on_proxied(slot, self.parts.arena.bytes(raw))? {
                Some(rest) if !rest.is_empty() => {
                    let rest = self.parts.arena.store(buffer, &rest);
                    self.on_raw_bytes(slot, buffer, rest)
                }
                _ => Ok(()),
            },
        }
    }

    /// Records came on the connection in `slot`; what they say is put into the next buffer.
    fn on_records(&mut self, slot: u32, buffer: usize, raw: Span) -> Result<(), StreamEnd> {
        let plain = self.used;
        let Some((records, room)) = self.parts.arena.two_buffers(buffer, plain) else { return Ok(()) };
        let records = records.get_mut(..raw.len()).unwrap_or_default();
        let (len, ended) = self.streams.open_records(slot, records, room, watch(&self.parts.epoll));
        self.used += 1;
        self.on_stream_bytes(slot, self.parts.arena.received(plain, len))?;
        ended
    }

    /// Goes on with the handshakes that were worked on.
    pub(super) fn take_back_handshakes(&mut self) {
        for step in self.streams.finished_steps() {
            self.make_room(BUFFERS_PER_READ);
            let (slot, _) = step.of;
            let now = self.now.instant;
            let watch = watch(&self.parts.epoll);
            let heard = self.streams.on_step(step, now, watch, &mut self.counters.streams);
            let outcome = heard.and_then(|heard| {
                if heard.is_empty() {
                    return Ok(());
                }
                let heard = self.parts.arena.store(self.used, &heard);
                self.used += 1;
                self.on_stream_bytes(slot, heard)
            });
            if let Err(end) = outcome {
                self.streams.end(slot, end);
            }
            self.publishing.touch(now);
        }
    }

    /// What came next from the client in `slot`.
    fn on_stream_bytes(&mut self, slot: u32, mut rest: Span) -> Result<(), StreamEnd> {
        while rest.len() > 0 {
            let Some(stream) = self.streams.get_mut(slot) else { return Ok(()) };
            let bytes = self.parts.arena.bytes(rest);
            if stream.partial.is_empty() {
                match frame(self.server.channel_numbers(), stream, bytes)? {
                    Frame::Whole(len) => {
                        self.on_stream_message(slot, rest.part(0..len));
                        rest = rest.part(len..rest.len());
                    }
                    Frame::Partial { .. } => return self.streams.keep(slot, bytes),
                }
            } else {
                // Only a beginning is kept, so this says how much is missing.
                let needed = match frame(self.server.channel_numbers(), stream, &stream.partial)? {
                    Frame::Partial { needed } | Frame::Whole(needed) => needed,
                };
                let taken = needed.saturating_sub(stream.partial.len()).min(rest.len());
                self.streams.keep(slot, &bytes[..taken])?;
                rest = rest.part(taken..rest.len());
                self.on_partial(slot)?;
            }
        }
        Ok(())
    }

    /// More has come of the message that the client in `slot` had begun.
    fn on_partial(&mut self, slot: u32) -> Result<(), StreamEnd> {
        let Some(stream) = self.streams.get_mut(slot) else { return Ok(()) };
        match frame(self.server.channel_numbers(), stream, &stream.partial)? {
            Frame::Partial { .. } => Ok(()),
            Frame::Whole(_) => {
                let whole = self.streams.take_partial(slot);
                let message = self.parts.arena.store(self.used, &whole);
                self.streams.spare(whole);
                self.used += 1;
                self.on_stream_message(slot, message);
                Ok(())
            }
        }
    }

    fn on_stream_message(&mut self, slot: u32, message: Span) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        stream.heard(Heard::Message);
        let (path, is_stranger) = (stream.path, stream.is_stranger());
        self.counters.streams.messages_in += 1;
        // RFC 8656 §15: the packet to the peer has the connection's DSCP, which is ours for answers, and is not
        // ECN-capable.
        self.on_client_datagram(path, message, self.parts.dscp.own());
        if is_stranger && self.server.slot_of(&path).is_some() {
            self.streams.on_authenticated(slot);
        }
    }

    /// Puts a message for a client into the outbox.
    pub(super) fn queue_to_stream(&mut self, StreamId(slot): StreamId, path: Path, body: Body) {
        let Some(stream) = self.streams.in_slot(slot).filter(|stream| stream.path.client == path.client) else {
            self.counters.to_clients.failed += 1;
            return;
        };
        let manner = Manner { to: path.client.0, from: None, tos: 0, dont_fragment: false };
        self.outbox.push(&mut stream.queue, Exit::Stream(slot), body, manner);
    }

    /// Closes the connections that end with this batch, and with each its allocation.
    pub(super) fn close_streams(&mut self) {
        let now = self.now.instant;
        while let Some(stream) = self.streams.next_ended(now, watch(&self.parts.epoll), &mut self.counters.streams) {
            self.publishing.touch(now);
            self.server.on_stream_closed(self.now, &stream.path);
        }
        self.carry_out_commands();
    }

    /// What is due by the clock.
    pub(super) fn keep_streams_in_time(&mut self) {
        let server = &self.server;
        let has_allocation = |path: &Path| server.slot_of(path).is_some();
        self.streams.on_deadline(self.now.instant, watch(&self.parts.epoll), has_allocation);
    }
}

/// The first message in `bytes`, which `stream` has brought. Who has never had an allocation has no channel either:
/// "GET " would be one, of 21,536 bytes.
fn frame(numbers: ChannelNumbers, stream: &Stream, bytes: &[u8]) -> Result<Frame, StreamEnd> {
    if stream.is_stranger() && !bytes.is_empty() && demux::classify(bytes) != Kind::Stun {
        return Err(StreamEnd::NotTurn);
    }
    match framer::frame(numbers, bytes).map_err(|_| StreamEnd::NotTurn)? {
        Frame::Partial { needed } if stream.is_stranger() && needed > MESSAGE_OF_STRANGER => {
            Err(StreamEnd::LongMessageOfStranger)
        }
        frame => Ok(frame),
    }
}

/// How connections are watched.
pub(super) fn watch(epoll: &Epoll) -> Watch<'_> {
    Watch { epoll, stream: |slot| Token::Stream(slot).into(), acceptor: |index| Token::Acceptor(index).into() }
}
