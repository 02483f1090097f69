//! A reference model of the relay floor: vectors, linear scans, and one rule of the RFCs after the other.
//!
//! It was written from RFC 8656, RFC 8489 and the list of conformance items, by someone who had not read the server. It
//! judges what a message says, not its bytes; what is a matter of policy it asks the same policy as the server.

#![allow(clippy::result_large_err, reason = "what a step leads to is large, and made once a step")]

mod allocate;
mod allocation;
mod authenticate;
mod data;
mod manage;

use std::net::SocketAddr;
use std::time::Duration;

use turnkeep::relay::event::RequestKind;
use turnkeep::relay::seam::Identity;
use turnkeep::relay::{CloseReason, DropReason, Families, Instant, Now, Path};
use turnkeep::wire::channel_data::ChannelNumbers;
use turnkeep::wire::header::{Class, Method};
use turnkeep::wire::integrity::Integrity;

use self::allocation::{Allocation, CHANNEL_REST};
use crate::outcome::{Answer, Note, Outcome, Why};
use crate::said::{Credentials, Print, Said};
use crate::sans_io::TestPolicy;

pub(crate) const NONCE_LIFETIME: Duration = Duration::from_secs(3600);
const TUPLE_REST: Duration = Duration::from_secs(40);

/// What is configured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) offer_sha256: bool,
    pub(crate) offer_userhash: bool,
    /// At listener 0: SHA-256 alone.
    pub(crate) modern_only: bool,
    pub(crate) families: Families,
    pub(crate) max_lifetime: u32,
    pub(crate) strict_permissions: bool,
    pub(crate) channel_numbers: ChannelNumbers,
}

/// The server, as the RFCs tell of it.
pub(crate) struct Model {
    facts: Facts,
    policy: TestPolicy,
    now: Now,
    allocations: Vec<Allocation>,
    /// Expired and not swept up: they hold their user's share, and nothing else.
    dead: Vec<Allocation>,
    resting: Vec<Resting>,
}

/// A freed 5-tuple (D-09); several, where its user came and went.
struct Resting {
    path: Path,
    who: Identity,
    id: [u8; 12],
    ends: Instant,
}

impl Model {
    pub(crate) fn new(facts: Facts, policy: TestPolicy, now: Now) -> Self {
        Self { facts, policy, now, allocations: Vec::new(), dead: Vec::new(), resting: Vec::new() }
    }

    /// A client says something that is STUN. `stale` says whether a nonce that the server minted for this 5-tuple has
    /// outlived its hour.
    pub(crate) fn client_says(&mut self, path: Path, said: &Said, stale: bool) -> Outcome {
        let reasons = reasons_to_discard(path, said);
        match (said.method, said.class) {
            _ if !reasons.is_empty() => Outcome::dropped(&reasons),
            (Method::BINDING, Class::Indication) => Outcome::default(),
            (Method::BINDING, _) => Outcome::answered(binding(path, said)),
            (Method::SEND, _) => self.send(path, said),
            _ => self.request(path, said, stale),
        }
    }

    fn request(&mut self, path: Path, said: &Said, stale: bool) -> Outcome {
        let (who, transaction) = match self.authenticate(path, said, stale) {
            Ok(known) => known,
            Err(refused) => return refused,
        };
        // D-37: the owner is here again.
        if let Some(allocation) = self.standing_on(path).filter(|allocation| allocation.who.user == who.user) {
            allocation.suspended = false;
        }
        let username = said.credentials.as_ref().and_then(Credentials::user).unwrap_or_default().to_owned();
        let asked = Asked { path, username, who, transaction, about: self.relayed_on(path) };
        let unknown = said.unknown_required();
        if !unknown.is_empty() {
            let note = asked.transaction.denied(Some(&asked.who), asked.about, 420, Why::UnknownAttribute);
            return Outcome::answered(Answer { unknown, ..asked.transaction.answer(420) }).noting(note);
        }
        match said.method {
            Method::ALLOCATE => self.allocate(asked, said),
            Method::REFRESH => self.refresh(&asked, said),
            Method::CREATE_PERMISSION => self.create_permission(&asked, said),
            _ => self.channel_bind(&asked, said),
        }
    }

