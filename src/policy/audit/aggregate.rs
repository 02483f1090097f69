//! Repeated denials made one record: the first is recorded at once, the rest as a count.
//!
//! Whoever is refused can be refused again a million times an hour; the trail must neither miss that nor grow by it
//! . Time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::record::{Entry, reason_of, rule_of};
use crate::relay::event::{Event, RequestKind};
use crate::relay::reason::RuleId;
use crate::relay::seam::UserId;
use crate::relay::{Instant, Now};

/// How long denials are gathered.
pub const WINDOW: Duration = Duration::from_secs(10);

/// How many kinds of denials are told apart at a time; those of further kinds are counted together. So ten seconds
/// never cost more than `2 * MAX_KINDS + 1` records, whatever happens.
pub const MAX_KINDS: usize = 256;

/// Gathers denials of the same kind.
#[derive(Default)]
pub struct Aggregator {
    windows: HashMap<Kind, Window>,
    /// Denials of kinds that there was no room for.
    spilled: Option<Spilled>,
    /// When the next window ends; none is due before.
    next_due: Option<Instant>,
}

/// What makes two denials the same: the source's network, the user, the reason and the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    network: IpAddr,
    user: Option<UserId>,
    reason: &'static str,
    rule: Option<RuleId>,
    request: RequestKind,
}

struct Window {
    ends: Instant,
    repeats: Option<Repeats>,
}

struct Repeats {
    last: Event,
    count: u64,
    first: Now,
}

struct Spilled {
    ends: Instant,
    count: u64,
    first: Now,
    last: Now,
}

impl Aggregator {
    /// Takes an event in and passes on what is to be recorded now: everything but a denial at once, a denial of a new
    /// kind at once, and the windows that have ended.
    pub fn take(&mut self, event: Event, record: &mut impl FnMut(Entry)) {
        let Some((at, kind)) = Kind::of(&event) else { return record(Entry::Event(event)) };
        self.end_due(at.instant, record);
        if let Some(window) = self.windows.get_mut(&kind) {
            return window.add(event, at);
        }
        let ends = at.instant.after(WINDOW);
        self.next_due.get_or_insert(ends);
        if self.windows.len() >= MAX_KINDS {
            let spilled = self.spilled.get_or_insert(Spilled { ends, count: 0, first: at, last: at });
            spilled.count = spilled.count.saturating_add(1);
            spilled.last = at;
            return;
        }
        self.windows.insert(kind, Window { ends, repeats: None });
        record(Entry::Event(event));
    }

    /// Passes on what windows have gathered that ended by `now`. While a kind goes on, each of its windows makes one
    /// record; after one in which nothing came it is forgotten.
    pub fn end_due(&mut self, now: Instant, record: &mut impl FnMut(Entry)) {
        if self.next_due.is_none_or(|due| now < due) {
            return;
        }
        let mut ended = Vec::new();
        self.windows.retain(|_, window| {
            if now < window.ends {
                return true;
            }
            let quiet_since = now.since(window.ends) >= WINDOW;
            window.ends = now.after(WINDOW);
            window.repeats.take().map(|repeats| ended.push(repeats)).is_some() && !quiet_since
        });
        // The table has no order of its own; the trail has that of time.
        ended.sort_by_key(|repeats| repeats.first.instant);
        ended.into_iter().for_each(|Repeats { last, count, first }| record(Entry::Repeats { last, count, first }));
        if let Some(Spilled { count, first, last, .. }) = self.spilled.take_if(|spilled| spilled.ends <= now) {
            record(Entry::Spilled { count, first, at: last });
        }
        let windows = self.windows.values().map(|window| window.ends);
        self.next_due = windows.chain(self.spilled.as_ref().map(|spilled| spilled.ends)).min();
    }

    /// When [`Self::end_due`] may next have something to pass on; none if nothing is gathered.
    pub fn next_due(&self) -> Option<Instant> {
        self.next_due
    }

