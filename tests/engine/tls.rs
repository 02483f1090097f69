//! Clients that come by TLS: what is agreed on, with which certificate, and that messages pass as by TCP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::KeyPair;
use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedCipherSuite, SupportedProtocolVersion};
use turnkeep::engine::{
    ClientCertificates, EngineConfig, Proxies, StreamEnd, StreamKind, Tls, TlsProfile, WorkerCounters,
};
use turnkeep::relay::{CloseReason, Event, Transport};
use turnkeep::wire::channel_data::ChannelNumbers;
use turnkeep::wire::framer::{self, Frame};

use crate::harness::{Client, Connection, Relay, Talk, peer, start};
use crate::relaying::{carries_channels, carries_indications};
use crate::secured::{NAME, Pair, Secured, by_tls, listening, offering, trusting, wanting};

pub(crate) fn ended(counters: &[WorkerCounters], end: StreamEnd) -> u64 {
    counters.iter().map(|worker| worker.engine.streams.ended(end)).sum()
}

/// C-284, C-226, C-227: in both versions and families, in messages of every size.
#[test]
fn messages_pass_as_by_tcp() {
    let pair = Pair::new(NAME);
    let relay = start(&listening(StreamKind::Tls, offering(&pair)));
    for version in rustls::ALL_VERSIONS {
        for listener in [0, 1] {
            let config = wanting(&[&pair], &[version], &[]);
            let mut client = by_tls(relay.stream_address(listener), config);
            assert_eq!(client.mapped_address(), client.socket.local());
            carries_channels(client);
            carries_indications(by_tls(relay.stream_address(listener), wanting(&[&pair], &[version], &[])));
        }
    }
    let transports: Vec<Transport> = relay.events().iter().filter_map(opened_by).collect();
    assert_eq!(transports.len(), 8);
    for (transport, version) in transports.iter().zip([[0x0304; 4], [0x0303; 4]].as_flattened()) {
        let Transport::Tls(_, agreed) = transport else { panic!("{transport:?}") };
        assert_eq!(agreed.version, *version, "{agreed:?}");
        assert_ne!(agreed.cipher_suite, 0);
    }
}

fn opened_by((_, event): &(usize, Event)) -> Option<Transport> {
    match event {
        Event::Opened { allocation, .. } => Some(allocation.path.transport),
        _ => None,
    }
}

/// Many messages in a record, and records that cut messages anywhere.
#[test]
fn records_and_messages_need_not_agree() {
    let pair = Pair::new(NAME);
    let relay = start(&listening(StreamKind::Tls, offering(&pair)));
    let mut client = by_tls(relay.stream_address(0), trusting(&pair));
    let requests: Vec<Vec<u8>> = (0..500).map(|_| client.binding()).collect();
    client.say(&requests.concat());
    for request in &requests {
        assert_eq!(client.hear()[8..20], request[8..20]);
    }
    for size in [1, 3, 7, 19, 21] {
        requests[..20].concat().chunks(size).for_each(|piece| client.say(piece));
        for request in &requests[..20] {
            assert_eq!(client.hear()[8..20], request[8..20], "{size}");
        }
    }
    // A record can come in as many segments as it has bytes.
    let request = client.binding();
    {
        let mut stream = client.socket.stream.borrow_mut();
        let mut record = Vec::new();
        stream.conn.writer().write_all(&request).unwrap();
        stream.conn.write_tls(&mut record).unwrap();
        record.iter().for_each(|byte| stream.sock.write_all(&[*byte]).unwrap());
    }
    assert_eq!(client.hear()[8..20], request[8..20]);
}

/// Some clients take what a record holds for one message and lose what stands behind it: coturn's turnutils_uclient.
/// Whatever leaves together, each message has a record of its own.
#[test]
fn each_message_has_a_record_of_its_own() {
    const MESSAGES: usize = 150;
    let pair = Pair::new(NAME);
    let relay = start(&listening(StreamKind::Tls, offering(&pair)));
    for version in rustls::ALL_VERSIONS {
        let mut client = by_tls(relay.stream_address(0), wanting(&[&pair], &[version], &[]));
        let (relayed, peer) = (client.allocate(), peer(client.server));
        client.bind(0x4001, peer.local_addr().unwrap());
        // Requests in one piece are answered in one batch; what is relayed comes in as many as it likes, and all of it
        // fits into the buffer of a relay socket.
        let requests: Vec<Vec<u8>> = (0..MESSAGES).map(|_| client.binding()).collect();
        client.say(&requests.concat());
        for len in 0..MESSAGES {
            peer.send_to(&vec![7; len], relayed).unwrap();
        }
        let mut heard = [0; 2];
        while heard != [MESSAGES; 2] {
            let said = client.socket.next_record();
            // Nothing is said in a ticket.
            if !said.is_empty() {
                let whole = framer::frame(ChannelNumbers::Rfc5766, &said).expect("a message");
                assert_eq!(whole, Frame::Whole(said.len()), "{heard:?}");
                heard[usize::from(said[0] == 0x40)] += 1;
            }
        }
    }
}

