//! How much a socket holds for a reader that is late (socket(7), SO_RCVBUF, SO_RCVBUFFORCE).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

/// Asks for a receive buffer of `bytes`, beyond `net.core.rmem_max` where the process may (CAP_NET_ADMIN), and returns
/// what was granted as the kernel counts it: twice as much, for its own bookkeeping.
///
/// # Errors
/// The kernel's; not with a socket.
pub(crate) fn set_receive_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    const SIZE: libc::socklen_t = 4;
    const _: () = assert!(size_of::<libc::c_int>() == SIZE as usize);
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let set = |name| {
        // SAFETY: `value` is `SIZE` bytes and outlives the call.
        checked(unsafe {
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw const value).cast(), SIZE)
        })
    };
    if set(libc::SO_RCVBUFFORCE).is_err() {
        set(libc::SO_RCVBUF)?;
    }
    let (mut granted, mut size): (libc::c_int, _) = (0, SIZE);
    // SAFETY: `granted` is `size` bytes, and both outlive the call.
    checked(unsafe {
        let place = (&raw mut granted).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, place, &raw mut size)
    })?;
    Ok(usize::try_from(granted).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_granted_is_told() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(set_receive_buffer(socket.as_fd(), 65_536).unwrap(), 131_072);
        assert!(set_receive_buffer(socket.as_fd(), usize::MAX).unwrap() >= 131_072);
    }
}
