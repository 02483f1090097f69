//! The kernel's word that the wall clock was set (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::checked;

/// Readable when the wall clock was set, and not only made to run faster or slower.
pub(crate) struct ClockNotices {
    timer: OwnedFd,
}

impl ClockNotices {
    /// From now on.
    ///
    /// # Errors
    /// No descriptor left, or a kernel that has no such notices.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: takes numbers only.
        let timer = checked(unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, flags) })?;
        // SAFETY: the descriptor was just made and nobody else has it.
        let this = Self { timer: unsafe { OwnedFd::from_raw_fd(timer) } };
        this.arm()?;
        Ok(this)
    }

    /// Takes what is told: whoever reads the clock after this sees what it tells of.
    pub(crate) fn take(&self) {
        let mut expirations = 0u64;
        // SAFETY: a timer's count has eight bytes. Reading it is what ends the notice; it fails with ECANCELED then.
        unsafe { libc::read(self.timer.as_raw_fd(), (&raw mut expirations).cast(), size_of::<u64>()) };
    }

    /// Sets a timer that never ends by itself.
    fn arm(&self) -> io::Result<()> {
        let never = libc::timespec { tv_sec: libc::time_t::MAX, tv_nsec: 0 };
        let spec = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
        let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
        // SAFETY: `spec` outlives the call, which writes nothing back.
        checked(unsafe { libc::timerfd_settime(self.timer.as_raw_fd(), flags, &raw const spec, ptr::null_mut()) })?;
        Ok(())
    }
}

impl AsFd for ClockNotices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}
