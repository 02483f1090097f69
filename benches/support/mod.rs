//! A server with as many allocations as a bench wants, each with a channel to one peer and a permission for another;
//! the packets that it is then given, and the messages that codecs read.
#![allow(dead_code, unreachable_pub, reason = "each bench uses its own part")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up must stop")]

use std::net::{Ipv4Addr, SocketAddr};

use turnkeep::relay::limits::{MAX_LIFETIME, MAX_REPLY};
use turnkeep::relay::reason::AuthReason;
use turnkeep::relay::seam::{AdmitRefusal, Claim, Entropy, Identity, PeerPorts, Policy, Refusal, UserId};
use turnkeep::relay::{
    ClientAddr, Command, Families, Instant, ListenerId, NonceKey, Now, Path, PeerAddr, PeerVerdict, RelayId,
    RelayedAddr, Server, ServerAddr, Settings, Transport, Verdict,
};
use turnkeep::wire::attribute::{
    ChannelNumberAttribute, Data, ErrorCode, Lifetime, Nonce, PasswordAlgorithms, Realm, RequestedTransport, Username,
    XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use turnkeep::wire::channel_data::{ChannelNumber, ChannelNumbers};
use turnkeep::wire::header::TransactionId;
use turnkeep::wire::{
    BufferFull, Class, Integrity, IntegrityKey, LongTermKey, Message, MessageWriter, Method, PasswordAlgorithm,
};

pub const USER: &str = "1795372300:telehealth-7f3a9c";
pub const REALM: &str = "turn.example.org";
pub const PASSWORD: &str = "lDqkYfVvvtxUWcTBFeQv3Ck2rjM=";
pub const NONCE: &[u8] = b"obMatJos2gAAAawHjjGd13Hd1Ls7T0SuayRG6yaYU4D+0";
pub const ID: TransactionId = TransactionId([7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9]);

/// Bytes of a payload: an audio packet.
pub const PAYLOAD: usize = 160;

pub fn key(algorithm: PasswordAlgorithm) -> LongTermKey {
    LongTermKey::derive(algorithm, USER.as_bytes(), REALM.as_bytes(), PASSWORD.as_bytes())
}

/// A message, by what is put into it.
pub fn message(
    method: Method,
    class: Class,
    put: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), BufferFull>,
) -> Vec<u8> {
    let mut out = vec![0; 2048];
    let mut writer = MessageWriter::new(&mut out, method, class, ID).unwrap();
    put(&mut writer).unwrap();
    let len = writer.finish();
    out.truncate(len);
    out
}

/// An Allocate as a browser sends it, once it has a nonce.
pub fn allocate(nonce: &[u8]) -> Vec<u8> {
    message(Method::ALLOCATE, Class::Request, |writer| {
        writer.put(&RequestedTransport::UDP)?;
        sign(writer, nonce)
    })
}

fn sign(writer: &mut MessageWriter<'_>, nonce: &[u8]) -> Result<(), BufferFull> {
    writer.put(&Username(USER.as_bytes()))?;
    writer.put(&Realm(REALM.as_bytes()))?;
    writer.put(&Nonce(nonce))?;
    writer.integrity(&IntegrityKey::new(Integrity::Sha1, &key(PasswordAlgorithm::Md5)))
}

pub fn send_indication(peer: SocketAddr) -> Vec<u8> {
    message(Method::SEND, Class::Indication, |writer| {
        writer.put(&XorPeerAddress(peer))?;
        writer.put(&Data(&[0x5A; PAYLOAD]))
    })
}

pub fn channel_data() -> Vec<u8> {
    [&turnkeep::wire::channel_data::header(ChannelNumber::MIN, 160)[..], &[0x5A; PAYLOAD]].concat()
}

/// The challenge of an RFC 8489 server.
pub fn unauthenticated() -> Vec<u8> {
    message(Method::ALLOCATE, Class::Error, |writer| write_unauthenticated(writer, NONCE))
}

pub fn write_unauthenticated(writer: &mut MessageWriter<'_>, nonce: &[u8]) -> Result<(), BufferFull> {
    writer.put(&ErrorCode::UNAUTHENTICATED)?;
    writer.put(&Realm(REALM.as_bytes()))?;
    writer.put(&Nonce(nonce))?;
    writer.put(&PasswordAlgorithms::SHA256_THEN_MD5)
}

pub fn write_success(
    writer: &mut MessageWriter<'_>,
    relayed: SocketAddr,
    mapped: SocketAddr,
) -> Result<(), BufferFull> {
    writer.put(&XorRelayedAddress(relayed))?;
    writer.put(&Lifetime(600))?;
    writer.put(&XorMappedAddress(mapped))
}

pub const RELAYED: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), 49_999));
pub const MAPPED: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 5), 40_000));

/// One user, who may do all.
pub struct Everything(LongTermKey);

impl Policy for Everything {
    type Lease = ();

    fn authenticate(
        &self,
        _: Now,
        _: Claim<'_>,
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Result<Identity, AuthReason> {
        let who = Identity { user: UserId(USER.into()), key_id: None, expires_unix: None, max_allocations: None };
        if proof(&self.0) { Ok(who) } else { Err(AuthReason::WrongPassword) }
    }

    fn admit(&self, _: Now, _: &Identity, _: &Path) -> Result<(), AdmitRefusal> {
        Ok(())
    }

    fn judge_peer(&self, _: &Identity, _: PeerAddr) -> Result<PeerPorts, Refusal> {
        Ok(PeerPorts::Any)
    }
}

/// Counts; two runs see the same.
pub struct Counter(u8);

impl Entropy for Counter {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill_with(|| {
            self.0 = self.0.wrapping_add(37);
            self.0
        });
    }
}

