//! Waiting for many sockets at once (epoll(7)), level-triggered: what a turn leaves behind, the next one finds again.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::checked;

/// A set of sockets to wait for. A socket leaves it when it is closed.
pub(crate) struct Epoll {
    set: OwnedFd,
}

/// Room for the answers of one wait.
pub(crate) struct Ready {
    events: Box<[libc::epoll_event]>,
    count: usize,
}

/// What is waited for. That a connection has failed or ended is told in any case, as one can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Nothing, for the time being.
    None,
    /// Something can be read.
    Read,
    /// Something can be read or written.
    ReadAndWrite,
}

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// No descriptor or memory left.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes flags only.
        let set = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just made and nobody else has it.
        Ok(Self { set: unsafe { OwnedFd::from_raw_fd(set) } })
    }

    /// Waits for `socket` to be readable from now on, and tells so by `token`.
    ///
    /// # Errors
    /// No memory left, or the limit on watches (`fs.epoll.max_user_watches`) is reached.
    pub(crate) fn add(&self, socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token, Interest::Read)
    }

    /// Waits for something else from now on, of a socket that is in the set.
    ///
    /// # Errors
    /// The socket is not in the set.
    pub(crate) fn change(&self, socket: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, token, interest)
    }

    /// Tells nothing of `socket` any more, although it stays open.
    ///
    /// # Errors
    /// The socket is not in the set.
    pub(crate) fn remove(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, socket, 0, Interest::None)
    }

    fn control(
        &self,
        operation: libc::c_int,
        socket: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let events = match interest {
            Interest::None => 0,
            Interest::Read => libc::EPOLLIN,
            Interest::ReadAndWrite => libc::EPOLLIN | libc::EPOLLOUT,
        };
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: token };
        // SAFETY: both descriptors are open and `event` outlives the call.
        checked(unsafe { libc::epoll_ctl(self.set.as_raw_fd(), operation, socket.as_raw_fd(), &raw mut event) })?;
        Ok(())
    }

    /// Waits until something is ready, or `timeout` has passed (rounded up to milliseconds; none: for ever). A signal
    /// ends it early with nothing ready.
    pub(crate) fn wait(&self, ready: &mut Ready, timeout: Option<Duration>) {
        let millis =
            timeout.map_or(-1, |timeout| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
        let room = i32::try_from(ready.events.len()).unwrap_or(i32::MAX);
        // SAFETY: `events` has room for `room` answers and is exclusively borrowed.
        let count = unsafe { libc::epoll_wait(self.set.as_raw_fd(), ready.events.as_mut_ptr(), room, millis) };
        ready.count = usize::try_from(count).unwrap_or(0);
    }
}

/// Readable when one of its sockets is.
impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

impl Ready {
    /// For `capacity` answers a wait; sockets that find no room come first in the next one.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { events: vec![libc::epoll_event { events: 0, u64: 0 }; capacity].into(), count: 0 }
    }

    /// How many are ready.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// There may be more than were told.
    pub(crate) fn is_full(&self) -> bool {
        self.count == self.events.len()
    }

    /// Something can be written to the `index`th that is ready.
    pub(crate) fn is_writable(&self, index: usize) -> bool {
        self.has(index, libc::EPOLLOUT)
    }

    /// Something can be read from the `index`th that is ready, be it that it has ended.
    pub(crate) fn is_readable(&self, index: usize) -> bool {
        self.has(index, libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// The `index`th that is ready has something in its error queue.
    pub(crate) fn has_error(&self, index: usize) -> bool {
        self.has(index, libc::EPOLLERR)
    }

    fn has(&self, index: usize, flags: libc::c_int) -> bool {
        let events = self.events.get(..self.count).and_then(|ready| ready.get(index)).map_or(0, |event| event.events);
        events & flags.cast_unsigned() != 0
    }

    /// The token of the `index`th that is ready.
    pub(crate) fn token(&self, index: usize) -> Option<u64> {
        self.events.get(..self.count)?.get(index).map(|event| event.u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn tells_who_is_ready_until_it_is_read() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (epoll, mut ready) = (Epoll::new().unwrap(), Ready::new(4));
        epoll.add(socket.as_fd(), u64::MAX).unwrap();
        epoll.wait(&mut ready, Some(Duration::ZERO));
        assert_eq!((ready.count(), ready.token(0)), (0, None));

        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        for _ in 0..2 {
            epoll.wait(&mut ready, None);
            assert_eq!((ready.count(), ready.token(0), ready.token(1)), (1, Some(u64::MAX), None));
        }
        drop(socket);
        epoll.wait(&mut ready, Some(Duration::ZERO));
        assert_eq!(ready.count(), 0, "a closed socket has left the set");
    }
}
