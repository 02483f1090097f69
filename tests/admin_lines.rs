//! What goes wrong for an admin, with the real program: each gives the client the right answer and the admin one clear
//! line.

#[path = "support/relay.rs"]
mod relay;
#[path = "sans_io/mod.rs"]
mod sans_io;
mod support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use relay::{Client, PATIENCE, Relay};
use support::credential::{Credential, SECRET};
use support::program::{Finished, Program, wait_for};
use turnkeep::wire::attribute::{Lifetime, XorPeerAddress};
use turnkeep::wire::header::Method;

/// The one line of the program's that names `client`, once it is there.
#[track_caller]
fn line_about(program: &Program, client: SocketAddr) -> String {
    let client = format!("client={client} ");
    wait_for(PATIENCE, || program.output().contains(&client).then_some(()));
    let output = program.output();
    let lines: Vec<&str> = output.lines().filter(|line| line.contains(&client)).collect();
    let [line] = lines.as_slice() else { panic!("{} lines about {client}in\n{output}", lines.len()) };
    assert!(line.contains(" WARN "), "{line}");
    (*line).to_owned()
}

/// A credential for `user` with any number in front, signed with the shared secret.
fn with_expiry(expiry: u64, user: &str) -> Credential {
    Credential::signed(&format!("{expiry}:{user}"))
}

fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").as_secs()
}

#[test]
fn a_refused_client_gets_the_code_and_the_admin_the_reason() {
    let relay = Relay::new();
    let mut program = relay.serve_until_ready("");

    for (credential, reason) in [
        (Credential::forged("mallory"), "wrong_password"),
        (with_expiry(now_unix() - 3600, "late"), "expired"),
        (with_expiry((now_unix() + 3600) * 1000, "millis"), "expiry_in_milliseconds"),
        (with_expiry(now_unix() + 365 * 86_400, "forever"), "expiry_too_far"),
    ] {
        let mut client = Client::new(&relay, &credential);
        assert_eq!(client.allocate(), 401, "{reason}");
        let line = line_about(&program, client.address());
        assert!(line.contains(&format!("reason=\"{reason}\"")) && line.contains("refused with 401"), "{line}");
        assert!(!line.contains(&credential.password), "{line}");
    }

    let mut alice = Client::new(&relay, &Credential::of("alice"));
    assert_eq!(alice.allocate(), 0);
    let mut again = Client::new(&relay, &Credential::of("alice"));
    assert_eq!(again.allocate(), 486);
    let line = line_about(&program, again.address());
    assert!(line.contains("refused with 486") && line.contains("rule=\"limit.allocations_per_user\""), "{line}");
    assert!(line.contains("user=\"alice\""), "{line}");

    let mut bob = Client::new(&relay, &Credential::of("bob"));
    assert_eq!(bob.allocate(), 508, "the only port is alice's");
    let line = line_about(&program, bob.address());
    assert!(line.contains("refused with 508") && line.contains("reason=\"capacity_exhausted\""), "{line}");

    let denied = XorPeerAddress("10.1.2.3:5000".parse().expect("an address"));
    assert_eq!(alice.ask(Method::CREATE_PERMISSION, &[&denied]), 403);
    let line = line_about(&program, alice.address());
    assert!(line.contains("refused with 403") && line.contains("rule=\"no-tens\""), "{line}");

    assert_eq!(program.stop().and_then(|status| status.code()), Some(0), "{}", program.output());
    let audit = fs::read_to_string(relay.path("audit.jsonl")).expect("an audit file");
    for event in
        ["auth.fail", "allocation.open", "allocation.deny", "permission.deny", "allocation.close", "audit.stop"]
    {
        assert!(audit.contains(&format!("\"event\":\"{event}\"")), "{event} is not in\n{audit}");
    }
}

#[test]
fn a_147_no_secret_is_told_at_any_level() {
    let relay = Relay::new();
    let program = relay.serve_until_ready("trace");
    let credentials = [Credential::of("alice"), Credential::forged("mallory"), with_expiry(1, "late")];
    for credential in &credentials {
        Client::new(&relay, credential).allocate();
    }
    wait_for(PATIENCE, || program.output().contains("reason=\"expired\"").then_some(())).expect("the last refusal");
    let mut program = program;
    program.stop();
    let told = program.output() + &fs::read_to_string(relay.path("audit.jsonl")).expect("an audit file");
    assert!(told.contains("allocation opened"), "nothing was told at that level:\n{told}");
    assert!(!told.contains(SECRET));
    for credential in credentials {
        assert!(!told.contains(&credential.password), "{} is in\n{told}", credential.password);
    }
}

