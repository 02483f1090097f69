//! A result as a person reads it.

use std::fmt::Write;

use super::answer::in_words;
use super::result::{Capacity, Churn, Count, Ended, Latency, LoadResult};
use super::threshold::measured_text;
use super::units::{self, micros};

/// A page of text.
pub fn summary(result: &LoadResult) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(result, &mut text);
    text
}

fn write(result: &LoadResult, out: &mut String) -> std::fmt::Result {
    let plan = &result.plan;
    let ended = match result.ended {
        Ended::Completed => "",
        Ended::Interrupted => " (stopped early)",
        Ended::SetupFailed => " (no allocation came into being)",
    };
    let allocations = match result.setup.took_part.filter(|took_part| *took_part != plan.allocations) {
        Some(took_part) => format!("{took_part} of {}", plan.allocations),
        None => plan.allocations.to_string(),
    };
    writeln!(out, "{} {} on {}, {allocations} allocations{ended}\n", plan.profile, plan.path, plan.target)?;
    let setup = &result.setup;
    if setup.attempted > 0 {
        let total = setup.steps.get("total").map(times).unwrap_or_default();
        writeln!(out, "setup      {} of {} in {:.2} s; {total}", setup.succeeded, setup.attempted, setup.duration_s)?;
    }
    for step in &result.steps {
        let verdict = step.passed.map_or("", |passed| if passed { "  passed" } else { "  failed" });
        let limit = if step.generator_limited { "  (the load tester was the limit)" } else { "" };
        let (loss, p99) = (100.0 * step.count.loss, micros(step.count.latency.p99_us));
        let not_sent = match step.count.not_sent {
            0 => String::new(),
            not_sent => format!("  {not_sent} not sent"),
        };
        writeln!(out, "step       {:>9.0}/s  loss {loss:.3} %  p99 {p99}{not_sent}{verdict}{limit}", step.rate_per_s)?;
    }
    if let Some(traffic) = &result.traffic {
        for (direction, count) in &traffic.directions {
            write_count(direction, count, out)?;
        }
    }
    if let Some(capacity) = &result.capacity {
        writeln!(out, "capacity   {}", capacity_sentence(capacity))?;
    }
    if let Some(churn) = &result.churn {
        let Churn { begun, completed, failed, .. } = *churn;
        let begun = match churn.scheduled {
            Some(scheduled) => format!("{begun} of {scheduled} begun"),
            None => format!("{begun} begun"),
        };
        let unfinished = churn.unfinished.map_or(String::new(), |unfinished| format!(", {unfinished} unfinished"));
        writeln!(
            out,
            "cycles     {:.0}/s: {begun}, {completed} completed, {failed} failed{unfinished}",
            churn.cycles_per_s
        )?;
        writeln!(out, "           {}", times(&churn.cycle))?;
        if let Some(cpu) = churn.server_cpu_ns_per_cycle {
            writeln!(out, "           {:.1} µs of the server's CPU each", cpu / 1000.0)?;
        }
    }
    if let Some(flood) = &result.flood {
        let (requests, answers) = (of_scheduled(flood.requests, flood.scheduled), flood.answers);
        writeln!(out, "flood      {:.0}/s: {requests} requests, {answers} answers", flood.requests_per_s)?;
        writeln!(out, "           {:.2} bytes out for each in; {}", flood.amplification, times(&flood.latency))?;
    }
    write_server(result, out)?;
    for (what, count) in &result.errors {
        writeln!(out, "error      {}", in_words(what, *count))?;
    }
    for finding in &result.findings {
        writeln!(out, "remark     {finding}")?;
    }
    for remark in &result.generator.remarks {
        writeln!(out, "remark     {remark}")?;
    }
    for judged in &result.thresholds {
        let verdict = if judged.failed { "FAILED" } else { "ok" };
        let measured = measured_text(judged);
        let place = judged.place.as_ref().map_or(String::new(), |place| format!(" {place}"));
        writeln!(out, "threshold  {}: {verdict} ({measured}{place})", judged.condition)?;
    }
    Ok(())
}

/// What a search found, without a full stop.
pub(super) fn capacity_sentence(capacity: &Capacity) -> String {
    let Capacity { rate_per_s, confirmed, generator_limited, .. } = *capacity;
    match (rate_per_s > 0.0, generator_limited) {
        (false, true) => "unknown: the load tester was the limit at every rate".to_owned(),
        (false, false) => "none: no rate stayed within the limits".to_owned(),
        (true, limited) => {
            let at_least = if limited { "at least " } else { "" };
            let confirmed = if confirmed { "confirmed" } else { "not confirmed" };
            let blame = if limited { "; above it the load tester was the limit, not the server" } else { "" };
            format!("{at_least}{rate_per_s:.0} packets/s, {confirmed}{blame}")
        }
    }
}

fn write_count(direction: &str, count: &Count, out: &mut String) -> std::fmt::Result {
    let Count { received, lost, loss, duplicates, reordered, misdelivered, corrupted, .. } = count;
    let sent = of_scheduled(count.sent, count.scheduled);
    let (rate, goodput) = (count.received_per_s, count.goodput_bits_per_s / 1e6);
    writeln!(out, "{direction:<10} {sent} sent, {received} received ({rate:.0}/s, {goodput:.2} Mbit/s)")?;
    write!(out, "           {lost} lost ({:.4} %), {duplicates} twice, {reordered} out of order", 100.0 * loss)?;
    writeln!(out, ", {misdelivered} misdelivered, {corrupted} corrupted")?;
    writeln!(out, "           {}", times(&count.latency))
}

