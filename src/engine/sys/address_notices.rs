//! The kernel's word that this host's addresses have changed (rtnetlink(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::checked;

/// Readable when addresses or interfaces of this host have come or gone.
pub(crate) struct AddressNotices {
    socket: OwnedFd,
}

const GROUPS: u32 = (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR).cast_unsigned();
#[expect(clippy::cast_possible_truncation, reason = "families are small numbers")]
const FAMILY: libc::sa_family_t = libc::AF_NETLINK as libc::sa_family_t;
#[expect(clippy::cast_possible_truncation, reason = "addresses are short")]
const LEN: libc::socklen_t = size_of::<libc::sockaddr_nl>() as libc::socklen_t;

impl AddressNotices {
    /// From now on.
    ///
    /// # Errors
    /// A sandbox that forbids it, or a kernel that has no such notices.
    pub(crate) fn new() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes numbers only.
        let socket = checked(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
        // SAFETY: the descriptor was just made and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        // SAFETY: all of its fields are numbers, for which 0 is a value.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        (address.nl_family, address.nl_groups) = (FAMILY, GROUPS);
        // SAFETY: `address` is a netlink address of `LEN` bytes.
        checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), LEN) })?;
        Ok(Self { socket })
    }

    /// Takes all that wait: whoever looks at the addresses after this sees what they tell of. One that found no room
    /// was still told of, as an error.
    pub(crate) fn take(&self) {
        const AT_MOST: usize = 1000;
        let mut bytes = [0u8; 4096];
        for _ in 0..AT_MOST {
            // SAFETY: `bytes` has room for as many bytes as are asked for.
            let got = unsafe { libc::recv(self.socket.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0) };
            if got < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                return;
            }
        }
    }
}

impl AsFd for AddressNotices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
