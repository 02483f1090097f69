//! What the code of each floor may name, and what it must leave to others.

use crate::source::Source;
use crate::{Report, complaints, passes};

/// Who may use whom: a top-level module of src, and those it may name. Policy and engine are siblings that do not know
/// each other; what both need belongs on the relay floor.
const FLOORS: &[(&str, &[&str])] = &[
    ("calendar", &[]),
    ("wire", &[]),
    ("relay", &["wire"]),
    ("policy", &["calendar", "wire", "relay"]),
    ("engine", &["wire", "relay"]),
    ("config", BELOW_CLI),
    ("control", BELOW_CLI),
    // A measure that shares code with what it measures would share its faults.
    ("client", &[]),
    ("load", &["calendar", "wire", "client", "engine"]),
    ("probe", &["calendar", "wire", "client"]),
    ("sandbox", BELOW_CLI),
    ("supervisor", BELOW_CLI),
    ("telemetry", BELOW_CLI),
    ("cli", BELOW_CLI),
];
const BELOW_CLI: &[&str] = &[
    "calendar",
    "client",
    "wire",
    "relay",
    "policy",
    "engine",
    "config",
    "control",
    "load",
    "probe",
    "sandbox",
    "supervisor",
    "telemetry",
];

/// What a floor does not do, by the words that do it. That the lower floors have no sockets or runtimes from other
/// crates is held by `cargo check --no-default-features`: those crates are optional.
const ABSTENTIONS: &[(&str, &[&str], &str)] = &[
    ("wire", HEAP, "wire takes no heap: borrow from the message, or write into the caller's buffer"),
    ("wire", OUTSIDE_WORLD, "wire knows bytes only: take what is needed as an argument"),
    ("relay", OUTSIDE_WORLD, "the relay floor is sans-IO: make it an argument, a `Command` or a question of `seam`"),
    ("relay", LOCKS, "one worker owns its server: there is nothing to lock"),
    ("policy", SOCKETS, "policy knows no socket: it answers questions"),
];
const HEAP: &[&str] = &["Box", "Vec", "String", "Arc", "Rc", "vec!", "format!", "to_vec", "to_owned", "to_string"];
const LOCKS: &[&str] = &["Mutex", "RwLock", "Condvar", "OnceLock"];
const SOCKETS: &[&str] = &["UdpSocket", "TcpStream", "TcpListener", "UnixStream", "UnixListener"];
const OUTSIDE_WORLD: &[&str] =
    &["std::fs", "std::io", "std::thread", "std::process", "std::env", "UdpSocket", "TcpStream"];

/// What a floor may name of a floor below it, where that is not all: (floor, the other, what of it).
const PARTS: &[(&str, &str, &str)] = &[("load", "engine", "sys")];

/// The one file below the service floor that reads clocks; everywhere else time is an argument.
const CLOCK_FILE: &str = "src/engine/clock.rs";
/// The modules that may hold `unsafe`.
const UNSAFE_HOME: &str = "src/engine/sys";

/// A file may name the floors below its own.
pub(crate) fn uses(source: &Source, report: &mut Report) {
    let Some(floor) = source.floor() else { return };
    let Some((_, may_use)) = FLOORS.iter().find(|(name, _)| *name == floor) else {
        return report.at(source, 0, format!("{floor} has no floor"), "name it in FLOORS, and in ARCHITECTURE.md");
    };
    for (at, named) in root_paths(source) {
        if FLOORS.iter().any(|(name, _)| *name == named) && named != floor && !may_use.contains(&named.as_str()) {
            let mend = "move what is needed to a lower floor, or take it as an argument";
            report.at(source, at, format!("{floor} uses {named}, which is not below it"), mend);
        }
    }
    for (_, other, part) in PARTS.iter().filter(|(name, ..)| *name == floor) {
        for at in source.find(&format!("crate::{other}")) {
            let rest = &source.code[at + "crate::".len() + other.len()..];
            if !rest.starts_with(&format!("::{part}::")) {
                report.at(
                    source,
                    at,
                    format!("{floor} uses more of {other} than {part}"),
                    "name the part's path whole",
                );
            }
        }
    }
    for at in source.find("#[path") {
        report.at(source, at, "a module elsewhere than its path says", "put the file where the module is");
    }
}

/// The top-level modules that a file names by `crate::…` or by enough `super::`s, and where.
fn root_paths(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in source.find("crate::") {
        collect_heads(&source.code[at + "crate::".len()..], at, &mut found);
    }
    for at in source.find("super::").into_iter().filter(|&at| !source.code[..at].ends_with("super::")) {
        let mut rest = &source.code[at..];
        let mut steps = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            (rest, steps) = (next, steps + 1);
        }
        if steps == source.module().len() + source.inline_depth(at) {
            collect_heads(rest, at, &mut found);
        }
    }
    found
}

