//! The first steps: UDP, TCP or TLS to the server, and a Binding request.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::cause;
use super::client::{Answer, Client, NOTHING, Outcome, compose};
use super::link::{self, Link};
use super::report::{Step, Verdict};
use super::tls::{self, Facts, Failure};
use super::walk::{Log, Scene};
use crate::client::uri::{Service, Transport};
use crate::wire::attribute::{RequestedTransport, XorMappedAddress};
use crate::wire::{Message, Method};

/// How long is looked for another explanation of a failure.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Connects and asks for a Binding; nothing if a client could not go on.
pub(super) fn reach(scene: &Scene<'_>, log: &mut Log<'_>) -> Option<Client> {
    let link = match scene.uri.transport {
        Transport::Udp => match Link::udp(scene.server, &scene.tally) {
            Ok(link) => link,
            Err(error) => {
                log.step(no_way("udp", &error, scene));
                return None;
            }
        },
        Transport::Tcp => stream(scene, log).map(|(socket, local)| Link::stream(socket, local, &scene.tally))?,
        Transport::Tls => {
            let (socket, local) = stream(scene, log)?;
            Link::stream(handshake(scene, log, socket)?, local, &scene.tally)
        }
        Transport::Dtls => {
            log.step(Step::untested("dtls", "this version of the probe does not speak DTLS"));
            return None;
        }
    };
    let mut client = Client::new(link, scene.settings.patience);
    binding(scene, log, &mut client).then_some(client)
}

/// The same without a word, for further clients.
pub(super) fn open(scene: &Scene<'_>) -> io::Result<Link> {
    if scene.uri.transport == Transport::Udp {
        return Link::udp(scene.server, &scene.tally);
    }
    let socket = dial(scene.server, scene.settings.patience)?;
    let local = socket.local_addr()?;
    if scene.uri.transport == Transport::Tcp {
        return Ok(Link::stream(socket, local, &scene.tally));
    }
    match tls::connect(socket, &scene.uri.host, scene.uri.service, &scene.settings.trust, true) {
        // The first handshake has told of the certificate; nobody comes here after a bad one.
        Ok((stream, facts)) if facts.bad.is_none() || scene.settings.trust.insecure => {
            Ok(Link::stream(stream, local, &scene.tally))
        }
        Ok(_) => Err(ErrorKind::PermissionDenied.into()),
        Err(Failure::Io(error)) => Err(error),
        Err(Failure::Tls(error)) => Err(io::Error::other(error)),
        Err(Failure::Setup(error)) => Err(io::Error::other(error)),
    }
}

fn dial(server: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&server, patience)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(patience))?;
    Ok(socket)
}

/// The step "tcp".
fn stream(scene: &Scene<'_>, log: &mut Log<'_>) -> Option<(TcpStream, SocketAddr)> {
    let begun = Instant::now();
    let opened = dial(scene.server, scene.settings.patience).and_then(|socket| Ok((socket.local_addr()?, socket)));
    match opened {
        Ok((local, socket)) => {
            log.step(Step::ok("tcp", format!("connected from {local}")).took(begun.elapsed()));
            Some((socket, local))
        }
        Err(error) => {
            log.step(no_way("tcp", &error, scene).took(begun.elapsed()));
            None
        }
    }
}

/// The step "tls".
fn handshake(scene: &Scene<'_>, log: &mut Log<'_>, socket: TcpStream) -> Option<tls::TlsStream> {
    let begun = Instant::now();
    let settings = scene.settings;
    let shaken = tls::connect(socket, &scene.uri.host, scene.uri.service, &settings.trust, true);
    let took = begun.elapsed();
    match shaken {
        Ok((stream, facts)) => {
            let (step, goes_on) = judge(facts, settings.trust.insecure);
            log.step(step.took(took));
            goes_on.then_some(stream)
        }
        Err(failure) => {
            log.step(no_tls(failure, scene).took(took));
            None
        }
    }
}

