//! What every file looks like.

use crate::source::Source;
use crate::{Report, complaints, passes};

/// Longer files are split.
const MAX_LINES: usize = 1000;
/// Longer files are named, without failing: most are 100 to 400.
const LONG_LINES: usize = 600;
/// As rustfmt.toml says.
const MAX_COLUMNS: usize = 120;

/// No stubs, no notes to self, no test switched off without a reason.
pub(crate) fn unfinished(source: &Source, report: &mut Report) {
    for word in ["todo!", "unimplemented!", "dbg!"].into_iter().filter(|_| source.is_rust()) {
        for at in source.find(word) {
            report.at(source, at, word, "finish it or take it out");
        }
    }
    for at in source.find("#[ignore]").into_iter().filter(|_| source.is_rust()) {
        report.at(source, at, "an ignored test without a reason", "#[ignore = \"why, and how to run it\"]");
    }
    for note in [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")] {
        for (at, _) in source.text.match_indices(note) {
            report.at(source, at, note, "do it, or write it where the work is planned");
        }
    }
}

/// A file can be read in one sitting, and says at its top what it is for.
pub(crate) fn files(source: &Source, report: &mut Report) {
    if !source.path.starts_with("src/") || !source.is_rust() {
        return;
    }
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        report.at(source, 0, format!("{lines} lines, {MAX_LINES} is the limit"), "split it by what it does");
    } else if lines > LONG_LINES {
        eprintln!("note: {} has {lines} lines; consider splitting it", source.path);
    }
    if !source.text.starts_with("//!") {
        report.at(source, 0, "no word on what the file is for", "begin it with a `//!` sentence");
    }
}

/// Widths, blanks and ends of lines.
pub(crate) fn lines(source: &Source, report: &mut Report) {
    let (is_prose, is_manifest) = (source.path.ends_with(".md"), source.path.ends_with("Cargo.toml"));
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let text = line.strip_suffix('\n').unwrap_or(line);
        // A table's row, a link and a dependency cannot be folded.
        let is_row = text.starts_with('|') || text.trim_start().starts_with("//! |");
        let folds = !(is_manifest || is_row || is_prose && text.contains("]("));
        let columns = text.chars().count();
        if columns > MAX_COLUMNS && folds {
            report.at(source, at, format!("{columns} columns, {MAX_COLUMNS} is the limit"), "fold it");
        }
        if text.ends_with([' ', '\t', '\r']) {
            report.at(source, at, "blanks at the end of the line", "take them out");
        }
        if text.starts_with('\t') {
            report.at(source, at, "a tab", "indent with spaces");
        }
        at += line.len();
    }
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        report.at(source, source.text.len() - 1, "the last line has no end", "end it with a line break");
    }
}

/// Nothing depends on where one developer's files happen to be.
pub(crate) fn machine_paths(source: &Source, report: &mut Report) {
    let homes = ["home", "Users", "root"].map(|name| format!("/{name}/"));
    let checkout = env!("CARGO_MANIFEST_DIR").to_owned();
    for path in homes.iter().chain([&checkout]) {
        for (at, _) in source.text.match_indices(path.as_str()) {
            report.at(source, at, format!("{path} is a place on one machine"), "use a relative or temporary path");
        }
    }
}

#[test]
fn unfinished_work_is_found() {
    assert_eq!(complaints(unfinished, "src/a.rs", concat!("to", "do!();\n// FIX", "ME\n")), [1, 2]);
    assert_eq!(complaints(unfinished, "tests/a.rs", "#[ignore]\n#[ignore = \"slow\"]\n"), [1]);
    assert!(passes(unfinished, "README.md", "See `dbg!`.\n"));
}

#[test]
fn untidy_files_are_found() {
    let long = format!("//! A.\n{}", "\n".repeat(MAX_LINES));
    assert_eq!(complaints(files, "src/a.rs", &long), [1]);
    assert_eq!(complaints(files, "src/a.rs", "fn main() {}\n"), [1]);
    assert!(passes(files, "src/a.rs", "//! A.\n"));
}

#[test]
fn untidy_lines_are_found() {
    let long = format!("{}\n", "a ".repeat(60) + "b");
    assert_eq!(complaints(lines, "src/a.rs", &format!("\n{long}")), [2]);
    assert!(passes(lines, "README.md", &format!("| {long}")));
    assert_eq!(complaints(lines, "src/a.rs", "a \n\tb\nc"), [1, 2, 3]);
    assert!(passes(lines, "src/a.rs", &format!("{}\n", "é".repeat(MAX_COLUMNS))));
}

#[test]
fn machines_are_found() {
    assert_eq!(complaints(machine_paths, "a.md", concat!("\ncd /ho", "me/me\n")), [2]);
    assert!(passes(machine_paths, "a.md", "/etc/turnkeep/config.toml\n"));
}
