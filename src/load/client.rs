//! One TURN client as a state machine: the requests of an allocation's life, with time and randomness as arguments and
//! no I/O.
//!
//! Its life: [`Client::start`], over a stream the connection first; an Allocate that is answered 401, another with
//! credentials; [`Client::reach`] with a peer's address, then CreatePermission and ChannelBind; refreshes while it
//! lasts; [`Client::free`], a Refresh with
//! lifetime 0. One request at a time, sent again as RFC 8489 §6.2.1 says until it is answered.

mod step;

use std::net::SocketAddr;

pub(super) use step::{Outcome, Step, Told};

use super::fleet::News;
use crate::client::credential::Login;
use crate::wire::attribute::{
    ChannelNumberAttribute, ErrorCode, Lifetime, Nonce, Realm, RequestedTransport, Username, XorPeerAddress,
    XorRelayedAddress,
};
use crate::wire::{
    BufferFull, ChannelNumber, Class, Integrity, IntegrityKey, LongTermKey, Message, MessageWriter, PasswordAlgorithm,
    TransactionId,
};

/// The time before the first retransmission; it doubles with each (RFC 8489 §6.2.1, RTO).
pub(super) const FIRST_WAIT_NS: u64 = 500_000_000;
/// How often a request is sent in all (Rc).
const MAX_SENDINGS: u32 = 7;
/// How long an answer over a stream is waited for, which is not asked for again (RFC 8489 §6.2.2, Ti); and for the
/// stream itself.
const STREAM_WAIT_NS: u64 = 39_500_000_000;
/// How long the last one waits, in units of the first wait (Rm).
const LAST_WAIT: u64 = 16;
/// A permission lives 300 s (RFC 8656 §9): everything is refreshed before, or earlier where the server grants less.
const REFRESH_NS: u64 = 240_000_000_000;
/// How many stale nonces in a row are believed.
const MAX_STALE: u32 = 3;
/// The longest request: USERNAME, REALM and NONCE of up to 763 bytes each would be longer, and no server asks for it.
pub(super) const MAX_REQUEST: usize = 1200;

/// What a client does with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// An allocation, over datagrams.
    Datagrams,
    /// The same over a stream.
    Stream,
    /// Over a stream one Binding, and that was it.
    Brief,
}

/// One client.
pub(super) struct Client {
    login: Login,
    life: Life,
    channel: Option<ChannelNumber>,
    doing: Doing,
    /// What was not answered yet.
    open: Option<Open>,
    realm: Box<[u8]>,
    nonce: Box<[u8]>,
    key: Option<IntegrityKey>,
    relayed: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    stale: u32,
    /// When half of what the server granted the allocation is over.
    half_life_ns: u64,
    next_refresh_ns: u64,
}

/// Where in its life a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// One request of setting up or taking down.
    Step(Step),
    /// A request of the refresh.
    Refreshing(Step),
    /// Waits for a peer's address.
    Allocated,
    Ready,
    Gone,
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Open {
    id: TransactionId,
    first_sent_ns: u64,
    /// Sendings so far.
    sendings: u32,
    /// When it is sent again, or given up.
    deadline_ns: u64,
}

/// What [`Client::poll`] wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Poll {
    /// A connection to the server.
    Connect,
    /// So many bytes of the buffer are to be sent to the server.
    Send {
        /// In bytes.
        len: usize,
        /// It was sent before.
        again: bool,
    },
    /// The open request was given up.
    Told(Told),
    /// Nothing is due.
    Idle,
}

impl Client {
    /// One that logs in with `login`, and binds a channel with the number `channel` where there is one.
    pub(super) fn new(login: Login, life: Life, channel: Option<ChannelNumber>) -> Self {
        Self {
            login,
            life,
            channel,
            doing: Doing::Nothing,
            open: None,
            realm: Box::default(),
            nonce: Box::default(),
            key: None,
            relayed: None,
            peer: None,
            stale: 0,
            half_life_ns: u64::MAX,
            next_refresh_ns: u64::MAX,
        }
    }

    /// Begins an allocation. What is known of the server is forgotten: a new client knows nothing.
    pub(super) fn start(&mut self) {
        (self.relayed, self.peer, self.key, self.stale) = (None, None, None, 0);
        (self.realm, self.nonce) = Default::default();
        (self.half_life_ns, self.next_refresh_ns) = (u64::MAX, u64::MAX);
        self.go(Doing::Step(if self.life == Life::Datagrams { Step::Challenge } else { Step::Connect }));
    }

    /// Goes on to permission and channel for `peer`, once it is allocated.
    pub(super) fn reach(&mut self, peer: SocketAddr) {
        self.peer = Some(peer);
        if self.doing == Doing::Allocated {
            self.go(Doing::Step(Step::Permission));
        }
    }

    /// Gives the allocation back, if there is one; whatever is under way is forgotten.
    pub(super) fn free(&mut self) {
        let next = if self.relayed.is_some() { Doing::Step(Step::Free) } else { Doing::Gone };
        self.go(next);
    }

    fn go(&mut self, doing: Doing) {
        (self.doing, self.open) = (doing, None);
    }

