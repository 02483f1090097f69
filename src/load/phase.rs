//! One stretch of traffic: its flows, what is due, and what became of it.

use std::net::SocketAddr;

use super::cast::Cast;
use super::client::Client;
use super::fleet::{Fleet, Incoming, Place, Refusal, Role, SEND_BATCH, Ticket};
use super::mark::{Bodies, Mark, Read};
use super::measure::{Arrived, Direction, Recorder};
use super::schedule::{Course, Due, Frame, Schedule, Stream, nanos};
use super::settings::{MAX_PACKETS_PER_FLOW, Path, Settings};
use crate::wire::attribute::{AttributeType, XorPeerAddress};
use crate::wire::channel_data::{self, CHANNEL_HEADER_LEN};
use crate::wire::writer::DATA_FRONT_MAX;
use crate::wire::{ChannelData, Class, Header, Kind, Message, Method, TransactionId, classify, data_indication_front};

/// A flow of packets with sequence numbers of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    direction: Direction,
    /// The client it begins or ends at; of a pair the one that sends.
    client: u32,
    from: Place,
    arrives: Place,
}

/// More than the longest frame takes, headers and gaps included: a key frame of 55 packets, or a burst of 64.
const MOST_OF_A_FRAME: usize = 1 << 17;

/// The flows of a run: those up come first, then down, then pairs.
pub(super) struct Flows {
    flows: Vec<Flow>,
    counts: [u32; 3],
}

/// A stretch of traffic under way.
pub(super) struct Phase<'a> {
    flows: &'a Flows,
    schedule: Schedule,
    pub(super) recorder: Recorder,
    /// Run and phase, as marks carry it.
    run: u32,
    start_ns: u64,
    /// When the frames of this turn were due.
    turn: Vec<u64>,
}

impl Flows {
    /// Of all clients that are ready; where they grow, of all.
    pub(super) fn of(settings: &Settings, cast: &Cast, fleet: &Fleet) -> Self {
        let takes_part = |client: &Client| client.is_ready() || !settings.growth.is_zero();
        let ready: Vec<u32> =
            (0..).zip(cast.clients()).filter(|(_, client)| takes_part(client)).map(|(number, _)| number).collect();
        let up = |number: &u32| Flow {
            direction: Direction::Up,
            client: *number,
            from: Place { role: Role::Client, number: *number },
            arrives: fleet.place(Role::Peer, *number),
        };
        let down = |number: &u32| Flow {
            direction: Direction::Down,
            client: *number,
            from: Place { role: Role::Peer, number: *number },
            arrives: fleet.place(Role::Client, *number),
        };
        let pair = |number: &u32| Flow {
            direction: Direction::Pair,
            arrives: fleet.place(Role::Client, number ^ 1),
            ..up(number)
        };
        let (mut flows, count) = (Vec::new(), ready.len() as u32);
        let counts = match settings.path {
            Path::Up => [count, 0, 0],
            Path::Down => [0, count, 0],
            Path::Both => [count, count, 0],
            Path::Pair => [0, 0, count],
        };
        let makers: [&dyn Fn(&u32) -> Flow; 3] = [&up, &down, &pair];
        for (make, _) in makers.iter().zip(counts).filter(|(_, count)| *count > 0) {
            flows.extend(ready.iter().map(make));
        }
        Self { flows, counts }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Whose they are.
    pub(super) fn clients(&self) -> u32 {
        self.counts.into_iter().max().unwrap_or(0)
    }

    /// What they send at `rate_per_s` in all, or, without, as the profile says.
    pub(super) fn streams(&self, settings: &Settings, rate_per_s: f64) -> Vec<Stream> {
        let shapes = settings.profile.shapes(settings.key_frames);
        let mut streams = Vec::new();
        let mut first_flow = 0;
        for flows in self.counts.into_iter().filter(|flows| *flows > 0) {
            if shapes.is_empty() {
                let frame = Frame::equal(settings.burst, settings.payload);
                let frames_per_s = rate_per_s / self.flows.len() as f64 / f64::from(settings.burst);
                streams.push(Stream { first_flow, flows, frames_per_s, frame, key: None });
            }
            let shaped = |shape: &super::settings::Shape| Stream {
                first_flow,
                flows,
                frames_per_s: shape.frames_per_s,
                frame: shape.frame,
                key: shape.key,
            };
            streams.extend(shapes.iter().map(shaped));
            first_flow += flows;
        }
        streams
    }
}

impl<'a> Phase<'a> {
    /// Begins at `start_ns`.
    ///
    /// # Errors
    /// So many packets cannot be accounted for.
    pub(super) fn new(
        flows: &'a Flows,
        streams: &[Stream],
        course: Course,
        run: u32,
        start_ns: u64,
    ) -> Result<Self, String> {
        let schedule = Schedule::new(course, streams);
        // Streams of one flow (voice and picture) share its numbers.
        let most = schedule.most_packets_of_a_flow() * streams.len().max(1) as u64;
        if most > MAX_PACKETS_PER_FLOW {
            return Err(format!(
                "{most} packets of one flow are more than can be accounted for; ask for a shorter time"
            ));
        }
        let recorder = Recorder::new(flows.counts, most as u32, nanos(course.length));
        let recorder = if course.rises() { recorder.with_stages() } else { recorder };
        Ok(Self { flows, schedule, recorder, run, start_ns, turn: Vec::with_capacity(SEND_BATCH) })
    }

