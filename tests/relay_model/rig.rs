//! Server and model side by side: each step is done to both, and what comes of it compared.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use turnkeep::relay::event::{AllocationUuid, Event};
use turnkeep::relay::seam::Alternate;
use turnkeep::relay::{
    CloseReason, DropReason, Families, Family, ListenerId, Now, Path, PeerAddr, PeerVerdict, PortWish, RelayFailure,
    RelayId, Settings,
};
use turnkeep::wire::attribute::Icmp;
use turnkeep::wire::header::{Class, Method, TransactionId};

use crate::cast::{self, Seat};
use crate::model::{Facts, Model, NONCE_LIFETIME};
use crate::observe::{self, Seen};
use crate::outcome::{Framing, Note, Outcome, Why};
use crate::said::{Attr, Credentials, Print, Said, SaidNonce};
use crate::sans_io::{Output, TestPolicy, World, settings};
use crate::steps::{Aim, Ask, Flaw, Noise, Pause, Question, Setting, Sockets, Step, Twist};

/// A datagram that was sent, and what it said.
#[derive(Clone)]
struct Sent {
    path: Path,
    bytes: Vec<u8>,
    what: What,
}

#[derive(Clone)]
enum What {
    Stun(Box<Said>),
    ChannelData { number: u16, length: usize, rest: Vec<u8> },
    Noise(DropReason),
}

/// A socket that the server waits for.
struct Waiting {
    command: (RelayId, Family, PortWish),
    path: Path,
}

/// An input of or for the client on this path, and what came of it.
pub(crate) struct Trace {
    pub(crate) path: Path,
    pub(crate) outcome: Outcome,
    pub(crate) outputs: Vec<Output>,
}

pub(crate) struct Rig {
    pub(crate) world: World,
    model: Model,
    seats: Vec<Seat>,
    facts: Facts,
    /// Every nonce the server minted, for whom and when.
    minted: Vec<(Path, Vec<u8>, Now)>,
    sent: Vec<Sent>,
    sockets: Sockets,
    waiting: Vec<Waiting>,
    /// Sockets that were ever opened, and those of them that were closed.
    known: Vec<RelayId>,
    retired: Vec<RelayId>,
    uuids: HashMap<AllocationUuid, SocketAddr>,
    events_seen: usize,
    drops_seen: usize,
    datagrams: u64,
    next_id: u64,
    /// What came of each input.
    pub(crate) trace: Vec<Trace>,
    /// How often what happened: to see that the steps reach everything.
    pub(crate) tally: BTreeMap<String, u64>,
}

impl Rig {
    pub(crate) fn new(setting: &Setting) -> Self {
        Self::later(setting, Duration::ZERO, Duration::ZERO)
    }

    /// One whose clocks are ahead by so much.
    pub(crate) fn later(setting: &Setting, monotonic: Duration, wall: Duration) -> Self {
        let facts = setting.facts;
        let policy = || TestPolicy { elsewhere: setting.is_drained.then(elsewhere), ..TestPolicy::new(setting.quota) };
        let (policy, twin) = (policy(), policy());
        let settings = Settings {
            offer_sha256: facts.offer_sha256,
            offer_userhash: facts.offer_userhash,
            modern_only: if facts.modern_only { [ListenerId(0)].into() } else { Box::default() },
            families: facts.families,
            max_lifetime: Duration::from_secs(facts.max_lifetime.into()),
            strict_permissions: facts.strict_permissions,
            channel_numbers: facts.channel_numbers,
            ..settings()
        };
        let mut world = World::with_policy(settings, policy);
        world.hold_relays = true;
        world.now.instant = world.now.instant.after(monotonic);
        world.now.unix_millis += u64::try_from(wall.as_millis()).unwrap();
        Self {
            model: Model::new(facts, twin, world.now),
            world,
            seats: cast::seats(),
            facts,
            minted: Vec::new(),
            sent: Vec::new(),
            sockets: Sockets::OpenAtOnce,
            waiting: Vec::new(),
            known: Vec::new(),
            retired: Vec::new(),
            uuids: HashMap::new(),
            events_seen: 0,
            drops_seen: 0,
            datagrams: 0,
            next_id: 0,
            trace: Vec::new(),
            tally: BTreeMap::new(),
        }
    }