/// The first name of the path in `rest`, or the first name of each branch of a `{…}` there.
fn collect_heads(rest: &str, at: usize, found: &mut Vec<(usize, String)>) {
    let head =
        |text: &str| text.trim_start().split(|c: char| !(c.is_alphanumeric() || c == '_')).next().map(str::to_owned);
    let Some(group) = rest.strip_prefix('{') else {
        return found.extend(head(rest).map(|name| (at, name)));
    };
    let mut depth = 1_usize;
    let mut branch = 0;
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            found.extend(head(&group[branch..index]).map(|name| (at, name)));
            branch = index + 1;
        }
        if depth == 0 {
            return;
        }
    }
}

/// What a floor promises not to do, it does not do; its unit tests may.
pub(crate) fn abstentions(source: &Source, report: &mut Report) {
    let mine = ABSTENTIONS.iter().filter(|(floor, ..)| source.floor() == Some(floor));
    for (floor, words, mend) in mine {
        for word in *words {
            for at in source.find(word).into_iter().filter(|&at| !source.is_test_code(at)) {
                report.at(source, at, format!("{word} on the {floor} floor"), mend);
            }
        }
    }
}

/// `unsafe` is in engine/sys, and forbidden by the compiler everywhere else. In sys, and in tests (which may need a
/// counting allocator), each block says why it is sound.
pub(crate) fn unsafe_code(source: &Source, report: &mut Report) {
    if !source.is_rust() {
        return;
    }
    let at_home = source.path.starts_with(UNSAFE_HOME);
    for at in source.find("unsafe") {
        if !at_home && source.path.starts_with("src/") {
            report.at(source, at, "unsafe outside engine/sys", "wrap the call in engine/sys and use it from here");
        } else if !has_safety_comment(source, at) {
            report.at(source, at, "unsafe without a reason", "say in a `SAFETY:` comment above why it is sound");
        }
    }
    let (attribute, mend) = match source.module()[..] {
        [] if source.path == "src/main.rs" => FORBID,
        // `forbid` here would reach engine/sys; `deny` can be lifted there.
        ["engine"] => ("#![deny(unsafe_code)]", "engine says deny, engine/sys allow, its other modules forbid"),
        ["engine", "sys", ..] => return,
        [_] | ["engine", _] => FORBID,
        _ => return,
    };
    if source.find(attribute).is_empty() {
        report.at(source, 0, format!("{attribute} is missing"), mend);
    }
}

const FORBID: (&str, &str) = ("#![forbid(unsafe_code)]", "put it below the module's comment");

/// Whether the statement with `unsafe` at `at` has a comment above or within it that says `SAFETY:` or, for an
/// `unsafe fn`, `# Safety`.
fn has_safety_comment(source: &Source, at: usize) -> bool {
    let own_line = source.line_of(at);
    let lines: Vec<_> = source.text.lines().zip(source.code.lines()).take(own_line).collect();
    for (index, (text, code)) in lines.iter().enumerate().rev() {
        let ends_another_statement = text.trim().is_empty() || code.trim_end().ends_with([';', '{', '}']);
        if index + 1 < own_line && ends_another_statement {
            return false;
        }
        if text.contains("SAFETY:") || text.contains("# Safety") {
            return true;
        }
    }
    false
}

/// Below the service floor nobody asks what time it is, but the engine once a batch.
pub(crate) fn clocks(source: &Source, report: &mut Report) {
    if !matches!(source.floor(), Some("wire" | "relay" | "policy" | "engine")) || source.path == CLOCK_FILE {
        return;
    }
    for clock in ["Instant::now", "SystemTime::now", "UNIX_EPOCH"] {
        for at in source.find(clock).into_iter().filter(|&at| !source.is_test_code(at)) {
            report.at(source, at, clock, format!("take `Now` as an argument; only {CLOCK_FILE} reads clocks"));
        }
    }
}

/// The relay floor's bounds and lifetimes are in one file, where they can be read together.
pub(crate) fn bounds(source: &Source, report: &mut Report) {
    const LIMITS: &str = "src/relay/limits.rs";
    if source.floor() != Some("relay") || source.path == LIMITS {
        return;
    }
    let mend = format!("name it in {LIMITS}");
    for at in source.find("const").into_iter().filter(|&at| !source.is_test_code(at)) {
        let name = source.code[at + "const".len()..].trim_start().split(':').next().unwrap_or_default();
        let is_bound = name.starts_with("MAX_")
            || ["_LIFETIME", "_LIMIT", "_REST", "_TIMEOUT"].iter().any(|ending| name.ends_with(ending));
        if is_bound {
            report.at(source, at, format!("{name} is a bound"), &mend);
        }
    }
    for from in ["from_secs(", "from_millis(", "from_mins(", "from_hours("] {
        for at in source.find(from).into_iter().filter(|&at| !source.is_test_code(at)) {
            if source.code[at + from.len()..].starts_with(|c: char| c.is_ascii_digit()) {
                report.at(source, at, "a time span in figures", &mend);
            }
        }
    }
}

/// What users read comes from the commands; the rest returns values or logs.
pub(crate) fn printing(source: &Source, report: &mut Report) {
    if !source.path.starts_with("src/") || source.path == "src/main.rs" || source.floor() == Some("cli") {
        return;
    }
    for print in ["print!", "println!", "eprint!", "eprintln!"] {
        for at in source.find(print).into_iter().filter(|&at| !source.is_test_code(at)) {
            report.at(source, at, format!("{print} outside cli"), "return it to the command, or log it with tracing");
        }
    }
}

