//! A comparison as an HTML file, in the form of the report.

use super::meaning::Meaning;
use super::text::introduction;
use super::{Comparison, Row, ratio_text};
use crate::load::report::page::{Cell, Page, Tone};
use crate::load::report::plot::{Axis, Plot, Series, over_nines, time_tick};
use crate::load::report::traffic::axis_seconds;
use crate::load::result::{Latency, LoadResult, Second};
use crate::load::units;

/// A whole HTML document that needs nothing else.
pub fn html(comparison: &Comparison) -> String {
    let title = format!("{} against {}", comparison.b.name, comparison.a.name);
    let mut page = Page::new(&title);
    page.element("h1", &title);
    page.element("p class=\"soft\"", &format!("A is {}", introduction(&comparison.a)));
    page.element("p class=\"soft\"", &format!("B is {}", introduction(&comparison.b)));
    verdict(comparison, &mut page);
    if !comparison.doubts.is_empty() {
        page.element("h2", "What makes it less comparable");
        page.list(&comparison.doubts);
    }
    if !comparison.judged.is_empty() {
        conditions(comparison, &mut page);
    }
    plots(comparison, &mut page);
    for rows in comparison.rows.chunk_by(|one, next| one.group == next.group) {
        page.element("h2", &capitalised(rows.first().map_or("", |row| row.group)));
        page.table(&["", "A", "B", "B/A", ""], &rows.iter().map(cells).collect::<Vec<_>>());
    }
    page.element("p class=\"soft\"", &comparison.method().join(" "));
    page.finish()
}

fn verdict(comparison: &Comparison, page: &mut Page) {
    let failed: Vec<_> = comparison.judged.iter().filter(|judged| judged.failed).collect();
    let sum = format!("{}.", comparison.sum());
    match failed.first() {
        Some(first) => page.verdict(Tone::Bad, &format!("Failed: {}", first.condition), &sum),
        None if !comparison.doubts.is_empty() => page.verdict(Tone::Doubt, "Comparable with reservations", &sum),
        None => page.verdict(Tone::Plain, "Comparable: the same plan on the same kind of host", &sum),
    }
}

fn conditions(comparison: &Comparison, page: &mut Page) {
    page.element("h2", "Conditions");
    let row = |judged: &crate::load::result::Judged| {
        let (tone, verdict) = if judged.failed { (Tone::Bad, "✗ failed") } else { (Tone::Good, "✓ ok") };
        let measured = judged.measured.map_or("not measured".to_owned(), ratio_text);
        vec![Cell::new(&judged.condition), Cell::new(measured), Cell::new(verdict).toned(tone)]
    };
    page.table(&["fail if", "measured", ""], &comparison.judged.iter().map(row).collect::<Vec<_>>());
}

fn cells(row: &Row) -> Vec<Cell> {
    let (tone, mark) = match row.meaning {
        Meaning::Better => (Tone::Good, "✓ "),
        Meaning::Worse => (Tone::Bad, "✗ "),
        Meaning::Unsure => (Tone::Doubt, "? "),
        Meaning::Same | Meaning::None => (Tone::Plain, ""),
    };
    let [a, b, ratio, meaning] = row.cells();
    let meaning = Cell::new(format!("{mark}{meaning}")).toned(tone);
    vec![Cell::new(&row.name), Cell::new(a), Cell::new(b), Cell::new(ratio), meaning]
}

fn plots(comparison: &Comparison, page: &mut Page) {
    let names = [format!("A: {}", comparison.a.name), format!("B: {}", comparison.b.name)];
    let sides = [(names[0].as_str(), &comparison.a.result), (names[1].as_str(), &comparison.b.result)];
    let curves = |of: fn(&LoadResult) -> Option<&Latency>| {
        let curve = |(colour, (name, result)): (usize, (&str, &LoadResult))| {
            let latency = of(result)?;
            Some(Series::line(name, colour, over_nines(&latency.curve, latency.count)))
        };
        sides.into_iter().enumerate().filter_map(curve).collect::<Vec<_>>()
    };
    let seconds = |of: fn(&Second) -> f64| {
        let line = |(colour, (name, result)): (usize, (&str, &LoadResult))| {
            let series = &result.traffic.as_ref()?.series;
            Some(Series::line(name, colour, series.iter().map(|second| [f64::from(second.at_s), of(second)]).collect()))
        };
        sides.into_iter().enumerate().filter_map(line).collect::<Vec<_>>()
    };
    page.raw("<div class=\"plots\">\n");
    let nines = "Each step to the right is another nine: how slow the slowest are.";
    for (title, series) in [
        ("Latency by percentile", curves(|result| Some(&result.traffic.as_ref()?.total.latency))),
        ("Cycle of allocation by percentile", curves(|result| Some(&result.churn.as_ref()?.cycle))),
        ("Setup by percentile", curves(|result| result.setup.steps.get("total"))),
    ] {
        let (x, y) = (Axis::nines(), Axis::log(time_tick));
        Plot { title: title.into(), note: nines.into(), x, y, series }.draw(page);
    }
    for (title, y, series) in [
        ("p99 over time", Axis::log(time_tick), seconds(|second| second.p99_us)),
        (
            "Server CPU over time, of one core",
            Axis::linear(units::percent),
            seconds(|second| second.server_cpu.unwrap_or(f64::NAN)),
        ),
    ] {
        let x = Axis::linear(axis_seconds);
        Plot { title: title.into(), note: "Each second.".into(), x, y, series }.draw(page);
    }
    page.raw("</div>\n");
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
