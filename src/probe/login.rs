//! The steps around an allocation: challenge, Allocate, Refresh, release; and why a login fails.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cause;
use super::client::{Answer, Client, Outcome, Refusal, Session};
use super::report::{Step, Verdict};
use super::walk::{Log, Scene, now_unix};
use crate::client::credential::{Credentials, Login, TTL};
use crate::wire::attribute::{
    AlternateServer, FAMILY_V6, Lifetime, RequestedAddressFamily, RequestedTransport, UnknownAttributes,
    XorPeerAddress, XorRelayedAddress,
};
use crate::wire::{BufferFull, MessageWriter, Method, PasswordAlgorithm};

/// RFC 8656 §3.2: what a server should grant at least.
const USUAL_LIFETIME_SECS: u32 = 600;

/// How long a server may take to end an allocation that was given back.
const CLEARING_UP: Duration = Duration::from_secs(4);

/// An allocation that the probe made.
pub(super) struct Allocation {
    /// Where peers send to.
    pub(super) relayed: SocketAddr,
    /// In seconds, as granted.
    pub(super) lifetime: Option<u32>,
    /// Whose it is; none while somebody else has the client.
    pub(super) client: Option<Client>,
}

/// The steps "challenge" and "allocate".
pub(super) fn login(scene: &Scene<'_>, log: &mut Log<'_>, client: &mut Client) -> Option<Allocation> {
    let refusal = match client.ask(Method::ALLOCATE, &transport) {
        Outcome::Refused(refusal) => refusal,
        Outcome::Success(answer) => {
            log.step(open_relay(&answer));
            return allocation(&answer);
        }
        Outcome::Silence => {
            log.step(
                Step::fault("challenge", "no answer to Allocate, though Binding is answered")
                    .cure("the server is one for STUN alone: coturn without `stun-only`")
                    .cure("a middlebox may let Binding pass alone: try another network"),
            );
            return None;
        }
        Outcome::Broken(error) => {
            log.step(Step::fault("challenge", format!("the connection broke: {}", super::reach::words(&error))));
            return None;
        }
    };
    let login = scene.login("walk");
    let (step, session) = challenge(&refusal, login.clone());
    log.step(step);
    client.session = session;
    client.session.as_ref()?;
    if login.is_none() {
        log.step(
            Step::untested("allocate", "no credentials were given")
                .cure("give --secret-file, or --user and --password-file"),
        );
        return None;
    }
    allocate(scene, log, client)
}

/// An Allocate without credentials was granted.
fn open_relay(answer: &Answer) -> Step {
    Step::fault("challenge", "an Allocate without credentials is granted: this is an open relay")
        .took(answer.took)
        .why("anybody can send and receive in this server's name, and reach what it can reach")
        .cure("coturn: take out `no-auth`; set `use-auth-secret` with `static-auth-secret`, or `lt-cred-mech`")
        .cure("turnkeep has no such mode")
}

