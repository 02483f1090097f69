//! An honest client: allocates, permits, binds, talks, refreshes and hangs up, with the timers of real ones.

use std::net::SocketAddr;
use std::time::Duration;

use turnkeep::relay::Instant;

use crate::actor::{Actor, Around, Phase};
use crate::mark::{Kind, Mark, Partner};
use crate::speech::{Heard, Identity, Outcome, Wish, on_channel, read, send_indication};

/// What kind of client it is.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    pub(crate) modern: bool,
    pub(crate) fingerprint: bool,
    pub(crate) retransmission: Retransmission,
    /// Binds channels; else it sends indications.
    pub(crate) channels: bool,
    /// The first of its channels.
    pub(crate) first_channel: u16,
    /// That of the relayed address at which other callers talk to it.
    pub(crate) family: u8,
    /// Asks for the other family as well.
    pub(crate) both: bool,
    /// Lets go of that one when it first refreshes.
    pub(crate) narrows: bool,
    pub(crate) lifetime: Option<u32>,
    /// Renews permissions and channels so often.
    pub(crate) renew_every: Duration,
    /// Says a word to each partner so often.
    pub(crate) talk_every: Duration,
    pub(crate) word_len: usize,
}

/// When a request is sent again (RFC 8489 §6.2.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retransmission {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    pub(crate) sends: u8,
    /// After the last, it waits so long.
    pub(crate) last_wait: Duration,
}

impl Retransmission {
    /// The RFC's: RTO 500 ms, Rc 7, Rm 16.
    pub(crate) const RFC: Self = Self {
        first: Duration::from_millis(500),
        longest: Duration::from_secs(32),
        sends: 7,
        last_wait: Duration::from_secs(8),
    };
    /// libwebrtc's: 250 ms, doubled up to 8 s.
    pub(crate) const WEBRTC: Self = Self {
        first: Duration::from_millis(250),
        longest: Duration::from_secs(8),
        sends: 9,
        last_wait: Duration::from_secs(8),
    };
}

/// Nobody is heard for so long: it starts over, as ICE does.
const SILENCE: Duration = Duration::from_secs(40);
/// It looks where its partners are so often.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Refused, it tries again after so long.
const BACK_OFF: Duration = Duration::from_secs(10);

pub(crate) struct Caller {
    number: u16,
    identity: Identity,
    style: Style,
    /// Where it is; each attempt has a port of its own.
    home: SocketAddr,
    server: SocketAddr,
    stage: Stage,
    transactions: Vec<Transaction>,
    links: Vec<Link>,
    /// Its relayed addresses.
    relayed: Vec<SocketAddr>,
    /// Counts attempts: what belongs to an old one is forgotten.
    attempt: u64,
    next_serial: u64,
    next_channel: u16,
    /// Which channel was bound to whom in this attempt: neither may have another partner for long (RFC 8656 §12).
    bindings: Vec<(SocketAddr, u16)>,
    heard_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Between attempts.
    Away,
    Allocating,
    Up,
    HangingUp,
    Gone,
}

struct Transaction {
    serial: u64,
    id: [u8; 12],
    wish: Wish,
    bytes: Vec<u8>,
    sends: u8,
    gap: Duration,
    /// How often it was challenged.
    challenges: u8,
}

/// The way to a partner.
struct Link {
    partner: Partner,
    /// A peer's own, or a caller's relayed address.
    address: Option<SocketAddr>,
    permitted: bool,
    channel: Option<u16>,
    bound: bool,
    sequence: u32,
    echoed_at: Option<Instant>,
}

/// Words to wake up by; the attempt and a number are mixed in.
#[derive(Clone, Copy)]
enum Alarm {
    Begin = 0,
    Again = 1,
    Refresh = 2,
    Renew = 3,
    Talk = 4,
    Look = 5,
}

