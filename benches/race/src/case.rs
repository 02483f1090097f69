//! What is raced: the cases, each with its load.

use std::time::Duration;

use crate::generator::SETUP_PER_S;

/// One row of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    /// What `--cases` selects and records name: `up-160-1000-100k`.
    pub(crate) name: String,
    /// What a table calls it.
    pub(crate) title: String,
    pub(crate) group: Group,
    pub(crate) kind: Kind,
    /// How clients reach the server.
    pub(crate) transport: Transport,
}

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls(Key),
}

/// Of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// 2048 bits.
    Rsa,
    /// On P-256.
    Ecdsa,
}

impl Transport {
    /// As the load generator takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls(_) => "tls",
        }
    }
}

impl Key {
    pub(crate) const ALL: [Self; 2] = [Self::Rsa, Self::Ecdsa];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ecdsa => "ecdsa",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Rsa => "RSA-2048",
            Self::Ecdsa => "ECDSA P-256",
        }
    }
}

/// Cases that share a table and a plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Relay,
    Bursts,
    Pair,
    Capacity,
    Cycles,
    Memory,
    Idle,
    OneCall,
    /// On two cores, which the load generator has to share.
    Workers,
    /// Over TCP and TLS.
    Streams,
    Handshakes,
}

impl Group {
    pub(crate) const ALL: [Self; 11] = [
        Self::Relay,
        Self::Bursts,
        Self::Pair,
        Self::Capacity,
        Self::Cycles,
        Self::Memory,
        Self::Idle,
        Self::OneCall,
        Self::Workers,
        Self::Streams,
        Self::Handshakes,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Relay => "Relayed packets of 160 bytes",
            Self::Bursts => "Video: bursts of eight packets of 1,150 bytes, 100 allocations, 100,000 packets/s",
            Self::Pair => "Relay to relay: between two clients of the same server",
            Self::Capacity => "Highest rate with less than 0.1 % loss and a p99 below 10 ms",
            Self::Cycles => "Allocation cycles: 401, allocate, permission, channel, free",
            Self::Memory => "Memory of 10,000 idle allocations",
            Self::Idle => "An idle server",
            Self::OneCall => "One call alone: 50 packets/s each way",
            Self::Workers => "Two threads on two cores, beside the load generator: 160 bytes, 1,000 allocations",
            Self::Streams => "Over TCP and TLS: 160 bytes, 100 allocations, 50,000 packets/s",
            Self::Handshakes => "Full TLS handshakes: connect, handshake, one Binding, close",
        }
    }

    /// The floor that it is compared with: what does the same with the same system calls.
    pub(crate) fn floor(self) -> &'static str {
        match self {
            Self::Bursts => "forwarder-merged",
            Self::Pair => "forwarder-switch",
            _ => "forwarder",
        }
    }

    /// What a reader of its figures must know.
    pub(crate) fn remark(self) -> Option<&'static str> {
        match self {
            Self::Pair => Some(
                "A packet between two relayed addresses counts once. turn-server relays nowhere else, through \
                 addresses that exist inside it alone.",
            ),
            Self::Cycles => Some(
                "turn-server is not among them: it gives permissions for its own clients alone, and answers the one \
                 that a cycle asks for with 443.",
            ),
            Self::Memory => Some(
                "The kernel's is what the slabs of the whole machine grew by while the allocations were held; the load \
                 generator has a few sockets only.",
            ),
            Self::Workers => Some(
                "The load generator spins: while it sends it takes all of a core, and here it may take either, so that \
                 three threads want two cores. One thread and two are measured under these same conditions: on the \
                 same two cores, beside the same spinning generator. The figures are comparable with each other, not \
                 with those above.",
            ),
            Self::Streams => Some(
                "The others are built here without streams, or have none; and no forwarder would be a floor, since \
                 most of the time goes to TCP and TLS.",
            ),
            _ => None,
        }
    }

    /// The name of its plot.
    pub(crate) fn file_stem(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Bursts => "bursts",
            Self::Pair => "pair",
            Self::Capacity => "capacity",
            Self::Cycles => "cycles",
            Self::Memory => "memory",
            Self::Idle => "idle",
            Self::OneCall => "one-call",
            Self::Workers => "workers",
            Self::Streams => "streams",
            Self::Handshakes => "handshakes",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A steady rate.
    Rate(Traffic),
    /// A search for the highest rate; its `rate_per_s` is where it begins.
    Capacity(Traffic),
    /// Allocation cycles, as fast as the server answers.
    Cycles { at_once: u32 },
    /// Connections that come and go, as fast as the server lets them.
    Connections { at_once: u32 },
    /// Allocations that are held and then freed.
    Memory { allocations: u32 },
    /// Nothing at all.
    Idle,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) path: Path,
    pub(crate) allocations: u32,
    /// The sum over all allocations and directions.
    pub(crate) rate_per_s: u32,
    pub(crate) payload_bytes: u32,
    /// Packets that one flow sends at once.
    pub(crate) burst: u32,
    /// Whether a burst is sent and received merged (UDP_SEGMENT, UDP_GRO).
    pub(crate) merged: bool,
}

