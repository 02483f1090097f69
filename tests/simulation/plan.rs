//! What a seed has in store.

use std::time::Duration;

use turnkeep::engine::sim::{Behaviour, Impairment, Random, Seed};
use turnkeep::relay::RelayFailure;

use crate::caller::{Retransmission, Style};

/// All that is drawn beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: Seed,
    pub(crate) callers: Vec<CallerPlan>,
    pub(crate) peers: u16,
    pub(crate) villains: Vec<VillainPlan>,
    pub(crate) impairment: Impairment,
    pub(crate) faults: Vec<(Duration, Fault)>,
    pub(crate) sockets: SocketPlan,
    /// Relayed ports of each family.
    pub(crate) ports: u16,
    pub(crate) offer_sha256: bool,
    pub(crate) strict_permissions: bool,
    /// The storm lasts so long, and the calm after it.
    pub(crate) storm: Duration,
    pub(crate) calm: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct CallerPlan {
    pub(crate) style: Style,
    pub(crate) begins: Duration,
    /// Over IPv6, it reaches the server without a NAT.
    pub(crate) v6: bool,
    pub(crate) nat: Option<(Behaviour, Behaviour)>,
    /// The number of a caller it talks to, relay to relay, besides a peer.
    pub(crate) pair: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum VillainPlan {
    /// Sends to relayed ports that it knows nothing of.
    Stranger,
    /// Sends in others' names.
    Forger,
    /// Sends again what others sent.
    Replayer,
    /// Has credentials, and asks for whatever comes to its mind.
    Insider,
}

/// Something happens to the surroundings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// A caller's datagrams do not reach the server for a while, or the server's it.
    Cut { caller: u16, outward: bool, lasts: Duration },
    /// A NAT restarts.
    Rebind { caller: u16 },
    /// The wall clock is set, by so many seconds.
    WallClock { seconds: i64 },
    /// The server does not run for a while; what comes meanwhile queues up.
    Stall { lasts: Duration },
    /// The server dies, and starts again at once.
    Crash,
}

/// What becomes of relay sockets during the storm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketPlan {
    /// So many of a thousand cannot be opened.
    pub(crate) fail: u16,
    /// So many of a thousand open late, by at most so much.
    pub(crate) late: u16,
    pub(crate) late_by: Duration,
}

impl SocketPlan {
    pub(crate) fn failure(random: &mut Random) -> RelayFailure {
        let all = [RelayFailure::PortsExhausted, RelayFailure::DescriptorsExhausted, RelayFailure::Refused];
        *random.pick(&all).expect("there are some")
    }
}

impl Plan {
    pub(crate) fn draw(seed: Seed) -> Self {
        let mut topology = seed.stream("topology");
        let mut faults = seed.stream("faults");
        let storm = topology.time(Duration::from_secs(120), Duration::from_secs(1200));
        let count = u16::try_from(topology.within(1..=5)).unwrap();
        let mut callers: Vec<_> = (0..count).map(|number| caller(&mut topology, number, count, storm)).collect();
        let tight = topology.chance(120);
        for number in (1..callers.len()).step_by(2) {
            // Who talk relay to relay need relays of one family.
            let family = callers[number - 1].style.family;
            let style = &mut callers[number].style;
            (style.family, style.both) = (family, style.both && family == 1);
        }
        if tight {
            // What is forsaken comes back within ten minutes.
            callers.iter_mut().for_each(|caller| caller.style.lifetime = None);
        }
        let villains = (0..topology.below(4)).map(|_| villain(&mut topology)).collect();
        let mut plan = Self {
            seed,
            callers,
            peers: u16::try_from(topology.within(1..=3)).unwrap(),
            villains,
            impairment: impairment(&mut faults),
            faults: Vec::new(),
            sockets: SocketPlan {
                fail: one_of(&mut faults, &[0, 0, 100, 500]),
                late: one_of(&mut faults, &[0, 0, 300, 1000]),
                late_by: faults.time(Duration::from_millis(1), Duration::from_secs(5)),
            },
            ports: if tight { count * 2 + 6 } else { 400 },
            offer_sha256: topology.chance(800),
            strict_permissions: topology.chance(300),
            storm,
            // Where ports are short, those of forsaken allocations have to come back first.
            calm: Duration::from_secs(if tight { 900 } else { 120 }),
        };
        plan.faults = (0..faults.below(5)).map(|_| plan.fault(&mut faults, tight)).collect();
        plan
    }