    /// Does one step to both, and compares.
    pub(crate) fn perform(&mut self, step: &Step) {
        match step {
            Step::Ask(question) => self.ask(question),
            Step::Again { back } => {
                let Some(place) = self.sent.len().checked_sub(back + 1) else { return };
                self.deliver(self.sent[place].clone());
            }
            Step::Send { seat, peer, len, dont_fragment, twist, print } => {
                self.send(*seat, *peer, *len, *dont_fragment, twist, *print);
            }
            Step::ChannelData { seat, channel, len, excess } => self.channel_data(*seat, *channel, *len, *excess),
            Step::Stray { seat, method, class } => self.stray(*seat, *method, *class),
            Step::Noise { seat, noise } => self.noise(*seat, *noise),
            Step::Peer { seat, peer, len } => self.peer(*seat, *peer, *len),
            Step::Icmp { seat, peer, icmp_type, code, times } => {
                let error = Icmp { icmp_type: *icmp_type, code: *code, error_data: [0, 0, 5, 0] };
                (0..*times).for_each(|_| self.icmp(*seat, *peer, error));
            }
            Step::LatePeer { relay, peer } => self.late_peer(*relay, *peer),
            Step::Sockets(sockets) => self.sockets = *sockets,
            Step::Settle { which, failure } => {
                if !self.waiting.is_empty() {
                    self.settle(which % self.waiting.len(), *failure);
                }
            }
            Step::Wait(pause) => self.wait(*pause),
        }
        self.compare_state();
        self.note_sockets();
    }

    /// Lets every socket be opened and everything expire: nothing may be left. Or stops the server at once.
    pub(crate) fn finish(mut self, at_once: bool) {
        if at_once {
            self.world.server.shutdown(self.world.now);
            assert_eq!(self.world.run(), [], "nobody is told");
            let mut expected = self.model.shutdown();
            let mut seen = self.new_notes();
            expected.sort_by_key(|note| format!("{note:?}"));
            seen.sort_by_key(|note| format!("{note:?}"));
            assert_eq!(seen, expected, "what was closed");
            // The engine may have opened a socket just before: it is to close it again.
            let held = self.waiting.drain(..).map(|waiting| waiting.command);
            self.world.held.extend(held);
            self.world.hold_relays = false;
            assert_eq!(self.world.open_held(), []);
        } else {
            while !self.waiting.is_empty() {
                self.settle(0, None);
            }
            self.wait(Pause::For(Duration::from_secs(3601)));
            self.compare_state();
        }
        assert_eq!(self.world.server.allocations(), 0);
        assert_eq!(self.world.server.next_deadline(), None);
        assert_eq!(self.world.policy.held(), 0, "shares of the quota");
        assert!(self.world.relays.is_empty(), "sockets: {:?}", self.world.relays);
    }

    /// Remembers the sockets that there were.
    fn note_sockets(&mut self) {
        self.known
            .extend(self.world.relays.keys().filter(|relay| !self.known.contains(relay)).copied().collect::<Vec<_>>());
        self.retired = self.known.iter().filter(|relay| !self.world.relays.contains_key(relay)).copied().collect();
    }

    fn ask(&mut self, question: &Question) {
        let seat = question.seat % self.seats.len();
        let wants_one = !matches!(question.ask, Ask::Allocate { .. } | Ask::Binding);
        if question.prepared && wants_one && !self.model.has_allocation(self.seats[seat].path) {
            self.request(seat, Method::ALLOCATE, vec![Attr::Transport(17)]);
        }
        if matches!(question.ask, Ask::BindMany { .. }) && !self.model.has_allocation(self.seats[seat].path) {
            return;
        }
        for (method, attributes) in cast::messages(&question.ask) {
            let credentials = self.credentials(seat, &question.flaws);
            let said = Said {
                method,
                class: Class::Request,
                id: self.id(),
                attributes: self.single(cast::twisted(attributes, &question.twist)),
                credentials,
                behind: if question.noise_behind { cast::meddling() } else { Vec::new() },
                print: question.print,
            };
            self.say(seat, said);
        }
    }