/// RFC 7443; C-282, C-283, D-18.
#[test]
fn the_protocols_of_rfc_7443_are_agreed_on_and_others_refused() {
    let pair = Pair::new(NAME);
    let relay = start(&listening(StreamKind::Tls, offering(&pair)));
    let agreed = |alpn: &[&str]| {
        let config = wanting(&[&pair], rustls::ALL_VERSIONS, alpn);
        let secured = Secured::to(relay.stream_address(0), config, NAME)?;
        let protocol = secured.stream.borrow().conn.alpn_protocol().map(<[u8]>::to_vec);
        Ok::<_, std::io::Error>(protocol)
    };
    assert_eq!(agreed(&["stun.turn"]).unwrap().as_deref(), Some(&b"stun.turn"[..]));
    assert_eq!(agreed(&["stun.nat-discovery"]).unwrap().as_deref(), Some(&b"stun.nat-discovery"[..]));
    assert_eq!(agreed(&["h2", "stun.turn"]).unwrap().as_deref(), Some(&b"stun.turn"[..]));
    assert_eq!(agreed(&[]).unwrap(), None);
    let refused = agreed(&["h2", "http/1.1"]).unwrap_err().to_string();
    assert!(refused.to_lowercase().replace(['_', ' '], "").contains("noapplicationprotocol"), "{refused}");
    relay.until(|counters| ended(counters, StreamEnd::HandshakeFailed) == 1);
}

/// C-279, RFC 8489 §6.2.3: the suite that every server must have, in TLS 1.2, where the key is of the kind that it is
/// for; and TLS 1.3.
#[test]
fn the_mandatory_suite_is_there_for_an_rsa_key() {
    // It takes long to make one, so it was made once.
    let pair = Pair::of(NAME, KeyPair::from_pem(include_str!("rsa_for_tests.pem")).unwrap());
    let relay = start(&listening(StreamKind::Tls, offering(&pair)));
    let (rsa, of_1_3) =
        (ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, ring::cipher_suite::TLS13_AES_128_GCM_SHA256);
    for (suite, version, expected) in [(rsa, &TLS12, (0x0303, 0xC02F)), (of_1_3, &TLS13, (0x0304, 0x1301))] {
        let mut client = by_tls(relay.stream_address(0), knowing(suite, version, &pair));
        client.allocate();
        let agreed = relay.events().iter().filter_map(opened_by).next_back();
        let Some(Transport::Tls(_, agreed)) = agreed else { panic!("{agreed:?}") };
        assert_eq!((agreed.version, agreed.cipher_suite), expected);
    }
}

/// What a client of one version and one suite wants.
fn knowing(suite: SupportedCipherSuite, version: &'static SupportedProtocolVersion, trusted: &Pair) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der()).unwrap();
    let provider = CryptoProvider { cipher_suites: vec![suite], ..ring::default_provider() };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[version]).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// D-17, C-280, C-281, A-156.
#[test]
fn old_versions_and_weak_suites_are_refused() {
    let pair = Pair::new(NAME);
    let relay = start(&listening(StreamKind::Tls, offering(&pair)));
    // A ClientHello of TLS 1.1, and one of TLS 1.2 whose only suite is TLS_RSA_WITH_AES_128_CBC_SHA.
    for (version, suite) in [(0x02_u8, [0xC0, 0x2F]), (0x03, [0x00, 0x2F])] {
        let body = [&[0x03, version][..], &[7; 32], &[0, 0, 2], &suite, &[1, 0]].concat();
        let body_len = u8::try_from(body.len()).unwrap();
        let hello = [&[22, 3, 1, 0, body_len + 4, 1, 0, 0, body_len][..], &body].concat();
        let client = Connection::to(relay.stream_address(0));
        (&client.socket).write_all(&hello).unwrap();
        let mut alert = [0; 7];
        (&client.socket).read_exact(&mut alert).unwrap();
        // A fatal alert: handshake_failure or protocol_version.
        assert!(alert[0] == 21 && alert[5] == 2 && [40, 70].contains(&alert[6]), "{alert:?}");
        assert!(client.is_closed());
    }
}