/// What an Allocate without credentials is answered with, which should be 401 with realm and nonce.
fn challenge(refusal: &Refusal, login: Option<Login>) -> (Step, Option<Session>) {
    let answer = &refusal.answer;
    if refusal.code == 300 {
        let to = answer.get().map_or_else(|| "nowhere".to_owned(), |AlternateServer(to)| to.to_string());
        let (why, cures) = cause::of_refused_allocate(300);
        let step = Step::fault("challenge", format!("300 Try Alternate, to {to}")).took(answer.took).why(why);
        return (cures.iter().fold(step, |step, cure| step.cure(*cure)), None);
    }
    if refusal.code != 401 {
        let (why, cures) = cause::of_refused_allocate(refusal.code);
        let said = format!("{} in place of a challenge (401)", refusal.words());
        let step = Step::fault("challenge", said).took(answer.took).why(why);
        return (cures.iter().fold(step, |step, cure| step.cure(*cure)), None);
    }
    // Without credentials an empty login stands in: it reads the challenge and is never sent.
    let login = login.unwrap_or_else(|| Login { username: String::new(), password: String::new().into() });
    let Some(session) = Session::of_challenge(answer, login) else {
        let step = Step::fault("challenge", "401 without REALM or NONCE: nobody can answer it (RFC 8489 §9.2.4)");
        return (step.took(answer.took).cure("coturn: set `realm`, and `lt-cred-mech` or `use-auth-secret`"), None);
    };
    let realm = String::from_utf8_lossy(&session.realm).escape_debug().to_string();
    let algorithms = match (session.offers(PasswordAlgorithm::Sha256), session.offers(PasswordAlgorithm::Md5)) {
        (true, true) => "SHA-256 and MD5 offered",
        (true, false) => "SHA-256 offered",
        (false, true) => "MD5 offered",
        (false, false) => "MD5, as before RFC 8489",
    };
    let said = format!("401 as it should be; realm \"{realm}\"; {algorithms}");
    let mut step = Step::ok("challenge", said).took(answer.took);
    if realm.is_empty() {
        step = step.at_least(Verdict::Warning).why("the realm is empty").cure("coturn and turnkeep: set `realm`");
    }
    (step, Some(session))
}

/// The step "allocate", with the client's session.
fn allocate(scene: &Scene<'_>, log: &mut Log<'_>, client: &mut Client) -> Option<Allocation> {
    let mut outcome = client.ask_signed(Method::ALLOCATE, &allocate_body(scene));
    let mut is_other_family = false;
    if let Outcome::Refused(Refusal { code: 440, .. }) = outcome {
        is_other_family = true;
        outcome = client.ask_signed(Method::ALLOCATE, &transport);
    }
    let step = match &outcome {
        Outcome::Success(answer) => granted(scene, client, answer, is_other_family),
        Outcome::Refused(refusal) if refusal.code == 401 => {
            let (step, found) = unauthenticated(scene, client, refusal);
            log.step(step);
            return found;
        }
        Outcome::Refused(refusal) => refused(refusal),
        Outcome::Silence => Step::fault("allocate", "no answer to an Allocate with credentials")
            .why("the challenge was answered, so packets of this length or kind get lost")
            .cure("a middlebox may drop longer UDP packets: try over TCP or TLS")
            .cure("look at the server's log"),
        Outcome::Broken(error) => {
            Step::fault("allocate", format!("the connection broke: {}", super::reach::words(error)))
        }
    };
    log.step(step);
    match outcome {
        Outcome::Success(answer) => allocation(&answer),
        _ => None,
    }
}

fn transport(writer: &mut MessageWriter<'_>) -> Result<(), BufferFull> {
    writer.put(&RequestedTransport::UDP)
}

/// For a server that is reached over IPv6 an IPv6 relayed address; without a word it is an IPv4 one (RFC 8656 §7.2).
pub(super) fn allocate_body(scene: &Scene<'_>) -> impl Fn(&mut MessageWriter<'_>) -> Result<(), BufferFull> {
    let is_v6 = scene.server.is_ipv6();
    move |writer| {
        transport(writer)?;
        if is_v6 { writer.put(&RequestedAddressFamily(FAMILY_V6)) } else { Ok(()) }
    }
}

/// What an Allocate success response says.
pub(super) fn allocation(answer: &Answer) -> Option<Allocation> {
    let XorRelayedAddress(relayed) = answer.get()?;
    Some(Allocation { relayed, lifetime: answer.get().map(|Lifetime(secs)| secs), client: None })
}

