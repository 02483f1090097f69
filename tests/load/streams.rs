//! Clients over TCP and TLS: against our own relay, whose TLS a stand-in of the test's speaks, and what a connection
//! that takes nothing does to the account.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use turnkeep::load::result::{Ended, LoadResult};

use crate::rig::{Rig, assert_flawless, direction};

const BRIEF: &str = "--duration 1s --warmup 200ms --allocations 10";

fn load(rig: &Rig, target: &str, arguments: &str) -> LoadResult {
    let output = rig.run(target, &format!("{BRIEF} {arguments}"));
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    let result = rig.result();
    assert_eq!((result.ended, result.errors.len()), (Ended::Completed, 0), "{:?}", result.errors);
    result
}

/// RFC 8656 §12.5: payloads of 201 bytes are padded.
#[test]
fn packets_arrive_over_tcp_in_every_direction_and_framing() {
    let rig = Rig::with_tcp();
    for framing in ["channel", "send"] {
        for path in ["both", "pair"] {
            let arguments = format!("--transport tcp --rate 1000 --payload 201 --path {path} --framing {framing}");
            let result = load(&rig, &rig.target(), &arguments);
            let traffic = result.traffic.as_ref().expect("packets were relayed");
            traffic.directions.values().for_each(assert_flawless);
            assert_eq!(traffic.total.sent, 1000, "{path} {framing}");
            assert_eq!((result.setup.steps["connect"].count, result.setup.steps["free"].count), (10, 10));
            assert_eq!((result.transport.protocol.as_str(), result.transport.client_sockets), ("tcp", 10));
        }
    }
}

#[test]
fn cycles_of_allocation_and_of_connection_are_made_over_tcp() {
    let rig = Rig::with_tcp();
    let target = format!("turn:{}?transport=tcp", rig.target());
    for profile in ["churn", "connect"] {
        let churn = load(&rig, &target, &format!("--profile {profile}")).churn.expect("cycles were made");
        assert!(churn.completed > 10 && churn.failed == 0, "{profile}: {churn:?}");
        let churn = load(&rig, &target, &format!("--profile {profile} --rate 50")).churn.expect("cycles were made");
        // A busy machine may not come to the last ones in time.
        assert!(churn.begun >= 25 && churn.completed == churn.begun, "{profile}: {churn:?}");
    }
}

