//! The relay floor without sockets: a world with a clock that is turned by hand, an engine that opens relay sockets at
//! once, and clients that say exactly what a test wants said.
#![allow(dead_code, unreachable_pub, reason = "each test target uses its own part")]

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use turnkeep::relay::event::Event;
use turnkeep::relay::limits::{MAX_LIFETIME, MAX_REPLY};
use turnkeep::relay::reason::{AuthReason, RuleId};
use turnkeep::relay::seam::{AdmitRefusal, Claim, Entropy, Identity, PeerPorts, Policy, Refusal, UserId};
use turnkeep::relay::{
    ClientAddr, Command, DropReason, Families, Family, Instant, ListenerId, NonceKey, Now, Path, PeerAddr, PeerVerdict,
    PortParity, RelayFailure, RelayId, RelayedAddr, Server, ServerAddr, Settings, Transport, Verdict,
};
use turnkeep::wire::attribute::{
    AttributeType, Data, Encode, ErrorCode, Lifetime, Nonce, PasswordAlgorithmAttribute, PasswordAlgorithms, Realm,
    RequestedTransport, Username, XorPeerAddress, XorRelayedAddress,
};
use turnkeep::wire::channel_data::{self, ChannelNumber};
use turnkeep::wire::header::{Class, Method, TransactionId};
use turnkeep::wire::integrity::{Integrity, IntegrityKey, LongTermKey, PasswordAlgorithm};
use turnkeep::wire::message::Message;
use turnkeep::wire::writer::MessageWriter;

pub const REALM: &str = "example.org";
pub const SERVER: &str = "192.0.2.9:3478";
/// 2026-11-21T18:31:40Z.
pub const EPOCH: u64 = 1_795_285_900;

/// Users whose password is their name, backwards: alice, bob, carol; `old` is known but expired. Peers in 10.66.0.0/16 are
/// denied, and of 10.67.0.0/16 only the ports from 50,000 on are allowed.
#[derive(Clone)]
pub struct TestPolicy {
    pub quota: usize,
    pub held: Arc<AtomicUsize>,
}

pub struct Lease(Arc<AtomicUsize>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub fn password_of(user: &str) -> String {
    user.chars().rev().collect()
}

impl Policy for TestPolicy {
    type Lease = Lease;

    fn authenticate(
        &self,
        _: Now,
        claim: Claim<'_>,
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Result<Identity, AuthReason> {
        let user = std::str::from_utf8(claim.username).map_err(|_| AuthReason::BadUsername)?;
        let password = password_of(user);
        let key = LongTermKey::derive(claim.algorithm, claim.username, REALM.as_bytes(), password.as_bytes());
        if !proof(&key) {
            return Err(AuthReason::WrongPassword);
        }
        match user {
            "alice" | "bob" | "carol" => {}
            "old" if claim.expired_will_do => {}
            "old" => return Err(AuthReason::Expired),
            _ => return Err(AuthReason::UnknownUser),
        }
        Ok(Identity { user: UserId(user.into()), key_id: None, expires_unix: None, max_allocations: None })
    }

    fn admit(&self, _: Now, _: &Identity, path: &Path) -> Result<Lease, AdmitRefusal> {
        let refusal = |rule: &'static str| Refusal { rule: RuleId(rule.into()) };
        if matches!(path.client.ip(), IpAddr::V6(v6) if v6.segments()[0] == 0x2002) {
            return Err(AdmitRefusal::Forbidden(refusal("special.6to4")));
        }
        if self.held.fetch_add(1, Ordering::Relaxed) >= self.quota {
            self.held.fetch_sub(1, Ordering::Relaxed);
            return Err(AdmitRefusal::OverQuota(refusal("limit.allocations_per_user")));
        }
        Ok(Lease(self.held.clone()))
    }

    fn judge_peer(&self, _: &Identity, peer: PeerAddr) -> Result<PeerPorts, Refusal> {
        match peer.ip() {
            IpAddr::V4(v4) if v4.octets()[..2] == [10, 66] => Err(Refusal { rule: RuleId("test.denied".into()) }),
            IpAddr::V4(v4) if v4.octets()[..2] == [10, 67] => Ok(PeerPorts::Only(50_000..=u16::MAX)),
            _ => Ok(PeerPorts::Any),
        }
    }
}

/// SplitMix64.
#[derive(Clone)]
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next().to_be_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

pub fn settings() -> Settings {
    Settings {
        realm: REALM.into(),
        offer_sha256: true,
        families: Families { v4: true, v6: true },
        max_lifetime: MAX_LIFETIME,
        nonce_key: NonceKey::new([9; 32]),
        strict_permissions: false,
    }
}

/// What left the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    ToClient { client: SocketAddr, bytes: Vec<u8> },
    ToPeer { from: SocketAddr, peer: SocketAddr, payload: Vec<u8>, dont_fragment: bool },
}

/// The server and everything around it.
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
    pub held: Vec<(RelayId, Family, PortParity)>,
    next_port: u16,
}

