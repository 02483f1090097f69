//! What was used, by the server, the load tester and the kernel.

use serde::{Deserialize, Serialize};

use super::Latency;

/// What the server's processes used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Whose.
    pub pids: Vec<u32>,
    /// The command names of the processes.
    pub names: Vec<String>,
    /// `schedstat` (nanoseconds, of all threads) or `stat` (clock ticks; where a thread ended in between).
    pub cpu_source: String,
    /// User and system time in the measured time.
    pub cpu_s: f64,
    /// The same over the measured time: 1 is a core.
    pub cpu_share: f64,
    /// The same per packet that was received; a packet between two relayed addresses counts once.
    pub cpu_ns_per_packet: Option<f64>,
    /// Voluntary context switches in the measured time: waits.
    pub voluntary_switches: u64,
    /// Involuntary ones: the processor was taken away.
    pub involuntary_switches: u64,
    /// Memory along the way.
    pub memory: ServerMemory,
}

/// Memory of the server's processes, in bytes; their own (Pss, where it can be read, else Rss).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerMemory {
    /// `pss` or `rss`.
    pub source: String,
    /// Before the first request.
    pub before_bytes: u64,
    /// With all allocations, before traffic.
    pub allocated_bytes: u64,
    /// After traffic.
    pub loaded_bytes: u64,
    /// After all allocations were freed.
    pub freed_bytes: u64,
    /// (`allocated_bytes` less `before_bytes`) per allocation.
    pub per_allocation_bytes: Option<f64>,
    /// What the kernel keeps beside it.
    pub kernel: Option<KernelMemory>,
}

/// Memory is counted in pages, of many lists: less than this in all is no difference.
pub(in crate::load) const MEMORY_GRAIN_BYTES: f64 = 65_536.0;

impl ServerMemory {
    /// What an allocation takes, where that stands out from what pages and lists come and go by.
    pub fn measurable_per_allocation(&self) -> Option<f64> {
        let grown = self.allocated_bytes as f64 - self.before_bytes as f64;
        self.per_allocation_bytes.filter(|_| grown > MEMORY_GRAIN_BYTES)
    }
}

/// The kernel's memory for its own objects (`Slab` of `/proc/meminfo`), and the UDP sockets of the server's network
/// namespace (`/proc/PID/net/sockstat`). Both are counted for everybody, not for a process: they mean the server only
/// on a host that is quiet otherwise. The sockets of the load tester were there before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KernelMemory {
    /// Before the first request.
    pub slab_before_bytes: u64,
    /// With all allocations, before traffic.
    pub slab_allocated_bytes: u64,
    /// After all allocations were freed.
    pub slab_freed_bytes: u64,
    /// Before the first request.
    pub udp_sockets_before: u64,
    /// With all allocations.
    pub udp_sockets_allocated: u64,
    /// By how much the slab has grown per allocation.
    pub slab_per_allocation_bytes: Option<f64>,
}

/// The load tester itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// The core that it was pinned to.
    pub cpu: Option<u32>,
    /// `busy`: while it sent it watched its sockets without sleeping; `napping`: it slept until something was due or
    /// came, which costs microseconds of latency. None in results of earlier versions.
    pub polling: Option<String>,
    /// From the intended time of a packet to when the kernel had taken it; of cycles from when one was due and a client
    /// was free to when it began.
    pub lateness: Latency,
    /// Its CPU time over the time in which it sent; near 1 where it watches its sockets without sleeping.
    pub cpu_share: f64,
    /// The share of the time in which it sent that it had something to do.
    pub busy_share: f64,
    /// Packets that its own receive queues had no room for: they count as lost, but were relayed.
    pub receive_drops: u64,
    /// Packets of earlier steps, and what is none of this run's.
    pub strays: u64,
    /// Whether what was measured is the load tester more than the server.
    pub was_limit: bool,
    /// Why, and what else is to be minded, a sentence each.
    pub remarks: Vec<String>,
}

/// What the kernel counted for the whole host in the measured time (`/proc/net/snmp`, `/proc/net/softnet_stat`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelCounters {
    /// `RcvbufErrors` of UDP: datagrams that found a receive buffer full, whosever.
    pub udp_receive_buffer_errors: u64,
    /// `SndbufErrors` of UDP.
    pub udp_send_buffer_errors: u64,
    /// Packets that found a core's backlog full.
    pub backlog_drops: u64,
}
