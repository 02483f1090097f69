//! Servers with faults that no real server has at hand: a socket and a function from request to answer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use turnkeep::wire::attribute::{
    AlternateServer, ErrorCode, Lifetime, Nonce, Realm, UnknownAttributes, Username, XorMappedAddress,
    XorRelayedAddress,
};
use turnkeep::wire::{
    AttributeType, BufferFull, Class, Integrity, IntegrityKey, LongTermKey, Message, MessageWriter, Method,
    PasswordAlgorithm,
};

use crate::golden::assert_golden;
use crate::rig::{Probed, Site, probe};
use crate::support::credential::Credential;

const REALM: &[u8] = b"scripted.test";

type Put<'a> = &'a dyn Fn(&mut MessageWriter<'_>) -> Result<(), BufferFull>;

/// Answers requests on a loopback address until the test ends.
fn serve(answer: impl Fn(&Message<'_>, SocketAddr) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback address");
    let address = socket.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, client)) = socket.recv_from(&mut buffer) {
            let reply = Message::parse(&buffer[..len]).ok().and_then(|request| answer(&request, client));
            if let Some(reply) = reply {
                socket.send_to(&reply, client).expect("sent");
            }
        }
    });
    address
}

/// A response with these attributes, signed as the usual secret would have it if `is_signed`.
fn respond(request: &Message<'_>, class: Class, put: Put<'_>, is_signed: bool) -> Vec<u8> {
    let mut buffer = vec![0; 1200];
    let mut write = || -> Result<usize, BufferFull> {
        let mut writer = MessageWriter::new(&mut buffer, request.method(), class, request.transaction_id())?;
        put(&mut writer)?;
        if let Some(key) = key(request).filter(|_| is_signed) {
            writer.integrity(&key)?;
        }
        Ok(writer.finish())
    };
    let len = write().expect("it fits");
    buffer.truncate(len);
    buffer
}

fn username(request: &Message<'_>) -> Option<String> {
    let Username(name) = request.get().ok()??;
    String::from_utf8(name.to_vec()).ok()
}

fn key(request: &Message<'_>) -> Option<IntegrityKey> {
    let Credential { username, password } = Credential::signed(&username(request)?);
    let key = LongTermKey::derive(PasswordAlgorithm::Md5, username.as_bytes(), REALM, password.as_bytes());
    Some(IntegrityKey::new(Integrity::Sha1, &key))
}

fn refuse(request: &Message<'_>, code: u16) -> Vec<u8> {
    respond(request, Class::Error, &|to| to.put(&ErrorCode::registered(code)), false)
}

fn challenge(request: &Message<'_>) -> Vec<u8> {
    let put: Put<'_> = &|to| {
        to.put(&ErrorCode::UNAUTHENTICATED)?;
        to.put(&Realm(REALM))?;
        to.put(&Nonce(b"a-nonce"))
    };
    respond(request, Class::Error, put, false)
}

fn grant(request: &Message<'_>, relayed: &str, is_signed: bool) -> Vec<u8> {
    let relayed = relayed.parse().expect("an address");
    let put: Put<'_> = &|to| {
        to.put(&XorRelayedAddress(relayed))?;
        to.put(&Lifetime(600))
    };
    respond(request, Class::Success, put, is_signed)
}

fn binding(request: &Message<'_>, client: SocketAddr) -> Vec<u8> {
    respond(request, Class::Success, &|to| to.put(&XorMappedAddress(client)), false)
}

/// A server that does as it should up to an Allocate with credentials, which `allocate` answers.
fn with_allocate(allocate: impl Fn(&Message<'_>) -> Vec<u8> + Send + 'static) -> SocketAddr {
    serve(move |request, client| match request.method() {
        Method::BINDING => Some(binding(request, client)),
        Method::ALLOCATE if username(request).is_none() => Some(challenge(request)),
        Method::ALLOCATE => Some(allocate(request)),
        _ => Some(refuse(request, 437)),
    })
}

fn run(server: SocketAddr) -> Probed {
    let site = Site::new();
    let uri = format!("turn:{server}");
    probe(&[&uri, "--secret-file", &site.path("secret"), "--negative=never", "--timeout", "300ms"])
}

#[test]
fn silence_is_told_from_a_host_that_is_up() {
    // A port that nobody answers on: it is bound, so that the system does not refuse.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback address");
    let server = silent.local_addr().expect("it is bound");
    run(server).says("binding", "fault", &["no answer over UDP in 0.3 s", "open UDP port", "server runs"]);
    let _listener = TcpListener::bind(server).expect("the same port");
    run(server).says("binding", "fault", &["takes TCP connections", "no-udp"]);
}

#[test]
fn an_answer_from_another_port_is_found() {
    let second = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback address");
    let from = second.local_addr().expect("it is bound");
    let server = serve(move |request, client| {
        second.send_to(&binding(request, client), client).expect("sent");
        None
    });
    let words = format!("the answer comes from {from}, not from {server}");
    run(server).says("binding", "fault", &[&words, "listening-ip"]);
}

#[test]
fn a_web_server_is_named() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback address");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 100]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let probed = probe(&[&format!("turn:127.0.0.1:{port}?transport=tcp"), "--timeout", "500ms"]);
    probed.says("binding", "fault", &["a web server answers"]);
}