    /// The model knows single addresses, so nobody asks for two where they can be had.
    fn single(&self, mut attributes: Vec<Attr>) -> Vec<Attr> {
        if self.facts.families == (Families { v4: true, v6: true }) {
            attributes.retain(|attribute| *attribute != Attr::AdditionalFamily(2));
        }
        attributes
    }

    /// A request with nothing wrong.
    fn request(&mut self, seat: usize, method: Method, attributes: Vec<Attr>) {
        let credentials = self.credentials(seat, &[]);
        let (class, id, behind, print) = (Class::Request, self.id(), Vec::new(), Print::None);
        self.say(seat, Said { method, class, id, attributes, credentials, behind, print });
    }

    /// What this client proves itself with; first it gets a nonce, if it has none.
    fn credentials(&mut self, seat: usize, flaws: &[Flaw]) -> Option<Credentials> {
        if self.latest_nonce(seat).is_none() && self.seats[seat].path.client.port() != 0 {
            let id = self.id();
            self.say(seat, cast::bare_allocate(id));
        }
        let mut credentials = self.seats[seat].credentials(self.latest_nonce(seat), &self.facts);
        for flaw in flaws {
            if matches!(flaw, Flaw::NoCredentials) {
                return None;
            }
            cast::spoil(&mut credentials, *flaw, || self.other_nonce(seat, *flaw));
        }
        Some(credentials)
    }

    fn latest_nonce(&self, seat: usize) -> Option<SaidNonce> {
        self.own_nonces(seat).last()
    }

    /// What the server minted for this client's 5-tuple, oldest first.
    fn own_nonces(&self, seat: usize) -> impl Iterator<Item = SaidNonce> {
        let path = self.seats[seat].path;
        let own = self.minted.iter().filter(move |(whose, ..)| is_same_tuple(*whose, path));
        own.map(|(_, bytes, minted)| SaidNonce { bytes: bytes.clone(), minted: Some(*minted) })
    }

    fn other_nonce(&self, seat: usize, flaw: Flaw) -> SaidNonce {
        let path = self.seats[seat].path;
        let unknown = |bytes| SaidNonce { bytes, minted: None };
        let garbage = b"obMatJos2AAAAgarbage".to_vec();
        match flaw {
            Flaw::OldNonce => self.own_nonces(seat).next().unwrap_or(unknown(garbage)),
            Flaw::AlteredNonce(place) => {
                let mut bytes = self.latest_nonce(seat).map_or(garbage, |nonce| nonce.bytes);
                let place = place % bytes.len();
                bytes[place] ^= 1;
                unknown(bytes)
            }
            Flaw::ForeignNonce => {
                let foreign = self.minted.iter().find(|(whose, ..)| !is_same_tuple(*whose, path));
                unknown(foreign.map_or_else(Vec::new, |(_, bytes, _)| bytes.clone()))
            }
            _ => unknown(garbage),
        }
    }

    fn send(&mut self, seat: usize, to: Aim, len: usize, dont_fragment: bool, twist: &Twist, print: Print) {
        let seat = self.aimed_seat(seat, to);
        let to = match to {
            Aim::Pool(number) => cast::peer(number),
            Aim::Known(number) => pick(self.model.known_peers(self.seats[seat].path), number),
        };
        let mut attributes = vec![Attr::Peer(to), Attr::Data(cast::payload(len))];
        if dont_fragment {
            attributes.push(Attr::DontFragment);
        }
        let said = Said {
            method: Method::SEND,
            class: Class::Indication,
            id: self.id(),
            attributes: cast::twisted(attributes, twist),
            credentials: None,
            behind: Vec::new(),
            print,
        };
        if len < 65_000 {
            self.say(seat, said);
        }
    }

    /// A client that has an allocation, if the aim is at one.
    fn aimed_seat(&self, seat: usize, aim: Aim) -> usize {
        let seats = 0..self.seats.len();
        let with: Vec<_> = seats.filter(|seat| self.model.has_allocation(self.seats[*seat].path)).collect();
        match aim {
            Aim::Known(_) if !with.is_empty() => with[seat % with.len()],
            _ => seat % self.seats.len(),
        }
    }

