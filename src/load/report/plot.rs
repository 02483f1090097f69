//! Plots as SVG: axes, a grid, lines and bars, in the colours of the page.

use std::fmt::Write;

use super::page::{Page, escaped};
use crate::load::units;

/// A plot of one or more series over common axes.
pub(in crate::load) struct Plot {
    pub(in crate::load) title: String,
    /// How to read it.
    pub(in crate::load) note: String,
    pub(in crate::load) x: Axis,
    pub(in crate::load) y: Axis,
    pub(in crate::load) series: Vec<Series>,
}

/// One axis.
pub(in crate::load) struct Axis {
    pub(in crate::load) scale: Scale,
    /// How a value on it is written.
    pub(in crate::load) format: fn(f64) -> String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) enum Scale {
    /// From 0.
    Linear,
    Log,
    /// Values are 1/(1 - quantile): each decade is a nine.
    Nines,
}

pub(in crate::load) struct Series {
    pub(in crate::load) name: String,
    /// Rising in x; what is not finite is left out.
    pub(in crate::load) points: Vec<[f64; 2]>,
    pub(in crate::load) shape: Shape,
    /// Of [`COLOURS`].
    pub(in crate::load) colour: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) enum Shape {
    Line,
    Bars,
}

/// Colours that the page has; each line has a dash of its own as well.
pub(in crate::load) const COLOURS: usize = 5;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

impl Series {
    pub(in crate::load) fn line(name: impl Into<String>, colour: usize, points: Vec<[f64; 2]>) -> Self {
        Self { name: name.into(), points, shape: Shape::Line, colour: colour % COLOURS }
    }

    pub(in crate::load) fn bars(name: impl Into<String>, colour: usize, points: Vec<[f64; 2]>) -> Self {
        Self { shape: Shape::Bars, ..Self::line(name, colour, points) }
    }
}

impl Plot {
    /// Puts it on `page`; nothing, where there is nothing to show.
    pub(in crate::load) fn draw(&self, page: &mut Page) {
        let all = || self.series.iter().flat_map(|series| &series.points);
        let (Some(x), Some(y)) = (self.x.ruler(all().map(|[x, _]| *x)), self.y.ruler(all().map(|[_, y]| *y))) else {
            return;
        };
        page.raw("<figure>\n<figcaption>").text(&self.title);
        page.raw("<small>").text(&self.note).raw("</small></figcaption>\n");
        self.draw_legend(page);
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = self.write_svg(&x, &y, &mut svg);
        page.raw(&svg).raw("</figure>\n");
    }

    fn draw_legend(&self, page: &mut Page) {
        page.raw("<ul class=\"legend\">\n");
        for series in &self.series {
            let colour = series.colour;
            let sample = match series.shape {
                Shape::Line => format!("<path class=\"line c{colour}\" d=\"M0 5H28\"/>"),
                Shape::Bars => format!("<path class=\"f{colour}\" d=\"M0 0H28V10H0Z\"/>"),
            };
            page.raw("<li><svg viewBox=\"0 0 28 10\" aria-hidden=\"true\">").raw(&sample).raw("</svg>");
            page.text(&series.name).raw("</li>\n");
        }
        page.raw("</ul>\n");
    }

