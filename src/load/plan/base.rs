//! What a packet and an allocation cost: as measured, or as is safe to assume.

use serde::Serialize;

use crate::load::result::{Capacity, LoadResult};
use crate::load::units;

/// The ground of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Base {
    /// CPU time of the server per relayed packet, in microseconds.
    pub cpu_us_per_packet: f64,
    /// Memory per allocation.
    pub bytes_per_allocation: f64,
    /// The highest rate of the server as it was measured and confirmed; none where the load tester was the limit.
    pub packets_per_s: Option<f64>,
    /// Payload of the packets that were measured, on average.
    pub payload_bytes: Option<f64>,
    /// Allocations that were measured at once.
    pub allocations: Option<u32>,
    /// What speaks against taking it at face value, a sentence each.
    pub doubts: Vec<String>,
    /// Where these come from, a sentence each.
    pub sources: Vec<String>,
}

/// More than turnkeep or coturn took on an old virtual core at 50,000 packets/s of any size.
const CPU_US: f64 = 10.0;
/// More than coturn takes, with the kernel's part.
const ALLOCATION_BYTES: f64 = 32_768.0;

impl Base {
    /// Nothing was measured.
    pub fn assumed() -> Self {
        let cpu = format!("CPU: {CPU_US} µs per packet, assumed with caution; measure yours with --find-capacity.");
        let memory = format!("Memory: {} per allocation, assumed with caution.", units::bytes(ALLOCATION_BYTES));
        Self {
            cpu_us_per_packet: CPU_US,
            bytes_per_allocation: ALLOCATION_BYTES,
            packets_per_s: None,
            payload_bytes: None,
            allocations: None,
            doubts: Vec::new(),
            sources: vec![cpu, memory],
        }
    }

    /// What `result` has measured, the rest assumed.
    ///
    /// # Errors
    /// A sentence, where it has measured nothing that a plan could stand on.
    pub fn measured(result: &LoadResult) -> Result<Self, String> {
        let mut base = Self::assumed();
        let mut sources = Vec::new();
        let server = result.server.as_ref();
        let payload = result.plan.payload_bytes;
        let found = result.capacity.as_ref().filter(|capacity| capacity.rate_per_s > 0.0);
        match server.and_then(|server| server.cpu_ns_per_packet) {
            Some(cpu) => {
                base.cpu_us_per_packet = cpu / 1e3;
                let rate = result.traffic.as_ref().map_or(0.0, |traffic| traffic.total.received_per_s);
                let (cpu, rate) = (units::micros(cpu / 1e3), units::number(rate.round()));
                sources.push(format!("CPU: {cpu} per packet, measured at {rate} packets/s of {payload} bytes."));
            }
            None if found.is_none() => return Err("it has neither a capacity nor the server's CPU time".into()),
            None => sources.extend(base.sources.first().cloned()),
        }
        match server.and_then(|server| server.memory.measurable_per_allocation()) {
            Some(each) => {
                // What the kernel keeps for a socket is not in the process's memory.
                let slab = server.and_then(|server| server.memory.kernel.as_ref()?.slab_per_allocation_bytes);
                let (kernel, how) = match slab.filter(|slab| *slab > 0.0) {
                    Some(slab) => (slab, "measured"),
                    None => (KERNEL_BYTES, "assumed"),
                };
                base.bytes_per_allocation = each + kernel;
                let (each, kernel) = (units::bytes(each), units::bytes(kernel));
                sources.push(format!("Memory: {each} per allocation, measured, and {kernel} of the kernel's, {how}."));
            }
            None => sources.extend(base.sources.get(1).cloned()),
        }
        base.payload_bytes = Some(mean_payload(result)).filter(|bytes| *bytes > 0.0);
        base.allocations = Some(result.setup.took_part.unwrap_or(result.plan.allocations));
        base.doubts.extend(doubt(found).map(str::to_owned));
        if let Some(capacity) = found {
            base.packets_per_s =
                Some(capacity.rate_per_s).filter(|_| capacity.confirmed && !capacity.generator_limited);
            let at_least = if capacity.generator_limited { "at least " } else { "" };
            let rate = units::number(capacity.rate_per_s);
            let allocations = units::count(result.plan.allocations.into());
            let model = Some(result.host.cpu_model.as_str()).filter(|model| !model.is_empty());
            let place = model.unwrap_or("an unknown processor");
            sources.push(format!(
                "Capacity: {at_least}{rate} packets/s of {payload} bytes over {allocations} allocations, on {place}."
            ));
        }
        base.sources = sources;
        Ok(base)
    }
}

