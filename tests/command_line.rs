//! The program's command line: what it prints, and how it exits.

#[path = "support/golden.rs"]
mod golden;

use std::fs;
use std::process::{Command, Output};

use golden::assert_golden;

fn turnkeep(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_turnkeep");
    Command::new(program).args(arguments).env_remove("TURNKEEP_LOG").output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn help_is_as_it_was() {
    for command in ["", "check", "config"] {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let output = turnkeep(&words);
        assert!(output.status.success(), "{command}");
        let name = if command.is_empty() { "turnkeep".to_owned() } else { command.replace(' ', "-") };
        assert_golden(&format!("tests/golden/help/{name}.txt"), &text(&output.stdout));
    }
}

#[test]
fn arguments_that_are_not_understood_exit_with_2() {
    for arguments in [&["frobnicate"][..], &["check"], &["config", "nothing"], &["check", "--colour", "a"]] {
        let output = turnkeep(arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{arguments:?}");
    }
}

#[test]
fn version_names_no_place() {
    let output = turnkeep(&["version"]);
    let printed = text(&output.stdout);
    assert!(output.status.success());
    assert!(printed.starts_with(concat!("turnkeep ", env!("CARGO_PKG_VERSION"), "\n")), "{printed}");
    assert!(!printed.contains('/'), "{printed}");
}

#[test]
fn check_prints_findings_with_their_places_and_exits_with_1() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bad.toml");
    fs::write(&file, "relm = \"a\"\nworkers = -1\n[[listener]]\naddress = \"0.0.0.0:3478x\"\n").expect("a file");
    let output = turnkeep(&["check", file.to_str().expect("UTF-8")]);
    let expected = [
        "1: error: unknown key \"relm\" at the top level; did you mean \"realm\"?",
        "2: error: workers: -1 is out of range; allowed is a whole number from 0 to 256",
        "4: error: listener.address: \"0.0.0.0:3478x\" is no address with a port; allowed is an address and a port \
         from 1 to 65535, such as \"0.0.0.0:3478\" or \"[2001:db8::5]:3478\"",
    ];
    let place = file.display();
    let lines: String = expected.iter().map(|line| format!("{place}:{line}\n")).collect();
    assert_eq!(text(&output.stdout), format!("{lines}\nwould not start: 3 errors, 0 warnings, 0 notes\n"));
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), String::new()));
}

#[test]
fn check_of_a_good_text_exits_with_0() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/dmz.toml");
    let output = turnkeep(&["check", "--text-only", example]);
    assert!(output.status.success());
    assert!(text(&output.stdout).ends_with("would start: 0 errors, 2 warnings, 0 notes\n"));
}

#[test]
fn check_of_a_missing_file_says_so() {
    let output = turnkeep(&["check", "/nonexistent/turnkeep.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let line = "/nonexistent/turnkeep.toml: error: cannot be read: No such file or directory (os error 2)\n";
    assert!(text(&output.stdout).starts_with(line));
}

#[test]
fn a_reader_that_stops_early_is_no_fault() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_turnkeep"))
        .args(["config", "schema"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}
