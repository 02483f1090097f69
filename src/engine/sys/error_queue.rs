//! ICMP errors about what a socket has sent (ip(7), IP_RECVERR; ipv6(7), IPV6_RECVERR): its error queue.
//!
//! The kernel has looked which socket it was: the datagram that the ICMP message quotes has its address and port.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::cmsg::{Control, QueuedError};
use super::sockaddr::RawAddr;

/// One entry of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    /// Where the datagram was sent to; port 0 where that is not known.
    pub(crate) to: SocketAddr,
    /// The ICMP or, for an IPv6 destination, ICMPv6 type.
    pub(crate) icmp_type: u8,
    /// Its code.
    pub(crate) code: u8,
    /// The MTU, where the datagram was too large.
    pub(crate) mtu: u32,
}

/// Takes the next entry, which ends the queue if there is none; none in it if it is no ICMP error.
pub(crate) fn next(socket: BorrowedFd<'_>) -> Option<Option<Reported>> {
    // What the kernel gives back of the datagram is not wanted.
    let mut byte = [0_u8; 1];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    let (mut to, mut control) = (RawAddr::EMPTY, Control::EMPTY);
    // SAFETY: a `msghdr` is integers and pointers, for which all zeros are valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_name = ptr::from_mut(&mut to).cast();
    header.msg_namelen = libc::socklen_t::try_from(RawAddr::SIZE).unwrap_or_default();
    header.msg_control = ptr::from_mut(&mut control).cast();
    header.msg_controllen = Control::SIZE as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header points at one vector, an address and a control buffer, whose sizes are as stated and which
    // outlive the call.
    let read = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    if read < 0 {
        return None;
    }
    let error = control.get_error(header.msg_controllen as usize);
    Some(to.get().and_then(|to| report(to, error?)))
}

fn report(to: SocketAddr, error: QueuedError) -> Option<Reported> {
    let (icmp_type, code) = match error.origin {
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => (error.icmp_type, error.code),
        // Too large for the interface: what the next router would have said.
        libc::SO_EE_ORIGIN_LOCAL if error.errno == libc::EMSGSIZE && to.is_ipv4() => (3, 4),
        libc::SO_EE_ORIGIN_LOCAL if error.errno == libc::EMSGSIZE => (2, 0),
        _ => return None,
    };
    Some(Reported { to, icmp_type, code, mtu: error.info })
}

#[cfg(test)]
mod tests {
    use super::super::option::{Fragmenting, report_errors, set_fragmenting_v4};
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    /// Nobody listens at the port of a socket that was closed.
    fn closed(ip: &str) -> SocketAddr {
        UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap()
    }

    #[test]
    fn a_closed_port_is_reported_once_with_its_address() {
        for (ip, icmp_type, code) in [("127.0.0.1", 3, 3), ("::1", 1, 4)] {
            let socket = UdpSocket::bind((ip, 0)).unwrap();
            report_errors(socket.as_fd(), ip == "127.0.0.1").unwrap();
            assert_eq!(next(socket.as_fd()), None);
            let to = closed(ip);
            socket.send_to(b"anybody?", to).unwrap();
            let reported = next(socket.as_fd()).unwrap().unwrap();
            assert_eq!((reported.to, reported.icmp_type, reported.code), (to, icmp_type, code));
            assert_eq!(next(socket.as_fd()), None);
        }
    }

    #[test]
    fn what_the_interface_does_not_take_is_reported_as_the_next_router_would() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        report_errors(socket.as_fd(), true).unwrap();
        set_fragmenting_v4(socket.as_fd(), Fragmenting::Forbidden).unwrap();
        // Loopback takes 65,536 bytes, headers included, so nothing is too large but what is none at all.
        assert!(socket.send_to(&[0; 65_508], closed("127.0.0.1")).is_err());
        let reported = next(socket.as_fd());
        assert!(reported.is_none_or(|reported| reported.is_none_or(|it| (it.icmp_type, it.code) == (3, 4))));
    }
}
