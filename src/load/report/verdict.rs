//! What a test says in one line, in one sentence, and in six figures.

use super::page::Tone;
use crate::load::result::{Count, Ended, LoadResult, PlanFacts};
use crate::load::summary::capacity_sentence;
use crate::load::{threshold, units};

/// The answer to "and?".
pub(in crate::load) struct Verdict {
    pub(in crate::load) tone: Tone,
    pub(in crate::load) headline: String,
    pub(in crate::load) sentence: String,
}

/// What was done, in a few words.
pub(in crate::load) fn subject(plan: &PlanFacts) -> String {
    let allocations = units::count(plan.allocations.into());
    match plan.profile.as_str() {
        "churn" => format!("cycles of allocation, {allocations} at once"),
        "flood" => format!("requests without credentials from {allocations} sources"),
        "idle" => format!("{allocations} idle allocations"),
        "raw" => format!("{} bytes {}, {allocations} allocations", plan.payload_bytes, plan.path),
        profile => format!("{profile} {}, {allocations} allocations", plan.path),
    }
}

pub(in crate::load) fn of(result: &LoadResult) -> Verdict {
    let (tone, headline) = judgement(result);
    let mut sentence = sentence(result);
    if result.generator.was_limit && tone == Tone::Bad {
        sentence.push_str(" The load tester itself was the limit: this says little about the server.");
    }
    Verdict { tone, headline, sentence }
}

/// The worst that there is to say.
fn judgement(result: &LoadResult) -> (Tone, String) {
    let failed: Vec<_> = result.thresholds.iter().filter(|judged| judged.failed).collect();
    let count = result.traffic.as_ref().map(|traffic| &traffic.total);
    let wrong = count.map_or(0, |count| count.misdelivered + count.corrupted);
    let is_spoilt = result.generator.was_limit && result.capacity.is_none();
    if result.ended == Ended::SetupFailed {
        return (Tone::Bad, "No allocation came into being: nothing was measured".into());
    }
    if let Some(first) = failed.first() {
        let measured = threshold::measured_text(first);
        let more = if failed.len() > 1 { format!(", and {} more", failed.len() - 1) } else { String::new() };
        let place = first.place.as_ref().map_or(String::new(), |place| format!(" {place}"));
        return (Tone::Bad, format!("Failed: {} (measured: {measured}{place}){more}", first.condition));
    }
    if wrong > 0 {
        return (Tone::Bad, format!("{} packets came to the wrong place or damaged", units::count(wrong)));
    }
    if is_spoilt {
        return (Tone::Doubt, "The load tester was the limit: this says little about the server".into());
    }
    if let Some(took_part) = result.setup.took_part.filter(|took_part| *took_part < result.plan.allocations) {
        let [took_part, asked] = [took_part, result.plan.allocations].map(|count| units::count(count.into()));
        return (Tone::Doubt, format!("Only {took_part} of {asked} allocations took part"));
    }
    if result.ended == Ended::Interrupted {
        return (Tone::Doubt, "Stopped early: these are the figures until then".into());
    }
    if result.tool.build == "debug" {
        return (Tone::Doubt, "Measured with a debug build, which is slower by far: good for a look alone".into());
    }
    if let Some(capacity) = &result.capacity {
        let tone = if capacity.confirmed { Tone::Good } else { Tone::Doubt };
        return (tone, format!("Capacity: {}", capacity_sentence(capacity)));
    }
    match result.thresholds.len() {
        0 => (Tone::Plain, "Measured; no conditions were set".into()),
        1 => (Tone::Good, "Passed the one condition that was set".into()),
        number => (Tone::Good, format!("Passed all {number} conditions")),
    }
}

fn sentence(result: &LoadResult) -> String {
    if let Some(count) = result.traffic.as_ref().map(|traffic| &traffic.total) {
        let Count { sent, received_per_s, lost, loss, latency, .. } = count;
        let loss = match lost {
            0 => format!("All {} packets arrived", units::count(*sent)),
            lost => format!(
                "{} of {} packets were lost ({})",
                units::count(*lost),
                units::count(*sent),
                units::percent(*loss)
            ),
        };
        let [p50, p99, max] = [latency.p50_us, latency.p99_us, latency.max_us].map(units::micros);
        let times = format!("half of them took at most {p50}, 99 in 100 at most {p99}, the slowest {max}");
        let not_sent = match count.not_sent {
            0 => String::new(),
            not_sent => format!(" {} more were due and were not sent.", units::count(not_sent)),
        };
        return format!("{loss} at {}/s; {times}.{not_sent}", units::number(received_per_s.round()));
    }
    if let Some(churn) = &result.churn {
        let [completed, failed] = [churn.completed, churn.failed].map(units::count);
        let rate = units::number(churn.cycles_per_s);
        return format!("{rate} cycles of allocation a second: {completed} completed, {failed} failed.");
    }
    if let Some(flood) = &result.flood {
        let (requests, ratio) = (units::count(flood.requests), units::short(flood.amplification));
        return format!("{requests} requests; for each byte of them {ratio} bytes of answers.");
    }
    let setup = &result.setup;
    format!("{} of {} allocations came into being.", units::count(setup.succeeded), units::count(setup.attempted))
}

/// The figures that are asked for first: (value, what it is, tone).
pub(super) fn tiles(result: &LoadResult) -> Vec<(String, String, Tone)> {
    let mut tiles = Vec::new();
    let mut tile = |value: String, what: &str, tone| tiles.push((value, what.to_owned(), tone));
    if let Some(Count { received_per_s, goodput_bits_per_s, loss, latency, .. }) =
        result.traffic.as_ref().map(|traffic| &traffic.total)
    {
        tile(format!("{}/s", units::number(received_per_s.round())), "packets received", Tone::Plain);
        tile(units::bits_per_s(*goodput_bits_per_s), "payload received", Tone::Plain);
        tile(units::percent(*loss), "lost", if *loss > 0.001 { Tone::Bad } else { Tone::Plain });
        if latency.count > 0 {
            tile(units::micros(latency.p50_us), "latency, median", Tone::Plain);
            tile(units::micros(latency.p99_us), "latency, p99", Tone::Plain);
            tile(units::micros(latency.p99_99_us), "latency, p99.99", Tone::Plain);
        }
    }
    if let Some(churn) = &result.churn {
        tile(format!("{}/s", units::number(churn.cycles_per_s)), "cycles", Tone::Plain);
        tile(units::count(churn.failed), "failed", if churn.failed > 0 { Tone::Bad } else { Tone::Plain });
        tile(units::micros(churn.cycle.p50_us), "cycle, median", Tone::Plain);
        tile(units::micros(churn.cycle.p99_us), "cycle, p99", Tone::Plain);
    }
    if let Some(flood) = &result.flood {
        tile(format!("{}/s", units::number(flood.requests_per_s)), "requests", Tone::Plain);
        tile(format!("{}x", units::short(flood.amplification)), "bytes out for bytes in", Tone::Plain);
    }
    if result.setup.failed > 0 {
        tile(units::count(result.setup.failed), "allocations failed", Tone::Bad);
    }
    if let Some(server) = &result.server {
        if let Some(cpu) = server.cpu_ns_per_packet {
            tile(units::micros(cpu / 1e3), "server CPU per packet", Tone::Plain);
        }
        if let Some(each) = server.memory.measurable_per_allocation() {
            tile(units::bytes(each), "memory per allocation", Tone::Plain);
        }
    }
    tiles
}
