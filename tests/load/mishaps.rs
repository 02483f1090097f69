//! What goes wrong in practice: no server, another server, one that dies, a result that cannot be written.

use std::net::UdpSocket;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::rig::Rig;
use crate::support::program::{Program, wait_for};

const BRIEF: &str = "--duration 1s --warmup 0s --allocations 4 --rate 200";

/// Loads `target` with a user that nobody knows.
fn load(target: &str, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
    command.args(["load", target, "--user", "u", "--password", "p"]).args(arguments.split_whitespace());
    command.output().expect("the program runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_host_without_a_server_is_not_waited_for() {
    let target = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("it is bound").to_string();
    let begun = Instant::now();
    let output = load(&target, BRIEF);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains(&format!("nothing listens at UDP {target}")), "{}", told(&output));
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1500), "it might have been starting: {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn what_answers_without_being_a_turn_server_is_said_so() {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
    server.set_read_timeout(Some(Duration::from_millis(50))).expect("an option");
    let target = server.local_addr().expect("it is bound").to_string();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let thread = thread::spawn(move || {
        let mut buffer = [0; 2048];
        while !flag.load(Ordering::Relaxed) {
            if let Ok((_, from)) = server.recv_from(&mut buffer) {
                // Loopback takes it.
                let _ = server.send_to(b"\xFFno such command", from);
            }
        }
    });
    let output = load(&target, "--profile churn --duration 1s --allocations 4 --rate 20");
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("it did not panic");
    let told = told(&output);
    assert!(told.contains(&format!("datagrams came from {target} that are no answers in STUN")), "{told}");
}

#[test]
fn what_cannot_be_written_is_said_before_the_run() {
    let rig = Rig::new();
    let begun = Instant::now();
    for arguments in ["--json missing/result.json", "--report /proc/report.html"] {
        let output = load(&rig.target(), &format!("--duration 60s {arguments}"));
        assert_eq!(output.status.code(), Some(1));
        let file = arguments.split(' ').nth(1).expect("a file");
        assert!(told(&output).contains(&format!("cannot write {file}: ")), "{}", told(&output));
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
    let output = load(&rig.target(), "--duration 60s --json same --report ./same");
    assert!(told(&output).contains("overwrite each other"), "{}", told(&output));
}

#[test]
fn a_report_can_go_to_standard_output() {
    let rig = Rig::new();
    let output = rig.run(&rig.target(), &format!("{BRIEF} --report -"));
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page:.100}");
    assert_eq!(rig.result().plan.allocations, 4);
}

#[test]
fn the_cpu_of_a_server_that_died_is_not_measured() {
    let rig = Rig::new();
    let pid = rig.program.id();
    let arguments = format!("--duration 4s --warmup 0s --allocations 4 --rate 200 --server-pid {pid}");
    let mut command = rig.command(&rig.target(), &format!("{arguments} --fail-if cpu>1s --fail-if cpu-share>9000%"));
    command.stdin(std::process::Stdio::null());
    let directory = rig.relay.path(".");
    let mut load = Program::start(command, directory.as_ref());
    let audit = rig.relay.path("audit.jsonl");
    let allocated = || std::fs::read_to_string(&audit).is_ok_and(|audit| audit.matches("allocation.open").count() >= 4);
    wait_for(Duration::from_secs(10), || allocated().then_some(()));
    thread::sleep(Duration::from_millis(1300));
    rig.program.signal("KILL");
    let status = wait_for(Duration::from_secs(30), || load.ended()).expect("it ends soon");
    let told = load.output();
    assert_eq!(status.code(), Some(3), "{told}");
    assert!(
        told.contains(&format!("Process {pid} ended ")) && told.contains("cpu>1s: FAILED (not measured)"),
        "{told}"
    );
    assert!(
        told.contains("cpu-share>9000%: FAILED (not measured)") && told.contains("Nothing arrived after "),
        "{told}"
    );
    assert_eq!(rig.result().server, None);
}

#[test]
fn a_process_that_is_not_the_server_is_suspected() {
    let rig = Rig::new();
    let mut idle = Command::new("sleep").arg("60").spawn().expect("sleep runs");
    let output = rig.run(&rig.target(), &format!("{BRIEF} --fail-if cpu>1s --server-pid {}", idle.id()));
    idle.kill().expect("it runs");
    idle.wait().expect("it ends");
    assert_eq!(output.status.code(), Some(3));
    assert!(told(&output).contains("used no CPU while the server worked"), "{}", told(&output));
    // This test works, and is not the server.
    let output = rig.run(&rig.target(), &format!("{BRIEF} --server-pid {}", std::process::id()));
    assert!(told(&output).contains("is that the server?"), "{}", told(&output));
}
