//! How the command ends, and what it refuses.

use std::process::Stdio;
use std::time::Duration;

use turnkeep::load::result::Ended;

use crate::rig::{Rig, direction};
use crate::support::program::{Program, wait_for};

const BRIEF: &str = "--duration 1s --warmup 0s --allocations 4 --rate 200";

#[test]
fn a_condition_that_holds_sets_the_exit_code() {
    let rig = Rig::new();
    let ends = |condition: &str| {
        let output = rig.run(&rig.target(), &format!("{BRIEF} --fail-if {condition}"));
        (output.status.code(), rig.result().thresholds)
    };
    let (code, judged) = ends("loss>50%");
    assert_eq!((code, judged[0].failed), (Some(0), false));
    let (code, judged) = ends("p50>0us");
    assert_eq!((code, judged[0].failed, judged[0].condition.as_str()), (Some(3), true, "p50>0us"));
    let output = rig.run(&rig.target(), "--fail-if loss>1");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("such as 0.1%"));
}

/// The first of two steps is the one that fails.
#[test]
fn a_condition_is_judged_at_every_step() {
    let rig = Rig::new();
    let arguments = "--duration 500ms --warmup 0s --allocations 4 --steps 200,400 --fail-if rate<300 --fail-if rate>9k";
    let output = rig.run(&rig.target(), arguments);
    assert_eq!(output.status.code(), Some(3));
    let judged: Vec<_> = rig.result().thresholds.into_iter().map(|judged| (judged.failed, judged.place)).collect();
    assert_eq!(judged, [(true, Some("at 200/s".into())), (false, Some("at 400/s".into()))]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("at 200/s"));
}

#[test]
fn far_hosts_are_not_loaded_by_accident() {
    let rig = Rig::new();
    let output = rig.run("192.0.2.1:3478", BRIEF);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--i-may-load-this-host"));
}

#[test]
fn wrong_credentials_leave_nothing_to_measure() {
    let rig = Rig::new();
    rig.relay.write("wrong", "0123456789abcdef0123456789abcdef", 0o400);
    let mut command = rig.command(&rig.target(), BRIEF);
    let wrong = rig.relay.path("wrong");
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let right = rig.relay.path("k1");
    let replaced = arguments.iter().map(|argument| if *argument == right { wrong.clone() } else { argument.clone() });
    let program = command.get_program().to_owned();
    command = std::process::Command::new(program);
    let output = command.args(replaced).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("allocate 401 (4 times): Unauthenticated"));
    let result = rig.result();
    assert_eq!((result.ended, result.setup.failed), (Ended::SetupFailed, 4));
}

#[test]
fn an_interrupt_ends_it_with_what_is_known() {
    let rig = Rig::new();
    let arguments = "--duration 60s --warmup 0s --allocations 4 --rate 200 --fail-if loss>50%";
    let mut command = rig.command(&rig.target(), arguments);
    command.stdin(Stdio::null());
    let directory = rig.relay.path(".");
    let mut program = Program::start(command, directory.as_ref());
    let before = rig.relay.path("audit.jsonl");
    let allocated =
        || std::fs::read_to_string(&before).is_ok_and(|audit| audit.matches("allocation.open").count() >= 4);
    wait_for(Duration::from_secs(10), || allocated().then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    program.signal("INT");
    let status = wait_for(Duration::from_secs(10), || program.ended()).expect("it ends soon");
    assert_eq!(status.code(), Some(4), "{}", program.output());
    let result = rig.result();
    assert_eq!((result.ended, result.setup.steps["free"].count), (Ended::Interrupted, 4));
    let up = direction(&result, "up");
    assert!(
        up.sent < 6000 && up.scheduled == Some(up.sent + up.not_sent),
        "what comes after it is not missing: {up:?}"
    );
}

#[test]
fn how_it_goes_is_told_unless_nobody_wants_to_know() {
    let rig = Rig::new();
    let told = |arguments: &str| {
        let output =
            rig.run(&rig.target(), &format!("--duration 6s --warmup 0s --allocations 4 --rate 200 {arguments}"));
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let lines = told("");
    assert!(lines.contains("traffic") && lines.contains("% lost"), "{lines}");
    assert!(lines.lines().count() <= 2 && !lines.contains('\x1b'), "no terminal: {lines}");
    assert_eq!(told("--quiet"), "");
}

/// In place, and nothing of the terminal is changed that a Ctrl-C would have to restore.
#[test]
fn a_terminal_shows_it_in_place() {
    let Some(script) = crate::support::program::find("script") else { return };
    let rig = Rig::new();
    let command = rig.command(&rig.target(), "--duration 3s --warmup 0s --allocations 4 --rate 200");
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let output = std::process::Command::new(script)
        .args(["-qec", &words.join(" "), "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .expect("script runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("█") && shown.contains("p50") && shown.contains("F\x1b[J"), "{shown}");
    assert!(!shown.contains("\x1b[?"), "a mode was set: {shown:?}");
    let (_, last) = shown.rsplit_once("\x1b[J").expect("the view is taken away");
    assert!(last.starts_with("raw both on"), "{last}");
}
