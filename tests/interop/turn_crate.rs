//! The client of the `turn` crate (webrtc-rs): MD5 and SHA-1 credentials, a permission and a Send indication first, a
//! channel afterwards. It asks for no address family, so its relayed address is an IPv4 one (RFC 8656 §7.2) wherever it
//! comes from.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

use super::against_each_server;
use super::support::credential::Credential;
use super::support::server::{Make, Server, V4, V6};

against_each_server!(to_a_peer, to_a_peer_from_ipv6, to_each_other, wrong_password);

/// Lengths in bytes: none to pad, each padding, and what a video packet has.
const LENGTHS: [usize; 6] = [4, 1, 2, 3, 172, 1200];
const ROUNDS: usize = 20;

fn to_a_peer(make: Make) {
    with_server(make, |server| relays_to_a_peer(server, V4));
}

fn to_a_peer_from_ipv6(make: Make) {
    with_server(make, |server| relays_to_a_peer(server, V6));
}

async fn relays_to_a_peer(server: Server, from: IpAddr) {
    let client = connect(&server, from, Credential::of("webrtc-rs")).await;
    let relay = client.allocate().await.expect("an allocation");
    let relayed = relay.local_addr().expect("a relayed address");
    assert!(relayed.is_ipv4(), "{relayed}");
    let peer = UdpSocket::bind((V4, 0)).await.expect("a socket");
    let peer_address = peer.local_addr().expect("an address");

    let mut buffer = [0; 2048];
    for payload in payloads() {
        relay.send_to(&payload, peer_address).await.expect("sent to the relay");
        let (len, source) = peer.recv_from(&mut buffer).await.expect("received by the peer");
        assert_eq!((&buffer[..len], source), (&payload[..], relayed));

        let answer: Vec<u8> = payload.iter().rev().map(|byte| !byte).collect();
        peer.send_to(&answer, relayed).await.expect("sent to the relayed address");
        let (len, source) = relay.recv_from(&mut buffer).await.expect("received by the client");
        assert_eq!((&buffer[..len], source), (&answer[..], peer_address));
    }
    relay.close().await.expect("a Refresh that ends the allocation");
}

/// Two allocations on one server: what both ends of a call have that may use nothing but the relay.
fn to_each_other(make: Make) {
    with_server(make, |server| async move {
        let clients =
            [connect(&server, V4, Credential::of("alice")).await, connect(&server, V4, Credential::of("bob")).await];
        let alice = clients[0].allocate().await.expect("an allocation for Alice");
        let bob = clients[1].allocate().await.expect("an allocation for Bob");
        let address = |relay: &dyn Conn| relay.local_addr().expect("a relayed address");
        let (to_alice, to_bob) = (address(&alice), address(&bob));

        // Each hears the other once it has a permission for the other's address, which sending gives it.
        alice.send_to(KNOCK, to_bob).await.expect("sent by Alice");
        bob.send_to(KNOCK, to_alice).await.expect("sent by Bob");
        for payload in payloads() {
            alice.send_to(&payload, to_bob).await.expect("sent by Alice");
            assert_eq!(receive(&bob).await, (payload.clone(), to_alice));
            bob.send_to(&payload, to_alice).await.expect("sent by Bob");
            assert_eq!(receive(&alice).await, (payload, to_bob));
        }
    });
}

const KNOCK: &[u8] = b"knock";

/// The next datagram that is not a knock.
async fn receive(relay: &impl Conn) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    loop {
        let (len, source) = relay.recv_from(&mut buffer).await.expect("a datagram");
        if buffer[..len] != *KNOCK {
            return (buffer[..len].to_vec(), source);
        }
    }
}

fn wrong_password(make: Make) {
    with_server(make, |server| async move {
        let client = connect(&server, V4, Credential::forged("webrtc-rs")).await;
        let error = client.allocate().await.err().expect("no allocation with a forged password");
        assert!(error.to_string().contains("401"), "{error}");
    });
}

async fn connect(server: &Server, from: IpAddr, Credential { username, password }: Credential) -> Client {
    let socket = UdpSocket::bind((from, 0)).await.expect("a socket");
    let address = server.address(from).to_string();
    let client = Client::new(ClientConfig {
        stun_serv_addr: address.clone(),
        turn_serv_addr: address,
        username,
        password,
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    });
    let client = client.await.expect("a client");
    client.listen().await.expect("a listening client");
    client
}

fn payloads() -> impl Iterator<Item = Vec<u8>> {
    let byte = |round: usize, at: usize| u8::try_from((round * 31 + at * 7) % 256).expect("below 256");
    (0..ROUNDS).map(move |round| (0..LENGTHS[round % LENGTHS.len()]).map(|at| byte(round, at)).collect())
}

/// Runs the test with a deadline, if there is a server.
fn with_server<F: Future<Output = ()>>(make: Make, test: impl FnOnce(Server) -> F) {
    let Some(server) = Server::start(make) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), test(server)).await });
    assert!(done.is_ok(), "not done in 30 s");
}