    /// Time has passed.
    pub(crate) fn turn_to(&mut self, now: Now) {
        self.now = now;
        self.resting.retain(|resting| resting.ends > now.instant);
        let expired: Vec<_> = self.allocations.extract_if(.., |allocation| allocation.is_over(now.instant)).collect();
        for allocation in expired {
            self.rest(&allocation, allocation.expires);
            self.dead.push(allocation);
        }
    }

    /// At `at` the server has swept up an allocation that had expired, as it may within a second: from then on its
    /// 5-tuple rests. Tells whether there was one.
    pub(crate) fn swept(&mut self, note: &Note, at: Instant) -> bool {
        let Some(place) = self.dead.iter().position(|dead| dead.closed(CloseReason::Expired) == *note) else {
            return false;
        };
        let dead = self.dead.remove(place);
        self.rest(&dead, at);
        true
    }

    /// The server stops: what stands is closed, what is being opened never was.
    pub(crate) fn shutdown(&mut self) -> Vec<Note> {
        let all: Vec<_> = self.allocations.drain(..).chain(self.dead.drain(..)).collect();
        let open = all.iter().filter(|allocation| allocation.relayed.is_some());
        open.map(|allocation| allocation.closed(CloseReason::Shutdown)).collect()
    }

    pub(crate) fn has_allocation(&self, path: Path) -> bool {
        self.allocations.iter().any(|allocation| same_tuple(allocation.path, path))
    }

    /// Peers that the allocation on this 5-tuple has or had to do with.
    pub(crate) fn known_peers(&self, path: Path) -> Vec<SocketAddr> {
        let here = self.allocations.iter().filter(|allocation| same_tuple(allocation.path, path));
        here.flat_map(Allocation::known_peers).collect()
    }

    pub(crate) fn known_channels(&self, path: Path) -> Vec<u16> {
        let here = self.allocations.iter().filter(|allocation| same_tuple(allocation.path, path));
        here.flat_map(|allocation| &allocation.channels).map(|channel| channel.number).collect()
    }

    /// Allocations that stand, those being opened included.
    pub(crate) fn allocations(&self) -> usize {
        self.allocations.len()
    }

    /// The relayed addresses that are open.
    pub(crate) fn relayed(&self) -> Vec<SocketAddr> {
        self.allocations.iter().filter_map(|allocation| allocation.relayed).collect()
    }

    /// Relayed addresses of allocations that have expired and are not swept up yet, and since when.
    pub(crate) fn unswept(&self) -> Vec<(SocketAddr, Instant)> {
        self.dead.iter().filter_map(|dead| Some((dead.relayed?, dead.expires))).collect()
    }

    /// When the next allocation ends.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let open = self.allocations.iter().filter(|allocation| allocation.relayed.is_some());
        open.map(|allocation| allocation.expires).min()
    }

    /// Every point in time at which something changes by itself.
    pub(crate) fn edges(&self) -> Vec<Instant> {
        let mut edges: Vec<_> = self.resting.iter().map(|resting| resting.ends).collect();
        for allocation in self.allocations.iter().filter(|allocation| allocation.relayed.is_some()) {
            edges.push(allocation.expires);
            edges.extend(allocation.permissions.iter().map(|permission| permission.expires));
            for channel in &allocation.channels {
                edges.extend([channel.expires, channel.expires.after(CHANNEL_REST)]);
            }
        }
        edges.retain(|edge| *edge > self.now.instant);
        edges.sort();
        edges.dedup();
        edges
    }

    /// The 5-tuple of an allocation that ended is kept for its user a while (D-09).
    fn rest(&mut self, allocation: &Allocation, since: Instant) {
        let (path, id, ends) = (allocation.path, allocation.made_by.id, since.after(TUPLE_REST));
        self.resting.retain(|resting| (resting.path, resting.id) != (path, id));
        if ends > self.now.instant {
            self.resting.push(Resting { path, who: allocation.who.clone(), id, ends });
        }
    }

    fn standing_on(&mut self, path: Path) -> Option<&mut Allocation> {
        self.allocations.iter_mut().find(|allocation| same_tuple(allocation.path, path))
    }

    fn open_on(&mut self, path: Path) -> Option<&mut Allocation> {
        self.standing_on(path).filter(|allocation| allocation.relayed.is_some())
    }

    /// The relayed address of what stands there, or did until a moment ago.
    pub(crate) fn relayed_on(&self, path: Path) -> Option<SocketAddr> {
        let mut all = self.allocations.iter().chain(&self.dead);
        all.find(|allocation| same_tuple(allocation.path, path))?.relayed
    }
}