    pub(super) fn relayed(&self) -> Option<SocketAddr> {
        self.relayed
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    pub(super) fn channel(&self) -> Option<ChannelNumber> {
        self.channel
    }

    /// Packets can flow.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.doing, Doing::Ready | Doing::Refreshing(_))
    }

    /// It could not send yet.
    pub(super) fn is_on_the_way(&self) -> bool {
        matches!(self.doing, Doing::Nothing | Doing::Allocated | Doing::Step(_)) || self.relayed.is_none()
    }

    /// Nothing more will happen: it has failed, or is free.
    pub(super) fn is_gone(&self) -> bool {
        self.doing == Doing::Gone
    }

    /// It has got an allocation and waits for a peer.
    pub(super) fn is_allocated(&self) -> bool {
        self.doing == Doing::Allocated
    }

    /// When [`Client::poll`] wants to be called next, in nanoseconds since the run began; none: after an answer.
    pub(super) fn deadline(&self) -> Option<u64> {
        match (self.doing, &self.open) {
            (Doing::Step(_) | Doing::Refreshing(_), None) => Some(0),
            (_, Some(open)) => Some(open.deadline_ns),
            (Doing::Ready, None) => Some(self.next_refresh_ns),
            _ => None,
        }
    }

    /// Writes the request that is due at `now_ns` into `out`, with `fresh` as transaction id if it is a new one.
    pub(super) fn poll(&mut self, now_ns: u64, fresh: TransactionId, out: &mut [u8; MAX_REQUEST]) -> Poll {
        if self.doing == Doing::Ready && now_ns >= self.next_refresh_ns {
            self.go(Doing::Refreshing(Step::Refresh));
        }
        let Some(step) = self.step() else {
            return Poll::Idle;
        };
        let most = if self.life == Life::Datagrams { MAX_SENDINGS } else { 1 };
        let open = match self.open {
            Some(open) if now_ns < open.deadline_ns => return Poll::Idle,
            Some(open) if open.sendings >= most => {
                self.go(Doing::Gone);
                return Poll::Told(Told { step, what: Outcome::TimedOut });
            }
            Some(open) => Open { sendings: open.sendings + 1, ..open },
            None => Open { id: fresh, first_sent_ns: now_ns, sendings: 1, deadline_ns: 0 },
        };
        let wait_ns = match (self.life, open.sendings) {
            (Life::Stream | Life::Brief, _) => STREAM_WAIT_NS,
            (Life::Datagrams, MAX_SENDINGS) => LAST_WAIT * FIRST_WAIT_NS,
            (Life::Datagrams, sendings) => FIRST_WAIT_NS << (sendings - 1),
        };
        self.open = Some(Open { deadline_ns: now_ns + wait_ns, ..open });
        if step == Step::Connect {
            return Poll::Connect;
        }
        match self.write(step, open.id, out) {
            Ok(len) => Poll::Send { len, again: open.sendings > 1 },
            // Its realm and nonce fit, so a user name of some hundred bytes does not: nobody will take it.
            Err(BufferFull) => {
                self.go(Doing::Gone);
                Poll::Told(Told { step, what: Outcome::Refused(0) })
            }
        }
    }

    fn step(&self) -> Option<Step> {
        match self.doing {
            Doing::Step(step) | Doing::Refreshing(step) => Some(step),
            _ => None,
        }
    }

    fn write(&self, step: Step, id: TransactionId, out: &mut [u8]) -> Result<usize, BufferFull> {
        let mut writer = MessageWriter::new(out, step.method(), Class::Request, id)?;
        match step {
            Step::Challenge | Step::Allocate => writer.put(&RequestedTransport::UDP)?,
            // Nobody writes the first two.
            Step::Connect | Step::Secure | Step::Binding => {}
            Step::Permission => self.put_peer(&mut writer)?,
            Step::Channel => {
                let number = self.channel.map_or(0, ChannelNumber::get);
                writer.put(&ChannelNumberAttribute(number))?;
                self.put_peer(&mut writer)?;
            }
            Step::Refresh => {}
            Step::Free => writer.put(&Lifetime(0))?,
        }
        if let Some(key) = self.key.as_ref().filter(|_| !matches!(step, Step::Challenge | Step::Binding)) {
            writer.put(&Username(self.login.username.as_bytes()))?;
            writer.put(&Realm(&self.realm))?;
            writer.put(&Nonce(&self.nonce))?;
            writer.integrity(key)?;
        }
        Ok(writer.finish())
    }

    fn put_peer(&self, writer: &mut MessageWriter<'_>) -> Result<(), BufferFull> {
        self.peer.map_or(Ok(()), |peer| writer.put(&XorPeerAddress(peer)))
    }