    /// When the next packet is due, in nanoseconds since the run began.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.schedule.peek().map(|at| self.start_ns + at)
    }

    /// Queues what is due, up to a batch.
    pub(super) fn emit(&mut self, now_ns: u64, fleet: &mut Fleet, bodies: &Bodies, cast: &Cast) -> bool {
        let mut packets = 0;
        self.turn.clear();
        let Some(elapsed_ns) = now_ns.checked_sub(self.start_ns) else { return false };
        while packets < SEND_BATCH && !fleet.is_full(MOST_OF_A_FRAME) {
            let Some(due) = self.schedule.pop(elapsed_ns) else { break };
            packets += usize::from(due.frame.packets);
            self.turn.push(due.at_ns);
            self.queue_frame(due, fleet, bodies, cast);
        }
        packets > 0
    }

    fn queue_frame(&mut self, due: Due, fleet: &mut Fleet, bodies: &Bodies, cast: &Cast) {
        let flow = self.flows.flows[due.flow as usize];
        let Some(client) = cast.client(flow.client) else { return };
        if client.is_on_the_way() {
            return self.recorder.absent(flow.direction, due.frame.packets.into());
        }
        let to = client.relayed().filter(|_| flow.direction == Direction::Down);
        let frame = due.frame;
        let whole = |payload: u16| usize::from(payload) + overhead(flow.direction, client, payload);
        let (recorder, run) = (&mut self.recorder, self.run);
        for payload in (0..frame.packets).map(|index| frame.payload_of(index)) {
            // The ledger was made for every packet of the schedule.
            let Some(sequence) = recorder.send(flow.direction, due.flow, due.at_ns) else { return };
            let ticket = Ticket { flow: due.flow, due_ns: due.at_ns };
            let mark = Mark { run, flow: due.flow, sequence, due_ns: due.at_ns };
            fleet.queue(flow.from, to, whole(payload), Some(ticket), |out| {
                write_packet(out, flow.direction, client, payload, |payload| bodies.write(&mark, payload));
            });
        }
    }

    /// Gives up what was due before `until_ns` and is still to be sent; returns how many packets that are.
    pub(super) fn give_up(&mut self, until_ns: u64) -> u64 {
        let Self { flows, schedule, recorder, start_ns, .. } = self;
        let mut all = 0;
        for (number, packets) in schedule.rest(until_ns.saturating_sub(*start_ns)) {
            if let Some(flow) = flows.flows.get(number as usize) {
                recorder.never_sent(flow.direction, packets);
                all += packets;
            }
        }
        all
    }

    /// A packet has not left.
    pub(super) fn refused(&mut self, ticket: Ticket, why: Refusal) {
        match (self.flows.flows.get(ticket.flow as usize), why) {
            (Some(flow), Refusal::Kernel) => self.recorder.not_sent(flow.direction, ticket.due_ns),
            (Some(flow), Refusal::Connection) => self.recorder.held_up(flow.direction),
            (None, _) => {}
        }
    }

    /// What was queued has been handed to the kernel at `now_ns`.
    pub(super) fn sent(&mut self, now_ns: u64) {
        let elapsed_ns = now_ns.saturating_sub(self.start_ns);
        for due_ns in self.turn.drain(..) {
            self.recorder.lateness.note(elapsed_ns.saturating_sub(due_ns));
        }
    }

    /// Takes a payload that came in.
    pub(super) fn take(&mut self, now_ns: u64, place: Place, payload: &[u8], bodies: &Bodies, sender: Sender<'_>) {
        let mark = match bodies.read(self.run, payload) {
            Read::Whole(mark) => mark,
            Read::Corrupted => return self.recorder.corrupted(self.direction_to(place.role)),
            Read::Stray => return self.recorder.strays += 1,
        };
        let Some(flow) = self.flows.flows.get(mark.flow as usize) else {
            return self.recorder.corrupted(self.direction_to(place.role));
        };
        if place != flow.arrives || !sender.is_right(flow) {
            return self.recorder.misdelivered(flow.direction);
        }
        self.recorder.arrive(Arrived {
            direction: flow.direction,
            flow: mark.flow,
            sequence: mark.sequence,
            due_ns: mark.due_ns,
            now_ns: now_ns.saturating_sub(self.start_ns),
            bytes: payload.len(),
        });
    }

