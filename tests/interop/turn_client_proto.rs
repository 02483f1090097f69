//! The sans-IO client of `turn-client-proto`, the one that speaks RFC 8489's PASSWORD-ALGORITHMS and
//! MESSAGE-INTEGRITY-SHA256 and asks for address families. What it sends and gets is looked at on its way.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use stun_types::attribute::{AttributeStaticType, ErrorCode, MessageIntegrity, MessageIntegritySha256};
use stun_types::message::{IntegrityAlgorithm, Message};
use turn_client_proto::api::{Transmit, TurnConfig, TurnEvent, TurnPeerData, TurnRecvRet};
use turn_client_proto::client::TurnClient;
use turn_client_proto::prelude::TurnClientApi;
use turn_client_proto::stun::Instant as ClientInstant;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::stun::TransportType;
use turn_client_proto::types::{AddressFamily, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;

use super::against_each_server;
use super::support::credential::Credential;
use super::support::server::{Make, Server, V4, V6};

against_each_server!(
    relays_v4,
    relays_v6,
    relays_by_tcp_v4,
    relays_by_tcp_v6,
    second_family_is_settled,
    wrong_password;
    turnkeep only:
    second_family_is_granted,
    second_family_is_granted_by_tcp,
    sha256_is_enough_where_nothing_else_will_do,
    sha1_is_not,
);

const DEADLINE: Duration = Duration::from_secs(20);

/// Where the control draws the line: coturn knows SHA-1 alone, and a client that insists on SHA-256 gets nothing.
#[test]
fn coturn_has_no_sha256() {
    let Some(server) = Server::start(Make::Coturn) else { return };
    let families = [AddressFamily::IPV4];
    let mut agent = Agent::new(&server, V4, By::Udp, &families, IntegrityAlgorithm::Sha256, Credential::of("matthew"));
    assert_eq!(agent.allocate(1), []);
}

fn relays_v4(make: Make) {
    relays(make, V4, By::Udp);
}

fn relays_v6(make: Make) {
    relays(make, V6, By::Udp);
}

fn relays_by_tcp_v4(make: Make) {
    relays(make, V4, By::Tcp);
}

fn relays_by_tcp_v6(make: Make) {
    relays(make, V6, By::Tcp);
}

/// Who asks for IPv6 beside IPv4 is granted it or told that it is not, and has IPv4 either way (RFC 8656 §7.2, step 9).
fn second_family_is_settled(make: Make) {
    let Some(server) = Server::start(make) else { return };
    let families = [AddressFamily::IPV4, AddressFamily::IPV6];
    let mut agent = Agent::new(&server, V4, By::Udp, &families, best_integrity(make), Credential::of("matthew"));
    let relayed = agent.allocate(2);
    assert!(matches!(relayed[..], [SocketAddr::V4(_)] | [SocketAddr::V4(_), SocketAddr::V6(_)]), "{relayed:?}");
    agent.relay(relayed[0]);
}

fn second_family_is_granted(make: Make) {
    relays_in_both_families(make, By::Udp);
}

fn second_family_is_granted_by_tcp(make: Make) {
    relays_in_both_families(make, By::Tcp);
}

/// One Allocate, two relayed addresses, and peers of either family (RFC 8656 §7.2 and §9). This client takes the same
/// channel number for the first peer of each family, so that each client has a channel in one family alone.
fn relays_in_both_families(make: Make, by: By) {
    let Some(server) = Server::start(make) else { return };
    let families = [AddressFamily::IPV4, AddressFamily::IPV6];
    for with_channel in 0..2 {
        let mut agent = Agent::new(&server, V4, by, &families, best_integrity(make), Credential::of("matthew"));
        let relayed = agent.allocate(2);
        assert!(matches!(relayed[..], [SocketAddr::V4(_), SocketAddr::V6(_)]), "{relayed:?}");
        let peers = [V4, V6].map(Peer::new);
        for (peer, &relayed) in peers.iter().zip(&relayed) {
            agent.permit(peer.address);
            agent.exchange(peer, relayed, "by indication");
        }
        agent.bind(peers[with_channel].address);
        agent.exchange(&peers[with_channel], relayed[with_channel], "by channel");
        // Those to the other family go on as before.
        agent.exchange(&peers[1 - with_channel], relayed[1 - with_channel], "by indication");
    }
}

/// `legacy = "deny"`: neither MD5 nor SHA-1, by UDP or TCP (RFC 8489 §9.2).
const STRICT: &str = "[credentials]\nlegacy = 'deny'";

fn sha256_is_enough_where_nothing_else_will_do(make: Make) {
    let Some(server) = Server::start_with(make, STRICT) else { return };
    for by in [By::Udp, By::Tcp] {
        relays_with(&server, V4, by, IntegrityAlgorithm::Sha256);
    }
}

fn sha1_is_not(make: Make) {
    let Some(server) = Server::start_with(make, STRICT) else { return };
    for by in [By::Udp, By::Tcp] {
        let families = [AddressFamily::IPV4];
        let mut agent = Agent::new(&server, V4, by, &families, IntegrityAlgorithm::Sha1, Credential::of("matthew"));
        let refused = agent.run_until(|agent, _| (!agent.errors.is_empty()).then_some(()));
        assert_eq!((refused, agent.client.relayed_addresses().count()), (Some(()), 0), "{by:?}");
    }
}

fn wrong_password(make: Make) {
    let Some(server) = Server::start(make) else { return };
    let credential = Credential::forged("matthew");
    let mut agent = Agent::new(&server, V4, By::Udp, &[AddressFamily::IPV4], best_integrity(make), credential);
    // The client drops the second 401, which proves nothing, and asks again: it would do so for half a minute.
    let refused = agent.run_until(|agent, _| (agent.errors.len() == 3).then(|| agent.errors.clone()));
    assert_eq!(refused, Some(vec![401; 3]));
    assert_eq!(agent.client.relayed_addresses().count(), 0);
}

fn best_integrity(make: Make) -> IntegrityAlgorithm {
    match make {
        Make::Turnkeep => IntegrityAlgorithm::Sha256,
        Make::Coturn => IntegrityAlgorithm::Sha1,
    }
}

/// Data both ways with a peer of the same family.
fn relays(make: Make, from: IpAddr, by: By) {
    let Some(server) = Server::start(make) else { return };
    relays_with(&server, from, by, best_integrity(make));
}

fn relays_with(server: &Server, from: IpAddr, by: By, integrity: IntegrityAlgorithm) {
    let family = if from == V4 { AddressFamily::IPV4 } else { AddressFamily::IPV6 };
    let mut agent = Agent::new(server, from, by, &[family], integrity, Credential::of("matthew"));
    let [relayed] = agent.allocate(1)[..] else { panic!("no allocation: {:?}", agent.errors) };
    assert_eq!(relayed.ip(), from);
    agent.relay(relayed);
    assert_eq!(agent.integrity_seen, BTreeSet::from([format!("{integrity:?}")]));
}

/// How the client reaches the server.
#[derive(Clone, Copy, Debug)]
enum By {
    Udp,
    Tcp,
}

/// Its socket, connected to the server.
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Socket {
    fn connect(from: IpAddr, server: SocketAddr, by: By) -> Self {
        match by {
            By::Udp => {
                let socket = UdpSocket::bind((from, 0)).expect("a socket");
                socket.connect(server).expect("a loopback address");
                Self::Udp(socket)
            }
            By::Tcp => Self::Tcp(TcpStream::connect(server).expect("a connection")),
        }
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        let addresses = match self {
            Self::Udp(socket) => [socket.local_addr(), socket.peer_addr()],
            Self::Tcp(stream) => [stream.local_addr(), stream.peer_addr()],
        };
        addresses.map(|address| address.expect("it is connected"))
    }

    fn set_read_timeout(&self, timeout: Duration) {
        let set = match self {
            Self::Udp(socket) => socket.set_read_timeout(Some(timeout)),
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
        };
        set.expect("a positive time");
    }

    fn send(&mut self, data: &[u8]) {
        let sent = match self {
            Self::Udp(socket) => socket.send(data).map(|_| ()),
            Self::Tcp(stream) => stream.write_all(data),
        };
        sent.expect("sent");
    }

    /// What came, if anything did.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 4096];
        let len = match self {
            Self::Udp(socket) => socket.recv(&mut buffer).ok()?,
            Self::Tcp(stream) => stream.read(&mut buffer).ok()?,
        };
        buffer.truncate(len);
        Some(buffer)
    }
}

