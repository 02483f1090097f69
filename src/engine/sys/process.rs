//! What the process is: its user, its host, and what a core dump of it would show.

use std::ffi::CStr;
use std::io;

use super::checked;

/// Whom the process acts as (geteuid(2)).
pub(crate) fn effective_user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// The host's name (gethostname(2)); what is not UTF-8 in it is replaced.
///
/// # Errors
/// A sandbox that forbids to ask.
pub(crate) fn host_name() -> io::Result<String> {
    // Linux allows 64 bytes; one more keeps the end in place.
    let mut name = [0_u8; 65];
    // SAFETY: `name` has room for the length that is passed.
    checked(unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) })?;
    let name = CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
    Ok(name.to_string_lossy().into_owned())
}

/// Forbids core dumps of this process, and other processes of the same user to look into it (prctl(2),
/// PR_SET_DUMPABLE): its memory holds secrets and other people's calls.
///
/// # Errors
/// A sandbox that forbids it.
pub(crate) fn forbid_dumps() -> io::Result<()> {
    let no: libc::c_ulong = 0;
    // SAFETY: PR_SET_DUMPABLE takes one number and touches no memory of ours.
    checked(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, no) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_the_name_that_the_kernel_says() {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(host_name().unwrap(), kernel.trim_end());
    }

    #[test]
    fn our_files_are_ours() {
        use std::os::unix::fs::MetadataExt;
        let file = tempfile::tempfile().unwrap();
        assert_eq!(file.metadata().unwrap().uid(), effective_user());
    }

    #[test]
    fn dumps_can_be_forbidden() {
        forbid_dumps().unwrap();
        // SAFETY: PR_GET_DUMPABLE takes nothing.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 0);
        let yes: libc::c_ulong = 1;
        // SAFETY: as above; the other tests of this process may look at themselves.
        checked(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, yes) }).unwrap();
    }
}