impl Caller {
    pub(crate) fn new(
        number: u16,
        user: &str,
        style: Style,
        home: SocketAddr,
        server: SocketAddr,
        partners: &[(Partner, Option<SocketAddr>)],
    ) -> Self {
        let link = |(partner, address): &(Partner, Option<SocketAddr>)| Link {
            partner: *partner,
            address: *address,
            permitted: false,
            channel: None,
            bound: false,
            sequence: 0,
            echoed_at: None,
        };
        Self {
            number,
            identity: Identity::of(user),
            next_channel: style.first_channel,
            style,
            home,
            server,
            stage: Stage::Away,
            transactions: Vec::new(),
            links: partners.iter().map(link).collect(),
            relayed: Vec::new(),
            attempt: 0,
            next_serial: 0,
            bindings: Vec::new(),
            heard_at: Instant::default(),
        }
    }

    /// The word that it begins at.
    pub(crate) const BEGIN: u64 = Alarm::Begin as u64;

    fn alarm(&self, around: &mut Around<'_>, time: Duration, alarm: Alarm, number: u64) {
        around.wake_in(time, alarm as u64 | self.attempt << 3 | number << 32);
    }

    /// A new attempt, from a new port.
    fn begin(&mut self, around: &mut Around<'_>) {
        self.attempt += 1;
        self.stage = Stage::Allocating;
        self.transactions.clear();
        self.identity.nonce.clear();
        self.identity.modern = false;
        self.next_channel = self.style.first_channel;
        self.bindings.clear();
        let port = 10_000 + u16::try_from(self.attempt % 50_000).unwrap();
        self.home.set_port(port);
        self.heard_at = around.now;
        for link in &mut self.links {
            (link.permitted, link.channel, link.bound, link.echoed_at) = (false, None, false, None);
        }
        self.relayed.clear();
        let Style { family, both, lifetime, .. } = self.style;
        self.ask(around, Wish::Allocate { family, both, lifetime }, 0);
    }

    /// Gives up what it has, and tries again later.
    fn start_over(&mut self, around: &mut Around<'_>, after: Duration) {
        around.board.relayed.remove(&self.number);
        self.transactions.clear();
        if around.board.phase == Phase::Leaving {
            self.stage = Stage::Gone;
            return;
        }
        self.stage = Stage::Away;
        self.attempt += 1;
        self.alarm(around, after, Alarm::Begin, 0);
    }

    fn ask(&mut self, around: &mut Around<'_>, wish: Wish, challenges: u8) {
        let id = around.id();
        let bytes = wish.request(id, &self.identity, self.style.fingerprint);
        around.send(self.home, self.server, bytes.clone());
        self.next_serial += 1;
        let gap = self.style.retransmission.first;
        let transaction = Transaction { serial: self.next_serial, id, wish, bytes, sends: 1, gap, challenges };
        self.alarm(around, gap, Alarm::Again, transaction.serial);
        self.transactions.push(transaction);
    }

    /// RFC 8489 §6.2.1.
    fn ask_again(&mut self, around: &mut Around<'_>, serial: u64) {
        let Some(place) = self.transactions.iter().position(|transaction| transaction.serial == serial) else { return };
        let Retransmission { longest, sends, last_wait, .. } = self.style.retransmission;
        let transaction = &mut self.transactions[place];
        if transaction.sends == sends {
            // Whatever it was: the server does not hear us, or we do not hear it.
            return self.start_over(around, Duration::from_secs(1));
        }
        transaction.sends += 1;
        transaction.gap = (transaction.gap * 2).min(longest);
        let wait = if transaction.sends == sends { last_wait } else { transaction.gap };
        around.send(self.home, self.server, transaction.bytes.clone());
        self.alarm(around, wait, Alarm::Again, serial);
    }

    fn on_answer(&mut self, around: &mut Around<'_>, id: [u8; 12], outcome: Outcome) {
        let Some(place) = self.transactions.iter().position(|transaction| transaction.id == id) else { return };
        let transaction = self.transactions.swap_remove(place);
        match outcome {
            Outcome::Challenge { code, nonce, algorithms } => {
                self.identity.nonce = nonce;
                self.identity.modern = self.style.modern && algorithms;
                assert!(
                    code == 401 || transaction.challenges > 0 || self.stage != Stage::Allocating,
                    "a challenge is 401"
                );
                if transaction.challenges >= 5 {
                    return self.start_over(around, BACK_OFF);
                }
                self.ask(around, transaction.wish, transaction.challenges + 1);
            }
            Outcome::Success { relayed, lifetime } => self.on_success(around, transaction.wish, relayed, lifetime),
            Outcome::Error { code } => self.on_error(around, &transaction.wish, code),
        }
    }

