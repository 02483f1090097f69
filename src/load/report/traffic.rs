//! What was sent and received, how late, and how it went over time.

use super::page::{Cell, Page, Tone};
use super::plot::{Axis, Plot, Series, over_nines, time_tick};
use crate::load::result::{Count, Latency, LoadResult, Second, Stage, Traffic};
use crate::load::units;

/// A plot shows as many points over time; of more seconds several make one.
const POINTS: usize = 600;

/// A percentile's name and how it is found.
type Percentile = (&'static str, fn(&Latency) -> f64);

/// The percentiles that are told.
pub(in crate::load) const PERCENTILES: &[Percentile] = &[
    ("p50", |latency| latency.p50_us),
    ("p90", |latency| latency.p90_us),
    ("p99", |latency| latency.p99_us),
    ("p99.9", |latency| latency.p99_9_us),
    ("p99.99", |latency| latency.p99_99_us),
    ("max", |latency| latency.max_us),
];

pub(super) fn section(result: &LoadResult, traffic: &Traffic, page: &mut Page) {
    page.element("h2", "Packets");
    counts(traffic, page);
    page.element("h2", "Latency");
    stages(traffic, page);
    let note = "From the moment at which a packet was due to its receipt, the load tester's own lateness and the \
                network included; of packets that arrived. A server that stalls is charged with all that waited.";
    page.element("p class=\"soft\"", note);
    let rows: Vec<_> = rows(traffic).map(|(name, count)| latency_row(name, &count.latency)).collect();
    let head: Vec<_> = ["", "min", "mean"].into_iter().chain(PERCENTILES.iter().map(|(name, _)| *name)).collect();
    page.table(&head, &rows);
    page.raw("<div class=\"plots\">\n");
    percentiles(result, traffic, page);
    over_time(traffic, page);
    page.raw("</div>\n");
}

/// Each direction, and their sum where there are several.
fn rows(traffic: &Traffic) -> impl Iterator<Item = (&str, &Count)> {
    let total = (traffic.directions.len() != 1).then_some(("all", &traffic.total));
    traffic.directions.iter().map(|(name, count)| (name.as_str(), count)).chain(total)
}

fn counts(traffic: &Traffic, page: &mut Page) {
    if traffic.total.not_sent > 0 {
        let (not_sent, scheduled) = (traffic.total.not_sent, traffic.total.scheduled.unwrap_or(0));
        let line = format!(
            "{} of {} packets that were due did not leave: what became of the others is told below, and what would \
             have become of these nobody knows.",
            units::count(not_sent),
            units::count(scheduled)
        );
        page.verdict(Tone::Doubt, "The load tester did not send all", &line);
    }
    let wrong = |count: u64| Cell::new(units::count(count)).toned(if count > 0 { Tone::Bad } else { Tone::Plain });
    let row = |(name, count): (&str, &Count)| {
        vec![
            Cell::new(name),
            Cell::new(count.scheduled.map_or("–".to_owned(), units::count)),
            Cell::new(units::count(count.sent)),
            Cell::new(units::count(count.received)),
            Cell::new(units::count(count.lost)),
            Cell::new(units::percent(count.loss)),
            Cell::new(units::count(count.duplicates)),
            Cell::new(units::count(count.reordered)),
            wrong(count.misdelivered),
            wrong(count.corrupted),
            Cell::new(units::number(count.received_per_s)),
            Cell::new(units::bits_per_s(count.goodput_bits_per_s)),
        ]
    };
    let head = [
        "",
        "due",
        "sent",
        "received",
        "lost",
        "loss",
        "twice",
        "reordered",
        "misdelivered",
        "corrupted",
        "per s",
        "payload",
    ];
    page.table(&head, &rows(traffic).map(row).collect::<Vec<_>>());
}

/// A course that rises, part by part.
fn stages(traffic: &Traffic, page: &mut Page) {
    if traffic.stages.is_empty() {
        return;
    }
    page.element("h2", "While it rose");
    let row = |stage: &Stage| {
        let latency = &stage.latency;
        let time = |time: f64| Cell::new(if latency.count > 0 { units::micros(time) } else { "–".to_owned() });
        let per_s = stage.sent as f64 / (stage.to_s - stage.from_s).max(1e-9);
        vec![
            Cell::new(format!("{} to {}", axis_seconds(stage.from_s), axis_seconds(stage.to_s))),
            Cell::new(units::number(per_s.round())),
            Cell::new(units::percent(stage.loss)),
            time(latency.p50_us),
            time(latency.p99_us),
            time(latency.max_us),
        ]
    };
    let head = ["", "sent per s", "loss", "p50", "p99", "max"];
    page.table(&head, &traffic.stages.iter().map(row).collect::<Vec<_>>());
}

/// The percentiles of `latency` as a row of a table.
pub(super) fn latency_row(name: &str, latency: &Latency) -> Vec<Cell> {
    let times = [latency.min_us, latency.mean_us].into_iter().chain(PERCENTILES.iter().map(|(_, of)| of(latency)));
    let is_there = latency.count > 0;
    let cells = times.map(|time| Cell::new(if is_there { units::micros(time) } else { "–".to_owned() }));
    [Cell::new(name)].into_iter().chain(cells).collect()
}

fn percentiles(result: &LoadResult, traffic: &Traffic, page: &mut Page) {
    let line = |(index, (name, count)): (usize, (&str, &Count))| {
        Series::line(name, index, over_nines(&count.latency.curve, count.latency.count))
    };
    let mut series: Vec<_> = traffic.directions.iter().map(|(name, count)| (name.as_str(), count)).collect();
    if series.is_empty() {
        series.push(("all", &traffic.total));
    }
    let mut series: Vec<_> = series.into_iter().enumerate().map(line).collect();
    let lateness = &result.generator.lateness;
    if !lateness.curve.is_empty() {
        series.push(Series::line("load tester's own lateness", 4, over_nines(&lateness.curve, lateness.count)));
    }
    let note = "Each step to the right is another nine: how slow the slowest are.".to_owned();
    let (x, y) = (Axis::nines(), Axis::log(time_tick));
    Plot { title: "Latency by percentile".into(), note, x, y, series }.draw(page);
}

fn over_time(traffic: &Traffic, page: &mut Page) {
    let seconds = thinned(&traffic.series);
    let line = |name: &str, colour, value: fn(&Point) -> f64| {
        Series::line(name, colour, seconds.iter().map(|point| [point.at_s, value(point)]).collect())
    };
    let step = seconds.first().map_or(1.0, |point| point.length_s);
    let each = if step > 1.0 { format!("Each point is {step:.0} s.") } else { "Each second.".to_owned() };
    let over_time = |title: &str, y, series| Plot {
        title: title.into(),
        note: each.clone(),
        x: Axis::linear(axis_seconds),
        y,
        series,
    };
    let times = vec![
        line("p50", 0, |point| point.p50_us),
        line("p99", 1, |point| point.p99_us),
        line("max", 3, |point| point.max_us),
    ];
    over_time("Latency over time", Axis::log(time_tick), times).draw(page);
    let rates = vec![
        line("sent", 4, |point| point.sent / point.length_s),
        line("received", 0, |point| point.received / point.length_s),
    ];
    over_time("Packets per second", Axis::linear(units::brief), rates).draw(page);
    if seconds.iter().any(|point| point.lost > 0.0) {
        let loss = |point: &Point| [point.at_s, if point.sent > 0.0 { point.lost / point.sent } else { 0.0 }];
        let bars = vec![Series::bars("lost", 1, seconds.iter().map(loss).collect())];
        let plot = over_time("Loss over time", Axis::linear(units::percent), bars);
        Plot { note: format!("A loss is counted when the packet was due. {each}"), ..plot }.draw(page);
    }
    if seconds.iter().any(|point| point.server_cpu.is_some()) {
        let cpu = line("server", 0, |point| point.server_cpu.unwrap_or(f64::NAN));
        over_time("Server CPU, of one core", Axis::linear(units::percent), vec![cpu]).draw(page);
    }
}

/// Some seconds as one point.
struct Point {
    at_s: f64,
    length_s: f64,
    sent: f64,
    lost: f64,
    received: f64,
    /// The worst of the seconds' medians, as of the others: what was bad shall be seen.
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    server_cpu: Option<f64>,
}

fn thinned(series: &[Second]) -> Vec<Point> {
    let step = series.len().div_ceil(POINTS).max(1);
    let point = |seconds: &[Second]| {
        let sum = |of: fn(&Second) -> u64| seconds.iter().map(of).sum::<u64>() as f64;
        let worst = |of: fn(&Second) -> f64| seconds.iter().map(of).fold(0.0, f64::max);
        let cpu: Vec<f64> = seconds.iter().filter_map(|second| second.server_cpu).collect();
        Point {
            at_s: seconds.first().map_or(0.0, |first| f64::from(first.at_s)),
            length_s: seconds.len() as f64,
            sent: sum(|second| second.sent),
            lost: sum(|second| second.sent.saturating_sub(second.arrived)),
            received: sum(|second| second.received),
            p50_us: worst(|second| second.p50_us),
            p99_us: worst(|second| second.p99_us),
            max_us: worst(|second| second.max_us),
            server_cpu: (!cpu.is_empty()).then(|| cpu.iter().sum::<f64>() / cpu.len() as f64),
        }
    };
    // The last of several may be short of seconds, which its own length tells.
    series.chunks(step).map(point).collect()
}

pub(in crate::load) fn axis_seconds(seconds: f64) -> String {
    format!("{} s", units::short(seconds))
}
