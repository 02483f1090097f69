//! Sending: sendmmsg(2). Datagrams of equal length to one address that follow each other leave as one run (udp(7),
//! UDP_SEGMENT): they go through the stack once, and are cut at the device or not at all.

use std::io;
use std::iter::Peekable;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::super::cmsg::Control;
use super::super::segment::MAX_SEGMENTS;
use super::super::sockaddr::RawAddr;
use super::{empty_headers, empty_vectors, len32};

/// The arrays of `sendmmsg`.
pub(crate) struct Sender {
    headers: Box<[libc::mmsghdr]>,
    rows: Box<[Row]>,
    vectors: Box<[libc::iovec]>,
    /// The most datagrams of a run.
    longest_run: usize,
}

/// What a header points at, but for the vectors.
#[derive(Clone, Copy)]
struct Row {
    target: RawAddr,
    target_len: usize,
    control: Control,
    /// Bytes of `control` without the length of a segment.
    control_len: usize,
    /// How many datagrams it is.
    count: usize,
    /// Vectors of each.
    vectors: usize,
}

/// One datagram to send: `front`, `bytes` and `padding` zeros, one behind the other.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'b> {
    /// Its beginning.
    pub(crate) front: &'b [u8],
    /// What follows.
    pub(crate) bytes: &'b [u8],
    /// Zeros at the end, at most [`MAX_PADDING`].
    pub(crate) padding: usize,
    /// Where to.
    pub(crate) to: SocketAddr,
    /// The address of ours to send from; if none, the socket's own or one that the kernel chooses.
    pub(crate) from: Option<IpAddr>,
    /// The TOS byte or traffic class.
    pub(crate) tos: u8,
}

/// What became of datagrams that were handed to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Taken by the kernel.
    pub(crate) sent: u64,
    /// The socket's or the device's queue is full.
    pub(crate) queue_full: u64,
    /// Longer than the path or the protocol lets through.
    pub(crate) too_long: u64,
    /// No route, or the host's own packet filter forbids it.
    pub(crate) unreachable: u64,
    /// Anything else.
    pub(crate) failed: u64,
}

/// Zeros that can be put behind a datagram, in bytes.
pub(crate) const MAX_PADDING: usize = 3;
static ZEROS: [u8; MAX_PADDING] = [0; MAX_PADDING];
/// Front, bytes, padding.
const VECTORS: usize = 3;
/// The longest run, in bytes: an IPv4 datagram's payload, since a run is one until it is cut.
const MAX_RUN: usize = 65_507;
const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

impl Sender {
    /// For up to `capacity` datagrams a call.
    pub(crate) fn new(capacity: usize) -> Self {
        let row = Row {
            target: RawAddr::EMPTY,
            target_len: 0,
            control: Control::EMPTY,
            control_len: 0,
            count: 0,
            vectors: 0,
        };
        Self {
            headers: empty_headers(capacity),
            rows: vec![row; capacity].into(),
            vectors: empty_vectors(capacity * VECTORS),
            longest_run: MAX_SEGMENTS,
        }
    }

    /// The same, for one that never makes runs.
    pub(crate) fn one_by_one(capacity: usize) -> Self {
        Self { longest_run: 1, ..Self::new(capacity) }
    }

