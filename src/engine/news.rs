//! Tells whoever looks after the workers that there is something to see, so that nobody has to ask now and then.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::sys::eventfd::Waker;

/// Readable when there is something to see that was awaited.
pub struct News {
    awaited: AtomicBool,
    waker: Waker,
}

impl News {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { awaited: AtomicBool::new(false), waker: Waker::new()? })
    }

    /// Whatever a worker publishes or does from now on makes this readable, once. Look at the counters after this, and
    /// not before it, to miss nothing.
    pub fn wait(&self) {
        self.waker.rest();
        self.awaited.store(true, Ordering::Relaxed);
    }

    /// There is something. Costs no more than reading a word that hardly ever changes unless it is awaited. Published
    /// counters are behind a lock, and so is their reader: it has them, or this finds that they are awaited.
    pub(super) fn tell(&self) {
        if self.awaited.load(Ordering::Relaxed) && self.awaited.swap(false, Ordering::Relaxed) {
            self.waker.wake();
        }
    }
}

impl AsFd for News {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sys::epoll::{Epoll, Ready};
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_awaited_is_told_once() {
        let (news, epoll, mut ready) = (News::new().unwrap(), Epoll::new().unwrap(), Ready::new(1));
        epoll.add(news.as_fd(), 1).unwrap();
        let mut is_told = || {
            epoll.wait(&mut ready, Some(Duration::ZERO));
            ready.count() == 1
        };
        news.tell();
        assert!(!is_told(), "nobody waits for it");
        news.wait();
        assert!(!is_told());
        (0..3).for_each(|_| news.tell());
        assert!(is_told());
        news.wait();
        assert!(!is_told());
    }
}
