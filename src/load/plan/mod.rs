//! How large a relay has to be: from visits per hour to ports, Mbit/s, packets/s, cores, memory.
//!
//! Every line carries its arithmetic: what a reader cannot check he should not buy machines by.

mod base;
mod erlang;
mod text;

pub use base::Base;
pub use text::text;

use serde::Serialize;

use super::settings::{DEFAULT_KEY_FRAMES, Profile};
use erlang::{MOST_LOAD, servers_for};

/// What is known of the calls.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Demand {
    /// Visits that begin in an hour, on average over the day's working hours.
    pub visits_per_hour: f64,
    /// How long one takes.
    pub minutes_per_visit: f64,
    /// People in one visit.
    pub participants: u32,
    /// The share of participants whose media need the relay.
    pub relayed_share: f64,
    /// The busiest hour over the average one.
    pub peak_factor: f64,
    /// The share of visits that may find more calls under way than there is room for.
    pub blocked_share: f64,
    /// Allocations of each participant, relayed or not: browsers make them before they know.
    pub allocations_each: u32,
    /// How full the machine may be.
    pub utilisation: f64,
    /// What one participant sends.
    pub media: Media,
}

/// What one participant sends to each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Media {
    /// How it is called.
    pub name: String,
    /// Payload of UDP.
    pub bits_per_s: f64,
    /// Packets.
    pub packets_per_s: f64,
}

/// What is needed, and how that was worked out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// What was asked for.
    pub demand: Demand,
    /// What one packet and one allocation cost.
    pub base: Base,
    /// The lines of the plan, in the order in which one follows from another.
    pub lines: Vec<Line>,
    /// What is to be minded.
    pub remarks: Vec<String>,
}

/// One figure of the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What it is: `concurrent_calls`, `relay_ports`, ….
    pub key: &'static str,
    /// The figure.
    pub value: f64,
    /// Its unit; empty for a number.
    pub unit: &'static str,
    /// The arithmetic.
    pub because: String,
}

/// IPv4 and UDP headers.
const IP_UDP_BYTES: f64 = 28.0;
/// ChannelData's, on the client's side (RFC 8656 §12.4).
const CHANNEL_BYTES: f64 = 4.0;
/// Voice of a call, which has packets of its own.
const VOICE: (f64, f64) = (48_000.0, 50.0);
/// Payload of a packet of anything else.
const FULL_PACKET_BYTES: f64 = 1150.0;
/// Descriptors of a server beside one for each relay port: listeners, epoll, logs, files.
const OTHER_DESCRIPTORS: f64 = 1000.0;
/// What a server takes before its first allocation.
const RESIDENT_BYTES: f64 = 67_108_864.0;
/// The ports that are dynamic (RFC 6335 §6): what a relay has unless it is told otherwise.
const DYNAMIC_PORTS: f64 = 16_384.0;
/// Ports of one address above those that are reserved for the system.
const USER_PORTS: f64 = 64_512.0;

/// Payloads that differ by more than this factor cost differently.
const PAYLOADS_APART: f64 = 1.5;
/// A server may scale to so many times the allocations that it was measured with, and not further.
const ALLOCATIONS_APART: f64 = 10.0;

impl Demand {
    /// Visits that are under way at the peak, on average.
    fn load(&self) -> f64 {
        self.visits_per_hour * self.peak_factor * self.minutes_per_visit / 60.0
    }

    /// Whether it can be worked out.
    ///
    /// # Errors
    /// A sentence.
    pub fn check(&self) -> Result<(), String> {
        let load = self.load();
        match load <= MOST_LOAD {
            true => Ok(()),
            false => Err(format!(
                "{} visits at once are more than can be worked out, which is {}: plan for a part of them",
                super::units::brief(load),
                super::units::brief(MOST_LOAD)
            )),
        }
    }
}

impl Media {
    /// At `bits_per_s`: a call's voice, and the rest in full packets.
    pub fn of_bitrate(bits_per_s: f64) -> Self {
        let (voice_bits, voice_packets) = VOICE;
        let full = (bits_per_s - voice_bits).max(0.0) / 8.0 / FULL_PACKET_BYTES;
        Self { name: "bitrate".into(), bits_per_s, packets_per_s: voice_packets + full }
    }
}

impl From<Profile> for Media {
    /// What one direction of one call of the load tester's profile sends; nothing, where it relays no calls.
    fn from(profile: Profile) -> Self {
        let mut media = Self { name: profile.name().to_owned(), bits_per_s: 0.0, packets_per_s: 0.0 };
        for shape in profile.shapes(DEFAULT_KEY_FRAMES) {
            media.bits_per_s += shape.bits_per_s();
            media.packets_per_s += shape.packets_per_s();
        }
        media
    }
}

impl Plan {
    /// Works it out.
    pub fn new(demand: Demand, base: Base) -> Self {
        let remarks = base.doubts.clone();
        let mut plan = Self { demand, base, lines: Vec::new(), remarks };
        let calls = plan.calls();
        let allocations = plan.ports(calls);
        let packets = plan.traffic(calls);
        plan.machine(allocations, packets);
        plan.compare_with_base(allocations);
        plan
    }

    /// The value of the line `key`.
    pub fn value(&self, key: &str) -> Option<f64> {
        self.lines.iter().find(|line| line.key == key).map(|line| line.value)
    }

    fn put(&mut self, key: &'static str, value: f64, unit: &'static str, because: String) -> f64 {
        self.lines.push(Line { key, value, unit, because });
        value
    }

