//! Many datagrams in one system call (recvmmsg(2), sendmmsg(2)), over arrays that are claimed once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::cmsg::{Beside, Control};
use super::sockaddr::RawAddr;

/// The arrays of `recvmmsg`.
pub(crate) struct Receiver {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    sources: Box<[RawAddr]>,
    controls: Box<[Control]>,
}

/// One received datagram, but for its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// In bytes.
    pub(crate) len: usize,
    /// Who sent it; none if the family is neither IPv4 nor IPv6.
    pub(crate) source: Option<SocketAddr>,
    /// It was longer than its buffer, which holds the beginning only.
    pub(crate) truncated: bool,
    /// What came beside it.
    pub(crate) beside: Beside,
}

impl Receiver {
    /// For up to `capacity` datagrams a call.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            headers: empty_headers(capacity),
            vectors: empty_vectors(capacity),
            sources: vec![RawAddr::EMPTY; capacity].into(),
            controls: vec![Control::EMPTY; capacity].into(),
        }
    }

    /// Takes what waits at `socket`, one datagram a buffer, and returns how many came; [`Receiver::message`] tells more
    /// about each. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` if nothing waits; else what the socket reports, such as an ICMP error on an earlier send.
    pub(crate) fn receive<'b>(
        &mut self,
        socket: BorrowedFd<'_>,
        buffers: impl Iterator<Item = &'b mut [u8]>,
    ) -> io::Result<usize> {
        let rows = self.headers.iter_mut().zip(&mut self.vectors).zip(&mut self.sources).zip(&mut self.controls);
        let mut asked = 0;
        for ((((header, vector), source), control), buffer) in rows.zip(buffers) {
            *vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let header = &mut header.msg_hdr;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_name = ptr::from_mut(source).cast();
            header.msg_namelen = len32(RawAddr::SIZE);
            header.msg_control = ptr::from_mut(control).cast();
            header.msg_controllen = Control::SIZE as _;
            asked += 1;
        }
        // SAFETY: the first `asked` headers were just pointed at one vector, source and control each, which live in
        // `self` and whose sizes are as stated, and each vector at a buffer that `'b` keeps exclusively borrowed over
        // the call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                asked,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// The `index`th datagram of the last call; none beyond the arrays.
    pub(crate) fn message(&self, index: usize) -> Option<Received> {
        let header = self.headers.get(index)?;
        Some(Received {
            len: header.msg_len as usize,
            source: self.sources.get(index)?.get(),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            #[expect(clippy::unnecessary_cast, reason = "a usize here, a u32 with musl")]
            beside: self.controls.get(index)?.get(header.msg_hdr.msg_controllen as usize),
        })
    }
}

/// The arrays of `sendmmsg`.
pub(crate) struct Sender {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    targets: Box<[RawAddr]>,
    controls: Box<[Control]>,
}

/// One datagram to send.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'b> {
    /// All of it.
    pub(crate) bytes: &'b [u8],
    /// Where to.
    pub(crate) to: SocketAddr,
    /// The address of ours to send from; if none, the socket's own or one that the kernel chooses.
    pub(crate) from: Option<IpAddr>,
    /// The TOS byte or traffic class.
    pub(crate) tos: u8,
}

/// What became of datagrams that were handed to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Taken by the kernel.
    pub(crate) sent: u64,
    /// The socket's or the device's queue is full.
    pub(crate) queue_full: u64,
    /// Longer than the path or the protocol lets through.
    pub(crate) too_long: u64,
    /// No route, or the host's own packet filter forbids it.
    pub(crate) unreachable: u64,
    /// Anything else.
    pub(crate) failed: u64,
}

