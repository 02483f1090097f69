//! The system calls, in the ways that are compared; io_uring's are in `ring.rs`.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use crate::ring;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// One datagram a call: recvfrom, sendto.
    Single,
    /// recvmmsg and sendmmsg where more than one waits.
    Batched,
    /// The same; what the kernel merged arrives merged (UDP_GRO), and equal neighbours leave merged (UDP_SEGMENT).
    Merged,
    /// `Batched`, and to each peer a socket of its own on the relayed port, connected, so that the kernel looks for no
    /// route.
    Connected,
    /// io_uring.
    Ring,
}

impl Strategy {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "single" => Some(Self::Single),
            "batched" => Some(Self::Batched),
            "merged" => Some(Self::Merged),
            "connected" => Some(Self::Connected),
            "uring" => Some(Self::Ring),
            _ => None,
        }
    }
}

/// Room before each datagram, for a header; a cache line, so that the payloads stay aligned.
const HEADROOM: usize = 64;
/// Datagrams that can wait for sending.
const SLOTS: usize = 512;
/// Datagrams of one call.
const CALL: usize = 64;
/// What UDP_SEGMENT takes in one message.
const MAX_SEGMENTS: usize = 64;
/// Bytes of one message's payload.
const MAX_BYTES: usize = 65_507;

/// Where datagrams lie from reading to sending.
pub(crate) struct Arena {
    strategy: Strategy,
    memory: Vec<u8>,
    slot_len: usize,
    used: usize,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    sources: Vec<libc::sockaddr_in>,
    controls: Vec<Control>,
}

/// One that was received, or a part of it.
#[derive(Clone, Copy)]
pub(crate) struct Datagram {
    /// Its first byte in the arena.
    pub(crate) at: usize,
    pub(crate) len: usize,
    /// Bytes of each datagram that the kernel merged into it (the last may be shorter); `len` if it is one.
    segment: usize,
    pub(crate) source: SocketAddrV4,
}

impl Datagram {
    /// One that the kernel has merged with no other.
    pub(crate) fn whole(at: usize, len: usize, source: SocketAddrV4) -> Self {
        Self { at, len, segment: len, source }
    }

    pub(crate) fn segments(self) -> impl Iterator<Item = Self> {
        let Self { at, len, segment, .. } = self;
        let step = segment.max(1);
        (0..len.div_ceil(step)).map(move |index| {
            let from = index * step;
            let len = step.min(len - from);
            Self { at: at + from, len, segment: len, ..self }
        })
    }
}

impl Arena {
    pub(crate) fn new(strategy: Strategy) -> Self {
        let (slots, slot_len) = match strategy {
            Strategy::Single | Strategy::Batched | Strategy::Connected => (SLOTS, 2048),
            // The most that UDP_GRO merges.
            Strategy::Merged => (SLOTS, HEADROOM + (64 << 10)),
            Strategy::Ring => (usize::from(ring::BUFFERS), ring::BUFFER_LEN),
        };
        Self {
            strategy,
            memory: vec![0; slots * slot_len],
            slot_len,
            used: 0,
            headers: zeroed(CALL),
            vectors: zeroed(CALL),
            sources: zeroed(CALL),
            controls: vec![Control::EMPTY; CALL],
        }
    }

    /// Datagrams that fit before `clear`.
    pub(crate) fn room(&self) -> usize {
        SLOTS - self.used
    }

    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    #[inline]
    pub(crate) fn bytes(&self, datagram: Datagram) -> &[u8] {
        self.bytes_at(datagram.at, datagram.len)
    }

    #[inline]
    pub(crate) fn bytes_at(&self, at: usize, len: usize) -> &[u8] {
        &self.memory[at..at + len]
    }

