//! What was asked, and what came of it: thresholds, searches, cycles, floods, setup.

use super::page::{Cell, Page, Tone};
use super::plot::{Axis, Plot, Series, over_nines, time_tick};
use super::traffic::{PERCENTILES, axis_seconds, latency_row};
use crate::load::result::{Latency, LoadResult, Step};
use crate::load::summary::capacity_sentence;
use crate::load::{threshold, units};

pub(super) fn thresholds(result: &LoadResult, page: &mut Page) {
    if result.thresholds.is_empty() {
        return;
    }
    page.element("h2", "Conditions");
    let row = |judged: &crate::load::result::Judged| {
        let (tone, verdict) = if judged.failed { (Tone::Bad, "✗ failed") } else { (Tone::Good, "✓ ok") };
        let measured = Cell::new(threshold::measured_text(judged));
        let place = Cell::new(judged.place.as_deref().unwrap_or_default());
        vec![Cell::new(&judged.condition), measured, place, Cell::new(verdict).toned(tone)]
    };
    page.table(
        &["fail if", "measured", "where it was worst", ""],
        &result.thresholds.iter().map(row).collect::<Vec<_>>(),
    );
}

/// A search or a staircase, rate by rate.
pub(super) fn capacity(result: &LoadResult, page: &mut Page) {
    if result.steps.is_empty() {
        return;
    }
    page.element("h2", if result.capacity.is_some() { "Capacity" } else { "Steps" });
    if let Some(capacity) = &result.capacity {
        page.element("p", &format!("Found: {}.", capacity_sentence(capacity)));
        let (loss, p99) = (units::percent(capacity.max_loss), units::micros(capacity.max_p99_us));
        page.element(
            "p class=\"soft\"",
            &format!("A rate passes with at most {loss} lost and a p99 of at most {p99}."),
        );
    }
    let row = |step: &Step| {
        let verdict = match (step.passed, step.generator_limited) {
            (_, true) => Cell::new("? load tester too slow").toned(Tone::Doubt),
            (Some(true), _) => Cell::new("✓ passed").toned(Tone::Good),
            (Some(false), _) => Cell::new("✗ failed").toned(Tone::Bad),
            (None, _) => Cell::new(""),
        };
        let latency = &step.count.latency;
        vec![
            Cell::new(format!("{}/s", units::number(step.rate_per_s.round()))),
            Cell::new(units::percent(step.count.loss)),
            Cell::new(units::micros(latency.p50_us)),
            Cell::new(units::micros(latency.p99_us)),
            Cell::new(units::micros(latency.max_us)),
            Cell::new(step.server_cpu_ns_per_packet.map_or("–".to_owned(), |cpu| units::micros(cpu / 1e3))),
            verdict,
        ]
    };
    let head = ["rate", "loss", "p50", "p99", "max", "server CPU per packet", ""];
    page.table(&head, &result.steps.iter().map(row).collect::<Vec<_>>());
    page.raw("<div class=\"plots\">\n");
    by_rate(result, page);
    page.raw("</div>\n");
}

fn by_rate(result: &LoadResult, page: &mut Page) {
    let mut steps: Vec<_> = result.steps.iter().filter(|step| !step.generator_limited).collect();
    steps.sort_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
    let line = |name: &str, colour, value: fn(&Step) -> f64| {
        Series::line(name, colour, steps.iter().map(|step| [step.rate_per_s, value(step)]).collect())
    };
    let mut plot = |title: &str, y, series| {
        let note = "Over packets per second; without steps that the load tester spoilt.".to_owned();
        Plot { title: title.into(), note, x: Axis::linear(units::brief), y, series }.draw(page);
    };
    let times =
        vec![line("p50", 0, |step| step.count.latency.p50_us), line("p99", 1, |step| step.count.latency.p99_us)];
    let cpu = vec![line("server", 0, |step| step.server_cpu_ns_per_packet.map_or(f64::NAN, |cpu| cpu / 1e3))];
    let loss = vec![line("lost", 0, |step| step.count.loss)];
    let plots = [
        ("Latency by rate", Axis::log(time_tick), times),
        ("Loss by rate", Axis::linear(units::percent), loss),
        ("Server CPU per packet by rate", Axis::linear(time_tick), cpu),
    ];
    let says_something = |series: &[Series]| series.iter().flat_map(|line| &line.points).any(|[_, value]| *value > 0.0);
    for (title, y, series) in plots.into_iter().filter(|(.., series)| says_something(series)) {
        plot(title, y, series);
    }
}

