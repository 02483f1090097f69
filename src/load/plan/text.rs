//! A plan for the terminal.

use std::fmt::Write;

use super::{Line, Plan};
use crate::load::units;

/// A line for each figure, with its arithmetic.
pub fn text(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(plan, &mut text);
    text
}

fn write(plan: &Plan, out: &mut String) -> std::fmt::Result {
    let demand = &plan.demand;
    let media = &demand.media;
    let (bits, packets) = (units::bits_per_s(media.bits_per_s), units::short(media.packets_per_s));
    writeln!(out, "Each participant sends {bits} in {packets} packets/s ({}).\n", media.name)?;
    let rows: Vec<_> = plan.lines.iter().map(|line| (line.key.replace('_', " "), value(line), &line.because)).collect();
    let names = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let values = rows.iter().map(|(_, value, _)| value.chars().count()).max().unwrap_or(0);
    for (name, value, because) in &rows {
        writeln!(out, "{name:<names$}  {value:>values$}  = {because}")?;
    }
    writeln!(out)?;
    for source in &plan.base.sources {
        writeln!(out, "{source}")?;
    }
    for remark in &plan.remarks {
        writeln!(out, "Mind: {remark}")?;
    }
    Ok(())
}

fn value(line: &Line) -> String {
    let value = units::number(line.value);
    match line.unit {
        "" => value,
        // Their names say it.
        "/s" | "Mbit/s" | "MiB" => value,
        unit => format!("{value} {unit}"),
    }
}