    /// Sends all `datagrams` through `socket` in their order. Never waits: a datagram that the kernel does not take is
    /// dropped and counted, as a router would; when the socket's buffer is full all behind it are.
    pub(crate) fn send<'b>(&mut self, socket: BorrowedFd<'_>, datagrams: impl Iterator<Item = Outgoing<'b>>) -> Sent {
        self.send_noting(socket, datagrams, &mut |_| {})
    }

    /// The same, and tells `refused` which of them (numbered from 0) the kernel did not take.
    pub(crate) fn send_noting<'b>(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: impl Iterator<Item = Outgoing<'b>>,
        refused: &mut dyn FnMut(Range<usize>),
    ) -> Sent {
        let mut sent = Sent::default();
        let (mut datagrams, mut before) = (datagrams.peekable(), 0);
        loop {
            let filled = self.fill(&mut datagrams);
            if filled == 0 {
                return sent;
            }
            let mut note = |range: Range<usize>| refused(before + range.start..before + range.end);
            // SAFETY: `fill` has pointed the first `filled` headers at rows and vectors of `self`, and these at bytes
            // that `'b` keeps borrowed.
            unsafe { self.send_filled(socket, filled, &mut sent, &mut note) };
            before += self.datagrams(0..filled);
        }
    }

    /// Fills as many rows as there are runs, or room, and returns how many.
    fn fill<'b>(&mut self, datagrams: &mut Peekable<impl Iterator<Item = Outgoing<'b>>>) -> usize {
        let mut filled = 0;
        // Handed out piece by piece: who borrowed the whole again would invalidate what headers point at already.
        let mut free = &mut *self.vectors;
        for (header, row) in self.headers.iter_mut().zip(&mut self.rows) {
            let Some(first) = datagrams.next_if(|_| free.len() >= VECTORS) else { break };
            let segment = row.begin(&first, free);
            let room = free.len().min(self.longest_run * row.vectors);
            while let Some(next) = datagrams.next_if(|next| row.can_take(&first, segment, next, room)) {
                row.take(&next, free);
                if next.len() < segment {
                    break;
                }
            }
            let vectors = free.split_off_mut(..row.count * row.vectors).unwrap_or_default();
            row.describe(&mut header.msg_hdr, vectors, segment);
            filled += 1;
        }
        filled
    }

    /// # Safety
    /// The first `filled` headers must point at rows and vectors of `self`, and these at bytes that are alive.
    unsafe fn send_filled(
        &mut self,
        socket: BorrowedFd<'_>,
        filled: usize,
        tally: &mut Sent,
        refused: &mut dyn FnMut(Range<usize>),
    ) {
        let (mut done, mut tried_again) = (0, None);
        while done < filled {
            // SAFETY: the caller vouches for the headers; those from `done` to `filled` are within the array.
            let result = unsafe { self.call(socket, done, filled) };
            if let Ok(sent @ 1..) = usize::try_from(result) {
                tally.sent += self.datagrams(done..done + sent) as u64;
                done += sent;
                continue;
            }
            // The error is the first one's; those behind it deserve their own attempt, unless none can succeed.
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => {}
                // On a socket that reports errors it may be about an earlier datagram to somebody else, and is told
                // once. What is too long is so by itself, and each attempt would be reported anew.
                Some(error) if !matches!(error, libc::EAGAIN | libc::EMSGSIZE) && tried_again != Some(done) => {
                    tried_again = Some(done);
                }
                Some(libc::EAGAIN) => {
                    tally.queue_full += self.datagrams(done..filled) as u64;
                    refused(self.datagrams(0..done)..self.datagrams(0..filled));
                    return;
                }
                _ if self.rows[done].count > 1 => {
                    // SAFETY: as above.
                    unsafe { self.send_apart(socket, done, tally, refused) };
                    done += 1;
                }
                error => {
                    *tally.refused(error) += 1;
                    let at = self.datagrams(0..done);
                    refused(at..at + 1);
                    done += 1;
                }
            }
        }
    }

    /// # Safety
    /// The headers from `done` to `filled` must be filled.
    unsafe fn call(&mut self, socket: BorrowedFd<'_>, done: usize, filled: usize) -> libc::c_int {
        let headers = &mut self.headers[done..filled];
        if let [only] = headers {
            let sent = match &only.msg_hdr {
                // The kernel takes the plainest case a tenth of a microsecond faster without a header to copy.
                plain if plain.msg_iovlen == 1 && plain.msg_controllen == 0 => {
                    // SAFETY: the caller vouches for the header, so for the bytes and the address it points at.
                    unsafe {
                        let bytes = *plain.msg_iov;
                        let (to, len) = (plain.msg_name.cast_const().cast(), plain.msg_namelen);
                        libc::sendto(socket.as_raw_fd(), bytes.iov_base, bytes.iov_len, FLAGS, to, len)
                    }
                }
                // SAFETY: the caller vouches for the header; sending only reads.
                header => unsafe { libc::sendmsg(socket.as_raw_fd(), header, FLAGS) },
            };
            return if sent < 0 { -1 } else { 1 };
        }
        // SAFETY: the caller vouches for the headers; sending writes to nothing but their `msg_len`.
        unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), len32(headers.len()), FLAGS as _) }
    }

    /// Sends the datagrams of a run that the kernel did not take as such: the path may let less through than the run's
    /// datagrams are long, and then they are fragmented as others are.
    ///
    /// # Safety
    /// The header with this index must be filled.
    unsafe fn send_apart(
        &mut self,
        socket: BorrowedFd<'_>,
        index: usize,
        tally: &mut Sent,
        refused: &mut dyn FnMut(Range<usize>),
    ) {
        let first = self.datagrams(0..index);
        let row = &self.rows[index];
        let header = &mut self.headers[index].msg_hdr;
        header.msg_controllen = row.control_len as _;
        header.msg_iovlen = row.vectors as _;
        for at in first..first + row.count {
            // SAFETY: the header points at as many vectors of the row as a datagram has.
            let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), header, FLAGS) };
            if sent < 0 {
                let error = io::Error::last_os_error().raw_os_error();
                *tally.refused(error) += 1;
                refused(at..at + 1);
            } else {
                tally.sent += 1;
            }
            header.msg_iov = header.msg_iov.wrapping_add(row.vectors);
        }
    }

    fn datagrams(&self, rows: Range<usize>) -> usize {
        self.rows[rows].iter().map(|row| row.count).sum()
    }
}

