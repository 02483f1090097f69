//! A comparison for the terminal.

use std::fmt::Write;

use super::{Comparison, Side, ratio_text};
use crate::load::report::verdict::subject;
use crate::load::units;

/// A table and what to think of it.
pub fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(comparison, &mut text);
    text
}

fn write(comparison: &Comparison, out: &mut String) -> std::fmt::Result {
    for (letter, side) in [("A", &comparison.a), ("B", &comparison.b)] {
        writeln!(out, "{letter}  {}", introduction(side))?;
    }
    let rows: Vec<_> = comparison.rows.iter().map(|row| (row.group, &row.name, row.cells())).collect();
    let width = |of: &dyn Fn(&[String; 4]) -> usize| rows.iter().map(|(.., cells)| of(cells)).max().unwrap_or(0);
    let widths = [0, 1, 2].map(|index| width(&|cells| cells[index].chars().count()).max(4));
    let names = rows.iter().map(|(_, name, _)| name.chars().count()).max().unwrap_or(0);
    let mut last_group = "";
    for (group, name, [a, b, ratio, meaning]) in &rows {
        if *group != last_group {
            last_group = group;
            let [a, b, ratio] = widths;
            writeln!(out, "\n{group:<names$}  {:>a$}  {:>b$}  {:>ratio$}", "A", "B", "B/A")?;
        }
        let [wa, wb, wr] = widths;
        let line = format!("{name:<names$}  {a:>wa$}  {b:>wb$}  {ratio:>wr$}  {meaning}");
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out, "\n{}.", comparison.sum())?;
    for doubt in &comparison.doubts {
        writeln!(out, "warning    {doubt}")?;
    }
    for judged in &comparison.judged {
        let verdict = if judged.failed { "FAILED" } else { "ok" };
        let measured = judged.measured.map_or("not measured".to_owned(), ratio_text);
        writeln!(out, "threshold  {}: {verdict} ({measured})", judged.condition)?;
    }
    writeln!(out, "\n{}", comparison.method().join("\n"))
}

/// What a side is.
pub(super) fn introduction(side: &Side) -> String {
    let result = &side.result;
    let server = result.server.as_ref().map(|server| format!(" ({})", server.names.join(", "))).unwrap_or_default();
    let (plan, when) = (&result.plan, units::utc(result.started_unix_ms));
    format!("{}: {} at {}{server}, {when}", side.name, subject(plan), plan.target)
}
