//! The command line of the probe.

use std::process::{Command, Output};

fn turnkeep(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
    command.arg("probe").args(arguments).output().expect("the program runs")
}

#[test]
fn arguments_that_are_not_understood_exit_with_2_and_say_what_to_write() {
    for (arguments, words) in [
        (&["example.org"][..], "write it like turn:example.org"),
        (&["turn://example.org"], "no slashes in it"),
        (&["turn:2001:db8::1"], "in brackets: [2001:db8::1]"),
        (&["turn:h", "--user", "alice"], "--password"),
        (&["turn:h", "--secret", "a", "--secret-file", "b"], "cannot be used with"),
        (&["turn:h", "--may-reach", "10.0.0.0/33"], "write it like 10.0.0.0/8"),
        (&["turn:h", "--timeout", "1h"], "from 100ms to 1m"),
        (&["turn:h", "--negative=sometimes"], "near, always, never"),
        (&[], "<URI>"),
    ] {
        let output = turnkeep(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    for option in ["--secret-file", "--ca"] {
        let output = turnkeep(&["turn:127.0.0.1", option, "/nonexistent/file"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        assert!(stderr.contains("cannot read /nonexistent/file"), "{stderr}");
    }
}

/// What people read: headings, a line for each step, and how it ended.
#[test]
fn a_dead_port_is_a_fault_in_words() {
    let output = turnkeep(&["turn:127.0.0.1:9", "--timeout", "300ms"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("\n  127.0.0.1:9 over UDP\n  FAULT   binding "), "{text}");
    assert!(text.contains("connection refused"), "{text}");
    assert!(text.ends_with(" 0 skipped; sent 1 packets, 28 bytes\n"), "{text}");
}

#[test]
fn dtls_is_not_tested_and_says_so() {
    let output = turnkeep(&["turns:127.0.0.1?transport=udp"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("does not speak DTLS"));
}
