//! All clients together: their timers, their requests on the way out, their answers on the way in, and the account of
//! both.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::{BuildHasher, Hasher, RandomState};

use super::client::{Client, Life, MAX_REQUEST, Outcome, Poll, Step, Told};
use super::fleet::{Fleet, News, Place, Role};
use super::mark::mix;
use super::measure::Times;
use super::result::Setup;
use super::settings::{Framing, Profile, Settings, Transport};
use crate::client::Credentials;
use crate::wire::{ChannelNumber, Message, TransactionId};

/// The clients of a run.
pub(super) struct Cast {
    clients: Vec<Client>,
    /// When each should have begun, until it is ready.
    begun_ns: Vec<Option<u64>>,
    timers: BinaryHeap<Reverse<(u64, u32)>>,
    /// Those that have a request to send.
    due: Vec<u32>,
    events: Vec<(u32, Told)>,
    ids: u64,
    log: Log,
}

/// What happened so far.
struct Log {
    attempted: u64,
    succeeded: u64,
    failed: u64,
    retransmissions: u64,
    /// Clients whose first request was answered, however.
    answered: u64,
    /// Datagrams from the server that are no answers.
    nonsense: u64,
    times: BTreeMap<Step, Times>,
    total: Times,
    errors: BTreeMap<String, u64>,
}

impl Cast {
    /// `count` clients that know nothing yet.
    pub(super) fn new(settings: &Settings, count: u32, now_unix_s: u64) -> Self {
        let binds_channels = settings.framing == Framing::Channel;
        let life = match (settings.profile, settings.transport) {
            (_, Transport::Udp) => Life::Datagrams,
            (Profile::Connect, _) => Life::Brief,
            _ => Life::Stream,
        };
        let client = |number: u32| {
            // Different clients use different channels, so that one taken for another is seen.
            let channel = ChannelNumber::new(ChannelNumber::MIN.get() + (number & 0x0FFF) as u16);
            Client::new(
                settings.credentials.login(&format!("load-{number}"), now_unix_s),
                life,
                channel.filter(|_| binds_channels),
            )
        };
        Self {
            clients: (0..count).map(client).collect(),
            begun_ns: vec![None; count as usize],
            timers: BinaryHeap::with_capacity(4 * count as usize),
            due: Vec::with_capacity(count as usize),
            events: Vec::with_capacity(256),
            // Unpredictable enough that no other run's answers are taken for ours.
            ids: RandomState::new().build_hasher().finish(),
            log: Log::new(),
        }
    }

    pub(super) fn client(&self, number: u32) -> Option<&Client> {
        self.clients.get(number as usize)
    }

    pub(super) fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// Begins client `number`, which should have begun at `intended_ns`.
    pub(super) fn begin(&mut self, number: u32, intended_ns: u64) {
        self.log.attempted += 1;
        self.begun_ns[number as usize] = Some(intended_ns);
        self.clients[number as usize].start();
        self.due.push(number);
    }

    /// Lets client `number` reach `peer`.
    pub(super) fn reach(&mut self, number: u32, peer: std::net::SocketAddr) {
        self.clients[number as usize].reach(peer);
        self.due.push(number);
    }

    /// Gives the allocation of client `number` back.
    pub(super) fn free(&mut self, number: u32) {
        self.clients[number as usize].free();
        self.due.push(number);
    }

    /// What was told since the last call, into `into`.
    pub(super) fn take_events(&mut self, into: &mut Vec<(u32, Told)>) {
        into.clear();
        std::mem::swap(&mut self.events, into);
    }

