//! Waking a thread that waits for sockets (eventfd(2)).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use super::checked;

/// Wakes whoever waits for it to be readable; from any thread.
pub(crate) struct Waker {
    counter: File,
}

impl Waker {
    /// One that has not been woken.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes a number and flags only.
        let counter = checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor was just made and nobody else has it.
        Ok(Self { counter: unsafe { OwnedFd::from_raw_fd(counter) }.into() })
    }

    /// Wakes it.
    pub(crate) fn wake(&self) {
        // The only way to fail is a counter that is full: then it is awake already.
        let _ = (&self.counter).write(&1u64.to_ne_bytes());
    }

    /// Lets it sleep again.
    pub(crate) fn rest(&self) {
        let _ = (&self.counter).read(&mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::epoll::{Epoll, Ready};
    use super::*;
    use std::time::Duration;

    #[test]
    fn wakes_from_another_thread_and_rests() {
        let (waker, epoll, mut ready) = (Waker::new().unwrap(), Epoll::new().unwrap(), Ready::new(1));
        epoll.add(waker.as_fd(), 1).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..3).for_each(|_| waker.wake()));
            epoll.wait(&mut ready, None);
        });
        assert_eq!(ready.token(0), Some(1));
        waker.rest();
        epoll.wait(&mut ready, Some(Duration::ZERO));
        assert_eq!(ready.count(), 0);
    }
}