struct Peer {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Peer {
    fn new(ip: IpAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a positive time");
        let address = socket.local_addr().expect("an address");
        Self { socket, address }
    }
}

/// The client, its socket and its clock.
struct Agent {
    client: TurnClient,
    socket: Socket,
    started: Instant,
    /// Which integrity attributes its messages and the server's answers had.
    integrity_seen: BTreeSet<String>,
    /// The error codes that the server sent.
    errors: Vec<u16>,
}

impl Agent {
    fn new(
        server: &Server,
        from: IpAddr,
        by: By,
        families: &[AddressFamily],
        integrity: IntegrityAlgorithm,
        Credential { username, password }: Credential,
    ) -> Self {
        let mut config = TurnConfig::new(TurnCredentials::new(&username, &password));
        config.set_address_family(families[0]);
        families[1..].iter().for_each(|&family| config.add_address_family(family));
        config.set_supported_integrity(integrity);
        let socket = Socket::connect(from, server.address(from), by);
        socket.set_read_timeout(Duration::from_millis(20));
        let [own, server] = socket.addresses();
        let client = match by {
            By::Udp => TurnClientUdp::allocate(own, server, config).into(),
            By::Tcp => TurnClientTcp::allocate(own, server, config).into(),
        };
        Self { client, socket, started: Instant::now(), integrity_seen: BTreeSet::new(), errors: Vec::new() }
    }

