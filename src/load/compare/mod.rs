//! Two load tests side by side: figure by figure, with the ratio, and whether the difference means anything.

mod condition;
mod doubt;
mod figures;
mod meaning;
mod page;
mod text;

pub use condition::Ratio;
pub use page::html;
pub use text::text;

use super::result::{Judged, LoadResult};
use figures::figures;
use meaning::Meaning;

/// A test and what it is called.
pub struct Side {
    /// Such as the name of its file.
    pub name: String,
    /// What was measured.
    pub result: LoadResult,
}

/// Two tests, compared: B against A.
pub struct Comparison {
    a: Side,
    b: Side,
    rows: Vec<Row>,
    /// What was done differently, so that no figures compare.
    obstacles: Vec<&'static str>,
    /// What makes figures incomparable, a sentence each.
    doubts: Vec<String>,
    judged: Vec<Judged>,
    noise: f64,
}

/// A figure of both.
struct Row {
    /// What it belongs to: `latency`, `packets`, ….
    group: &'static str,
    name: String,
    a: Option<f64>,
    b: Option<f64>,
    unit: fn(f64) -> String,
    meaning: Meaning,
}

impl Comparison {
    /// Compares `b` with `a`. Differences up to the share `noise` (0.1: 10 %) are those between two runs of the same.
    pub fn new(a: Side, b: Side, noise: f64, fail_if: &[Ratio]) -> Self {
        let mut rows = figures(&a.result, &b.result, noise);
        let doubts = doubt::doubts(&a.result, &b.result);
        let obstacles = doubt::obstacles(&a.result, &b.result);
        let mut judged: Vec<_> = fail_if.iter().map(|condition| condition.judge(&a.result, &b.result)).collect();
        let was_limit = a.result.generator.was_limit || b.result.generator.was_limit;
        for row in &mut rows {
            row.meaning = match row.meaning {
                _ if !obstacles.is_empty() => Meaning::None,
                // What arrived, and how late, is the load tester's own doing where it was the limit.
                Meaning::Better | Meaning::Worse if was_limit && matches!(row.group, "packets" | "latency") => {
                    Meaning::Unsure
                }
                meaning => meaning,
            };
        }
        if !obstacles.is_empty() {
            judged.iter_mut().for_each(|judged| (judged.measured, judged.failed) = (None, true));
        }
        Self { a, b, rows, obstacles, doubts, judged, noise }
    }

    /// Whether a condition holds.
    pub fn has_failed(&self) -> bool {
        self.judged.iter().any(|judged| judged.failed)
    }

    /// What it comes to, in a sentence.
    fn sum(&self) -> String {
        if !self.obstacles.is_empty() {
            return format!("Not comparable: another {}", self.obstacles.join(", another "));
        }
        let count = |meaning| self.rows.iter().filter(|row| row.meaning == meaning).count();
        let [better, worse, same] = [Meaning::Better, Meaning::Worse, Meaning::Same].map(count);
        let unsure = count(Meaning::Unsure);
        format!(
            "B is better in {better} figures, worse in {worse}, the same in {same}; of {unsure} nothing can be said"
        )
    }

    /// How the verdicts come about, a sentence each.
    fn method(&self) -> [String; 2] {
        let noise = super::units::percent(self.noise);
        let scatter = "more than the scatter within the runs (three standard errors)";
        [
            format!("A difference means something where it is more than {noise}, and {scatter}."),
            "How runs scatter from one to the next, one of each cannot tell: repeat them in turns to be sure.".into(),
        ]
    }
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        ratio(self.a?, self.b?)
    }

    fn cells(&self) -> [String; 4] {
        let value = |value: Option<f64>| value.map_or("–".to_owned(), self.unit);
        [value(self.a), value(self.b), self.ratio().map_or("–".to_owned(), ratio_text), self.meaning.name().to_owned()]
    }
}

/// `b` in terms of `a`; infinite where something came out of nothing.
fn ratio(a: f64, b: f64) -> Option<f64> {
    match (a, b) {
        (0.0, 0.0) => Some(1.0),
        _ if a >= 0.0 && b >= 0.0 => Some(b / a),
        // Differences below 0, such as of memory, have no ratio.
        _ => None,
    }
}

fn ratio_text(ratio: f64) -> String {
    match ratio {
        ..9.995 => format!("{ratio:.2}x"),
        ..1000.0 => format!("{ratio:.0}x"),
        _ if ratio.is_finite() => "> 1000x".to_owned(),
        _ => "from 0".to_owned(),
    }
}
