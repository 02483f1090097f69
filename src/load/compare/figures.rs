//! The figures that are compared.

use super::Row;
use super::meaning::{Good, Meaning, quantiles_apart, seconds_apart};
use crate::load::report::outcome::steps_in_order;
use crate::load::result::{Capacity, Latency, LoadResult, MEMORY_GRAIN_BYTES, Second, Server};
use crate::load::units;

/// A percentile's name, its quantile, and how it is found.
type Percentile = (&'static str, f64, fn(&Latency) -> f64);

const QUANTILES: &[Percentile] = &[
    ("p50", 0.5, |latency| latency.p50_us),
    ("p90", 0.9, |latency| latency.p90_us),
    ("p99", 0.99, |latency| latency.p99_us),
    ("p99.9", 0.999, |latency| latency.p99_9_us),
    ("p99.99", 0.9999, |latency| latency.p99_99_us),
];

/// All that was measured in either.
pub(super) fn figures(a: &LoadResult, b: &LoadResult, noise: f64) -> Vec<Row> {
    let mut table = Table { a, b, noise, rows: Vec::new() };
    table.packets();
    table.latency();
    table.server();
    table.setup();
    table.outcomes();
    table.rows.retain(|row| row.a.is_some() || row.b.is_some());
    table.rows
}

struct Table<'r> {
    a: &'r LoadResult,
    b: &'r LoadResult,
    noise: f64,
    rows: Vec<Row>,
}