fn granted(scene: &Scene<'_>, client: &Client, answer: &Answer, is_other_family: bool) -> Step {
    let Some(Allocation { relayed, lifetime, .. }) = allocation(answer) else {
        return Step::fault("allocate", "granted without an XOR-RELAYED-ADDRESS (RFC 8656 §7.3)").took(answer.took);
    };
    let server = scene.server.ip();
    let until = lifetime.map_or_else(|| "no lifetime told".to_owned(), |secs| format!("for {secs} s"));
    let by = match client.session.as_ref().map(Session::algorithm) {
        Some(PasswordAlgorithm::Sha256) => "by SHA-256",
        _ => "by MD5 and SHA-1",
    };
    let step = Step::ok("allocate", format!("relayed address {relayed}, {until}, {by}")).took(answer.took);
    if !client.session.as_ref().is_some_and(|session| session.vouches_for(answer)) {
        return step
            .at_least(Verdict::Fault)
            .why(
                "the answer's MESSAGE-INTEGRITY is missing or wrong: whoever answers does not know the password, and \
                  clients that check drop it",
            )
            .cure("look for a proxy that changes packets; update the server");
    }
    if let Some(why) = cause::of_bad_relayed(relayed, server, scene.settings.expect_relayed) {
        let step = step.at_least(Verdict::Fault).why(why);
        return cause::CURES_OF_RELAYED.into_iter().fold(step, Step::cure);
    }
    if is_other_family {
        return step
            .at_least(Verdict::Note)
            .why("there are no IPv6 relayed addresses (440), so IPv6 peers cannot be reached")
            .cure("coturn: an IPv6 `relay-ip`; turnkeep: a [[relay.address]] with one");
    }
    if relayed.ip() != server && relayed.is_ipv4() == server.is_ipv4() {
        let why = format!("the server was asked at {server}: right for a 1:1 NAT or a second address, else not");
        return step.at_least(Verdict::Note).why(why);
    }
    step
}

fn refused(refusal: &Refusal) -> Step {
    let (why, cures) = cause::of_refused_allocate(refusal.code);
    let mut said = format!("refused: {}", refusal.words());
    if let Some(unknown) = refusal.answer.get::<UnknownAttributes<'_>>() {
        let names: Vec<_> = unknown.iter().map(|attribute| attribute.to_string()).collect();
        said += &format!(" ({})", names.join(", "));
    }
    let step = Step::fault("allocate", said).took(refusal.answer.took).why(why);
    cures.iter().fold(step, |step, cure| step.cure(*cure))
}

/// A login that might be what the server expects in place of ours, and what it would show.
struct Guess {
    login: Login,
    algorithm: PasswordAlgorithm,
    shows: &'static str,
    cure: &'static str,
}

/// The step "allocate" after a 401 to credentials: what would have been right? If a guess is, the walk goes on with it.
fn unauthenticated(scene: &Scene<'_>, client: &mut Client, refusal: &Refusal) -> (Step, Option<Allocation>) {
    let step = Step::fault("allocate", format!("refused: {}; the credentials are not accepted", refusal.words()));
    let step = step.took(refusal.answer.took);
    let (Some(session), Some(credentials)) = (client.session.clone(), &scene.settings.credentials) else {
        return (step, None);
    };
    for Guess { login, algorithm, shows, cure } in guesses(credentials, &session) {
        client.session = Some(session.with_login(login).with_algorithm(algorithm));
        if let Outcome::Success(answer) = client.ask_signed(Method::ALLOCATE, &allocate_body(scene)) {
            return (step.why(shows).cure(cure), allocation(&answer));
        }
    }
    client.session = Some(session);
    (no_guess_fits(step, credentials), None)
}

/// None of the usual mistakes.
fn no_guess_fits(step: Step, credentials: &Credentials) -> Step {
    match credentials {
        Credentials::Secret(_) => step
            .why(
                "the secret is another one; an expiry sooner or later, the other order, the other HMAC and the usual \
                  slips in copying it change nothing",
            )
            .cure("coturn: `static-auth-secret` must be this secret byte for byte, and `use-auth-secret` be set")
            .cure("coturn with a database: its table turn_secret outdoes the file")
            .cure("turnkeep: `turnkeep credential explain` on its host says what it makes of a credential")
            .cure("if the server has users with fixed passwords: give --user and --password-file"),
        Credentials::User { .. } => step
            .why("user or password is wrong, or the server keeps the user for another realm than it asks with")
            .cure("coturn: `lt-cred-mech` with `user=NAME:PASSWORD`; a key of `turnadmin -k` holds for one realm alone")
            .cure("if the server has a shared secret (`use-auth-secret`): give --secret-file")
            .cure("turnkeep: `turnkeep credential explain` on its host says what it makes of a credential"),
    }
}

