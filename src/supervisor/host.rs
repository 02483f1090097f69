//! What may change about the host while the relay runs: the kernel tells, and nobody asks.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use tracing::warn;

use crate::engine::{AddressNotices, Bell, ClockNotices};

/// What may change about the host.
pub(super) struct Host {
    addresses: Option<Bell<AddressNotices>>,
    clock: Option<Bell<ClockNotices>>,
}

/// How often to look where the kernel does not tell, as in some sandboxes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Host {
    /// From now on. Call it within a runtime.
    pub(super) fn watch() -> Self {
        Self { addresses: bell("addresses", AddressNotices::new()), clock: bell("wall clock", ClockNotices::new()) }
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
