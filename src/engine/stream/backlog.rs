//! What a client has yet to read: whole messages, and the rest of one that the kernel took a part of.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use socket2::Socket;

use super::limits::{QUEUE, QUEUE_FOR_ANSWERS, QUEUES_OF_WORKER};

/// Bytes in the order in which they leave. Empty, it takes no memory.
#[derive(Default)]
pub(super) struct Backlog {
    bytes: VecDeque<u8>,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether a message of `len` bytes may wait here, while `in_all` bytes wait for all clients of the worker.
    pub(super) fn has_room(&self, len: usize, is_answer: bool, in_all: usize) -> bool {
        let most = if is_answer { QUEUE + QUEUE_FOR_ANSWERS } else { QUEUE };
        self.len() + len <= most && in_all + len <= QUEUES_OF_WORKER
    }

    /// Puts `parts` without their first `skip` bytes behind all else.
    pub(super) fn extend(&mut self, parts: [&[u8]; 3], mut skip: usize) {
        for part in parts {
            let rest = part.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(part.len());
            self.bytes.extend(rest);
        }
    }

    /// Hands `socket` as much as it takes, and gives the memory back once all is gone.
    pub(super) fn send(&mut self, socket: &Socket) -> io::Result<()> {
        while !self.is_empty() {
            let (front, back) = self.bytes.as_slices();
            match send(socket, &[IoSlice::new(front), IoSlice::new(back)]) {
                Ok(sent) => drop(self.bytes.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
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
        assert!(backlog.has_room(10, false, 0) && !backlog.has_room(11, false, 0));
        assert!(backlog.has_room(548, true, 0) && !backlog.has_room(QUEUE_FOR_ANSWERS + 11, true, 0));
        assert!(!backlog.has_room(10, true, QUEUES_OF_WORKER - 9));
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
