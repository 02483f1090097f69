//! Certificates that change while the relay runs: a good pair is shown from then on, a bad one changes nothing, and
//! who is connected notices neither.
#![cfg(feature = "server")]

#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "engine/harness.rs"]
mod harness;
#[path = "sans_io/mod.rs"]
mod sans_io;
#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "engine/secured.rs"]
mod secured;
mod support;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::{Client, next, peer};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use secured::Secured;
use support::credential::Credential;
use support::program::wait_for;
use support::server::{Make, REALM, Server, V4, make_certificate};

const PATIENCE: Duration = Duration::from_secs(10);
/// Allocations that live while certificates change.
const CALLS: usize = 200;

/// A client of `server`, if that shows a certificate of the authority in `directory`.
fn connect(server: &Server, directory: &Path) -> Option<Client<Secured>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("authority.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let secured = Secured::to(server.tls_address(V4), config.with_no_client_auth(), "localhost").ok()?;
    let credential = Credential::of("alice");
    let mut client = Client::with(&credential.username, server.tls_address(V4), secured);
    client.voice.password.clone_from(&credential.password);
    client.voice.realm = REALM.into();
    Some(client)
}

/// A client with an allocation, and the peer that it has a channel to.
struct Call {
    client: Client<Secured>,
    relayed: SocketAddr,
    peer: UdpSocket,
}

impl Call {
    fn begin(mut client: Client<Secured>) -> Self {
        let (relayed, peer) = (client.allocate(), peer(client.server));
        client.bind(0x4001, peer.local_addr().unwrap());
        Self { client, relayed, peer }
    }

    /// Packets pass both ways.
    fn assert_goes_on(&self) {
        self.client.send_channel(0x4001, b"ping");
        assert_eq!(next(&self.peer), (b"ping".to_vec(), self.relayed));
        self.peer.send_to(b"pong", self.relayed).unwrap();
        assert_eq!(self.client.hear_channel(), (0x4001, b"pong".to_vec()));
    }
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
    let mut calls: Vec<Call> =
        (0..CALLS).map(|_| Call::begin(connect(&server, first.path()).expect("the first pair"))).collect();
    assert!(connect(&server, second.path()).is_none());

    // The kernel tells of it.
    install(&server, second.path(), &["server.key", "server.pem"]);
    assert!(says(&server, "a new certificate is shown from now on"), "{}", server.program().output());
    assert!(connect(&server, first.path()).is_none());
    calls.push(Call::begin(connect(&server, second.path()).expect("the second pair")));
    calls.iter().for_each(Call::assert_goes_on);

    // A certificate without its key, and then none at all.
    install(&server, third.path(), &["server.pem"]);
    assert!(says(&server, "does not go with"), "{}", server.program().output());
    fs::write(server.directory().join("server.pem"), "nothing").unwrap();
    assert!(says(&server, "holds no certificate in PEM"), "{}", server.program().output());
    let output = server.program().output();
    assert!(output.matches("the new certificate is not taken, and the old one stays").count() >= 2, "{output}");
    calls.push(Call::begin(connect(&server, second.path()).expect("the second pair still")));
    calls.iter().for_each(Call::assert_goes_on);

    // Whole again; a signal has it read as well.
    install(&server, third.path(), &["server.key", "server.pem"]);
    server.program().signal("HUP");
    let shown = wait_for(PATIENCE, || connect(&server, third.path()));
    calls.push(Call::begin(shown.expect("the third pair")));
    calls.iter().for_each(Call::assert_goes_on);
    assert!(calls.iter_mut().all(|call| call.client.refresh(600) == 0));
}
