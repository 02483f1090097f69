//! The program without arguments: a relay to try out, whose instructions work as they are printed.

#[path = "engine/namespace.rs"]
mod namespace;
mod support;

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use namespace::with_addresses;
use support::program::{Program, find, say, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);

fn try_out(directory: &Path) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
    command.env_remove("TURNKEEP_LOG").env("TMPDIR", directory);
    Program::start(command, directory)
}

/// The line of `output` below the one that begins with `head`.
fn below<'o>(output: &'o str, head: &str) -> &'o str {
    let mut lines = output.lines().skip_while(|line| !line.starts_with(head)).skip(1).filter(|line| !line.is_empty());
    lines.next().unwrap_or_else(|| panic!("nothing below {head:?} in\n{output}")).trim()
}

#[test]
fn what_it_prints_works() {
    // In a network of its own nobody else has the port.
    if !with_addresses(&[], try_what_it_prints) {
        try_what_it_prints();
    }
}

fn try_what_it_prints() {
    // Another program's relay may have the port; then the line that says so is what is to be seen.
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 3478)).is_ok();
    let directory = tempfile::tempdir().expect("a directory");
    let mut program = try_out(directory.path());
    let up = wait_for(PATIENCE, || {
        let is_told = program.output().contains("turnkeep serve --config turnkeep.toml\n");
        program.ended().map(|_| false).or(is_told.then_some(true))
    });
    if up != Some(true) {
        assert!(!free, "{}", program.output());
        assert_port_in_use(program, directory.path());
        return say("SKIPPED: another program listens on port 3478, so the try-out could only be seen to say so");
    }

    let output = program.output();
    let json = &output[output.find("{\n").expect("JSON")..=output.find("\n}\n").expect("its end") + 1];
    let ice: serde_json::Value = serde_json::from_str(json).expect("what RTCPeerConnection takes");
    assert_eq!(ice["iceServers"][0]["urls"][0], "turn:127.0.0.1:3478?transport=udp");
    assert!(ice["iceServers"][0]["username"].as_str().is_some_and(|name| name.ends_with(":try-out")));

    // As it is printed, and with channels as the client does without `-s`: it picks their numbers at random.
    let command = below(&output, "Or with coturn's client");
    let with_channels = command.replace(" -s ", " ");
    for command in [command, command, &with_channels] {
        let ours = tempfile::tempdir().expect("a directory");
        assert_relays(command, ours.path());
    }
    assert_loads(below(&output, "With -t behind its name"), directory.path());
    assert_private(Path::new(below(&output, "addresses, which a real relay must never do")));
    assert_port_in_use(try_out(directory.path()), directory.path());

    // It goes with its terminal.
    program.signal("HUP");
    let status = wait_for(PATIENCE, || program.ended()).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", program.output());
    let audit = Path::new(below(&output, "addresses, which a real relay must never do"));
    assert!(audit.exists() && !audit.with_file_name("secret").exists(), "its secret is gone");
}

/// Runs a command of coturn's client.
fn assert_relays(command: &str, directory: &Path) {
    let mut words = command.split(' ');
    let Some(program) = find(words.next().expect("a program")) else { return };
    let mut command = Command::new(program);
    command.args(words);
    let output = Program::start(command, directory).finish(PATIENCE).output;
    assert!(output.contains("Total lost packets 0 (0.000000%)"), "{output}");
    assert!(output.contains("tot_send_msgs=10, tot_recv_msgs=10"), "{output}");
}

/// Runs the load tester's command, for a shorter time.
fn assert_loads(command: &str, directory: &Path) {
    let words = command.strip_prefix("turnkeep ").expect("our own program").split(' ');
    let brief = "--duration 1s --warmup 0s --allocations 2 --rate 50 --quiet";
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
    command.current_dir(directory).args(words).args(brief.split(' '));
    let output = command.output().expect("the program runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("2 of 2"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

/// Nobody else can read the audit file, which has a record already.
fn assert_private(audit: &Path) {
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(audit), mode(audit.parent().expect("a directory"))), (0o600, 0o700));
    assert_eq!(mode(&audit.with_file_name("secret")), 0o600);
    assert!(fs::read_to_string(audit).expect("text").starts_with("{\"boot_id\":"));
}

/// It ends with one line that names the port and the mend, and leaves no directory behind.
fn assert_port_in_use(program: Program, directory: &Path) {
    let before = directories(directory);
    let finished = program.finish(PATIENCE);
    assert_eq!(finished.status.code(), Some(1));
    let line = "turnkeep: error: cannot listen on 127.0.0.1:3478: the address is in use; ";
    assert_eq!(finished.output.matches(line).count(), 1, "{}", finished.output);
    assert!(directories(directory).len() <= before.len());
}

fn directories(within: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(within).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.is_dir()).collect()
}