/// What a finished handshake is worth, and whether a client may go on after it.
fn judge(facts: Facts, insecure: bool) -> (Step, bool) {
    let Some((why, cures)) = facts.bad else {
        let step = Step::ok("tls", facts.said);
        return match facts.ends_soon {
            None => (step, true),
            Some(soon) => {
                let step = step.at_least(Verdict::Warning).why(soon);
                (step.cure("renew it, and let that happen by itself"), true)
            }
        };
    };
    let step = cures.into_iter().fold(Step::fault("tls", facts.said).why(why), Step::cure);
    if !insecure {
        return (step, false);
    }
    let said = format!("{}; going on because of --insecure, which no client does", step.found);
    (Step { found: said, ..step }, true)
}

/// Why there was no handshake.
fn no_tls(failure: Failure, scene: &Scene<'_>) -> Step {
    match failure {
        Failure::Setup(why) => Step::untested("tls", why),
        Failure::Tls(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => {
            Step::fault("tls", "the server refuses ALPN \"stun.turn\" (RFC 7443)")
                .why("clients that offer it, as RFC 7443 says, are turned away")
                .cure("let the server, or the proxy in front of it, accept the protocols of RFC 7443")
        }
        Failure::Tls(error) if speaks_plainly(scene) => {
            let plain = format!("there is no TLS on this port: it speaks plain TURN ({error})");
            Step::fault("tls", plain)
                .cure(
                    "coturn: give it `cert` and `pkey`, and no `no-tls`; without them it serves TLS ports in the clear",
                )
                .cure("or let clients use turn:…?transport=tcp, which hides nothing")
        }
        Failure::Io(_) if speaks_plainly(scene) => Step::fault("tls", "no handshake: this port speaks plain TURN")
            .cure("coturn: give it `cert` and `pkey`, and no `no-tls`; without them it serves TLS ports in the clear")
            .cure("or let clients use turn:…?transport=tcp, which hides nothing"),
        Failure::Tls(error) => Step::fault("tls", format!("the handshake failed: {error}"))
            .cure("if it is a proxy or web server: let it pass this name on to the TURN server")
            .cure("if it names versions or ciphers: allow TLS 1.2 or 1.3 with an ECDHE cipher"),
        Failure::Io(error) => Step::fault("tls", format!("the handshake was broken off: {}", words(&error)))
            .cure("look whether the port is one that the server speaks TLS on")
            .cure("a middlebox may cut off TLS to names that it does not know: ask the network's operator"),
    }
}

/// Whether the port answers a Binding request without TLS.
fn speaks_plainly(scene: &Scene<'_>) -> bool {
    let Ok(socket) = dial(scene.server, SECOND_LOOK) else { return false };
    let Ok(local) = socket.local_addr() else { return false };
    let mut client = Client::new(Link::stream(socket, local, &scene.tally), SECOND_LOOK);
    matches!(client.ask(Method::BINDING, NOTHING), Outcome::Success(_) | Outcome::Refused(_))
}

/// The step "binding"; whether a client can go on.
fn binding(scene: &Scene<'_>, log: &mut Log<'_>, client: &mut Client) -> bool {
    let local = client.link.local();
    match client.ask(Method::BINDING, NOTHING) {
        Outcome::Success(answer) => {
            log.step(mapped(&answer, local));
            true
        }
        Outcome::Refused(refusal) => {
            let said = format!("answers, but refuses Binding: {}", refusal.words());
            log.step(
                Step::new("binding", Verdict::Note, said)
                    .took(refusal.answer.took)
                    .why("clients learn no server-reflexive address here; relaying can work")
                    .cure("coturn: no `secure-stun`"),
            );
            true
        }
        Outcome::Silence if scene.uri.service == Service::Turn && answers_allocate(client) => {
            log.step(
                Step::new("binding", Verdict::Note, "no answer to Binding, but to Allocate")
                    .why("clients learn no server-reflexive address here; relaying can work")
                    .cure("coturn: no `no-stun`"),
            );
            true
        }
        Outcome::Silence => {
            log.step(silence(scene));
            false
        }
        Outcome::Broken(error) => {
            log.step(broken(&error, scene));
            false
        }
    }
}

fn answers_allocate(client: &mut Client) -> bool {
    let outcome = client.ask(Method::ALLOCATE, &|writer| writer.put(&RequestedTransport::UDP));
    matches!(outcome, Outcome::Success(_) | Outcome::Refused(_))
}

fn mapped(answer: &Answer, local: SocketAddr) -> Step {
    let step = match answer.get() {
        Some(XorMappedAddress(seen)) if seen == local => {
            Step::ok("binding", format!("seen as {seen}: no NAT in between"))
        }
        Some(XorMappedAddress(seen)) if seen.ip() == local.ip() => {
            Step::ok("binding", format!("seen as {seen}, sent from port {}: a NAT in between", local.port()))
        }
        Some(XorMappedAddress(seen)) => {
            Step::ok("binding", format!("seen as {seen}, sent from {local}: a NAT in between"))
        }
        None => Step::fault("binding", "the answer has no XOR-MAPPED-ADDRESS (RFC 8489 §6.3.1.1)")
            .cure("the server is older than RFC 5389, or something else: replace it"),
    };
    step.took(answer.took)
}

/// Nothing came back.
fn silence(scene: &Scene<'_>) -> Step {
    let server = scene.server;
    let port = server.port();
    if scene.uri.transport != Transport::Udp {
        return Step::fault("binding", "connected, but nothing answers").cure(
            "look whether the port is the TURN server's, and whether it serves TCP: coturn has `no-tcp`, `no-tls`",
        );
    }
    if let Some(other) = answered_from(scene) {
        return Step::fault("binding", format!("the answer comes from {other}, not from {server}"))
            .why("clients and NATs drop what comes from another address than they sent to")
            .cure(
                "the server has several addresses: let it listen on each by itself (coturn `listening-ip`), or answer \
                 from the one that was asked (turnkeep does)",
            );
    }
    let step = Step::fault("binding", format!("no answer over UDP in {} s", scene.settings.patience.as_secs_f32()));
    if TcpStream::connect_timeout(&server, SECOND_LOOK).is_ok() {
        return step
            .why("the same port takes TCP connections: the host is up; UDP is dropped on the way, or not listened for")
            .cure(format!("open UDP port {port} in the firewalls in front of the server and of this network"))
            .cure("look whether the server listens for UDP: coturn has `no-udp`");
    }
    step.cure(format!("open UDP port {port} in the firewalls in front of the server and of this network"))
        .cure("look whether the server runs, and listens on this address and port")
        .cure("look whether the name leads to the right host")
}

/// Whence a Binding is answered that was sent from a socket which hears everybody.
fn answered_from(scene: &Scene<'_>) -> Option<SocketAddr> {
    let socket = UdpSocket::bind(link::unspecified(scene.server)).ok()?;
    let request = compose(Method::BINDING, NOTHING, None, true);
    scene.tally.add(request.len());
    socket.send_to(&request, scene.server).ok()?;
    socket.set_read_timeout(Some(SECOND_LOOK)).ok()?;
    let mut buffer = [0; 1500];
    let (len, from) = socket.recv_from(&mut buffer).ok()?;
    let is_answer = Message::parse(&buffer[..len]).is_ok_and(|message| message.transaction_id().0 == request[8..20]);
    (is_answer && from != scene.server).then_some(from)
}

/// The link broke.
fn broken(error: &io::Error, scene: &Scene<'_>) -> Step {
    if scene.uri.transport == Transport::Udp {
        return no_way("binding", error, scene);
    }
    if scene.uri.transport == Transport::Tcp && speaks_tls(scene) {
        return Step::fault("binding", "this port speaks TLS")
            .cure("use turns:, or the port on which the server speaks plain TCP");
    }
    let what = match error.kind() {
        ErrorKind::InvalidData => error.to_string(),
        _ => format!("the server ended the connection: {}", words(error)),
    };
    Step::fault("binding", what)
        .cure("look whether the port is the TURN server's: a web server or proxy may stand there")
}

fn speaks_tls(scene: &Scene<'_>) -> bool {
    let Ok(socket) = dial(scene.server, SECOND_LOOK) else { return false };
    tls::connect(socket, &scene.uri.host, scene.uri.service, &scene.settings.trust, false).is_ok()
}

/// There is no way to the server.
fn no_way(step: &'static str, error: &io::Error, scene: &Scene<'_>) -> Step {
    let (server, transport) = (scene.server, if step == "tcp" { "TCP" } else { "UDP" });
    let step = Step::fault(step, format!("{server} over {transport}: {}", words(error)));
    let [first, second] = cause::of_no_way(error, server, transport);
    step.cure(first).cure(second)
}

/// The system's words without its number.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "closed by the other side".into(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "nothing came in time".into(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}