#[test]
fn packets_arrive_over_tls_from_a_server_that_is_trusted() {
    let rig = Rig::with_tcp();
    let stand_in = StandIn::start(&rig, true, u64::MAX);
    rig.relay.write("ca.pem", &stand_in.certificate, 0o600);
    let trusting = format!("--ca {}", rig.relay.path("ca.pem"));
    let target = format!("turns:{}", stand_in.target);
    let result = load(&rig, &target, &format!("--rate 1000 --payload 201 {trusting}"));
    assert_flawless(direction(&result, "up"));
    assert_flawless(direction(&result, "down"));
    assert_eq!((result.setup.steps["connect"].count, result.setup.steps["tls"].count), (10, 10));
    assert!(result.transport.tls.is_some_and(|tls| tls.starts_with("TLSv1_3 ")));

    let result = load(&rig, &target, "--profile connect --rate max --insecure");
    let churn = result.churn.expect("connections were made");
    assert!(churn.completed > 10 && churn.failed == 0, "{churn:?}");
    // Each is a handshake of its own.
    assert_eq!(result.setup.steps["tls"].count, churn.completed);

    // Another's name, and an authority that it does not come from.
    rig.relay.write(
        "other.pem",
        &rcgen::generate_simple_self_signed(["127.0.0.1".into()]).expect("one").cert.pem(),
        0o600,
    );
    for arguments in [format!("{trusting} --server-name other.example"), trusting.replace("ca.pem", "other.pem")] {
        let output = rig.run(&target, &format!("{BRIEF} {arguments}"));
        assert_eq!(output.status.code(), Some(1), "{arguments}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("tls invalid peer certificate"), "{said}");
    }
}

/// What waits for a connection that takes nothing is dropped after a while, as a sender of media would, and told.
#[test]
fn a_connection_that_takes_nothing_holds_packets_up() {
    let rig = Rig::with_tcp();
    let stand_in = StandIn::start(&rig, false, 1 << 20);
    let arguments = "--transport tcp --allocations 2 --duration 3s --warmup 0s --path up --rate 10k --payload 1200";
    let output = rig.run(&stand_in.target.to_string(), arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let up = direction(&rig.result(), "up").clone();
    let held_up = up.held_up.expect("it was measured");
    assert_eq!((up.sent, up.not_sent, up.received + up.lost), (30_000, 0, 30_000), "what was due counts as sent");
    assert!(held_up > 1000 && held_up <= up.lost, "{held_up} of {} lost", up.lost);
}

#[test]
fn a_server_that_goes_is_an_error() {
    let rig = Rig::with_tcp();
    let mut load = rig.command(&rig.target(), "--transport tcp --duration 3s --warmup 0s --allocations 4 --rate 200");
    let mut load = load.spawn().expect("the program runs");
    thread::sleep(Duration::from_millis(1500));
    rig.program.signal("KILL");
    load.wait().expect("it ends");
    let errors = rig.result().errors;
    assert!(errors.keys().any(|what| what.contains("by the server")), "{errors:?}");
}

/// Stands between the load tester and the relay's TCP listener: with TLS to one side, and slow to the other, where that
/// is wanted.
struct StandIn {
    target: SocketAddr,
    certificate: String,
}

impl StandIn {
    /// It passes on so many bytes of a connection from the client, and then reads no more.
    fn start(rig: &Rig, secure: bool, most: u64) -> Self {
        let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let certificate = key.cert.pem();
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("there are versions")
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .expect("they belong together");
        config.alpn_protocols = vec![b"stun.turn".to_vec()];
        let config = secure.then(|| Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let target = listener.local_addr().expect("it is bound");
        let server: SocketAddr = rig.target().parse().expect("an address");
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let config = config.clone();
                thread::spawn(move || {
                    let server = TcpStream::connect(server).expect("the relay listens");
                    let tls = config.map(|config| ServerConnection::new(config).expect("it can begin"));
                    // Whatever ends it ends both connections.
                    let _ = pass(client, server, tls, most);
                });
            }
        });
        Self { target, certificate }
    }
}

fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    mut tls: Option<ServerConnection>,
    most: u64,
) -> std::io::Result<()> {
    client.set_nonblocking(true)?;
    let mut back = server.try_clone()?;
    back.set_read_timeout(Some(Duration::from_micros(200)))?;
    let (mut buffer, mut passed) = (vec![0; 1 << 16], 0);
    let waits = |kind: ErrorKind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
    loop {
        let read = match &mut tls {
            _ if passed >= most => Err(ErrorKind::WouldBlock.into()),
            None => client.read(&mut buffer),
            Some(tls) => match tls.read_tls(&mut client) {
                Ok(0) => Ok(0),
                Err(error) if !waits(error.kind()) => return Err(error),
                _ => {
                    tls.process_new_packets().map_err(std::io::Error::other)?;
                    tls.reader().read(&mut buffer)
                }
            },
        };
        match read {
            Ok(0) => return server.shutdown(Shutdown::Both),
            Ok(len) => {
                server.write_all(&buffer[..len])?;
                passed += len as u64;
            }
            Err(error) if waits(error.kind()) => {}
            Err(error) => return Err(error),
        }
        let mut answer = match back.read(&mut buffer) {
            Ok(0) => return client.shutdown(Shutdown::Both),
            Ok(len) => &buffer[..len],
            Err(error) if waits(error.kind()) => &[],
            Err(error) => return Err(error),
        };
        match &mut tls {
            Some(tls) => tls.writer().write_all(answer)?,
            None => {
                while !answer.is_empty() {
                    match client.write(answer) {
                        Ok(len) => answer = &answer[len..],
                        Err(error) if waits(error.kind()) => thread::sleep(Duration::from_micros(100)),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        while let Some(tls) = tls.as_mut().filter(|tls| tls.wants_write()) {
            if let Err(error) = tls.write_tls(&mut client)
                && !waits(error.kind())
            {
                return Err(error);
            }
        }
    }
}
