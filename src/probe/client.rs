//! Requests and their answers: transactions over a link, with the long-term credential mechanism (RFC 8489 §9.2).

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};

use super::link::Link;
use crate::client::credential::Login;
use crate::wire::attribute::{
    Data, ErrorCode, Nonce, PasswordAlgorithmAttribute, PasswordAlgorithms, Realm, Username, XorPeerAddress,
};
use crate::wire::channel_data::{self, CHANNEL_HEADER_LEN};
use crate::wire::{
    BufferFull, ChannelData, ChannelNumber, Class, Decode, Integrity, IntegrityKey, Kind, LongTermKey, Message,
    MessageWriter, Method, PasswordAlgorithm, TransactionId, classify,
};

/// The time before the first retransmission; it doubles with each (RFC 8489 §6.2.1, RTO).
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest request that is sent; PADDING's included.
const MAX_REQUEST: usize = 4096;
/// How often a nonce may be stale in a row.
const MAX_STALE: u32 = 3;
/// Data that came while something else was awaited; more is not kept.
const MAX_INBOX: usize = 64;
/// The nonce of a server with RFC 8489's security features begins so (RFC 8489 §9.2).
const NONCE_COOKIE: &[u8] = b"obMatJos2";

/// A client on a link.
pub(super) struct Client {
    pub(super) link: Link,
    /// What the server's challenge said, once it came, and the login for it.
    pub(super) session: Option<Session>,
    patience: Duration,
    inbox: VecDeque<Vec<u8>>,
}

/// What requests are signed with.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) login: Login,
    pub(super) realm: Vec<u8>,
    pub(super) nonce: Vec<u8>,
    /// PASSWORD-ALGORITHMS as it came, to be echoed.
    pub(super) offered: Option<Vec<u8>>,
    algorithm: PasswordAlgorithm,
    key: IntegrityKey,
}

/// What became of a request.
pub(super) enum Outcome {
    /// A success response.
    Success(Answer),
    /// An error response.
    Refused(Refusal),
    /// Nothing came, however often it was sent.
    Silence,
    /// The link is broken, or the port closed.
    Broken(io::Error),
}

/// An error response.
pub(super) struct Refusal {
    /// 0 where there is none.
    pub(super) code: u16,
    /// The server's words.
    pub(super) reason: String,
    pub(super) answer: Answer,
}

/// A response.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// Since the request was first sent.
    pub(super) took: Duration,
    /// The request's length in bytes.
    pub(super) request_len: usize,
}

/// Writes what a request holds besides its credentials.
pub(super) type Body<'a> = &'a dyn Fn(&mut MessageWriter<'_>) -> Result<(), BufferFull>;

/// A request that holds nothing more.
pub(super) const NOTHING: Body<'static> = &|_| Ok(());

impl Client {
    /// One that knows nothing of its server.
    pub(super) fn new(link: Link, patience: Duration) -> Self {
        Self { link, session: None, patience, inbox: VecDeque::new() }
    }

    /// A request without credentials.
    pub(super) fn ask(&mut self, method: Method, body: Body<'_>) -> Outcome {
        let request = compose(method, body, None, true);
        self.exchange(&request)
    }

    /// A request with the session's credentials, and again with a fresh nonce where it was stale (438).
    pub(super) fn ask_signed(&mut self, method: Method, body: Body<'_>) -> Outcome {
        for _ in 0..MAX_STALE {
            let request = compose(method, body, self.session.as_ref(), true);
            match self.exchange(&request) {
                Outcome::Refused(refusal) if refusal.code == 438 && self.renew(&refusal.answer) => {}
                other => return other,
            }
        }
        let request = compose(method, body, self.session.as_ref(), true);
        self.exchange(&request)
    }

    /// Takes the fresh nonce out of a 438.
    fn renew(&mut self, answer: &Answer) -> bool {
        match (answer.get::<Nonce<'_>>(), &mut self.session) {
            (Some(Nonce(nonce)), Some(session)) => {
                session.nonce = nonce.to_vec();
                true
            }
            _ => false,
        }
    }

    /// Sends `request`, over UDP again and again as RFC 8489 §6.2.1 says, until its answer comes or patience ends.
    pub(super) fn exchange(&mut self, request: &[u8]) -> Outcome {
        self.exchange_within(request, self.patience)
    }

    /// The same with another patience.
    pub(super) fn exchange_within(&mut self, request: &[u8], patience: Duration) -> Outcome {
        let begun = Instant::now();
        let end = begun + patience;
        let mut wait = FIRST_WAIT;
        loop {
            if let Err(error) = self.link.send(request) {
                return Outcome::Broken(error);
            }
            let again = if self.link.is_lossy() { end.min(Instant::now() + wait) } else { end };
            wait *= 2;
            loop {
                let message = match self.link.receive(again) {
                    Ok(Some(message)) => message,
                    Ok(None) => break,
                    Err(error) => return Outcome::Broken(error),
                };
                if !answers(&message, request) {
                    self.keep(message);
                    continue;
                }
                let answer = Answer { bytes: message, took: begun.elapsed(), request_len: request.len() };
                return answer.into_outcome();
            }
            if Instant::now() >= end {
                return Outcome::Silence;
            }
        }
    }

    fn keep(&mut self, message: Vec<u8>) {
        if self.inbox.len() < MAX_INBOX {
            self.inbox.push_back(message);
        }
    }

    /// Sends `payload` to `peer` in a Send indication (RFC 8656 §11.1).
    pub(super) fn send_to(&mut self, peer: SocketAddr, payload: &[u8]) -> io::Result<()> {
        let mut buffer = vec![0; payload.len() + 64];
        let written =
            MessageWriter::new(&mut buffer, Method::SEND, Class::Indication, fresh_id()).and_then(|mut to| {
                to.put(&XorPeerAddress(peer))?;
                to.put(&Data(payload))?;
                Ok(to.finish())
            });
        let len = written.map_err(io::Error::other)?;
        self.link.send(&buffer[..len])
    }

    /// Sends `payload` over a channel (RFC 8656 §12.5).
    pub(super) fn send_on(&mut self, channel: ChannelNumber, payload: &[u8]) -> io::Result<()> {
        let len = u16::try_from(payload.len()).map_err(io::Error::other)?;
        self.link.send(&[&channel_data::header(channel, len)[..], payload].concat())
    }

    /// The next data from a peer; nothing if none comes before `deadline`.
    pub(super) fn data(&mut self, deadline: Instant) -> io::Result<Option<Delivery>> {
        loop {
            let message = match self.inbox.pop_front() {
                Some(message) => message,
                None => match self.link.receive(deadline)? {
                    Some(message) => message,
                    None => return Ok(None),
                },
            };
            if let Some(delivery) = Delivery::read(&message) {
                return Ok(Some(delivery));
            }
        }
    }

    /// Forgets what came.
    pub(super) fn drain(&mut self) {
        self.inbox.clear();
    }
}

/// What came from a peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) payload: Vec<u8>,
    pub(super) by: By,
}