#[test]
fn the_aes256_profile_has_nothing_else() {
    let pair = Pair::new(NAME);
    let tls = Tls::new(TlsProfile::Aes256, &ClientCertificates::None, vec![pair.shown_for(NAME)]).unwrap();
    let relay = start(&listening(StreamKind::Tls, tls));
    for version in rustls::ALL_VERSIONS {
        let client = by_tls(relay.stream_address(0), wanting(&[&pair], &[version], &[]));
        let suite = client.socket.stream.borrow().conn.negotiated_cipher_suite().unwrap().suite();
        assert!(format!("{suite:?}").contains("AES_256_GCM"), "{suite:?}");
    }
}

/// Exactly, by a wildcard, or the first for everybody else.
#[test]
fn the_certificate_is_that_of_the_name() {
    let [first, exact, wild] = ["first.example.org", "a.example.net", "*.example.net"].map(Pair::new);
    let shown = [("first.example.org", &first), ("*.example.net", &wild), ("a.example.net", &exact)];
    let certificates = shown.iter().map(|(name, pair)| pair.shown_for(name)).collect();
    let tls = Tls::new(TlsProfile::Modern, &ClientCertificates::None, certificates).unwrap();
    let relay = start(&listening(StreamKind::Tls, tls));
    let shown_for = |name: &str| {
        let config = wanting(&[&first, &exact, &wild], rustls::ALL_VERSIONS, &[]);
        let secured = Secured::to(relay.stream_address(0), config, name);
        secured.map(|secured| secured.stream.borrow().conn.peer_certificates().unwrap()[0].clone().into_owned())
    };
    assert_eq!(shown_for("first.example.org").unwrap(), first.der());
    assert_eq!(shown_for("a.example.net").unwrap(), exact.der());
    assert_eq!(shown_for("b.example.net").unwrap(), wild.der());
    let refused = shown_for("else.example.com").unwrap_err().to_string();
    assert!(refused.contains("not valid for name"), "{refused}");
}

/// who is connected stays, who comes sees the new one.
#[test]
fn certificates_are_swapped_under_live_allocations() {
    let [old, new] = [NAME, NAME].map(Pair::new);
    let tls = offering(&old);
    let relay = start(&listening(StreamKind::Tls, tls.clone()));
    let mut clients: Vec<_> = (0..200).map(|_| by_tls(relay.stream_address(0), trusting(&old))).collect();
    for client in &mut clients {
        client.allocate();
    }
    tls.replace(vec![new.shown_for(NAME)]);
    assert!(Secured::to(relay.stream_address(0), trusting(&old), NAME).is_err());
    by_tls(relay.stream_address(0), trusting(&new)).allocate();
    assert!(clients.iter_mut().all(|client| client.refresh(600) == 0));
}

#[test]
fn clients_show_certificates_where_they_must() {
    let [server, known, unknown] = [NAME, "clinic.example.org", "elsewhere.example.org"].map(Pair::new);
    let required = ClientCertificates::Required(vec![known.der()]);
    let tls = Tls::new(TlsProfile::Modern, &required, vec![server.shown_for(NAME)]).unwrap();
    let relay = start(&listening(StreamKind::Tls, tls));
    let try_with = |own: Option<&Pair>| {
        let config;
        if let Some(pair) = own {
            let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
            let mut roots = RootCertStore::empty();
            roots.add(server.der()).unwrap();
            let builder = builder.with_protocol_versions(&[&TLS12]).unwrap();
            let builder = builder.with_root_certificates(roots);
            config = builder.with_client_auth_cert(vec![pair.der()], pair.key_der()).unwrap();
        } else {
            config = wanting(&[&server], &[&TLS12], &[]);
        }
        Secured::to(relay.stream_address(0), config, NAME)
    };
    let mut client = Client::with("alice", relay.stream_address(0), try_with(Some(&known)).expect("a known client"));
    client.allocate();
    assert!(try_with(Some(&unknown)).is_err() && try_with(None).is_err());
}

/// libnice speaks plain TCP wherever it is sent.
#[test]
fn the_first_byte_tells_what_is_spoken_where_both_may_be() {
    let pair = Pair::new(NAME);
    let relay = start(&listening(StreamKind::Auto, offering(&pair)));
    by_tls(relay.stream_address(0), trusting(&pair)).allocate();
    Client::by_tcp(relay.stream_address(0)).allocate();
    let garbage = Connection::to(relay.stream_address(0));
    (&garbage.socket).write_all(b"SSH-2.0-x\r\n").unwrap();
    assert!(garbage.is_closed());

    let relay = start(&listening(StreamKind::Tls, offering(&pair)));
    let mut plain = Client::by_tcp(relay.stream_address(0));
    let request = plain.binding();
    plain.say(&request);
    assert!(plain.socket.is_closed());
    relay.until(|counters| ended(counters, StreamEnd::NotTls) == 1);
}

