//! What a load test shall do. The defaults are bounds: 30 s, 10,000 packets/s in all, 100 allocations.

mod fit;
mod shape;
mod transport;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use shape::DEFAULT_KEY_FRAMES;
pub(super) use shape::Shape;
pub use transport::{TlsSettings, Transport};

use super::mark::{MARK_LEN, MAX_PAYLOAD};
use super::threshold::Threshold;
use crate::client::Credentials;
use crate::engine::sys::segment::MAX_SEGMENTS;

/// Packets/s in all directions together, unless another rate is asked for.
pub const DEFAULT_RATE: f64 = 10_000.0;
/// Cycles/s, unless another rate is asked for: each is some ten packets.
pub const DEFAULT_CYCLES: f64 = 1000.0;
/// Allocations, unless another number is asked for; fewer where so many of a shaped profile would pass the rate.
pub const DEFAULT_ALLOCATIONS: u32 = 100;
/// The most allocations of one run: addresses of the loopback network that clients are given.
pub const MAX_ALLOCATIONS: u32 = 1 << 20;
/// The most packets that one flow sends in one step: what it takes to account for each is one bit.
pub const MAX_PACKETS_PER_FLOW: u64 = 1 << 31;

/// A load test.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server.
    pub target: SocketAddr,
    /// How clients reach it.
    pub transport: Transport,
    /// Over TLS.
    pub tls: TlsSettings,
    /// Who the clients are.
    pub credentials: Credentials,
    /// What is sent.
    pub profile: Profile,
    /// From where to where.
    pub path: Path,
    /// How clients frame what they send.
    pub framing: Framing,
    /// Allocations; of a churn and a flood, how many clients there are at once. None: as many as the default rate has
    /// room for.
    pub allocations: Option<u32>,
    /// In all directions together: packets/s of a raw profile, cycles/s of a churn, requests/s of a flood; none: the
    /// default. Shaped profiles have their own.
    pub rate: Option<f64>,
    /// Of cycles: each begins as soon as another has ended, whatever the rate.
    pub closed_loop: bool,
    /// Raw: payload, in bytes, this tool's header of 24 included.
    pub payload: u16,
    /// Raw: packets that a flow sends at once.
    pub burst: u16,
    /// Bursts leave in one merged send.
    pub merged: bool,
    /// Measured time; with steps, of each; with a search, of each probe.
    pub duration: Duration,
    /// Traffic before that is not measured.
    pub warmup: Duration,
    /// How long the rate rises from 0 within the measured time.
    pub ramp: Duration,
    /// How long the allocations take to come into being, one by one while traffic flows, within the measured time;
    /// zero: all are there before it.
    pub growth: Duration,
    /// From one key frame of a picture to the next; zero: there are none.
    pub key_frames: Duration,
    /// Rates to be held one after the other, instead of `rate`.
    pub steps: Vec<f64>,
    /// Search the highest rate within limits.
    pub search: Option<Limits>,
    /// Allocations begun per second.
    pub setup_rate: f64,
    /// Where the peers are, if not at addresses of the loopback network, each allocation's its own.
    pub peer: Option<IpAddr>,
    /// Addresses that clients send from in turn, where the target is not on the loopback network.
    pub sources: Vec<IpAddr>,
    /// Processes of the server on this host.
    pub server_pids: Vec<u32>,
    /// The core to run on.
    pub cpu: Option<usize>,
    /// Seed of payloads.
    pub seed: u64,
    /// Conditions that fail the test.
    pub fail_if: Vec<Threshold>,
    /// The command line for the record, without secrets.
    pub command: Vec<String>,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Equal packets at a rate.
    Raw,
    /// A call's voice: a packet of 120 bytes every 20 ms each way (Opus at 40 kbit/s, RTP and SRTP).
    Audio,
    /// Voice, and 30 frames/s of 2 packets (0.5 Mbit/s).
    Video360,
    /// Voice, and 30 frames/s of 6 packets (1.5 Mbit/s).
    Video720,
    /// Voice, and 30 frames/s of 11 packets (3 Mbit/s).
    Video1080,
    /// A data channel: 4 packets of 1150 bytes every 40 ms (0.9 Mbit/s).
    Data,
    /// Cycles of allocation: challenge, allocate, permission, channel, free.
    Churn,
    /// Allocations that carry nothing.
    Idle,
    /// Cycles of connection: TCP, TLS where it is spoken, a Binding, and the end.
    Connect,
    /// Allocate requests without credentials, from many sources.
    Flood,
}

/// From where to where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Client to peer.
    Up,
    /// Peer to client.
    Down,
    /// Both.
    Both,
    /// From one client's relayed address to another's, in pairs, both ways.
    Pair,
}