    fn channel_data(&mut self, seat: usize, number: Aim, len: usize, excess: i32) {
        let path = self.seats[self.aimed_seat(seat, number)].path;
        let number = match number {
            Aim::Pool(number) => cast::channel(number),
            Aim::Known(place) => match self.model.known_channels(path)[..] {
                [] => cast::channel(place),
                ref known => known[place % known.len()],
            },
        };
        let rest = cast::payload(len.min(65_000));
        let length = rest.len().saturating_add_signed(excess as isize);
        let [n0, n1] = number.to_be_bytes();
        let [l0, l1] = u16::try_from(length).unwrap().to_be_bytes();
        let bytes = [&[n0, n1, l0, l1], &rest[..]].concat();
        // Below 0x4000 it is not ChannelData at all, and what it is, its length decides.
        if number >= 0x4000 {
            self.deliver(Sent { path, bytes, what: What::ChannelData { number, length, rest } });
        }
    }

    fn stray(&mut self, seat: usize, method: Method, class: Class) {
        let seat = seat % self.seats.len();
        let said = Said {
            method,
            class,
            id: self.id(),
            attributes: vec![Attr::Peer(cast::peer(0)), Attr::Data(cast::payload(4))],
            credentials: None,
            behind: Vec::new(),
            print: Print::None,
        };
        self.say(seat, said);
    }

    fn noise(&mut self, seat: usize, noise: Noise) {
        let path = self.seats[seat % self.seats.len()].path;
        let id = self.id();
        let (bytes, what) = match cast::noise_bytes(noise, id) {
            (bytes, Some(reason)) => (bytes, What::Noise(reason)),
            // As far as it goes, a message on a channel.
            (bytes, None) => {
                let number = u16::from_be_bytes([bytes[0], bytes[1]]);
                let length = bytes.get(2..4).map_or(1, |length| u16::from_be_bytes([length[0], length[1]]).into());
                let rest = bytes.get(4..).unwrap_or_default().to_vec();
                (bytes, What::ChannelData { number, length, rest })
            }
        };
        self.deliver(Sent { path, bytes, what });
    }

    fn say(&mut self, seat: usize, said: Said) {
        let path = self.seats[seat].path;
        let bytes = said.to_bytes();
        self.deliver(Sent { path, bytes, what: What::Stun(Box::new(said)) });
    }

    /// Hands a client's datagram to both.
    fn deliver(&mut self, sent: Sent) {
        self.datagrams += 1;
        let outputs = self.world.client_says(sent.path, &sent.bytes);
        let seen = self.see(sent.path, observe::client_outputs(&outputs), outputs);
        let expected = match &sent.what {
            What::Noise(DropReason::NotTurn) => self.model.not_turn(sent.path, sent.bytes.first().copied()),
            What::Noise(reason) => Outcome::dropped(&[*reason]),
            What::ChannelData { number, length, rest } => self.model.channel_data(sent.path, *number, *length, rest),
            What::Stun(said) => {
                let stale = self.is_stale(said, &seen);
                self.model.client_says(sent.path, said, stale)
            }
        };
        seen.assert_is(&expected);
        if let Some(nonce) = seen.nonce {
            self.learn(sent.path, nonce);
        }
        self.sent.push(sent.clone());
        if expected.opens.is_some() {
            let command = self.world.held.pop().expect("compared above");
            self.waiting.push(Waiting { command, path: sent.path });
            match self.sockets {
                Sockets::OpenAtOnce => self.settle(self.waiting.len() - 1, None),
                Sockets::Fail(failure) => self.settle(self.waiting.len() - 1, Some(failure)),
                Sockets::Wait => {}
            }
        }
    }

    /// A socket is open, or cannot be.
    fn settle(&mut self, which: usize, failure: Option<RelayFailure>) {
        let Waiting { command, path } = self.waiting.remove(which);
        let (relay, is_reserved) = (command.0, matches!(command.2, PortWish::Reserved(_)));
        self.world.held.push(command);
        self.world.hold_relays = false;
        self.world.relay_failures.extend(failure);
        let outputs = self.world.open_held();
        self.world.hold_relays = true;
        let seen = self.see(path, observe::client_outputs(&outputs), outputs);
        let expected = match failure {
            Some(_) => self.model.relay_failed(path),
            // No token of these clients was ever handed out.
            None if is_reserved => self.model.relay_failed(path),
            None => self.model.relay_opened(path, self.world.relays[&relay]),
        };
        seen.assert_is(&expected);
    }