impl Sender {
    /// For up to `capacity` datagrams a call.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            headers: empty_headers(capacity),
            vectors: empty_vectors(capacity),
            targets: vec![RawAddr::EMPTY; capacity].into(),
            controls: vec![Control::EMPTY; capacity].into(),
        }
    }

    /// Sends all `datagrams` through `socket` in their order. Never waits: a datagram that the kernel does not take is
    /// dropped and counted, as a router would; when the socket's buffer is full all behind it are.
    pub(crate) fn send<'b>(
        &mut self,
        socket: BorrowedFd<'_>,
        mut datagrams: impl Iterator<Item = Outgoing<'b>>,
    ) -> Sent {
        let mut sent = Sent::default();
        loop {
            let filled = self.fill(&mut datagrams);
            if filled == 0 {
                return sent;
            }
            // SAFETY: `fill` has pointed the first `filled` headers at rows of `self` and at bytes that `'b` keeps
            // borrowed.
            unsafe { self.send_filled(socket, filled, &mut sent) };
        }
    }

    /// Fills as many rows as there are datagrams, or rows, and returns how many.
    fn fill<'b>(&mut self, datagrams: &mut impl Iterator<Item = Outgoing<'b>>) -> usize {
        let rows = self.headers.iter_mut().zip(&mut self.vectors).zip(&mut self.targets).zip(&mut self.controls);
        let mut filled = 0;
        // The rows come first: a zip that has taken a datagram and finds no row for it would lose it.
        for ((((header, vector), target), control), datagram) in rows.zip(datagrams) {
            *vector =
                libc::iovec { iov_base: datagram.bytes.as_ptr().cast_mut().cast(), iov_len: datagram.bytes.len() };
            let header = &mut header.msg_hdr;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_namelen = len32(target.set(datagram.to));
            header.msg_name = ptr::from_mut(target).cast();
            header.msg_controllen = control.set(datagram.to.ip(), datagram.tos, datagram.from) as _;
            header.msg_control = ptr::from_mut(control).cast();
            filled += 1;
        }
        filled
    }

    /// # Safety
    /// The first `filled` headers must point at rows of `self` and at bytes that are alive.
    unsafe fn send_filled(&mut self, socket: BorrowedFd<'_>, filled: usize, tally: &mut Sent) {
        let mut done = 0;
        while let Some(rest @ [_, ..]) = self.headers.get_mut(done..filled) {
            // SAFETY: the caller vouches for the headers; `rest` is that many of them, and sending writes to nothing
            // but their `msg_len`.
            let result = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    len32(rest.len()),
                    (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
                )
            };
            if let Ok(sent @ 1..) = usize::try_from(result) {
                done += sent;
                tally.sent += sent as u64;
                continue;
            }
            // The error is the first datagram's; those behind it deserve their own attempt, unless none can succeed.
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => {
                    tally.queue_full += rest.len() as u64;
                    return;
                }
                error => {
                    *tally.refused(error) += 1;
                    done += 1;
                }
            }
        }
    }
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.queue_full += other.queue_full;
        self.too_long += other.too_long;
        self.unreachable += other.unreachable;
        self.failed += other.failed;
    }
}

impl Sent {
    /// The count that a datagram refused with `error` belongs to.
    fn refused(&mut self, error: Option<i32>) -> &mut u64 {
        match error {
            Some(libc::ENOBUFS) => &mut self.queue_full,
            Some(libc::EMSGSIZE) => &mut self.too_long,
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EPERM | libc::ECONNREFUSED) => {
                &mut self.unreachable
            }
            _ => &mut self.failed,
        }
    }
}

fn empty_headers(count: usize) -> Box<[libc::mmsghdr]> {
    // SAFETY: a `mmsghdr` is integers and pointers, for which all zeros are valid.
    (0..count).map(|_| unsafe { std::mem::zeroed() }).collect()
}

fn empty_vectors(count: usize) -> Box<[libc::iovec]> {
    (0..count).map(|_| libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }).collect()
}

/// Lengths here are those of arrays of this file: at most some hundred.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
const fn len32(len: usize) -> u32 {
    len as u32
}

#[cfg(test)]
mod tests {
    use super::super::cmsg::Asked;
    use super::super::option;
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

