//! Clients whose datagrams come by way of a proxy, which puts a PROXY header (version 2) in front.

use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};

use turnkeep::engine::{EngineConfig, Proxies};
use turnkeep::relay::{DropReason, Event};

use crate::harness::{Client, Relay, Talk, is_quiet, loopback, next, peer, start};

/// What a proxy tells of a client, by datagrams over IPv4.
fn header(client: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(client) = client else { panic!("an IPv4 one") };
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0C";
    [&start[..], &client.ip().octets(), &[198, 51, 100, 9], &client.port().to_be_bytes(), &[0x0D, 0x96]].concat()
}

/// A client behind a proxy, whose socket this is.
struct ByProxy {
    proxy: UdpSocket,
    client: SocketAddr,
    /// Whether the header goes with the next datagram.
    tells: Cell<bool>,
    tells_always: bool,
}

impl ByProxy {
    fn new(server: SocketAddr, client: &str, tells_always: bool) -> Self {
        Self { proxy: peer(server), client: client.parse().unwrap(), tells: Cell::new(true), tells_always }
    }
}

impl Talk for ByProxy {
    const PADS: bool = false;

    fn local(&self) -> SocketAddr {
        self.client
    }

    fn say(&self, server: SocketAddr, bytes: &[u8]) {
        let header = if self.tells.replace(self.tells_always) { header(self.client) } else { Vec::new() };
        self.proxy.send_to(&[&header, bytes].concat(), server).unwrap();
    }

    fn hear(&self, server: SocketAddr) -> Vec<u8> {
        self.proxy.hear(server)
    }
}

/// 127.0.0.1 is a proxy, [::1] is none.
fn behind_a_proxy() -> Relay {
    let datagram_proxies = Proxies(vec!["127.0.0.1/32".parse().unwrap()]);
    start(&EngineConfig { datagram_proxies, ..loopback() })
}

#[test]
fn a_proxy_tells_with_each_datagram_or_the_first_who_the_client_is() {
    let relay = behind_a_proxy();
    let server = relay.address(0);
    for (name, tells_always) in [("192.0.2.1:40000", true), ("192.0.2.1:40001", false)] {
        let mut client = Client::with("alice", server, ByProxy::new(server, name, tells_always));
        assert_eq!(client.mapped_address(), client.socket.client);
        let (relayed, peer) = (client.allocate(), peer(server));
        client.bind(0x4001, peer.local_addr().unwrap());
        for payload in [&b""[..], b"media", &[7; 1200]] {
            client.send_channel(0x4001, payload);
            assert_eq!(next(&peer), (payload.to_vec(), relayed));
            peer.send_to(payload, relayed).unwrap();
            assert_eq!(client.hear_channel(), (0x4001, payload.to_vec()));
        }
    }
    let opened = |(_, event): (usize, Event)| match event {
        Event::Opened { allocation, .. } => Some(allocation.path.client.0),
        _ => None,
    };
    let clients: Vec<SocketAddr> = relay.events().into_iter().filter_map(opened).collect();
    assert_eq!(clients, ["192.0.2.1:40000", "192.0.2.1:40001"].map(|text| text.parse().unwrap()));
}

/// Cloudflare's Spectrum says it in a datagram of its own.
#[test]
fn a_header_can_stand_alone() {
    let relay = behind_a_proxy();
    let server = relay.address(0);
    let by = ByProxy::new(server, "192.0.2.1:40000", false);
    by.say(server, b"");
    let mut client = Client::with("alice", server, by);
    assert_eq!(client.mapped_address(), client.socket.client);
    assert_eq!(relay.engine.counters()[0].engine.unintroduced, 0);
}

/// Answers go to where the client was heard from last.
#[test]
fn a_client_can_come_by_another_port_of_its_proxy() {
    let relay = behind_a_proxy();
    let server = relay.address(0);
    let mut client = Client::with("alice", server, ByProxy::new(server, "192.0.2.1:40000", true));
    let (relayed, peer) = (client.allocate(), peer(server));
    client.permit(peer.local_addr().unwrap());
    let before = std::mem::replace(&mut client.socket.proxy, crate::harness::peer(server));
    assert_eq!(client.refresh(600), 0);
    peer.send_to(b"media", relayed).unwrap();
    assert_eq!(client.hear_data().1, b"media");
    assert!(is_quiet(&before));
}

/// what is not from a proxy is noise; a proxy that says nothing is not answered.
#[test]
fn a_proxy_must_say_it_and_nobody_else_is_believed() {
    let relay = behind_a_proxy();
    let mut silent = Client::of(relay.address(0));
    let request = silent.binding();
    silent.say(&request);
    relay.until(|counters| counters[0].engine.unintroduced == 1);
    let mut stranger = Client::of(relay.address(1));
    let request = stranger.binding();
    stranger.say(&[&header("192.0.2.1:40000".parse().unwrap())[..], &request].concat());
    relay.until(|counters| counters[0].relay.dropped(DropReason::NotTurn) == 1);
    assert_eq!(stranger.mapped_address(), stranger.socket.local());
    assert!(is_quiet(&silent.socket) && is_quiet(&stranger.socket));

    let relay = start(&loopback());
    let client = ByProxy::new(relay.address(0), "192.0.2.1:40000", true);
    client.say(relay.address(0), &request);
    relay.until(|counters| counters[0].relay.dropped(DropReason::NotTurn) == 1);
    assert_eq!(relay.engine.counters()[0].engine.unintroduced, 0);
}