    fn peer(&mut self, seat: usize, from: Aim, len: usize) {
        let path = self.seats[self.aimed_seat(seat, from)].path;
        let Some(relayed) = self.model.relayed_on(path) else { return };
        let peer = match from {
            Aim::Pool(number) => cast::peer(number),
            Aim::Known(number) => pick(self.model.known_peers(path), number),
        };
        self.datagrams += 1;
        let payload = cast::payload(len);
        let outputs = self.world.peer_says(relayed, peer, &payload);
        let seen = self.see(path, observe::peer_outputs(&outputs), outputs);
        seen.assert_is(&self.model.peer_says(relayed, peer, &payload));
    }

    fn icmp(&mut self, seat: usize, about: Aim, error: Icmp) {
        let path = self.seats[self.aimed_seat(seat, about)].path;
        let Some(relayed) = self.model.relayed_on(path) else { return };
        let peer = match about {
            Aim::Pool(number) => cast::peer(number),
            Aim::Known(number) => pick(self.model.known_peers(path), number),
        };
        let outputs = self.world.icmp_says(relayed, peer, error);
        let seen = self.see(path, observe::peer_outputs(&outputs), outputs);
        self.datagrams += u64::from(seen.outcome.dropped.is_some());
        seen.assert_is(&self.model.icmp_says(relayed, peer, error));
    }

    fn late_peer(&mut self, relay: usize, from: usize) {
        if self.retired.is_empty() {
            return;
        }
        let relay = self.retired[relay % self.retired.len()];
        self.datagrams += 1;
        let verdict = self.world.server.on_peer_datagram(self.world.now.instant, relay, PeerAddr(cast::peer(from)), 5);
        assert_eq!(verdict, PeerVerdict::Drop(DropReason::NoAllocation));
    }

    fn wait(&mut self, pause: Pause) {
        let now = self.world.now.instant;
        let time = match pause {
            Pause::For(time) => time,
            Pause::Edge { which, offset_ms } => {
                let edges = self.model.edges();
                if edges.is_empty() {
                    return;
                }
                let offset = Duration::from_millis(offset_ms.unsigned_abs());
                let edge = edges[which % edges.len()];
                if offset_ms < 0 { edge.since(now).saturating_sub(offset) } else { edge.since(now) + offset }
            }
        };
        self.world.advance(time);
        self.model.turn_to(self.world.now);
        assert_eq!(self.new_notes(), [], "what the clock alone leads to");
    }

    fn compare_state(&mut self) {
        let unswept = self.model.unswept();
        for (relayed, since) in &unswept {
            let late = self.world.now.instant.since(*since);
            assert!(late < Duration::from_secs(1), "{relayed} expired {late:?} ago");
        }
        assert_eq!(self.world.server.allocations(), self.model.allocations() + unswept.len(), "number of allocations");
        let counters = self.world.server.counters();
        let accounted = counters.packets_to_peers
            + counters.packets_to_clients
            + counters.replies
            + counters.pending
            + counters.dropped_in_all();
        assert_eq!(
            accounted, self.datagrams,
            "every datagram is relayed, answered or counted as dropped: {counters:?}"
        );
        if let Some(expiry) = self.model.next_expiry() {
            let deadline = self.world.server.next_deadline().expect("something expires");
            assert!(deadline.since(expiry) <= Duration::from_secs(1), "{deadline:?} is later than {expiry:?}");
        }
        let mut open: Vec<_> = self.world.relays.values().copied().collect();
        let mut expected = self.model.relayed();
        expected.extend(unswept.iter().map(|(relayed, _)| relayed));
        open.sort();
        expected.sort();
        assert_eq!(open, expected, "open sockets");
    }