    /// For a kernel that fills it by itself.
    pub(crate) fn memory_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    #[inline]
    pub(crate) fn write<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.memory[at..at + N].copy_from_slice(&bytes);
    }

    /// Reads up to `asked` datagrams, never waiting, and returns how many came.
    pub(crate) fn receive(&mut self, socket: RawFd, asked: usize, into: &mut Vec<Datagram>) -> usize {
        let asked = asked.min(CALL).min(self.room());
        match self.strategy {
            Strategy::Single => (0..asked).take_while(|_| self.receive_one(socket, into)).count(),
            Strategy::Batched | Strategy::Connected if asked == 1 => usize::from(self.receive_one(socket, into)),
            Strategy::Batched | Strategy::Connected | Strategy::Merged => self.receive_many(socket, asked, into),
            // It receives by itself.
            Strategy::Ring => 0,
        }
    }

    fn receive_one(&mut self, socket: RawFd, into: &mut Vec<Datagram>) -> bool {
        let at = self.used * self.slot_len + HEADROOM;
        let buffer = &mut self.memory[at..][..self.slot_len - HEADROOM];
        let mut source = NOBODY;
        let mut source_len = size32::<libc::sockaddr_in>();
        // SAFETY: buffer and source are exclusively borrowed over the call, and their sizes are as stated.
        let len = unsafe {
            libc::recvfrom(
                socket,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT,
                (&raw mut source).cast(),
                &raw mut source_len,
            )
        };
        let Ok(len) = usize::try_from(len) else {
            return false;
        };
        self.used += 1;
        into.push(Datagram { at, len, segment: len, source: from_raw(source) });
        true
    }

    fn receive_many(&mut self, socket: RawFd, asked: usize, into: &mut Vec<Datagram>) -> usize {
        let first = self.used;
        for index in 0..asked {
            let at = (first + index) * self.slot_len + HEADROOM;
            let buffer = &mut self.memory[at..][..self.slot_len - HEADROOM];
            self.vectors[index] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut self.sources[index]).cast();
            header.msg_namelen = size32::<libc::sockaddr_in>();
            if self.strategy == Strategy::Merged {
                header.msg_control = (&raw mut self.controls[index]).cast();
                header.msg_controllen = size_of::<Control>();
            }
        }
        // SAFETY: the first `asked` headers point at a vector, a source and a control of `self`, and each vector at a
        // slot of its own in the arena; nothing of that moves over the call.
        let got = unsafe {
            libc::recvmmsg(socket, self.headers.as_mut_ptr(), count32(asked), libc::MSG_DONTWAIT, ptr::null_mut())
        };
        let got = usize::try_from(got).unwrap_or_default();
        for index in 0..got {
            let header = &self.headers[index];
            let (at, len) = ((first + index) * self.slot_len + HEADROOM, header.msg_len as usize);
            let merged = self.strategy == Strategy::Merged && header.msg_hdr.msg_controllen >= Control::USED;
            let segment = if merged { self.controls[index].gro_size() } else { None };
            into.push(Datagram { at, len, segment: segment.unwrap_or(len), source: from_raw(self.sources[index]) });
        }
        self.used += got;
        got
    }
}

/// Something to send, from the arena.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) socket: RawFd,
    pub(crate) to: SocketAddrV4,
    /// Whether the socket is connected to `to`.
    pub(crate) connected: bool,
    pub(crate) at: usize,
    pub(crate) len: usize,
    /// Bytes to put in front of it, where there is no room in the arena.
    pub(crate) front: Option<[u8; 4]>,
}

impl Piece {
    fn len_sent(&self) -> usize {
        self.len + self.front.map_or(0, |front| front.len())
    }
}

/// What waits for sending, in its order.
pub(crate) struct Outbox {
    strategy: Strategy,
    pieces: Vec<Piece>,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    targets: Vec<libc::sockaddr_in>,
    controls: Vec<Control>,
}

