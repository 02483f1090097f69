//! What a load test leaves: one JSON document, which reports, comparisons and other programs read.
//!
//! Units are in the names: `_s` seconds, `_us` microseconds, `_ns` nanoseconds, `_bytes`, `_bits_per_s`, `_per_s`.
//! A share (`loss`, `cpu_share`) is between 0 and 1. What was not measured is null or an empty list, never 0. The
//! number [`FORMAT`] grows when a reader of an older document could misread a newer one; fields are added without.

mod machine;

use std::collections::BTreeMap;

pub(in crate::load) use machine::MEMORY_GRAIN_BYTES;
pub use machine::{Generator, KernelCounters, KernelMemory, Server, ServerMemory};
use serde::{Deserialize, Serialize};

/// The version of the document.
pub const FORMAT: u32 = 1;

/// A load test, finished or stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadResult {
    /// [`FORMAT`].
    pub format: u32,
    /// What measured.
    pub tool: Tool,
    /// The command line, secrets replaced by `***`.
    pub command: Vec<String>,
    /// When it began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// How it ended.
    pub ended: Ended,
    /// Where it ran.
    pub host: Host,
    /// What was asked for, defaults filled in.
    pub plan: PlanFacts,
    /// How the packets left and came: part of what the figures mean.
    pub transport: TransportFacts,
    /// How the allocations came into being; of a churn, all cycles.
    pub setup: Setup,
    /// What was sent and received while measured, warm-up excluded. With steps: the last one; with a search: its
    /// confirmation. None where nothing is relayed.
    pub traffic: Option<Traffic>,
    /// Each step of a staircase or a search, in order.
    pub steps: Vec<Step>,
    /// What a search found.
    pub capacity: Option<Capacity>,
    /// Cycles of allocation or of connection.
    pub churn: Option<Churn>,
    /// Requests without credentials.
    pub flood: Option<Flood>,
    /// The server, where its process ids were given.
    pub server: Option<Server>,
    /// The load tester itself: whether it was the limit.
    pub generator: Generator,
    /// What the kernel counted for the whole host in the measured time.
    pub kernel: KernelCounters,
    /// Errors by what was asked and what was answered, such as `allocate 486`, `channel_bind timeout`.
    pub errors: BTreeMap<String, u64>,
    /// What the figures do not say by themselves, a sentence each: what became of the server, what its answers mean.
    #[serde(default)]
    pub findings: Vec<String>,
    /// The thresholds and whether they failed.
    pub thresholds: Vec<Judged>,
}

impl LoadResult {
    /// One in which nothing was measured.
    pub fn empty() -> Self {
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        Self {
            format: FORMAT,
            tool: Tool { name: "turnkeep".into(), version: env!("CARGO_PKG_VERSION").into(), build: build.into() },
            command: Vec::new(),
            started_unix_ms: 0,
            ended: Ended::Completed,
            host: Host::default(),
            plan: PlanFacts::default(),
            transport: TransportFacts::default(),
            setup: Setup::default(),
            traffic: None,
            steps: Vec::new(),
            capacity: None,
            churn: None,
            flood: None,
            server: None,
            generator: Generator::default(),
            kernel: KernelCounters::default(),
            errors: BTreeMap::new(),
            findings: Vec::new(),
            thresholds: Vec::new(),
        }
    }
}

/// What measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `turnkeep`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `debug` or `release`: a debug build measures itself more than the server.
    pub build: String,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All of it was done.
    Completed,
    /// Stopped by a signal: the figures are those until then.
    Interrupted,
    /// No allocation came into being: there is nothing to measure.
    SetupFailed,
}

/// Where it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// `/proc/sys/kernel/osrelease`.
    pub kernel: String,
    /// `model name` of `/proc/cpuinfo`; empty where there is none.
    pub cpu_model: String,
    /// Cores that are online.
    pub cores: u32,
    /// `MemTotal`.
    pub memory_bytes: u64,
    /// The hypervisor flag of the processor: figures repeat less well in a guest.
    pub is_virtual: bool,
    /// `cpufreq`'s governor of core 0; empty where there is none.
    pub cpu_governor: String,
    /// Settings of the kernel that decide about losses, by name: `net.core.rmem_max`, …
    pub sysctls: BTreeMap<String, String>,
}

