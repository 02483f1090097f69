//! A web site and the relay on one port: TLS that is listed reaches the site unopened, everything else the relay.
#![cfg(feature = "server")]

mod support;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use support::program::wait_for;
use support::server::{Make, Server, V4, V6, make_certificate};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);
/// Name and address of certificates are the same everywhere here; the protocol tells the site from the relay.
const NAME: &str = "localhost";

/// A site that says what it hears, once, behind "site: ".
struct Site {
    address: SocketAddr,
    directory: TempDir,
    thread: JoinHandle<()>,
}

impl Site {
    /// For so many visits.
    fn start(visits: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        make_certificate(directory.path());
        let read = |file: &str| directory.path().join(file);
        let chain = CertificateDer::pem_file_iter(read("server.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(read("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (listener, config) = (TcpListener::bind((V4, 0)).unwrap(), Arc::new(config));
        let address = listener.local_addr().unwrap();
        let serve = move || (0..visits).for_each(|_| answer(listener.accept().unwrap().0, config.clone()));
        Self { address, directory, thread: thread::spawn(serve) }
    }
}

/// Hears all that a visitor says, and repeats it.
fn answer(socket: TcpStream, config: Arc<ServerConfig>) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).expect("all that is said");
    stream.write_all(b"site: ").and_then(|()| stream.write_all(&heard)).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
}

/// A connection by TLS to `server` for who trusts the authority in `directory`; what is sent comes in pieces of
/// `piece` bytes.
fn connect(server: SocketAddr, directory: &Path, alpn: &str, piece: usize) -> StreamOwned<ClientConnection, Dribble> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("authority.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let socket = TcpStream::connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(NAME).unwrap()).unwrap();
    StreamOwned::new(connection, Dribble { socket, piece })
}

/// A socket that takes little at a time.
struct Dribble {
    socket: TcpStream,
    piece: usize,
}

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl Write for Dribble {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(&bytes[..bytes.len().min(self.piece)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sharing(to: SocketAddr) -> Server {
    let more = format!("\n[[pass_through]]\nto = \"{to}\"\nalpn = [\"h2\"]\n");
    Server::start_with(Make::Turnkeep, &more).expect("our own")
}

#[test]
fn a_site_and_the_relay_share_a_port() {
    let site = Site::start(3);
    let server = sharing(site.address);
    // The site shows its own certificate, however little comes at a time, and hears where we end.
    for (ip, piece, len) in [(V4, 1, 1_000), (V6, 7, 10_000), (V4, usize::MAX, 3_000_000)] {
        let mut visit = connect(server.tls_address(ip), site.directory.path(), "h2", piece);
        let said: Vec<u8> = (0..len).map(|n: u32| n.to_le_bytes()[0]).collect();
        visit.write_all(&said).unwrap();
        visit.conn.send_close_notify();
        visit.flush().unwrap();
        let mut heard = Vec::new();
        visit.read_to_end(&mut heard).unwrap();
        assert!(heard.strip_prefix(b"site: ") == Some(&said), "{} bytes", heard.len());
    }
    site.thread.join().unwrap();

    // The relay answers who asks for it.
    let mut call = connect(server.tls_address(V4), server.directory(), "stun.turn", 1);
    call.write_all(b"\0\x01\0\0\x21\x12\xA4\x42is-it-there?").unwrap();
    let mut answer = [0; 32];
    call.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..2], [1, 1]);
}

#[test]
fn a_site_that_is_down_is_told_of() {
    let address = TcpListener::bind((V4, 0)).unwrap().local_addr().unwrap();
    let server = sharing(address);
    let mut visit = connect(server.tls_address(V4), server.directory(), "h2", usize::MAX);
    assert!(visit.write_all(b"?").and_then(|()| visit.read_exact(&mut [0; 1])).is_err());
    let told = wait_for(PATIENCE, || server.program().output().contains("its backend cannot be reached").then_some(()));
    let output = server.program().output();
    assert!(told.is_some() && output.contains("Connection refused"), "{output}");
}