    /// Passes on everything that was gathered.
    pub fn end_all(&mut self, record: &mut impl FnMut(Entry)) {
        self.windows.values_mut().for_each(|window| window.ends = Instant::default());
        self.spilled.iter_mut().for_each(|spilled| spilled.ends = Instant::default());
        self.next_due = Some(Instant::default());
        self.end_due(Instant::default(), record);
        self.windows.clear();
        self.next_due = None;
    }
}

impl Window {
    fn add(&mut self, event: Event, at: Now) {
        match &mut self.repeats {
            None => self.repeats = Some(Repeats { last: event, count: 1, first: at }),
            Some(repeats) => {
                repeats.count = repeats.count.saturating_add(1);
                repeats.last = event;
            }
        }
    }
}

impl Kind {
    /// What a denial is, and when it came; none for other events.
    fn of(event: &Event) -> Option<(Now, Self)> {
        let Event::Denied { at, path, who, request, denial, .. } = event else { return None };
        let kind = Self {
            network: network(path.client.ip()),
            user: who.as_ref().map(|who| who.user.clone()),
            reason: reason_of(denial),
            rule: rule_of(denial).cloned(),
            request: *request,
        };
        Some((*at, kind))
    }
}

/// What one subscriber usually has: a /24 of IPv4, a /64 of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::event::Denial;
    use crate::relay::reason::AuthReason;
    use crate::relay::seam::Identity;
    use crate::relay::{ClientAddr, ListenerId, Path, PeerAddr, ServerAddr, Transport};

    fn at(millis: u64) -> Now {
        Now { instant: Instant::from_nanos(millis * 1_000_000), unix_millis: 1_795_285_900_000 + millis }
    }

    fn denied(millis: u64, client: &str, user: Option<&str>, request: RequestKind, denial: Denial) -> Event {
        let path = Path {
            client: ClientAddr(client.parse().unwrap()),
            server: ServerAddr("192.0.2.1:3478".parse().unwrap()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        };
        let who = user.map(|user| Identity {
            user: UserId(user.into()),
            key_id: None,
            expires_unix: None,
            max_allocations: None,
        });
        Event::Denied { at: at(millis), path, who, allocation: None, request, code: 401, denial }
    }

    fn wrong_password(millis: u64, client: &str) -> Event {
        denied(millis, client, None, RequestKind::Allocate, Denial::Credentials(AuthReason::WrongPassword))
    }

    /// What is recorded for `events`, told by count; what stands at the end apart.
    fn run(events: impl IntoIterator<Item = Event>) -> (Vec<u64>, Vec<u64>) {
        let count = |entry| match entry {
            Entry::Event(_) => 1,
            Entry::Repeats { count, .. } => count,
            Entry::Spilled { count, .. } => 1_000_000_000 + count,
            other => panic!("{other:?}"),
        };
        let mut aggregator = Aggregator::default();
        let (mut recorded, mut left) = (vec![], vec![]);
        for event in events {
            aggregator.take(event, &mut |entry| recorded.push(count(entry)));
        }
        aggregator.end_all(&mut |entry| left.push(count(entry)));
        assert!(aggregator.windows.is_empty() && aggregator.spilled.is_none());
        (recorded, left)
    }

    #[test]
    fn a_077_the_first_at_once_and_the_rest_as_one() {
        let mut aggregator = Aggregator::default();
        let mut recorded = vec![];
        for millis in 0..5 {
            aggregator.take(wrong_password(millis, "198.51.100.7:4000"), &mut |entry| recorded.push(entry));
        }
        assert_eq!(recorded, [Entry::Event(wrong_password(0, "198.51.100.7:4000"))]);
        recorded.clear();
        aggregator.end_due(at(9_999).instant, &mut |entry| recorded.push(entry));
        assert_eq!(recorded, []);
        aggregator.end_due(at(10_000).instant, &mut |entry| recorded.push(entry));
        assert_eq!(recorded, [Entry::Repeats { last: wrong_password(4, "198.51.100.7:4000"), count: 4, first: at(1) }]);
    }

    #[test]
    fn a_kind_that_goes_on_makes_one_record_a_window_and_is_new_after_a_quiet_one() {
        let times = (0..30).map(|second| second * 1000).chain([60_000, 60_001]);
        let (recorded, left) = run(times.map(|millis| wrong_password(millis, "198.51.100.7:4000")));
        assert_eq!(recorded, [1, 9, 10, 10, 1]);
        assert_eq!(left, [1]);
    }

    #[test]
    fn what_differs_is_told_apart() {
        let peer = |rule: &'static str| Denial::Peer {
            peer: PeerAddr("10.0.0.1:1".parse().unwrap()),
            rule: RuleId(rule.into()),
        };
        let credentials = |reason| Denial::Credentials(reason);
        let client = "198.51.100.7:4000";
        let base = || denied(0, client, Some("alice"), RequestKind::Allocate, credentials(AuthReason::Expired));
        let different = [
            denied(1, "198.51.101.7:4000", Some("alice"), RequestKind::Allocate, credentials(AuthReason::Expired)),
            denied(1, "[2001:db8::7]:4000", Some("alice"), RequestKind::Allocate, credentials(AuthReason::Expired)),
            denied(1, "[2001:db8:0:1::7]:4000", Some("alice"), RequestKind::Allocate, credentials(AuthReason::Expired)),
            denied(1, client, Some("bob"), RequestKind::Allocate, credentials(AuthReason::Expired)),
            denied(1, client, None, RequestKind::Allocate, credentials(AuthReason::Expired)),
            denied(1, client, Some("alice"), RequestKind::Refresh, credentials(AuthReason::Expired)),
            denied(1, client, Some("alice"), RequestKind::Allocate, credentials(AuthReason::ExpiryTooFar)),
            denied(1, client, Some("alice"), RequestKind::ChannelBind, peer("special.loopback")),
            denied(1, client, Some("alice"), RequestKind::ChannelBind, peer("special.rfc1918")),
        ];
        let (recorded, left) = run([base()].into_iter().chain(different));
        assert_eq!((recorded.len(), left.len()), (10, 0));
        let same =
            denied(1, "198.51.100.200:9", Some("alice"), RequestKind::Allocate, credentials(AuthReason::Expired));
        assert_eq!(run([base(), same]), (vec![1], vec![1]));
        let (one, other) = (wrong_password(0, "[2001:db8::1]:1"), wrong_password(1, "[2001:db8::ffff:0:0:2]:2"));
        assert_eq!(run([one, other]), (vec![1], vec![1]));
    }

    #[test]
    fn a_077_a_million_denials_of_one_network_are_a_handful_of_records() {
        let clients = ["198.51.100.7:4000", "198.51.100.8:4001"].into_iter().cycle();
        // 20,000 a second for 50 seconds.
        let (recorded, left) = run((0..1_000_000).zip(clients).map(|(n, client)| wrong_password(n / 20, client)));
        assert!(recorded.len() + left.len() <= 6, "{recorded:?} {left:?}");
        assert_eq!(recorded.iter().chain(&left).sum::<u64>(), 1_000_000);
    }

    #[test]
    fn a_077_memory_is_bounded_whatever_the_sources_are() {
        let client = |n: u64| format!("10.{}.{}.1:4000", n >> 8 & 0xff, n & 0xff);
        let mut aggregator = Aggregator::default();
        let mut recorded = vec![];
        for n in 0..60_000 {
            aggregator.take(wrong_password(n / 10, &client(n)), &mut |entry| recorded.push(entry));
            assert!(aggregator.windows.len() <= MAX_KINDS);
        }
        assert_eq!(recorded.len(), MAX_KINDS);
        recorded.clear();
        aggregator.end_due(at(20_000).instant, &mut |entry| recorded.push(entry));
        let spilled = Entry::Spilled { count: 60_000 - 256, first: at(25), at: at(5_999) };
        assert_eq!(recorded, [spilled]);
        assert!(aggregator.windows.is_empty());
    }

    #[test]
    fn clocks_of_several_workers_may_disagree() {
        let (recorded, left) =
            run([5000, 4999, 0, 14_999, 15_000, 3].map(|millis| wrong_password(millis, "192.0.2.1:1")));
        assert_eq!((recorded, left), (vec![1, 3], vec![2]));
    }
}