#[test]
fn upward_uses_are_found() {
    assert_eq!(complaints(uses, "src/relay/a.rs", "use crate::wire::B;\nuse crate::policy::C;\n"), [2]);
    assert_eq!(complaints(uses, "src/relay/a.rs", "use crate::{\n    wire::{B, C},\n    engine::D,\n};\n"), [1]);
    assert_eq!(complaints(uses, "src/policy/a.rs", "fn b() {\n    crate::engine::c();\n}\n"), [2]);
    assert_eq!(complaints(uses, "src/policy/a/b.rs", "use super::super::super::config::C;\n"), [1]);
    assert_eq!(complaints(uses, "src/policy/a.rs", "mod b {\n    use super::super::super::engine::C;\n}\n"), [2]);
    assert_eq!(complaints(uses, "src/cellar/mod.rs", "fn a() {}\n"), [1]);
    assert_eq!(complaints(uses, "src/load/a.rs", "use crate::relay::B;\nuse crate::engine::C;\n"), [1, 2]);
    assert_eq!(complaints(uses, "src/probe/a.rs", "use crate::wire::B;\nuse crate::policy::C;\n"), [2]);
}

#[test]
fn downward_uses_and_prose_pass() {
    assert!(passes(uses, "src/cli/a.rs", "use crate::config::B;\n"));
    assert!(passes(uses, "src/load/a.rs", "use crate::engine::sys::epoll::Epoll;\nuse crate::wire::B;\n"));
    assert!(passes(uses, "src/relay/a.rs", "//! See [`crate::engine`].\nuse super::policy::B;\n"));
    assert!(passes(uses, "src/relay/mod.rs", "use crate::relay::addr::Family;\nuse self::engine::A;\n"));
    assert!(passes(uses, "tests/a.rs", "use turnkeep::engine::B;\n"));
}

#[test]
fn broken_promises_are_found() {
    assert_eq!(complaints(abstentions, "src/wire/a.rs", "fn b() -> Vec<u8> {\n    vec![]\n}\n"), [1, 2]);
    assert_eq!(complaints(abstentions, "src/relay/a.rs", "use std::sync::Mutex;\n"), [1]);
    assert!(passes(abstentions, "src/relay/a.rs", "use std::sync::Arc;\n"));
    assert!(passes(abstentions, "src/wire/a.rs", "#[cfg(test)]\nmod tests { fn b() -> Vec<u8> {} }\n"));
}

#[test]
fn unsafe_is_found_away_from_home() {
    let forbid = "#![forbid(unsafe_code)]\n";
    assert!(passes(unsafe_code, "src/relay/mod.rs", forbid));
    assert_eq!(complaints(unsafe_code, "src/relay/mod.rs", "\n"), [1]);
    assert_eq!(complaints(unsafe_code, "src/engine/mod.rs", forbid), [1]);
    assert_eq!(complaints(unsafe_code, "src/relay/a.rs", "// SAFETY: none\nunsafe { b() }\n"), [2]);
    assert!(passes(unsafe_code, "src/relay/a.rs", "// unsafe is not for us\n"));
}

#[test]
fn unsafe_needs_a_reason_at_home() {
    let path = "src/engine/sys/a.rs";
    assert_eq!(complaints(unsafe_code, path, "let a = unsafe { b() };\n"), [1]);
    assert!(passes(unsafe_code, path, "// SAFETY: b is plain\nlet a =\n    unsafe { b() };\n"));
    assert_eq!(complaints(unsafe_code, path, "// SAFETY: plain\nlet a = unsafe { b() };\nunsafe { c() };\n"), [3]);
    assert!(passes(unsafe_code, path, "/// # Safety\n/// Never.\npub unsafe fn a() {}\n"));
}

#[test]
fn clocks_are_found() {
    assert_eq!(complaints(clocks, "src/engine/worker.rs", "let a = std::time::Instant::now();\n"), [1]);
    assert!(passes(clocks, CLOCK_FILE, "let a = Instant::now();\n"));
    assert!(passes(clocks, "src/cli/a.rs", "let a = Instant::now();\n"));
}

#[test]
fn bounds_are_found() {
    assert_eq!(complaints(bounds, "src/relay/a.rs", "const MAX_B: u8 = 1;\nconst B: u8 = 1;\n"), [1]);
    assert_eq!(complaints(bounds, "src/relay/a.rs", "pub const B_LIFETIME: D = D::from_secs(5);\n"), [1, 1]);
    assert!(passes(bounds, "src/relay/a.rs", "let b = D::from_secs(seconds);\n"));
    assert!(passes(bounds, "src/relay/limits.rs", "pub const MAX_B: u8 = 1;\n"));
}

#[test]
fn printing_is_found() {
    assert_eq!(complaints(printing, "src/engine/a.rs", "println!();\neprint!();\n"), [1, 2]);
    assert!(passes(printing, "src/cli/a.rs", "println!();\n"));
    assert!(passes(printing, "src/engine/a.rs", "/// println!()\nmy_println!();\n"));
}
