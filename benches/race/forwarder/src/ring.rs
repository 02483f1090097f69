//! io_uring: every socket has a multishot receive into buffers that the ring provides, and one system call a turn sends
//! what the last turn left and waits for the next.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{BufRingEntry, CancelBuilder, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};

use crate::io::{Arena, Datagram, Piece, to_raw};

/// Buffers that the kernel may fill; one datagram each.
pub(crate) const BUFFERS: u16 = 1024;
/// Bytes of each.
pub(crate) const BUFFER_LEN: usize = 2048;
/// What the kernel writes before a payload: its header of four integers, and the source's address.
const FRONT: usize = 16 + size_of::<libc::sockaddr_in>();
/// Requests that wait for submission; more are submitted at once.
const ENTRIES: u32 = 2048;
/// Sockets that the ring knows by their place in a table of its own, which spares a look-up of the descriptor.
const FILES: u32 = 16_384;
const GROUP: u16 = 0;
/// The mark of a send: only one that failed says so.
const SEND: u64 = u64::MAX - 1;

pub(crate) struct Ring {
    ring: IoUring,
    provided: Box<Provided>,
    /// Where the first buffer begins; the others follow.
    memory: u64,
    tail: u16,
    /// Buffers whose datagrams are sent once the next submission is over.
    lent: Vec<u16>,
    /// What every receive has for a header: room for the source.
    template: Box<libc::msghdr>,
    targets: Vec<libc::sockaddr_in>,
    /// The marks of receives that ended, to be begun again.
    ended: Vec<u64>,
}

/// The ring of free buffers, as the kernel wants it: on a page of its own, its tail in the first entry's spare bytes.
#[repr(C, align(4096))]
struct Provided([[u64; 2]; BUFFERS as usize]);

impl Ring {
    /// A ring whose datagrams land in `arena`.
    pub(crate) fn new(arena: &mut Arena) -> io::Result<Self> {
        let ring =
            IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(2 * ENTRIES).build(ENTRIES)?;
        ring.submitter().register_files_sparse(FILES)?;
        let provided = Box::new(Provided([[0; 2]; BUFFERS as usize]));
        let begin = ptr::from_ref(&*provided);
        // SAFETY: the entries lie in a box, and the buffers in the arena's memory, neither of which moves or ends
        // before the ring does.
        unsafe { ring.submitter().register_buf_ring_with_flags(begin as u64, BUFFERS, GROUP, 0)? };
        // SAFETY: all zeros are a message header without anything.
        let mut template: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        template.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let (lent, ended, targets) = ((0..BUFFERS).collect(), Vec::new(), Vec::with_capacity(ENTRIES as usize));
        let memory = arena.memory_mut().as_mut_ptr() as u64;
        let mut this = Self { ring, provided, memory, tail: 0, lent, template, targets, ended };
        this.give_back();
        Ok(this)
    }

    /// Receives on `socket` from now on, which others call `handle`.
    pub(crate) fn add(&mut self, socket: RawFd, handle: RawFd, mark: u64) -> io::Result<()> {
        self.ring.submitter().register_files_update(slot(handle), &[socket])?;
        self.begin(handle, mark);
        Ok(())
    }

    /// Receives no more: until then the socket is not closed.
    pub(crate) fn remove(&mut self, handle: RawFd, mark: u64) {
        // A receive that has ended by itself is not found.
        let _ = self.ring.submitter().register_sync_cancel(None, CancelBuilder::user_data(mark));
        self.ended.retain(|ended| *ended != mark);
        let _ = self.ring.submitter().register_files_update(slot(handle), &[-1]);
    }

