//! The documents: their links lead somewhere, and the lists in docs/ agree with the sources that name their items.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use crate::golden::assert_golden;
use crate::source::Source;
use crate::{Report, complaints, read, repository, root};

/// The lists: a table row for each item, the id in its first column, and in its last the tests that show it, or why
/// there is none.
const LISTS: [&str; 2] = ["docs/conformance.md", "docs/abuse-cases.md"];
/// The letters of their ids.
const LETTERS: [char; 3] = ['A', 'C', 'D'];
/// How the last column begins where there is no test: of what does not exist, and of what no test can show.
const REASONS: [&str; 2] = ["not yet: ", "no test: "];

#[test]
fn what_is_cited_stands_in_a_list() {
    let lists = LISTS.map(read);
    let known: BTreeSet<&str> = lists.iter().flat_map(|list| list.lines().filter_map(id_of_row)).collect();
    for source in repository().iter().filter(|source| !source.path.starts_with("docs/")) {
        for (at, id) in mentions(&source.text) {
            assert!(known.contains(&*id), "{}:{}: {id} is in no list of docs/", source.path, source.line_of(at));
        }
    }
}

/// Every item has a test that names it, or a reason why not, and not both.
#[test]
fn lists_name_the_tests_that_show_their_items() {
    let shown = shown_by(&repository());
    for path in LISTS {
        let (mut text, mut complaints) = (String::new(), String::new());
        for line in read(path).lines() {
            let line = match id_of_row(line).map(|id| (id, with_last_column(line, shown.get(id)))) {
                Some((_, Ok(row))) => row,
                Some((id, Err(why))) => {
                    write!(complaints, "\n{path}: {id} {why}").expect("a string takes all");
                    continue;
                }
                None => line.to_owned(),
            };
            writeln!(text, "{line}").expect("a string takes all");
        }
        assert!(complaints.is_empty(), "{complaints}\n");
        assert_golden(path, &text);
    }
}

/// Ids stay: none is left out or given twice.
#[test]
fn lists_are_numbered_through() {
    let lists = LISTS.map(read);
    for letter in LETTERS {
        let rows = lists.iter().flat_map(|list| list.lines().filter_map(id_of_row));
        let mut numbers: Vec<usize> = rows.filter_map(|id| id.strip_prefix(letter)?.get(1..)?.parse().ok()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "{letter}");
    }
}

/// A relative link of a document leads to a file, and to a heading of it if it names one.
pub(crate) fn links(source: &Source, report: &mut Report) {
    if !source.path.ends_with(".md") {
        return;
    }
    for (at, _) in source.text.match_indices("](") {
        let target = source.text[at + 2..].split([')', '\n']).next().unwrap_or_default();
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = match path {
            "" => root().join(&source.path),
            _ => root().join(Path::new(&source.path).parent().unwrap_or(Path::new(""))).join(path),
        };
        let has_heading = || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor)
        };
        if !file.exists() {
            report.at(source, at, format!("a link to {path}, which does not exist"), "mend or drop it");
        } else if !anchor.is_empty() && !has_heading() {
            report.at(source, at, format!("a link to #{anchor}, which no heading makes"), "mend or drop it");
        }
    }
}

/// The anchor that a heading makes, as GitHub has it.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The id of a list's row; nothing for any other line.
fn id_of_row(line: &str) -> Option<&str> {
    let (id, _) = line.strip_prefix("| ")?.split_once(" |")?;
    (id_at(id, 0) == Some(id)).then_some(id)
}

/// `row` with its last column as it should be.
fn with_last_column(row: &str, tests: Option<&BTreeSet<String>>) -> Result<String, &'static str> {
    let (head, last) = row.strip_suffix(" |").and_then(|row| row.rsplit_once(" |")).ok_or("has no last column")?;
    let reason = last.trim().split("; see ").next().filter(|text| REASONS.iter().any(|begin| text.starts_with(begin)));
    let tests = tests.map(|tests| tests.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", "));
    match (reason, tests) {
        (None, Some(tests)) => Ok(format!("{head} | {tests} |")),
        (Some(reason), None) => Ok(format!("{head} | {reason} |")),
        (Some(reason), Some(_)) if reason.starts_with(REASONS[1]) => Err("has a test: drop the reason for having none"),
        // A part is there already, such as the codec's.
        (Some(reason), Some(tests)) => Ok(format!("{head} | {reason}; see {tests} |")),
        (None, None) => Err("is named by no test: write one, or the reason: \"not yet: …\", \"no test: …\""),
    }
}

/// The files whose tests name an item, in a comment or in the name of a function.
fn shown_by(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let mut shown = BTreeMap::<String, BTreeSet<String>>::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let is_test = |at| source.path.starts_with("tests/") || source.is_test_code(at);
        for (_, id) in claims(&source.text).into_iter().filter(|(at, _)| is_test(*at)) {
            shown.entry(id).or_default().insert(source.path.clone());
        }
    }
    shown
}