/// How it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Indication(SocketAddr),
    Channel(u16),
}

impl Delivery {
    fn read(message: &[u8]) -> Option<Self> {
        if classify(message) == Kind::ChannelData {
            ChannelData::parse(message).ok()?;
            let [n0, n1, l0, l1, payload @ ..] = message else { return None };
            let payload = payload.get(..usize::from(u16::from_be_bytes([*l0, *l1])))?.to_vec();
            debug_assert_eq!(message.len().min(CHANNEL_HEADER_LEN + payload.len()), CHANNEL_HEADER_LEN + payload.len());
            return Some(Self { payload, by: By::Channel(u16::from_be_bytes([*n0, *n1])) });
        }
        let message = Message::parse(message).ok()?;
        if (message.method(), message.class()) != (Method::DATA, Class::Indication) {
            return None;
        }
        let XorPeerAddress(peer) = message.get().ok()??;
        let Data(payload) = message.get().ok()??;
        Some(Self { payload: payload.to_vec(), by: By::Indication(peer) })
    }
}

impl Session {
    /// From a challenge (401): realm, nonce, algorithms. None if it lacks realm or nonce.
    pub(super) fn of_challenge(answer: &Answer, login: Login) -> Option<Self> {
        let Realm(realm) = answer.get()?;
        let Nonce(nonce) = answer.get()?;
        // Without the nonce's cookie the attribute means nothing (RFC 8489 §9.2.1).
        let has_features = nonce.starts_with(NONCE_COOKIE);
        let offered = answer.get::<PasswordAlgorithms<'_>>().filter(|_| has_features);
        let offered = offered.map(|offered| offered.as_bytes().to_vec());
        let algorithm = PasswordAlgorithm::Md5;
        let key = derive(algorithm, &login, realm);
        let session = Self { login, realm: realm.to_vec(), nonce: nonce.to_vec(), offered, algorithm, key };
        let best = if session.offers(PasswordAlgorithm::Sha256) { PasswordAlgorithm::Sha256 } else { algorithm };
        Some(session.with_algorithm(best))
    }

    pub(super) fn offers(&self, algorithm: PasswordAlgorithm) -> bool {
        let offered = self.offered.as_deref().and_then(PasswordAlgorithms::from_bytes);
        offered.is_some_and(|offered| offered.iter().any(|entry| entry.number == algorithm.number()))
    }

    pub(super) fn algorithm(&self) -> PasswordAlgorithm {
        self.algorithm
    }