impl Default for World {
    fn default() -> Self {
        Self::new(settings())
    }
}

impl World {
    pub fn new(settings: Settings) -> Self {
        let policy = TestPolicy { quota: 100, held: Arc::default() };
        Self::with_policy(settings, policy)
    }

    pub fn with_policy(settings: Settings, policy: TestPolicy) -> Self {
        Self {
            server: Server::new(settings, policy.clone(), Seeded(1)),
            now: Now { instant: Instant::from_nanos(1_000_000_000_000), unix_millis: EPOCH * 1000 },
            policy,
            events: Vec::new(),
            drops: Vec::new(),
            relays: HashMap::new(),
            relay_failures: VecDeque::new(),
            hold_relays: false,
            held: Vec::new(),
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
        match self.server.on_client_datagram(self.now, path, datagram, &mut reply) {
            Verdict::Forward { relay, peer, payload, dont_fragment } => {
                let from = self.relays[&relay];
                outputs.push(Output::ToPeer { from, peer: peer.0, payload: datagram[payload].to_vec(), dont_fragment });
            }
            Verdict::Reply { len } => {
                outputs.push(Output::ToClient { client: path.client.0, bytes: reply[..len].to_vec() });
            }
            Verdict::Pending => {}
            Verdict::Drop(reason) => self.drops.push(reason),
        }
        outputs.extend(self.run());
        outputs
    }

    /// Hands the server a peer's datagram; returns what leaves for the client.
    pub fn peer_says(&mut self, relayed: SocketAddr, peer: SocketAddr, payload: &[u8]) -> Vec<Output> {
        let Some(relay) = self.relays.iter().find(|(_, address)| **address == relayed).map(|(relay, _)| *relay) else {
            return Vec::new();
        };
        match self.server.on_peer_datagram(self.now.instant, relay, PeerAddr(peer), payload.len()) {
            PeerVerdict::ToClient { path, front, padding } => {
                let bytes = [front.as_bytes(), payload, &vec![0; padding]].concat();
                vec![Output::ToClient { client: path.client.0, bytes }]
            }
            PeerVerdict::Drop(reason) => {
                self.drops.push(reason);
                Vec::new()
            }
        }
    }

    /// Carries out the server's commands, as an engine does.
    pub fn run(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(command) = self.server.next_command() {
            match command {
                Command::OpenRelay { relay, family, parity } if self.hold_relays => {
                    self.held.push((relay, family, parity));
                }
                Command::OpenRelay { relay, family, parity } => self.open(relay, family, parity),
                Command::CloseRelay { relay } => {
                    self.relays.remove(&relay);
                }
                Command::SendToClient { path, message } => {
                    outputs.push(Output::ToClient { client: path.client.0, bytes: message.into() });
                }
                Command::Audit(event) => self.events.push(*event),
            }
        }
        outputs
    }

    /// Opens the relay sockets that were held back.
    pub fn open_held(&mut self) -> Vec<Output> {
        for (relay, family, parity) in std::mem::take(&mut self.held) {
            self.open(relay, family, parity);
        }
        self.run()
    }

    fn open(&mut self, relay: RelayId, family: Family, parity: PortParity) {
        if let Some(failure) = self.relay_failures.pop_front() {
            self.server.on_relay_failed(self.now, relay, failure);
            return;
        }
        self.next_port += 1;
        if parity == PortParity::Even {
            self.next_port += self.next_port % 2;
        }
        let ip: IpAddr = match family {
            Family::V4 => Ipv4Addr::new(198, 51, 100, 1).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        };
        let address = SocketAddr::new(ip, self.next_port);
        self.relays.insert(relay, address);
        self.server.on_relay_opened(self.now, relay, RelayedAddr(address));
    }
}

/// A client at one address.
#[derive(Clone)]
pub struct Client {
    pub path: Path,
    pub user: String,
    pub password: String,
    pub realm: String,
    pub nonce: Vec<u8>,
    /// PASSWORD-ALGORITHMS as the server sent it, if this client knows RFC 8489.
    pub algorithms: Option<Vec<u8>>,
    /// The algorithm it picks from that list.
    pub algorithm: PasswordAlgorithm,
    next_id: u64,
}

impl Client {
    /// A client of before RFC 8489: MD5 and SHA-1.
    pub fn new(user: &str, address: &str) -> Self {
        let client: SocketAddr = address.parse().unwrap();
        let server = if client.is_ipv4() { SERVER } else { "[2001:db8:9::9]:3478" };
        let path = Path {
            client: ClientAddr(client),
            server: ServerAddr(server.parse().unwrap()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        };
        Self {
            path,
            user: user.into(),
            password: password_of(user),
            realm: REALM.into(),
            nonce: Vec::new(),
            algorithms: None,
            algorithm: PasswordAlgorithm::Md5,
            next_id: u64::from(client.port()) << 32,
        }
    }

    /// Alice at her usual address.
    pub fn alice() -> Self {
        Self::new("alice", "203.0.113.5:40000")
    }

    pub fn id(&mut self) -> TransactionId {
        self.next_id += 1;
        let mut id = [0x5a; 12];
        id[4..].copy_from_slice(&self.next_id.to_be_bytes());
        TransactionId(id)
    }

    pub fn key(&self) -> LongTermKey {
        let (user, realm) = (self.user.as_bytes(), self.realm.as_bytes());
        LongTermKey::derive(self.algorithm, user, realm, self.password.as_bytes())
    }

    pub fn integrity(&self) -> IntegrityKey {
        let integrity = if self.algorithms.is_some() { Integrity::Sha256 } else { Integrity::Sha1 };
        IntegrityKey::new(integrity, &self.key())
    }

    /// A request without credentials.
    pub fn bare(&mut self, method: Method, attributes: &[&dyn Attribute]) -> Vec<u8> {
        let id = self.id();
        message(method, Class::Request, id, attributes, None)
    }

    /// A request with credentials.
    pub fn signed(&mut self, method: Method, attributes: &[&dyn Attribute]) -> Vec<u8> {
        let id = self.id();
        self.signed_with_id(id, method, attributes)
    }

    pub fn signed_with_id(&self, id: TransactionId, method: Method, attributes: &[&dyn Attribute]) -> Vec<u8> {
        let (user, realm, nonce) = (Username(self.user.as_bytes()), Realm(self.realm.as_bytes()), Nonce(&self.nonce));
        let list = self.algorithms.as_deref().map(|list| PasswordAlgorithms::from_bytes(list).unwrap());
        let chosen = PasswordAlgorithmAttribute { number: self.algorithm as u16, parameters: &[] };
        let mut all: Vec<&dyn Attribute> = attributes.to_vec();
        all.extend([&user as &dyn Attribute, &realm, &nonce]);
        if let Some(list) = &list {
            all.extend([list as &dyn Attribute, &chosen]);
        }
        message(method, Class::Request, id, &all, Some(&self.integrity()))
    }

    /// Gets a nonce by an Allocate without credentials.
    pub fn challenge(&mut self, world: &mut World) {
        let request = self.bare(Method::ALLOCATE, &[&RequestedTransport(17)]);
        let answer = only_reply(world.client_says(self.path, &request));
        self.learn(&answer);
    }

    /// Takes the nonce out of a 401 or 438.
    pub fn learn(&mut self, answer: &[u8]) {
        let answer = Message::parse(answer).unwrap();
        self.nonce = answer.get::<Nonce<'_>>().unwrap().expect("a challenge has a NONCE").0.to_vec();
        if self.algorithms.is_some() {
            let list = answer.get::<PasswordAlgorithms<'_>>().unwrap().expect("PASSWORD-ALGORITHMS");
            self.algorithms = Some(list.as_bytes().to_vec());
        }
    }

    /// Sends a signed request and returns its answer.
    pub fn ask(&mut self, world: &mut World, method: Method, attributes: &[&dyn Attribute]) -> Vec<u8> {
        let request = self.signed(method, attributes);
        only_reply(world.client_says(self.path, &request))
    }

    /// Gets an allocation; returns the relayed address.
    pub fn allocate(&mut self, world: &mut World) -> SocketAddr {
        self.allocate_with(world, &[])
    }

    pub fn allocate_with(&mut self, world: &mut World, attributes: &[&dyn Attribute]) -> SocketAddr {
        if self.nonce.is_empty() {
            self.challenge(world);
        }
        let mut all: Vec<&dyn Attribute> = vec![&RequestedTransport(17)];
        all.extend(attributes);
        let answer = self.ask(world, Method::ALLOCATE, &all);
        assert_eq!(code(&answer), 0, "allocated");
        let answer = Message::parse(&answer).unwrap();
        answer.get::<XorRelayedAddress>().unwrap().expect("XOR-RELAYED-ADDRESS").0
    }

    pub fn permit(&mut self, world: &mut World, peer: &str) -> u16 {
        code(&self.ask(world, Method::CREATE_PERMISSION, &[&XorPeerAddress(peer.parse().unwrap())]))
    }

    pub fn bind(&mut self, world: &mut World, number: u16, peer: &str) -> u16 {
        let number = turnkeep::wire::attribute::ChannelNumberAttribute(number);
        code(&self.ask(world, Method::CHANNEL_BIND, &[&number, &XorPeerAddress(peer.parse().unwrap())]))
    }

    pub fn refresh(&mut self, world: &mut World, lifetime: u32) -> u16 {
        code(&self.ask(world, Method::REFRESH, &[&Lifetime(lifetime)]))
    }

    pub fn send(&mut self, world: &mut World, peer: &str, payload: &[u8]) -> Vec<Output> {
        let id = self.id();
        let (peer, data) = (XorPeerAddress(peer.parse().unwrap()), Data(payload));
        world.client_says(self.path, &message(Method::SEND, Class::Indication, id, &[&peer, &data], None))
    }

    pub fn channel_data(&mut self, world: &mut World, number: u16, payload: &[u8]) -> Vec<Output> {
        world.client_says(self.path, &channel_message(number, payload))
    }
}

/// An attribute of any type, for lists of them.
pub trait Attribute {
    fn put(&self, writer: &mut MessageWriter<'_>);
}

impl<T: Encode> Attribute for T {
    fn put(&self, writer: &mut MessageWriter<'_>) {
        writer.put(self).unwrap();
    }
}

/// An attribute with any number and value.
pub struct Raw(pub u16, pub Vec<u8>);

impl Encode for Raw {
    fn attribute_type(&self) -> AttributeType {
        AttributeType(self.0)
    }