/// Whence and whither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Up,
    Down,
    Both,
    /// From one client's relayed address to another's.
    Pair,
}

impl Path {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
            Self::Pair => "pair",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Up => "client to peer",
            Self::Down => "peer to client",
            Self::Both => "both ways",
            Self::Pair => "relay to relay",
        }
    }
}

impl Case {
    /// Every case, in the order of the tables.
    pub(crate) fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for path in [Path::Up, Path::Down] {
            for rate_per_s in [50_000, 100_000] {
                // Side by side, since they are compared with each other.
                cases.extend([100, 1000, 10_000].map(|allocations| Self::rate(path, allocations, rate_per_s)));
            }
        }
        for merged in [false, true] {
            cases.extend([Path::Up, Path::Down].map(|path| Self::burst(path, merged)));
        }
        cases.push(Self::pair());
        for allocations in [100, 1000] {
            cases.extend([Path::Up, Path::Down].map(|path| Self::capacity(path, allocations)));
        }
        cases.push(Self::new("cycles", "64 at once", Group::Cycles, Kind::Cycles { at_once: 64 }));
        cases.push(Self::new("memory", "per allocation", Group::Memory, Kind::Memory { allocations: 10_000 }));
        cases.push(Self::new("idle", "no client", Group::Idle, Kind::Idle));
        let call = Traffic { path: Path::Both, allocations: 1, rate_per_s: 100, ..SMALL };
        cases.push(Self::new("one-call", "160 bytes", Group::OneCall, Kind::Rate(call)));
        cases.extend([Path::Up, Path::Down].map(Self::workers));
        for transport in [Transport::Tcp, Transport::Tls(Key::Ecdsa)] {
            cases.extend([Path::Up, Path::Down].map(|path| Self::stream(transport, path)));
        }
        cases.extend(Key::ALL.map(Self::handshakes));
        cases
    }

    /// Those that one of `words` selects: whose name is the word, begins with it, or holds it between hyphens.
    pub(crate) fn select(words: &[String]) -> Result<Vec<Self>, String> {
        let all = Self::all();
        if let Some(word) = words.iter().find(|word| !all.iter().any(|case| case.matches(word))) {
            let names: Vec<&str> = all.iter().map(|case| case.name.as_str()).collect();
            return Err(format!("no case is called {word}; there are {}", names.join(", ")));
        }
        Ok(all.into_iter().filter(|case| words.is_empty() || words.iter().any(|word| case.matches(word))).collect())
    }

    /// About how long one measurement takes, with `seconds` of measured traffic.
    pub(crate) fn estimate(&self, seconds: Duration) -> Duration {
        // The server's start, the warm-up, and what the load generator waits for afterwards.
        let around = Duration::from_millis(2500);
        match self.kind {
            Kind::Rate(traffic) | Kind::Capacity(traffic) => {
                // Freeing takes about as long.
                let setup = 2 * Duration::from_secs(1) * traffic.allocations / SETUP_PER_S;
                let is_search = matches!(self.kind, Kind::Capacity(_));
                let measured = if is_search { PROBES * (probe(seconds) + PROBE_AROUND) } else { seconds };
                around + setup + measured
            }
            Kind::Cycles { .. } | Kind::Connections { .. } => around + seconds,
            Kind::Idle => around + 4 * seconds,
            Kind::Memory { .. } => around + Duration::from_secs(11),
        }
    }

    fn matches(&self, word: &str) -> bool {
        self.name.starts_with(word) || self.name.split('-').any(|part| part == word)
    }

    fn rate(path: Path, allocations: u32, rate_per_s: u32) -> Self {
        let thousands = rate_per_s / 1000;
        let name = format!("{}-160-{allocations}-{thousands}k", path.name());
        let title = format!("{}, {} allocations, {thousands}k/s", path.title(), grouped(allocations));
        let traffic = Traffic { path, allocations, rate_per_s, ..SMALL };
        Self::new(&name, &title, Group::Relay, Kind::Rate(traffic))
    }

    fn burst(path: Path, merged: bool) -> Self {
        let (name, how) = if merged { ("merged", "arriving merged") } else { ("single", "arriving one by one") };
        let traffic = Traffic { path, allocations: 100, rate_per_s: 100_000, payload_bytes: 1150, burst: 8, merged };
        let title = format!("{}, {how}", path.title());
        Self::new(&format!("burst-{}-{name}", path.name()), &title, Group::Bursts, Kind::Rate(traffic))
    }

    fn workers(path: Path) -> Self {
        let traffic = Traffic { path, allocations: 1000, rate_per_s: 100_000, ..SMALL };
        let title = format!("{}, 100k/s", path.title());
        Self::new(&format!("workers-{}-100k", path.name()), &title, Group::Workers, Kind::Rate(traffic))
    }

    fn stream(transport: Transport, path: Path) -> Self {
        let name = format!("{}-{}-160-100-50k", transport.name(), path.name());
        let title = format!("{}, {}", transport.name().to_uppercase(), path.title());
        let case = Self::new(&name, &title, Group::Streams, Kind::Rate(Traffic { path, ..SMALL }));
        Self { transport, ..case }
    }

    fn handshakes(key: Key) -> Self {
        let name = format!("handshakes-{}", key.name());
        let case = Self::new(&name, key.title(), Group::Handshakes, Kind::Connections { at_once: 64 });
        Self { transport: Transport::Tls(key), ..case }
    }

    fn pair() -> Self {
        let traffic = Traffic { path: Path::Pair, allocations: 100, rate_per_s: 50_000, ..SMALL };
        Self::new("pair-160-100-50k", "160 bytes, 100 allocations, 50k/s", Group::Pair, Kind::Rate(traffic))
    }

    fn capacity(path: Path, allocations: u32) -> Self {
        let name = format!("capacity-{}-{allocations}", path.name());
        let title = format!("{}, {} allocations", path.title(), grouped(allocations));
        let traffic = Traffic { path, allocations, rate_per_s: 100_000, ..SMALL };
        Self::new(&name, &title, Group::Capacity, Kind::Capacity(traffic))
    }

    fn new(name: &str, title: &str, group: Group, kind: Kind) -> Self {
        Self { name: name.into(), title: title.into(), group, kind, transport: Transport::Udp }
    }
}