impl Outbox {
    pub(crate) fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            pieces: Vec::new(),
            headers: zeroed(CALL),
            // Two for each piece of each message.
            vectors: zeroed(CALL * MAX_SEGMENTS * 2),
            targets: zeroed(CALL),
            controls: vec![Control::EMPTY; CALL],
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, piece: Piece) {
        self.pieces.push(piece);
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
    }

    /// Sends everything. What the kernel does not take is lost, as it is in a router.
    pub(crate) fn send(&mut self, arena: &Arena) {
        let pieces = mem::take(&mut self.pieces);
        for run in pieces.chunk_by(|a, b| a.socket == b.socket) {
            match (self.strategy, run) {
                (Strategy::Single, _) | (Strategy::Batched | Strategy::Connected, [_]) => {
                    run.iter().for_each(|piece| send_one(piece, arena))
                }
                (Strategy::Merged, [piece]) if piece.front.is_none() => send_one(piece, arena),
                _ => self.send_run(run, arena),
            }
        }
        self.pieces = pieces;
        self.pieces.clear();
    }

    /// Sends pieces of one socket, as few messages as the strategy allows.
    fn send_run(&mut self, mut run: &[Piece], arena: &Arena) {
        let (mut messages, mut vectors) = (0, 0);
        let Some(socket) = run.first().map(|piece| piece.socket) else {
            return;
        };
        while !run.is_empty() {
            let (group, rest) = run.split_at(self.group_len(run));
            vectors += self.fill(messages, vectors, group, arena);
            messages += 1;
            run = rest;
            if messages == CALL || run.is_empty() {
                self.send_filled(socket, messages);
                (messages, vectors) = (0, 0);
            }
        }
    }

    /// How many pieces at the front go into one message: equal ones to one target, the last may be shorter.
    fn group_len(&self, run: &[Piece]) -> usize {
        if self.strategy != Strategy::Merged {
            return 1;
        }
        let segment = run[0].len_sent();
        let most = MAX_SEGMENTS.min(MAX_BYTES / segment.max(1)).max(1);
        let follows = |piece: &&Piece| piece.to == run[0].to && piece.len_sent() == segment;
        let equal = 1 + run[1..].iter().take(most - 1).take_while(follows).count();
        match run.get(equal) {
            Some(last) if equal < most && last.to == run[0].to && last.len_sent() < segment => equal + 1,
            _ => equal,
        }
    }

    /// Fills message `index` with `group`, taking vectors from `first` on, and returns how many.
    fn fill(&mut self, index: usize, first: usize, group: &[Piece], arena: &Arena) -> usize {
        let mut used = first;
        for piece in group {
            if let Some(front) = &piece.front {
                self.vectors[used] = vector(front);
                used += 1;
            }
            self.vectors[used] = vector(&arena.memory[piece.at..piece.at + piece.len]);
            used += 1;
        }
        self.targets[index] = to_raw(group[0].to);
        let header = &mut self.headers[index].msg_hdr;
        header.msg_iov = &raw mut self.vectors[first];
        header.msg_iovlen = used - first;
        header.msg_name = (&raw mut self.targets[index]).cast();
        header.msg_namelen = size32::<libc::sockaddr_in>();
        if group[0].connected {
            (header.msg_name, header.msg_namelen) = (ptr::null_mut(), 0);
        }
        (header.msg_control, header.msg_controllen) = (ptr::null_mut(), 0);
        if group.len() > 1 {
            self.controls[index] = Control::segment(group[0].len_sent());
            header.msg_control = (&raw mut self.controls[index]).cast();
            header.msg_controllen = size_of::<Control>();
        }
        used - first
    }

    fn send_filled(&mut self, socket: RawFd, messages: usize) {
        let mut done = 0;
        while done < messages {
            let rest = &mut self.headers[done..messages];
            // SAFETY: `fill` has pointed these headers at rows of `self`, at the arena and at the pieces, all of which
            // outlive the call; sending writes to nothing but `msg_len`.
            let sent = unsafe { libc::sendmmsg(socket, rest.as_mut_ptr(), count32(rest.len()), libc::MSG_DONTWAIT) };
            // An error is the first message's.
            done += usize::try_from(sent).unwrap_or_default().max(1);
        }
    }
}

fn send_one(piece: &Piece, arena: &Arena) {
    let bytes = &arena.memory[piece.at..piece.at + piece.len];
    let target = to_raw(piece.to);
    let (target, target_len) = match piece.connected {
        true => (ptr::null(), 0),
        false => ((&raw const target).cast(), size32::<libc::sockaddr_in>()),
    };
    // SAFETY: bytes and target are borrowed over the call, and their sizes are as stated.
    unsafe { libc::sendto(piece.socket, bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT, target, target_len) };
}

/// Which sockets are readable, each with the mark that it was added with. Level-triggered.
pub(crate) struct Epoll {
    set: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer; the descriptor is new and nobody else's.
        let set = unsafe { OwnedFd::from_raw_fd(checked(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { set, events: vec![libc::epoll_event { events: 0, u64: 0 }; 256] })
    }

    pub(crate) fn add(&self, socket: RawFd, mark: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: mark };
        // SAFETY: the event outlives the call, and the kernel copies it.
        checked(unsafe { libc::epoll_ctl(self.set.as_raw_fd(), libc::EPOLL_CTL_ADD, socket, &raw mut event) })?;
        Ok(())
    }

