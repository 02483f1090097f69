//! TLS on the connections of a worker: handshakes are handed to the threads that work on them, records are opened and
//! made here.
#![forbid(unsafe_code)]

use super::layer::{Layer, has_record};
use super::limits::{HANDSHAKE_BYTES, PARTIAL_OF_STRANGERS, PARTIAL_OF_WORKER};
use super::{StreamCounters, StreamEnd, Streams, Watch};
use crate::engine::sys::epoll::Interest;
use crate::engine::tls::State;
use crate::engine::tls::handshakes::Step;
use crate::relay::{Instant, Transport};

impl Streams {
    /// The client in `slot` begins with TLS.
    pub(in crate::engine) fn begin_tls(&mut self, slot: u32) -> Result<(), StreamEnd> {
        let session = self.tls.as_ref().and_then(|(tls, _)| tls.session()).ok_or(StreamEnd::NotTurn)?;
        if let Some(stream) = self.get_mut(slot) {
            stream.layer = Layer::Handshake(Some(session), Vec::new());
        }
        Ok(())
    }

    /// More has come of the handshake in `slot`: it is handed in once there is a whole record. Nothing is read then
    /// until it comes back.
    pub(in crate::engine) fn on_handshake(
        &mut self,
        slot: u32,
        bytes: &[u8],
        watch: Watch<'_>,
    ) -> Result<(), StreamEnd> {
        let Some((_, desk)) = &self.tls else { return Err(StreamEnd::NotTurn) };
        let Some(stream) = self.slots.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return Ok(()) };
        let Layer::Handshake(session, incoming) = &mut stream.layer else { return Ok(()) };
        incoming.extend_from_slice(bytes);
        if incoming.len() > HANDSHAKE_BYTES {
            return Err(StreamEnd::HandshakeFailed);
        }
        if has_record(incoming)
            && let Some(session) = session.take()
        {
            let incoming = std::mem::take(incoming);
            desk.hand_in(Step::new((slot, stream.serial), session, incoming));
            stream.interest(Interest::None, watch, slot);
        }
        self.count_held(slot)
    }

    /// Steps of handshakes that were worked on.
    pub(in crate::engine) fn finished_steps(&self) -> Vec<Step> {
        self.tls.as_ref().map(|(_, desk)| desk.take_back()).unwrap_or_default()
    }

    /// Goes on with a handshake of which one step was worked on. Returns what the client said behind it.
    pub(in crate::engine) fn on_step(
        &mut self,
        step: Step,
        now: Instant,
        watch: Watch<'_>,
        counters: &mut StreamCounters,
    ) -> Result<Vec<u8>, StreamEnd> {
        let Step { of: (slot, serial), session, mut incoming, outgoing, heard, state } = step;
        self.away.retain(|(of, _)| *of != (slot, serial));
        let Some(stream) = self.in_slot(slot).filter(|stream| stream.serial == serial) else { return Ok(Vec::new()) };
        let Layer::Handshake(None, came) = &mut stream.layer else { return Ok(Vec::new()) };
        incoming.append(came);
        if stream.end.is_some() {
            stream.layer = Layer::Handshake(Some(session), incoming);
            return Ok(Vec::new());
        }
        let before = stream.backlog.memory();
        stream.send_raw(&outgoing);
        stream.interest(Interest::Read, watch, slot);
        let agreed = session.agreed();
        let outcome = match state {
            Ok(State::Handshaking) => {
                stream.layer = Layer::Handshake(Some(session), incoming);
                Ok(Vec::new())
            }
            Ok(State::Open) => {
                counters.handshakes += 1;
                stream.path.transport = Transport::Tls(crate::relay::StreamId(slot), agreed);
                stream.layer = Layer::Tls(session, incoming);
                stream.began = now;
                Ok(heard)
            }
            Ok(State::Closed) => Err(StreamEnd::ClosedByClient),
            Err(why) => {
                tracing::debug!(client = %stream.path.client, "a TLS handshake failed: {why}");
                Err(StreamEnd::HandshakeFailed)
            }
        };
        self.settle(slot, before, watch);
        self.count_held(slot)?;
        outcome
    }

    /// How many bytes of an unfinished record wait in `slot`: they are copied to the beginning of `buffer`.
    pub(in crate::engine) fn begun_record(&mut self, slot: u32, buffer: &mut [u8]) -> usize {
        let Some(Layer::Tls(_, begun)) = self.get_mut(slot).map(|stream| &stream.layer) else { return 0 };
        let room = buffer.get_mut(..begun.len()).into_iter();
        room.for_each(|room| room.copy_from_slice(begun));
        begun.len()
    }

    /// Opens the records in `incoming`, which begin with what was kept, into `plain`, which is as long. Returns how
    /// many bytes were said, and whether the connection ends behind them.
    pub(in crate::engine) fn open_records(
        &mut self,
        slot: u32,
        incoming: &mut [u8],
        plain: &mut [u8],
        watch: Watch<'_>,
    ) -> (usize, Result<(), StreamEnd>) {
        let mut outgoing = std::mem::take(&mut self.scratch);
        outgoing.clear();
        let outcome = self.open_with(slot, incoming, plain, &mut outgoing, watch);
        self.scratch = outgoing;
        outcome
    }

    fn open_with(
        &mut self,
        slot: u32,
        incoming: &mut [u8],
        plain: &mut [u8],
        outgoing: &mut Vec<u8>,
        watch: Watch<'_>,
    ) -> (usize, Result<(), StreamEnd>) {
        let Some(stream) = self.slots.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return (0, Ok(())) };
        let before = stream.backlog.memory();
        let Layer::Tls(session, begun) = &mut stream.layer else { return (0, Ok(())) };
        let mut beginning = std::mem::take(begun);
        beginning.clear();
        let mut len = 0;
        let hear = |bytes: &[u8]| {
            // What is encrypted is longer than what it says.
            if let Some(room) = plain.get_mut(len..len + bytes.len()) {
                room.copy_from_slice(bytes);
                len += bytes.len();
            }
        };
        let (done, state) = session.process(incoming, hear, outgoing);
        let rest = incoming.get(done..).unwrap_or_default();
        if !rest.is_empty() {
            if beginning.capacity() == 0 {
                beginning = self.spares.pop().unwrap_or_default();
            }
            beginning.extend_from_slice(rest);
            *begun = std::mem::take(&mut beginning);
        }
        if !outgoing.is_empty() {
            stream.send_raw(outgoing);
            self.settle(slot, before, watch);
        }
        self.spare(beginning);
        let counted = self.count_held(slot);
        let ended = match state {
            Ok(State::Closed) => Err(StreamEnd::ClosedByClient),
            Ok(_) => counted,
            Err(error) => {
                tracing::debug!("a TLS connection is broken: {error}");
                Err(StreamEnd::TlsBroken)
            }
        };
        (len, ended)
    }

    /// Counts what the stream in `slot` keeps of what is not all there, after that may have changed.
    ///
    /// # Errors
    /// It keeps more than before, and all together too much.
    pub(super) fn count_held(&mut self, slot: u32) -> Result<(), StreamEnd> {
        let Some(stream) = self.slots.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return Ok(()) };
        let (held, most) = match stream.place {
            None => (&mut self.held[0], PARTIAL_OF_WORKER),
            Some(_) => (&mut self.held[1], PARTIAL_OF_STRANGERS),
        };
        let now = stream.held();
        let before = std::mem::replace(&mut stream.counted, now);
        *held = *held + now - before;
        if now > before && *held > most { Err(StreamEnd::PartialMessages) } else { Ok(()) }
    }
}
