//! DSCP, ECN and DF are carried across (RFC 8656 §14).

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use socket2::{Domain, MaybeUninitSlice, MsgHdrMut, Protocol, SockRef, Socket, Type};
use turnkeep::engine::{Dscp, EngineConfig, RelayConfig};
use turnkeep::wire::attribute::DontFragment;

use crate::harness::{Client, listening, loopback, loopback_with_tcp, next, peer, start};

/// EF with ECT(0), LE with CE, AF41 with ECT(1), and nothing.
const MARKS: [u8; 4] = [46 << 2 | 0b10, 1 << 2 | 0b11, 34 << 2 | 0b01, 0];

/// C-231, C-232.
#[test]
fn dscp_and_ecn_are_copied_both_ways() {
    let relay = start(&loopback());
    for listener in [0, 1] {
        for (sent, received) in round_trips(relay.address(listener)) {
            assert_eq!(received, sent);
        }
    }
}

/// C-231.
#[test]
fn a_fixed_dscp_still_carries_ecn() {
    let relay = start(&EngineConfig { dscp: Dscp::Fixed(26), ..loopback() });
    for listener in [0, 1] {
        for (sent, received) in round_trips(relay.address(listener)) {
            assert_eq!(received, 26 << 2 | sent & 0b11);
        }
    }
}

/// RFC 8656 §15 and §16; C-235, C-236: a connection has one mark, and packets to peers have that one, without ECN.
#[test]
fn marks_end_where_a_stream_begins() {
    for (dscp, expected) in [(Dscp::Copy, 0), (Dscp::Fixed(26), 26 << 2)] {
        let relay = start(&EngineConfig { dscp, ..loopback_with_tcp() });
        let mut client = Client::by_tcp(relay.stream_address(0));
        let (relayed, peer) = (client.allocate(), peer(client.server));
        client.bind(0x4001, peer.local_addr().unwrap());
        client.send_channel(0x4001, b"up");
        assert_eq!(marks_of_next(&peer), expected);
        for tos in MARKS {
            mark(&peer, tos);
            peer.send_to(b"down", relayed).unwrap();
            assert_eq!(client.hear_channel(), (0x4001, b"down".to_vec()));
        }
    }
}

/// What was sent and received, with a channel and with indications, from the client and to it.
fn round_trips(server: SocketAddr) -> Vec<(u8, u8)> {
    let (mut client, peer) = (Client::of(server), peer(server));
    let relayed = client.allocate();
    let peer_address = peer.local_addr().unwrap();
    let mut trips = Vec::new();
    for channel in [false, true] {
        if channel {
            client.bind(0x4001, peer_address);
        } else {
            client.permit(peer_address);
        }
        for tos in MARKS {
            mark(&client.socket, tos);
            if channel {
                client.send_channel(0x4001, b"up");
            } else {
                client.send(peer_address, b"up", &[]);
            }
            trips.push((tos, marks_of_next(&peer)));
            mark(&peer, tos);
            peer.send_to(b"down", relayed).unwrap();
            trips.push((tos, marks_of_next(&client.socket)));
        }
    }
    trips
}

/// C-188, C-233.
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn dont_fragment_sets_df_on_that_packet_alone() {
    // An address of its own: the sniffer hears what comes from there, and nothing of the other tests.
    let own = Ipv4Addr::new(127, 0, 7, 7);
    let relay_v4 = Some(RelayConfig::at(own));
    let relay = start(&EngineConfig { relay_v4, ..listening(&["127.0.7.7:0"]) });
    let sniffer = match Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: to see the DF bit takes a raw socket, and with it CAP_NET_RAW");
            return;
        }
        sniffer => sniffer.unwrap(),
    };
    sniffer.connect(&SocketAddr::new(own.into(), 0).into()).unwrap();
    let mut client = Client::of(relay.address(0));
    let peer = peer(client.server);
    let (relayed, peer_address) = (client.allocate(), peer.local_addr().unwrap());
    client.permit(peer_address);
    for dont_fragment in [false, true, true, false] {
        match dont_fragment {
            true => client.send(peer_address, b"probe", &[&DontFragment]),
            false => client.send(peer_address, b"probe", &[]),
        }
        assert_eq!(next(&peer), (b"probe".to_vec(), relayed));
        assert_eq!(df_of_next(&sniffer, relayed.port(), peer_address.port()), dont_fragment);
    }
    // To the client as well: a Data indication may be fragmented.
    peer.send_to(b"back", relayed).unwrap();
    client.hear_data();
    assert!(!df_of_next(&sniffer, client.server.port(), client.socket.local_addr().unwrap().port()));
}

/// C-238: where it is heeded, for clients that come by TCP, see path_mtu.rs.
#[test]
fn dont_fragment_is_ignored_over_ipv6() {
    let relay = start(&loopback());
    let mut client = Client::of(relay.address(1));
    let peer = peer(client.server);
    let (relayed, peer_address) = (client.allocate(), peer.local_addr().unwrap());
    client.permit(peer_address);
    client.send(peer_address, b"probe", &[&DontFragment]);
    assert_eq!(next(&peer), (b"probe".to_vec(), relayed));
}

fn mark(socket: &UdpSocket, tos: u8) {
    let socket = SockRef::from(socket);
    match socket.domain().unwrap() {
        Domain::IPV4 => socket.set_tos_v4(tos.into()).unwrap(),
        _ => socket.set_tclass_v6(tos.into()).unwrap(),
    }
}

/// The TOS byte or traffic class of the next datagram.
fn marks_of_next(socket: &UdpSocket) -> u8 {
    let socket = SockRef::from(socket);
    // The kernel tells the marks of what is already waiting, too.
    match socket.domain().unwrap() {
        Domain::IPV4 => socket.set_recv_tos_v4(true).unwrap(),
        _ => socket.set_recv_tclass_v6(true).unwrap(),
    }
    let mut payload = [MaybeUninit::uninit(); 2048];
    let mut control = [MaybeUninit::new(0u8); 64];
    let mut payload = [MaybeUninitSlice::new(&mut payload)];
    let mut message = MsgHdrMut::new().with_buffers(&mut payload).with_control(&mut control);
    socket.recvmsg(&mut message, 0).expect("a datagram within the time");
    let len = message.control_len();
    assert!(len > 16, "no control message");
    // SAFETY: all of it was initialised above, and the kernel only writes over it.
    let control = control.map(|byte| unsafe { byte.assume_init() });
    // One message: length, level and type in 16 bytes, then the value, a byte (IPv4) or an int (IPv6).
    control[16]
}

/// Whether DF is set on the next datagram between these ports, as the wire shows it.
fn df_of_next(sniffer: &Socket, from: u16, to: u16) -> bool {
    sniffer.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let mut packet = vec![0; 65_536];
    loop {
        let len = io::Read::read(&mut &*sniffer, &mut packet).expect("a packet within the time");
        let header = usize::from(packet[0] & 0x0F) * 4;
        let udp = &packet[header..len];
        if (u16::from_be_bytes([udp[0], udp[1]]), u16::from_be_bytes([udp[2], udp[3]])) == (from, to) {
            return packet[6] & 0x40 != 0;
        }
    }
}
