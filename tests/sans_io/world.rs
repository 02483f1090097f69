//! The server and everything around it.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use turnkeep::relay::event::Event;
use turnkeep::relay::limits::{MAX_LIFETIME, MAX_REPLY, RESERVATION_LIFETIME};
use turnkeep::relay::{
    Command, Counters, DropReason, Families, Family, Instant, NonceKey, Now, Path, PeerAddr, PeerVerdict, PortParity,
    PortWish, RelayFailure, RelayId, RelayedAddr, Reservation, Server, Settings, Verdict,
};
use turnkeep::wire::attribute::Icmp;
use turnkeep::wire::channel_data::ChannelNumbers;

use super::client::Client;
use super::judge::{self, Judge};
use super::policy::{EPOCH, REALM, Seeded, TestPolicy};
use super::stun::Stun;

pub fn settings() -> Settings {
    Settings {
        realm: REALM.into(),
        offer_sha256: true,
        offer_userhash: false,
        modern_only: Box::default(),
        families: Families { v4: true, v6: true },
        max_lifetime: MAX_LIFETIME,
        nonce_key: NonceKey::new([9; 32]),
        strict_permissions: false,
        channel_numbers: ChannelNumbers::default(),
    }
}

/// What left the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    ToClient { client: SocketAddr, bytes: Vec<u8> },
    ToPeer { from: SocketAddr, peer: SocketAddr, payload: Vec<u8>, dont_fragment: bool },
}

/// A clock that is turned by hand, an engine that opens relay sockets at once, and a judge of all that is sent.
pub struct World {
    pub server: Server<TestPolicy, Seeded>,
    pub now: Now,
    pub policy: TestPolicy,
    pub events: Vec<Event>,
    pub drops: Vec<DropReason>,
    pub relays: HashMap<RelayId, SocketAddr>,
    /// What the next OpenRelay commands shall end with instead of a socket.
    pub relay_failures: VecDeque<RelayFailure>,
    /// While set, OpenRelay commands are kept here instead of being carried out.
    pub hold_relays: bool,
    pub held: Vec<(RelayId, Family, PortWish)>,
    /// Ports that wait for a token, and until when.
    pub reserved: Vec<(Reservation, Instant, SocketAddr)>,
    judge: Judge,
    /// Requests whose answer is to follow.
    owed: Vec<(Path, Vec<u8>)>,
    next_port: u16,
}

impl Default for World {
    fn default() -> Self {
        Self::new(settings())
    }
}

impl World {
    pub fn new(settings: Settings) -> Self {
        Self::with_policy(settings, TestPolicy::new(100))
    }

    pub fn with_quota(quota: usize) -> Self {
        Self::with_policy(settings(), TestPolicy::new(quota))
    }

    pub fn with_policy(settings: Settings, policy: TestPolicy) -> Self {
        Self {
            judge: Judge::new(&settings),
            server: Server::new(settings, policy.clone(), Seeded(1)),
            now: Now { instant: Instant::from_nanos(1_000_000_000_000), unix_millis: EPOCH * 1000 },
            policy,
            events: Vec::new(),
            drops: Vec::new(),
            relays: HashMap::new(),
            relay_failures: VecDeque::new(),
            hold_relays: false,
            held: Vec::new(),
            reserved: Vec::new(),
            owed: Vec::new(),
            next_port: 50_000,
        }
    }

