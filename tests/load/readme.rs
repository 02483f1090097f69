//! What the README tells load testers to run does run.

use std::process::Command;

use turnkeep::load::read::from_json;

use crate::document::sample;
use crate::rig::Rig;

/// The lines with the relay's address in place of the README's, and a shorter time.
#[test]
fn the_commands_for_load_testers_run() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let (_, section) = readme.split_once("## For load testers\n").expect("its section");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let commands: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("    turnkeep ")).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    let rig = Rig::new();
    std::fs::copy(rig.relay.path("k1"), rig.relay.path("secret")).expect("a copy");
    for line in commands {
        let mut words: Vec<_> = line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect();
        if let Some(target) = words.iter_mut().find(|word| *word == "127.0.0.1") {
            *target = rig.target();
            let brief = "--duration 100ms --warmup 0s --allocations 4";
            let limits = if line.contains("--find-capacity") { " --max-loss 100% --max-p99 10s" } else { "" };
            words.extend((brief.to_owned() + limits).split(' ').map(str::to_owned));
        }
        // A busy machine may have no capacity to find.
        if line.starts_with("plan") && !has_capacity(&rig) {
            rig.relay.write("capacity.json", &serde_json::to_string(&sample()).expect("string keys alone"), 0o600);
        }
        // Two short runs on a busy machine may differ by any ratio; that the condition is understood is enough.
        let allowed: &[i32] = if line.contains("--fail-if") { &[0, 3] } else { &[0] };
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
        let output = command.current_dir(rig.relay.path(".")).args(&words).output().expect("the program runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_some_and(|code| allowed.contains(&code)), "{line}: {errors}");
    }
    for file in ["before.html", "compare.html"] {
        assert!(std::fs::metadata(rig.relay.path(file)).is_ok_and(|file| file.len() > 1000), "{file}");
    }
}

fn has_capacity(rig: &Rig) -> bool {
    let json = std::fs::read_to_string(rig.relay.path("capacity.json")).expect("a search leaves a result");
    let result = from_json(&json).expect("it is a result");
    result.capacity.expect("a search has an outcome").rate_per_s > 0.0
}