/// What speaks against taking the capacity that was `found` for the server's.
fn doubt(found: Option<&Capacity>) -> Option<&'static str> {
    match found {
        None => Some(
            "The measured result is of one rate, no search: what one server bears it does not say; load with \
             --find-capacity.",
        ),
        Some(Capacity { generator_limited: true, .. }) => Some(
            "The load tester was the limit of the measured capacity, not the server: how many servers it takes cannot \
             be told from it.",
        ),
        Some(Capacity { confirmed: false, .. }) => Some(
            "The measured capacity was not confirmed by a longer run: how many servers it takes cannot be told from \
             it.",
        ),
        Some(_) => None,
    }
}

/// Payload of a packet on average: as received, or, where nothing was, as planned.
fn mean_payload(result: &LoadResult) -> f64 {
    let total = result.traffic.as_ref().map(|traffic| &traffic.total).filter(|total| total.received_per_s > 0.0);
    total.map_or(result.plan.payload_bytes.into(), |total| total.goodput_bits_per_s / 8.0 / total.received_per_s)
}

/// A UDP socket, its file and its entry in epoll, as the kernel keeps them.
const KERNEL_BYTES: f64 = 2048.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::result::{KernelMemory, Server};

    #[test]
    fn what_was_measured_replaces_what_is_assumed() {
        let mut result = LoadResult::empty();
        assert!(Base::measured(&result).is_err());
        let (rate_per_s, max_loss, max_p99_us) = (200_000.0, 0.001, 10_000.0);
        result.capacity = Some(Capacity {
            rate_per_s,
            failed_rate_per_s: None,
            max_loss,
            max_p99_us,
            confirmed: true,
            generator_limited: true,
        });
        let base = Base::measured(&result).unwrap();
        assert_eq!((base.cpu_us_per_packet, base.packets_per_s), (CPU_US, None));
        assert!(base.sources.iter().any(|source| source.contains("at least 200,000")));
        assert!(base.doubts.concat().contains("The load tester was the limit"), "{:?}", base.doubts);
        let capacity = result.capacity.as_mut().unwrap();
        (capacity.generator_limited, capacity.confirmed) = (false, false);
        let base = Base::measured(&result).unwrap();
        assert!(base.packets_per_s.is_none() && base.doubts.concat().contains("not confirmed"), "{:?}", base.doubts);
        result.capacity.as_mut().unwrap().confirmed = true;
        let base = Base::measured(&result).unwrap();
        assert_eq!((base.packets_per_s, base.doubts.len()), (Some(200_000.0), 0));
        let mut server = Server { cpu_ns_per_packet: Some(3800.0), ..Server::default() };
        server.memory.per_allocation_bytes = Some(1900.0);
        server.memory.allocated_bytes = 1 << 20;
        result.server = Some(server);
        let base = Base::measured(&result).unwrap();
        assert_eq!((base.cpu_us_per_packet, base.bytes_per_allocation), (3.8, 3948.0));
        let server = result.server.get_or_insert_default();
        server.memory.kernel =
            Some(KernelMemory { slab_per_allocation_bytes: Some(1500.0), ..KernelMemory::default() });
        assert_eq!(Base::measured(&result).unwrap().bytes_per_allocation, 3400.0);
    }
}