impl Table<'_> {
    fn packets(&mut self) {
        let total = |result: &LoadResult, of: fn(&crate::load::result::Count) -> f64| {
            result.traffic.as_ref().filter(|traffic| traffic.total.sent > 0).map(|traffic| of(&traffic.total))
        };
        let both = |of| (total(self.a, of), total(self.b, of));
        let lost = |second: &Second| match second.sent {
            0 => None,
            sent => Some(sent.saturating_sub(second.arrived) as f64 / sent as f64),
        };
        let loss_apart = seconds_apart(&seconds(self.a, lost), &seconds(self.b, lost));
        let [received, goodput, loss] = [both(|c| c.received_per_s), both(|c| c.goodput_bits_per_s), both(|c| c.loss)];
        let [twice, late] = [both(|c| c.duplicates as f64), both(|c| c.reordered as f64)];
        let [misplaced, broken] = [both(|c| c.misdelivered as f64), both(|c| c.corrupted as f64)];
        self.put("packets", "received per s", received, units::number, Some(Good::High), None);
        self.put("packets", "payload received", goodput, units::bits_per_s, Some(Good::High), None);
        self.put("packets", "loss", loss, units::percent, Some(Good::Low), loss_apart);
        let not_sent = both(|c| c.not_sent as f64);
        self.put("packets", "not sent", not_sent, units::number, None, None);
        self.put("packets", "twice", twice, units::number, None, None);
        self.put("packets", "reordered", late, units::number, None, None);
        self.put("packets", "misdelivered", misplaced, units::number, Some(Good::Low), None);
        self.put("packets", "corrupted", broken, units::number, Some(Good::Low), None);
    }

    fn latency(&mut self) {
        let (a, b) = (self.a, self.b);
        let of = |result: &'_ LoadResult| result.traffic.as_ref().map(|traffic| traffic.total.latency.clone());
        self.times("latency", "", of(a).as_ref(), of(b).as_ref(), QUANTILES);
        let max = |result| of(result).filter(|latency| latency.count > 0).map(|latency| latency.max_us);
        // The slowest of all is one packet: it tells nothing about the next run's.
        self.put("latency", "max", (max(a), max(b)), units::micros, None, None);
    }

    fn server(&mut self) {
        let of = |result: &LoadResult, value: fn(&Server) -> Option<f64>| result.server.as_ref().and_then(value);
        let both = |value| (of(self.a, value), of(self.b, value));
        let each =
            |second: &Second| second.server_cpu.filter(|_| second.received > 0).map(|cpu| cpu / second.received as f64);
        let cpu_apart = seconds_apart(&seconds(self.a, each), &seconds(self.b, each));
        let cpu = both(|server| server.cpu_ns_per_packet.map(|cpu| cpu / 1e3));
        let share = both(|server| Some(server.cpu_share));
        let memory = both(|server| server.memory.measurable_per_allocation());
        let loaded = both(|server| Some(server.memory.loaded_bytes as f64));
        let freed = both(|server| Some(server.memory.freed_bytes as f64));
        let grain = match memory {
            (Some(a), Some(b)) => Some(
                (a - b).abs() * f64::from(self.a.plan.allocations.min(self.b.plan.allocations)) > MEMORY_GRAIN_BYTES,
            ),
            _ => None,
        };
        let received = |result: &LoadResult| result.traffic.as_ref().map(|traffic| traffic.total.received as f64);
        let waits = |result: &LoadResult| {
            let received = received(result).filter(|received| *received > 0.0)?;
            Some(result.server.as_ref()?.voluntary_switches as f64 / received)
        };
        let waits = (waits(self.a), waits(self.b));
        self.put("server", "CPU per packet", cpu, units::micros, Some(Good::Low), cpu_apart);
        self.put("server", "CPU, of one core", share, units::percent, Some(Good::Low), None);
        self.put("server", "waits per packet", waits, units::short, None, None);
        self.put("server", "memory per allocation", memory, units::bytes, Some(Good::Low), grain);
        self.put("server", "memory after traffic", loaded, units::bytes, Some(Good::Low), None);
        self.put("server", "memory when freed", freed, units::bytes, Some(Good::Low), None);
    }

    fn setup(&mut self) {
        let (a, b) = (self.a, self.b);
        let names: Vec<&str> = steps_in_order(a).map(|(name, _)| name).collect();
        let more: Vec<&str> = steps_in_order(b).map(|(name, _)| name).filter(|name| !names.contains(name)).collect();
        for name in names.into_iter().chain(more) {
            let percentiles = if name == "total" { &QUANTILES[..3] } else { &QUANTILES[..1] };
            let title = format!("{} ", name.replace('_', " "));
            self.times("setup", &title, a.setup.steps.get(name), b.setup.steps.get(name), percentiles);
        }
        let failed = |result: &LoadResult| (result.setup.attempted > 0).then_some(result.setup.failed as f64);
        let errors = |result: &LoadResult| Some(result.errors.values().sum::<u64>() as f64);
        self.put("setup", "failed", (failed(a), failed(b)), units::number, Some(Good::Low), None);
        self.put("setup", "errors", (errors(a), errors(b)), units::number, Some(Good::Low), None);
    }

    fn outcomes(&mut self) {
        let (a, b) = (self.a, self.b);
        let both = |of: &dyn Fn(&LoadResult) -> Option<f64>| (of(a), of(b));
        let rate = both(&|result| result.capacity.as_ref().map(|capacity| capacity.rate_per_s));
        self.put("capacity", "packets per s", rate, units::number, Some(Good::High), is_known(a, b));
        let cycles = both(&|result| result.churn.as_ref().map(|churn| churn.cycles_per_s));
        self.put("churn", "cycles per s", cycles, units::number, Some(Good::High), None);
        let not_begun = both(&|result| Some(result.churn.as_ref()?.not_begun? as f64));
        self.put("churn", "not begun", not_begun, units::number, None, None);
        let cycle = |result: &'_ LoadResult| result.churn.as_ref().map(|churn| churn.cycle.clone());
        self.times("churn", "cycle ", cycle(a).as_ref(), cycle(b).as_ref(), &QUANTILES[..3]);
        let cpu = both(&|result| Some(result.churn.as_ref()?.server_cpu_ns_per_cycle? / 1e3));
        self.put("churn", "CPU per cycle", cpu, units::micros, Some(Good::Low), None);
        let ratio = both(&|result| result.flood.as_ref().map(|flood| flood.amplification));
        self.put("flood", "bytes out for bytes in", ratio, units::short, Some(Good::Low), None);
        let cpu = both(&|result| Some(result.flood.as_ref()?.server_cpu_ns_per_request? / 1e3));
        self.put("flood", "CPU per request", cpu, units::micros, Some(Good::Low), None);
    }

    fn times(
        &mut self,
        group: &'static str,
        prefix: &str,
        a: Option<&Latency>,
        b: Option<&Latency>,
        percentiles: &[Percentile],
    ) {
        let [a, b] = [a, b].map(|latency| latency.filter(|latency| latency.count > 0));
        for (name, quantile, of) in percentiles {
            let is_apart = a.zip(b).and_then(|(a, b)| quantiles_apart(a, b, *quantile));
            let values = (a.map(of), b.map(of));
            self.put(group, &format!("{prefix}{name}"), values, units::micros, Some(Good::Low), is_apart);
        }
    }

    fn put(
        &mut self,
        group: &'static str,
        name: &str,
        (a, b): (Option<f64>, Option<f64>),
        unit: fn(f64) -> String,
        good: Option<Good>,
        is_apart: Option<bool>,
    ) {
        let meaning = match (a, b, good) {
            (Some(a), Some(b), Some(good)) => Meaning::of(a, b, good, self.noise, is_apart),
            _ => Meaning::None,
        };
        self.rows.push(Row { group, name: name.to_owned(), a, b, unit, meaning });
    }
}

/// A value of each second that has one. The first and the last are left out: they may be parts.
fn seconds(result: &LoadResult, value: impl Fn(&Second) -> Option<f64>) -> Vec<f64> {
    let series = result.traffic.as_ref().map_or(&[][..], |traffic| &traffic.series);
    let inner = series.get(1..series.len().saturating_sub(1)).unwrap_or_default();
    inner.iter().filter_map(value).collect()
}

/// Whether capacities can be told apart: one that the load tester ended is "at least", and the other may be less.
fn is_known(a: &LoadResult, b: &LoadResult) -> Option<bool> {
    let (a, b) = (a.capacity.as_ref()?, b.capacity.as_ref()?);
    let (lower, higher): (&Capacity, &Capacity) = if a.rate_per_s < b.rate_per_s { (a, b) } else { (b, a) };
    Some(!lower.generator_limited && lower.confirmed && higher.confirmed)
}