/// The ids in comments and in the names of functions: not those in literals, where a test may have a sample.
fn claims(text: &str) -> Vec<(usize, String)> {
    let in_comment = |at: usize| {
        let line = text[..at].rsplit('\n').next().unwrap_or_default();
        line.split_once("//").is_some_and(|(code, _)| !code.contains('"'))
    };
    let names = text.match_indices("fn ").flat_map(|(at, _)| ids_of_name(&text[at + 3..]).map(move |id| (at, id)));
    mentions(text).into_iter().filter(|(at, _)| in_comment(*at)).chain(names).collect()
}

/// The ids anywhere in `text`; of a range such as 275–277 all.
fn mentions(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::<(usize, String)>::new();
    let mut end_of_last = 0;
    for (at, _) in text.match_indices(LETTERS) {
        let Some(id) = id_at(text, at) else { continue };
        if let Some((_, first)) = found.last().filter(|_| &text[end_of_last..at] == "–") {
            let (letter, width) = (id.chars().next().unwrap_or_default(), id.len() - 2);
            let number = |id: &str| id[2..].parse::<usize>().unwrap_or_default();
            let between = number(first) + 1..number(id);
            found.extend(between.map(|number| (at, format!("{letter}-{number:0width$}"))));
        }
        found.push((at, id.to_owned()));
        end_of_last = at + id.len();
    }
    found
}

/// The id that begins at `at`: a letter, a hyphen and two or three digits, on its own.
fn id_at(text: &str, at: usize) -> Option<&str> {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let rest = &text[at..];
    let digits = rest.strip_prefix(LETTERS)?.strip_prefix('-')?;
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    let is_apart = !text[..at].ends_with(joins) && !digits[count..].starts_with(joins);
    (is_apart && matches!(count, 2 | 3)).then(|| &rest[..2 + count])
}

/// The ids that a test's name begins with, as in `a_008_a_009_tunnels`.
fn ids_of_name(name: &str) -> impl Iterator<Item = String> {
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let pairs: Vec<(String, String)> =
        words.chunks_exact(2).map(|pair| (pair[0].to_uppercase(), pair[1].to_owned())).collect();
    let is_id = |(letter, number): &(String, String)| {
        let is_letter = letter.len() == 1 && letter.starts_with(LETTERS);
        is_letter && matches!(number.len(), 2 | 3) && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    pairs.into_iter().take_while(is_id).map(|(letter, number)| format!("{letter}-{number}"))
}

#[test]
fn ids_are_found_in_comments_and_names_and_not_in_literals() {
    let ids = |found: Vec<(usize, String)>| found.into_iter().map(|(_, id)| id).collect::<Vec<_>>();
    assert_eq!(ids(claims("/// C-001, C-275–C-277; A-012.\n")), ["C-001", "C-275", "C-276", "C-277", "A-012"]);
    let names = ["a_008_a_009_tunnels", "d_22_x", "a_b"].map(|name| format!("fn {name}() {{}}\n")).concat();
    assert_eq!(ids(claims(&names)), ["A-008", "A-009", "D-22"]);
    assert!(claims("let sample = \"C-001\"; SHA-256, AC-001, C-0011, C-1").is_empty());
    assert_eq!(ids(mentions("assert!(is, \"P (D-16)\")")), ["D-16"]);
}

#[test]
fn the_last_column_is_tests_or_a_reason() {
    let tests = BTreeSet::from(["tests/a.rs".to_owned(), "tests/b.rs".to_owned()]);
    let with = |last: &str, tests| with_last_column(&format!("| C-001 | M | x | {last} |"), tests);
    assert_eq!(with("", Some(&tests)), Ok("| C-001 | M | x | `tests/a.rs`, `tests/b.rs` |".to_owned()));
    assert_eq!(with("`old.rs`", Some(&tests)), with("", Some(&tests)));
    assert_eq!(with("not yet: y", None), Ok("| C-001 | M | x | not yet: y |".to_owned()));
    let part = Ok("| C-001 | M | x | not yet: y; see `tests/a.rs`, `tests/b.rs` |".to_owned());
    assert_eq!(with("not yet: y", Some(&tests)), part);
    assert_eq!(with("not yet: y; see `old.rs`", Some(&tests)), part);
    assert!(with("no test: y", Some(&tests)).is_err());
    assert!(with("`old.rs`", None).is_err());
}

#[test]
fn links_lead_to_files_and_headings() {
    let found = |text| complaints(links, "docs/x.md", text);
    let good = "[a](conformance.md) [b](../README.md#more) [c](https://example.org/x) [d](#here)\n";
    assert_eq!(found(good), [1], "there is no docs/x.md to have a heading in");
    assert_eq!(found("[a](../README.md)\n[b](README.md)\n[c](../README.md#nowhere)\n"), [2, 3]);
    assert_eq!(slug("## The `turn` and `stun` crates"), "the-turn-and-stun-crates");
}