#[test]
fn the_log_is_json_where_a_program_reads_it() {
    let relay = Relay::new().replaced("[audit]", "[log]\nformat = 'json'\n[audit]");
    let mut program = relay.serve_until_ready("");
    let mut mallory = Client::new(&relay, &Credential::forged("mallory"));
    assert_eq!(mallory.allocate(), 401);
    wait_for(PATIENCE, || program.output().contains("wrong_password").then_some(())).expect("a line about it");
    program.stop();
    let lines: Vec<serde_json::Value> =
        program.output().lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect();
    let refusal = lines.iter().find(|line| line["reason"] == "wrong_password").expect("the refusal");
    assert_eq!(refusal["client"], mallory.address().to_string());
    assert_eq!(refusal["level"], "WARN");

    // What ends the start is read by the same program.
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let listener = format!("127.0.0.1:{}", relay.port);
    let Finished { status, output } = relay.replaced(&listener, &address).serve().finish(PATIENCE);
    assert_eq!(status.code(), Some(1));
    let last = output.lines().last().expect("a line");
    let last: serde_json::Value = serde_json::from_str(last).expect("a JSON object");
    assert!(last["level"] == "ERROR" && last["message"].as_str().is_some_and(|text| text.contains(&address)), "{last}");
}

#[test]
fn a_level_keeps_the_rest_quiet() {
    let relay = Relay::new().replaced("[audit]", "[log]\nlevel = 'error'\n[audit]");
    let mut program = relay.serve();
    wait_for(PATIENCE, || relay.is_up().then_some(())).expect("it answers");
    let mut mallory = Client::new(&relay, &Credential::forged("mallory"));
    assert_eq!(mallory.allocate(), 401);
    assert_eq!(program.stop().and_then(|status| status.code()), Some(0));
    assert_eq!(program.output(), "");
}

#[test]
fn a_service_outlives_a_hang_up_and_ends_on_an_interrupt() {
    let relay = Relay::new();
    let mut program = relay.serve_until_ready("");
    program.signal("HUP");
    wait_for(PATIENCE, || program.output().contains(" WARN SIGHUP: ").then_some(())).expect("a line about it");
    assert!(relay.is_up());
    // Other daemons take these for a hint to reopen their logs; whoever sends one must not end calls.
    for name in ["USR1", "USR2"] {
        program.signal(name);
        let line = format!(" WARN SIG{name}: ");
        wait_for(PATIENCE, || program.output().contains(&line).then_some(())).expect("a line about it");
    }
    assert!(relay.is_up());
    program.signal("INT");
    let status = wait_for(PATIENCE, || program.ended()).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", program.output());
}

#[test]
fn a_signal_during_the_start_ends_it_cleanly() {
    // So many workers take a while to start.
    let relay = Relay::new().replaced("workers = 1", "workers = 64");
    let mut program = relay.serve();
    while !fs::exists(relay.path("audit.jsonl")).expect("a directory") {
        assert!(program.ended().is_none(), "{}", program.output());
    }
    program.signal("TERM");
    let status = wait_for(PATIENCE, || program.ended()).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", program.output());
    assert!(program.output().contains(" INFO SIGTERM: stopping"), "{}", program.output());
}