    /// Lets time pass, timers included.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now.instant.after(time);
        while let Some(deadline) = self.server.next_deadline().filter(|deadline| *deadline <= end) {
            self.turn_to(deadline.max(self.now.instant));
            self.server.on_deadline(self.now);
            let late = self.run();
            assert_eq!(late, [], "timers send nothing");
        }
        self.turn_to(end);
    }

    pub fn advance_secs(&mut self, secs: u64) {
        self.advance(Duration::from_secs(secs));
    }

    fn turn_to(&mut self, instant: Instant) {
        let passed = instant.since(self.now.instant);
        self.now.unix_millis += u64::try_from(passed.as_millis()).unwrap();
        self.now.instant = instant;
    }

    /// Hands the server a client's datagram; returns all that leaves because of it.
    pub fn client_says(&mut self, path: Path, datagram: &[u8]) -> Vec<Output> {
        let mut reply = [0xAA; MAX_REPLY];
        let mut outputs = Vec::new();
        let before = self.server.counters().clone();
        let verdict = self.server.on_client_datagram(self.now, path, datagram, &mut reply);
        assert_counted(&before, self.server.counters());
        match verdict {
            Verdict::Forward { relay, peer, payload, dont_fragment } => {
                let from = self.relays[&relay];
                outputs.push(Output::ToPeer { from, peer: peer.0, payload: datagram[payload].to_vec(), dont_fragment });
            }
            Verdict::Reply { len } => {
                self.judge.response(&path, datagram, &reply[..len]);
                outputs.push(Output::ToClient { client: path.client.0, bytes: reply[..len].to_vec() });
            }
            Verdict::Pending if Stun::read(datagram).is_some_and(|message| message.is_request()) => {
                self.owed.push((path, datagram.to_vec()));
            }
            Verdict::Pending => {}
            Verdict::Drop(reason) => self.drops.push(reason),
        }
        outputs.extend(self.run());
        outputs
    }

    /// Hands the server a client's datagram that must have no effect: nothing is sent to anyone, nothing changes, and
    /// one drop reason is counted, which is returned.
    #[track_caller]
    pub fn silence(&mut self, path: Path, datagram: &[u8]) -> DropReason {
        let before = (self.server.allocations(), self.events.len(), self.drops.len());
        assert_eq!(self.client_says(path, datagram), [], "silence");
        assert_eq!((self.server.allocations(), self.events.len()), (before.0, before.1), "no effect");
        assert_eq!(self.drops.len(), before.2 + 1, "one drop");
        *self.drops.last().unwrap()
    }

    /// Hands the server a peer's datagram; returns what leaves for the client.
    pub fn peer_says(&mut self, relayed: SocketAddr, peer: SocketAddr, payload: &[u8]) -> Vec<Output> {
        let Some(relay) = self.relays.iter().find(|(_, address)| **address == relayed).map(|(relay, _)| *relay) else {
            return Vec::new();
        };
        match self.server.on_peer_datagram(self.now.instant, relay, PeerAddr(peer), payload.len()) {
            PeerVerdict::ToClient { path, front, padding } => {
                let bytes = [front.as_bytes(), payload, &vec![0; padding]].concat();
                judge::relayed(&bytes, peer, payload);
                assert_eq!(Some(path), self.owner_of(relayed), "what peers send goes to the owner");
                vec![Output::ToClient { client: path.client.0, bytes }]
            }
            PeerVerdict::Drop(reason) => {
                self.drops.push(reason);
                Vec::new()
            }
        }
    }

    /// Tells the server of an ICMP error about a datagram from `relayed` to `peer`; returns what leaves for the client.
    pub fn icmp_says(&mut self, relayed: SocketAddr, peer: SocketAddr, error: Icmp) -> Vec<Output> {
        let Some(relay) = self.relays.iter().find(|(_, address)| **address == relayed).map(|(relay, _)| *relay) else {
            return Vec::new();
        };
        let before = self.server.counters().clone();
        self.server.on_peer_icmp(self.now.instant, relay, PeerAddr(peer), error);
        let outputs = self.run();
        let reasons = DropReason::ALL.iter().copied();
        let drops = reasons.filter(|reason| self.server.counters().dropped(*reason) > before.dropped(*reason));
        self.drops.extend(drops);
        for output in &outputs {
            let Output::ToClient { client, bytes } = output else { panic!("to its client alone: {output:?}") };
            assert_eq!(self.owner_of(relayed).map(|path| path.client.0), Some(*client));
            judge::icmp(bytes, peer, error);
        }
        outputs
    }

    /// After whatever was done to the server: a newcomer's allocation relays one datagram each way, and with its end
    /// all is as it was before.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        let before = (self.server.allocations(), self.policy.held(), self.relays.len());
        let mut newcomer = Client::new("carol", "203.0.113.250:65000");
        let relayed = newcomer.allocate(self);
        assert_eq!(newcomer.permit(self, "192.0.2.250:9"), 0);
        assert_eq!(newcomer.send(self, "192.0.2.250:9", b"out").len(), 1);
        assert_eq!(self.peer_says(relayed, "192.0.2.250:9".parse().unwrap(), b"back").len(), 1);
        assert_eq!(newcomer.refresh(self, 0), 0);
        assert_eq!((self.server.allocations(), self.policy.held(), self.relays.len()), before);
    }

    /// Whose allocation has this relayed address, by the word of the audit trail.
    fn owner_of(&self, relayed: SocketAddr) -> Option<Path> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Opened { allocation, .. }
                if allocation.relayed.0 == relayed || allocation.also.is_some_and(|also| also.0 == relayed) =>
            {
                Some(allocation.path)
            }
            _ => None,
        })
    }

    /// Carries out the server's commands, as an engine does.
    pub fn run(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(command) = self.server.next_command() {
            match command {
                Command::OpenRelay { relay, family, port } if self.hold_relays => {
                    self.held.push((relay, family, port));
                }
                Command::OpenRelay { relay, family, port } => self.open(relay, family, &port),
                Command::CloseRelay { relay } => {
                    self.relays.remove(&relay);
                }
                Command::SendToClient { path, message } if message[..2] == [0, 0x17] => {
                    outputs.push(Output::ToClient { client: path.client.0, bytes: message.into() });
                }
                Command::SendToClient { path, message } => {
                    let answers = |owed: &(Path, Vec<u8>)| owed.0 == path && owed.1[8..20] == message[8..20];
                    let owed = self.owed.iter().position(answers).expect("what is sent late is owed to a request");
                    let (path, request) = self.owed.swap_remove(owed);
                    self.judge.response(&path, &request, &message);
                    outputs.push(Output::ToClient { client: path.client.0, bytes: message.into() });
                }
                Command::Audit(event) => self.events.push(*event),
            }
        }
        outputs
    }

    /// Opens the relay sockets that were held back.
    pub fn open_held(&mut self) -> Vec<Output> {
        for (relay, family, port) in std::mem::take(&mut self.held) {
            self.open(relay, family, &port);
        }
        self.run()
    }

    fn open(&mut self, relay: RelayId, family: Family, port: &PortWish) {
        if let Some(failure) = self.relay_failures.pop_front() {
            self.server.on_relay_failed(self.now, relay, failure);
            return;
        }
        if let PortWish::Reserved(shown) = port {
            let now = self.now.instant;
            let is_it = |(kept, until, _): &(Reservation, Instant, _)| kept == shown && *until > now;
            match self.reserved.iter().position(is_it) {
                Some(place) => {
                    let (.., address) = self.reserved.remove(place);
                    self.relays.insert(relay, address);
                    self.server.on_relay_opened(self.now, relay, RelayedAddr(address));
                }
                None => self.server.on_relay_failed(self.now, relay, RelayFailure::NotReserved),
            }
            return;
        }
        self.next_port = if self.next_port == u16::MAX { 50_000 } else { self.next_port + 1 };
        if *port != PortWish::Single(PortParity::Any) {
            self.next_port += self.next_port % 2;
        }
        let ip: IpAddr = match family {
            Family::V4 => Ipv4Addr::new(198, 51, 100, 1).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        };
        let address = SocketAddr::new(ip, self.next_port);
        if let PortWish::Pair(reservation) = port {
            self.next_port += 1;
            let until = self.now.instant.after(RESERVATION_LIFETIME);
            self.reserved.push((reservation.clone(), until, SocketAddr::new(ip, self.next_port)));
        }
        self.relays.insert(relay, address);
        self.server.on_relay_opened(self.now, relay, RelayedAddr(address));
    }
}

/// Each datagram is counted once: relayed, answered, pending or dropped.
fn assert_counted(before: &Counters, after: &Counters) {
    let sum = |counters: &Counters| {
        counters.packets_to_peers + counters.replies + counters.pending + counters.dropped_in_all()
    };
    assert_eq!(sum(after), sum(before) + 1, "one datagram, one count");
}