impl Row {
    /// Begins with one datagram, and returns its length.
    fn begin(&mut self, first: &Outgoing<'_>, vectors: &mut [libc::iovec]) -> usize {
        self.count = 0;
        self.target_len = self.target.set(first.to);
        self.control_len = self.control.set(first.to.ip(), first.tos, first.from);
        self.vectors = 1 + usize::from(!first.front.is_empty()) + usize::from(first.padding > 0);
        self.take(first, vectors);
        first.len()
    }

    /// Whether `next` can follow in the run that `first` has begun.
    fn can_take(&self, first: &Outgoing<'_>, segment: usize, next: &Outgoing<'_>, room: usize) -> bool {
        let alike = (next.to, next.from, next.tos) == (first.to, first.from, first.tos)
            && next.front.is_empty() == first.front.is_empty()
            && (next.padding > 0) == (first.padding > 0);
        // An empty datagram cannot be told from none at the end of a run.
        let fits = (1..=segment).contains(&next.len()) && segment * (self.count + 1) <= MAX_RUN;
        alike && fits && self.count < MAX_SEGMENTS && (self.count + 1) * self.vectors <= room
    }

    fn take(&mut self, datagram: &Outgoing<'_>, vectors: &mut [libc::iovec]) {
        let Outgoing { front, bytes, padding, .. } = *datagram;
        let padding = ZEROS.get(..padding).unwrap_or(&ZEROS);
        let parts = [front, bytes, padding].into_iter().enumerate();
        // The payload is a part even if it is empty.
        let parts = parts.filter(|(index, part)| *index == 1 || !part.is_empty());
        let places = vectors.iter_mut().skip(self.count * self.vectors);
        for (place, (_, part)) in places.zip(parts) {
            *place = libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
        }
        self.count += 1;
    }

    /// Points `header` at it and at its `vectors`.
    fn describe(&mut self, header: &mut libc::msghdr, vectors: &mut [libc::iovec], segment: usize) {
        header.msg_iov = vectors.as_mut_ptr();
        header.msg_iovlen = vectors.len() as _;
        header.msg_namelen = len32(self.target_len);
        header.msg_name = ptr::from_mut(&mut self.target).cast();
        header.msg_control = ptr::from_mut(&mut self.control).cast();
        header.msg_controllen = match u16::try_from(segment) {
            Ok(segment) if self.count > 1 => self.control.and_segment(self.control_len, segment) as _,
            _ => self.control_len as _,
        };
    }
}

impl Outgoing<'_> {
    /// In bytes.
    fn len(&self) -> usize {
        self.front.len() + self.bytes.len() + self.padding
    }
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.queue_full += other.queue_full;
        self.too_long += other.too_long;
        self.unreachable += other.unreachable;
        self.failed += other.failed;
    }
}

impl Sent {
    /// The count that a datagram refused with `error` belongs to.
    fn refused(&mut self, error: Option<i32>) -> &mut u64 {
        match error {
            Some(libc::EAGAIN | libc::ENOBUFS) => &mut self.queue_full,
            Some(libc::EMSGSIZE) => &mut self.too_long,
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EPERM | libc::ECONNREFUSED) => {
                &mut self.unreachable
            }
            _ => &mut self.failed,
        }
    }
}