/// How clients frame what they send and get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// ChannelData (RFC 8656 §12).
    Channel,
    /// Send and Data indications (RFC 8656 §11).
    Send,
}

/// What a rate must keep to pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The most loss, a share.
    pub max_loss: f64,
    /// The longest p99 of the latency.
    pub max_p99: Duration,
}

impl Profile {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Audio => "audio",
            Self::Video360 => "video-360p",
            Self::Video720 => "video-720p",
            Self::Video1080 => "video-1080p",
            Self::Data => "data",
            Self::Churn => "churn",
            Self::Idle => "idle",
            Self::Connect => "connect",
            Self::Flood => "flood",
        }
    }

    /// Whether each client has one allocation from beginning to end.
    pub(super) fn holds_allocations(self) -> bool {
        !matches!(self, Self::Churn | Self::Connect | Self::Flood)
    }

    /// Whether it relays packets.
    pub(super) fn relays(self) -> bool {
        !matches!(self, Self::Churn | Self::Connect | Self::Idle | Self::Flood)
    }
}

impl Path {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
            Self::Pair => "pair",
        }
    }

    /// Flows per allocation.
    fn directions(self) -> u32 {
        if self == Self::Both { 2 } else { 1 }
    }
}

impl Framing {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Send => "send",
        }
    }
}

impl Settings {
    /// A raw load both ways with the default bounds.
    pub fn new(target: SocketAddr, credentials: Credentials) -> Self {
        Self {
            target,
            transport: Transport::Udp,
            tls: TlsSettings { server_name: target.ip().to_string(), ..TlsSettings::default() },
            credentials,
            profile: Profile::Raw,
            path: Path::Both,
            framing: Framing::Channel,
            allocations: None,
            rate: None,
            closed_loop: false,
            payload: 160,
            burst: 1,
            merged: false,
            duration: Duration::from_secs(30),
            warmup: Duration::from_secs(1),
            ramp: Duration::ZERO,
            growth: Duration::ZERO,
            key_frames: DEFAULT_KEY_FRAMES,
            steps: Vec::new(),
            search: None,
            setup_rate: 1000.0,
            peer: None,
            sources: Vec::new(),
            server_pids: Vec::new(),
            cpu: None,
            seed: 1,
            fail_if: Vec::new(),
            command: Vec::new(),
        }
    }

    /// What is wrong with it, and how to mend it.
    ///
    /// # Errors
    /// A sentence.
    pub fn check(&self) -> Result<(), String> {
        let payload = usize::from(self.payload);
        if !(MARK_LEN..=MAX_PAYLOAD).contains(&payload) {
            return Err(format!("a payload of {payload} bytes cannot be; allowed are {MARK_LEN} to {MAX_PAYLOAD}"));
        }
        let burst = usize::from(self.burst);
        if !(1..=MAX_SEGMENTS).contains(&burst) || burst * (payload + 64) > 65_000 {
            return Err(format!(
                "a burst of {burst} cannot be; allowed are 1 to {MAX_SEGMENTS} packets with 65,000 bytes in all"
            ));
        }
        let rates = self.rate.iter().chain(&self.steps).chain([&self.setup_rate]);
        if let Some(rate) = rates.clone().find(|rate| !(rate.is_finite() && **rate > 0.0 && **rate <= 1e8)) {
            return Err(format!("a rate of {rate}/s cannot be; allowed are rates above 0 up to 100,000,000/s"));
        }
        let allocations = self.allocations();
        if !(1..=MAX_ALLOCATIONS).contains(&allocations) {
            return Err(format!("{allocations} allocations cannot be; allowed are 1 to {MAX_ALLOCATIONS}"));
        }
        if self.path == Path::Pair && allocations % 2 == 1 {
            return Err(format!("{allocations} allocations make no pairs; give an even number"));
        }
        if self.duration.is_zero() || self.ramp > self.duration {
            return Err("the measured time must be above 0, and at least as long as the ramp".into());
        }
        if self.growth > self.duration || !(self.growth.is_zero() || self.ramp.is_zero()) {
            return Err("allocations can grow in the measured time alone, and not while the rate rises".into());
        }
        let has_one_phase = self.steps.is_empty() && self.search.is_none();
        let can_grow = self.profile.holds_allocations() && has_one_phase;
        if !self.growth.is_zero() && !can_grow {
            return Err("growing goes with traffic at one rate, and with idle allocations".into());
        }
        if self.profile != Profile::Raw && (!self.steps.is_empty() || self.search.is_some()) {
            return Err("steps and a search change the rate: they go with the raw profile alone".into());
        }
        if !self.steps.is_empty() && self.search.is_some() {
            return Err("steps and a search exclude each other; leave one out".into());
        }
        if self.closed_loop && !matches!(self.profile, Profile::Churn | Profile::Connect) {
            return Err("as many as go are cycles alone (churn, connect); packets and requests have a rate".into());
        }
        let is_datagrams = self.transport == Transport::Udp;
        if (self.profile == Profile::Flood && !is_datagrams) || (self.profile == Profile::Connect && is_datagrams) {
            return Err("a flood goes over UDP; cycles of connection over TCP or TLS".into());
        }
        if self.merged && !is_datagrams && matches!(self.path, Path::Up | Path::Pair) {
            return Err("what goes up a stream cannot be merged: it has no datagrams".into());
        }
        if self.peer.is_some_and(|peer| peer.is_ipv4() != self.target.is_ipv4()) {
            return Err("the peer's address must be of the target's family".into());
        }
        self.check_fit()
    }