/// What was asked for, defaults filled in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanFacts {
    /// The server.
    pub target: String,
    /// `raw`, `audio`, `video-360p`, `video-720p`, `video-1080p`, `data`, `churn`, `connect`, `idle` or `flood`.
    pub profile: String,
    /// `up` (client to peer), `down`, `both`, or `pair` (from one client's relayed address to another's).
    pub path: String,
    /// `channel` (ChannelData) or `send` (Send and Data indications).
    pub framing: String,
    /// Allocations; of a churn, those that can be under way at once.
    pub allocations: u32,
    /// The sum over all flows and directions, in packets/s; of a churn cycles/s, of a flood requests/s; 0: as many as
    /// go. At the end of a ramp.
    pub rate_per_s: f64,
    /// Payload of a raw packet, this tool's own header included; of a shaped profile, of its largest packet.
    pub payload_bytes: u32,
    /// Packets that one flow sends at once.
    pub burst: u32,
    /// Whether a burst leaves in one merged send (UDP_SEGMENT).
    pub merged: bool,
    /// Measured time of the traffic (or of each step).
    pub duration_s: f64,
    /// Traffic before it that is not measured.
    pub warmup_s: f64,
    /// How long the rate rises from 0 within the measured time.
    pub ramp_s: f64,
    /// How long the allocations took to come into being within the measured time; 0: they were there before it.
    pub growth_s: Option<f64>,
    /// From one key frame of a picture to the next; none where there are none.
    pub key_frames_s: Option<f64>,
    /// The seed of what is random; the same seed makes the same payloads.
    pub seed: u64,
}

/// How the packets left and came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportFacts {
    /// `udp`, `tcp` or `tls`.
    pub protocol: String,
    /// TLS's version and cipher suite, as the first handshake agreed on them.
    pub tls: Option<String>,
    /// How clients differ: `shared` (a wildcard socket, each client its own loopback source address by IP_PKTINFO) or
    /// `each` (a socket, or a connection, per client).
    pub clients: String,
    /// How peers differ: `shared` (as above) or `sockets` (a few sockets that many flows share).
    pub peers: String,
    /// Sockets of the clients.
    pub client_sockets: u32,
    /// Sockets of the peers.
    pub peer_sockets: u32,
    /// The smallest receive buffer that the kernel granted, as it counts (twice what was asked for).
    pub receive_buffer_bytes: u64,
}

/// How the allocations came into being.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Allocations that took part in the traffic, or were held idle, of those that the plan asks for. None where none
    /// is held (of cycles, of a flood), and in results of earlier versions.
    pub took_part: Option<u32>,
    /// Clients that began.
    pub attempted: u64,
    /// Clients that got all that they asked for.
    pub succeeded: u64,
    /// Clients that did not; `errors` says why.
    pub failed: u64,
    /// Requests that were sent again for want of an answer (RFC 8489 §6.2.1).
    pub retransmissions: u64,
    /// From the first request to the answer of the last.
    pub duration_s: f64,
    /// Time from a request's first sending to its answer, by step: over streams `connect` (TCP) and `tls` (from then to
    /// the end of TLS's handshake), of cycles of connection `binding`; `challenge` (Allocate answered 401), `allocate`,
    /// `permission`, `channel`, `refresh`, `free` (Refresh 0); and `total`, from the intended start of a client to the
    /// answer of its last request before traffic.
    pub steps: BTreeMap<String, Latency>,
}

/// What was sent and received in a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// All flows.
    pub total: Count,
    /// By direction: `up`, `down`, `pair`.
    pub directions: BTreeMap<String, Count>,
    /// Each second.
    pub series: Vec<Second>,
    /// Tenths of the time, where rate or allocations rise in it; else empty.
    #[serde(default)]
    pub stages: Vec<Stage>,
}

/// What was due in one part of the time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its beginning, since the measured traffic began.
    pub from_s: f64,
    /// Its end.
    pub to_s: f64,
    /// Packets that were due in it and left.
    pub sent: u64,
    /// Those of them that arrived, whenever.
    pub arrived: u64,
    /// The share that did not.
    pub loss: f64,
    /// Of those that arrived.
    pub latency: Latency,
}

/// What was sent and received, and how late.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Over which time the packets were sent.
    pub duration_s: f64,
    /// Flows, each with sequence numbers of its own.
    pub flows: u32,
    /// Packets that the schedule had for the measured time, whatever became of them: `sent`, `not_sent`, and those of
    /// flows whose allocation was not there yet. None in results of earlier versions.
    pub scheduled: Option<u64>,
    /// Packets that the kernel took.
    pub sent: u64,
    /// Packets that were due and did not leave: the load tester had not got to them when the time was over, or the
    /// kernel refused to take them. They count as sent nowhere, and say nothing about the server.
    pub not_sent: u64,
    /// Packets that are counted as sent and lost, but never left: the connection was over, or had taken nothing for so
    /// long that some 64 KiB waited in front of the kernel's own queue (back-pressure). Over UDP there are none.
    pub held_up: Option<u64>,
    /// Different packets that arrived where they should.
    pub received: u64,
    /// `sent` less `received`.
    pub lost: u64,
    /// `lost` / `sent`.
    pub loss: f64,
    /// Copies of packets that had arrived before.
    pub duplicates: u64,
    /// Packets that arrived after one with a higher sequence number of the same flow (RFC 4737 §3).
    pub reordered: u64,
    /// Packets that arrived whole at the wrong receiver, or from the wrong sender.
    pub misdelivered: u64,
    /// Packets of this run whose bytes are not those that were sent.
    pub corrupted: u64,
    /// Packets/s sent.
    pub sent_per_s: f64,
    /// Packets/s received.
    pub received_per_s: f64,
    /// Payload that was received, headers of TURN, UDP and IP excluded.
    pub goodput_bits_per_s: f64,
    /// From the intended time of sending to the receipt, of packets that arrived.
    pub latency: Latency,
}

