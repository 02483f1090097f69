//! When a datagram arrives, and whether.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::random::Random;
use crate::relay::Instant;

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impairment {
    /// It takes at least so long,
    pub latency: Duration,
    /// and up to so much longer, each datagram for itself: later ones overtake earlier ones.
    pub jitter: Duration,
    /// So many of a thousand are lost, each for itself.
    pub loss: u16,
    /// So many of a thousand begin a burst: everything on that way is lost for a while,
    pub bursts: u16,
    /// which lasts at most so long.
    pub burst: Duration,
    /// So many of a thousand arrive twice; the second one at most `late` later.
    pub duplicates: u16,
    /// So many of a thousand are held up, for at most `late`.
    pub stragglers: u16,
    /// See `duplicates` and `stragglers`.
    pub late: Duration,
    /// The longest payload that passes, in bytes.
    pub mtu: usize,
}

impl Impairment {
    /// A network that loses nothing.
    pub const NONE: Self = Self {
        latency: Duration::from_millis(20),
        jitter: Duration::ZERO,
        loss: 0,
        bursts: 0,
        burst: Duration::ZERO,
        duplicates: 0,
        stragglers: 0,
        late: Duration::ZERO,
        mtu: 65_507,
    };

    /// The longest that a datagram can be under way.
    pub fn longest(&self) -> Duration {
        self.latency + self.jitter + self.late
    }
}

/// All ways between all addresses.
#[derive(Debug)]
pub struct Network {
    /// What it does at present.
    pub impairment: Impairment,
    random: Random,
    /// Ways on which a burst of losses lasts until then.
    lossy: BTreeMap<(IpAddr, IpAddr), Instant>,
    /// Ways that are cut until then, in this direction.
    cuts: Vec<(IpAddr, IpAddr, Instant)>,
    counters: NetworkCounters,
}

/// What became of what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkCounters {
    /// Datagrams that were handed over.
    pub sent: u64,
    /// Lost, for whatever reason.
    pub lost: u64,
    /// Arrivals that are one too many.
    pub duplicated: u64,
}

/// When a datagram arrives: never, once or twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried(pub [Option<Instant>; 2]);

impl Network {
    /// A network with an impairment that can be changed while it is in use.
    pub fn new(impairment: Impairment, random: Random) -> Self {
        let counters = NetworkCounters::default();
        Self { impairment, random, lossy: BTreeMap::new(), cuts: Vec::new(), counters }
    }

    /// Loses whatever goes from one host to the other, in this direction alone, until then.
    pub fn cut(&mut self, from: IpAddr, to: IpAddr, until: Instant) {
        self.cuts.push((from, to, until));
    }

    /// From now on nothing is lost, held up or duplicated.
    pub fn heal(&mut self) {
        self.impairment = Impairment { latency: self.impairment.latency, ..Impairment::NONE };
        self.lossy.clear();
        self.cuts.clear();
    }

    /// Sends a datagram with a payload of `len` bytes.
    pub fn carry(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, len: usize) -> Carried {
        self.counters.sent += 1;
        let way = (from.ip(), to.ip());
        if self.is_lost(now, way, len) {
            self.counters.lost += 1;
            return Carried::default();
        }
        let Impairment { latency, jitter, duplicates, stragglers, late, .. } = self.impairment;
        let mut arrives = now.after(latency).after(self.random.time(Duration::ZERO, jitter));
        if self.random.chance(stragglers) {
            arrives = arrives.after(self.random.time(Duration::ZERO, late));
        }
        let again = self.random.chance(duplicates).then(|| {
            let first = now.after(latency).after(jitter);
            first.after(self.random.time(Duration::ZERO, late))
        });
        self.counters.duplicated += u64::from(again.is_some());
        Carried([Some(arrives), again])
    }

    /// What became of what was sent.
    pub fn counters(&self) -> NetworkCounters {
        self.counters
    }

    fn is_lost(&mut self, now: Instant, way: (IpAddr, IpAddr), len: usize) -> bool {
        let Impairment { loss, bursts, burst, mtu, .. } = self.impairment;
        self.cuts.retain(|(_, _, until)| *until > now);
        if len > mtu || self.cuts.iter().any(|(from, to, _)| (*from, *to) == way) {
            return true;
        }
        if self.lossy.get(&way).is_some_and(|until| *until > now) {
            return true;
        }
        if self.random.chance(bursts) {
            self.lossy.insert(way, now.after(self.random.time(Duration::ZERO, burst)));
            return true;
        }
        self.random.chance(loss)
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Seed;
    use super::*;

    fn way() -> (SocketAddr, SocketAddr) {
        ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap())
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn unimpaired_it_carries_everything_once_and_in_order() {
        let mut network = Network::new(Impairment::NONE, Seed(1).stream("network"));
        let (from, to) = way();
        for millis in 0..100 {
            assert_eq!(network.carry(at(millis), from, to, 1200), Carried([Some(at(millis + 20)), None]));
        }
        assert_eq!(network.counters(), NetworkCounters { sent: 100, lost: 0, duplicated: 0 });
    }

    #[test]
    fn impaired_it_loses_and_doubles_as_often_as_it_says_and_keeps_to_its_times() {
        let millis = Duration::from_millis;
        let impairment = Impairment {
            latency: millis(10),
            jitter: millis(50),
            loss: 100,
            duplicates: 50,
            stragglers: 200,
            late: millis(400),
            ..Impairment::NONE
        };
        let mut network = Network::new(impairment, Seed(2).stream("network"));
        let (from, to) = way();
        let mut overtaken = 0;
        let mut last = at(0);
        for sent in 0..10_000 {
            let Carried(arrivals) = network.carry(at(sent), from, to, 100);
            for arrival in arrivals.into_iter().flatten() {
                let under_way = arrival.since(at(sent));
                assert!(under_way >= millis(10) && under_way <= impairment.longest(), "{under_way:?}");
                overtaken += u32::from(arrival < last);
                last = arrival;
            }
        }
        let NetworkCounters { lost, duplicated, .. } = network.counters();
        assert!((900..1100).contains(&lost), "{lost}");
        assert!((380..520).contains(&duplicated), "{duplicated}");
        assert!(overtaken > 1000, "{overtaken}");
    }

    #[test]
    fn cuts_bursts_and_long_packets() {
        let (from, to) = way();
        let mut network = Network::new(Impairment { mtu: 1200, ..Impairment::NONE }, Seed(3).stream("network"));
        network.cut(from.ip(), to.ip(), at(1000));
        let mut arrives = |now, from, to, len| network.carry(at(now), from, to, len) != Carried::default();
        assert!(!arrives(999, from, to, 10));
        assert!(arrives(999, to, from, 10), "the other direction is whole");
        assert!(arrives(1000, from, to, 10));
        assert!(arrives(1000, from, to, 1200) && !arrives(1000, from, to, 1201));

        let lossy = Impairment { bursts: 1000, burst: Duration::from_secs(5), ..Impairment::NONE };
        let mut network = Network::new(lossy, Seed(4).stream("network"));
        assert_eq!(network.carry(at(0), from, to, 10), Carried::default(), "it begins");
        network.impairment.bursts = 0;
        let gone: Vec<_> = (0..110).map(|step| network.carry(at(step * 50), from, to, 10)).collect();
        let end = gone.iter().position(|carried| *carried != Carried::default()).unwrap();
        assert!(end > 0 && gone[end..].iter().all(|carried| *carried != Carried::default()), "one run of losses");
        network.impairment.loss = 1000;
        network.heal();
        assert_ne!(network.carry(at(9000), from, to, 10), Carried::default());
    }
}
