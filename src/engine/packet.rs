//! Where packets lie: an arena of receive buffers with room around each, so that a header is put in front, or stripped,
//! without moving the payload.
//!
//! The memory is left out of core dumps. Nothing here formats bytes: a [`Span`] says where a packet lies, not what it
//! says.
#![forbid(unsafe_code)]

use std::io;
use std::ops::Range;

use super::sys::memory::PacketMemory;
use crate::relay::verdict::FRONT_MAX;

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
/// Bytes in front of every datagram: room for any header, and a whole cache line so that the datagram starts one.
const HEADROOM: usize = 64;
/// No datagram is longer (RFC 768: the length field has 16 bits).
const CAPACITY: usize = 65_535;
/// ChannelData is padded to a multiple of 4 where it is padded at all (RFC 8656 §12.5).
const TAILROOM: usize = 3;
const CACHE_LINE: usize = 64;
/// From one buffer to the next: an odd number of cache lines, so that the beginnings of the buffers, all that short
/// packets ever touch, spread over all sets of a cache instead of falling into the same few.
const STRIDE: usize = {
    let lines = (HEADROOM + CAPACITY + TAILROOM).div_ceil(CACHE_LINE);
    (lines | 1) * CACHE_LINE
};

const _: () = {
    assert!(HEADROOM >= FRONT_MAX && HEADROOM.is_multiple_of(CACHE_LINE));
    assert!(STRIDE / CACHE_LINE % 2 == 1 && SLOTS * STRIDE < u32::MAX as usize);
};

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
        slots.map(|slot| &mut slot[HEADROOM..HEADROOM + CAPACITY])
    }

    /// The datagram of `len` bytes that was received into buffer `slot`.
    pub(super) fn received(&self, slot: usize, len: usize) -> Span {
        debug_assert!(slot < SLOTS && len <= CAPACITY);
        Span::new(slot * STRIDE + HEADROOM, len)
    }

    /// What lies at `span`.
    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        &self.memory.bytes()[span.range()]
    }

    /// Writes `front` before the datagram and `padding` zeros behind it, and returns where the whole lies now.
    ///
    /// # Panics
    /// If they don't fit into the room around the datagram, which [`FRONT_MAX`] and RFC 8656 §12.5 rule out.
    pub(super) fn wrap(&mut self, datagram: Span, front: &[u8], padding: usize) -> Span {
        assert!(front.len() <= HEADROOM && padding <= TAILROOM);
        let Range { start, end } = datagram.range();
        let bytes = self.memory.bytes_mut();
        bytes[start - front.len()..start].copy_from_slice(front);
        bytes[end..end + padding].fill(0);
        Span::new(start - front.len(), front.len() + (end - start) + padding)
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
    fn a_header_goes_in_front_and_padding_behind_without_moving_the_payload() {
        let mut arena = Arena::new().unwrap();
        for slot in [0, SLOTS - 1] {
            let span = received(&mut arena, slot, b"media");
            let payload = arena.bytes(span).as_ptr();
            let whole = arena.wrap(span, &[0x40, 0, 0, 5], 3);
            assert_eq!(arena.bytes(whole), b"\x40\0\0\x05media\0\0\0");
            assert_eq!(arena.bytes(whole)[4..].as_ptr(), payload);
        }
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
    fn the_longest_datagram_with_the_longest_front_touches_no_neighbour() {
        let mut arena = Arena::new().unwrap();
        arena.memory.bytes_mut().fill(0xAA);
        let span = arena.received(1, CAPACITY);
        let whole = arena.wrap(span, &[0; FRONT_MAX], TAILROOM);
        assert_eq!(arena.bytes(whole).len(), FRONT_MAX + CAPACITY + TAILROOM);
        let before = arena.received(0, CAPACITY);
        let after = arena.received(2, CAPACITY);
        assert!(arena.bytes(before).iter().chain(arena.bytes(after)).all(|&byte| byte == 0xAA));
    }

    #[test]
    fn there_are_as_many_buffers_as_promised() {
        let mut arena = Arena::new().unwrap();
        assert_eq!(arena.buffers(0).count(), SLOTS);
        assert!(arena.buffers(SLOTS - 2).all(|buffer| buffer.len() == CAPACITY));
        assert_eq!(arena.buffers(SLOTS).count(), 0);
    }
}