/// A distribution of times (HDR histogram, three significant digits).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many times; where it is 0 the others mean nothing.
    pub count: u64,
    /// The shortest.
    pub min_us: f64,
    /// The mean.
    pub mean_us: f64,
    /// Half are at most so long.
    pub p50_us: f64,
    /// 90 in 100.
    pub p90_us: f64,
    /// 99 in 100.
    pub p99_us: f64,
    /// 999 in 1000.
    pub p99_9_us: f64,
    /// 9999 in 10,000.
    pub p99_99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// (quantile, microseconds), rising, for a plot; empty where a plot would say nothing.
    pub curve: Vec<[f64; 2]>,
}

/// One second of the traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Its beginning, since the measured traffic began.
    pub at_s: u32,
    /// Packets whose intended time lies in it.
    pub sent: u64,
    /// Those of them that arrived, then or later.
    pub arrived: u64,
    /// Packets that arrived in it, duplicates included.
    pub received: u64,
    /// Payload of these.
    pub received_bytes: u64,
    /// Latency of what arrived in it.
    pub p50_us: f64,
    /// As above.
    pub p99_us: f64,
    /// As above.
    pub max_us: f64,
    /// CPU time of the server in it, over wall time: 1 is a core. None without `--server-pid`.
    pub server_cpu: Option<f64>,
}

/// One step of a staircase or a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What was to be sent, in packets/s.
    pub rate_per_s: f64,
    /// Whether it stayed within the limits; none where there are no limits, or where the load tester was the limit.
    pub passed: Option<bool>,
    /// Whether the load tester itself was too slow for it.
    pub generator_limited: bool,
    /// What was counted.
    pub count: Count,
    /// How late the load tester was in it. None in results of earlier versions.
    pub lateness: Option<Latency>,
    /// CPU time of the server over the step's: 1 is a core.
    pub server_cpu_share: Option<f64>,
    /// CPU time of the server per relayed packet, where its process ids were given.
    pub server_cpu_ns_per_packet: Option<f64>,
}

/// What a search for the highest rate found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// The highest rate that passed and was confirmed, in packets/s; 0: none.
    pub rate_per_s: f64,
    /// The lowest rate that the server did not bear; none if there was none.
    pub failed_rate_per_s: Option<f64>,
    /// The most loss that passes, a share.
    pub max_loss: f64,
    /// The longest p99 that passes.
    pub max_p99_us: f64,
    /// Whether a longer run at that rate passed as well.
    pub confirmed: bool,
    /// Whether the load tester, not the server, ended the search: the capacity is at least `rate_per_s`.
    pub generator_limited: bool,
}

/// Cycles of allocation (challenge, allocate, permission, channel, free) or of connection (connect, tls, binding).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Churn {
    /// Whether each cycle began when another ended (so that the server set the pace) instead of by a schedule.
    pub closed_loop: bool,
    /// Measured time.
    pub duration_s: f64,
    /// Cycles that the schedule had for the measured time; none in a closed loop, and in results of earlier versions.
    pub scheduled: Option<u64>,
    /// Those of them that were not begun: no client was free, or the load tester was too slow.
    pub not_begun: Option<u64>,
    /// Cycles that were begun.
    pub begun: u64,
    /// Cycles that were completed.
    pub completed: u64,
    /// Cycles that failed.
    pub failed: u64,
    /// Cycles that were begun and had neither end two seconds after the measured time.
    pub unfinished: Option<u64>,
    /// `completed` / `duration_s`.
    pub cycles_per_s: f64,
    /// From the intended beginning to the answer that freed it.
    pub cycle: Latency,
    /// Cycles that ended in each second.
    pub series: Vec<u64>,
    /// CPU time of the server per completed cycle.
    pub server_cpu_ns_per_cycle: Option<f64>,
}

/// Requests without credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flood {
    /// Measured time.
    pub duration_s: f64,
    /// Requests that the schedule had for the measured time. None in results of earlier versions.
    pub scheduled: Option<u64>,
    /// Allocate requests sent, each from one of many sources.
    pub requests: u64,
    /// Answers.
    pub answers: u64,
    /// `requests` / `duration_s`.
    pub requests_per_s: f64,
    /// Bytes of answers over bytes of requests, UDP payloads both.
    pub amplification: f64,
    /// From the intended time of a request to its answer.
    pub latency: Latency,
    /// CPU time of the server per request.
    pub server_cpu_ns_per_request: Option<f64>,
}

/// A threshold and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// As it was written.
    pub condition: String,
    /// What was measured, in the condition's unit, where it was worst; none if it was not.
    pub measured: Option<f64>,
    /// Where that was, of several steps or of a course that rises: `at 20000/s`, `from 27 s to 30 s`.
    pub place: Option<String>,
    /// Whether the test fails by it; also where it was not measured.
    pub failed: bool,
}
