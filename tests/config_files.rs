//! The files in config/: the generated ones are what the program prints, and the examples would start.

#[path = "support/golden.rs"]
mod golden;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use golden::assert_golden;
use turnkeep::config::{self, Loaded, Scope, Severity};

/// 2026-11-21: the examples' dates are around it.
const NOW: u64 = 1_795_285_900;

fn example(name: &str) -> Loaded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    config::load(&path).unwrap_or_else(|report| panic!("{report}"))
}

/// What is said of an example's text, without its path.
fn findings(loaded: &Loaded, severity: Severity) -> Vec<String> {
    let report = config::check(loaded, Scope::Text, NOW);
    report.findings().iter().filter(|finding| finding.severity == severity).map(|finding| finding.key.clone()).collect()
}

#[test]
fn the_reference_is_what_the_program_prints() {
    assert_golden("config/reference.toml", &config::reference());
}

#[test]
fn the_schema_is_what_the_program_prints() {
    assert_golden("config/turnkeep.schema.json", &format!("{:#}\n", config::json_schema()));
}

#[test]
fn the_reference_would_start_but_for_its_addresses() {
    let reference = example("reference.toml");
    assert_eq!(findings(&reference, Severity::Error), [""; 0]);
    assert_eq!(findings(&reference, Severity::Warning), ["realm", "relay.address.bind"]);
}

#[test]
fn the_lab_would_start_and_says_that_it_is_one() {
    let lab = example("lab.toml");
    assert_eq!(findings(&lab, Severity::Error), [""; 0]);
    assert_eq!(findings(&lab, Severity::Warning), ["lab", "relay.ports"]);
}

#[test]
fn the_lab_finds_its_secret_beside_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("turnkeep.toml");
    fs::write(&copy, fs::read(example("lab.toml").file).expect("the example")).expect("a copy");
    let secret: PathBuf = directory.path().join("secret.k1");
    fs::write(&secret, "8f3b1c5e9d2a7f604b6c8e1d3f5a7092\n").expect("a secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o400)).expect("a mode");

    let lab = config::load(&copy).expect("the copy loads");
    let keys = lab.keys().unwrap_or_else(|findings| panic!("{findings:?}"));
    assert_eq!(keys.secrets.iter().map(|secret| secret.id().as_str()).collect::<Vec<_>>(), ["k1"]);
    assert!(keys.users.is_empty());
    assert_eq!(lab.resolve(&lab.config.audit.path), directory.path().join("audit.jsonl"));
}

#[test]
fn the_dmz_would_start_but_for_its_addresses() {
    let dmz = example("dmz.toml");
    assert_eq!(findings(&dmz, Severity::Error), [""; 0]);
    assert_eq!(findings(&dmz, Severity::Warning), ["realm", "relay.address.advertise", "relay.address.bind"]);
    let summary = config::summary(&dmz);
    assert!(summary.contains("relays at   203.0.113.5 (bound to 10.0.0.5), ports 49152-51199: 2048 allocations\n"));
    assert!(summary.contains("10.20.30.0/28 (video-bridge), but not 198.51.100.0/24 (clinic-public), ports from 1024"));
}