    /// Adds what the outputs do not show, and writes all of it down.
    fn see(&mut self, path: Path, mut seen: Seen, outputs: Vec<Output>) -> Seen {
        let waiting = self.world.held.last();
        seen.outcome.opens = waiting.map(|(_, family, port)| (*family, port.into()));
        let drops = self.world.drops[self.drops_seen..].to_vec();
        self.drops_seen = self.world.drops.len();
        seen.outcome.dropped = if drops.is_empty() { None } else { Some(drops) };
        seen.outcome.notes = self.new_notes();
        self.count(&seen.outcome);
        self.trace.push(Trace { path, outcome: seen.outcome.clone(), outputs });
        seen
    }

    fn count(&mut self, outcome: &Outcome) {
        let mut count = |what: String| *self.tally.entry(what).or_default() += 1;
        if let Some(answer) = &outcome.answer {
            count(format!("{} {}", answer.method, answer.code));
        }
        outcome.dropped.iter().flatten().for_each(|reason| count(reason.to_string()));
        outcome.to_peer.iter().for_each(|_| count("to peer".into()));
        match outcome.to_client.as_ref().map(|to_client| &to_client.framing) {
            None => {}
            Some(Framing::Channel(_)) => count("to client by channel".into()),
            Some(Framing::Indication { .. }) => count("to client by indication".into()),
            Some(Framing::Icmp { .. }) => count("to client of ICMP".into()),
        }
        for note in &outcome.notes {
            if let Note::Denied { why: Why::Credentials(reason), .. } = note {
                count(reason.to_string());
            }
        }
    }

    /// The events since the last call; a UUID names one allocation for ever.
    fn new_notes(&mut self) -> Vec<Note> {
        let events = &self.world.events[self.events_seen..];
        self.events_seen = self.world.events.len();
        for event in events {
            if let Event::Opened { allocation, .. } = event {
                let known = self.uuids.insert(allocation.uuid, allocation.relayed.0);
                assert_eq!(known, None, "a new allocation has a new name");
            }
            if let Event::Refreshed { allocation, .. } | Event::Closed { allocation, .. } = event {
                assert_eq!(self.uuids.get(&allocation.uuid), Some(&allocation.relayed.0), "the name it was opened by");
            }
        }
        let mut notes = Vec::new();
        for event in events {
            let note = Note::of(event, &self.uuids);
            let is_sweep = match event {
                Event::Closed { at, reason: CloseReason::Expired, .. } => self.model.swept(&note, at.instant),
                _ => false,
            };
            if !is_sweep {
                notes.push(note);
            }
        }
        notes
    }

    /// Whether the nonce has outlived its hour; within a second of it the server may see it either way.
    fn is_stale(&self, said: &Said, seen: &Seen) -> bool {
        let minted = said.credentials.as_ref().and_then(|credentials| credentials.nonce.as_ref()?.minted);
        let Some(minted) = minted else { return false };
        let age = self.world.now.instant.since(minted.instant);
        let slack = Duration::from_secs(1);
        if age > NONCE_LIFETIME - slack && age < NONCE_LIFETIME + slack {
            return seen.outcome.answer.as_ref().is_some_and(|answer| answer.code == 438);
        }
        age >= NONCE_LIFETIME
    }

    fn learn(&mut self, path: Path, nonce: Vec<u8>) {
        if !self.minted.iter().any(|(_, known, _)| *known == nonce) {
            self.minted.push((path, nonce, self.world.now));
        }
    }

    fn id(&mut self) -> TransactionId {
        self.next_id += 1;
        let mut id = [0x5a; 12];
        id[4..].copy_from_slice(&self.next_id.to_be_bytes());
        TransactionId(id)
    }
}

/// One of those that are known, or else of the pool.
fn pick(known: Vec<SocketAddr>, number: usize) -> SocketAddr {
    if known.is_empty() { cast::peer(number) } else { known[number % known.len()] }
}

fn is_same_tuple(a: Path, b: Path) -> bool {
    (a.client, a.server, a.transport) == (b.client, b.server, b.transport)
}

/// Where clients of a server that is drained are sent: the test policy gives one answer to all.
fn elsewhere() -> Alternate {
    let server = "192.0.2.10:3478".parse().unwrap();
    Alternate { server, other: Some("[2001:db8:9::10]:3478".parse().unwrap()), domain: None }
}
