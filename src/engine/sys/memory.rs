//! Memory: pages for packets, left out of core dumps (madvise(2), MADV_DONTDUMP); and what was freed, given back.

use std::io;
use std::ptr::NonNull;

use super::checked;

/// Gives what the allocator keeps back to the system (malloc_trim(3)), where it is glibc's.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, and locks what it touches.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has the allocator give back at once what is freed in large pieces (mallopt(3)). Left to itself glibc learns from the
/// first large table that is freed to keep as much of every later one, in the heap of each thread.
pub(crate) fn keep_little() {
    #[cfg(target_env = "gnu")]
    {
        const PIECE: libc::c_int = 128 << 10;
        for parameter in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
            // SAFETY: takes numbers, and locks what it touches.
            unsafe { libc::mallopt(parameter, PIECE) };
        }
    }
}

/// Zeroed pages, not yet backed by memory until they are touched.
pub(crate) struct PacketMemory {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is the only owner of its pages, like a `Box<[u8]>`.
unsafe impl Send for PacketMemory {}

impl PacketMemory {
    /// `len` bytes, which must not be 0, from the start of a page on.
    ///
    /// # Errors
    /// The kernel has no memory, or cannot leave it out of core dumps.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        // SAFETY: asks for new pages at a place of the kernel's choice; no existing memory is touched.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let memory = Self { start, len };
        // SAFETY: the pages are ours, and the advice does not change what they hold.
        checked(unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_DONTDUMP) })?;
        Ok(memory)
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `start` points at `len` initialised bytes that are ours until we are dropped.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// All of it, to write.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for PacketMemory {
    fn drop(&mut self) {
        // SAFETY: the pages were mapped by `new`, and no reference outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_zeroed_aligned_writable_and_not_dumped() {
        let mut memory = PacketMemory::new(3 * 4096 + 1).unwrap();
        assert!(memory.bytes().iter().all(|&byte| byte == 0));
        memory.bytes_mut()[3 * 4096] = 1;
        assert_eq!(memory.bytes().len(), 3 * 4096 + 1);
        let start = memory.bytes().as_ptr() as usize;
        assert_eq!(start % 4096, 0);
        assert!(flags_of_mapping(start).split(' ').any(|flag| flag == "dd"), "no 'dont dump' flag");
    }

    /// The VmFlags of the mapping that holds `address` (proc_pid_smaps(5)).
    fn flags_of_mapping(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let parse = |hex| usize::from_str_radix(hex, 16).ok();
            if let Some((Some(start), Some(end))) = range.map(|(start, end)| (parse(start), parse(end))) {
                inside = (start..end).contains(&address);
            }
            if let (true, Some(flags)) = (inside, line.strip_prefix("VmFlags:")) {
                return flags.to_owned();
            }
        }
        panic!("no mapping at {address:#x}");
    }
}
