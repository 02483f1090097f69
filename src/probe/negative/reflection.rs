//! Answers to whoever a packet claims to come from: what a server sends to those who have proved nothing can be turned
//! on others.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::super::client::{Answer, Client, NOTHING, Outcome, compose};
use super::super::link;
use super::super::login;
use super::super::report::{Step, Verdict};
use super::super::walk::{Log, Scene};
use crate::client::uri::Transport;
use crate::wire::attribute::{Raw, Software};
use crate::wire::{AttributeType, Message, Method};

/// How long nothing must come, or an answer from elsewhere is waited for.
const SILENCE: Duration = Duration::from_millis(400);
/// An answer to a stranger that is so many times his request is worth a warning. Realm and nonce make of a bare
/// Allocate's 28 bytes four to five times as many, and nobody can do without them.
const MOST_BINDING: f64 = 3.0;
const MOST_CHALLENGE: f64 = 6.0;

/// Tries it.
pub(super) fn run(scene: &Scene<'_>, log: &mut Log<'_>) {
    let Ok(mut client) = scene.connect() else { return };
    let binding = compose(Method::BINDING, NOTHING, None, false);
    let challenge = compose(Method::ALLOCATE, &login::allocate_body(scene), None, false);
    let answers = [client.exchange(&binding), client.exchange(&challenge)].map(answer);
    software(log, &answers);
    without_fingerprint(log, answers[1].is_some());
    if scene.uri.transport != Transport::Udp {
        let why = "over a stream nobody can claim to be another";
        return log.refusal(Step::skipped("reflection", why));
    }
    let [binding, challenge] = &answers;
    let of_binding = "coturn: `no-stun-backward-compatibility`, `no-rfc5780`, `no-software-attribute`";
    let of_challenge = "a shorter `realm`; coturn: `no-software-attribute`";
    amplification(log, "binding-size", "Binding", binding.as_ref(), MOST_BINDING, of_binding);
    amplification(
        log,
        "challenge-size",
        "an Allocate without credentials",
        challenge.as_ref(),
        MOST_CHALLENGE,
        of_challenge,
    );
    elsewhere(scene, log);
    padding(log, &mut client);
    nonsense(scene, log);
}

fn answer(outcome: Outcome) -> Option<Answer> {
    match outcome {
        Outcome::Success(answer) => Some(answer),
        Outcome::Refused(refusal) => Some(refusal.answer),
        Outcome::Silence | Outcome::Broken(_) => None,
    }
}

/// FINGERPRINT is for whoever shares a port with other protocols (RFC 8489 §7), and many TURN clients send none.
fn without_fingerprint(log: &mut Log<'_>, answered: bool) {
    const NAME: &str = "no-fingerprint";
    const TRIED: &str = "Allocate without FINGERPRINT, which must be answered";
    log.refusal(if answered {
        Step::ok(NAME, "a request without FINGERPRINT is answered").tried(TRIED)
    } else {
        Step::fault(NAME, "a request without FINGERPRINT is not answered, one with it is")
            .tried(TRIED)
            .why("many clients send none: they find no server (RFC 8489 §7)")
            .cure("coturn: no `fingerprint` asks for that; look for a filter in front of the server")
    });
}

/// SOFTWARE (RFC 8489 §14.14).
fn software(log: &mut Log<'_>, answers: &[Option<Answer>]) {
    const NAME: &str = "software";
    const TRIED: &str = "whether the server tells strangers what it runs";
    let told = answers
        .iter()
        .flatten()
        .find_map(|answer| answer.get().map(|Software(text)| String::from_utf8_lossy(text).escape_debug().to_string()));
    log.refusal(match told {
        None => Step::ok(NAME, "strangers are not told what it runs").tried(TRIED),
        Some(text) => Step::new(NAME, Verdict::Note, format!("strangers are told: \"{text}\""))
            .tried(TRIED)
            .why("the version says which published faults are there to be used")
            .cure("coturn: `no-software-attribute`; turnkeep tells nobody"),
    });
}

/// How much longer an answer is than what a stranger sent.
fn amplification(
    log: &mut Log<'_>,
    name: &'static str,
    what: &str,
    answer: Option<&Answer>,
    most: f64,
    cure: &'static str,
) {
    let tried = format!("how long the answer to {what} is");
    let Some(answer) = answer else {
        return log.refusal(Step::ok(name, "no answer").tried(tried));
    };
    let (request, length) = (answer.request_len, answer.bytes.len());
    #[allow(clippy::cast_precision_loss, reason = "both are below 65,536")]
    let factor = length as f64 / request as f64;
    let names: Vec<String> = answer
        .message()
        .map(|message| message.attributes().map(|(kind, _)| kind.to_string()).collect())
        .unwrap_or_default();
    let said = format!("{request} bytes are answered with {length}, {factor:.1} times as many: {}", names.join(", "));
    let step = Step::ok(name, said).took(answer.took).tried(tried);
    log.refusal(if factor <= most {
        step
    } else {
        step.at_least(Verdict::Warning).why("sent in a victim's name, requests become a flood on the victim").cure(cure)
    });
}

