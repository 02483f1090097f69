//! What the server's answers make a client expect: who holds which allocation, permission and channel until when. The
//! server must relay exactly that.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use turnkeep::relay::event::{Event, Totals};
use turnkeep::relay::limits::MAX_PAYLOAD;
use turnkeep::relay::seam::{Identity, Policy, UserId};
use turnkeep::relay::{Counters, Instant, Now, PeerAddr, Settings};
use turnkeep::wire::attribute::{
    AttributeType, ChannelNumberAttribute, Data, Nonce, PasswordAlgorithmAttribute, Realm, RequestedAddressFamily,
    Username, XorPeerAddress,
};
use turnkeep::wire::{Class, IntegrityKey, Kind, LongTermKey, Message, Method, PasswordAlgorithm, classify};

use super::answer::Answer;
use super::oracle;
use super::sans_io::{REALM, TestPolicy, password_of};

const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);
const REST: Duration = Duration::from_secs(300);

/// All that clients were told.
pub(super) struct Shadow {
    /// By client address: there is one server address a family.
    held: HashMap<SocketAddr, Held>,
    /// Where each nonce was handed out, and in which second.
    nonces: Vec<(SocketAddr, Vec<u8>, u64)>,
    offers_sha256: bool,
    strict_permissions: bool,
    max_lifetime: u64,
    totals: Totals,
}

/// An allocation.
struct Held {
    user: Vec<u8>,
    /// Each with its own end (RFC 8656 §6).
    relayed: Vec<(SocketAddr, Instant)>,
    permissions: HashMap<IpAddr, Instant>,
    channels: Vec<Bound>,
    /// Another user has asked for its 5-tuple.
    suspended: bool,
}

/// A channel.
struct Bound {
    number: u16,
    peer: SocketAddr,
    expires: Instant,
}

impl Held {
    /// When the last address ends.
    fn expires(&self) -> Instant {
        self.relayed.iter().map(|(_, expires)| *expires).max().unwrap_or_default()
    }

    /// The address that peers of the family of `like` are reached from.
    fn outlet(&self, like: SocketAddr) -> Option<SocketAddr> {
        self.relayed.iter().map(|(relayed, _)| *relayed).find(|relayed| relayed.is_ipv4() == like.is_ipv4())
    }

    /// Forgets addresses, with the permissions and channels of their family and no other's (RFC 8656 §8.1).
    fn forget(&mut self, is_gone: impl Fn(&(SocketAddr, Instant)) -> bool) {
        self.relayed.retain(|relayed| !is_gone(relayed));
        let is_left = |ip: IpAddr| self.relayed.iter().any(|(relayed, _)| relayed.is_ipv4() == ip.is_ipv4());
        self.permissions.retain(|ip, _| is_left(*ip));
        self.channels.retain(|bound| is_left(bound.peer.ip()));
    }

    fn permits(&self, peer: SocketAddr, now: Instant) -> bool {
        self.permissions.get(&peer.ip()).is_some_and(|expires| *expires > now)
    }

    fn bound(&self, now: Instant, is_it: impl Fn(&Bound) -> bool) -> Option<&Bound> {
        self.channels.iter().find(|bound| bound.expires > now && is_it(bound))
    }
}

