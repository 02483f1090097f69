//! How late the kernel may wake a thread that sleeps, so as to wake several at once (prctl(2), PR_SET_TIMERSLACK).

use std::io;

use super::checked;

/// Has this thread woken as exactly as the hardware can, instead of up to 50 µs late.
///
/// # Errors
/// A sandbox that forbids it.
pub(crate) fn sleep_exactly() -> io::Result<()> {
    let nanoseconds: libc::c_ulong = 1;
    // SAFETY: PR_SET_TIMERSLACK takes one number and touches no memory of ours.
    checked(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_remembers_it_for_this_thread() {
        sleep_exactly().unwrap();
        // SAFETY: PR_GET_TIMERSLACK takes nothing.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }, 1);
    }
}