    /// How many allocations there will be.
    pub fn allocations(&self) -> u32 {
        if let Some(allocations) = self.allocations {
            return allocations;
        }
        let each = self.shaped_rate(1);
        if each == 0.0 {
            return DEFAULT_ALLOCATIONS;
        }
        let fitting = (DEFAULT_RATE / each) as u32;
        // Pairs are even.
        (fitting.min(DEFAULT_ALLOCATIONS) & !1).max(2)
    }

    /// Packets/s of `allocations` of a shaped profile, all directions together.
    fn shaped_rate(&self, allocations: u32) -> f64 {
        let of_flow: f64 = self.profile.shapes(self.key_frames).iter().map(Shape::packets_per_s).sum();
        of_flow * f64::from(self.path.directions() * allocations)
    }

    /// Packets/s, cycles/s or requests/s in all; 0: as many as go.
    pub(super) fn total_rate(&self) -> f64 {
        match self.profile {
            Profile::Raw | Profile::Flood => self.rate.unwrap_or(DEFAULT_RATE),
            Profile::Churn | Profile::Connect if self.closed_loop => 0.0,
            Profile::Churn | Profile::Connect => self.rate.unwrap_or(DEFAULT_CYCLES),
            Profile::Idle => 0.0,
            _ => self.shaped_rate(self.allocations()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let credentials = Credentials::Secret(b"north".to_vec().into());
        Settings::new("127.0.0.1:3478".parse().unwrap(), credentials)
    }

    #[test]
    fn the_defaults_are_bounds_for_every_profile() {
        let all =
            [Profile::Raw, Profile::Audio, Profile::Video360, Profile::Video720, Profile::Video1080, Profile::Data];
        for (profile, path) in all.iter().flat_map(|profile| [Path::Both, Path::Pair].map(|path| (*profile, path))) {
            let settings = Settings { profile, path, ..settings() };
            settings.check().unwrap();
            assert!(settings.total_rate() <= DEFAULT_RATE, "{profile:?} {path:?}: {}", settings.total_rate());
            assert!((2..=DEFAULT_ALLOCATIONS).contains(&settings.allocations()));
        }
        assert_eq!(Settings { profile: Profile::Audio, ..settings() }.allocations(), 100);
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_mend() {
        let wrong = |change: fn(&mut Settings), mend: &str| {
            let mut settings = settings();
            change(&mut settings);
            let error = settings.check().unwrap_err();
            assert!(error.contains(mend), "{error}");
        };
        wrong(|s| s.payload = 23, "24 to 9000");
        wrong(|s| s.payload = 9001, "24 to 9000");
        wrong(|s| s.burst = 0, "1 to 64");
        wrong(|s| (s.burst, s.payload) = (60, 1150), "65,000 bytes");
        wrong(|s| s.rate = Some(0.0), "above 0");
        wrong(|s| s.closed_loop = true, "cycles alone");
        wrong(|s| s.steps = vec![1.0, f64::NAN], "above 0");
        wrong(|s| s.allocations = Some(0), "1 to");
        wrong(|s| (s.allocations, s.path) = (Some(3), Path::Pair), "even");
        wrong(|s| s.ramp = Duration::from_secs(31), "ramp");
        wrong(|s| s.growth = Duration::from_secs(31), "measured time");
        wrong(|s| (s.growth, s.ramp) = (Duration::from_secs(1), Duration::from_secs(1)), "while the rate rises");
        wrong(|s| (s.growth, s.profile) = (Duration::from_secs(1), Profile::Churn), "one rate");
        wrong(|s| (s.profile, s.steps) = (Profile::Audio, vec![1.0]), "raw profile");
        wrong(|s| (s.profile, s.transport) = (Profile::Flood, Transport::Tls), "over UDP");
        wrong(|s| s.profile = Profile::Connect, "over TCP or TLS");
        wrong(|s| (s.merged, s.transport, s.path) = (true, Transport::Tcp, Path::Up), "no datagrams");
        wrong(|s| s.peer = Some("::1".parse().unwrap()), "family");
    }
}