    fn on_success(&mut self, around: &mut Around<'_>, wish: Wish, relayed: Vec<SocketAddr>, lifetime: Option<u32>) {
        match wish {
            Wish::Allocate { family, both, .. } => {
                // Who asks for both has one of them where the other cannot be had (RFC 8656 §7.2, step 9).
                let most = if both { 2 } else { 1 };
                assert!((1..=most).contains(&relayed.len()), "XOR-RELAYED-ADDRESS: {relayed:?}");
                let Some(own) = relayed.iter().find(|address| number_of(address) == family) else {
                    // Its partners cannot talk to it there.
                    return self.start_over(around, BACK_OFF);
                };
                self.stage = Stage::Up;
                around.board.relayed.insert(self.number, *own);
                around.board.had.extend(relayed.iter().map(|address| (self.number, *address)));
                self.relayed = relayed;
                self.refresh_before(around, lifetime.expect("LIFETIME"));
                self.look(around);
                self.alarm(around, self.style.renew_every, Alarm::Renew, 0);
                for link in 0..self.links.len() {
                    let first = around.random.time(Duration::ZERO, self.style.talk_every);
                    self.alarm(around, first, Alarm::Talk, link as u64);
                }
                if around.board.phase == Phase::Leaving {
                    self.hang_up(around);
                }
            }
            Wish::Refresh { lifetime: Some(0), family: None } => self.stage = Stage::Gone,
            Wish::Refresh { lifetime: Some(0), family: Some(_) } => {}
            Wish::Refresh { .. } => self.refresh_before(around, lifetime.expect("LIFETIME")),
            Wish::Permit(peers) => {
                for link in &mut self.links {
                    link.permitted |= link.address.is_some_and(|address| peers.contains(&address));
                }
            }
            Wish::Bind { channel, peer } => {
                for link in self.links.iter_mut().filter(|link| link.address == Some(peer)) {
                    link.bound |= link.channel == Some(channel);
                    link.permitted = true;
                }
            }
        }
    }

    fn on_error(&mut self, around: &mut Around<'_>, wish: &Wish, code: u16) {
        match (wish, code) {
            // The allocation is gone, which is what was wanted (RFC 8656 §8.3).
            (Wish::Refresh { lifetime: Some(0), family: None }, 437) => self.stage = Stage::Gone,
            // The same of one address; and what was asked for peers of its family before it was let go of.
            (Wish::Refresh { lifetime: Some(0), family: Some(_) }, 443) => {}
            (Wish::Permit(_) | Wish::Bind { .. }, 443) if self.style.both && self.style.narrows => {}
            // No port, no share, or a 5-tuple that is still another attempt's.
            (Wish::Allocate { .. }, 437 | 486 | 508) => self.start_over(around, BACK_OFF),
            (Wish::Refresh { .. } | Wish::Permit(_) | Wish::Bind { .. }, 437) => {
                self.start_over(around, Duration::from_millis(100));
            }
            _ => panic!("{code} for {wish:?} of caller {}", self.number),
        }
    }

    /// libwebrtc refreshes a minute before the end.
    fn refresh_before(&mut self, around: &mut Around<'_>, lifetime: u32) {
        let lifetime = Duration::from_secs(lifetime.into());
        self.alarm(around, lifetime.saturating_sub(Duration::from_secs(60)), Alarm::Refresh, 0);
    }