    fn direction_to(&self, role: Role) -> Direction {
        match role {
            Role::Peer => Direction::Up,
            Role::Client if self.flows.counts[Direction::Pair as usize] > 0 => Direction::Pair,
            Role::Client => Direction::Down,
        }
    }
}

/// Whom a payload came from, as its receiver saw it.
pub(super) enum Sender<'a> {
    /// To a client, by its server; whether the channel or the peer's address was the client's.
    Framed(bool),
    /// To a peer, from this address.
    Address(SocketAddr, &'a Cast),
}

impl Sender<'_> {
    fn is_right(&self, flow: &Flow) -> bool {
        match self {
            Self::Framed(is_right) => *is_right,
            Self::Address(source, cast) => {
                let relayed = cast.client(flow.client).and_then(Client::relayed);
                // A server behind a NAT advertises another address than it sends from, and maybe another port.
                relayed.is_none_or(|relayed| relayed.ip() != source.ip() || relayed.port() == source.port())
            }
        }
    }
}

/// Sorts what came in: payloads to `phase`, answers to `cast`. Returns false for what is nobody's.
pub(super) fn dispatch(
    now_ns: u64,
    target: SocketAddr,
    incoming: Incoming,
    bytes: &[u8],
    bodies: &Bodies,
    cast: &mut Cast,
    phase: Option<&mut Phase<'_>>,
) -> bool {
    let Some(place) = incoming.place else { return false };
    if place.role == Role::Peer {
        let Some(phase) = phase else { return false };
        phase.take(now_ns, place, bytes, bodies, Sender::Address(incoming.source, cast));
        return true;
    }
    let client = cast.client(place.number);
    if incoming.source != target || client.is_none() {
        return false;
    }
    let (payload, is_right) = match classify(bytes) {
        Kind::ChannelData => {
            let Ok(data) = ChannelData::parse(bytes) else { return cast.note_nonsense() };
            (data.payload, client.and_then(Client::channel) == Some(data.number))
        }
        Kind::Stun => {
            let Ok(message) = Message::parse(bytes) else { return cast.note_nonsense() };
            if (message.method(), message.class()) != (Method::DATA, Class::Indication) {
                cast.on_message(now_ns, place.number, &message);
                return true;
            }
            let from = message.get::<XorPeerAddress>().ok().flatten().map(|XorPeerAddress(peer)| peer);
            let Some(payload) = message.range_of(AttributeType::DATA) else { return false };
            (payload, from.is_some() && from == client.and_then(Client::peer))
        }
        Kind::Dtls | Kind::Other => return cast.note_nonsense(),
    };
    let Some(phase) = phase else { return false };
    phase.take(now_ns, place, bytes.get(payload).unwrap_or_default(), bodies, Sender::Framed(is_right));
    true
}

/// Bytes around a payload.
fn overhead(direction: Direction, client: &Client, payload: u16) -> usize {
    match (direction, client.channel(), client.peer()) {
        (Direction::Down, ..) => 0,
        (_, Some(_), _) => CHANNEL_HEADER_LEN,
        (_, None, peer) => {
            let front = if peer.is_some_and(|peer| peer.is_ipv6()) { DATA_FRONT_MAX } else { DATA_FRONT_MAX - 12 };
            front + usize::from(payload).next_multiple_of(4) - usize::from(payload)
        }
    }
}

/// Writes a payload and what goes around it; `out` is as long as both.
fn write_packet(out: &mut [u8], direction: Direction, client: &Client, payload: u16, fill: impl FnOnce(&mut [u8])) {
    let len = usize::from(payload);
    match (direction, client.channel(), client.peer()) {
        (Direction::Down, ..) => fill(out),
        (_, Some(number), _) => {
            let (front, rest) = out.split_at_mut(CHANNEL_HEADER_LEN);
            front.copy_from_slice(&channel_data::header(number, payload));
            fill(rest);
        }
        (_, None, Some(peer)) => {
            // A Send indication is a Data indication but for its type (RFC 8656 §11.1, §11.4).
            let mut front = [0; DATA_FRONT_MAX];
            let id = TransactionId([0x5A; 12]);
            let Ok(written) = data_indication_front(&mut front, id, peer, len) else { return };
            let body_len = (written.len - 20 + len + written.padding) as u16;
            let send = Header { method: Method::SEND, class: Class::Indication, body_len, transaction_id: id };
            front[..20].copy_from_slice(&send.to_bytes());
            let (head, rest) = out.split_at_mut(written.len);
            head.copy_from_slice(&front[..written.len]);
            let (body, padding) = rest.split_at_mut(len);
            fill(body);
            padding.fill(0);
        }
        (_, None, None) => {}
    }
}