    /// Says so where the base was measured with other packets than are planned, or with far fewer allocations.
    fn compare_with_base(&mut self, allocations: f64) {
        let Media { bits_per_s, packets_per_s, .. } = self.demand.media;
        let planned = bits_per_s / 8.0 / packets_per_s;
        let is_other = |bytes: &f64| planned > bytes * PAYLOADS_APART || *bytes > planned * PAYLOADS_APART;
        if let Some(measured) = self.base.payload_bytes.filter(|bytes| packets_per_s > 0.0 && is_other(bytes)) {
            self.remarks.push(format!(
                "Measured were packets of {measured:.0} bytes, planned are {planned:.0} on average: measure again with \
                 --payload {planned:.0}."
            ));
        }
        let is_few = |count: &f64| allocations > count * ALLOCATIONS_APART;
        if let Some(measured) = self.base.allocations.map(f64::from).filter(is_few) {
            let [measured, planned] = [measured, allocations].map(super::units::number);
            self.remarks.push(format!(
                "Measured were {measured} allocations, planned are {planned}: measure again with more (--allocations)."
            ));
        }
    }

    fn calls(&mut self) -> f64 {
        let Demand { visits_per_hour, minutes_per_visit, peak_factor, blocked_share, .. } = self.demand;
        let load = self.demand.load();
        let because = format!("{visits_per_hour} visits/h x {peak_factor} at the peak x {minutes_per_visit} min / 60");
        self.put("offered_load", load, "erlang", because);
        let because = format!(
            "Erlang B: with so many at most {} % of visits find them all taken",
            super::units::short(100.0 * blocked_share)
        );
        self.put("concurrent_calls", f64::from(servers_for(load, blocked_share)), "", because)
    }

    fn ports(&mut self, calls: f64) -> f64 {
        let Demand { participants, allocations_each, visits_per_hour, peak_factor, .. } = self.demand;
        let because = format!("{calls} calls x {participants} participants x {allocations_each} allocations");
        let allocations = calls * f64::from(participants) * f64::from(allocations_each);
        self.put("allocations", allocations, "", because);
        let begun = visits_per_hour * peak_factor * f64::from(participants) * f64::from(allocations_each) / 3600.0;
        let because = "visits/h at the peak x participants x allocations / 3600".to_owned();
        self.put("allocations_per_s", begun, "/s", because);
        self.put("relay_ports", allocations, "", "one for each allocation (RFC 8656 §7.2)".into());
        if allocations > USER_PORTS {
            let addresses = (allocations / USER_PORTS).ceil();
            self.remarks.push(format!("One address has {USER_PORTS} ports: take {addresses} relay addresses."));
        } else if allocations > DYNAMIC_PORTS {
            self.remarks.push(format!(
                "The dynamic ports 49152 to 65535 are {DYNAMIC_PORTS}: widen relay.ports, and the firewall's rule."
            ));
        }
        allocations
    }

    /// Returns packets/s that are relayed.
    fn traffic(&mut self, calls: f64) -> f64 {
        let Demand { participants, relayed_share, ref media, .. } = self.demand;
        let (bits, each) = (media.bits_per_s, media.packets_per_s);
        let percent = super::units::short(100.0 * relayed_share);
        let because = format!("{calls} calls x {participants} participants x {percent} %");
        let relayed = (calls * f64::from(participants) * relayed_share).ceil();
        self.put("relayed_participants", relayed, "", because);
        // Each sends one stream, and gets one from every other.
        let streams = relayed * f64::from(participants);
        let others = participants - 1;
        let because = format!("{relayed} relayed participants x (1 sent + {others} received)");
        self.put("relayed_streams", streams, "", because);
        let packets = streams * each;
        let because = format!("{streams} streams x {} packets/s", super::units::short(each));
        self.put("packets_per_s", packets, "/s", because);
        let headers = 8.0 * each * (IP_UDP_BYTES + CHANNEL_BYTES);
        let megabits = streams * (bits + headers) / 1e6;
        let because = format!(
            "{streams} streams x ({} kbit/s + {} kbit/s of headers); the same goes out as comes in",
            super::units::short(bits / 1e3),
            super::units::short(headers / 1e3)
        );
        self.put("mbit_per_s_in", megabits, "Mbit/s", because);
        self.put("mbit_per_s_out", megabits, "Mbit/s", "what comes in".into());
        packets
    }

    fn machine(&mut self, allocations: f64, packets: f64) {
        let utilisation = self.demand.utilisation;
        let full = super::units::short(100.0 * utilisation);
        let micros = self.base.cpu_us_per_packet;
        let because = format!(
            "{} packets/s x {} µs of CPU, the machine {full} % full",
            super::units::number(packets.round()),
            super::units::short(micros)
        );
        self.put("cores", (packets * micros / 1e6 / utilisation).ceil().max(1.0), "", because);
        if let Some(capacity) = self.base.packets_per_s {
            let because =
                format!("packets/s / {} packets/s of the measured one, {full} % full", super::units::number(capacity));
            self.put("servers_as_measured", (packets / capacity / utilisation).ceil().max(1.0), "", because);
        }
        let bytes = RESIDENT_BYTES + allocations * self.base.bytes_per_allocation;
        let because = format!("64 MiB and {} for each allocation", super::units::bytes(self.base.bytes_per_allocation));
        self.put("memory_mib", (bytes / 1_048_576.0).ceil(), "MiB", because);
        let because = format!("one for each relay port and {OTHER_DESCRIPTORS} others (LimitNOFILE)");
        self.put("file_descriptors", allocations + OTHER_DESCRIPTORS, "", because);
    }
}
