//! Servers that show certificates, and clients that come by TLS.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use turnkeep::engine::{Certificate, ClientCertificates, EngineConfig, StreamKind, StreamListen, Tls, TlsProfile};

use crate::harness::{Begun, Client, Talk, loopback};

/// What servers are called.
pub(crate) const NAME: &str = "turn.example.org";
/// Long enough for a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A certificate that signs itself, and its key.
pub(crate) struct Pair {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Pair {
    pub(crate) fn new(name: &str) -> Self {
        Self::of(name, KeyPair::generate().unwrap())
    }

    pub(crate) fn of(name: &str, key: KeyPair) -> Self {
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        Self { certificate, key }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(crate) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.serialize_der().into())
    }

    pub(crate) fn shown_for(&self, name: &str) -> Certificate {
        Certificate::new(vec![name.to_owned()], vec![self.der()], self.key_der()).unwrap()
    }
}

/// One that shows `pair` to everybody.
pub(crate) fn offering(pair: &Pair) -> Tls {
    Tls::new(TlsProfile::Modern, &ClientCertificates::None, vec![pair.shown_for(NAME)]).unwrap()
}

pub(crate) fn listening(kind: StreamKind, tls: Tls) -> EngineConfig {
    let listen = |address: &str| StreamListen { address: address.parse().unwrap(), kind };
    EngineConfig { streams: vec![listen("127.0.0.1:0"), listen("[::1]:0")], tls: Some(tls), ..loopback() }
}

/// What a client trusts and wants.
pub(crate) fn wanting(
    trusted: &[&Pair],
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    trusted.iter().for_each(|pair| roots.add(pair.der()).unwrap());
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

pub(crate) fn trusting(pair: &Pair) -> ClientConfig {
    wanting(&[pair], rustls::ALL_VERSIONS, &[])
}

/// A TLS connection.
pub(crate) struct Secured {
    pub(crate) stream: RefCell<StreamOwned<ClientConnection, TcpStream>>,
    begun: Begun,
}

impl Secured {
    pub(crate) fn to(server: SocketAddr, config: ClientConfig, name: &str) -> std::io::Result<Self> {
        let socket = TcpStream::connect(server)?;
        Self::over(socket, config, name)
    }

    pub(crate) fn over(mut socket: TcpStream, config: ClientConfig, name: &str) -> std::io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(Self { stream: RefCell::new(StreamOwned::new(connection, socket)), begun: Begun::default() })
    }

    pub(crate) fn is_closed(&self) -> bool {
        !matches!(self.stream.borrow_mut().read(&mut [0; 1]), Ok(1))
    }
}

impl Secured {
    /// What the next record says.
    pub(crate) fn next_record(&self) -> Vec<u8> {
        let StreamOwned { conn, sock } = &mut *self.stream.borrow_mut();
        let mut record = vec![0; 5];
        sock.read_exact(&mut record).expect("a record within the time");
        record.resize(5 + usize::from(u16::from_be_bytes([record[3], record[4]])), 0);
        sock.read_exact(&mut record[5..]).expect("a whole record");
        assert_eq!(conn.read_tls(&mut &record[..]).unwrap(), record.len());
        let mut said = vec![0; conn.process_new_packets().expect("a sound record").plaintext_bytes_to_read()];
        conn.reader().read_exact(&mut said).unwrap();
        said
    }
}

impl Talk for Secured {
    const PADS: bool = true;

    fn local(&self) -> SocketAddr {
        self.stream.borrow().sock.local_addr().unwrap()
    }

    fn say(&self, _: SocketAddr, bytes: &[u8]) {
        let mut stream = self.stream.borrow_mut();
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
    }

    fn hear(&self, _: SocketAddr) -> Vec<u8> {
        self.begun.message(|more| self.stream.borrow_mut().read(more))
    }
}

pub(crate) fn by_tls(server: SocketAddr, config: ClientConfig) -> Client<Secured> {
    Client::with("alice", server, Secured::to(server, config, NAME).expect("a handshake"))
}
