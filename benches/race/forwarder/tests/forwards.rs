//! The forwarder forwards every packet whole, in each of its ways, merged or not: a floor that loses some is none.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use turnkeep::wire::attribute::{ChannelNumberAttribute, Lifetime, XorPeerAddress, XorRelayedAddress};
use turnkeep::wire::{
    Class, Encode, Integrity, IntegrityKey, LongTermKey, Message, MessageWriter, Method, PasswordAlgorithm,
    TransactionId,
};

const WAYS: [&[&str]; 11] = [
    &["single"],
    &["single", "50"],
    &["batched"],
    &["batched", "50"],
    &["batched", "50", "switch"],
    &["merged"],
    &["merged", "50"],
    &["connected"],
    &["connected", "50"],
    &["uring"],
    &["uring", "50"],
];
const CHANNEL: u16 = 0x4001;
/// Bytes of a packet.
const PAYLOAD: usize = 1000;
/// Packets sent at once; the last is shorter.
const BURST: usize = 8;

#[test]
fn packets_go_up_and_down() {
    for way in WAYS {
        let server = Server::start(way);
        let (client, peer) = (Client::allocate(server.address), socket());
        client.bind(peer.local_addr().unwrap());
        for merged in [false, true] {
            send(&client.socket, server.address, &framed(&payloads()), merged);
            assert_eq!(received(&peer), payloads(), "{way:?} up, merged {merged}");
            send(&peer, client.relayed, &payloads(), merged);
            assert_eq!(received(&client.socket), framed(&payloads()), "{way:?} down, merged {merged}");
        }
    }
}

#[test]
fn two_clients_reach_each_other() {
    for way in WAYS {
        let server = Server::start(way);
        let [one, other] = [(); 2].map(|()| Client::allocate(server.address));
        one.bind(other.relayed);
        other.bind(one.relayed);
        send(&one.socket, server.address, &framed(&payloads()), false);
        assert_eq!(received(&other.socket), framed(&payloads()), "{way:?}");
    }
}

#[test]
fn a_freed_allocation_forwards_no_more() {
    for way in [["batched"], ["connected"], ["uring"]] {
        let server = Server::start(&way);
        let (client, peer) = (Client::allocate(server.address), socket());
        client.bind(peer.local_addr().unwrap());
        client.request(Method::REFRESH, |writer| writer.put(&Lifetime(0)).unwrap());
        send(&client.socket, server.address, &framed(&payloads()), false);
        assert_eq!(received(&peer), Vec::<Vec<u8>>::new());
        let again = Client::allocate(server.address);
        again.bind(peer.local_addr().unwrap());
        send(&peer, again.relayed, &payloads(), false);
        assert_eq!(received(&again.socket), framed(&payloads()), "{way:?}");
    }
}

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(way: &[&str]) -> Self {
        // Free now, and taken again by nobody else in this short time.
        let address = socket().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_race-forwarder"));
        command.args([&address.to_string(), "127.0.0.1", "realm", "user", "password"]).args(way);
        Self { process: command.spawn().unwrap(), address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    relayed: SocketAddr,
}

impl Client {
    fn allocate(server: SocketAddr) -> Self {
        let mut client = Self { socket: socket(), server, relayed: server };
        let answer = client.request(Method::ALLOCATE, |_| {});
        client.relayed = Message::parse(&answer).unwrap().get::<XorRelayedAddress>().unwrap().unwrap().0;
        client
    }

    fn bind(&self, peer: SocketAddr) {
        self.request(Method::CHANNEL_BIND, |writer| {
            put(writer, &ChannelNumberAttribute(CHANNEL));
            put(writer, &XorPeerAddress(peer));
        });
    }

    /// The success response, whose integrity is right.
    fn request(&self, method: Method, fill: impl Fn(&mut MessageWriter<'_>)) -> Vec<u8> {
        let key = LongTermKey::derive(PasswordAlgorithm::Md5, b"user", b"realm", b"password");
        let key = IntegrityKey::new(Integrity::Sha1, &key);
        let mut out = [0; 512];
        let mut writer = MessageWriter::new(&mut out, method, Class::Request, TransactionId([7; 12])).unwrap();
        fill(&mut writer);
        writer.integrity(&key).unwrap();
        let len = writer.finish();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            // Until the server listens, the kernel refuses.
            let _ = self.socket.send_to(&out[..len], self.server);
            if let Some(answer) = receive(&self.socket) {
                let message = Message::parse(&answer).unwrap();
                assert_eq!((message.method(), message.class()), (method, Class::Success));
                assert_eq!(message.verify_integrity(&key), Ok(()));
                return answer;
            }
        }
        panic!("no answer to {method}");
    }
}

fn put(writer: &mut MessageWriter<'_>, attribute: &impl Encode) {
    writer.put(attribute).unwrap();
}

fn payloads() -> Vec<Vec<u8>> {
    (0..BURST).map(|index| vec![index as u8; if index + 1 == BURST { PAYLOAD / 2 } else { PAYLOAD }]).collect()
}

fn framed(payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let header = |len: usize| [CHANNEL.to_be_bytes(), u16::try_from(len).unwrap().to_be_bytes()].concat();
    payloads.iter().map(|payload| [header(payload.len()), payload.clone()].concat()).collect()
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

/// Sends one by one, or with one call that the kernel splits (UDP_SEGMENT).
fn send(from: &UdpSocket, to: SocketAddr, datagrams: &[Vec<u8>], merged: bool) {
    if !merged {
        datagrams.iter().for_each(|datagram| assert_eq!(from.send_to(datagram, to).unwrap(), datagram.len()));
        return;
    }
    segment(from, i32::try_from(datagrams[0].len()).unwrap());
    let all = datagrams.concat();
    assert_eq!(from.send_to(&all, to).unwrap(), all.len());
    segment(from, 0);
}

fn segment(socket: &UdpSocket, len: i32) {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel reads one integer.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, (&raw const len).cast(), size)
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// What comes until nothing comes any more, or all has.
fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| receive(socket)).take(BURST).collect()
}

fn receive(socket: &UdpSocket) -> Option<Vec<u8>> {
    let mut buffer = [0; 2048];
    match socket.recv(&mut buffer) {
        Ok(len) => Some(buffer[..len].to_vec()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(error) => panic!("{error}"),
    }
}