impl Shadow {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            held: HashMap::new(),
            nonces: Vec::new(),
            offers_sha256: settings.offer_sha256,
            strict_permissions: settings.strict_permissions,
            max_lifetime: settings.max_lifetime.as_secs(),
            totals: Totals::default(),
        }
    }

    fn live(&mut self, now: Instant, client: SocketAddr) -> Option<&mut Held> {
        let held = self.held.get_mut(&client).filter(|held| held.expires() > now)?;
        held.forget(|(_, expires)| *expires <= now);
        Some(held)
    }

    /// Allocations that must be there, and those that may be: timers run once a second.
    pub(super) fn allocations(&self, now: Instant) -> std::ops::RangeInclusive<usize> {
        let count = |slack| self.held.values().filter(|held| held.expires().after(slack) > now).count();
        count(Duration::ZERO)..=count(Duration::from_secs(2))
    }

    /// The relayed address that a client holds, for peers of the family of `like` if there are two.
    pub(super) fn relayed(&self, client: SocketAddr, like: SocketAddr) -> Option<SocketAddr> {
        let held = self.held.get(&client)?;
        held.outlet(like).or(held.relayed.first().map(|(relayed, _)| *relayed))
    }

    /// An answer reached a client.
    pub(super) fn on_answer(&mut self, now: Now, client: SocketAddr, request: &[u8], answer: &Answer<'_>) {
        if let Some(nonce) = answer.nonce() {
            self.nonces.push((client, nonce.to_vec(), now.unix_secs()));
        }
        if !answer.is_signed() {
            return;
        }
        let request = self.proven(request);
        let user = username(&request);
        match request.method() {
            Method::ALLOCATE => self.on_allocate(now.instant, client, user, answer),
            _ => self.on_other(now.instant, client, user, &request, answer),
        }
    }

    /// The server took a request for its sender's: it has a nonce that was handed out there, not too long ago.
    pub(super) fn assert_fresh(&self, now: Now, client: SocketAddr, request: &[u8]) {
        let request = self.proven(request);
        let nonce = request.get::<Nonce<'_>>().expect("checked").expect("checked").0;
        let age = |(to, minted, second): &(SocketAddr, Vec<u8>, u64)| {
            (*to == client && minted == nonce).then(|| now.unix_secs().cast_signed() - second.cast_signed())
        };
        let age = self.nonces.iter().find_map(age).expect("a nonce of ours");
        assert!((-2..3600).contains(&age), "a nonce of {age} seconds");
    }

    /// The server took this request for its sender's, so it must be: signed under the key of the user that it names.
    fn proven<'r>(&self, datagram: &'r [u8]) -> Message<'r> {
        let request = Message::parse(datagram).expect("a message");
        assert_eq!(request.get::<Realm<'_>>(), Ok(Some(Realm(REALM.as_bytes()))));
        let user = std::str::from_utf8(username(&request)).expect("known users have ASCII names");
        // Where it is not offered, PASSWORD-ALGORITHM means nothing (RFC 8489 §9.2.4).
        let chosen = request.get::<PasswordAlgorithmAttribute<'_>>().ok().flatten().filter(|_| self.offers_sha256);
        let is_sha256 = chosen.is_some_and(|chosen| chosen.number == 2);
        let algorithm = if is_sha256 { PasswordAlgorithm::Sha256 } else { PasswordAlgorithm::Md5 };
        let password = password_of(user);
        let key = LongTermKey::derive(algorithm, user.as_bytes(), REALM.as_bytes(), password.as_bytes());
        let integrity = request.integrity().expect("signed");
        assert_eq!(request.verify_integrity(&IntegrityKey::new(integrity, &key)), Ok(()));
        let they = oracle::long_term_holds(datagram, [user, &password, REALM], algorithm, integrity);
        assert_ne!(they, Some(false), "stun-types does not find it signed");
        request
    }

    fn on_allocate(&mut self, now: Instant, client: SocketAddr, user: &[u8], answer: &Answer<'_>) {
        let standing = self.live(now, client);
        match (answer.code, standing) {
            (0, Some(standing)) => {
                let relayed: Vec<_> = standing.relayed.iter().map(|(relayed, _)| *relayed).collect();
                assert_eq!(relayed, answer.relayed(), "a second allocation on one 5-tuple");
                assert_eq!(standing.user, user);
                standing.suspended = false;
            }
            (0, None) => self.open(now, client, user, answer),
            (437, Some(standing)) => standing.suspended = person(&standing.user) != person(user),
            _ => {}
        }
    }

    fn open(&mut self, now: Instant, client: SocketAddr, user: &[u8], answer: &Answer<'_>) {
        assert_ne!(person(user), b"old", "expired credentials open nothing");
        assert!(!client.to_string().starts_with("[2002:"), "RFC 8656 §21.4");
        let expires = now.after(self.granted(answer));
        let held = Held {
            user: user.to_vec(),
            relayed: answer.relayed().into_iter().map(|relayed| (relayed, expires)).collect(),
            permissions: HashMap::new(),
            channels: Vec::new(),
            suspended: false,
        };
        self.held.insert(client, held);
    }

    /// RFC 8656 §7.2: no less than the default, no more than the maximum.
    fn granted(&self, answer: &Answer<'_>) -> Duration {
        assert!((600..=self.max_lifetime).contains(&answer.lifetime()), "{} seconds", answer.lifetime());
        Duration::from_secs(answer.lifetime())
    }

    fn on_other(&mut self, now: Instant, client: SocketAddr, user: &[u8], request: &Message<'_>, answer: &Answer<'_>) {
        let lifetime = matches!((request.method(), answer.code), (Method::REFRESH, 0)).then(|| answer.lifetime());
        let granted = lifetime.filter(|lifetime| *lifetime != 0).map(|_| self.granted(answer));
        let held = self.live(now, client);
        match answer.code {
            420 => return,
            437 => return assert!(held.is_none(), "there is an allocation"),
            441 => return assert!(held.is_some_and(|held| held.user != user), "it is its user's own"),
            _ => {}
        }
        let held = held.expect("an allocation");
        assert_eq!(held.user, user, "another user's");
        held.suspended = false;
        if answer.code != 0 {
            return;
        }
        match request.method() {
            Method::REFRESH => {
                let family = request.get::<RequestedAddressFamily>().expect("valid").map(|family| family.0);
                let is_meant = |relayed: &SocketAddr| family.is_none_or(|family| (family == 1) == relayed.is_ipv4());
                assert!(held.relayed.iter().any(|(relayed, _)| is_meant(relayed)), "RFC 8656 §8.2: 443");
                match granted {
                    Some(lifetime) => {
                        let meant = held.relayed.iter_mut().filter(|(relayed, _)| is_meant(relayed));
                        meant.for_each(|(_, expires)| *expires = now.after(lifetime));
                    }
                    None => held.forget(|(relayed, _)| is_meant(relayed)),
                }
                if held.relayed.is_empty() {
                    self.held.remove(&client);
                }
            }
            Method::CREATE_PERMISSION => {
                let peers: Vec<_> = request.all::<XorPeerAddress>().map(|peer| peer.expect("valid").0).collect();
                assert!(!peers.is_empty());
                peers.into_iter().for_each(|peer| permit(held, SocketAddr::new(peer.ip(), 65_535), now));
            }
            Method::CHANNEL_BIND => bind(held, request, now),
            method => panic!("{method} succeeded"),
        }
    }

    /// A datagram of a client was relayed.
    pub(super) fn on_forwarded(&mut self, now: Instant, client: SocketAddr, datagram: &[u8], sent: &Sent<'_>) {
        let strict = self.strict_permissions;
        let held = self.live(now, client).expect("a live allocation");
        assert_eq!(Some(sent.from), held.outlet(sent.peer));
        assert!(is_allowed(sent.peer), "{} is denied", sent.peer);
        if classify(datagram) != Kind::Stun {
            let number = u16::from_be_bytes([datagram[0], datagram[1]]);
            assert!(held.bound(now, |bound| bound.number == number && bound.peer == sent.peer).is_some());
            assert!(!strict || held.permits(sent.peer, now));
            assert_eq!(sent.payload, &datagram[4..4 + sent.payload.len()]);
            assert_eq!(sent.payload.len(), usize::from(u16::from_be_bytes([datagram[2], datagram[3]])));
            assert!(!sent.dont_fragment);
        } else {
            let message = Message::parse(datagram).expect("a message");
            assert_eq!((message.method(), message.class()), (Method::SEND, Class::Indication));
            assert_eq!(message.get(), Ok(Some(XorPeerAddress(sent.peer))));
            assert_eq!(message.get(), Ok(Some(Data(sent.payload))));
            assert!(held.permits(sent.peer, now), "no permission for {}", sent.peer);
            // RFC 8656 §13: it means something between IPv4 and IPv4 only.
            let is_v4 = client.is_ipv4() && sent.peer.is_ipv4();
            assert_eq!(sent.dont_fragment, is_v4 && message.has(AttributeType::DONT_FRAGMENT));
        }
        self.totals.packets_to_peers += 1;
        self.totals.bytes_to_peers += sent.payload.len() as u64;
    }

    /// Whether a flawless Send indication is relayed.
    pub(super) fn may_send(&mut self, now: Instant, client: SocketAddr, peer: SocketAddr) -> bool {
        let held = self.live(now, client);
        peer.port() != 0 && is_allowed(peer) && held.is_some_and(|held| held.permits(peer, now))
    }

    /// Where flawless ChannelData is relayed to.
    pub(super) fn channel_peer(&mut self, now: Instant, client: SocketAddr, number: u16) -> Option<SocketAddr> {
        let strict = self.strict_permissions;
        let held = self.live(now, client)?;
        let peer = held.bound(now, |bound| bound.number == number)?.peer;
        (!strict || held.permits(peer, now)).then_some(peer)
    }

    /// Where, if anywhere, a peer's datagram to a relayed address goes.
    pub(super) fn hears(&self, now: Instant, relayed: SocketAddr, peer: SocketAddr, len: usize) -> Option<SocketAddr> {
        let is_there = |held: &Held| held.relayed.iter().any(|(own, expires)| *own == relayed && *expires > now);
        let (client, held) = self.held.iter().find(|(_, held)| is_there(held))?;
        // Who writes to an address of the other family is nobody's peer.
        let relays = held.permits(peer, now) && peer.is_ipv4() == relayed.is_ipv4();
        let relays = relays && !held.suspended && len <= MAX_PAYLOAD;
        relays.then_some(*client)
    }

    /// A peer's datagram was relayed.
    pub(super) fn on_delivered(
        &mut self,
        now: Instant,
        client: SocketAddr,
        peer: SocketAddr,
        sent: &[u8],
        payload: &[u8],
    ) {
        let held = self.live(now, client).expect("a live allocation");
        match held.bound(now, |bound| bound.peer == peer) {
            Some(Bound { number, .. }) => {
                let len = u16::try_from(payload.len()).expect("short enough");
                assert_eq!(sent, [&number.to_be_bytes()[..], &len.to_be_bytes(), payload].concat());
            }
            None => {
                let message = Message::parse(sent).expect("a message");
                assert_eq!((message.method(), message.class()), (Method::DATA, Class::Indication));
                assert_eq!(message.get(), Ok(Some(XorPeerAddress(peer))));
                assert_eq!(message.get(), Ok(Some(Data(payload))));
                oracle::assert_accepted(sent);
            }
        }
        self.totals.packets_to_client += 1;
        self.totals.bytes_to_client += payload.len() as u64;
    }

    /// What was counted is what was relayed.
    pub(super) fn check_counters(&self, counters: &Counters) {
        let Totals { packets_to_peers, bytes_to_peers, packets_to_client, bytes_to_client, .. } = self.totals;
        assert_eq!((counters.packets_to_peers, counters.bytes_to_peers), (packets_to_peers, bytes_to_peers));
        assert_eq!((counters.packets_to_clients, counters.bytes_to_clients), (packets_to_client, bytes_to_client));
    }

    /// Every allocation is in the audit trail with its beginning and its end, and all that was relayed with it.
    pub(super) fn check_trail(&self, events: &[Event]) {
        let (mut open, mut ended, mut sum) = (HashSet::new(), HashSet::new(), Totals::default());
        for event in events {
            match event {
                Event::Opened { allocation, .. } => {
                    assert!(open.insert(allocation.uuid.0) && !ended.contains(&allocation.uuid.0));
                }
                Event::Refreshed { allocation, .. } | Event::Narrowed { allocation, .. } => {
                    assert!(open.contains(&allocation.uuid.0));
                }
                Event::Closed { allocation, totals, .. } => {
                    assert!(open.remove(&allocation.uuid.0) && ended.insert(allocation.uuid.0));
                    sum.packets_to_peers += totals.packets_to_peers;
                    sum.bytes_to_peers += totals.bytes_to_peers;
                    sum.packets_to_client += totals.packets_to_client;
                    sum.bytes_to_client += totals.bytes_to_client;
                }
                Event::Denied { .. } => {}
            }
        }
        assert!(open.is_empty());
        assert_eq!(sum, self.totals);
    }
}