    /// Submits what is queued, waits for one datagram or, if `nap` is not zero, for that long, and hands over all that
    /// came. `handle` knows the sockets of marks.
    ///
    /// A minimum wait with a longer timeout behind it (`min_wait_usec`, Linux 6.12) says the same in fewer words; on
    /// Linux 6.18 such a wait slept on until the longer timeout when a datagram came after the shorter.
    pub(crate) fn wait(
        &mut self,
        arena: &Arena,
        nap: Duration,
        handle: impl Fn(u64) -> Option<RawFd>,
        mut arrived: impl FnMut(u64, Datagram),
    ) -> io::Result<()> {
        for mark in std::mem::take(&mut self.ended) {
            if let Some(handle) = handle(mark) {
                self.begin(handle, mark);
            }
        }
        let submitted = match nap.is_zero() {
            true => self.ring.submit_and_wait(1),
            false => {
                let nap = Timespec::from(nap);
                self.ring.submitter().submit_with_args(usize::from(BUFFERS), &SubmitArgs::new().timespec(&nap))
            }
        };
        match submitted {
            Err(error) if ![libc::ETIME, libc::EINTR].map(Some).contains(&error.raw_os_error()) => return Err(error),
            _ => {}
        }
        self.give_back();
        for completion in self.ring.completion() {
            let (mark, flags) = (completion.user_data(), completion.flags());
            if mark == SEND || completion.result() == -libc::ECANCELED {
                continue;
            }
            if !cqueue::more(flags) {
                self.ended.push(mark);
            }
            if let Some(bid) = cqueue::buffer_select(flags) {
                self.lent.push(bid);
                if let Some(datagram) = received(arena, usize::from(bid)) {
                    arrived(mark, datagram);
                }
            }
        }
        Ok(())
    }

    /// Queues `pieces`; their bytes stay where they are until the next `wait`.
    pub(crate) fn send(&mut self, pieces: &[Piece], arena: &Arena) {
        self.targets.clear();
        for piece in pieces.iter().take(ENTRIES as usize) {
            let bytes = arena.bytes_at(piece.at, piece.len);
            // The room is there from the beginning: what is in it never moves.
            self.targets.push(to_raw(piece.to));
            let target = self.targets.last().map_or(ptr::null(), ptr::from_ref);
            let entry = opcode::Send::new(Fixed(slot(piece.socket)), bytes.as_ptr(), bytes.len() as u32)
                .flags(libc::MSG_DONTWAIT)
                .dest_addr(target.cast())
                .dest_addr_len(size_of::<libc::sockaddr_in>() as libc::socklen_t)
                .build();
            self.push(entry.flags(Flags::SKIP_SUCCESS).user_data(SEND));
        }
    }

    fn begin(&mut self, handle: RawFd, mark: u64) {
        let entry = opcode::RecvMsgMulti::new(Fixed(slot(handle)), &raw const *self.template, GROUP);
        self.push(entry.build().user_data(mark));
    }

    fn push(&mut self, entry: Entry) {
        // SAFETY: a receive's header is in a box of `self`, which outlives the ring; a send's bytes and target stay
        // until it is submitted, and then it is done: it does not wait, and the kernel carries it out at once.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            // Full: an error will come again when the next wait submits.
            let _ = self.ring.submit();
        }
    }

    /// Gives the kernel the buffers again whose datagrams have been sent.
    fn give_back(&mut self) {
        let begin: *mut BufRingEntry = ptr::from_mut(&mut *self.provided).cast();
        for bid in self.lent.drain(..) {
            // SAFETY: the place is below BUFFERS, an entry is 16 bytes of integers, and the kernel reads none at or
            // beyond the tail.
            let entry = unsafe { &mut *begin.add(usize::from(self.tail % BUFFERS)) };
            entry.set_addr(self.memory + u64::from(bid) * BUFFER_LEN as u64);
            entry.set_len(BUFFER_LEN as u32);
            entry.set_bid(bid);
            self.tail = self.tail.wrapping_add(1);
        }
        // SAFETY: the tail lies in the first entry, which is aligned; the kernel alone reads it meanwhile.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(begin).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// What the kernel has put into a buffer: four integers (the address's length, the control messages', the payload's,
/// and flags), the source, the payload.
fn received(arena: &Arena, bid: usize) -> Option<Datagram> {
    let begin = bid * BUFFER_LEN;
    let front = arena.bytes_at(begin, FRONT);
    let number = |at: usize| front.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let len = (number(8)? as usize).min(BUFFER_LEN - FRONT);
    // A family, a port and an address (ip(7)), the latter two as they are on the wire.
    let [_, _, p0, p1, a, b, c, d] = *front.get(16..)?.first_chunk::<8>()?;
    let source = SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([p0, p1]));
    Some(Datagram::whole(begin + FRONT, len, source))
}

fn slot(handle: RawFd) -> u32 {
    u32::try_from(handle).unwrap_or(u32::MAX)
}