fn guesses(credentials: &Credentials, session: &Session) -> Vec<Guess> {
    let (now, login, algorithm) = (now_unix(), &session.login, session.algorithm());
    let mut guesses = Vec::new();
    let mut guess = |login: Login, shows, cure| guesses.push(Guess { login, algorithm, shows, cure });
    match credentials {
        Credentials::User { name, password } => {
            let trimmed = password.trim();
            if trimmed != password.as_str() {
                let login = Login { username: name.clone(), password: trimmed.to_owned().into() };
                guess(login, "the password is right without the white space around it", "take the white space out");
            }
        }
        Credentials::Secret(secret) => {
            let at = |expiry: u64| Login::ephemeral(secret, expiry, "probe-walk");
            guess(
                at(now + 60),
                "a credential for a minute is accepted, one for an hour is not",
                "the issuer's lifetime must be below the server's limit: turnkeep credentials.max_ttl; or the clock of \
                 this host is ahead of the server's",
            );
            guess(
                at(now + 24 * TTL.as_secs()),
                "a credential for a day is accepted, one for an hour is not: by the server's clock it has expired",
                "set the server's clock, or this host's: let both follow NTP",
            );
            let reversed = format!("probe-walk:{}", now + TTL.as_secs());
            guess(
                Login::signed(secret, reversed),
                "the server wants USER:EXPIRY, not EXPIRY:USER",
                "turn the order round: most issuers of credentials write EXPIRY:USER",
            );
            guess(
                Login::signed_sha256(secret, login.username.clone()),
                "the server makes passwords by HMAC-SHA256",
                "turnkeep: credentials.hmac = \"sha1\", which is what others make",
            );
            for (other, shows, cure) in slips(secret) {
                guess(Login::signed(&other, login.username.clone()), shows, cure);
            }
        }
    }
    if algorithm != PasswordAlgorithm::Md5 {
        guesses.push(Guess {
            login: login.clone(),
            algorithm: PasswordAlgorithm::Md5,
            shows: "by MD5 it is accepted: the server offers SHA-256 (RFC 8489 §9.2) and does not take it",
            cure: "update the server: clients that use the better algorithm do not get in",
        });
    }
    guesses
}

/// The secret as it comes out of the usual slips in copying it.
fn slips(secret: &[u8]) -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let mut slips = vec![(
        [secret, b"\n"].concat(),
        "the server's copy of the secret has a line feed at its end",
        "take it out: printf in place of echo where the file is made",
    )];
    let trimmed = secret.trim_ascii();
    if trimmed != secret {
        slips.push((trimmed.to_vec(), "our copy of the secret has white space around it", "take the white space out"));
    }
    if let Ok(decoded) = STANDARD.decode(trimmed) {
        let shows = "the server takes the secret base64-decoded";
        slips.push((
            decoded,
            shows,
            "others take it as written: give the server the text, or a secret that is no base64",
        ));
    }
    slips
}

