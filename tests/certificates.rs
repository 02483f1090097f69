//! Certificates that change while the relay runs: a good pair is shown from then on, a bad one changes nothing, and
//! who is connected notices neither.
#![cfg(feature = "server")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::program::wait_for;
use support::server::{Make, Server, V4, make_certificate};

const PATIENCE: Duration = Duration::from_secs(10);

type Secured = StreamOwned<ClientConnection, TcpStream>;

/// A connection to `server`, if it shows a certificate of the authority in `directory`.
fn connect(server: &Server, directory: &Path) -> Option<Secured> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("authority.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut socket = TcpStream::connect(server.tls_address(V4)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).ok()?;
    }
    Some(StreamOwned::new(connection, socket))
}

/// A Binding request is answered.
fn assert_answers(stream: &mut Secured) {
    stream.write_all(b"\0\x01\0\0\x21\x12\xA4\x42is-it-there?").unwrap();
    let mut answer = [0; 32];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..2], [1, 1]);
}

/// Puts the pair that is in `from` in the place of the server's, as certbot does: each file at once.
fn install(server: &Server, from: &Path, files: &[&str]) {
    for file in files {
        let new = server.directory().join(format!("{file}.new"));
        fs::copy(from.join(file), &new).unwrap();
        fs::rename(&new, server.directory().join(file)).unwrap();
    }
}

fn says(server: &Server, what: &str) -> bool {
    wait_for(PATIENCE, || server.program().output().contains(what).then_some(())).is_some()
}

/// A-153, F-17.
#[test]
fn a_new_pair_is_shown_and_a_broken_one_changes_nothing() {
    let server = Server::start(Make::Turnkeep).expect("our own");
    let [first, second, third] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    fs::copy(server.authority(), first.path().join("authority.pem")).unwrap();
    [&second, &third].iter().for_each(|directory| make_certificate(directory.path()));
    let mut connected = connect(&server, first.path()).expect("the first pair");
    assert!(connect(&server, second.path()).is_none());

    // The kernel tells of it.
    install(&server, second.path(), &["server.key", "server.pem"]);
    assert!(says(&server, "a new certificate is shown from now on"), "{}", server.program().output());
    assert_answers(&mut connect(&server, second.path()).expect("the second pair"));
    assert_answers(&mut connected);

    // A certificate without its key, and then none at all.
    install(&server, third.path(), &["server.pem"]);
    assert!(says(&server, "does not go with"), "{}", server.program().output());
    fs::write(server.directory().join("server.pem"), "nothing").unwrap();
    assert!(says(&server, "holds no certificate in PEM"), "{}", server.program().output());
    let output = server.program().output();
    assert!(output.matches("the new certificate is not taken, and the old one stays").count() >= 2, "{output}");
    assert_answers(&mut connect(&server, second.path()).expect("the second pair still"));

    // Whole again; a signal has it read as well.
    install(&server, third.path(), &["server.key", "server.pem"]);
    server.program().signal("HUP");
    let shown = wait_for(PATIENCE, || connect(&server, third.path()));
    assert_answers(&mut shown.expect("the third pair"));
    assert_answers(&mut connected);
}