    fn write_svg(&self, x: &Ruler, y: &Ruler, out: &mut String) -> std::fmt::Result {
        let label = escaped(&self.title);
        writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">")?;
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &y.ticks {
            let at = self.y_of(y, *tick);
            let text = escaped(&(self.y.format)(*tick));
            writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>")?;
            writeln!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 6.0, at + 4.0)?;
        }
        for tick in &x.ticks {
            let at = self.x_of(x, *tick);
            let text = escaped(&(self.x.format)(*tick));
            writeln!(out, "<path class=\"grid\" d=\"M{at:.1} {TOP}V{floor}\"/>")?;
            writeln!(out, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>", floor + 18.0)?;
        }
        writeln!(out, "<path class=\"axis\" d=\"M{LEFT} {floor}H{right}\"/>")?;
        for series in &self.series {
            let points: Vec<[f64; 2]> = series.points.iter().filter_map(|point| self.place(x, y, *point)).collect();
            match series.shape {
                Shape::Line => write_line(series.colour, &points, out)?,
                Shape::Bars => write_bars(series.colour, &points, out)?,
            }
        }
        writeln!(out, "</svg>")
    }

    fn place(&self, x: &Ruler, y: &Ruler, [at, value]: [f64; 2]) -> Option<[f64; 2]> {
        let is_there = at.is_finite() && value.is_finite() && (y.scale == Scale::Linear || value > 0.0);
        is_there.then(|| [self.x_of(x, at), self.y_of(y, value)])
    }

    fn x_of(&self, ruler: &Ruler, value: f64) -> f64 {
        LEFT + ruler.part(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_of(&self, ruler: &Ruler, value: f64) -> f64 {
        HEIGHT - BOTTOM - ruler.part(value) * (HEIGHT - TOP - BOTTOM)
    }
}

fn write_line(colour: usize, points: &[[f64; 2]], out: &mut String) -> std::fmt::Result {
    if let [[x, y]] = points {
        return writeln!(out, "<circle class=\"f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
    }
    write!(out, "<path class=\"line c{colour}\" d=\"")?;
    for (index, [x, y]) in points.iter().enumerate() {
        write!(out, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" })?;
    }
    writeln!(out, "\"/>")
}

fn write_bars(colour: usize, points: &[[f64; 2]], out: &mut String) -> std::fmt::Result {
    let floor = HEIGHT - BOTTOM;
    let gap = points.windows(2).map(|pair| pair[1][0] - pair[0][0]).fold(24.0_f64, f64::min);
    let width = (gap * 0.8).max(1.0);
    write!(out, "<path class=\"f{colour}\" d=\"")?;
    for [x, y] in points {
        let x = (x - width / 2.0).max(LEFT);
        write!(out, "M{x:.1} {floor}V{y:.1}h{width:.1}V{floor}Z")?;
    }
    writeln!(out, "\"/>")
}

/// An axis with its bounds.
struct Ruler {
    scale: Scale,
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Axis {
    pub(in crate::load) fn linear(format: fn(f64) -> String) -> Self {
        Self { scale: Scale::Linear, format }
    }

    pub(in crate::load) fn log(format: fn(f64) -> String) -> Self {
        Self { scale: Scale::Log, format }
    }

    /// Quantiles, each decade a nine.
    pub(in crate::load) fn nines() -> Self {
        let format = |value: f64| format!("p{}", trimmed(100.0 * (1.0 - 1.0 / value)));
        Self { scale: Scale::Nines, format }
    }

    /// None where there is no value to show.
    fn ruler(&self, values: impl Iterator<Item = f64>) -> Option<Ruler> {
        let shown = values.filter(|value| value.is_finite() && (self.scale == Scale::Linear || *value > 0.0));
        let (low, high) = shown.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        (low <= high || low == 0.0).then(|| match self.scale {
            Scale::Linear => Ruler::linear(high),
            Scale::Log => Ruler::log(low, high),
            Scale::Nines => Ruler::nines(high),
        })
    }
}

impl Ruler {
    fn linear(high: f64) -> Self {
        let high = if high > 0.0 { high } else { 1.0 };
        let decade = 10_f64.powf((high / 4.0).log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * decade).into_iter().find(|step| high / step <= 5.0);
        let step = step.unwrap_or(high);
        let ticks: Vec<_> =
            (0..=5).map(|index| f64::from(index) * step).filter(|tick| *tick <= high * 1.0001).collect();
        Self { scale: Scale::Linear, from: 0.0, to: high * 1.04, ticks }
    }

    /// Decades; with fewer than two of them also the halves and fifths between.
    fn log(low: f64, high: f64) -> Self {
        let (from, to) = (low / 1.15, (high * 1.15).max(low * 2.0));
        let decades = to.log10() - from.log10();
        let steps: &[f64] = if decades > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let first = from.log10().floor() as i32;
        let all = (first..first + 20).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
        Self { scale: Scale::Log, from, to, ticks: all.filter(|tick| (from..=to).contains(tick)).collect() }
    }

    fn nines(high: f64) -> Self {
        let to = high.max(20.0);
        let nines = (1..).map(|power| 10_f64.powi(power)).take_while(|tick| *tick <= to);
        Self { scale: Scale::Nines, from: 1.0, to, ticks: [2.0].into_iter().chain(nines).collect() }
    }

    /// Where on the axis a value is, between 0 and 1.
    fn part(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log | Scale::Nines => (value / self.from).ln() / (self.to / self.from).ln(),
        };
        part.clamp(0.0, 1.0)
    }
}

/// The curve of a histogram, (quantile, value), as points over [`Axis::nines`]. The maximum has no quantile but 1: it
/// stands where a sample of so many would have its last.
pub(in crate::load) fn over_nines(curve: &[[f64; 2]], count: u64) -> Vec<[f64; 2]> {
    let last = count.max(2) as f64;
    curve.iter().map(|[quantile, value]| [(1.0 / (1.0 - quantile)).min(last), *value]).collect()
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A time on an axis, from microseconds.
pub(in crate::load) fn time_tick(micros: f64) -> String {
    match micros {
        ..1e3 => format!("{} µs", units::short(micros)),
        ..1e6 => format!("{} ms", units::short(micros / 1e3)),
        _ => format!("{} s", units::short(micros / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(Ruler::linear(10_000.0).ticks, [0.0, 2000.0, 4000.0, 6000.0, 8000.0, 10_000.0]);
        assert_eq!(Ruler::linear(0.0).ticks.len(), 6);
        let log = Ruler::log(30.0, 1100.0);
        assert_eq!(log.ticks.iter().map(|tick| tick.round()).collect::<Vec<_>>(), [50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(Ruler::nines(300_000.0).ticks, [2.0, 10.0, 100.0, 1e3, 1e4, 1e5]);
        let labels = [2.0, 10.0, 1e3, 1e5].map(Axis::nines().format);
        assert_eq!(labels, ["p50", "p90", "p99.9", "p99.999"]);
    }

    #[test]
    fn values_stay_on_the_paper() {
        for ruler in [Ruler::linear(5.0), Ruler::log(5.0, 5.0), Ruler::nines(5.0)] {
            assert!([1e-9, 5.0, 1e9].iter().all(|value| (0.0..=1.0).contains(&ruler.part(*value))));
        }
        assert!(Axis::log(units::brief).ruler([0.0, f64::NAN].into_iter()).is_none());
        let plot = Plot {
            title: "A".into(),
            note: String::new(),
            x: Axis::linear(units::brief),
            y: Axis::log(time_tick),
            series: vec![Series::line("b", 0, vec![[0.0, 0.0], [1.0, f64::INFINITY], [2.0, 5.0]])],
        };
        let mut page = Page::new("A");
        plot.draw(&mut page);
        let html = page.finish();
        assert!(html.contains("<circle") && !html.contains("NaN") && !html.contains("inf"), "{html}");
    }

    #[test]
    fn the_longest_has_a_place_on_the_curve() {
        assert_eq!(over_nines(&[[0.0, 1.0], [0.5, 2.0], [1.0, 9.0]], 100), [[1.0, 1.0], [2.0, 2.0], [100.0, 9.0]]);
    }
}