/// A server with allocations, and who is around it.
pub struct Relay {
    pub server: Server<Everything, Counter>,
    pub now: Now,
    pub allocations: Vec<Allocation>,
}

/// An allocation from outside.
#[derive(Clone, Copy)]
pub struct Allocation {
    pub path: Path,
    pub relay: RelayId,
    /// The peer on channel 0x4000.
    pub bound: PeerAddr,
    /// A peer with a permission only.
    pub permitted: PeerAddr,
}

impl Relay {
    pub fn with(allocations: u32) -> Self {
        let settings = Settings {
            realm: REALM.into(),
            offer_sha256: true,
            offer_userhash: false,
            modern_only: Box::default(),
            families: Families { v4: true, v6: true },
            max_lifetime: MAX_LIFETIME,
            nonce_key: NonceKey::new([9; 32]),
            channel_numbers: ChannelNumbers::Rfc8656,
            strict_permissions: false,
        };
        let server = Server::new(settings, Everything(key(PasswordAlgorithm::Md5)), Counter(0));
        let now = Now { instant: Instant::from_nanos(1_000_000_000_000), unix_millis: 1_795_285_900_000 };
        let mut this = Self { server, now, allocations: Vec::new() };
        for index in 0..allocations {
            let allocation = this.allocate(index);
            this.allocations.push(allocation);
        }
        this
    }

    /// Packets that visit every allocation, in an order in which neighbours do not help each other.
    pub fn scattered(&self) -> impl Iterator<Item = &Allocation> + Clone {
        let len = self.allocations.len();
        // 7,919 is prime, and no table of a bench has a multiple of it.
        (0..len).map(move |index| &self.allocations[index * 7919 % len]).cycle()
    }

    fn allocate(&mut self, index: u32) -> Allocation {
        let path = Path {
            client: ClientAddr((Ipv4Addr::from_bits(0x0A00_0000 + index), 40_000).into()),
            server: ServerAddr(([192, 0, 2, 9], 3478).into()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        };
        let nonce = self.challenge(path);
        self.ask(path, &allocate(&nonce));
        let relay = self.open(path);
        let peer = |host| PeerAddr((Ipv4Addr::from_bits(0xC612_0000 + index), host).into());
        let (bound, permitted) = (peer(5000), PeerAddr(([192, 0, 2, 77], 5000).into()));
        let request = |method, put: &dyn Fn(&mut MessageWriter<'_>) -> Result<(), BufferFull>| {
            message(method, Class::Request, |writer| put(writer).and_then(|()| sign(writer, &nonce)))
        };
        let bind = request(Method::CHANNEL_BIND, &|writer| {
            writer.put(&ChannelNumberAttribute(0x4000))?;
            writer.put(&XorPeerAddress(bound.0))
        });
        self.ask(path, &bind);
        self.ask(path, &request(Method::CREATE_PERMISSION, &|writer| writer.put(&XorPeerAddress(permitted.0))));
        Allocation { path, relay, bound, permitted }
    }

    fn challenge(&mut self, path: Path) -> Vec<u8> {
        let mut reply = [0; MAX_REPLY];
        let request = message(Method::ALLOCATE, Class::Request, |writer| writer.put(&RequestedTransport::UDP));
        let Verdict::Reply { len } = self.server.on_client_datagram(self.now, path, &request, &mut reply) else {
            panic!("a challenge");
        };
        Message::parse(&reply[..len]).unwrap().get::<Nonce<'_>>().unwrap().unwrap().0.to_vec()
    }

    fn ask(&mut self, path: Path, request: &[u8]) {
        let mut reply = [0; MAX_REPLY];
        match self.server.on_client_datagram(self.now, path, request, &mut reply) {
            Verdict::Reply { len } => assert_eq!(Message::parse(&reply[..len]).unwrap().class(), Class::Success),
            verdict => assert_eq!(verdict, Verdict::Pending),
        }
    }

    fn open(&mut self, path: Path) -> RelayId {
        let mut opened = None;
        while let Some(command) = self.server.next_command() {
            if let Command::OpenRelay { relay, .. } = command {
                let port = path.client.port();
                self.server.on_relay_opened(self.now, relay, RelayedAddr(([198, 51, 100, 1], port).into()));
                opened = Some(relay);
            }
        }
        opened.unwrap()
    }

    /// A datagram from a client, which must be relayed.
    #[inline]
    pub fn up(&mut self, path: Path, datagram: &[u8], reply: &mut [u8; MAX_REPLY]) -> Verdict {
        let verdict = self.server.on_client_datagram(self.now, path, datagram, reply);
        debug_assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}");
        verdict
    }

    /// A datagram from a peer, which must be relayed.
    #[inline]
    pub fn down(&mut self, relay: RelayId, peer: PeerAddr) -> PeerVerdict {
        let verdict = self.server.on_peer_datagram(self.now.instant, relay, peer, PAYLOAD);
        debug_assert!(matches!(verdict, PeerVerdict::ToClient { .. }), "{verdict:?}");
        verdict
    }
}