/// RFC 5780's requests to answer from, or to, another address.
fn elsewhere(scene: &Scene<'_>, log: &mut Log<'_>) {
    const NAME: &str = "answers-elsewhere";
    const TRIED: &str = "Binding with CHANGE-REQUEST and with RESPONSE-PORT (RFC 5780)";
    let (from, to) = (change_request(scene).ok().flatten(), response_port(scene).unwrap_or(false));
    let step = match (from, to) {
        (None, false) => Step::ok(NAME, "answers come from the port that was asked, to the port that asked"),
        (_, true) => Step::fault(NAME, "the answer goes to another port than the request came from"),
        (Some(from), false) => {
            Step::new(NAME, Verdict::Warning, format!("the answer comes from {from}, as the request asked"))
        }
    };
    log.refusal(match step.verdict {
        Verdict::Ok => step.tried(TRIED),
        _ => step
            .tried(TRIED)
            .why(
                "NAT discovery is on: it lets strangers choose where answers come from or go to, and makes them longer",
            )
            .cure("coturn: `no-rfc5780`; turnkeep has none"),
    });
}

/// From where a Binding is answered that asks for another port (RFC 5780 §7.2); none if from the usual.
fn change_request(scene: &Scene<'_>) -> io::Result<Option<SocketAddr>> {
    let socket = UdpSocket::bind(link::unspecified(scene.server))?;
    let request =
        compose(Method::BINDING, &|to| to.put(&Raw(AttributeType::CHANGE_REQUEST, &[0, 0, 0, 2])), None, false);
    send(scene, &socket, &request)?;
    let heard = hear(&socket, &request)?;
    Ok(heard.filter(|from| *from != scene.server))
}

/// Whether a Binding is answered to the port that it names (RFC 5780 §7.5).
fn response_port(scene: &Scene<'_>) -> io::Result<bool> {
    let (asks, hears) =
        (UdpSocket::bind(link::unspecified(scene.server))?, UdpSocket::bind(link::unspecified(scene.server))?);
    let [p0, p1] = hears.local_addr()?.port().to_be_bytes();
    let request =
        compose(Method::BINDING, &|to| to.put(&Raw(AttributeType::RESPONSE_PORT, &[p0, p1, 0, 0])), None, false);
    send(scene, &asks, &request)?;
    Ok(hear(&hears, &request)?.is_some())
}

fn send(scene: &Scene<'_>, socket: &UdpSocket, request: &[u8]) -> io::Result<()> {
    scene.tally.add(request.len());
    socket.send_to(request, scene.server).map(drop)
}

/// Who answers `request`, if anybody does.
fn hear(socket: &UdpSocket, request: &[u8]) -> io::Result<Option<SocketAddr>> {
    let end = Instant::now() + SILENCE;
    let mut buffer = [0; 2048];
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) if buffer[..len].get(4..20) == request.get(4..20) => return Ok(Some(from)),
            Ok(_) => {}
            Err(error) if link::is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// PADDING (RFC 5780 §7.6): an answer as long as one likes.
fn padding(log: &mut Log<'_>, client: &mut Client) {
    const NAME: &str = "padding";
    const TRIED: &str = "Binding with PADDING (RFC 5780)";
    let request = compose(Method::BINDING, &|to| to.put(&Raw(AttributeType::PADDING, &[0; 64])), None, false);
    let padded = answer(client.exchange_within(&request, SILENCE));
    let is_padded = padded.as_ref().is_some_and(|answer| answer.bytes.len() > answer.request_len + 44);
    log.refusal(if is_padded {
        Step::new(NAME, Verdict::Warning, "the answer is padded, too")
            .tried(TRIED)
            .why("strangers choose how long answers are")
            .cure("coturn: `no-rfc5780`")
    } else {
        Step::ok(NAME, "no padded answer").tried(TRIED)
    });
}

/// What is no request (RFC 8489 §6.3), or one of a forgotten protocol.
fn nonsense(scene: &Scene<'_>, log: &mut Log<'_>) {
    const NAME: &str = "nonsense";
    const TRIED: &str = "a Binding with a wrong FINGERPRINT, one without the magic cookie (RFC 3489), and noise";
    let mut answered = Vec::new();
    let mut wrong = compose(Method::BINDING, NOTHING, None, true);
    if let Some(byte) = wrong.last_mut() {
        *byte ^= 0x55;
    }
    let mut classic = compose(Method::BINDING, NOTHING, None, false);
    classic[4..8].copy_from_slice(b"2003");
    let noise = b"turnkeep probe: no STUN";
    for (what, request) in [("a wrong FINGERPRINT", &wrong[..]), ("no magic cookie", &classic), ("noise", noise)] {
        if answers(scene, request).unwrap_or(false) {
            answered.push(what);
        }
    }
    log.refusal(if answered.is_empty() {
        Step::ok(NAME, "not answered").tried(TRIED)
    } else {
        Step::new(NAME, Verdict::Warning, format!("answered: {}", answered.join(", ")))
            .tried(TRIED)
            .why("what is not answered cannot be turned on others (RFC 8489 §6.3, §14.7)")
            .cure("coturn: `no-stun-backward-compatibility`")
    });
}

/// Whether anything comes back.
fn answers(scene: &Scene<'_>, request: &[u8]) -> io::Result<bool> {
    let socket = UdpSocket::bind(link::unspecified(scene.server))?;
    socket.connect(scene.server)?;
    scene.tally.add(request.len());
    socket.send(request)?;
    socket.set_read_timeout(Some(SILENCE))?;
    let mut buffer = [0; 2048];
    Ok(socket.recv(&mut buffer).is_ok_and(|len| Message::parse(&buffer[..len]).is_ok() || len >= 20))
}