/// D-11, D-12: as by TCP.
#[test]
fn what_ends_a_connection_ends_its_allocation() {
    let pair = Pair::new(NAME);
    let relay = start(&listening(StreamKind::Tls, offering(&pair)));
    let mut garbled = by_tls(relay.stream_address(0), trusting(&pair));
    garbled.allocate();
    garbled.say(b"GARBAGE? \x80");
    let mut gone = by_tls(relay.stream_address(0), trusting(&pair));
    gone.allocate();
    {
        let mut stream = gone.socket.stream.borrow_mut();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    }
    let mut broken = by_tls(relay.stream_address(0), trusting(&pair));
    broken.allocate();
    broken.socket.stream.borrow_mut().sock.write_all(b"\x17\x03\x03\0\x20not what was agreed on, for sure").unwrap();
    garbled.say(b"\x80");
    for client in [&gone, &broken] {
        assert!(client.socket.is_closed());
    }
    relay.until(|counters| ended(counters, StreamEnd::ClosedByClient) == 1);
    relay.until(|counters| ended(counters, StreamEnd::TlsBroken) == 1);
    let closed = |(_, event): &(usize, Event)| matches!(event, Event::Closed { reason: CloseReason::StreamClosed, .. });
    relay.until(|_| relay.events().iter().filter(|event| closed(event)).count() >= 2);
}

/// A-071 by TLS: what is dropped are messages, and records go on.
#[test]
fn a_slow_reader_loses_whole_messages() {
    let pair = Pair::new(NAME);
    let relay = start(&listening(StreamKind::Tls, offering(&pair)));
    let mut slow = by_tls(relay.stream_address(0), trusting(&pair));
    let flood = peer(slow.server);
    let relayed = slow.allocate();
    slow.bind(0x4001, flood.local_addr().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    while relay.engine.counters()[0].engine.streams.dropped < 100 {
        assert!(Instant::now() < deadline, "nothing is dropped");
        for _ in 0..100 {
            flood.send_to(&[7; 1201], relayed).unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    flood.send_to(b"after", relayed).unwrap();
    loop {
        let (number, payload) = slow.hear_channel();
        assert_eq!(number, 0x4001);
        if payload == b"after" {
            break;
        }
        assert_eq!(payload, [7; 1201]);
        // The last one may have been among the dropped.
        flood.send_to(b"after", relayed).unwrap();
    }
}

fn behind_a_proxy(kind: StreamKind, pair: &Pair) -> Relay {
    let proxies = Proxies(vec!["127.0.0.1/32".parse().unwrap()]);
    start(&EngineConfig { proxies, ..listening(kind, offering(pair)) })
}

/// The PROXY protocol, versions 1 and 2, on TCP and before TLS.
#[test]
fn a_proxy_says_who_the_client_is() {
    const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.9 40000 443\r\n";
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xC0\0\x02\x01\xC6\x33\x64\x09\x9C\x40\x01\xBB";
    let client_address: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    let pair = Pair::new(NAME);
    let relay = behind_a_proxy(StreamKind::Auto, &pair);
    for header in [V1, V2] {
        let plain = Connection::to(relay.stream_address(0));
        // Cut anywhere, and with the first message right behind it.
        (&plain.socket).write_all(&header[..9]).unwrap();
        let mut client = Client::with("alice", relay.stream_address(0), plain);
        let request = client.binding();
        client.say(&[&header[9..], &request].concat());
        client.hear();
        assert_eq!(client.mapped_address(), client_address);
        client.allocate();
        drop(client);
        relay.until(|counters| counters[0].streams_open == 0);

        let mut socket = TcpStream::connect(relay.stream_address(0)).unwrap();
        socket.write_all(header).unwrap();
        let secured = Secured::over(socket, trusting(&pair), NAME).expect("a handshake");
        let mut client = Client::with("alice", relay.stream_address(0), secured);
        assert_eq!(client.mapped_address(), client_address);
        client.allocate();
        drop(client);
        relay.until(|counters| counters[0].streams_open == 0);
    }
}

///
#[test]
fn a_proxy_must_say_it_and_nobody_else_is_believed() {
    let pair = Pair::new(NAME);
    let relay = behind_a_proxy(StreamKind::Auto, &pair);
    let mut silent = Client::by_tcp(relay.stream_address(0));
    let request = silent.binding();
    silent.say(&request);
    assert!(silent.socket.is_closed());
    relay.until(|counters| ended(counters, StreamEnd::BadProxyHeader) == 1);
    // By IPv6 nobody is a proxy.
    let stranger = Connection::to(relay.stream_address(1));
    (&stranger.socket).write_all(b"PROXY TCP4 192.0.2.1 198.51.100.9 40000 443\r\n").unwrap();
    assert!(stranger.is_closed());
    Client::by_tcp(relay.stream_address(1)).allocate();
}
