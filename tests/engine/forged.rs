//! Records that no TLS library sends: sound ones, sealed with the connection's own keys, around what does not belong
//! there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConnection, ConnectionTrafficSecrets};
use turnkeep::engine::{StreamEnd, StreamKind};

use crate::harness::{next, peer, start};
use crate::secured::{NAME, PATIENCE, Pair, by_tls, listening, offering, trusting, wanting};
use crate::tls::ended;

/// A TLS 1.3 client whose records we make.
struct Forger {
    socket: TcpStream,
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// The header of a KeyUpdate without its body (RFC 8446 §4.6.3).
const BEGINNING_OF_KEY_UPDATE: &[u8] = &[24, 0, 0, 1];
const WHOLE_KEY_UPDATE: &[u8] = &[24, 0, 0, 1, 0];

impl Forger {
    /// One who has been answered `first`, so that its handshake is over for the server too; or is not, and may be
    /// faster than that.
    fn to(server: SocketAddr, pair: &Pair, first: Option<&[u8]>) -> Self {
        let mut config = wanting(&[pair], &[&TLS13], &[]);
        config.enable_secret_extraction = true;
        let mut socket = TcpStream::connect(server).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        while connection.is_handshaking() || connection.wants_write() {
            connection.complete_io(&mut socket).unwrap();
        }
        if let Some(request) = first {
            let mut stream = rustls::Stream::new(&mut connection, &mut socket);
            stream.write_all(request).unwrap();
            stream.read_exact(&mut [0; 20]).unwrap();
        }
        let (sequence, secrets) = connection.dangerous_extract_secrets().unwrap().tx;
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            _ => panic!("another suite"),
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).unwrap());
        Self { socket, key, iv: iv.as_ref().try_into().unwrap(), sequence }
    }

    /// RFC 8446 §5.2.
    fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut inner = [content, &[kind]].concat();
        let len = u16::try_from(inner.len() + self.key.algorithm().tag_len()).unwrap().to_be_bytes();
        let header = [APPLICATION_DATA, 3, 3, len[0], len[1]];
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()).for_each(|(byte, other)| *byte ^= other);
        self.sequence += 1;
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut inner).unwrap();
        [&header[..], &inner].concat()
    }

    /// Says `records` at once, and whether the server closes the connection then, and does not drop it.
    fn says(mut self, records: &[(u8, &[u8])]) -> bool {
        let bytes: Vec<u8> = records.iter().flat_map(|(kind, content)| self.record(*kind, content)).collect();
        self.socket.write_all(&bytes).unwrap();
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
        self.socket.read_to_end(&mut Vec::new()).is_ok()
    }
}

/// A message of TLS itself that comes in parts, with anything before, between and behind them: an answer, an alert or
/// the end is due while a part is kept. Whoever does that harms nobody else.
#[test]
fn parts_of_handshake_messages_between_others_harm_nobody() {
    let pair = Pair::new(NAME);
    let relay = start(&listening(StreamKind::Tls, offering(&pair)));
    let server = relay.stream_address(0);
    let mut honest = by_tls(server, trusting(&pair));
    let (relayed, peer) = (honest.allocate(), peer(honest.server));
    honest.bind(0x4001, peer.local_addr().unwrap());

    let request = &honest.binding()[..];
    let sequences: &[&[(u8, &[u8])]] = &[
        &[(APPLICATION_DATA, request), (HANDSHAKE, BEGINNING_OF_KEY_UPDATE)],
        &[(HANDSHAKE, BEGINNING_OF_KEY_UPDATE), (APPLICATION_DATA, request)],
        &[(HANDSHAKE, BEGINNING_OF_KEY_UPDATE)],
        &[(HANDSHAKE, &WHOLE_KEY_UPDATE[..1]), (HANDSHAKE, &WHOLE_KEY_UPDATE[1..3]), (APPLICATION_DATA, request)],
        &[(HANDSHAKE, &[0xFF, 0xFF, 0xFF, 0xFF]), (APPLICATION_DATA, request)],
        &[(HANDSHAKE, b""), (APPLICATION_DATA, request)],
    ];
    for (index, records) in sequences.iter().enumerate() {
        for first in [Some(request), None] {
            assert!(Forger::to(server, &pair, first).says(records), "sequence {index}, {first:?}");
        }
        peer.send_to(b"still there?", relayed).unwrap();
        assert_eq!(honest.hear_channel(), (0x4001, b"still there?".to_vec()), "sequence {index}");
        honest.send_channel(0x4001, b"yes");
        assert_eq!(next(&peer), (b"yes".to_vec(), relayed), "sequence {index}");
    }
    assert_eq!(honest.refresh(600), 0);
    relay.until(|counters| {
        let [broken, failed] = [StreamEnd::TlsBroken, StreamEnd::HandshakeFailed].map(|end| ended(counters, end));
        let panics: u64 = counters.iter().map(|worker| worker.engine.panics).sum();
        broken >= 3 && broken + failed == 6 && panics == 0
    });
}
