//! A running engine, clients and peers with sockets of their own.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use turnkeep::engine::{
    Clock, Engine, EngineConfig, EngineError, RelayConfig, StreamKind, StreamListen, SystemEntropy, WorkerCounters,
};
use turnkeep::relay::reason::AuthReason;
use turnkeep::relay::seam::{AdmitRefusal, Claim, EventSink, Identity, PeerPorts, Policy, Refusal};
use turnkeep::relay::{ClientAddr, Event, Now, Path, PeerAddr, Server, ServerAddr};
use turnkeep::wire::attribute::{
    ChannelNumberAttribute, Data, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport, ReservationToken,
    XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use turnkeep::wire::channel_data::ChannelNumbers;
use turnkeep::wire::framer::{self, Frame};
use turnkeep::wire::header::{Class, Method};
use turnkeep::wire::integrity::LongTermKey;
use turnkeep::wire::message::Message;

use crate::sans_io::{self, Attribute, TestPolicy, channel_message, code, settings};

/// Long enough for a machine that does other things too; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// An engine and what it recorded.
pub(crate) struct Relay {
    pub(crate) engine: Engine,
    events: Events,
}

/// Events with the number of the worker that recorded them.
type Events = Arc<Mutex<Vec<(usize, Event)>>>;

/// One worker on 127.0.0.1 and [::1], relaying from there.
pub(crate) fn loopback() -> EngineConfig {
    EngineConfig {
        workers: NonZeroUsize::new(1),
        relay_v4: Some(RelayConfig::at(Ipv4Addr::LOCALHOST)),
        relay_v6: Some(RelayConfig::at(Ipv6Addr::LOCALHOST)),
        ..listening(&["127.0.0.1:0", "[::1]:0"])
    }
}

/// The same, and by TCP at the same addresses.
pub(crate) fn loopback_with_tcp() -> EngineConfig {
    let plain = |text: &str| StreamListen { address: text.parse().unwrap(), kind: StreamKind::Plain };
    EngineConfig { streams: vec![plain("127.0.0.1:0"), plain("[::1]:0")], ..loopback() }
}

/// Listens there, and relays nothing.
pub(crate) fn listening(addresses: &[&str]) -> EngineConfig {
    EngineConfig::new(addresses.iter().map(|text| text.parse().unwrap()).collect())
}

/// As [`loopback`], with these IPv4 ports only, which rest for no time at all.
pub(crate) fn loopback_with_ports(ports: RangeInclusive<u16>) -> EngineConfig {
    let mut config = loopback();
    let relay = config.relay_v4.as_mut().unwrap();
    relay.ports = ports;
    (relay.rest.full, relay.rest.least) = (Duration::ZERO, Duration::ZERO);
    config
}

pub(crate) fn start(config: &EngineConfig) -> Relay {
    try_start(config).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn try_start(config: &EngineConfig) -> Result<Relay, EngineError> {
    let events = Events::default();
    let policy = Fragile(TestPolicy::new(10_000));
    let server = move |_| Server::new(settings(), policy.clone(), SystemEntropy::new().unwrap());
    let recorded = events.clone();
    let sink = move |worker| Recorder { worker, events: recorded.clone() };
    let engine = Engine::start(config, Clock::start(), server, sink)?;
    Ok(Relay { engine, events })
}

impl Relay {
    /// The `index`th listening address, as configured but for port 0.
    pub(crate) fn address(&self, index: usize) -> SocketAddr {
        self.engine.listening()[index].address
    }

    /// The same of those by TCP.
    pub(crate) fn stream_address(&self, index: usize) -> SocketAddr {
        self.engine.stream_listening()[index].address
    }

    pub(crate) fn events(&self) -> Vec<(usize, Event)> {
        self.events.lock().unwrap().clone()
    }

    /// Stops the engine; returns what it recorded.
    pub(crate) fn stop(self) -> Vec<(usize, Event)> {
        assert_eq!(self.engine.stop(PATIENCE).late, 0);
        self.events.lock().unwrap().clone()
    }

    /// Waits until the workers' published counters are such that `holds`.
    pub(crate) fn until(&self, holds: impl Fn(&[WorkerCounters]) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(&self.engine.counters()) {
            assert!(Instant::now() < end, "{:#?}", self.engine.counters());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

struct Recorder {
    worker: usize,
    events: Events,
}

impl EventSink for Recorder {
    fn record(&mut self, event: Event) {
        self.events.lock().unwrap().push((self.worker, event));
    }
}

/// Lets everybody in, and breaks when carol knocks.
#[derive(Clone)]
struct Fragile(TestPolicy);

impl Policy for Fragile {
    type Lease = <TestPolicy as Policy>::Lease;

    fn authenticate(
        &self,
        now: Now,
        claim: Claim<'_>,
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Result<Identity, AuthReason> {
        assert_ne!(claim.username, b"carol", "injected");
        self.0.authenticate(now, claim, proof)
    }

    fn admit(&self, now: Now, who: &Identity, path: &Path) -> Result<Self::Lease, AdmitRefusal> {
        self.0.admit(now, who, path)
    }

    fn judge_peer(&self, who: &Identity, peer: PeerAddr) -> Result<PeerPorts, Refusal> {
        self.0.judge_peer(who, peer)
    }
}

/// A socket that gives up after a while.
pub(crate) fn socket(ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A peer at the loopback address of the family of `like`.
pub(crate) fn peer(like: SocketAddr) -> UdpSocket {
    socket(match like {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    })
}

/// The next datagram, and who sent it.
pub(crate) fn next(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = vec![0; 65_536];
    let (len, from) = socket.recv_from(&mut bytes).expect("a datagram within the time");
    bytes.truncate(len);
    (bytes, from)
}

/// Nothing waits there.
pub(crate) fn is_quiet(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    let quiet = socket.recv(&mut [0; 1]).is_err();
    socket.set_nonblocking(false).unwrap();
    quiet
}

/// How a client talks to its server.
pub(crate) trait Talk {
    /// ChannelData is padded to a multiple of four.
    const PADS: bool;

    fn local(&self) -> SocketAddr;

    fn say(&self, server: SocketAddr, bytes: &[u8]);

    /// The next message, which must come from `server`.
    fn hear(&self, server: SocketAddr) -> Vec<u8>;
}

impl Talk for UdpSocket {
    const PADS: bool = false;

    fn local(&self) -> SocketAddr {
        self.local_addr().unwrap()
    }

    fn say(&self, server: SocketAddr, bytes: &[u8]) {
        self.send_to(bytes, server).unwrap();
    }

    fn hear(&self, server: SocketAddr) -> Vec<u8> {
        let (bytes, from) = next(self);
        assert_eq!(from, server, "the source of the answer");
        bytes
    }
}

/// What has come of a stream and was not heard.
#[derive(Default)]
pub(crate) struct Begun(RefCell<Vec<u8>>);

impl Begun {
    /// The next message; `read` reads more of the stream.
    pub(crate) fn message(&self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Vec<u8> {
        let mut begun = self.0.borrow_mut();
        loop {
            if let Frame::Whole(len) = framer::frame(ChannelNumbers::Rfc5766, &begun).expect("messages") {
                return begun.drain(..len).collect();
            }
            let mut more = [0; 65_536];
            let len = read(&mut more).expect("a message within the time");
            assert!(len > 0, "the server closed the connection");
            begun.extend(&more[..len]);
        }
    }
}

/// A TCP connection.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    begun: Begun,
}

impl Connection {
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect(server).unwrap())
    }

    pub(crate) fn over(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, begun: Begun::default() }
    }

    /// The server closes it without another byte.
    pub(crate) fn is_closed(&self) -> bool {
        let read = (&self.socket).read(&mut [0; 1]);
        matches!(&read, Ok(0)) || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    }
}

impl Talk for Connection {
    const PADS: bool = true;

    fn local(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn say(&self, _: SocketAddr, bytes: &[u8]) {
        (&self.socket).write_all(bytes).unwrap();
    }

    fn hear(&self, _: SocketAddr) -> Vec<u8> {
        self.begun.message(|more| (&self.socket).read(more))
    }
}

/// A client with a socket of its own.
pub(crate) struct Client<T = UdpSocket> {
    pub(crate) socket: T,
    pub(crate) server: SocketAddr,
    pub(crate) voice: sans_io::Client,
}

impl Client {
    /// Alice, who knows the server as `server`.
    pub(crate) fn of(server: SocketAddr) -> Self {
        Self::named("alice", server)
    }

    pub(crate) fn named(user: &str, server: SocketAddr) -> Self {
        Self::with(user, server, peer(server))
    }
}

impl Client<Connection> {
    /// Alice by TCP.
    pub(crate) fn by_tcp(server: SocketAddr) -> Self {
        Self::with("alice", server, Connection::to(server))
    }
}

impl<T: Talk> Client<T> {
    pub(crate) fn with(user: &str, server: SocketAddr, socket: T) -> Self {
        let mut voice = sans_io::Client::new(user, &socket.local().to_string());
        voice.path.client = ClientAddr(socket.local());
        voice.path.server = ServerAddr(server);
        Self { socket, server, voice }
    }

    pub(crate) fn say(&self, bytes: &[u8]) {
        self.socket.say(self.server, bytes);
    }

    /// The next message, which must come from where the client talks to.
    pub(crate) fn hear(&self) -> Vec<u8> {
        self.socket.hear(self.server)
    }

    /// A Binding request.
    pub(crate) fn binding(&mut self) -> Vec<u8> {
        self.voice.bare(Method::BINDING, &[])
    }

    pub(crate) fn ask(&mut self, method: Method, attributes: &[&dyn Attribute]) -> Vec<u8> {
        let request = self.voice.signed(method, attributes);
        self.say(&request);
        self.hear()
    }

    /// What the server says our address is.
    pub(crate) fn mapped_address(&mut self) -> SocketAddr {
        let request = self.binding();
        self.say(&request);
        let answer = self.hear();
        Message::parse(&answer).unwrap().get::<XorMappedAddress>().unwrap().unwrap().0
    }

    /// An allocation of the client's own family, or the error code.
    pub(crate) fn try_allocate(&mut self, attributes: &[&dyn Attribute]) -> Result<SocketAddr, u16> {
        let challenge = self.voice.bare(Method::ALLOCATE, &[&RequestedTransport::UDP]);
        self.say(&challenge);
        let challenge = self.hear();
        self.voice.learn(&challenge);
        let family = RequestedAddressFamily(if self.server.is_ipv4() { 1 } else { 2 });
        let mut all: Vec<&dyn Attribute> = vec![&RequestedTransport::UDP, &family];
        all.extend(attributes);
        let answer = self.ask(Method::ALLOCATE, &all);
        match code(&answer) {
            0 => Ok(Message::parse(&answer).unwrap().get::<XorRelayedAddress>().unwrap().unwrap().0),
            code => Err(code),
        }
    }

    /// An IPv4 allocation with an even port, and the token of the next one.
    pub(crate) fn allocate_pair(&mut self) -> (SocketAddr, ReservationToken) {
        let answer = self.allocate_raw(&[&EvenPort { reserve_next: true }]);
        let answer = Message::parse(&answer).unwrap();
        let relayed = answer.get::<XorRelayedAddress>().unwrap().expect("an allocation").0;
        (relayed, answer.get().unwrap().expect("RESERVATION-TOKEN"))
    }

    /// The address that was reserved, or the error code.
    pub(crate) fn redeem(&mut self, token: ReservationToken) -> Result<SocketAddr, u16> {
        let answer = self.allocate_raw(&[&token]);
        match code(&answer) {
            0 => Ok(Message::parse(&answer).unwrap().get::<XorRelayedAddress>().unwrap().unwrap().0),
            code => Err(code),
        }
    }

    /// The answer to an Allocate with these attributes and no family.
    fn allocate_raw(&mut self, attributes: &[&dyn Attribute]) -> Vec<u8> {
        let challenge = self.voice.bare(Method::ALLOCATE, &[&RequestedTransport::UDP]);
        self.say(&challenge);
        let challenge = self.hear();
        self.voice.learn(&challenge);
        let mut all: Vec<&dyn Attribute> = vec![&RequestedTransport::UDP];
        all.extend(attributes);
        self.ask(Method::ALLOCATE, &all)
    }

    pub(crate) fn allocate(&mut self) -> SocketAddr {
        self.try_allocate(&[]).expect("an allocation")
    }

    /// Knocks with credentials; nobody may answer.
    pub(crate) fn knock(&mut self) {
        let challenge = self.voice.bare(Method::ALLOCATE, &[&RequestedTransport::UDP]);
        self.say(&challenge);
        let challenge = self.hear();
        self.voice.learn(&challenge);
        let request = self.voice.signed(Method::ALLOCATE, &[&RequestedTransport::UDP]);
        self.say(&request);
    }

    pub(crate) fn permit(&mut self, peer: SocketAddr) {
        assert_eq!(code(&self.ask(Method::CREATE_PERMISSION, &[&XorPeerAddress(peer)])), 0);
    }

    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr) {
        let attributes: [&dyn Attribute; 2] = [&ChannelNumberAttribute(number), &XorPeerAddress(peer)];
        assert_eq!(code(&self.ask(Method::CHANNEL_BIND, &attributes)), 0);
    }

    /// The code of the answer to a Refresh.
    pub(crate) fn refresh(&mut self, lifetime: u32) -> u16 {
        code(&self.ask(Method::REFRESH, &[&Lifetime(lifetime)]))
    }

    pub(crate) fn send(&mut self, peer: SocketAddr, payload: &[u8], more: &[&dyn Attribute]) {
        let (to, data, id) = (XorPeerAddress(peer), Data(payload), self.voice.id());
        let mut attributes: Vec<&dyn Attribute> = vec![&to];
        attributes.extend(more);
        attributes.push(&data);
        self.say(&sans_io::message(Method::SEND, Class::Indication, id, &attributes, None));
    }

    pub(crate) fn send_channel(&self, number: u16, payload: &[u8]) {
        let mut message = channel_message(number, payload);
        if T::PADS {
            // Not zeros: padding can be anything.
            message.resize(message.len().next_multiple_of(4), 0xEE);
        }
        self.say(&message);
    }

    /// The peer and payload of the next datagram, which must be a Data indication.
    pub(crate) fn hear_data(&self) -> (SocketAddr, Vec<u8>) {
        let bytes = self.hear();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        let peer = message.get::<XorPeerAddress>().unwrap().unwrap().0;
        (peer, message.get::<Data<'_>>().unwrap().unwrap().0.to_vec())
    }

    /// The number and payload of the next datagram, which must be ChannelData.
    pub(crate) fn hear_channel(&self) -> (u16, Vec<u8>) {
        let bytes = self.hear();
        let (number, len) = (u16::from_be_bytes([bytes[0], bytes[1]]), u16::from_be_bytes([bytes[2], bytes[3]]));
        let len = usize::from(len);
        assert_eq!(if T::PADS { len.next_multiple_of(4) } else { len }, bytes.len() - 4, "padding");
        (number, bytes[4..][..len].to_vec())
    }
}