    /// The same user by another algorithm. MD5 is used as clients of RFC 5389 use it: without a word about algorithms,
    /// which every server must take (RFC 8489 §9.2.4).
    pub(super) fn with_algorithm(self, algorithm: PasswordAlgorithm) -> Self {
        let key = derive(algorithm, &self.login, &self.realm);
        Self { algorithm, key, ..self }
    }

    /// Another user on the same challenge.
    pub(super) fn with_login(&self, login: Login) -> Self {
        let key = derive(self.algorithm, &login, &self.realm);
        Self { login, key, ..self.clone() }
    }

    /// The same user in another realm.
    pub(super) fn with_realm(&self, realm: &[u8]) -> Self {
        let key = derive(self.algorithm, &self.login, realm);
        Self { realm: realm.to_vec(), key, ..self.clone() }
    }

    /// The same with another nonce.
    pub(super) fn with_nonce(&self, nonce: &[u8]) -> Self {
        Self { nonce: nonce.to_vec(), ..self.clone() }
    }

    /// Whether an answer's integrity is the server's, which knows the password.
    pub(super) fn vouches_for(&self, answer: &Answer) -> bool {
        answer.message().is_some_and(|message| message.verify_integrity(&self.key).is_ok())
    }

    fn put(&self, writer: &mut MessageWriter<'_>) -> Result<(), BufferFull> {
        writer.put(&Username(self.login.username.as_bytes()))?;
        writer.put(&Realm(&self.realm))?;
        writer.put(&Nonce(&self.nonce))?;
        if self.algorithm != PasswordAlgorithm::Md5
            && let Some(offered) = self.offered.as_deref().and_then(PasswordAlgorithms::from_bytes)
        {
            writer.put(&offered)?;
            writer.put(&PasswordAlgorithmAttribute::new(self.algorithm))?;
        }
        writer.integrity(&self.key)
    }
}

fn derive(algorithm: PasswordAlgorithm, login: &Login, realm: &[u8]) -> IntegrityKey {
    let key = LongTermKey::derive(algorithm, login.username.as_bytes(), realm, login.password.as_bytes());
    let integrity = match algorithm {
        PasswordAlgorithm::Md5 => Integrity::Sha1,
        PasswordAlgorithm::Sha256 => Integrity::Sha256,
    };
    IntegrityKey::new(integrity, &key)
}

impl Answer {
    /// The message. It was parsed when it came.
    pub(super) fn message(&self) -> Option<Message<'_>> {
        Message::parse(&self.bytes).ok()
    }

    /// An attribute that is there and valid.
    pub(super) fn get<'a, T: Decode<'a>>(&'a self) -> Option<T> {
        self.message()?.get().ok()?
    }

    fn into_outcome(self) -> Outcome {
        let Some(message) = self.message() else { return Outcome::Silence };
        if message.class() == Class::Success {
            return Outcome::Success(self);
        }
        let error = message.get::<ErrorCode<'_>>().ok().flatten();
        let (code, reason) = error.map_or((0, String::new()), |error| (error.code, error.reason.to_owned()));
        Outcome::Refused(Refusal { code, reason, answer: self })
    }
}

impl Refusal {
    /// The code with its name, the registered one before the server's own.
    pub(super) fn words(&self) -> String {
        let registered = ErrorCode::registered(self.code).reason;
        match (self.code, registered, self.reason.as_str()) {
            (0, ..) => "an error response without a code".to_owned(),
            (code, "", "") => code.to_string(),
            (code, "", reason) => format!("{code} {}", reason.escape_debug()),
            (code, registered, _) => format!("{code} {registered}"),
        }
    }
}

/// Whether `message` is the response to `request`.
fn answers(message: &[u8], request: &[u8]) -> bool {
    if classify(message) != Kind::Stun {
        return false;
    }
    let (Ok(message), Some(id)) = (Message::parse(message), request.get(8..20)) else {
        return false;
    };
    message.transaction_id().0 == *id && matches!(message.class(), Class::Success | Class::Error)
}

/// A request, signed where there is a session, and with FINGERPRINT if so wished. What does not fit is left out, and
/// nothing here is that long.
pub(super) fn compose(method: Method, body: Body<'_>, session: Option<&Session>, fingerprint: bool) -> Vec<u8> {
    let mut buffer = vec![0; MAX_REQUEST];
    let written = MessageWriter::new(&mut buffer, method, Class::Request, fresh_id()).and_then(|mut writer| {
        body(&mut writer)?;
        if let Some(session) = session {
            session.put(&mut writer)?;
        }
        if fingerprint {
            writer.fingerprint()?;
        }
        Ok(writer.finish())
    });
    buffer.truncate(written.unwrap_or(0));
    buffer
}

/// Sixteen hexadecimal digits that nobody has used before.
pub(super) fn fresh_word() -> String {
    random::<8>().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fresh_id() -> TransactionId {
    TransactionId(random())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Where the system has no randomness nothing secret is at stake: ids then repeat, and an answer is taken for
    // another's.
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes
}