    fn now(&self) -> ClientInstant {
        let elapsed = self.started.elapsed().as_nanos();
        ClientInstant::from_nanos(i64::try_from(elapsed).expect("a short test"))
    }

    /// The relayed addresses, once the server has settled the wish for `families` of them.
    fn allocate(&mut self, families: usize) -> Vec<SocketAddr> {
        let mut relayed = Vec::new();
        for _ in 0..families {
            match self.next_event() {
                Some(TurnEvent::AllocationCreated(_, address)) => relayed.push(address),
                Some(TurnEvent::AllocationCreateFailed(_)) => {}
                other => panic!("{other:?} instead of an allocation; errors: {:?}", self.errors),
            }
        }
        relayed.sort();
        relayed
    }

    /// Data both ways with a peer, by indications first and then by a channel.
    fn relay(&mut self, relayed: SocketAddr) {
        let peer = Peer::new(relayed.ip());
        self.permit(peer.address);
        self.exchange(&peer, relayed, "by indication");
        self.bind(peer.address);
        self.exchange(&peer, relayed, "by channel");
    }

    fn permit(&mut self, peer: SocketAddr) {
        self.client.create_permission(TransportType::Udp, peer.ip(), self.now()).expect("a request");
        let event = self.next_event();
        assert!(matches!(event, Some(TurnEvent::PermissionCreated(_, ip)) if ip == peer.ip()), "{event:?}");
    }

    fn bind(&mut self, peer: SocketAddr) {
        self.client.bind_channel(TransportType::Udp, peer, self.now()).expect("a request");
        let event = self.next_event();
        assert!(matches!(event, Some(TurnEvent::ChannelCreated(_, bound)) if bound == peer), "{event:?}");
    }

    /// A datagram to the peer and one back, at lengths with every padding; but this client does not know that
    /// ChannelData in a stream is padded (RFC 8656 §12.5).
    fn exchange(&mut self, peer: &Peer, relayed: SocketAddr, how: &str) {
        for filler in ["", ".", "..", "...", &"-".repeat(1202)] {
            let payload = format!("{how}{filler}");
            if how == "by channel" && matches!(self.socket, Socket::Tcp(_)) && payload.len() % 4 != 0 {
                continue;
            }
            let now = self.now();
            let message = self.client.send_to(TransportType::Udp, peer.address, payload.clone(), now).expect("a way");
            self.transmit(&message.expect("a message for the server").build().data);
            let mut buffer = [0; 2048];
            let (len, source) = peer.socket.recv_from(&mut buffer).expect("received by the peer");
            assert_eq!((&buffer[..len], source), (payload.as_bytes(), relayed));

            peer.socket.send_to(payload.as_bytes(), relayed).expect("sent by the peer");
            let (data, source) = self.next_data().expect("received by the client");
            assert_eq!((&data[..], source), (payload.as_bytes(), peer.address));
        }
    }

    fn next_event(&mut self) -> Option<TurnEvent> {
        self.run_until(|agent, _| agent.client.poll_event())
    }

    fn next_data(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        self.run_until(|_, data| data.map(|data| (data.data().to_vec(), data.peer)))
    }

    /// Lets client and server talk until `done` finds what it looks for, or the deadline has passed.
    fn run_until<T>(
        &mut self,
        mut done: impl FnMut(&mut Self, Option<TurnPeerData<Vec<u8>>>) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            self.client.poll(self.now());
            while let Some(transmit) = self.client.poll_transmit(self.now()) {
                self.transmit(&transmit.data);
            }
            let data = self.client.poll_recv(self.now());
            let data = data.or_else(|| self.receive());
            if let Some(found) = done(self, data) {
                return Some(found);
            }
        }
        None
    }

    fn transmit(&mut self, data: &[u8]) {
        self.note(data);
        self.socket.send(data);
    }

    fn receive(&mut self) -> Option<TurnPeerData<Vec<u8>>> {
        let data = self.socket.receive()?;
        self.note(&data);
        let (transport, from, to) = (self.client.transport(), self.client.remote_addr(), self.client.local_addr());
        match self.client.recv(Transmit { data, transport, from, to }, self.now()) {
            TurnRecvRet::PeerData(data) => Some(data),
            TurnRecvRet::Handled | TurnRecvRet::Ignored(_) => None,
            icmp @ TurnRecvRet::PeerIcmp { .. } => panic!("{icmp:?}"),
        }
    }

    /// Looks at the message that `data` begins with; answers come one at a time.
    fn note(&mut self, data: &[u8]) {
        let Ok(message) = Message::from_bytes(data) else { return };
        self.errors.extend(message.attribute::<ErrorCode>().map(|error| error.code()));
        let kinds = [
            (MessageIntegrity::TYPE, IntegrityAlgorithm::Sha1),
            (MessageIntegritySha256::TYPE, IntegrityAlgorithm::Sha256),
        ];
        for (kind, algorithm) in kinds {
            if message.has_attribute(kind) {
                self.integrity_seen.insert(format!("{algorithm:?}"));
            }
        }
    }
}