#[test]
fn challenges_that_nobody_can_answer_are_found() {
    let without_nonce = serve(|request, client| match request.method() {
        Method::BINDING => Some(binding(request, client)),
        _ => Some(refuse(request, 401)),
    });
    run(without_nonce).says("challenge", "fault", &["401 without REALM or NONCE", "lt-cred-mech"]);
    let elsewhere = serve(|request, client| match request.method() {
        Method::BINDING => Some(binding(request, client)),
        _ => Some(respond(
            request,
            Class::Error,
            &|to| {
                to.put(&ErrorCode::registered(300))?;
                to.put(&AlternateServer("192.0.2.9:3478".parse().expect("an address")))
            },
            false,
        )),
    });
    run(elsewhere).says("challenge", "fault", &["300 Try Alternate, to 192.0.2.9:3478", "browsers do not follow"]);
}

#[test]
fn error_codes_of_an_allocation_have_their_causes() {
    for (code, words) in [
        (403, &["403 Forbidden", "must not allocate"][..]),
        (437, &["437 Allocation Mismatch", "another port"]),
        (442, &["no `no-udp-relay`"]),
        (486, &["486 Allocation Quota Reached", "user-quota", "limits.allocations_per_user"]),
        (500, &["500 Server Error", "log"]),
        (508, &["508 Insufficient Capacity", "min-port", "relay.ports"]),
        (699, &["699", "without a reason that RFC 8656 knows"]),
    ] {
        run(with_allocate(move |request| refuse(request, code))).says("allocate", "fault", words);
    }
    let unknown = with_allocate(|request| {
        let put: Put<'_> = &|to| {
            to.put(&ErrorCode::registered(420))?;
            to.put(&UnknownAttributes::new(&[AttributeType::REQUESTED_TRANSPORT]))
        };
        respond(request, Class::Error, put, false)
    });
    run(unknown).says("allocate", "fault", &["420 Unknown Attribute (REQUESTED-TRANSPORT)"]);
}

/// A credential for an hour has expired by the clock of a server that is half a day ahead.
#[test]
fn a_clock_that_is_ahead_is_told_from_a_wrong_secret() {
    let server = with_allocate(|request| {
        let expiry = username(request).and_then(|name| name.split(':').next()?.parse::<u64>().ok()).unwrap_or(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").as_secs();
        let knows = key(request).is_some_and(|key| request.verify_integrity(&key).is_ok());
        if knows && expiry > now + 12 * 3600 { grant(request, "127.0.0.1:40000", true) } else { challenge(request) }
    });
    run(server).says("allocate", "fault", &["a credential for a day is accepted", "has expired", "NTP"]);
}

#[test]
fn a_server_that_wants_the_other_order_is_explained() {
    let server = with_allocate(|request| {
        let is_reversed = username(request).is_some_and(|name| name.starts_with("probe-"));
        if is_reversed { grant(request, "127.0.0.1:40000", true) } else { challenge(request) }
    });
    run(server).says("allocate", "fault", &["USER:EXPIRY"]);
}

#[test]
fn answers_that_nobody_signed_are_found() {
    let server = with_allocate(|request| grant(request, "127.0.0.1:40000", false));
    run(server).says("allocate", "fault", &["MESSAGE-INTEGRITY is missing or wrong"]);
}

#[test]
fn a_relayed_address_that_is_none_is_found() {
    let server = with_allocate(|request| grant(request, "0.0.0.0:40000", true));
    run(server).says("allocate", "fault", &["relayed address 0.0.0.0:40000", "no address that anybody can send to"]);
}

/// Its reason phrase is no text: it is shown without it, and nothing panics.
#[test]
fn a_hostile_reason_phrase_does_no_harm() {
    let server = with_allocate(|request| {
        let mut reply = respond(request, Class::Error, &|to| to.put(&ErrorCode { code: 499, reason: "AAAA" }), false);
        let end = reply.len();
        reply[end - 4..].copy_from_slice(&[0x1B, b'[', 0xFF, 0xFE]);
        reply
    });
    let probed = run(server);
    probed.says("allocate", "fault", &["refused: 499"]);
    assert!(!probed.json.to_string().contains('\u{1b}'));
}

/// The text and the JSON of a whole run, with what differs from run to run made equal.
#[test]
fn the_report_is_as_it_was() {
    let server = with_allocate(|request| refuse(request, 486));
    let site = Site::new();
    let (uri, secret) = (format!("turn:{server}"), site.path("secret"));
    let arguments = ["probe", &uri, "--secret-file", &secret, "--timeout", "300ms"];
    let output = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_turnkeep"));
        let output = command.args(arguments).args(more).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1));
        steady(&String::from_utf8(output.stdout).expect("UTF-8"), server)
    };
    assert_golden("tests/golden/probe/report.txt", &output(&[]));
    assert_golden("tests/golden/probe/report.json", &output(&["--json"]));
}

/// Ports, times and dates as letters.
fn steady(text: &str, server: SocketAddr) -> String {
    let mut steady = String::new();
    for line in text.replace(&server.to_string(), "127.0.0.1:SERVER").split_inclusive('\n') {
        let line = mask(line, "seen as 127.0.0.1:", "PORT");
        let line = mask(&line, "\"took_us\": ", "TIME");
        let line = mask(&line, "\"begun_unix\": ", "TIME");
        let line = mask(&line, "turnkeep probe, ", "TIME");
        steady += &match line.rsplit_once(", ") {
            Some((front, end)) if end.trim_end().ends_with(" ms") => format!("{front}, TIME\n"),
            _ => line,
        };
    }
    steady
}

/// `line` with the figures behind each `mark` replaced; of a date all that belongs to it.
fn mask(line: &str, mark: &str, name: &str) -> String {
    let mut parts = line.split(mark);
    let is_date = mark.starts_with("turnkeep probe");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || is_date && "-:TZ".contains(c));
        let masked = if rest.len() < part.len() { name } else { "" };
        text + mark + masked + rest
    })
}
