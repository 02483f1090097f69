//! What may change about the host while the relay runs: the kernel tells, and nobody asks.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use crate::engine::{AddressNotices, Bell, ClockNotices, FileNotices};

/// What may change about the host.
pub(super) struct Host {
    addresses: Option<Bell<AddressNotices>>,
    clock: Option<Bell<ClockNotices>>,
    files: Option<Files>,
}

/// How often to look where the kernel does not tell, as in some sandboxes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a change of files may take.
const SETTLE: Duration = Duration::from_millis(300);

impl Host {
    /// From now on. Call it within a runtime.
    pub(super) fn watch() -> Self {
        Self {
            addresses: bell("addresses", AddressNotices::new()),
            clock: bell("wall clock", ClockNotices::new()),
            files: None,
        }
    }

    /// And of these files. Call it within a runtime.
    pub(super) fn watch_files<'p>(&mut self, files: impl Iterator<Item = &'p Path>) {
        let mut directories: Vec<&Path> = files.filter_map(Path::parent).collect();
        directories.sort_unstable();
        directories.dedup();
        if !directories.is_empty() {
            let files = Files::watch(directories.into_iter());
            let no_notices = |error: &io::Error| {
                warn!("the kernel does not tell when certificates change ({error}): send SIGHUP then");
            };
            self.files = files.inspect_err(no_notices).ok();
        }
    }

    /// Waits until files may have changed, and a moment more: a certificate and its key are two files.
    pub(super) async fn files_changed(&self) {
        match &self.files {
            Some(files) => files.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until addresses may have come or gone.
    pub(super) async fn addresses_changed(&self) {
        match &self.addresses {
            Some(bell) => bell.rung().await.take(),
            None => sleep(LOOK_EVERY).await,
        }
    }

    /// Waits until the wall clock may have jumped.
    pub(super) async fn clock_was_set(&self) {
        match &self.clock {
            Some(bell) => bell.rung().await.take(),
            None => sleep(LOOK_EVERY).await,
        }
    }
}

/// Files that are watched.
struct Files {
    notices: Bell<FileNotices>,
    /// When a change that was told of has settled. It stands here and not in the future that waits for it: whoever
    /// waits for several things drops that future whenever another of them comes first.
    settled: Cell<Option<Instant>>,
}

impl Files {
    fn watch<'p>(directories: impl Iterator<Item = &'p Path>) -> io::Result<Self> {
        Ok(Self { notices: Bell::new(FileNotices::new(directories)?)?, settled: Cell::new(None) })
    }

    /// Waits for a change that has settled. To wait in pieces misses none.
    async fn changed(&self) {
        if self.settled.get().is_none() {
            self.notices.rung().await;
            self.settled.set(Some(Instant::now() + SETTLE));
        }
        if let Some(settled) = self.settled.get() {
            sleep_until(settled).await;
        }
        self.settled.set(None);
        self.notices.source().take();
    }
}

fn bell<T: AsFd>(what: &str, notices: io::Result<T>) -> Option<Bell<T>> {
    let bell = notices.and_then(Bell::new);
    bell.inspect_err(|error| warn!("the kernel does not tell when this host's {what} changes ({error}): looking")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    /// As the supervisor does, which looks after the relay now and then while it waits.
    #[test]
    fn a_change_is_told_to_whoever_waits_in_pieces() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let directory = tempfile::tempdir().expect("a directory");
        runtime.block_on(async {
            let files = Files::watch([directory.path()].into_iter()).expect("a watch");
            for round in 0..2 {
                std::fs::write(directory.path().join("file"), "new").expect("a file");
                let mut pieces = 0;
                while timeout(SETTLE / 4, files.changed()).await.is_err() {
                    pieces += 1;
                    assert!(pieces < 100, "round {round}: never told");
                }
                assert!(pieces >= 2, "told before it settled");
            }
            assert!(timeout(2 * SETTLE, files.changed()).await.is_err(), "told once only");
        });
    }
}
