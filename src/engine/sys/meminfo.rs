//! What a socket has lost for want of buffer (socket(7), SO_MEMINFO), for those who ask now and then instead of having
//! it told beside every datagram, which takes the kernel a control message each.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

/// SK_MEMINFO_DROPS of linux/sock_diag.h, and the number of fields up to it.
const DROPS: usize = 8;
const FIELDS: usize = DROPS + 1;

/// Datagrams that found the receive buffer full since the socket was opened; wraps.
///
/// # Errors
/// A kernel before 4.12.
pub(crate) fn receive_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut fields = [0_u32; FIELDS];
    let mut size: libc::socklen_t = 36;
    const _: () = assert!(FIELDS * size_of::<u32>() == 36);
    // SAFETY: `fields` is `size` bytes, and both outlive the call.
    checked(unsafe {
        let place = fields.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, place, &raw mut size)
    })?;
    Ok(fields[DROPS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn what_found_no_room_is_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(receive_drops(socket.as_fd()).unwrap(), 0);
        socket2::SockRef::from(&socket).set_recv_buffer_size(2048).unwrap();
        let to = socket.local_addr().unwrap();
        (0..64).for_each(|_| assert_eq!(socket.send_to(&[0; 64], to).unwrap(), 64));
        socket.set_nonblocking(true).unwrap();
        let kept = (0..64).take_while(|_| socket.recv(&mut [0; 64]).is_ok()).count();
        assert_eq!(receive_drops(socket.as_fd()).unwrap() as usize, 64 - kept);
    }
}
