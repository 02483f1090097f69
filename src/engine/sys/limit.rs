//! How many descriptors the process may have (getrlimit(2), RLIMIT_NOFILE).

use std::io;

use super::checked;

/// Raises the limit as far as the process may, and returns it.
///
/// # Errors
/// A sandbox that forbids it.
pub(crate) fn raise_descriptors() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a place for the result.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is read only.
        checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    #[test]
    fn raising_twice_changes_nothing_more() {
        let raised = super::raise_descriptors().unwrap();
        assert!(raised > 0);
        assert_eq!(super::raise_descriptors().unwrap(), raised);
    }
}
