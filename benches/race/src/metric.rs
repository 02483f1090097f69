//! What is measured, and how it is written.

use serde::{Deserialize, Serialize};

use crate::case::Group;

/// A figure of one measurement. The unit is in the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// The server's user and system time, per packet that arrived.
    CpuNsPerPacket,
    P50Us,
    P99Us,
    /// The load generator's own: from when a packet was due to when the kernel had taken it.
    LateP999Us,
    /// Lost packets over sent ones.
    Loss,
    ReceivedPerS,
    /// The server's context switches per packet: wake-ups.
    SwitchesPerPacket,
    CapacityPerS,
    CyclesPerS,
    CpuUsPerCycle,
    /// Of the server's process.
    UserKibPerAllocation,
    /// Of the whole machine's kernel.
    KernelKibPerAllocation,
    /// What the process still holds when all allocations have been freed, over what they took.
    KeptShare,
    SwitchesPerS,
    CpuUsPerS,
}

impl Metric {
    /// Those that a group's tables show, the first of which is compared and plotted.
    pub(crate) fn of(group: Group) -> &'static [Self] {
        match group {
            Group::Relay | Group::Bursts | Group::Pair | Group::Workers | Group::Streams => {
                &[Self::CpuNsPerPacket, Self::P99Us, Self::LateP999Us, Self::SwitchesPerPacket]
            }
            Group::Capacity => &[Self::CapacityPerS],
            Group::Cycles | Group::Handshakes => &[Self::CyclesPerS, Self::CpuUsPerCycle],
            Group::Memory => &[Self::UserKibPerAllocation, Self::KernelKibPerAllocation, Self::KeptShare],
            Group::Idle => &[Self::SwitchesPerS, Self::CpuUsPerS],
            Group::OneCall => &[Self::P50Us, Self::P99Us, Self::CpuNsPerPacket],
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::CpuNsPerPacket => "CPU per packet, ns",
            Self::P50Us => "median latency, µs",
            Self::P99Us => "p99 latency, µs",
            Self::LateP999Us => "the generator's own lateness, p99.9, µs",
            Self::Loss => "loss",
            Self::ReceivedPerS => "packets/s received",
            Self::SwitchesPerPacket => "context switches per packet",
            Self::CapacityPerS => "packets/s",
            Self::CyclesPerS => "cycles/s",
            Self::CpuUsPerCycle => "CPU per cycle, µs",
            Self::UserKibPerAllocation => "process, KiB per allocation",
            Self::KernelKibPerAllocation => "kernel, KiB per allocation",
            Self::KeptShare => "kept by the process after release",
            Self::SwitchesPerS => "context switches/s",
            Self::CpuUsPerS => "CPU, µs per s",
        }
    }

    pub(crate) fn write(self, value: f64) -> String {
        match self {
            Self::CpuNsPerPacket | Self::CyclesPerS | Self::CpuUsPerS => format!("{value:.0}"),
            Self::P50Us | Self::P99Us | Self::LateP999Us => format!("{value:.0}"),
            Self::CapacityPerS | Self::ReceivedPerS => format!("{:.0}k", value / 1000.0),
            Self::CpuUsPerCycle | Self::UserKibPerAllocation | Self::SwitchesPerS => format!("{value:.1}"),
            Self::SwitchesPerPacket | Self::KernelKibPerAllocation => format!("{value:.2}"),
            Self::Loss | Self::KeptShare => format!("{:.1} %", value * 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_precisely_as_they_repeat() {
        assert_eq!(Metric::CpuNsPerPacket.write(4071.6), "4072");
        assert_eq!(Metric::CapacityPerS.write(287_400.0), "287k");
        assert_eq!(Metric::KeptShare.write(0.0421), "4.2 %");
        assert_eq!(Metric::SwitchesPerPacket.write(0.126), "0.13");
    }

    #[test]
    fn every_group_has_a_figure_to_compare() {
        assert!(Group::ALL.iter().all(|group| !Metric::of(*group).is_empty()));
    }
}
