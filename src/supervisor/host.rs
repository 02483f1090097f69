//! What may change about the host while the relay runs: the kernel tells, and nobody asks.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use tracing::warn;

use crate::engine::{AddressNotices, Bell, ClockNotices, FileNotices};

/// What may change about the host.
pub(super) struct Host {
    addresses: Option<Bell<AddressNotices>>,
    clock: Option<Bell<ClockNotices>>,
    files: Option<Bell<FileNotices>>,
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
            let notices = FileNotices::new(directories.into_iter()).and_then(Bell::new);
            let no_notices = |error: &io::Error| {
                warn!("the kernel does not tell when certificates change ({error}): send SIGHUP then");
            };
            self.files = notices.inspect_err(no_notices).ok();
        }
    }

    /// Waits until files may have changed, and a moment more: a certificate and its key are two files.
    pub(super) async fn files_changed(&self) {
        match &self.files {
            Some(bell) => {
                let notices = bell.rung().await;
                tokio::time::sleep(SETTLE).await;
                notices.take();
            }
            None => std::future::pending().await,
        }
    }

    /// Waits until addresses may have come or gone.
    pub(super) async fn addresses_changed(&self) {
        match &self.addresses {
            Some(bell) => bell.rung().await.take(),
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }

    /// Waits until the wall clock may have jumped.
    pub(super) async fn clock_was_set(&self) {
        match &self.clock {
            Some(bell) => bell.rung().await.take(),
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn bell<T: AsFd>(what: &str, notices: io::Result<T>) -> Option<Bell<T>> {
    let bell = notices.and_then(Bell::new);
    bell.inspect_err(|error| warn!("the kernel does not tell when this host's {what} changes ({error}): looking")).ok()
}
