//! What sockets have to keep packets in: asked for, and granted.
#![forbid(unsafe_code)]

use std::io;

use socket2::Socket;

/// The buffers of a kind of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// What was received and not yet read. Short, it loses packets while the worker is busy.
    pub receive: Granted,
    /// What was sent and has not yet left. Short, it loses packets of a burst.
    pub send: Granted,
}

/// A size that was asked of the kernel and the one it gave, in bytes. It gives less where `net.core.rmem_max` or
/// `wmem_max` say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Asked for.
    pub asked: usize,
    /// Got.
    pub granted: usize,
}

impl Buffers {
    /// What `socket` was granted, where `asked` was wanted of each.
    pub(super) fn of(socket: &Socket, asked: usize) -> io::Result<Self> {
        // The kernel doubles what it grants, to account for its own bookkeeping (socket(7)).
        let granted = |size: usize| Granted { asked, granted: size / 2 };
        Ok(Self { receive: granted(socket.recv_buffer_size()?), send: granted(socket.send_buffer_size()?) })
    }
}

impl Granted {
    /// Less than was asked for.
    pub fn is_short(self) -> bool {
        self.granted < self.asked
    }
}
