//! Where packets lie: an arena of receive buffers. A header is stripped by arithmetic, and put in front by gathering:
//! the payload stays where the kernel has put it.
//!
//! The memory is left out of core dumps. Nothing here formats bytes: a [`Span`] says where a packet lies, not what it
//! says.
#![forbid(unsafe_code)]

use std::io;
use std::ops::Range;

use super::sys::memory::PacketMemory;
use crate::wire::framer::MAX_FRAME;

/// The receive buffers of one worker.
pub(super) struct Arena {
    memory: PacketMemory,
}

/// Where a packet lies in an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

/// Buffers of an arena.
pub(super) const SLOTS: usize = 128;
/// No datagram is longer (RFC 768: the length field has 16 bits).
const CAPACITY: usize = 65_535;
const CACHE_LINE: usize = 64;
/// From one buffer to the next: an odd number of cache lines, so that the beginnings of the buffers, all that short
/// packets ever touch, spread over all sets of a cache instead of falling into the same few.
const STRIDE: usize = {
    let lines = CAPACITY.div_ceil(CACHE_LINE);
    (lines | 1) * CACHE_LINE
};

const _: () = assert!(STRIDE / CACHE_LINE % 2 == 1 && SLOTS * STRIDE < u32::MAX as usize);
const _: () = assert!(STRIDE >= MAX_FRAME);

impl Arena {
    /// One with [`SLOTS`] buffers: 8 MiB of address space, of which only touched pages cost memory.
    ///
    /// # Errors
    /// The kernel has no memory.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { memory: PacketMemory::new(SLOTS * STRIDE)? })
    }

    /// The buffers from the `first`th on, to receive into: each takes the longest datagram there is.
    pub(super) fn buffers(&mut self, first: usize) -> impl Iterator<Item = &mut [u8]> {
        let slots = self.memory.bytes_mut().chunks_exact_mut(STRIDE).skip(first);
        slots.map(|slot| &mut slot[..CAPACITY])
    }

    /// The same, each long enough for the longest message of a stream.
    pub(super) fn long_buffers(&mut self, first: usize) -> impl Iterator<Item = &mut [u8]> {
        self.memory.bytes_mut().chunks_exact_mut(STRIDE).skip(first)
    }

    /// The buffers `first` and, behind it, `second`.
    pub(super) fn two_buffers(&mut self, first: usize, second: usize) -> Option<(&mut [u8], &mut [u8])> {
        let mut buffers = self.long_buffers(first);
        Some((buffers.next()?, buffers.nth(second.checked_sub(first + 1)?)?))
    }

    /// Puts a message of a stream, which came in parts, into buffer `slot`.
    pub(super) fn store(&mut self, slot: usize, message: &[u8]) -> Span {
        let room = self.long_buffers(slot).next().and_then(|buffer| buffer.get_mut(..message.len()));
        room.into_iter().for_each(|room| room.copy_from_slice(message));
        self.received(slot, message.len())
    }

    /// What of `len` bytes was received into buffer `slot`.
    pub(super) fn received(&self, slot: usize, len: usize) -> Span {
        debug_assert!(slot < SLOTS && len <= STRIDE);
        Span::new(slot * STRIDE, len)
    }

    /// What lies at `span`.
    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        &self.memory.bytes()[span.range()]
    }
}

impl Span {
    fn new(start: usize, len: usize) -> Self {
        let fits = |value| u32::try_from(value).expect("an arena is smaller than 4 GiB");
        Self { start: fits(start), len: fits(len) }
    }

    /// Bytes.
    pub(super) fn len(self) -> usize {
        self.len as usize
    }

    /// The part of it that `range` says, cut at its end.
    pub(super) fn part(self, range: Range<usize>) -> Self {
        let Range { start, end } = self.range();
        let from = (start + range.start).min(end);
        Self::new(from, (start + range.end).clamp(from, end) - from)
    }

    /// The datagrams that it is a run of: of `segment` bytes each, the last one maybe shorter; or itself.
    pub(super) fn segments(self, segment: Option<u16>) -> impl Iterator<Item = Self> {
        let each = segment.map(usize::from).filter(|each| (1..self.len()).contains(each)).unwrap_or(self.len().max(1));
        (0..self.len().max(1)).step_by(each).map(move |start| self.part(start..start + each))
    }

    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(arena: &mut Arena, slot: usize, bytes: &[u8]) -> Span {
        arena.buffers(slot).next().unwrap()[..bytes.len()].copy_from_slice(bytes);
        arena.received(slot, bytes.len())
    }

    #[test]
    fn stripping_is_arithmetic() {
        let mut arena = Arena::new().unwrap();
        let span = received(&mut arena, 3, b"\x40\0\0\x05media\0\0\0");
        assert_eq!(arena.bytes(span.part(4..9)), b"media");
        assert_eq!(arena.bytes(span.part(4..4)), b"");
        assert_eq!(arena.bytes(span.part(9..99)), b"\0\0\0", "never beyond the datagram");
        assert_eq!(arena.bytes(span.part(50..99)), b"");
    }

    #[test]
    fn the_longest_datagram_touches_no_neighbour() {
        let mut arena = Arena::new().unwrap();
        arena.buffers(1).next().unwrap().fill(0xAA);
        assert_eq!(arena.bytes(arena.received(1, CAPACITY)), [0xAA; CAPACITY]);
        let [before, after] = [0, 2].map(|slot| arena.bytes(arena.received(slot, CAPACITY)));
        assert!(before.iter().chain(after).all(|&byte| byte == 0));
    }

    #[test]
    fn a_run_is_cut_into_its_datagrams() {
        let mut arena = Arena::new().unwrap();
        let span = received(&mut arena, 5, b"onetwosix7");
        let cut = |segment| span.segments(segment).map(|span| arena.bytes(span)).collect::<Vec<_>>();
        assert_eq!(cut(Some(3)), [&b"one"[..], b"two", b"six", b"7"]);
        assert_eq!(cut(Some(5)), [b"onetw", b"osix7"]);
        for whole in [None, Some(0), Some(10), Some(11), Some(u16::MAX)] {
            assert_eq!(cut(whole), [b"onetwosix7"]);
        }
        assert_eq!(span.part(0..0).segments(Some(3)).count(), 1, "an empty datagram is one");
    }

    #[test]
    fn there_are_as_many_buffers_as_promised() {
        let mut arena = Arena::new().unwrap();
        assert_eq!(arena.buffers(0).count(), SLOTS);
        assert!(arena.buffers(SLOTS - 2).all(|buffer| buffer.len() == CAPACITY));
        assert_eq!(arena.buffers(SLOTS).count(), 0);
    }
}