    fn bound(ip: &str) -> UdpSocket {
        let ip: IpAddr = ip.parse().unwrap();
        let socket = socket2::Socket::new(
            if ip.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 },
            socket2::Type::DGRAM,
            None,
        )
        .unwrap();
        option::report_tos(socket.as_fd(), ip.is_ipv4()).unwrap();
        option::report_asked_address(socket.as_fd(), ip.is_ipv4()).unwrap();
        option::report_losses(socket.as_fd()).unwrap();
        socket.bind(&SocketAddr::new(ip, 0).into()).unwrap();
        socket.into()
    }

    fn receive(receiver: &mut Receiver, socket: &UdpSocket, buffers: &mut [[u8; 64]]) -> io::Result<usize> {
        receiver.receive(socket.as_fd(), buffers.iter_mut().map(|b| &mut b[..]))
    }

    #[test]
    fn bytes_order_tos_and_addresses_go_round() {
        for ip in LOOPBACK {
            let (from, to) = (bound(ip), bound(ip));
            let target = to.local_addr().unwrap();
            let parts: [&[u8]; 3] = [b"first", b"", b"third"];
            let marks = [0xB8, 0x00, 0x23];
            let datagrams = parts.iter().zip(marks).map(|(bytes, tos)| Outgoing { bytes, to: target, from: None, tos });
            let sent = Sender::new(2).send(from.as_fd(), datagrams);
            assert_eq!(sent, Sent { sent: 3, ..Sent::default() }, "more datagrams than rows");

            let (mut receiver, mut buffers) = (Receiver::new(8), [[0; 64]; 8]);
            assert_eq!(receive(&mut receiver, &to, &mut buffers).unwrap(), 3);
            for (index, (bytes, tos)) in parts.iter().zip(marks).enumerate() {
                let message = receiver.message(index).unwrap();
                assert_eq!(&buffers[index][..message.len], *bytes);
                assert_eq!(message.source, Some(from.local_addr().unwrap()));
                assert_eq!(message.beside.tos, tos);
                assert_eq!(message.beside.asked, Some(Asked::Unicast(target.ip())));
                assert!(!message.truncated);
            }
            assert_eq!(receive(&mut receiver, &to, &mut buffers).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn the_source_address_can_be_chosen() {
        let (from, to) = (bound("0.0.0.0"), bound("127.0.0.1"));
        let outgoing =
            Outgoing { bytes: b"x", to: to.local_addr().unwrap(), from: Some("127.0.0.2".parse().unwrap()), tos: 0x01 };
        assert_eq!(Sender::new(1).send(from.as_fd(), [outgoing].into_iter()).sent, 1);
        let mut receiver = Receiver::new(1);
        assert_eq!(receive(&mut receiver, &to, &mut [[0; 64]]).unwrap(), 1);
        let message = receiver.message(0).unwrap();
        let source = SocketAddr::new("127.0.0.2".parse().unwrap(), from.local_addr().unwrap().port());
        assert_eq!((message.source, message.beside.tos), (Some(source), 0x01));
    }

    #[test]
    fn a_datagram_longer_than_its_buffer_says_so() {
        let (from, to) = (bound("127.0.0.1"), bound("127.0.0.1"));
        from.send_to(&[7; 65], to.local_addr().unwrap()).unwrap();
        let mut receiver = Receiver::new(1);
        assert_eq!(receive(&mut receiver, &to, &mut [[0; 64]]).unwrap(), 1);
        assert!(receiver.message(0).unwrap().truncated);
    }

    #[test]
    fn one_refused_datagram_does_not_stop_those_behind_it() {
        let (from, to) = (bound("127.0.0.1"), bound("127.0.0.1"));
        let good = Outgoing { bytes: b"good", to: to.local_addr().unwrap(), from: None, tos: 0 };
        let huge = vec![0; 65_508];
        let too_long = Outgoing { bytes: &huge, ..good };
        let port_zero = Outgoing { to: "127.0.0.1:0".parse().unwrap(), ..good };
        let sent = Sender::new(4).send(from.as_fd(), [good, too_long, port_zero, good].into_iter());
        assert_eq!(sent, Sent { sent: 2, too_long: 1, failed: 1, ..Sent::default() });
    }

    #[test]
    fn lost_datagrams_are_reported() {
        let (from, to) = (bound("127.0.0.1"), bound("127.0.0.1"));
        socket2::SockRef::from(&to).set_recv_buffer_size(2048).unwrap();
        let mut sender = Sender::new(64);
        let outgoing = Outgoing { bytes: &[0; 64], to: to.local_addr().unwrap(), from: None, tos: 0 };
        sender.send(from.as_fd(), std::iter::repeat_n(outgoing, 64));
        let (mut receiver, mut buffers) = (Receiver::new(64), [[0; 64]; 64]);
        let kept = receive(&mut receiver, &to, &mut buffers).unwrap();
        sender.send(from.as_fd(), [outgoing].into_iter());
        assert_eq!(receive(&mut receiver, &to, &mut buffers).unwrap(), 1);
        let lost = receiver.message(0).unwrap().beside.lost;
        assert!(kept < 64);
        assert_eq!(lost, u32::try_from(64 - kept).ok());
    }
}
