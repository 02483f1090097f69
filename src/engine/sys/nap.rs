//! Waiting for a few descriptors with a timeout in nanoseconds (ppoll(2)): epoll_wait(2) knows milliseconds only.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

/// The most descriptors of one nap.
pub(crate) const MAX_DESCRIPTORS: usize = 8;

/// Sleeps until `descriptor` is readable or `longest` has passed, to the kernel's precision (its timer slack, 50 µs
/// unless changed); true if it is readable. A signal ends it early.
pub(crate) fn until_readable(descriptor: BorrowedFd<'_>, longest: Duration) -> bool {
    until_any_readable([descriptor].into_iter(), longest)
}

/// The same for the first [`MAX_DESCRIPTORS`] of `descriptors`. Unlike a set of epoll it leaves nothing behind that the
/// kernel would look at whenever a packet leaves or arrives.
pub(crate) fn until_any_readable<'d>(descriptors: impl Iterator<Item = BorrowedFd<'d>>, longest: Duration) -> bool {
    // A negative descriptor is passed over.
    let mut polls = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; MAX_DESCRIPTORS];
    let mut count: libc::nfds_t = 0;
    for (poll, descriptor) in polls.iter_mut().zip(descriptors) {
        poll.fd = descriptor.as_raw_fd();
        count += 1;
    }
    let timeout = libc::timespec {
        tv_sec: longest.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: longest.subsec_nanos().into(),
    };
    // SAFETY: `polls` has `count` entries and `timeout` is a time, both outlive the call; no signal mask is given.
    let ready = unsafe { libc::ppoll(polls.as_mut_ptr(), count, &raw const timeout, ptr::null()) };
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
        let others: Vec<_> = (1..MAX_DESCRIPTORS).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let all = others.iter().chain([&socket]).map(AsFd::as_fd);
        assert!(until_any_readable(all, Duration::from_secs(60)));
        assert!(!until_any_readable(others.iter().map(AsFd::as_fd), Duration::from_millis(1)));
    }
}
