//! The system-call floor: one kernel feature a file, and the only place with `unsafe`. What leaves here is safe to call
//! with any argument.
#![allow(unsafe_code)]

pub(crate) mod address_notices;
pub(crate) mod affinity;
pub(crate) mod bell;
pub(crate) mod clock_notices;
pub(crate) mod cmsg;
pub(crate) mod epoll;
pub(crate) mod error_queue;
pub(crate) mod eventfd;
pub(crate) mod file_notices;
pub(crate) mod interfaces;
pub(crate) mod limit;
pub(crate) mod meminfo;
pub(crate) mod memory;
pub(crate) mod mmsg;
pub(crate) mod nap;
pub(crate) mod nice;
pub(crate) mod option;
pub(crate) mod process;
pub(crate) mod receive_buffer;
pub(crate) mod segment;
pub(crate) mod sockaddr;
pub(crate) mod terminal;
pub(crate) mod timer_slack;

use std::io;

/// The process or the host has no file descriptor left.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The result of a system call that says -1 and sets errno when it fails.
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
