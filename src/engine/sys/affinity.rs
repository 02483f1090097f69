//! Which cores a thread may run on (sched_setaffinity(2)).

use std::io;

use super::checked;

/// Keeps the calling thread on core `cpu`.
///
/// # Errors
/// There is no such core, or the process may not use it.
pub(crate) fn pin_to(cpu: usize) -> io::Result<()> {
    const BITS: usize = u64::BITS as usize;
    /// As many cores as the C library's own type has room for.
    const WORDS: usize = 1024 / BITS;
    let mut mask = [0_u64; WORDS];
    let Some(word) = mask.get_mut(cpu / BITS) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    *word = 1 << (cpu % BITS);
    // SAFETY: `mask` is as long as is said, and is read only; 0 is the calling thread.
    checked(unsafe { libc::sched_setaffinity(0, size_of_val(&mask), mask.as_ptr().cast()) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_where_it_is_put() {
        std::thread::spawn(|| {
            pin_to(0).unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
            assert_eq!(list.trim(), "0");
            assert!(pin_to(1023).is_err() && pin_to(1024).is_err(), "no machine of ours has so many");
        })
        .join()
        .unwrap();
    }
}
