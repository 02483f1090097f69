//! A run of equal datagrams as one send (udp(7), UDP_SEGMENT): the kernel cuts it after it has been through the stack,
//! or leaves it whole to a receiver that takes it so (UDP_GRO).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::checked;
use super::cmsg::Control;
use super::sockaddr::RawAddr;

/// The most datagrams of one run (UDP_MAX_SEGMENTS of Linux 5.x; later kernels take 128).
pub(crate) const MAX_SEGMENTS: usize = 64;

/// A run of datagrams to one address, one behind the other.
#[derive(Clone, Copy)]
pub(crate) struct Run<'b> {
    /// All of them; the last can be shorter.
    pub(crate) bytes: &'b [u8],
    /// Bytes of each.
    pub(crate) segment: u16,
    /// Where to.
    pub(crate) to: SocketAddr,
    /// The address of ours to send from; if none, the socket's own or one that the kernel chooses.
    pub(crate) from: Option<IpAddr>,
}

/// Sends a run. Never waits.
///
/// # Errors
/// The kernel does not take it: `WouldBlock` when the socket's buffer is full, `InvalidInput` for more than
/// [`MAX_SEGMENTS`] or 65,507 bytes.
pub(crate) fn send_run(socket: BorrowedFd<'_>, run: &Run<'_>) -> io::Result<()> {
    let (mut target, mut control) = (RawAddr::EMPTY, Control::EMPTY);
    let mut vector = libc::iovec { iov_base: run.bytes.as_ptr().cast_mut().cast(), iov_len: run.bytes.len() };
    // SAFETY: a `msghdr` is integers and pointers, for which all zeros are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_namelen = target.set(run.to).try_into().unwrap_or_default();
    message.msg_name = ptr::from_mut(&mut target).cast();
    message.msg_controllen = control.set_run(run.to.ip(), run.from, run.segment) as _;
    message.msg_control = ptr::from_mut(&mut control).cast();
    // SAFETY: the message points at one vector, an address and control messages of the stated sizes, which outlive the
    // call and are only read.
    let sent =
        unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes runs as they come: one datagram of many segments, whose length [`super::cmsg::Beside::segment`] tells.
///
/// # Errors
/// A kernel before 5.0.
pub(crate) fn receive_runs(socket: BorrowedFd<'_>) -> io::Result<()> {
    const SIZE: libc::socklen_t = 4;
    const _: () = assert!(size_of::<libc::c_int>() == SIZE as usize);
    let on: libc::c_int = 1;
    // SAFETY: `on` is `SIZE` bytes and outlives the call.
    checked(unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_GRO, (&raw const on).cast(), SIZE)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::mmsg::Receiver;
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    fn received(merged: bool) -> Vec<(usize, Option<u16>)> {
        let (from, to) = (UdpSocket::bind("0.0.0.0:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        if merged {
            receive_runs(to.as_fd()).unwrap();
        }
        let run = Run {
            bytes: &[7; 450],
            segment: 100,
            to: to.local_addr().unwrap(),
            from: Some("127.0.0.9".parse().unwrap()),
        };
        send_run(from.as_fd(), &run).unwrap();
        let (mut receiver, mut buffers) = (Receiver::new(8), [[0; 2048]; 8]);
        let count = receiver.receive(to.as_fd(), buffers.iter_mut().map(|buffer| &mut buffer[..])).unwrap();
        let messages = (0..count).map(|index| receiver.message(index).unwrap());
        messages
            .map(|message| {
                assert_eq!(message.source.unwrap().ip(), run.from.unwrap());
                (message.len, message.beside.segment)
            })
            .collect()
    }

    #[test]
    fn a_run_arrives_as_datagrams_or_whole() {
        assert_eq!(received(false), [(100, None), (100, None), (100, None), (100, None), (50, None)]);
        assert_eq!(received(true), [(450, Some(100))]);
    }

    #[test]
    fn too_long_a_run_is_refused() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let run = Run { bytes: &[0; 65_535], segment: 1000, to: socket.local_addr().unwrap(), from: None };
        assert!(send_run(socket.as_fd(), &run).is_err());
    }
}
