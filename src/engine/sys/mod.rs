//! The system-call floor: one kernel feature a file, and the only place with `unsafe`. What leaves here is safe to call
//! with any argument.
#![allow(unsafe_code)]

pub(super) mod cmsg;
pub(super) mod epoll;
pub(super) mod eventfd;
pub(super) mod interfaces;
pub(super) mod limit;
pub(super) mod memory;
pub(super) mod mmsg;
pub(super) mod option;
pub(super) mod process;
pub(super) mod sockaddr;

use std::io;

/// The process or the host has no file descriptor left.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The result of a system call that says -1 and sets errno when it fails.
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
