//! The width of a terminal (TIOCGWINSZ, ioctl_tty(2)).

use std::os::fd::{AsRawFd, BorrowedFd};

/// Columns of the terminal behind `fd`; none where it is no terminal, or does not know.
pub(crate) fn columns(fd: BorrowedFd<'_>) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open while it is borrowed, and the kernel writes a winsize into ours.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then(|| size.ws_col.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_file_has_no_width() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(columns(file.as_fd()), None);
    }
}
