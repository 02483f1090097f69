//! The server under clients that know their passwords and do with them whatever the fuzzer thinks of, with peers, an
//! engine that fails, and a clock that runs. Nothing is relayed without a permission, nothing is lost from the count,
//! nothing is left behind.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use turnkeep::relay::limits::MAX_PAYLOAD;
use turnkeep::relay::{DropReason, PeerAddr, PeerVerdict, RelayFailure, RelayId, RelayedAddr};
use turnkeep::wire::attribute::{
    AdditionalAddressFamily, ChannelNumberAttribute, Data, DontFragment, Lifetime, Raw, RequestedTransport,
    XorPeerAddress,
};
use turnkeep::wire::header::TransactionId;
use turnkeep::wire::{Class, MessageWriter, Method};

use super::answer::Answer;
use super::input::Input;
use super::request::{Attribute, Sender, any_attribute, attribute, peer};
use super::sans_io::{Client, Output, TestPolicy, World};
use super::server_unauthenticated::{CLIENTS, chosen_settings};
use super::shadow::{Sent, Shadow};

const MAX_STEPS: usize = 256;
/// Allocations of all users together.
const QUOTA: usize = 4;

/// Plays the input.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut game = Game::new(input.u8());
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        game.step(&mut input);
        game.check();
    }
    game.finish();
}

/// Who plays, and from which of the [`CLIENTS`]: two users share a 5-tuple, one of them has two credentials there, and
/// some have credentials that expire soon or are expired.
const PLAYERS: [(&str, usize); 10] = [
    ("alice", 0),
    ("bob", 1),
    ("carol", 2),
    ("alice", 3),
    ("bob", 0),
    ("old", 1),
    ("carol", 4),
    ("bob", 5),
    ("2:alice", 0),
    ("brief", 2),
];

/// What can be asked for; Data cannot.
const METHODS: [Method; 7] = [
    Method::ALLOCATE,
    Method::REFRESH,
    Method::CREATE_PERMISSION,
    Method::CHANNEL_BIND,
    Method::BINDING,
    Method::DATA,
    Method::CONNECT,
];

struct Game {
    world: World,
    shadow: Shadow,
    players: Vec<Client>,
    /// What each last asked for.
    last: Vec<Vec<u8>>,
    /// Allocates that wait for their relay socket.
    pending: HashMap<SocketAddr, Vec<u8>>,
    /// Datagrams that the server was handed.
    received: u64,
    id: u64,
}

impl Game {
    fn new(settings: u8) -> Self {
        let settings = chosen_settings(settings);
        let shadow = Shadow::new(&settings);
        let world = World::with_policy(settings, TestPolicy::new(QUOTA));
        let mut game = Self {
            world,
            shadow,
            players: PLAYERS.map(|(user, address)| Client::new(user, CLIENTS[address])).into(),
            last: vec![Vec::new(); PLAYERS.len()],
            pending: HashMap::new(),
            received: 0,
            id: 0,
        };
        // Everybody has a nonce to begin with.
        for player in 0..PLAYERS.len() {
            let id = game.next_id();
            game.ask_well(player, id, Method::ALLOCATE, &[]);
        }
        game
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let id = self.next_id();
        match input.u8() % 16 {
            0 => self.world.advance(Duration::from_millis(u64::from(input.u16()) * 16)),
            1 => self.world.advance_secs(input.pick(&[1, 40, 299, 300, 301, 599, 600, 899, 900, 3600])),
            2 => self.turn_wall_clock(input),
            3 => {
                self.ask(player(input), id, input.pick(&METHODS), &[], input);
            }
            4 => {
                let both = input.happens(96).then(|| attribute(&AdditionalAddressFamily(2), id));
                self.ask_well(player(input), id, Method::ALLOCATE, both.as_slice());
            }
            5 => {
                let lifetime = attribute(&Lifetime(input.u16().into()), id);
                self.ask_well(player(input), id, Method::REFRESH, &[lifetime]);
            }
            6 => {
                let peer = attribute(&XorPeerAddress(peer(input)), id);
                self.ask_well(player(input), id, Method::CREATE_PERMISSION, &[peer]);
            }
            7 => {
                let number = attribute(&ChannelNumberAttribute(input.pick(&[0x4000, 0x4001, 0x4002, 0x5003])), id);
                let peer = attribute(&XorPeerAddress(peer(input)), id);
                self.ask_well(player(input), id, Method::CHANNEL_BIND, &[number, peer]);
            }
            8 | 9 => self.send(id, input),
            10 => self.channel_data(input),
            11 => self.peer_datagram(input),
            12 => self.late_peer_datagram(input),
            13 => {
                let again = self.last[player(input)].clone();
                self.client_datagram(player(input), &again);
            }
            14 => {
                let (player, len) = (player(input), usize::from(input.u8()));
                self.client_datagram(player, input.take(len));
            }
            _ => self.engine(input),
        }
    }