    pub(crate) fn wait(&mut self, marks: &mut Vec<u64>) -> io::Result<()> {
        marks.clear();
        let room = i32::try_from(self.events.len()).unwrap_or(i32::MAX);
        // SAFETY: the kernel writes at most `room` events, which is how many there are.
        let ready = unsafe { libc::epoll_wait(self.set.as_raw_fd(), self.events.as_mut_ptr(), room, -1) };
        let ready = match checked(ready) {
            Ok(ready) => usize::try_from(ready).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        marks.extend(self.events[..ready].iter().map(|event| event.u64));
        Ok(())
    }
}

/// As many descriptors as the system allows: each allocation takes one.
pub(crate) fn allow_many_descriptors() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit`.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one `rlimit`.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(())
}

/// Sleeps are otherwise 50 µs longer than asked for.
pub(crate) fn make_timers_exact() {
    // SAFETY: takes integers only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) };
}

/// Gets as much as `net.core.rmem_max` allows.
pub(crate) fn ask_for_receive_buffer(socket: RawFd, bytes: i32) {
    let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes);
}

/// Lets datagrams of one flow arrive as one (UDP_GRO).
pub(crate) fn merge_on_arrival(socket: RawFd) -> io::Result<()> {
    set_option(socket, libc::SOL_UDP, libc::UDP_GRO, 1)
}

/// A second socket on the port of `first`, connected to `peer`: what comes from there comes in here.
pub(crate) fn twin(first: &UdpSocket, local: SocketAddrV4, peer: SocketAddrV4) -> io::Result<UdpSocket> {
    set_option(first.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes integers only; the descriptor is new and nobody else's.
    let second = unsafe { OwnedFd::from_raw_fd(checked(libc::socket(libc::AF_INET, kind, 0))?) };
    set_option(second.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let address = to_raw(local);
    // SAFETY: the address outlives the call, and its size is as stated.
    checked(unsafe { libc::bind(second.as_raw_fd(), (&raw const address).cast(), size32::<libc::sockaddr_in>()) })?;
    let second = UdpSocket::from(second);
    second.connect(peer)?;
    Ok(second)
}

fn set_option(socket: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the kernel reads one integer.
    checked(unsafe { libc::setsockopt(socket, level, name, (&raw const value).cast(), size32::<i32>()) })?;
    Ok(())
}

/// One control message with an integer in it: its size when received (UDP_GRO), the segment's when sent (UDP_SEGMENT).
#[repr(C)]
#[derive(Clone, Copy)]
struct Control {
    header: libc::cmsghdr,
    data: [u8; 8],
}

impl Control {
    const EMPTY: Self = Self { header: libc::cmsghdr { cmsg_len: 0, cmsg_level: 0, cmsg_type: 0 }, data: [0; 8] };
    /// Header and integer.
    const USED: usize = size_of::<libc::cmsghdr>() + 4;

    fn segment(len: usize) -> Self {
        let header = libc::cmsghdr {
            cmsg_len: size_of::<libc::cmsghdr>() + 2,
            cmsg_level: libc::SOL_UDP,
            cmsg_type: libc::UDP_SEGMENT,
        };
        let [d0, d1] = u16::try_from(len).unwrap_or(u16::MAX).to_ne_bytes();
        Self { header, data: [d0, d1, 0, 0, 0, 0, 0, 0] }
    }

    fn gro_size(&self) -> Option<usize> {
        let is_size = self.header.cmsg_level == libc::SOL_UDP && self.header.cmsg_type == libc::UDP_GRO;
        let [d0, d1, d2, d3, ..] = self.data;
        if is_size { usize::try_from(i32::from_ne_bytes([d0, d1, d2, d3])).ok().filter(|size| *size > 0) } else { None }
    }
}

const NOBODY: libc::sockaddr_in = libc::sockaddr_in {
    sin_family: libc::AF_INET as libc::sa_family_t,
    sin_port: 0,
    sin_addr: libc::in_addr { s_addr: 0 },
    sin_zero: [0; 8],
};

#[inline]
pub(crate) fn to_raw(address: SocketAddrV4) -> libc::sockaddr_in {
    let s_addr = u32::from_ne_bytes(address.ip().octets());
    libc::sockaddr_in { sin_port: address.port().to_be(), sin_addr: libc::in_addr { s_addr }, ..NOBODY }
}

#[inline]
fn from_raw(address: libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes()), u16::from_be(address.sin_port))
}

fn vector(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// For the kernel's structures, which are integers and pointers.
fn zeroed<T: Copy>(count: usize) -> Vec<T> {
    // SAFETY: called for `mmsghdr`, `iovec` and `sockaddr_in` only, for which all zeros are valid.
    vec![unsafe { mem::zeroed() }; count]
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn size32<T>() -> libc::socklen_t {
    const { size_of::<T>() as libc::socklen_t }
}

/// At most some hundred.
fn count32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