/// The step "refresh".
pub(super) fn refresh(log: &mut Log<'_>, allocation: &mut Allocation) {
    let (Some(client), granted) = (&mut allocation.client, allocation.lifetime) else { return };
    log.step(match client.ask_signed(Method::REFRESH, &|_| Ok(())) {
        Outcome::Success(answer) => {
            let now = answer.get().map(|Lifetime(secs)| secs);
            let secs = now.map_or_else(|| "without a word".to_owned(), |secs| format!("for {secs} s"));
            let step = Step::ok("refresh", format!("prolonged {secs}")).took(answer.took);
            match now.into_iter().chain(granted).min() {
                Some(secs) if secs < USUAL_LIFETIME_SECS => step
                    .at_least(Verdict::Warning)
                    .why(format!("clients expect {USUAL_LIFETIME_SECS} s (RFC 8656 §3.2), and some refresh no sooner"))
                    .cure("coturn: a higher `max-allocate-lifetime`"),
                Some(_) => step,
                None => step.at_least(Verdict::Warning).why("the answer has no LIFETIME (RFC 8656 §8.2)"),
            }
        }
        other => failed("refresh", &other)
            .why("the call would end after the first lifetime")
            .cure("look at the server's log"),
    });
}

/// The step "release": the allocation is given back, and gone.
pub(super) fn release(log: &mut Log<'_>, allocation: &mut Allocation) {
    let relayed = allocation.relayed;
    let Some(client) = &mut allocation.client else { return };
    let answer = match client.ask_signed(Method::REFRESH, &|writer| writer.put(&Lifetime(0))) {
        Outcome::Success(answer) => answer,
        other => {
            log.step(failed("release", &other).why("the port stays taken until the lifetime ends"));
            return;
        }
    };
    let is_there = |client: &mut Client| {
        let after = client.ask_signed(Method::CREATE_PERMISSION, &|writer| writer.put(&XorPeerAddress(relayed)));
        matches!(after, Outcome::Success(_))
    };
    if !is_there(client) {
        return log.step(Step::ok("release", "given back").took(answer.took));
    }
    // Some servers clear up when a timer comes round.
    let begun = Instant::now();
    while begun.elapsed() < CLEARING_UP {
        thread::sleep(CLEARING_UP / 8);
        if !is_there(client) {
            let said = format!("given back, and gone {:.1} s later", begun.elapsed().as_secs_f64());
            return log.step(Step::ok("release", said).took(answer.took));
        }
    }
    log.step(
        Step::new("release", Verdict::Warning, "given back, and still there")
            .took(answer.took)
            .why("a request on the allocation succeeds after it was ended (RFC 8656 §8.2)")
            .cure("update the server: ports and quotas stay taken"),
    );
}

/// A step that a request's outcome ended.
pub(super) fn failed(name: &'static str, outcome: &Outcome) -> Step {
    match outcome {
        Outcome::Success(_) => Step::fault(name, "granted where it should not be"),
        Outcome::Refused(refusal) => {
            Step::fault(name, format!("refused: {}", refusal.words())).took(refusal.answer.took)
        }
        Outcome::Silence => Step::fault(name, "no answer"),
        Outcome::Broken(error) => Step::fault(name, format!("the connection broke: {}", super::reach::words(error))),
    }
}

/// An allocation for a part of the probe, on a link of its own and without a word.
pub(super) fn quietly(scene: &Scene<'_>, part: &str) -> Option<Allocation> {
    let mut client = scene.connect().ok()?;
    let answer = match client.ask(Method::ALLOCATE, &transport) {
        Outcome::Success(answer) => answer,
        Outcome::Refused(refusal) if refusal.code == 401 => {
            client.session = Session::of_challenge(&refusal.answer, scene.login(part)?);
            client.session.as_ref()?;
            match client.ask_signed(Method::ALLOCATE, &allocate_body(scene)) {
                Outcome::Success(answer) => answer,
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(Allocation { client: Some(client), ..allocation(&answer)? })
}

/// Gives an allocation back without a word, and without waiting long.
pub(super) fn give_back(allocation: Allocation) {
    let Some(mut client) = allocation.client else { return };
    let request =
        super::client::compose(Method::REFRESH, &|writer| writer.put(&Lifetime(0)), client.session.as_ref(), true);
    // Where it gets lost the lifetime ends it.
    client.exchange_within(&request, Duration::from_millis(600));
}
