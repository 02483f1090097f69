//! Bars, as SVG: one group of bars for each case, one bar for each server, a whisker from the lowest round to
//! the highest.

use std::fmt::Write;

use crate::case::{Case, Group};
use crate::metric::Metric;
use crate::record::{Entrant, Records};
use crate::stats::Spread;

const WIDTH: f64 = 900.0;
/// Left of the bars, for what they are called.
const MARGIN: f64 = 300.0;
const BAR: f64 = 14.0;
/// Between the bars of two cases.
const GAP: f64 = 16.0;
const TOP: f64 = 64.0;

/// Distinct for those who see no red or no green as well (Okabe and Ito's palette); the product first.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#e69f00", "#cc79a7", "#56b4e9", "#666666", "#999999", "#bbbbbb"];

/// The plot of a group's first figure.
pub(crate) fn write(records: &Records, group: Group, cases: &[&Case], servers: &[&Entrant]) -> String {
    let metric = Metric::of(group)[0];
    let rows = rows(records, metric, cases, servers);
    let most = rows.iter().flat_map(|row| &row.bars).map(|(_, spread)| spread.max).fold(0.0, f64::max);
    let scale = if most > 0.0 { (WIDTH - MARGIN - 70.0) / most } else { 0.0 };
    let bars: usize = rows.iter().map(|row| row.bars.len()).sum();
    let height = TOP + bars as f64 * BAR + rows.len() as f64 * GAP + 10.0;

    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\">{}: {}</text>\n",
        escaped(group.title()),
        escaped(metric.title())
    );
    legend(&mut out, servers);
    let mut y = TOP;
    for row in &rows {
        let middle = y + row.bars.len() as f64 * BAR / 2.0 + 4.0;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
            MARGIN - 8.0,
            escaped(row.title)
        );
        for (index, spread) in &row.bars {
            bar(&mut out, y, *spread, scale, COLOURS[index % COLOURS.len()], metric);
            y += BAR;
        }
        y += GAP;
    }
    out.push_str("</svg>\n");
    out
}

/// A case and what its servers reached; each with its place among the servers, which is its colour.
struct Row<'a> {
    title: &'a str,
    bars: Vec<(usize, Spread)>,
}

fn rows<'a>(records: &Records, metric: Metric, cases: &[&'a Case], servers: &[&Entrant]) -> Vec<Row<'a>> {
    let row = |case: &&'a Case| {
        let spread =
            |(index, server): (usize, &&Entrant)| Some((index, records.spread(&case.name, &server.name, metric)?));
        Row { title: case.title.as_str(), bars: servers.iter().enumerate().filter_map(spread).collect() }
    };
    cases.iter().map(row).filter(|row| !row.bars.is_empty()).collect()
}

fn legend(out: &mut String, servers: &[&Entrant]) {
    let mut x = 10.0;
    for (index, server) in servers.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let _ = write!(
            out,
            "<rect x=\"{x}\" y=\"32\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\n\
             <text x=\"{}\" y=\"41\">{}</text>\n",
            x + 14.0,
            escaped(&server.name)
        );
        x += 34.0 + server.name.len() as f64 * 6.0;
    }
}

fn bar(out: &mut String, y: f64, spread: Spread, scale: f64, colour: &str, metric: Metric) {
    let Spread { median, min, max } = spread;
    let (width, middle) = (median * scale, y + BAR / 2.0 - 1.0);
    let (from, to) = (MARGIN + min * scale, MARGIN + max * scale);
    let _ = write!(
        out,
        "<rect x=\"{MARGIN}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>\n\
         <line x1=\"{from:.1}\" y1=\"{middle}\" x2=\"{to:.1}\" y2=\"{middle}\" stroke=\"#000000\"/>\n\
         <text x=\"{:.1}\" y=\"{}\">{}</text>\n",
        BAR - 2.0,
        to.max(MARGIN + width) + 5.0,
        y + BAR - 4.0,
        escaped(&metric.write(median))
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{path, record};

    #[test]
    fn bars_are_as_long_as_what_they_stand_for() {
        let path = path("plot");
        let mut records = Records::create(&path).unwrap();
        for (server, cycles) in [("coturn", 100.0), ("pion", 200.0)] {
            records.add(record("cycles", server, 0, &[(Metric::CyclesPerS, cycles)])).unwrap();
        }
        std::fs::remove_file(path).unwrap();
        let cases = Case::select(&["cycles".into()]).unwrap();
        let servers = ["coturn", "pion", "a<b"].map(|name| Entrant {
            name: name.into(),
            versions: Vec::new(),
            settings: String::new(),
        });
        let svg =
            write(&records, Group::Cycles, &cases.iter().collect::<Vec<_>>(), &servers.iter().collect::<Vec<_>>());
        let widths: Vec<f64> = svg
            .lines()
            .filter(|line| line.starts_with(&format!("<rect x=\"{MARGIN}\"")))
            .filter_map(|line| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(widths, [265.0, 530.0]);
        assert!(svg.contains("a&lt;b") && svg.ends_with("</svg>\n"), "{svg}");
    }
}