    fn value_len(&self) -> usize {
        self.1.len()
    }

    fn encode_value(&self, out: &mut [u8], _: &TransactionId) {
        out.copy_from_slice(&self.1);
    }
}

pub fn message(
    method: Method,
    class: Class,
    id: TransactionId,
    attributes: &[&dyn Attribute],
    key: Option<&IntegrityKey>,
) -> Vec<u8> {
    let mut out = vec![0; 70_000];
    let mut writer = MessageWriter::new(&mut out, method, class, id).unwrap();
    for attribute in attributes {
        attribute.put(&mut writer);
    }
    if let Some(key) = key {
        writer.integrity(key).unwrap();
    }
    let len = writer.finish();
    out.truncate(len);
    out
}

pub fn channel_message(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The one answer to a client among the outputs.
pub fn only_reply(outputs: Vec<Output>) -> Vec<u8> {
    match <[Output; 1]>::try_from(outputs) {
        Ok([Output::ToClient { bytes, .. }]) => bytes,
        other => panic!("one answer to the client expected: {other:?}"),
    }
}

/// The error code of a response; 0 for a success.
pub fn code(answer: &[u8]) -> u16 {
    let answer = Message::parse(answer).unwrap();
    match answer.class() {
        Class::Success => 0,
        _ => answer.get::<ErrorCode<'_>>().unwrap().expect("an error has an ERROR-CODE").code,
    }
}

pub fn channel_header(number: u16, len: u16) -> [u8; 4] {
    channel_data::header(ChannelNumber::new(number).unwrap(), len)
}
