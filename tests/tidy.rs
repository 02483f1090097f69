//! The house's style, held by a test that reads the source. Each rule is a function from a file to complaints; each
//! complaint names the place and the mend. A rule that stands in the way is changed here, in the open.
#![expect(clippy::print_stderr, reason = "a note is not a failure")]

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/floors.rs"]
mod floors;
#[path = "support/golden.rs"]
mod golden;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/style.rs"]
mod style;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

#[test]
fn floors_use_only_those_below() {
    hold(floors::uses);
}

#[test]
fn floors_abstain() {
    hold(floors::abstentions);
}

#[test]
fn unsafe_stays_at_home() {
    hold(floors::unsafe_code);
}

#[test]
fn time_is_an_argument() {
    hold(floors::clocks);
}

#[test]
fn bounds_stand_in_limits() {
    hold(floors::bounds);
}

#[test]
fn only_commands_print() {
    hold(floors::printing);
}

#[test]
fn nothing_is_left_undone() {
    hold(style::unfinished);
}

#[test]
fn files_are_short_and_introduced() {
    hold(style::files);
}

#[test]
fn lines_are_clean() {
    hold(style::lines);
}

#[test]
fn no_machine_is_named() {
    hold(style::machine_paths);
}

#[test]
fn links_lead_somewhere() {
    hold(documents::links);
}

#[test]
fn what_the_readme_tells_to_run_exists() {
    let readme = read("README.md");
    assert!(readme.contains("cargo run --release"), "README.md: the first command, `cargo run --release`, is gone");
    assert!(readme.contains("scripts/test"), "README.md: does not say how to run the tests, `scripts/test`");
    let words = readme.split(|c: char| c.is_whitespace() || "`()[]<>\"',;".contains(c));
    let mentioned = words.filter_map(|word| word.strip_prefix("./").or(Some(word)));
    for path in mentioned.filter(|path| path.starts_with("scripts/") || path.starts_with("config/")) {
        let path = path.trim_end_matches(['.', ':']);
        assert!(root().join(path).exists(), "README.md: names {path}, which does not exist");
    }
}

#[test]
fn every_example_configuration_is_tested() {
    let tests: String = repository().into_iter().filter(Source::is_rust).map(|source| source.text).collect();
    for path in walk(&root().join("config")) {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        assert!(tests.contains(&name), "config/{name}: no test mentions it; load and check it in one");
    }
}

#[test]
fn scripts_stop_at_the_first_error() {
    for path in ["scripts/test", ".ci/run"] {
        let text = read(path);
        assert!(text.starts_with("#!/usr/bin/env bash\n"), "{path}: begin it with #!/usr/bin/env bash");
        assert!(text.contains("\nset -euo pipefail\n"), "{path}: lacks `set -euo pipefail`");
    }
    assert!(read(".ci/run").contains("scripts/test"), ".ci/run: does not call scripts/test");
}

#[test]
fn the_changelog_has_a_place_for_what_is_new() {
    let changelog = read("CHANGELOG.md");
    assert!(changelog.contains("\n## [Unreleased]\n"), "CHANGELOG.md: lacks the section `## [Unreleased]`");
}

/// What the rules found.
#[derive(Default)]
struct Report(Vec<Complaint>);

struct Complaint {
    place: String,
    line: usize,
    what: String,
    mend: String,
}

impl Report {
    fn at(&mut self, source: &Source, offset: usize, what: impl Into<String>, mend: impl AsRef<str>) {
        let (what, mend) = (what.into(), mend.as_ref().to_owned());
        self.0.push(Complaint { place: source.path.clone(), line: source.line_of(offset), what, mend });
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.place, self.line, self.what, self.mend)
    }
}

type Rule = fn(&Source, &mut Report);

/// Fails with every complaint that `rule` has about the repository.
fn hold(rule: Rule) {
    let mut report = Report::default();
    repository().iter().for_each(|source| rule(source, &mut report));
    let complaints: String = report.0.iter().map(|complaint| format!("\n{complaint}")).collect();
    assert!(complaints.is_empty(), "{complaints}\n");
}

/// The lines of `text`, as the file `path`, that `rule` complains about.
fn complaints(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    let mut report = Report::default();
    rule(&Source::new(path, text), &mut report);
    report.0.iter().map(|complaint| complaint.line).collect()
}

fn passes(rule: Rule, path: &str, text: &str) -> bool {
    complaints(rule, path, text).is_empty()
}

/// Every text file that we wrote.
fn repository() -> Vec<Source> {
    const OURS: [&str; 7] = ["rs", "md", "toml", "py", "mjs", "sh", "yml"];
    let is_ours = |path: &Path| match path.extension() {
        Some(extension) => OURS.iter().any(|ours| extension == *ours),
        None => path.starts_with(root().join("scripts")) || path.starts_with(root().join(".ci")),
    };
    let source = |path: PathBuf| {
        let relative = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{relative}: {error}"));
        Source::new(&relative, &text)
    };
    let mut sources: Vec<_> = walk(&root()).into_iter().filter(|path| is_ours(path)).map(source).collect();
    let for_tests: Vec<_> = sources.iter().flat_map(Source::test_modules).collect();
    let is_for_tests = |source: &&mut Source| {
        let module = source.module();
        for_tests.iter().any(|path| module.starts_with(&path.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    sources.iter_mut().filter(is_for_tests).for_each(Source::mark_as_test);
    sources
}

/// The files below `directory`, without what is built, installed or generated.
fn walk(directory: &Path) -> Vec<PathBuf> {
    const NOT_OURS: [&str; 9] = [
        "target",
        ".git",
        "node_modules",
        ".venv",
        "__pycache__",
        "corpus",
        "artifacts",
        "coverage",
        "proptest-regressions",
    ];
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
    entries.sort();
    let ours = |path: &PathBuf| !NOT_OURS.iter().any(|name| path.ends_with(name));
    entries.into_iter().filter(ours).flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