    fn next_id(&mut self) -> TransactionId {
        self.id += 1;
        let mut id = [0x5a; 12];
        id[4..].copy_from_slice(&self.id.to_be_bytes());
        TransactionId(id)
    }

    /// The wall clock jumps; the monotonic one never does.
    fn turn_wall_clock(&mut self, input: &mut Input<'_>) {
        let seconds: i64 = input.pick(&[1, 2, 3, 60, 3599, 3600, -1, -2, -3, -60, -3599, -3600]);
        self.world.now.unix_millis = self.world.now.unix_millis.strict_add_signed(seconds * 1000);
    }

    /// Sends a request without a flaw: it may come at a bad time, but it is understood.
    fn ask_well(&mut self, player: usize, id: TransactionId, method: Method, needed: &[Attribute]) {
        let code = self.ask(player, id, method, needed, &mut Input::new(&[]));
        let is_understood = match code {
            // The number or the peer is bound elsewhere, or there is no such number.
            Some(400) => method == Method::CHANNEL_BIND,
            Some(401 | 420) => is_odd(player),
            _ => true,
        };
        assert!(is_understood, "{method} got {code:?}");
    }

    /// Sends a request: what its method needs, what the input adds, and the flaws that it asks for.
    fn ask(
        &mut self,
        player: usize,
        id: TransactionId,
        method: Method,
        needed: &[Attribute],
        input: &mut Input<'_>,
    ) -> Option<u16> {
        let mut attributes = needed.to_vec();
        if method == Method::ALLOCATE {
            attributes.push(attribute(&RequestedTransport::UDP, id));
        }
        attributes.extend((0..input.u8() % 4).map(|_| any_attribute(input, id)));
        let Client { user, nonce, .. } = &self.players[player];
        let request = Sender { user, nonce }.request(id, method, &attributes, input);
        let code = self.client_datagram(player, &request).code;
        self.last[player] = request;
        code
    }

    /// A Send indication.
    fn send(&mut self, id: TransactionId, input: &mut Input<'_>) {
        let (player, peer) = (player(input), peer(input));
        let payload = vec![0x5A; usize::from(input.u8())];
        let (class, dont_fragment) = if input.happens(8) { (Class::Request, true) } else { (Class::Indication, false) };
        let extra = input.happens(48).then(|| any_attribute(input, id));
        let mut out = vec![0; 1024];
        let mut writer = MessageWriter::new(&mut out, Method::SEND, class, id).expect("there is room");
        let mut put = |attribute: &Attribute| writer.put(&Raw(attribute.0, &attribute.1)).expect("there is room");
        extra.iter().for_each(&mut put);
        put(&attribute(&XorPeerAddress(peer), id));
        if dont_fragment {
            put(&attribute(&DontFragment, id));
        }
        put(&attribute(&Data(&payload), id));
        let len = writer.finish();
        let expected = self.shadow.may_send(self.world.now.instant, self.client(player), peer).then_some(peer);
        let relayed = self.client_datagram(player, &out[..len]).relayed;
        assert!(extra.is_some() || class == Class::Request || relayed == expected, "{relayed:?} for {expected:?}");
    }