    /// Takes what has become of its connection; nothing, where that is nothing to it.
    pub(super) fn on_news(&mut self, now_ns: u64, news: News) -> Option<Told> {
        let (step, what) = match (news, self.doing) {
            (News::Connected { took_ns, secures }, Doing::Step(Step::Connect)) => {
                match secures {
                    // The same patience for TLS's handshake, from now on.
                    true => self.doing = Doing::Step(Step::Secure),
                    false => self.go(Doing::Step(self.first_request())),
                }
                if let Some(open) = &mut self.open {
                    open.deadline_ns = now_ns + STREAM_WAIT_NS;
                }
                (Step::Connect, Outcome::Done { took_ns })
            }
            (News::Secured { took_ns }, Doing::Step(Step::Secure)) => {
                self.go(Doing::Step(self.first_request()));
                (Step::Secure, Outcome::Done { took_ns })
            }
            (News::Closed(why), doing) if !matches!(doing, Doing::Nothing | Doing::Gone) => {
                let step = self.step().unwrap_or(Step::Connect);
                self.go(Doing::Gone);
                (step, Outcome::Closed(why))
            }
            _ => return None,
        };
        Some(Told { step, what })
    }

    fn first_request(&self) -> Step {
        if self.life == Life::Brief { Step::Binding } else { Step::Challenge }
    }

    /// Takes a message from the server; nothing, if it answers no open request.
    pub(super) fn on_message(&mut self, now_ns: u64, message: &Message<'_>) -> Option<Told> {
        let (step, open) = (self.step()?, self.open?);
        if open.id != message.transaction_id() || message.method() != step.method() {
            return None;
        }
        let what = match message.class() {
            Class::Success => self.on_success(now_ns, step, message),
            Class::Error => self.on_error(step, message)?,
            Class::Request | Class::Indication => return None,
        };
        let what = what
            .map_or_else(Outcome::Refused, |()| Outcome::Done { took_ns: now_ns.saturating_sub(open.first_sent_ns) });
        if matches!(what, Outcome::Refused(_)) {
            self.go(Doing::Gone);
        }
        Some(Told { step, what })
    }

    /// Goes on; an error where the answer lacks what it must have.
    fn on_success(&mut self, now_ns: u64, step: Step, message: &Message<'_>) -> Result<(), u16> {
        let is_refresh = matches!(self.doing, Doing::Refreshing(_));
        let stage = if is_refresh { Doing::Refreshing } else { Doing::Step };
        self.stale = 0;
        match step {
            // An allocation for nobody: the server asks for no credentials.
            Step::Challenge | Step::Allocate => {
                let Ok(Some(XorRelayedAddress(relayed))) = message.get() else {
                    return Err(0);
                };
                self.relayed = Some(relayed);
                self.half_life_ns = half_life_ns(now_ns, message);
                let next = if self.peer.is_some() { Doing::Step(Step::Permission) } else { Doing::Allocated };
                self.go(next);
            }
            Step::Connect | Step::Secure => {}
            Step::Binding => self.go(Doing::Gone),
            Step::Refresh => {
                self.half_life_ns = half_life_ns(now_ns, message);
                self.go(stage(Step::Permission));
            }
            Step::Permission if self.channel.is_some() => self.go(stage(Step::Channel)),
            Step::Permission | Step::Channel => {
                self.next_refresh_ns = self.half_life_ns.min(now_ns + REFRESH_NS);
                self.go(Doing::Ready);
            }
            Step::Free => {
                self.relayed = None;
                self.go(Doing::Gone);
            }
        }
        Ok(())
    }

    /// Learns realm and nonce and tries again; the code, where that is no way out. Nothing: the request goes out again.
    fn on_error(&mut self, step: Step, message: &Message<'_>) -> Option<Result<(), u16>> {
        let code = message.get::<ErrorCode<'_>>().ok().flatten().map_or(0, |error| error.code);
        match (step, code) {
            (Step::Challenge, 401) if self.learn(message) => {
                self.go(Doing::Step(Step::Allocate));
                Some(Ok(()))
            }
            (_, 438) if self.stale < MAX_STALE && self.learn(message) => {
                self.stale += 1;
                self.open = None;
                None
            }
            _ => Some(Err(code)),
        }
    }

    /// Takes realm and nonce from an error and derives the key; false if they are not there.
    fn learn(&mut self, message: &Message<'_>) -> bool {
        let Ok(Some(Nonce(nonce))) = message.get() else {
            return false;
        };
        self.nonce = nonce.into();
        if let Ok(Some(Realm(realm))) = message.get()
            && (self.key.is_none() || *realm != *self.realm)
        {
            let Login { username, password } = &self.login;
            // MD5 and HMAC-SHA1: the one pair that every server takes (RFC 8489 §9.2.3.2).
            let md5 = PasswordAlgorithm::Md5;
            let key = LongTermKey::derive(md5, username.as_bytes(), realm, password.as_bytes());
            self.key = Some(IntegrityKey::new(Integrity::Sha1, &key));
            self.realm = realm.into();
        }
        self.key.is_some()
    }
}

/// When half of the lifetime is over that `message` grants (RFC 8656 §7.4); never, where it says nothing.
fn half_life_ns(now_ns: u64, message: &Message<'_>) -> u64 {
    let granted = message.get::<Lifetime>().ok().flatten();
    granted.map_or(u64::MAX, |Lifetime(seconds)| now_ns + u64::from(seconds.max(1)) * 500_000_000)
}

#[cfg(test)]
mod tests;
