//! Socket options that have no safe setter elsewhere: what is to be told beside a datagram, and whether DF is set.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

/// Whether what the socket sends may be fragmented (ip(7), IP_MTU_DISCOVER; ipv6(7), IPV6_DONTFRAG of RFC 3542 §11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragmenting {
    /// The host and, for IPv4, where DF is 0, routers fragment what is too large.
    Allowed,
    /// Nobody does. For IPv4 DF is 1, whatever the host believes about the path: it is the client that probes it (RFC
    /// 8656 §14). For IPv6 the host refuses what is larger than the path that it knows of.
    Forbidden,
}

/// Sets DF on what an IPv4 socket sends.
///
/// # Errors
/// The kernel's; not with the sockets of this engine.
pub(crate) fn set_fragmenting_v4(socket: BorrowedFd<'_>, fragmenting: Fragmenting) -> io::Result<()> {
    let value = match fragmenting {
        // As IP_PMTUDISC_DONT, but that ICMP errors about packets with DF are not swallowed meanwhile, and that nobody
        // who forges one makes us cut what the interface takes whole.
        Fragmenting::Allowed => libc::IP_PMTUDISC_OMIT,
        Fragmenting::Forbidden => libc::IP_PMTUDISC_PROBE,
    };
    set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
}

/// Lets the host fragment what an IPv6 socket sends and the path does not take whole.
///
/// # Errors
/// The kernel's; not with the sockets of this engine.
pub(crate) fn allow_fragmenting_v6(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)
}

/// Whether the host fragments what an IPv6 socket sends and the path does not take whole.
///
/// # Errors
/// The kernel's; not with the sockets of this engine.
pub(crate) fn set_fragmenting_v6(socket: BorrowedFd<'_>, fragmenting: Fragmenting) -> io::Result<()> {
    let value = (fragmenting == Fragmenting::Forbidden).into();
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, value)
}

/// Asks for the TOS byte or traffic class of every datagram.
///
/// # Errors
/// The kernel's; not with the sockets of this engine.
pub(crate) fn report_tos(socket: BorrowedFd<'_>, is_v4: bool) -> io::Result<()> {
    match is_v4 {
        true => set(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1),
        false => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1),
    }
}

/// Asks for the address that every datagram was sent to. Must come before the socket is bound: the kernel notes the
/// address when a datagram arrives, not when it is read.
///
/// # Errors
/// The kernel's; not with the sockets of this engine.
pub(crate) fn report_asked_address(socket: BorrowedFd<'_>, is_v4: bool) -> io::Result<()> {
    match is_v4 {
        true => set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        false => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// Asks for the ICMP errors about what the socket sends: [`super::error_queue`] reads them.
///
/// # Errors
/// The kernel's; not with the sockets of this engine.
pub(crate) fn report_errors(socket: BorrowedFd<'_>, is_v4: bool) -> io::Result<()> {
    match is_v4 {
        true => set(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1),
        false => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
    }
}

/// Asks for the number of datagrams that were lost because the receive buffer was full.
///
/// # Errors
/// The kernel's; not with the sockets of this engine.
pub(crate) fn report_losses(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
}

/// Leaves the port open when the socket is bound, for connect(2) to choose: one that serves for connections from other
/// addresses, or to others, may serve again (ip(7), IP_BIND_ADDRESS_NO_PORT).
///
/// # Errors
/// A kernel before 4.2.
pub(crate) fn choose_port_when_connecting(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

fn set(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    const SIZE: libc::socklen_t = 4;
    const _: () = assert!(size_of::<libc::c_int>() == SIZE as usize);
    // SAFETY: `value` is `SIZE` bytes and outlives the call.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), SIZE) })?;
    Ok(())
}
