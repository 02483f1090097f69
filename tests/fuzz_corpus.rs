//! Every input that fuzzing has kept, through the same drivers without libFuzzer: `fuzz/README.md`.
#[path = "../fuzz/src/lib.rs"]
mod drivers;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[test]
fn message() {
    replay("message");
}

#[test]
fn channel_data() {
    replay("channel_data");
}

#[test]
fn framer() {
    replay("framer");
}

#[test]
fn proxy_header() {
    replay("proxy_header");
}

#[test]
fn client_hello() {
    replay("client_hello");
}

#[test]
fn server_unauthenticated() {
    replay("server_unauthenticated");
}

#[test]
fn server_authenticated() {
    replay("server_authenticated");
}

#[test]
fn every_target_is_replayed_and_runs() {
    let names: Vec<_> = drivers::TARGETS.iter().map(|(name, _)| *name).collect();
    let expected = "message channel_data framer proxy_header client_hello server_unauthenticated server_authenticated";
    assert_eq!(names.join(" "), expected);
    for name in names {
        assert!(fuzz().join("fuzz_targets").join(name).with_extension("rs").exists(), "{name} has no target");
    }
    for kept in ["corpus", "regressions"].iter().flat_map(|folder| entries(&fuzz().join(folder))) {
        let name = kept.file_name().expect("a folder has a name");
        assert!(drivers::TARGETS.iter().any(|(target, _)| name == *target), "{}: no such target", kept.display());
    }
}

fn replay(target: &str) {
    let (_, run) = drivers::TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    // Whatever is kept, these are always tried.
    [&[][..], &[0], &[0; 20], &[0xFF; 64], &[0x40; 8]].into_iter().for_each(run);
    let corpus = entries(&fuzz().join("corpus").join(target));
    assert!(!corpus.is_empty(), "the corpus of {target} is gone");
    for path in corpus.into_iter().chain(entries(&fuzz().join("regressions").join(target))) {
        let input = fs::read(&path).expect("a readable file");
        assert!(catch_unwind(|| run(&input)).is_ok(), "{} fails (see above)", path.display());
    }
}

/// What is in `folder`, in order; nothing if there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    entries.sort();
    entries
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}
