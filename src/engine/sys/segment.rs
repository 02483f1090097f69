//! A run of equal datagrams as one (udp(7)): [`super::mmsg::Sender`] hands it to the kernel whole (UDP_SEGMENT), which
//! cuts it after it has been through the stack, or leaves it whole to a receiver that takes it so (UDP_GRO). Video that
//! arrives and leaves in runs costs well under half of what it does one by one (`benches/race/NOTES.md`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

/// The most datagrams of one run (UDP_MAX_SEGMENTS of Linux 5.x; later kernels take 128).
pub(crate) const MAX_SEGMENTS: usize = 64;

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
    use super::super::mmsg::{Outgoing, Receiver, Sender};
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    fn received(mut sender: Sender, merged: bool) -> Vec<(usize, Option<u16>)> {
        let (from, to) = (UdpSocket::bind("0.0.0.0:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        if merged {
            receive_runs(to.as_fd()).unwrap();
        }
        let (source, to_address) = ("127.0.0.9".parse().unwrap(), to.local_addr().unwrap());
        let datagrams = [7; 450].chunks(100).map(|bytes| Outgoing {
            front: &[],
            bytes,
            padding: 0,
            to: to_address,
            from: Some(source),
            tos: 0,
        });
        assert_eq!(sender.send(from.as_fd(), datagrams).sent, 5);
        let (mut receiver, mut buffers) = (Receiver::new(8), [[0; 2048]; 8]);
        let count = receiver.receive(to.as_fd(), buffers.iter_mut().map(|buffer| &mut buffer[..])).unwrap();
        let messages = (0..count).map(|index| receiver.message(index).unwrap());
        messages
            .map(|message| {
                assert_eq!(message.source.unwrap().ip(), source);
                (message.len, message.beside.segment)
            })
            .collect()
    }

    #[test]
    fn a_run_arrives_as_datagrams_or_whole() {
        let apart = [(100, None), (100, None), (100, None), (100, None), (50, None)];
        assert_eq!(received(Sender::new(8), false), apart);
        assert_eq!(received(Sender::new(8), true), [(450, Some(100))]);
        assert_eq!(received(Sender::one_by_one(8), true), apart, "no run is made");
    }
}
