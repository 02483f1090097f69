//! A report for people: a line for each step, below it what it shows and what cures it.

use std::fmt::Write;
use std::time::Duration;

use super::report::{Section, Step, Summary, Verdict};
use super::walk::Event;

/// Where the lines below a step begin.
const INDENT: &str = "                  ";
const WIDTH: usize = 118;

/// What is shown of an event: the headings before the first step of a part, and the step.
pub fn line(event: &Event<'_>, last: &mut Option<Section>) -> String {
    match event {
        Event::Target(uri, name) => {
            let gap = if last.take().is_some() { "\n" } else { "" };
            format!("{gap}{uri}\n{}", step(name))
        }
        Event::Path(uri, address) => {
            *last = None;
            format!("\n  {address} over {}\n", uri.transport.name())
        }
        Event::Step(section, done) => {
            let heading = if *section == Section::Refusals && *last != Some(Section::Refusals) {
                "\n  what it must refuse\n"
            } else {
                ""
            };
            *last = Some(*section);
            format!("{heading}{}", step(done))
        }
    }
}

fn step(step: &Step) -> String {
    let mut text = String::new();
    let took = step.took_us.map_or_else(String::new, |us| {
        let time = Duration::from_micros(us).as_secs_f64();
        if time < 1.0 { format!(", {:.1} ms", time * 1000.0) } else { format!(", {time:.1} s") }
    });
    let head = format!("{:<8}{:<18}", step.verdict.word(), step.name);
    fold(&mut text, &format!("  {head}"), &format!("{}{took}", step.found));
    let mut below = |label: &str, words: &str| fold(&mut text, &format!("            {label:<6}"), words);
    if let Some(tried) = step.tried.as_ref().filter(|_| step.verdict >= Verdict::Warning) {
        below("tried", tried);
    }
    if let Some(why) = &step.why {
        below("why", why);
    }
    for (index, cure) in step.cures.iter().enumerate() {
        below(if index == 0 { "cure" } else { "or" }, cure);
    }
    text
}

/// What stands above everything.
pub fn heading(begun: &str) -> String {
    format!("turnkeep probe, {begun}\n\n")
}

/// How it ended.
pub fn summary(summary: &Summary) -> String {
    let Summary { ok, notes, skipped, warnings, untested, faults, packets_sent, bytes_sent } = *summary;
    let verdict = match (faults, untested, warnings) {
        (1.., ..) => "faults found",
        (0, 1.., _) => "no fault found, but not everything could be tested",
        (0, 0, 1..) => "works, with warnings",
        (0, 0, 0) => "all well",
    };
    let (faults, warnings, notes) = (count(faults, "fault"), count(warnings, "warning"), count(notes, "note"));
    format!(
        "\n{verdict}: {faults}, {warnings}, {notes}, {ok} ok, {untested} untested, {skipped} skipped; sent \
         {packets_sent} packets, {bytes_sent} bytes\n"
    )
}

fn count(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Skipped => "-",
            Self::Warning => "warning",
            Self::Untested => "?",
            Self::Fault => "FAULT",
        }
    }
}

/// Appends `words` behind `head`, folded, with further lines indented as far as the head is wide.
fn fold(text: &mut String, head: &str, words: &str) {
    let indent = head.chars().count().max(INDENT.len().min(head.chars().count()));
    let (mut line, mut columns) = (head.to_owned(), indent);
    let mut is_first = true;
    for word in words.split(' ') {
        let len = word.chars().count();
        if !is_first && columns + 1 + len > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            (line, columns, is_first) = (" ".repeat(indent), indent, true);
        }
        if !is_first {
            line.push(' ');
            columns += 1;
        }
        line.push_str(word);
        columns += len;
        is_first = false;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}