    /// Where are the partners? What is new is permitted, and bound if that is our way.
    fn look(&mut self, around: &mut Around<'_>) {
        for link in &mut self.links {
            if let Partner::Caller(number) = link.partner {
                let found = around.board.relayed.get(&number).copied();
                if found != link.address {
                    (link.address, link.permitted, link.channel, link.bound) = (found, false, None, false);
                }
            }
        }
        let relayed = &self.relayed;
        let is_reached = |peer: SocketAddr| relayed.iter().any(|own| number_of(own) == number_of(&peer));
        let known =
            |link: &&mut Link| link.address.is_some_and(is_reached) && !link.permitted && link.channel.is_none();
        let mut wishes = Vec::new();
        for link in self.links.iter_mut().filter(known) {
            let address = link.address.expect("it is known");
            if self.style.channels {
                let before = self.bindings.iter().find(|(bound, _)| *bound == address);
                let channel = before.map_or(self.next_channel, |(_, channel)| *channel);
                if before.is_none() {
                    self.bindings.push((address, channel));
                    self.next_channel = if channel == 0x4FFF { 0x4000 } else { channel + 1 };
                }
                link.channel = Some(channel);
                wishes.push(Wish::Bind { channel, peer: address });
            } else {
                wishes.push(Wish::Permit(vec![address]));
            }
        }
        wishes.retain(|wish| !self.transactions.iter().any(|transaction| transaction.wish == *wish));
        wishes.into_iter().for_each(|wish| self.ask(around, wish, 0));
        if self.stage == Stage::Up && around.now.since(self.heard_at) > SILENCE {
            return self.start_over(around, Duration::from_millis(500));
        }
        self.alarm(around, LOOK_EVERY, Alarm::Look, 0);
    }

    fn renew(&mut self, around: &mut Around<'_>) {
        let links = self.links.iter().filter(|link| link.permitted);
        let wishes: Vec<_> = links
            .filter_map(|link| match (link.channel, link.address?) {
                (Some(channel), peer) => Some(Wish::Bind { channel, peer }),
                (None, peer) => Some(Wish::Permit(vec![peer])),
            })
            .collect();
        wishes.into_iter().for_each(|wish| self.ask(around, wish, 0));
        self.alarm(around, self.style.renew_every, Alarm::Renew, 0);
    }

    /// All of it, or what is left when one address is let go of.
    fn refresh(&mut self, around: &mut Around<'_>) {
        self.ask(around, Wish::Refresh { lifetime: self.style.lifetime, family: None }, 0);
        if self.style.narrows && self.relayed.len() == 2 {
            self.relayed.retain(SocketAddr::is_ipv4);
            for link in self.links.iter_mut().filter(|link| link.address.is_some_and(|peer| peer.is_ipv6())) {
                (link.permitted, link.channel, link.bound) = (false, None, false);
            }
            self.ask(around, Wish::Refresh { lifetime: Some(0), family: Some(2) }, 0);
        }
    }

    fn talk(&mut self, around: &mut Around<'_>, number: usize) {
        let every = self.style.talk_every;
        self.alarm(around, every, Alarm::Talk, number as u64);
        let link = &mut self.links[number];
        let (Some(address), true) = (link.address, link.permitted) else { return };
        link.sequence += 1;
        around.board.said += u64::from(link.echoed_at.is_some());
        let mark = Mark { kind: Kind::Say, caller: self.number, partner: link.partner, sequence: link.sequence };
        self.say(around, number, address, &mark);
    }

    fn say(&self, around: &mut Around<'_>, link: usize, to: SocketAddr, mark: &Mark) {
        let payload = mark.payload(self.style.word_len);
        let bytes = match &self.links[link] {
            Link { channel: Some(channel), bound: true, .. } => on_channel(*channel, &payload),
            _ => send_indication(around.id(), to, &payload),
        };
        around.send(self.home, self.server, bytes);
    }

    fn on_word(&mut self, around: &mut Around<'_>, from: SocketAddr, payload: &[u8]) {
        let Some(mark) = Mark::read(payload) else { return };
        let from_caller = |number| around.board.had.contains(&(number, from));
        match (mark.kind, mark.partner) {
            (Kind::Echo, partner) => {
                assert_eq!(mark.caller, self.number, "P1: another caller's echo");
                let is_from = |link: &&mut Link| match partner {
                    // It may have an address of each family.
                    Partner::Peer(_) => link.partner == partner && link.address == Some(from),
                    Partner::Caller(_) => link.partner == partner,
                };
                let link = self.links.iter_mut().find(is_from).expect("P1: not of a partner, or of another peer");
                if let Partner::Caller(number) = partner {
                    assert!(from_caller(number), "P1: from another relay");
                }
                link.echoed_at = Some(around.now);
                self.heard_at = around.now;
                around.board.echoes += 1;
            }
            (Kind::Say, partner) => {
                assert_eq!(partner, Partner::Caller(self.number), "P1: a word for another");
                assert!(from_caller(mark.caller), "P1: {mark:?} came from {from}, another's relay");
                let link = self.links.iter().position(|link| link.address == Some(from));
                if let Some(link) = link.filter(|link| self.links[*link].permitted) {
                    self.say(around, link, from, &mark.echo());
                }
            }
        }
    }