    /// A network in which nothing goes wrong, and nobody who means ill.
    pub(crate) fn peaceful(seed: Seed) -> Self {
        let sockets = SocketPlan { fail: 0, late: 0, late_by: Duration::ZERO };
        let (ports, impairment) = (400, Impairment::NONE);
        let mut plan =
            Self { impairment, sockets, ports, faults: Vec::new(), villains: Vec::new(), ..Self::draw(seed) };
        plan.calm = Duration::from_secs(120);
        // Nobody lets go of an address that is talked to.
        plan.callers.iter_mut().for_each(|caller| caller.style.narrows = false);
        plan
    }

    fn fault(&self, random: &mut Random, tight: bool) -> (Duration, Fault) {
        let at = random.time(Duration::from_secs(5), self.storm);
        let caller = u16::try_from(random.below(self.callers.len() as u64)).unwrap();
        let fault = match random.below(6) {
            0 | 1 => {
                let lasts = random.time(Duration::from_secs(1), Duration::from_secs(90));
                Fault::Cut { caller, outward: random.chance(500), lasts }
            }
            2 => Fault::Rebind { caller },
            3 => {
                let seconds = i64::try_from(random.within(1..=7200)).unwrap();
                Fault::WallClock { seconds: if random.chance(500) { seconds } else { -seconds } }
            }
            // A port that is needed at once could be another's whose partner has not noticed the crash yet.
            4 if !tight => Fault::Crash,
            _ => Fault::Stall { lasts: random.time(Duration::from_millis(10), Duration::from_secs(10)) },
        };
        (at, fault)
    }
}

fn caller(random: &mut Random, number: u16, count: u16, storm: Duration) -> CallerPlan {
    let v6 = random.chance(250);
    let behaviours = [Behaviour::EndpointIndependent, Behaviour::AddressDependent, Behaviour::AddressAndPortDependent];
    let nat = (!v6 && random.chance(800)).then(|| (one_of(random, &behaviours), one_of(random, &behaviours)));
    let webrtc = random.chance(500);
    let family = if random.chance(200) { 2 } else { 1 };
    let style = Style {
        modern: random.chance(400),
        fingerprint: random.chance(300),
        retransmission: if webrtc { Retransmission::WEBRTC } else { Retransmission::RFC },
        channels: random.chance(700),
        first_channel: one_of(random, &[0x4000, 0x4000, 0x4ABC, 0x4FFE]),
        family,
        both: family == 1 && random.chance(400),
        narrows: random.chance(500),
        lifetime: one_of(random, &[None, None, Some(600), Some(900), Some(3600)]),
        renew_every: Duration::from_secs(if webrtc { 240 } else { random.within(60..=290) }),
        talk_every: random.time(Duration::from_secs(2), Duration::from_secs(15)),
        word_len: usize::try_from(random.within(0..=1000)).unwrap(),
    };
    // Neighbours talk to each other: the second to the first, the fourth to the third.
    let pair = if number % 2 == 1 { Some(number - 1) } else { Some(number + 1).filter(|pair| *pair < count) };
    CallerPlan { style, begins: random.time(Duration::ZERO, storm / 3), v6, nat, pair }
}

fn villain(random: &mut Random) -> VillainPlan {
    one_of(random, &[VillainPlan::Stranger, VillainPlan::Forger, VillainPlan::Replayer, VillainPlan::Insider])
}

/// A quarter of the networks lose nothing, the others something, some a lot.
fn impairment(random: &mut Random) -> Impairment {
    let millis = Duration::from_millis;
    if random.chance(250) {
        return Impairment::NONE;
    }
    Impairment {
        latency: random.time(millis(1), millis(200)),
        jitter: random.time(Duration::ZERO, millis(200)),
        loss: one_of(random, &[0, 10, 50, 150]),
        bursts: one_of(random, &[0, 0, 2, 10]),
        burst: random.time(millis(10), Duration::from_secs(3)),
        duplicates: one_of(random, &[0, 50, 200]),
        stragglers: one_of(random, &[0, 50, 250]),
        late: random.time(Duration::ZERO, millis(500)),
        mtu: one_of(random, &[1500, 1500, 900, 65_507]),
    }
}

fn one_of<T: Copy>(random: &mut Random, all: &[T]) -> T {
    *random.pick(all).expect("there are some")
}
