//! Waiting for a descriptor with a timeout in nanoseconds (ppoll(2)): epoll_wait(2) knows milliseconds only.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

/// Sleeps until `descriptor` is readable or `longest` has passed, to the kernel's precision (its timer slack, 50 µs
/// unless changed); true if it is readable. A signal ends it early.
pub(crate) fn until_readable(descriptor: BorrowedFd<'_>, longest: Duration) -> bool {
    let mut poll = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let timeout = libc::timespec {
        tv_sec: longest.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: longest.subsec_nanos().into(),
    };
    // SAFETY: `poll` and `timeout` are one entry and a time, both outlive the call; no signal mask is given.
    let ready = unsafe { libc::ppoll(&raw mut poll, 1, &raw const timeout, ptr::null()) };
    ready > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Instant;

    #[test]
    fn wakes_for_a_datagram_and_for_the_timeout() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let begun = Instant::now();
        assert!(!until_readable(socket.as_fd(), Duration::from_micros(1500)));
        assert!(begun.elapsed() >= Duration::from_micros(1500));
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert!(until_readable(socket.as_fd(), Duration::from_secs(60)));
    }
}