/// About how many probes a search takes, the confirmation, which is twice as long, counted twice.
const PROBES: u32 = 17;
/// What a probe waits for beside its measured time.
const PROBE_AROUND: Duration = Duration::from_millis(600);

/// How long each probe of a search is measured.
pub(crate) fn probe(seconds: Duration) -> Duration {
    Duration::from_secs((seconds.as_secs() * 2 / 5).max(1))
}

/// A voice packet, alone.
const SMALL: Traffic =
    Traffic { path: Path::Up, allocations: 100, rate_per_s: 50_000, payload_bytes: 160, burst: 1, merged: false };

/// `10,000`.
fn grouped(number: u32) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Case::select(&words).unwrap().into_iter().map(|case| case.name).collect()
    }

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let mut all = names(&[]);
        all.sort();
        let count = all.len();
        all.dedup();
        assert_eq!((all.len(), count), (33, 33));
    }

    #[test]
    fn words_select_by_beginning_and_by_part() {
        assert_eq!(names(&["capacity-up"]), ["capacity-up-100", "capacity-up-1000"]);
        assert_eq!(names(&["merged"]), ["burst-up-merged", "burst-down-merged"]);
        assert_eq!(names(&["idle", "cycles"]), ["cycles", "idle"]);
        assert_eq!(names(&["10000"]).len(), 4);
        assert!(Case::select(&["sideways".into()]).unwrap_err().contains("up-160-1000-100k"));
    }

    #[test]
    fn titles_group_thousands() {
        let case = Case::select(&["up-160-10000-50k".into()]).unwrap().remove(0);
        assert_eq!(case.title, "client to peer, 10,000 allocations, 50k/s");
    }
}