/// What left a relay socket.
pub(super) struct Sent<'a> {
    pub(super) from: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) payload: &'a [u8],
    pub(super) dont_fragment: bool,
}

fn permit(held: &mut Held, peer: SocketAddr, now: Instant) {
    assert!(is_allowed(peer), "{peer} is denied");
    assert!(held.outlet(peer).is_some(), "RFC 8656 §10.2: 443");
    held.permissions.insert(peer.ip(), now.after(PERMISSION));
}

fn bind(held: &mut Held, request: &Message<'_>, now: Instant) {
    let number = request.get::<ChannelNumberAttribute>().expect("valid").expect("there").0;
    let peer = request.get::<XorPeerAddress>().expect("valid").expect("there").0;
    assert!((0x4000..=0x7FFF).contains(&number) && peer.port() != 0);
    // RFC 8656 §12.2: neither is bound elsewhere, nor was until less than five minutes ago.
    let elsewhere = |bound: &&Bound| (bound.number == number) != (bound.peer == peer);
    let taken = held.channels.iter().filter(elsewhere).any(|bound| bound.expires.after(REST) > now);
    assert!(!taken, "{number:#x} or {peer} is taken");
    held.channels.retain(|bound| bound.number != number && bound.peer != peer);
    held.channels.push(Bound { number, peer, expires: now.after(CHANNEL) });
    permit(held, peer, now);
}

/// What policy says to this peer; it says the same to everybody.
fn is_allowed(peer: SocketAddr) -> bool {
    let anybody = Identity { user: UserId("".into()), key_id: None, expires_unix: None, max_allocations: None };
    let ports = TestPolicy::new(0).judge_peer(&anybody, PeerAddr(peer));
    ports.is_ok_and(|ports| ports.allow(peer.port()))
}

/// Whose credential a user name is.
fn person(username: &[u8]) -> &[u8] {
    username.rsplit(|byte| *byte == b':').next().unwrap_or_default()
}

fn username<'a>(request: &Message<'a>) -> &'a [u8] {
    request.get::<Username<'a>>().expect("checked").expect("checked").0
}