    fn channel_data(&mut self, input: &mut Input<'_>) {
        let player = player(input);
        let number: u16 = input.pick(&[0x4000, 0x4001, 0x4002, 0x5003, 0x4004, 0x4FFF]);
        let payload = vec![0x5A; usize::from(input.u8())];
        // Too long by so many bytes, or too short by one.
        let (padding, is_cut) = (vec![0; usize::from(input.u8() % 8)], input.happens(16));
        let len = u16::try_from(payload.len() + usize::from(is_cut)).expect("short");
        let padding = if is_cut { &[] } else { &padding[..] };
        let datagram = [&number.to_be_bytes()[..], &len.to_be_bytes(), &payload, padding].concat();
        let expected = self.shadow.channel_peer(self.world.now.instant, self.client(player), number);
        let relayed = self.client_datagram(player, &datagram).relayed;
        assert_eq!(relayed, expected.filter(|_| !is_cut));
    }

    /// A peer writes to the relayed address of one of the clients.
    fn peer_datagram(&mut self, input: &mut Input<'_>) {
        let client = self.client(player(input));
        let (peer, len) = (peer(input), input.pick(&[0, 1, 2, 3, 160, 1200, MAX_PAYLOAD, MAX_PAYLOAD + 1]));
        let Some(relayed) = self.shadow.relayed(client, peer) else { return };
        if !self.world.relays.values().any(|open| *open == relayed) {
            return;
        }
        self.received += 1;
        let payload = vec![0x5A; len];
        let expected = self.shadow.hears(self.world.now.instant, relayed, peer, len);
        let outputs = self.world.peer_says(relayed, peer, &payload);
        assert_eq!(outputs.len(), usize::from(expected.is_some()));
        for output in outputs {
            let Output::ToClient { client, bytes } = output else { panic!("from peer to peer: {output:?}") };
            assert_eq!(Some(client), expected);
            self.shadow.on_delivered(self.world.now.instant, client, peer, &bytes, &payload);
        }
    }

    /// A datagram was under way to a relay socket that is closed by now, or never was.
    fn late_peer_datagram(&mut self, input: &mut Input<'_>) {
        let relay = RelayId { slot: u32::from(input.u8() % 8), generation: u32::from(input.u8() % 8) };
        if self.world.relays.contains_key(&relay) {
            return;
        }
        self.received += 1;
        let verdict = self.world.server.on_peer_datagram(self.world.now.instant, relay, PeerAddr(peer(input)), 4);
        let PeerVerdict::Drop(reason) = verdict else { panic!("relayed from nowhere: {verdict:?}") };
        assert!(matches!(reason, DropReason::NoAllocation | DropReason::RelayNotOpen));
        self.world.drops.push(reason);
    }

    /// The engine takes its time to open relay sockets, or cannot.
    fn engine(&mut self, input: &mut Input<'_>) {
        match input.u8() % 4 {
            0 => self.world.hold_relays = !self.world.hold_relays,
            1 => self.open_held(),
            2 => {
                let failures =
                    [RelayFailure::PortsExhausted, RelayFailure::DescriptorsExhausted, RelayFailure::Refused];
                self.world.relay_failures.push_back(input.pick(&failures));
            }
            _ => {
                // A socket that is open, or that nobody waits for, is reported: no client hears of it.
                let relay = RelayId { slot: u32::from(input.u8() % 8), generation: u32::from(input.u8() % 8) };
                if self.world.held.iter().all(|(held, ..)| *held != relay) && !self.world.relays.contains_key(&relay) {
                    self.world.server.on_relay_opened(self.world.now, relay, RelayedAddr(self.client(0)));
                    assert_eq!(self.world.run(), []);
                }
            }
        }
    }

