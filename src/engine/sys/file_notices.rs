//! The kernel's word that files have changed (inotify(7)): written, or put in the place of others.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::checked;

/// Readable when something in one of its directories has changed.
pub(crate) struct FileNotices {
    watches: OwnedFd,
}

impl FileNotices {
    /// Of what is in `directories`, from now on. A directory is watched and not the files: whoever replaces a file
    /// makes another and gives it the name.
    ///
    /// # Errors
    /// No descriptor or watch left, or a directory that is not there.
    pub(crate) fn new<'p>(directories: impl Iterator<Item = &'p Path>) -> io::Result<Self> {
        // SAFETY: takes flags only.
        let watches = checked(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
        // SAFETY: the descriptor was just made and nobody else has it.
        let this = Self { watches: unsafe { OwnedFd::from_raw_fd(watches) } };
        for directory in directories {
            let path = CString::new(directory.as_os_str().as_bytes()).map_err(io::Error::other)?;
            let changes = libc::IN_CLOSE_WRITE | libc::IN_CREATE | libc::IN_MOVED_TO | libc::IN_ONLYDIR;
            // SAFETY: `path` ends with a zero and outlives the call.
            checked(unsafe { libc::inotify_add_watch(this.watches.as_raw_fd(), path.as_ptr(), changes) })?;
        }
        Ok(this)
    }

    /// Takes what is told: whoever reads the files after this sees what it tells of.
    pub(crate) fn take(&self) {
        let mut events = [0_u8; 4096];
        // SAFETY: `events` has room for the length that is passed; what is in it is not looked at.
        while unsafe { libc::read(self.watches.as_raw_fd(), events.as_mut_ptr().cast(), events.len()) } > 0 {}
    }
}

impl AsFd for FileNotices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watches.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::epoll::{Epoll, Ready};
    use super::*;
    use std::time::Duration;

    #[test]
    fn tells_of_files_that_are_written_or_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        std::fs::write(file("a"), "old").unwrap();
        let notices = FileNotices::new([directory.path()].into_iter()).unwrap();
        let (epoll, mut ready) = (Epoll::new().unwrap(), Ready::new(1));
        epoll.add(notices.as_fd(), 1).unwrap();
        let mut is_told = || {
            epoll.wait(&mut ready, Some(Duration::ZERO));
            notices.take();
            ready.count() == 1
        };
        assert!(!is_told());
        std::fs::write(file("a"), "new").unwrap();
        assert!(is_told() && !is_told());
        std::fs::rename(file("a"), file("b")).unwrap();
        assert!(is_told() && !is_told());
        assert!(FileNotices::new([file("none").as_path()].into_iter()).is_err());
    }
}
