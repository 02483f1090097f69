//! Keeping what one thread writes off the cache lines that another works with.
#![forbid(unsafe_code)]

use std::ops::Deref;

/// A value that has its cache lines to itself, wherever the heap puts it: a neighbour that another thread writes would
/// take the line from this one's core each time. Two lines of 64 bytes, since processors fetch them in pairs.
///
/// Who shares what is looked up by `scripts/shared-lines`, which runs two workers under a tracing emulator.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct OwnLine<T>(T);

impl<T> Deref for OwnLine<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn neighbours_share_no_line() {
        let [one, other] = [(); 2].map(|()| Arc::new(OwnLine::<AtomicBool>::default()));
        let [one, other] = [&one, &other].map(|value| std::ptr::from_ref::<AtomicBool>(value).addr());
        assert!(one.is_multiple_of(128) && one.abs_diff(other) >= 128);
        assert_eq!(size_of::<OwnLine<AtomicBool>>(), 128);
    }
}
