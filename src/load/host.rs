//! Facts about this host that figures depend on, and what its kernel counts.

use std::collections::BTreeMap;
use std::fs;

use super::result::{Host, KernelCounters};

/// Settings that decide about losses and pace.
const SYSCTLS: &[&str] = &[
    "net.core.rmem_default",
    "net.core.rmem_max",
    "net.core.wmem_default",
    "net.core.wmem_max",
    "net.core.netdev_max_backlog",
    "net.core.busy_poll",
    "net.core.rps_default_mask",
    "net.ipv4.udp_mem",
    "net.ipv4.ip_local_port_range",
    "net.netfilter.nf_conntrack_max",
];

/// What is known of this host; what cannot be read is left empty.
pub(super) fn facts() -> Host {
    let cpu = read("/proc/cpuinfo");
    let field = |key: &str| {
        let line = cpu.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim()).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    let sysctl = |name: &&str| {
        let value = read(&format!("/proc/sys/{}", name.replace('.', "/")));
        let words: Vec<_> = value.split_whitespace().collect();
        (!words.is_empty()).then(|| ((*name).to_owned(), words.join(" ")))
    };
    Host {
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        cpu_model: field("model name"),
        cores: cores.max(u32::try_from(cpu.lines().filter(|line| line.starts_with("processor")).count()).unwrap_or(0)),
        memory_bytes: memory_bytes(&read("/proc/meminfo")),
        is_virtual: field("flags").split(' ').any(|flag| flag == "hypervisor"),
        cpu_governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").trim().to_owned(),
        sysctls: SYSCTLS.iter().filter_map(sysctl).collect::<BTreeMap<_, _>>(),
    }
}

fn memory_bytes(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What the kernel has counted since it started.
pub(super) fn counters() -> KernelCounters {
    let snmp = read("/proc/net/snmp");
    let softnet = read("/proc/net/softnet_stat");
    let second = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    KernelCounters {
        udp_receive_buffer_errors: udp_counter(&snmp, "RcvbufErrors"),
        udp_send_buffer_errors: udp_counter(&snmp, "SndbufErrors"),
        backlog_drops: softnet.lines().filter_map(second).sum(),
    }
}

/// What was counted between two looks.
pub(super) fn between(before: &KernelCounters, after: &KernelCounters) -> KernelCounters {
    KernelCounters {
        udp_receive_buffer_errors: after.udp_receive_buffer_errors.saturating_sub(before.udp_receive_buffer_errors),
        udp_send_buffer_errors: after.udp_send_buffer_errors.saturating_sub(before.udp_send_buffer_errors),
        backlog_drops: after.backlog_drops.saturating_sub(before.backlog_drops),
    }
}

/// `/proc/net/snmp` has a line of names and one of numbers for each protocol.
fn udp_counter(snmp: &str, name: &str) -> u64 {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Udp:"));
    let (names, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let pairs = names.split_whitespace().zip(numbers.split_whitespace());
    pairs.filter(|(found, _)| *found == name).find_map(|(_, number)| number.parse().ok()).unwrap_or(0)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_kernel_cores_and_memory() {
        let host = facts();
        assert!(!host.kernel.is_empty() && host.cores > 0 && host.memory_bytes > 1 << 20, "{host:?}");
        assert!(host.sysctls.values().all(|value| !value.is_empty()));
    }

    #[test]
    fn counters_are_found_by_name() {
        let snmp = "Ip: A\nIp: 1\nUdp: InDatagrams RcvbufErrors SndbufErrors\nUdp: 5 6 7\nUdpLite: RcvbufErrors\n";
        assert_eq!((udp_counter(snmp, "RcvbufErrors"), udp_counter(snmp, "SndbufErrors")), (6, 7));
        assert_eq!(udp_counter(snmp, "Nothing"), 0);
    }
}
