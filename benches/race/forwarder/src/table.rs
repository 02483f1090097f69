//! Who sends where: one allocation a client, one socket an allocation.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use crate::io::{Strategy, merge_on_arrival, twin};

pub(crate) struct Table {
    relay_ip: Ipv4Addr,
    strategy: Strategy,
    switch: bool,
    /// The place of a freed allocation stays empty until another takes it.
    allocations: Vec<Option<Allocation>>,
    free: Vec<usize>,
    by_client: HashMap<SocketAddrV4, usize, BuildHasherDefault<Mix>>,
    by_port: HashMap<u16, usize, BuildHasherDefault<Mix>>,
}

pub(crate) struct Allocation {
    pub(crate) client: SocketAddrV4,
    pub(crate) relayed: SocketAddrV4,
    pub(crate) socket: UdpSocket,
    /// The socket that the first peer has for itself (`Strategy::Connected`).
    pub(crate) twin: Option<UdpSocket>,
    /// What a piece for `socket` names: its descriptor, or with io_uring its place in the ring's table.
    pub(crate) handle: RawFd,
    /// How many datagrams the next read of the socket asks for.
    pub(crate) asks: usize,
    channels: Vec<Channel>,
}

#[derive(Clone, Copy)]
pub(crate) struct Channel {
    pub(crate) number: u16,
    pub(crate) peer: SocketAddrV4,
    /// Whether the allocation's twin is connected to `peer`.
    pub(crate) has_twin: bool,
    /// The allocation that `peer` is the relayed address of, when packets are to be switched.
    neighbour: Option<usize>,
}

impl Table {
    pub(crate) fn new(relay_ip: Ipv4Addr, strategy: Strategy, switch: bool) -> Self {
        let (by_client, by_port) = (HashMap::default(), HashMap::default());
        Self { relay_ip, strategy, switch, allocations: Vec::new(), free: Vec::new(), by_client, by_port }
    }

    /// The place of the client's allocation, and whether it is new; a repeated request finds the old one.
    pub(crate) fn allocate(&mut self, client: SocketAddrV4) -> io::Result<(usize, bool)> {
        if let Some(&place) = self.by_client.get(&client) {
            return Ok((place, false));
        }
        let socket = UdpSocket::bind((self.relay_ip, 0))?;
        socket.set_nonblocking(true)?;
        if self.strategy == Strategy::Merged {
            merge_on_arrival(socket.as_raw_fd())?;
        }
        let relayed = SocketAddrV4::new(self.relay_ip, socket.local_addr()?.port());
        let place = self.free.pop().unwrap_or_else(|| {
            self.allocations.push(None);
            self.allocations.len() - 1
        });
        let handle = match self.strategy {
            Strategy::Ring => handle_of(place),
            _ => socket.as_raw_fd(),
        };
        let channels = Vec::with_capacity(1);
        self.allocations[place] = Some(Allocation { client, relayed, socket, twin: None, handle, asks: 1, channels });
        self.by_client.insert(client, place);
        self.by_port.insert(relayed.port(), place);
        Ok((place, true))
    }

    /// The place that is free now.
    pub(crate) fn free(&mut self, client: SocketAddrV4) -> Option<usize> {
        let place = self.by_client.remove(&client)?;
        let allocation = self.allocations[place].take()?;
        self.by_port.remove(&allocation.relayed.port());
        self.free.push(place);
        Some(place)
    }

    /// Binds `number` to `peer`; the place of the allocation, if there is one, and whether it has a twin since.
    pub(crate) fn bind(&mut self, client: SocketAddrV4, number: u16, peer: SocketAddrV4) -> Option<(usize, bool)> {
        let place = *self.by_client.get(&client)?;
        let connects = self.strategy == Strategy::Connected;
        let is_neighbour = self.switch && *peer.ip() == self.relay_ip;
        let neighbour = if is_neighbour { self.by_port.get(&peer.port()).copied() } else { None };
        let allocation = self.at_mut(place)?;
        let had_twin = allocation.twin.is_some();
        if connects && !had_twin {
            allocation.twin = twin(&allocation.socket, allocation.relayed, peer).ok();
        }
        let is_new = allocation.twin.is_some() && !had_twin;
        let has_twin = is_new || allocation.channel(number).is_some_and(|old| old.peer == peer && old.has_twin);
        allocation.channels.retain(|channel| channel.number != number);
        allocation.channels.push(Channel { number, peer, has_twin, neighbour });
        Some((place, is_new))
    }

    #[inline]
    pub(crate) fn of_client(&self, client: SocketAddrV4) -> Option<&Allocation> {
        self.at(*self.by_client.get(&client)?)
    }

    #[inline]
    pub(crate) fn at(&self, place: usize) -> Option<&Allocation> {
        self.allocations.get(place)?.as_ref()
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, place: usize) -> Option<&mut Allocation> {
        self.allocations.get_mut(place)?.as_mut()
    }

    /// Where a packet goes that `allocation` sends on `channel`, if its peer is a client of ours.
    #[inline]
    pub(crate) fn neighbour(&self, allocation: &Allocation, channel: Channel) -> Option<(&Allocation, u16)> {
        let neighbour = self.at(channel.neighbour?)?;
        Some((neighbour, neighbour.channel_to(allocation.relayed)?.number))
    }
}

impl Allocation {
    /// The socket for what goes to `channel`'s peer, and whether it is connected to it.
    #[inline]
    pub(crate) fn way_to(&self, channel: Channel) -> (RawFd, bool) {
        match &self.twin {
            Some(twin) if channel.has_twin => (twin.as_raw_fd(), true),
            _ => (self.handle, false),
        }
    }

    #[inline]
    pub(crate) fn channel(&self, number: u16) -> Option<Channel> {
        self.channels.iter().copied().find(|channel| channel.number == number)
    }

    #[inline]
    pub(crate) fn channel_to(&self, peer: SocketAddrV4) -> Option<Channel> {
        self.channels.iter().copied().find(|channel| channel.peer == peer)
    }
}

/// Where the ring keeps the socket of a place: behind the listener's.
pub(crate) fn handle_of(place: usize) -> RawFd {
    RawFd::try_from(place + 1).unwrap_or(RawFd::MAX)
}

/// A hash that costs nothing to speak of; those who send here are ours.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        // hashbrown takes the upper bits for its tags and the lower for the place.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