    /// Queues every request that is due; whether there was one.
    pub(super) fn tend(&mut self, now_ns: u64, fleet: &mut Fleet) -> bool {
        while let Some(Reverse((at_ns, number))) = self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now_ns)
        {
            self.timers.pop();
            // Otherwise it has been answered.
            if self.clients[number as usize].deadline().is_some_and(|deadline| deadline <= at_ns) {
                self.due.push(number);
            }
        }
        let mut sent = false;
        while !fleet.is_full(MAX_REQUEST)
            && let Some(number) = self.due.pop()
        {
            sent |= self.poll(number, now_ns, fleet);
        }
        sent
    }

    fn poll(&mut self, number: u32, now_ns: u64, fleet: &mut Fleet) -> bool {
        self.ids = self.ids.wrapping_add(1);
        let mut id = [0; 12];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id[4..].copy_from_slice(&mix(self.ids).to_be_bytes());
        let client = &mut self.clients[number as usize];
        let mut out = [0; MAX_REQUEST];
        let polled = client.poll(now_ns, TransactionId(id), &mut out);
        if let Some(deadline) = client.deadline().filter(|deadline| *deadline != u64::MAX) {
            self.timers.push(Reverse((deadline, number)));
        }
        match polled {
            Poll::Send { len, again } => {
                self.log.retransmissions += u64::from(again);
                fleet.queue(Place { role: Role::Client, number }, None, len, None, |bytes| {
                    bytes.copy_from_slice(&out[..len]);
                });
                return true;
            }
            Poll::Connect => fleet.connect(number, now_ns),
            Poll::Told(told) => self.note(number, told, now_ns),
            Poll::Idle => {}
        }
        false
    }

    /// Takes a message that came to client `number`.
    pub(super) fn on_message(&mut self, now_ns: u64, number: u32, message: &Message<'_>) {
        let Some(client) = self.clients.get_mut(number as usize) else { return };
        let told = client.on_message(now_ns, message);
        if client.deadline().is_some() {
            self.due.push(number);
        }
        if let Some(told) = told {
            self.note(number, told, now_ns);
        }
    }

    /// Takes what has become of client `number`'s connection.
    pub(super) fn on_news(&mut self, now_ns: u64, number: u32, news: News) {
        let Some(client) = self.clients.get_mut(number as usize) else { return };
        let told = client.on_news(now_ns, news);
        if client.deadline().is_some() {
            self.due.push(number);
        }
        if let Some(told) = told {
            self.note(number, told, now_ns);
        }
    }

    fn note(&mut self, number: u32, told: Told, now_ns: u64) {
        let Told { step, ref what } = told;
        let is_answer = matches!(what, Outcome::Done { .. } | Outcome::Refused(_));
        self.log.answered += u64::from(is_answer && matches!(step, Step::Challenge | Step::Binding));
        match what {
            Outcome::Done { took_ns } => self.log.times.entry(step).or_default().note(*took_ns),
            Outcome::Closed(why) => self.log.error(format!("{} {why}", step.name())),
            Outcome::Refused(0) => self.log.error(format!("{} unintelligible", step.name())),
            Outcome::Refused(code) => self.log.error(format!("{} {code}", step.name())),
            Outcome::TimedOut => self.log.error(format!("{} timeout", step.name())),
        }
        let begun = &mut self.begun_ns[number as usize];
        let client = &self.clients[number as usize];
        let has_all = client.is_ready() || step == Step::Binding;
        if let (Outcome::Done { .. }, true) = (what, has_all) {
            if let Some(begun_ns) = begun.take() {
                self.log.succeeded += 1;
                self.log.total.note(now_ns.saturating_sub(begun_ns));
                // It has a refresh to wait for.
                self.due.push(number);
            }
        } else if !matches!(what, Outcome::Done { .. }) && begun.take().is_some() {
            self.log.failed += 1;
        }
        self.events.push((number, told));
    }

    /// A client that will never get ready for another's fault.
    pub(super) fn give_up(&mut self, number: u32, why: &str) {
        if self.begun_ns[number as usize].take().is_some() {
            self.log.failed += 1;
            self.log.error(why.to_owned());
        }
        self.free(number);
    }

    /// Something outside of any client's life, so many times.
    pub(super) fn note_errors(&mut self, what: String, count: u64) {
        self.log.errors_of(what, count);
    }

    /// A datagram came from the server that is neither STUN nor ChannelData: nobody's, so false.
    pub(super) fn note_nonsense(&mut self) -> bool {
        self.log.nonsense += 1;
        false
    }

    /// How many of these there were.
    pub(super) fn nonsense(&self) -> u64 {
        self.log.nonsense
    }

    /// Clients that began, and those of them whose first request was answered, however.
    pub(super) fn begun_and_answered(&self) -> (u64, u64) {
        (self.log.attempted, self.log.answered)
    }

    /// When something is due next, if nothing comes in.
    pub(super) fn next_timer(&self) -> Option<u64> {
        if !self.due.is_empty() {
            return Some(0);
        }
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn setup(&self, duration_s: f64) -> Setup {
        let Log { attempted, succeeded, failed, retransmissions, times, total, .. } = &self.log;
        let steps = times.iter().map(|(step, times)| (step.name().to_owned(), times.latency()));
        Setup {
            took_part: None,
            attempted: *attempted,
            succeeded: *succeeded,
            failed: *failed,
            retransmissions: *retransmissions,
            duration_s,
            steps: steps.chain([("total".to_owned(), total.latency())]).collect(),
        }
    }

    pub(super) fn errors(&self) -> BTreeMap<String, u64> {
        self.log.errors.clone()
    }
}

impl Log {
    fn new() -> Self {
        let (attempted, succeeded, failed, retransmissions) = (0, 0, 0, 0);
        let (times, total, errors) = (BTreeMap::new(), Times::new(), BTreeMap::new());
        let (answered, nonsense) = (0, 0);
        Self { attempted, succeeded, failed, retransmissions, answered, nonsense, times, total, errors }
    }

    fn error(&mut self, what: String) {
        self.errors_of(what, 1);
    }

    fn errors_of(&mut self, what: String, count: u64) {
        if count > 0 {
            *self.errors.entry(what).or_insert(0) += count;
        }
    }
}

/// Credentials are made for as many clients as there can be at once.
pub(super) fn needs_credentials(credentials: &Credentials) -> Result<(), String> {
    match credentials {
        Credentials::User { name, .. } if name.is_empty() => Err("the user's name is empty".into()),
        Credentials::Secret(secret) if secret.is_empty() => Err("the secret is empty".into()),
        _ => Ok(()),
    }
}