/// An authenticated request.
struct Asked {
    path: Path,
    username: String,
    who: Identity,
    transaction: Transaction,
    about: Option<SocketAddr>,
}

impl Asked {
    /// A refusal for a mistake of the client's, which its code names.
    fn refuse(&self, code: u16) -> Outcome {
        let why = match code {
            400 => Why::BadRequest,
            437 => Why::AllocationMismatch,
            443 => Why::FamilyMismatch,
            other => unreachable!("{other} needs a reason"),
        };
        self.deny(code, why)
    }

    /// A refusal, of which the audit trail is told.
    fn deny(&self, code: u16, why: Why) -> Outcome {
        Outcome::answered(self.transaction.answer(code)).noting(self.transaction.denied(
            Some(&self.who),
            self.about,
            code,
            why,
        ))
    }
}

/// What an answer needs of its request.
#[derive(Clone, Copy)]
struct Transaction {
    path: Path,
    method: Method,
    id: [u8; 12],
    fingerprint: bool,
    signed: Option<Integrity>,
}

impl Transaction {
    fn of(path: Path, said: &Said) -> Self {
        let fingerprint = said.print == Print::Right;
        Self { path, method: said.method, id: said.id.0, fingerprint, signed: None }
    }

    /// An answer that says this and no more.
    fn answer(&self, code: u16) -> Answer {
        Answer {
            client: self.path.client.0,
            method: self.method,
            id: self.id,
            code,
            signed: self.signed,
            challenges: false,
            fingerprint: self.fingerprint,
            relayed: None,
            mapped: None,
            lifetime: None,
            unknown: Vec::new(),
            address_error: None,
            hands_out_a_token: false,
        }
    }

    fn denied(&self, who: Option<&Identity>, about: Option<SocketAddr>, code: u16, why: Why) -> Note {
        let request = match self.method {
            Method::ALLOCATE => RequestKind::Allocate,
            Method::REFRESH => RequestKind::Refresh,
            Method::CREATE_PERMISSION => RequestKind::CreatePermission,
            _ => RequestKind::ChannelBind,
        };
        let user = who.map(|who| who.user.0.to_string());
        Note::Denied { user, client: self.path.client.0, about, request, code, why }
    }
}

/// RFC 8489 §6.3: why nothing is answered.
fn reasons_to_discard(path: Path, said: &Said) -> Vec<DropReason> {
    let mut reasons = Vec::new();
    // An indication wants no answer.
    if path.client.port() == 0 && said.class == Class::Request {
        reasons.push(DropReason::SourcePortZero);
    }
    // D-16
    if said.attribute_count() > 64 {
        reasons.push(DropReason::Malformed);
    }
    if said.print == Print::Wrong {
        reasons.push(DropReason::BadFingerprint);
    }
    let requests =
        [Method::BINDING, Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND];
    let is_known = match said.class {
        Class::Indication => [Method::BINDING, Method::SEND].contains(&said.method),
        _ => requests.contains(&said.method),
    };
    if !is_known {
        reasons.push(DropReason::UnsupportedMethod);
    }
    if matches!(said.class, Class::Success | Class::Error) {
        reasons.push(DropReason::UnexpectedResponse);
    }
    reasons
}

/// RFC 8489 §6.3.1: no credentials are looked at.
fn binding(path: Path, said: &Said) -> Answer {
    let transaction = Transaction::of(path, said);
    let unknown = said.unknown_required();
    if !unknown.is_empty() {
        return Answer { unknown, ..transaction.answer(420) };
    }
    Answer { mapped: Some(path.client.0), ..transaction.answer(0) }
}

/// The numbers that a channel can have (RFC 8656 §12, RFC 5766 §11).
fn is_channel(numbers: ChannelNumbers, number: u16) -> bool {
    let end = match numbers {
        ChannelNumbers::Rfc8656 => 0x5000,
        ChannelNumbers::Rfc5766 => 0x8000,
    };
    (0x4000..end).contains(&number)
}

/// RFC 8656 §2: both addresses and the transport; which socket it came in by does not matter.
fn same_tuple(a: Path, b: Path) -> bool {
    (a.client, a.server, a.transport) == (b.client, b.server, b.transport)
}
