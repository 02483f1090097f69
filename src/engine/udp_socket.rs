//! What the engine's UDP sockets have in common, towards clients and towards peers.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::sys::option::{self, Fragmenting};
use super::sys::segment;
use crate::relay::Family;

/// A socket that is not bound yet, with `buffer` bytes asked for each way. An IPv6 one is for IPv6 alone.
pub(super) fn open(family: Family, buffer: usize) -> io::Result<Socket> {
    let is_v4 = family == Family::V4;
    let domain = if is_v4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if is_v4 {
        option::set_fragmenting_v4(socket.as_fd(), Fragmenting::Allowed)?;
    } else {
        socket.set_only_v6(true)?;
        option::allow_fragmenting_v6(socket.as_fd())?;
    }
    option::report_tos(socket.as_fd(), is_v4)?;
    option::report_losses(socket.as_fd())?;
    // A kernel that merges no runs delivers them one by one.
    let _ = segment::receive_runs(socket.as_fd());
    // Asking for too much is no error: the kernel gives what it may.
    socket.set_recv_buffer_size(buffer)?;
    socket.set_send_buffer_size(buffer)?;
    Ok(socket)
}
