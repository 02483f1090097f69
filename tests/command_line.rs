//! The program's command line: what it prints, and how it exits.

#[path = "support/golden.rs"]
mod golden;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use golden::assert_golden;
use tempfile::TempDir;

fn turnkeep(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_turnkeep");
    Command::new(program).args(arguments).env_remove("TURNKEEP_LOG").output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn help_is_as_it_was() {
    for command in [
        "",
        "check",
        "config",
        "credential",
        "credential mint",
        "credential explain",
        "load",
        "load report",
        "plan",
        "probe",
        "serve",
        "version",
    ] {
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
    assert!(text(&output.stdout).ends_with("would start: 0 errors, 3 warnings, 0 notes\n"));
}

#[test]
fn check_of_a_missing_file_says_so() {
    let output = turnkeep(&["check", "/nonexistent/turnkeep.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let line = "/nonexistent/turnkeep.toml: error: is not there; name another, or begin with ";
    assert!(text(&output.stdout).starts_with(line));
}

#[test]
fn a_reader_that_stops_early_is_no_fault() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_turnkeep"))
        .args(["config", "schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

/// A relay's configuration with the secret of the test vectors beside it.
fn lab_relay() -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let secret = directory.path().join("k1");
    fs::write(&secret, "north\n").expect("a secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o400)).expect("a mode");
    let file = directory.path().join("turnkeep.toml");
    let text = "realm = 'example.org'\nlab = true\nlistener = []\n[[credentials.secret]]\nid = 'k1'\nfile = 'k1'\n";
    fs::write(&file, text).expect("a configuration");
    let file = file.to_str().expect("UTF-8").to_owned();
    (directory, file)
}

/// What `credential` with `arguments` prints, and how it exits.
fn credential(config: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let (first, rest) = arguments.split_first().expect("mint or explain");
    let output = turnkeep(&[&["credential", first, "--config", config], rest].concat());
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn what_is_minted_is_accepted() {
    let (_directory, config) = lab_relay();
    let (code, printed) = credential(&config, &["mint", "--user", "alice", "--ttl", "10m", "--json"]);
    assert_eq!(code, Some(0), "{printed}");
    let minted: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let [username, password] = ["username", "password"].map(|key| minted[key].as_str().expect("a string"));
    assert!(username.ends_with(":alice") && minted["ttl"] == 600, "{minted}");

    let (code, printed) = credential(&config, &["explain", username, password]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("password  right, under secret k1\naccepted  yes\n"), "{printed}");
    assert!(printed.contains("user      alice\n"), "{printed}");

    let (code, printed) = credential(&config, &["explain", username]);
    assert_eq!(code, Some(0));
    assert!(printed.ends_with("password  not given\naccepted  if the password is right\n"), "{printed}");
}

#[test]
fn a_refusal_is_explained() {
    let (_directory, config) = lab_relay();
    // The test vector, which expired on 2026-11-21.
    let vector = ["explain", "1795285900:u-7f3a9c", "/Nycdx7RO/Vda0x6wRpB04bvq5U="];
    let millis = ["explain", "1795285900000:u-7f3a9c"];
    let wrong = ["explain", "4000000000:u-7f3a9c", "AAAA"];
    let (_, printed) = credential(&config, &vector);
    assert!(printed.contains("password  right, under secret k1\n"), "{printed}");
    assert!(printed.contains("expiry    2026-11-21T18:31:40Z, "), "{printed}");
    for (arguments, refused) in [
        (&millis[..], "refused   expiry_in_milliseconds: "),
        (&wrong, "refused   wrong_password: "),
        (&wrong, "refused   expiry_too_far: "),
        (&["explain", "alice:1795285900"], "refused   timestamp_on_wrong_side: "),
        (&["explain", "alice"], "refused   unknown_user: "),
    ] {
        let (code, printed) = credential(&config, arguments);
        assert_eq!(code, Some(1), "{printed}");
        assert!(printed.contains(refused), "{printed}");
    }
}

#[test]
fn a_password_is_read_from_standard_input() {
    let (_directory, config) = lab_relay();
    let mut child = Command::new(env!("CARGO_BIN_EXE_turnkeep"))
        .args(["credential", "explain", "--config", &config, "1795285900:u-7f3a9c", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    child.stdin.take().expect("a pipe").write_all(b"/Nycdx7RO/Vda0x6wRpB04bvq5U=\n").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(text(&output.stdout).contains("password  right, under secret k1\n"));
}

#[test]
fn what_cannot_be_minted_is_said() {
    let (_directory, config) = lab_relay();
    for (arguments, sentence) in [
        (
            &["mint", "--user", "alice", "--ttl", "3d"][..],
            "turnkeep: error: The credential would live longer than max_ttl",
        ),
        (
            &["mint", "--user", "alice", "--secret-id", "k2"],
            "turnkeep: error: No secret is live under that id; configured are: k1",
        ),
        (&["mint", "--user", "alice", "--session", "a b"], "turnkeep: error: The session is empty, or has another"),
        (&["mint", "--user", "\u{e4}"], "turnkeep: error: The user id has a character that is not printable ASCII"),
        (&["mint", "--user", ""], "turnkeep: error: The user id is empty"),
    ] {
        let (code, printed) = credential(&config, arguments);
        assert_eq!(code, Some(1));
        assert!(printed.starts_with(sentence), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
    }
}
