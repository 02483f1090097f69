//! Receiving: recvmmsg(2).

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::super::cmsg::{Beside, Control};
use super::super::sockaddr::RawAddr;
use super::{empty_headers, empty_vectors, len32};

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
        if asked == 1
            && let Some(only) = self.headers.first_mut()
        {
            // SAFETY: the header was just pointed at one vector, source and control, which live in `self` and whose
            // sizes are as stated, and the vector at a buffer that `'b` keeps exclusively borrowed over the call.
            let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut only.msg_hdr, libc::MSG_DONTWAIT) };
            only.msg_len = u32::try_from(received).map_err(|_| io::Error::last_os_error())?;
            return Ok(1);
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
