//! The machine and the versions, for the head of the results.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::server::{Programs, Server, ServerKind};

/// (what, how it is) of the machine.
pub(crate) fn machine() -> Vec<(&'static str, String)> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_field(&cpu, "model name").unwrap_or("unknown").to_owned();
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let guest = if cpu.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor")) {
        ", a guest of a hypervisor"
    } else {
        ""
    };
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let gib = crate::process::field(&memory, "MemTotal:").unwrap_or_default() / 1024.0 / 1024.0;
    let sysctl = |path: &str| fs::read_to_string(format!("/proc/sys/net/core/{path}")).unwrap_or_default();
    vec![
        ("processor", format!("{model}, {cores} cores{guest}")),
        ("memory", format!("{gib:.0} GiB")),
        ("kernel", format!("Linux {}", first_line("/proc/sys/kernel/osrelease"))),
        ("network", "loopback: no driver, no wire; delivery into the receiver's socket is in the sender's time".into()),
        ("buffers", format!("net.core.rmem_max {}, wmem_max {}", sysctl("rmem_max").trim(), sysctl("wmem_max").trim())),
        ("compiler", said("rustc", &["--version"])),
    ]
}

/// The version of `server`.
pub(crate) fn version(server: &Server, programs: &Programs) -> String {
    match &server.kind {
        ServerKind::Turnkeep { program, .. } => {
            let version = said(&program.to_string_lossy(), &["--version"]);
            // Another build says itself what it is, by its name.
            let is_this = *program == programs.turnkeep;
            if is_this {
                format!("{version}, commit {}", commit(programs))
            } else {
                format!("{version}, another build")
            }
        }
        ServerKind::Coturn { .. } => debian("coturn"),
        ServerKind::TurnCrate => {
            let version = locked(include_str!("../Cargo.lock"), "turn").unwrap_or("unknown");
            format!("crate turn {version} (webrtc-rs)")
        }
        ServerKind::Pion => format!("{}; {}", debian("golang-github-pion-turn.v2-dev"), said("go", &["version"])),
        ServerKind::TurnServer => said(&server.program(programs).to_string_lossy(), &["--version"]),
        ServerKind::Forwarder(_) => "benches/race/forwarder".into(),
    }
}

/// The commit that turnkeep and the load generator were built from, as scripts/race wrote it down when it built them.
pub(crate) fn commit(programs: &Programs) -> String {
    match first_line(programs.directory.join("commit")) {
        line if line.is_empty() => "unknown".into(),
        line => line,
    }
}

/// The day and the minute of a time in seconds since 1970.
pub(crate) fn time(seconds: u64) -> String {
    said("date", &["--utc", "--date", &format!("@{seconds}"), "+%Y-%m-%d %H:%M"])
}

fn cpu_field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find(|line| line.starts_with(name))?.split_once(':').map(|(_, value)| value.trim())
}

fn debian(package: &str) -> String {
    let version = said("dpkg-query", &["--show", "--showformat=${Version}", package]);
    format!("Debian's {package} {version}")
}

/// The version of `name` in a Cargo.lock.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = lock.lines();
    lines.find(|line| *line == format!("name = \"{name}\""))?;
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

fn first_line(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

/// The first line that a program writes.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().map_or_else(|| "unknown".into(), |line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_lock_file() {
        let lock =
            "[[package]]\nname = \"turnip\"\nversion = \"9\"\n\n[[package]]\nname = \"turn\"\nversion = \"0.17.2\"\n";
        assert_eq!(locked(lock, "turn"), Some("0.17.2"));
        assert_eq!(locked(lock, "tur"), None);
    }

    #[test]
    fn the_machine_is_described() {
        let facts = machine();
        assert!(facts.iter().any(|(what, how)| *what == "kernel" && how.starts_with("Linux ")), "{facts:?}");
        assert!(facts.iter().all(|(_, how)| !how.is_empty() && !how.contains('\n')));
    }
}
