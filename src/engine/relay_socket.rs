//! The relay sockets of one worker, by the slots of their allocations.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use socket2::Socket;

use super::intake::Intake;
use super::outbox::Queue;
use super::relay_range::{OpenError, PortLease, RelayRange};
use super::sys::epoll::Epoll;
use crate::relay::seam::Entropy;
use crate::relay::{Family, PeerAddr, PortWish, RelayId, RelayedAddr};

/// The relay sockets of one worker.
pub(super) struct RelaySockets {
    ranges: Ranges,
    slots: Vec<Option<RelaySocket>>,
    /// The slots of the open ones, by what tells their addresses apart.
    by_port: HashMap<(Family, u16), u32, FixedState>,
}

/// Where relay sockets can be opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    /// For IPv4.
    pub(super) v4: Option<Arc<RelayRange>>,
    /// For IPv6.
    pub(super) v6: Option<Arc<RelayRange>>,
}

/// The socket of one relayed transport address. The order of the fields matters: the socket is closed before its port
/// is given back.
pub(super) struct RelaySocket {
    socket: Socket,
    lease: PortLease,
    generation: u32,
    /// How much to read at a time.
    pub(super) intake: Intake,
    /// What is to be sent through it.
    pub(super) queue: Queue,
}

const _: () = assert!(size_of::<Option<RelaySocket>>() <= 40, "there is one for each allocation");

impl Ranges {
    /// The one for `family`.
    pub(super) fn of(&self, family: Family) -> Option<&Arc<RelayRange>> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }
}

impl RelaySockets {
    /// None yet.
    pub(super) fn new(ranges: Ranges) -> Self {
        Self { ranges, slots: Vec::new(), by_port: HashMap::with_hasher(FixedState::default()) }
    }

    /// Opens a socket for `relay`, and has `epoll` tell of it by `token`.
    pub(super) fn open(
        &mut self,
        relay: RelayId,
        wanted: (Family, &PortWish),
        entropy: &mut impl Entropy,
        watch: (&Epoll, u64),
    ) -> Result<RelayedAddr, OpenError> {
        let (family, wish) = wanted;
        let range = self.ranges.of(family).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrNotAvailable))?;
        let (socket, lease) = range.open(wish, entropy)?;
        let (epoll, token) = watch;
        epoll.add(socket.as_fd(), token)?;
        let advertised = lease.advertised();
        let generation = relay.generation;
        let socket = RelaySocket { socket, lease, generation, intake: Intake::default(), queue: Queue::default() };
        self.by_port.insert((family, advertised.0.port()), relay.slot);
        self.insert(relay.slot, socket);
        Ok(advertised)
    }

    fn insert(&mut self, slot: u32, socket: RelaySocket) {
        // The server keeps slots below its limit of allocations and uses the gaps first.
        let slot = slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(socket);
        }
    }

    /// Closes the socket of `relay`; its port rests.
    pub(super) fn close(&mut self, relay: RelayId) {
        if let Some(place) = self.slots.get_mut(relay.slot as usize)
            && let Some(socket) = place.take_if(|socket| socket.generation == relay.generation)
        {
            self.by_port.remove(&(socket.lease.range().family(), socket.lease.advertised().0.port()));
            self.give_back();
        }
    }

    /// When the last of a crowd has left, its memory goes back.
    fn give_back(&mut self) {
        const KEEP: usize = 1024;
        if self.by_port.is_empty() && self.slots.len() > KEEP {
            self.slots = Vec::new();
            self.by_port.shrink_to(0);
        }
    }

    /// Closes all.
    pub(super) fn close_all(&mut self) {
        self.slots.clear();
        self.by_port.clear();
    }

    /// Forgets what was to be sent.
    pub(super) fn forget_queues(&mut self) {
        self.slots.iter_mut().flatten().for_each(|socket| socket.queue = Queue::default());
    }

    /// How many are open.
    pub(super) fn open_count(&self) -> usize {
        self.by_port.len()
    }

    /// If `peer` is a relayed address of this worker, whose it is, and what its client knows `relay` by. A packet costs
    /// some six tenths of what it does through the kernel (`benches/race/NOTES.md`).
    pub(super) fn switch(&mut self, relay: RelayId, peer: PeerAddr) -> Option<(RelayId, PeerAddr)> {
        let from = self.get(relay)?;
        if !from.lease.range().has(peer) {
            return None;
        }
        let from = PeerAddr(from.lease.advertised().0);
        let slot = *self.by_port.get(&(peer.family(), peer.port()))?;
        Some((self.in_slot(slot)?.id(slot), from))
    }

    /// The socket of `relay`, if it is still open.
    pub(super) fn get(&mut self, relay: RelayId) -> Option<&mut RelaySocket> {
        self.in_slot(relay.slot).filter(|socket| socket.generation == relay.generation)
    }

    /// Those in `slots` come next: see `Server::foresee`.
    pub(super) fn foresee(&self, slots: &[u32]) {
        let sockets = slots.iter().filter_map(|slot| self.slots.get(*slot as usize)?.as_ref());
        black_box(sockets.fold(0, |sum, socket| sum ^ socket.generation));
    }

    /// The socket in `slot`, whoever's it is.
    pub(super) fn in_slot(&mut self, slot: u32) -> Option<&mut RelaySocket> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }
}

impl RelaySocket {
    /// Its name, given the slot that it is in.
    pub(super) fn id(&self, slot: u32) -> RelayId {
        RelayId { slot, generation: self.generation }
    }

    /// Where to send what is for `peer`.
    pub(super) fn outward(&self, peer: PeerAddr) -> SocketAddr {
        self.lease.range().outward(peer)
    }

    /// Whom a datagram from `source` is from.
    pub(super) fn inward(&self, source: SocketAddr) -> PeerAddr {
        self.lease.range().inward(source)
    }
}

impl AsFd for RelaySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clock::Clock;
    use crate::engine::config::RelayConfig;
    use crate::engine::entropy::SystemEntropy;
    use crate::relay::{PortParity, RelayFailure};
    use std::net::Ipv4Addr;

    #[test]
    fn a_slot_answers_to_its_present_generation_only() {
        let range = RelayRange::new(&RelayConfig::at(Ipv4Addr::LOCALHOST), 64 << 10, Clock::start()).unwrap();
        let mut relays = RelaySockets::new(Ranges { v4: Some(range.clone()), v6: None });
        let (epoll, mut entropy) = (Epoll::new().unwrap(), SystemEntropy::new().unwrap());
        let mut open = |relays: &mut RelaySockets, relay, family| {
            relays.open(relay, (family, &PortWish::Single(PortParity::Any)), &mut entropy, (&epoll, 0))
        };
        let [old, new] = [1, 2].map(|generation| RelayId { slot: 3, generation });

        open(&mut relays, old, Family::V4).unwrap();
        assert_eq!(relays.get(old).unwrap().id(3), old);
        assert!(relays.get(new).is_none());
        relays.close(new);
        assert_eq!(relays.open_count(), 1, "nobody closes another one's socket");

        relays.close(old);
        open(&mut relays, new, Family::V4).unwrap();
        assert!(relays.get(old).is_none() && relays.get(new).is_some());
        assert_eq!((relays.open_count(), range.usage().used, range.usage().resting), (1, 1, 1));

        let failure = open(&mut relays, RelayId { slot: 0, generation: 0 }, Family::V6).unwrap_err().failure();
        assert_eq!(failure, RelayFailure::Refused);
        relays.close_all();
        assert_eq!((relays.open_count(), range.usage().used), (0, 0));
    }
}
