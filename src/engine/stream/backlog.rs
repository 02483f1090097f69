//! What a client has yet to read: whole messages, and the rest of one that the kernel took a part of.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use socket2::Socket;

use super::limits::{QUEUE, QUEUE_FOR_ANSWERS, QUEUE_GROWTH, QUEUE_OF_STRANGER, QUEUES_OF_STRANGERS, QUEUES_OF_WORKER};

/// Bytes in the order in which they leave. Empty, it takes no memory.
#[derive(Default)]
pub(super) struct Backlog {
    bytes: VecDeque<u8>,
}

/// How much may wait.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    /// Bytes in one queue.
    one: usize,
    /// Bytes of memory of all queues of the worker.
    all: usize,
}

impl Bound {
    pub(super) const MEDIA: Self = Self { one: QUEUE, all: QUEUES_OF_WORKER };
    pub(super) const ANSWERS: Self = Self { one: QUEUE + QUEUE_FOR_ANSWERS, all: QUEUES_OF_WORKER };
    /// Who has not authenticated leaves those alone who have.
    pub(super) const STRANGERS: Self = Self { one: QUEUE_OF_STRANGER, all: QUEUES_OF_STRANGERS };
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether a message of `len` bytes may wait here, while the queues of all clients of the worker take `in_all`
    /// bytes of memory.
    pub(super) fn has_room(&self, len: usize, bound: Bound, in_all: usize) -> bool {
        self.len() + len <= bound.one && in_all + self.growth(len) <= bound.all
    }

    /// By how much memory it grows for `len` more bytes: no more than it must, and not for each message.
    fn growth(&self, len: usize) -> usize {
        let missing = len.saturating_sub(self.memory() - self.len());
        missing.next_multiple_of(QUEUE_GROWTH)
    }

    /// Puts `parts` without their first `skip` bytes behind all else.
    pub(super) fn extend(&mut self, parts: [&[u8]; 3], mut skip: usize) {
        let len = parts.iter().map(|part| part.len()).sum::<usize>().saturating_sub(skip);
        self.bytes.reserve_exact(self.memory() - self.len() + self.growth(len));
        for part in parts {
            let rest = part.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(part.len());
            self.bytes.extend(rest);
        }
    }

    /// Hands `socket` as much as it takes, and gives the memory of what is gone back.
    pub(super) fn send(&mut self, socket: &Socket) -> io::Result<()> {
        while !self.is_empty() {
            let (front, back) = self.bytes.as_slices();
            match send(socket, &[IoSlice::new(front), IoSlice::new(back)]) {
                Ok(sent) => drop(self.bytes.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.memory() - self.len() >= QUEUE / 2 {
                        self.bytes.shrink_to_fit();
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes = VecDeque::new();
        Ok(())
    }
}

/// Hands `slices` to the kernel; a connection that is gone is an error and no signal.
pub(super) fn send(socket: &Socket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    socket.send_vectored_with_flags(slices, libc::MSG_NOSIGNAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_already_is_left_out_wherever_it_ends() {
        let parts: [&[u8]; 3] = [b"ab", b"cde", b"\0"];
        for skip in 0..=6 {
            let mut backlog = Backlog::default();
            backlog.extend(parts, skip);
            assert_eq!(backlog.bytes.make_contiguous(), &b"abcde\0"[skip..]);
        }
    }

    #[test]
    fn answers_find_room_where_media_finds_none() {
        let mut backlog = Backlog::default();
        backlog.extend([&vec![0; QUEUE - 10], b"", b""], 0);
        assert!(backlog.has_room(10, Bound::MEDIA, 0) && !backlog.has_room(11, Bound::MEDIA, 0));
        assert!(backlog.has_room(548, Bound::ANSWERS, 0));
        assert!(!backlog.has_room(QUEUE_FOR_ANSWERS + 11, Bound::ANSWERS, 0));
        assert!(backlog.has_room(10, Bound::ANSWERS, QUEUES_OF_WORKER), "it has the memory already");
        assert!(!Backlog::default().has_room(10, Bound::ANSWERS, QUEUES_OF_WORKER - QUEUE_GROWTH + 1));
    }

    #[test]
    fn strangers_leave_room_for_clients() {
        let new = Backlog::default();
        assert!(new.has_room(QUEUE_OF_STRANGER, Bound::STRANGERS, 0));
        assert!(!new.has_room(QUEUE_OF_STRANGER + 1, Bound::STRANGERS, 0));
        assert!(!new.has_room(10, Bound::STRANGERS, QUEUES_OF_STRANGERS));
        assert!(new.has_room(10, Bound::MEDIA, QUEUES_OF_STRANGERS));
    }

    /// what is bounded is memory, not what lies in it.
    #[test]
    fn it_takes_hardly_more_memory_than_bytes() {
        let (here, there) = Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        here.set_nonblocking(true).unwrap();
        let mut backlog = Backlog::default();
        while backlog.len() < QUEUE {
            let grown = backlog.memory() + backlog.growth(1201);
            backlog.extend([&[1; 4], &[2; 1196], b"\0"], 0);
            assert_eq!(backlog.memory(), grown);
            assert!(grown < backlog.len() + QUEUE_GROWTH);
        }
        // A reader that takes a little at a time.
        while !backlog.is_empty() {
            backlog.send(&here).unwrap();
            assert!(backlog.memory() - backlog.len() < QUEUE / 2);
            io::Read::read_exact(&mut &there, &mut [0; 1000]).unwrap();
        }
        assert_eq!(backlog.memory(), 0);
    }

    #[test]
    fn all_arrives_in_order_and_the_memory_goes_back() {
        let (here, there) = Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        here.set_nonblocking(true).unwrap();
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        let mut backlog = Backlog::default();
        backlog.extend([&bytes, b"", b""], 0);
        let reader = std::thread::spawn(move || {
            let mut read = vec![0; 1_000_000];
            io::Read::read_exact(&mut &there, &mut read).unwrap();
            read
        });
        while !backlog.is_empty() {
            backlog.send(&here).unwrap();
        }
        assert_eq!(backlog.bytes.capacity(), 0);
        assert!(reader.join().unwrap() == bytes);
    }
}
