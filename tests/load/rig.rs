//! A relay and a load tester, both the real program.

use std::path::Path;
use std::process::{Command, Output};

use turnkeep::load::result::{Count, LoadResult};

use crate::relay::Relay;
use crate::support::program::Program;

/// A relay with ports for many, and its running program.
pub(crate) struct Rig {
    pub(crate) relay: Relay,
    pub(crate) program: Program,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Relay::new())
    }

    /// The same, which listens for TCP as well.
    pub(crate) fn with_tcp() -> Self {
        let relay = Relay::new();
        let listener = format!("[[listener]]\naddress = '127.0.0.1:{}'\ntransport = 'tcp'\n[relay]\n", relay.port);
        Self::with(relay.replaced("[relay]\n", &listener))
    }

    /// One that has a port for one allocation.
    pub(crate) fn with_one_port() -> Self {
        let relay = Relay::new();
        let program = relay.serve_until_ready("");
        Self { relay, program }
    }

    fn with(relay: Relay) -> Self {
        let relay = relay.replaced("ports = '", "ports = '33000-65535' # '").replaced(
            "allocations_per_user = 1",
            "allocations_per_user = 100\nallocations_per_user_per_minute = 1000000",
        );
        let program = relay.serve_until_ready("");
        Self { relay, program }
    }

    pub(crate) fn target(&self) -> String {
        format!("127.0.0.1:{}", self.relay.port)
    }

    /// Loads the relay itself.
    pub(crate) fn load(&self, arguments: &str) -> LoadResult {
        let output = self.run(&self.target(), arguments);
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        self.result()
    }

    /// Loads `target` with the relay's credentials.
    pub(crate) fn run(&self, target: &str, arguments: &str) -> Output {
        self.command(target, arguments).output().expect("the program runs")
    }

    pub(crate) fn command(&self, target: &str, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
        command.args(["load", target, "--secret-file", &self.relay.path("k1"), "--json", &self.relay.path(RESULT)]);
        command.args(arguments.split_whitespace());
        command
    }

    /// What the last run left.
    pub(crate) fn result(&self) -> LoadResult {
        let json = std::fs::read_to_string(Path::new(&self.relay.path(RESULT))).expect("a result was written");
        serde_json::from_str(&json).expect("it is a result")
    }
}

const RESULT: &str = "result.json";

/// All packets of a direction.
#[track_caller]
pub(crate) fn direction<'r>(result: &'r LoadResult, name: &str) -> &'r Count {
    let traffic = result.traffic.as_ref().expect("something was relayed");
    traffic.directions.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", traffic.directions.keys()))
}

/// Nothing was lost, and nothing came that should not have.
#[track_caller]
pub(crate) fn assert_flawless(count: &Count) {
    let Count { sent, received, duplicates, misdelivered, corrupted, .. } = *count;
    assert!(sent > 0, "nothing was sent");
    assert_eq!((received, duplicates, misdelivered, corrupted), (sent, 0, 0, 0));
    assert_eq!(count.latency.count, received);
}