/// What was done, and of how many where it is not all.
fn of_scheduled(done: u64, scheduled: Option<u64>) -> String {
    match scheduled.filter(|scheduled| *scheduled != done) {
        Some(scheduled) => format!("{done} of {scheduled}"),
        None => done.to_string(),
    }
}

fn write_server(result: &LoadResult, out: &mut String) -> std::fmt::Result {
    let Some(server) = &result.server else { return Ok(()) };
    write!(out, "server     {:.1} % of a core", 100.0 * server.cpu_share)?;
    if let Some(cpu) = server.cpu_ns_per_packet {
        write!(out, ", {} per packet", micros(cpu / 1e3))?;
    }
    writeln!(out, ", {} waits, {} times preempted", server.voluntary_switches, server.involuntary_switches)?;
    let memory = &server.memory;
    let [before, allocated, freed] =
        [memory.before_bytes, memory.allocated_bytes, memory.freed_bytes].map(|bytes| units::bytes(bytes as f64));
    write!(out, "memory     {before} before, {allocated} allocated, {freed} freed ({})", memory.source)?;
    match (memory.per_allocation_bytes, memory.measurable_per_allocation()) {
        (_, Some(each)) => write!(out, "; {} per allocation", units::bytes(each))?,
        (Some(_), None) => write!(out, "; per allocation not measurable: too few for what comes and goes")?,
        (None, None) => {}
    }
    let slab = memory.kernel.as_ref().and_then(|kernel| kernel.slab_per_allocation_bytes);
    if let Some(each) = slab.filter(|each| *each > 0.0) {
        write!(out, ", {} more of the kernel's (slab, whole host)", units::bytes(each))?;
    }
    writeln!(out)
}

fn times(latency: &Latency) -> String {
    if latency.count == 0 {
        return "no times".to_owned();
    }
    let Latency { p50_us, p99_us, p99_9_us, p99_99_us, max_us, count, .. } = *latency;
    // Of fewer it would be the slowest one under another name.
    let all = [("p50", p50_us, 0), ("p99", p99_us, 100), ("p99.9", p99_9_us, 1000), ("p99.99", p99_99_us, 10_000)];
    let told = all.into_iter().filter(|(.., least)| count >= *least).chain([("max", max_us, 0)]);
    told.map(|(name, time, _)| format!("{name} {}", micros(time))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::result::{Server, ServerMemory};
    use crate::load::threshold::Threshold;

    #[test]
    fn percentiles_of_too_few_are_not_told() {
        let told = |count| times(&Latency { count, p50_us: 1.0, max_us: 2.0, ..Latency::default() });
        assert_eq!(told(9), "p50 1.00 µs, max 2.00 µs");
        assert!(told(999).contains("p99 ") && !told(999).contains("p99.9"));
        assert!(told(1000).contains("p99.9 ") && !told(9999).contains("p99.99") && told(10_000).contains("p99.99 "));
    }

    #[test]
    fn conditions_are_told_with_units_and_codes_with_words() {
        let mut result = LoadResult::empty();
        result.errors.insert("allocate 486".into(), 37);
        result.findings.push("Nothing arrived after 1.6 s.".into());
        let threshold: Threshold = "p99>10ms".parse().unwrap();
        let judged = threshold.judge(&result);
        result.thresholds = vec![crate::load::result::Judged { measured: Some(25_935.871), ..judged }];
        let text = summary(&result);
        for line in [
            "threshold  p99>10ms: FAILED (25.9 ms)",
            "error      allocate 486 (37 times): Allocation Quota Reached",
            "remark     Nothing arrived after 1.6 s.",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    fn of(before_bytes: u64, allocated_bytes: u64, each: f64) -> String {
        let memory =
            ServerMemory { before_bytes, allocated_bytes, per_allocation_bytes: Some(each), ..ServerMemory::default() };
        summary(&LoadResult { server: Some(Server { memory, ..Server::default() }), ..LoadResult::empty() })
    }

    #[test]
    fn what_is_lost_in_noise_is_not_told_as_a_figure() {
        assert!(of(20_000_000, 19_972_350, -2765.0).contains("per allocation not measurable"));
        assert!(of(20_000_000, 20_040_000, 4000.0).contains("per allocation not measurable"), "less than some pages");
        assert!(of(20_000_000, 20_200_000, 2000.0).contains("; 1.95 KiB per allocation"));
    }

    #[test]
    fn errors_say_what_they_mean() {
        let mut result = LoadResult::empty();
        for what in ["allocate 486", "allocate unintelligible", "flood allocated", "packet before its allocation"] {
            result.errors.insert(what.into(), 3);
        }
        let text = summary(&result);
        for meaning in ["raise the server's limit", "is it a TURN server", "require credentials", "later than planned"]
        {
            assert!(text.contains(meaning), "{meaning}: {text}");
        }
    }
}