#[test]
fn the_trail_goes_on_where_its_file_is_moved_away() {
    let relay = Relay::new();
    let mut program = relay.serve_until_ready("");
    let mut alice = Client::new(&relay, &Credential::of("alice"));
    let first_of_new = || {
        let text = fs::read_to_string(relay.path("audit.jsonl")).unwrap_or_default();
        text.lines().next().map(|line| line.contains("\"event\":\"audit.rotate\""))
    };
    fs::rename(relay.path("audit.jsonl"), relay.path("audit.jsonl.1")).expect("a file");
    program.signal("HUP");
    assert_eq!(wait_for(PATIENCE, first_of_new), Some(true), "at once where it is told to");

    // Otherwise with the next record, unless it has looked less than a second ago.
    thread::sleep(Duration::from_millis(1100));
    fs::rename(relay.path("audit.jsonl"), relay.path("audit.jsonl.2")).expect("a file");
    assert_eq!(alice.allocate(), 0);
    assert_eq!(wait_for(PATIENCE, first_of_new), Some(true));

    thread::sleep(Duration::from_millis(1100));
    fs::remove_file(relay.path("audit.jsonl")).expect("a file");
    assert_eq!(alice.ask(Method::REFRESH, &[&Lifetime(0)]), 0);
    let told = || program.output().contains(" ERROR the audit file was deleted").then_some(());
    wait_for(PATIENCE, told).expect("a line about it");
    assert_eq!(program.stop().and_then(|status| status.code()), Some(0), "{}", program.output());
    assert_eq!(program.output().matches(" INFO the audit file was moved away").count(), 2);
}

#[test]
fn a_trail_that_is_switched_off_is_warned_of() {
    let relay = Relay::new().replaced("path = 'audit.jsonl'", "enabled = false");
    let mut program = relay.serve_until_ready("");
    let mut alice = Client::new(&relay, &Credential::of("alice"));
    assert_eq!(alice.allocate(), 0);
    assert_eq!(program.stop().and_then(|status| status.code()), Some(0));
    assert!(program.output().contains(" WARN audit.enabled: nothing will be recorded"), "{}", program.output());
    assert!(!fs::exists(relay.path("audit.jsonl")).expect("a directory"));
}

#[test]
fn relative_paths_start_at_the_configuration() {
    let relay = Relay::new();
    let mut program = relay.serve_from_its_directory();
    let ready = wait_for(PATIENCE, || program.output().contains("ready").then_some(()));
    assert!(ready.is_some(), "{}", program.output());
    assert_eq!(program.stop().and_then(|status| status.code()), Some(0));
    assert!(fs::exists(relay.path("audit.jsonl")).expect("a directory"));
}

#[test]
fn a_mistyped_key_is_named_with_its_line() {
    let relay = Relay::new().replaced("allocations_per_user", "allocation_per_user");
    relay.fails(
        "turnkeep.toml:19: error: unknown key \"allocation_per_user\" in [limits]; did you mean \
         \"allocations_per_user\"?",
    );
}

#[test]
fn an_audit_file_that_cannot_be_written_is_named() {
    Relay::new()
        .replaced("audit.jsonl", "/dev/full")
        .fails("The audit file /dev/full cannot be written: its file system is full; make room on it");
    Relay::new().replaced("audit.jsonl", "none/audit.jsonl").fails("none is not there; make it: mkdir -p ");
    let relay = Relay::new().replaced("audit.jsonl", "k1");
    relay.fails("cannot be written: it ends in something that is no audit record");
}

#[test]
fn a_port_in_use_is_named() {
    let relay = Relay::new();
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = taken.local_addr().expect("it is bound");
    let listener = format!("127.0.0.1:{}", relay.port);
    let relay = relay.replaced(&listener, &address.to_string());
    relay.fails(&format!("turnkeep: error: cannot listen on {address}: the address is in use"));
    let audit = fs::read_to_string(relay.path("audit.jsonl")).expect("an audit file");
    assert!(audit.lines().last().is_some_and(|line| line.contains("\"event\":\"audit.stop\"")), "{audit}");
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let relay = Relay::new();
    relay.write("k1", SECRET, 0o644);
    let path = relay.path("k1");
    relay.fails(&format!(
        "error: credentials.secret.file: {path} is open to everybody (mode 0644); close it: chmod 0400 {path}"
    ));
}

#[test]
fn an_address_of_another_host_is_refused() {
    Relay::new()
        .replaced("bind = '127.0.0.1'", "bind = '8.8.8.8'")
        .fails("error: relay.address.bind: 8.8.8.8 is not an address of this host; did you mean advertise?");
}

#[test]
fn filters_that_are_none_are_named() {
    let Finished { status, output } = Relay::new().serve_with("turnkeep=loud").finish(PATIENCE);
    assert_eq!(status.code(), Some(1));
    assert!(output.starts_with("turnkeep: error: TURNKEEP_LOG is not understood") && output.lines().count() == 1);
}