pub(super) fn churn(result: &LoadResult, page: &mut Page) {
    let Some(churn) = &result.churn else { return };
    page.element("h2", if result.plan.profile == "connect" { "Cycles of connection" } else { "Cycles of allocation" });
    let pace = if churn.closed_loop { "each as soon as another had ended" } else { "by a schedule" };
    page.facts(&[
        ("due", churn.scheduled.map_or(String::new(), units::count)),
        ("begun", format!("{}, {pace}", units::count(churn.begun))),
        ("not begun in their time", churn.not_begun.map_or(String::new(), units::count)),
        ("completed", units::count(churn.completed)),
        ("failed", units::count(churn.failed)),
        ("neither", churn.unfinished.map_or(String::new(), units::count)),
        ("cycles/s", units::number(churn.cycles_per_s)),
        ("server CPU per cycle", churn.server_cpu_ns_per_cycle.map_or(String::new(), |cpu| units::micros(cpu / 1e3))),
    ]);
    times_table("cycle", &churn.cycle, page);
    page.raw("<div class=\"plots\">\n");
    curve("Cycle by percentile", "cycle", &churn.cycle, page);
    let points = churn.series.iter().enumerate().map(|(at, count)| [at as f64, *count as f64]).collect();
    let series = vec![Series::line("completed", 0, points)];
    let (x, y) = (Axis::linear(axis_seconds), Axis::linear(units::brief));
    Plot { title: "Cycles per second".into(), note: "Each second.".into(), x, y, series }.draw(page);
    page.raw("</div>\n");
}

pub(super) fn flood(result: &LoadResult, page: &mut Page) {
    let Some(flood) = &result.flood else { return };
    page.element("h2", "Requests without credentials");
    page.facts(&[
        ("due", flood.scheduled.map_or(String::new(), units::count)),
        ("requests", units::count(flood.requests)),
        ("answers", units::count(flood.answers)),
        ("requests/s", units::number(flood.requests_per_s)),
        ("bytes out for bytes in", format!("{}x", units::short(flood.amplification))),
        ("server CPU per request", flood.server_cpu_ns_per_request.map_or(String::new(), |c| units::micros(c / 1e3))),
    ]);
    times_table("answer", &flood.latency, page);
    page.raw("<div class=\"plots\">\n");
    curve("Answer by percentile", "answer", &flood.latency, page);
    page.raw("</div>\n");
}

pub(super) fn setup(result: &LoadResult, page: &mut Page) {
    let setup = &result.setup;
    if setup.attempted == 0 {
        return;
    }
    page.element("h2", "Setup of allocations");
    let [attempted, succeeded, again] = [setup.attempted, setup.succeeded, setup.retransmissions].map(units::count);
    let took = units::seconds(setup.duration_s);
    let line = format!("{succeeded} of {attempted} came into being in {took}; {again} requests were sent again.");
    page.element("p", &line);
    if let Some(took_part) = setup.took_part {
        let asked = units::count(result.plan.allocations.into());
        page.element("p", &format!("{} of {asked} took part.", units::count(took_part.into())));
    }
    let rows: Vec<_> =
        steps_in_order(result).map(|(name, latency)| latency_row(&name.replace('_', " "), latency)).collect();
    let head: Vec<_> = ["step", "min", "mean"].into_iter().chain(PERCENTILES.iter().map(|(name, _)| *name)).collect();
    page.table(&head, &rows);
    page.element(
        "p class=\"soft\"",
        "From a request's first sending to its answer; total: from the intended start \
                                      of a client until it could send.",
    );
}

/// As they happen.
pub(in crate::load) fn steps_in_order(result: &LoadResult) -> impl Iterator<Item = (&str, &Latency)> {
    const ORDER: [&str; 10] =
        ["connect", "tls", "binding", "challenge", "allocate", "permission", "channel", "total", "refresh", "free"];
    let place = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    let mut steps: Vec<_> = result.setup.steps.iter().map(|(name, latency)| (name.as_str(), latency)).collect();
    steps.sort_by_key(|(name, _)| place(name));
    steps.into_iter().filter(|(_, latency)| latency.count > 0)
}

fn times_table(name: &str, latency: &Latency, page: &mut Page) {
    let head: Vec<_> = ["", "min", "mean"].into_iter().chain(PERCENTILES.iter().map(|(name, _)| *name)).collect();
    page.table(&head, &[latency_row(name, latency)]);
}

fn curve(title: &str, name: &str, latency: &Latency, page: &mut Page) {
    let series = vec![Series::line(name, 0, over_nines(&latency.curve, latency.count))];
    let note = "Each step to the right is another nine.".to_owned();
    Plot { title: title.into(), note, x: Axis::nines(), y: Axis::log(time_tick), series }.draw(page);
}
