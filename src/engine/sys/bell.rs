//! Waiting for a descriptor on a Tokio runtime.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Something that rings by becoming readable.
pub(crate) struct Bell<T> {
    source: T,
    /// The same file by another descriptor, which nobody else can close.
    readable: AsyncFd<OwnedFd>,
}

impl<T: AsFd> Bell<T> {
    /// Call it within a runtime.
    ///
    /// # Errors
    /// No memory or descriptor left.
    pub(crate) fn new(source: T) -> io::Result<Self> {
        let descriptor = source.as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` is open, and the same file, until it is dropped.
        let readable = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE)? };
        Ok(Self { source, readable })
    }

    /// Waits until it rings. Whoever hears it must take what it tells of.
    pub(crate) async fn rung(&self) -> &T {
        match self.readable.readable().await {
            Ok(mut guard) => guard.clear_ready(),
            // The runtime is about to end.
            Err(_) => std::future::pending().await,
        }
        &self.source
    }

    /// What rings.
    pub(crate) fn source(&self) -> &T {
        &self.source
    }
}