    fn open_held(&mut self) {
        for output in self.world.open_held() {
            let Output::ToClient { client, bytes } = output else { panic!("relayed: {output:?}") };
            let request = self.pending.remove(&client).expect("an Allocate waits");
            let answer = Answer::read(&bytes);
            self.shadow.on_answer(self.world.now, client, &request, &answer);
        }
    }

    fn client(&self, player: usize) -> SocketAddr {
        self.players[player].path.client.0
    }

    fn client_datagram(&mut self, player: usize, datagram: &[u8]) -> Reaction {
        self.received += 1;
        let (path, client) = (self.players[player].path, self.client(player));
        let waiting = self.world.held.len();
        let mut reaction = Reaction::default();
        for output in self.world.client_says(path, datagram) {
            match output {
                Output::ToPeer { from, peer, payload, dont_fragment } => {
                    let sent = Sent { from, peer, payload: &payload, dont_fragment };
                    self.shadow.on_forwarded(self.world.now.instant, client, datagram, &sent);
                    reaction.relayed = Some(peer);
                }
                Output::ToClient { client: to, bytes } => {
                    assert_eq!(to, client);
                    reaction.code = Some(self.on_answer(client, datagram, &bytes));
                }
            }
        }
        if self.world.held.len() > waiting {
            self.shadow.assert_fresh(self.world.now, client, datagram);
            self.pending.insert(client, datagram.to_vec());
        }
        reaction
    }

    fn on_answer(&mut self, client: SocketAddr, request: &[u8], bytes: &[u8]) -> u16 {
        let answer = Answer::read(bytes);
        if answer.is_signed() {
            self.shadow.assert_fresh(self.world.now, client, request);
        }
        self.shadow.on_answer(self.world.now, client, request, &answer);
        if let Some(nonce) = answer.nonce() {
            let here = self.players.iter_mut().filter(|player| player.path.client.0 == client);
            here.for_each(|player| player.nonce = nonce.to_vec());
        }
        answer.code
    }

    /// What must hold whatever has happened.
    fn check(&self) {
        let server = &self.world.server;
        let held = self.shadow.allocations(self.world.now.instant);
        let (fewest, most) = (held.start() + self.pending.len(), held.end() + self.pending.len());
        assert!((fewest..=most).contains(&server.allocations()), "{} of {fewest} to {most}", server.allocations());
        assert_eq!(self.world.policy.held(), server.allocations());
        assert!(server.allocations() <= QUOTA);
        let counters = server.counters();
        self.shadow.check_counters(counters);
        assert_eq!(counters.dropped_in_all(), self.world.drops.len() as u64);
        let relayed = counters.packets_to_peers + counters.packets_to_clients;
        assert_eq!(relayed + counters.replies + counters.pending + counters.dropped_in_all(), self.received);
    }

    /// The server stops: nothing is left.
    fn finish(mut self) {
        self.world.server.shutdown(self.world.now);
        assert_eq!(self.world.run(), []);
        assert_eq!(self.world.open_held(), []);
        assert!(self.world.relays.is_empty());
        assert_eq!(self.world.server.allocations(), 0);
        assert_eq!(self.world.server.next_deadline(), None);
        assert_eq!(self.world.policy.held(), 0);
        self.shadow.check_trail(&self.world.events);
    }
}

/// What a client's datagram led to.
#[derive(Default)]
struct Reaction {
    /// Which peer got it.
    relayed: Option<SocketAddr>,
    /// How it was answered: an error code, 0 for a success.
    code: Option<u16>,
}

fn player(input: &mut Input<'_>) -> usize {
    usize::from(input.u8()) % PLAYERS.len()
}

/// Has an expired credential, or comes from where no answer is possible.
fn is_odd(player: usize) -> bool {
    matches!(PLAYERS[player], ("old" | "brief", _) | (_, 4))
}
