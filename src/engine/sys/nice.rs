//! Which threads go first (setpriority(2)).

use std::io;

use super::checked;

/// Lets other threads of the same process go before the calling one where there is too little time for all.
///
/// # Errors
/// A sandbox that forbids it.
pub(crate) fn yield_to_others() -> io::Result<()> {
    const NICE: libc::c_int = 10;
    // SAFETY: takes numbers only; 0 stands for the calling thread, which is what Linux gives priorities to.
    checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_can_step_back() {
        std::thread::spawn(|| super::yield_to_others().unwrap()).join().unwrap();
    }
}
