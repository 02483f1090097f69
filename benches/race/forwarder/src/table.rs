//! Who sends where: one allocation a client, one socket an allocation.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use crate::io::{Strategy, merge_on_arrival};

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
    /// How many datagrams the next read of the socket asks for.
    pub(crate) asks: usize,
    channels: Vec<Channel>,
}

#[derive(Clone, Copy)]
pub(crate) struct Channel {
    pub(crate) number: u16,
    pub(crate) peer: SocketAddrV4,
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
        let allocation = Allocation { client, relayed, socket, asks: 1, channels: Vec::with_capacity(1) };
        let place = match self.free.pop() {
            Some(place) => {
                self.allocations[place] = Some(allocation);
                place
            }
            None => {
                self.allocations.push(Some(allocation));
                self.allocations.len() - 1
            }
        };
        self.by_client.insert(client, place);
        self.by_port.insert(relayed.port(), place);
        Ok((place, true))
    }

    pub(crate) fn free(&mut self, client: SocketAddrV4) {
        if let Some(place) = self.by_client.remove(&client)
            && let Some(allocation) = self.allocations[place].take()
        {
            self.by_port.remove(&allocation.relayed.port());
            self.free.push(place);
        }
    }

    /// Binds `number` to `peer`; whether there was an allocation to bind it in.
    pub(crate) fn bind(&mut self, client: SocketAddrV4, number: u16, peer: SocketAddrV4) -> bool {
        let is_neighbour = self.switch && *peer.ip() == self.relay_ip;
        let neighbour = if is_neighbour { self.by_port.get(&peer.port()).copied() } else { None };
        let Some(allocation) = self.of_client_mut(client) else {
            return false;
        };
        allocation.channels.retain(|channel| channel.number != number);
        allocation.channels.push(Channel { number, peer, neighbour });
        true
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

    fn of_client_mut(&mut self, client: SocketAddrV4) -> Option<&mut Allocation> {
        self.at_mut(*self.by_client.get(&client)?)
    }
}

impl Allocation {
    #[inline]
    pub(crate) fn channel(&self, number: u16) -> Option<Channel> {
        self.channels.iter().copied().find(|channel| channel.number == number)
    }

    #[inline]
    pub(crate) fn channel_to(&self, peer: SocketAddrV4) -> Option<Channel> {
        self.channels.iter().copied().find(|channel| channel.peer == peer)
    }
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
