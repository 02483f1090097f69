//! Programs that a test runs: found or visibly missed, given a deadline, and ended by their own id.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often something that is awaited is looked at.
const POLL: Duration = Duration::from_millis(10);

/// The program `name`, if it is installed. A test that lacks one says so and passes, except where everything must be
/// there: under `CI=true` and in scripts/test.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let places = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&places).map(|place| place.join(name)).find(|path| path.is_file());
    found.or_else(|| skip(name))
}

/// A file or directory that scripts/test installs into target/tools; missed as [`find`] says.
pub(crate) fn find_tool(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(path);
    if path.exists() { Some(path) } else { skip(&path.display().to_string()) }
}

/// Misses `what` as [`find`] says.
pub(crate) fn skip<T>(what: &str) -> Option<T> {
    let test = thread::current().name().unwrap_or_default().to_owned();
    let is_required = env::var("CI").is_ok_and(|ci| ci == "true") || env::var_os("TURNKEEP_INTEROP").is_some();
    assert!(!is_required, "{test} needs {what}; scripts/test installs it");
    say(&format!("SKIPPED: {test} needs {what}; scripts/test installs it"));
    None
}

/// Prints a line that the test harness does not swallow when the test passes.
pub(crate) fn say(line: &str) {
    // Nobody reading it is no reason to fail.
    let _ = writeln!(io::stderr(), "{line}");
}

/// A running program whose output goes to a file. When it is dropped it is told to stop and, if it does not, killed.
pub(crate) struct Program {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Program {
    /// Starts `command`; its output goes to a file in `directory`.
    pub(crate) fn start(mut command: Command, directory: &Path) -> Self {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let output = directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&output).expect("a writable directory");
        let copy = file.try_clone().expect("a second handle");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(copy).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name, child, output }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory of its own that it has in use (VmRSS without what is backed by files), in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("the kernel counts it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// How often each of its threads has gone to sleep so far, by name.
    pub(crate) fn sleeps(&self) -> BTreeMap<String, u64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let sleeps = threads.map(|thread| {
            let status = fs::read_to_string(thread.expect("a thread").path().join("status")).expect("it runs");
            let field =
                |name| status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells").trim();
            (field("Name:").to_owned(), field("voluntary_ctxt_switches:").parse().expect("a number"))
        });
        sleeps.collect()
    }

    /// What it has printed so far, on either stream.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits until it ends by itself and returns what it printed.
    pub(crate) fn finish(mut self, deadline: Duration) -> Finished {
        let status = wait_for(deadline, || self.ended());
        let output = self.output();
        let status = status.unwrap_or_else(|| panic!("{} takes longer than {deadline:?}:\n{output}", self.name));
        Finished { status, output }
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        // One that has ended meanwhile needs none.
        let _ = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
    }

    /// Tells it to stop and returns its exit status, or nothing if it had to be killed.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        if let Some(status) = self.ended() {
            return Some(status);
        }
        self.signal("TERM");
        let status = wait_for(Duration::from_secs(5), || self.ended());
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
        if thread::panicking() {
            say(&format!("{} said:\n{}", self.name, self.output()));
        }
    }
}

/// What a program left.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

/// Asks until there is an answer or `deadline` has passed.
pub(crate) fn wait_for<T>(deadline: Duration, mut answer: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        let answered = answer();
        if answered.is_some() || Instant::now() > end {
            return answered;
        }
        thread::sleep(POLL);
    }
}
