//! A client at one address, of one of the kinds that there are.

use std::net::SocketAddr;

use turnkeep::relay::{ClientAddr, Family, ListenerId, Path, ServerAddr, Transport};
use turnkeep::wire::attribute::{
    ChannelNumberAttribute, Data, Lifetime, Nonce, PasswordAlgorithms, RequestedAddressFamily, RequestedTransport,
    XorPeerAddress, XorRelayedAddress,
};
use turnkeep::wire::header::{Class, Method, TransactionId};
use turnkeep::wire::integrity::{Integrity, IntegrityKey, LongTermKey, PasswordAlgorithm};
use turnkeep::wire::message::Message;

use super::message::{Attribute, Raw, channel_message, code, message, only_reply, outcome};
use super::policy::{REALM, password_of};
use super::stun::number;
use super::world::{Output, World};

pub const SERVER: &str = "192.0.2.9:3478";
pub const SERVER_V6: &str = "[2001:db8:9::9]:3478";

/// What a client makes of PASSWORD-ALGORITHMS (RFC 8489 §9.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of before RFC 8489: does not know the attribute; MD5 and MESSAGE-INTEGRITY.
    Legacy,
    /// Knows it, and MD5 alone: MESSAGE-INTEGRITY-SHA256 under an MD5 key.
    Md5,
    /// Takes the first that is offered.
    Sha256,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Legacy, Self::Md5, Self::Sha256];
}

#[derive(Clone, Debug)]
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
        Self::of(Kind::Legacy, user, address)
    }

    pub fn of(kind: Kind, user: &str, address: &str) -> Self {
        let client: SocketAddr = address.parse().unwrap();
        let server = if client.is_ipv4() { SERVER } else { SERVER_V6 };
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
            algorithms: (kind != Kind::Legacy).then(Vec::new),
            algorithm: if kind == Kind::Sha256 { PasswordAlgorithm::Sha256 } else { PasswordAlgorithm::Md5 },
            next_id: u64::from(client.port()) << 32,
        }
    }

    /// Alice at her usual address.
    pub fn alice() -> Self {
        Self::new("alice", "203.0.113.5:40000")
    }

    /// Bob at his, which is not alice's.
    pub fn bob() -> Self {
        Self::new("bob", "203.0.113.6:40000")
    }

    /// Alice as every kind of client, over IPv4 and over IPv6.
    pub fn each() -> impl Iterator<Item = Self> {
        let addresses = ["203.0.113.5:40000", "[2001:db8:5::5]:40000"];
        addresses.into_iter().flat_map(|address| Kind::ALL.map(|kind| Self::of(kind, "alice", address)))
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
        let credentials = self.credentials();
        let mut all: Vec<&dyn Attribute> = attributes.to_vec();
        all.extend(credentials.iter().map(|raw| raw as &dyn Attribute));
        message(method, Class::Request, id, &all, Some(&self.integrity()))
    }

    /// A request whose attributes `edit` has changed before it was signed.
    pub fn forged(&mut self, method: Method, attributes: &[Raw], edit: impl FnOnce(&mut Vec<Raw>)) -> Vec<u8> {
        let mut all = attributes.to_vec();
        all.extend(self.credentials());
        edit(&mut all);
        let all: Vec<_> = all.iter().map(|raw| raw as &dyn Attribute).collect();
        let id = self.id();
        message(method, Class::Request, id, &all, Some(&self.integrity()))
    }

    /// What proves who it is, but for the integrity attribute.
    pub fn credentials(&self) -> Vec<Raw> {
        let mut all = vec![
            Raw(number::USERNAME, self.user.clone().into_bytes()),
            Raw(number::REALM, self.realm.clone().into_bytes()),
            Raw(number::NONCE, self.nonce.clone()),
        ];
        if let Some(list) = &self.algorithms {
            let [hi, lo] = (self.algorithm as u16).to_be_bytes();
            all.push(Raw(number::PASSWORD_ALGORITHMS, list.clone()));
            all.push(Raw(number::PASSWORD_ALGORITHM, vec![hi, lo, 0, 0]));
        }
        all
    }

    /// Gets a nonce by an Allocate without credentials.
    pub fn challenge(&mut self, world: &mut World) {
        let request = self.bare(Method::ALLOCATE, &[&RequestedTransport(17)]);
        let answer = only_reply(world.client_says(self.path, &request));
        assert_eq!(code(&answer), 401);
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
    #[track_caller]
    pub fn ask(&mut self, world: &mut World, method: Method, attributes: &[&dyn Attribute]) -> Vec<u8> {
        let request = self.signed(method, attributes);
        only_reply(world.client_says(self.path, &request))
    }

    /// Sends a signed request; returns the error code, or 0.
    #[track_caller]
    pub fn code(&mut self, world: &mut World, method: Method, attributes: &[&dyn Attribute]) -> u16 {
        outcome(&self.ask(world, method, attributes))
    }

    /// Asks for an allocation of UDP; returns the error code, or 0.
    #[track_caller]
    pub fn try_allocate(&mut self, world: &mut World, attributes: &[&dyn Attribute]) -> u16 {
        if self.nonce.is_empty() {
            self.challenge(world);
        }
        let mut all: Vec<&dyn Attribute> = vec![&RequestedTransport(17)];
        all.extend(attributes);
        self.code(world, Method::ALLOCATE, &all)
    }

    /// Gets an allocation; returns the relayed address.
    #[track_caller]
    pub fn allocate(&mut self, world: &mut World) -> SocketAddr {
        self.allocate_with(world, &[])
    }

    #[track_caller]
    pub fn allocate_in(&mut self, world: &mut World, family: Family) -> SocketAddr {
        let family = RequestedAddressFamily(if family == Family::V4 { 1 } else { 2 });
        self.allocate_with(world, &[&family])
    }

    #[track_caller]
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

    #[track_caller]
    pub fn permit(&mut self, world: &mut World, peer: &str) -> u16 {
        self.permit_all(world, &[peer])
    }

    #[track_caller]
    pub fn permit_all(&mut self, world: &mut World, peers: &[&str]) -> u16 {
        let peers: Vec<_> = peers.iter().map(|peer| XorPeerAddress(peer.parse().unwrap())).collect();
        let peers: Vec<_> = peers.iter().map(|peer| peer as &dyn Attribute).collect();
        self.code(world, Method::CREATE_PERMISSION, &peers)
    }

    #[track_caller]
    pub fn bind(&mut self, world: &mut World, number: u16, peer: &str) -> u16 {
        let (number, peer) = (ChannelNumberAttribute(number), XorPeerAddress(peer.parse().unwrap()));
        self.code(world, Method::CHANNEL_BIND, &[&number, &peer])
    }

    #[track_caller]
    pub fn refresh(&mut self, world: &mut World, lifetime: u32) -> u16 {
        self.code(world, Method::REFRESH, &[&Lifetime(lifetime)])
    }

    pub fn indication(&mut self, attributes: &[&dyn Attribute]) -> Vec<u8> {
        let id = self.id();
        message(Method::SEND, Class::Indication, id, attributes, None)
    }

    pub fn send(&mut self, world: &mut World, peer: &str, payload: &[u8]) -> Vec<Output> {
        let indication = self.indication(&[&XorPeerAddress(peer.parse().unwrap()), &Data(payload)]);
        world.client_says(self.path, &indication)
    }

    pub fn channel_data(&mut self, world: &mut World, number: u16, payload: &[u8]) -> Vec<Output> {
        world.client_says(self.path, &channel_message(number, payload))
    }
}