    fn hang_up(&mut self, around: &mut Around<'_>) {
        match self.stage {
            Stage::Up => {
                self.stage = Stage::HangingUp;
                around.board.relayed.remove(&self.number);
                self.ask(around, Wish::Refresh { lifetime: Some(0), family: None }, 0);
            }
            // It hangs up when it is answered.
            Stage::Allocating | Stage::HangingUp => {}
            Stage::Away | Stage::Gone => self.stage = Stage::Gone,
        }
    }
}

impl Actor for Caller {
    fn hear(&mut self, around: &mut Around<'_>, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        assert_eq!(from, self.server, "P1: only the server talks to a caller");
        if to != self.home {
            // For an attempt that was given up.
            return;
        }
        let asked = |id| self.transactions.iter().any(|transaction| transaction.id == id);
        match read(bytes, &self.identity, asked) {
            Heard::Answer { id, outcome } => self.on_answer(around, id, outcome),
            Heard::Unasked => {}
            Heard::Data { peer, payload } => self.on_word(around, peer, &payload),
            Heard::Channel { channel, payload } => {
                let bound = self.links.iter().find(|link| link.channel == Some(channel));
                // One that was bound to where a partner was before.
                let Some(address) = bound.and_then(|link| link.address) else { return };
                self.on_word(around, address, &payload);
            }
        }
    }

    fn wake(&mut self, around: &mut Around<'_>, word: u64) {
        let (alarm, attempt, number) = (word & 7, word >> 3 & 0x1FFF_FFFF, word >> 32);
        if self.stage == Stage::Gone {
            return;
        }
        if around.board.phase == Phase::Leaving && matches!(self.stage, Stage::Up | Stage::Away) {
            self.hang_up(around);
            return;
        }
        if alarm == Self::BEGIN && self.stage == Stage::Away {
            return self.begin(around);
        }
        if attempt != self.attempt {
            return;
        }
        let is_up = self.stage == Stage::Up;
        match alarm {
            alarm if alarm == Alarm::Again as u64 => self.ask_again(around, number),
            alarm if alarm == Alarm::Refresh as u64 && is_up => self.refresh(around),
            alarm if alarm == Alarm::Renew as u64 && is_up => self.renew(around),
            alarm if alarm == Alarm::Talk as u64 && is_up => self.talk(around, usize::try_from(number).unwrap()),
            alarm if alarm == Alarm::Look as u64 && is_up => self.look(around),
            _ => {}
        }
    }

    fn complaint(&self, now: Instant) -> Option<String> {
        let patience = self.style.talk_every * 3 + Duration::from_secs(5);
        if self.stage != Stage::Up {
            return Some(format!("caller {} is {:?}", self.number, self.stage));
        }
        // Partners of the family that it has no address of cannot be heard.
        let is_out_of_reach = |peer: SocketAddr| !self.relayed.iter().any(|own| number_of(own) == number_of(&peer));
        let silent = |link: &&Link| {
            !link.address.is_some_and(is_out_of_reach) && link.echoed_at.is_none_or(|at| now.since(at) > patience)
        };
        let link = self.links.iter().find(silent)?;
        Some(format!("caller {} does not hear {:?} since {:?}", self.number, link.partner, link.echoed_at))
    }

    fn is_gone(&self) -> bool {
        self.stage == Stage::Gone
    }
}

/// The family's number (RFC 8656 §18.6).
fn number_of(address: &SocketAddr) -> u8 {
    if address.is_ipv4() { 1 } else { 2 }
}
