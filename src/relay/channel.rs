//! The channels of one allocation (RFC 8656 §12): a number and a peer bound to each other for 600 seconds, and then
//! kept apart from other partners for 300 more.

use super::addr::{Family, PeerAddr};
use super::clock::Instant;
use super::limits::{CHANNEL_LIFETIME, CHANNEL_REST, MAX_CHANNELS};
use crate::wire::channel_data::ChannelNumber;

/// One channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub(super) number: ChannelNumber,
    pub(super) peer: PeerAddr,
    expires: Instant,
    /// A copy of the expiry of the permission for the peer's address, so that the packet path looks up one entry only.
    permitted_until: Instant,
}

impl Channel {
    /// Whether the permission for the peer's address lives.
    pub(super) fn is_permitted(&self, now: Instant) -> bool {
        self.permitted_until > now
    }
}

/// Why a pair cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindError {
    /// The number is bound to another peer, or was until less than five minutes ago.
    NumberTaken,
    /// The peer is bound to another number, or was until less than five minutes ago.
    PeerTaken,
    /// The allocation has as many channels as it may.
    Full,
}

/// Two indexes over the same entries: by number, for what the client sends, and by peer, for what it hears.
#[derive(Default)]
pub(super) struct Channels {
    by_number: Vec<Channel>,
    /// Positions in `by_number`, in the order of the peers' addresses.
    by_peer: Vec<u16>,
}

impl Channels {
    /// The channel bound to `number` now.
    pub(super) fn by_number(&self, number: ChannelNumber, now: Instant) -> Option<&Channel> {
        let index = self.find_number(number).ok()?;
        self.by_number.get(index).filter(|channel| channel.expires > now)
    }

    /// Reads the first channel of each index, of which most allocations have one; see [`super::Server::foresee`].
    pub(super) fn touch(&self) -> u64 {
        let channel = self.by_number.first().map_or(0, |channel| channel.expires.as_nanos());
        channel ^ self.by_peer.first().map_or(0, |index| u64::from(*index))
    }

    /// The channel bound to `peer` now.
    pub(super) fn by_peer(&self, peer: PeerAddr, now: Instant) -> Option<&Channel> {
        let index = self.by_peer.get(self.find_peer(peer).ok()?).copied()?;
        self.by_number.get(usize::from(index)).filter(|channel| channel.expires > now)
    }

    /// Whether `number` and `peer` can be bound to each other (RFC 8656 §12.2).
    pub(super) fn check(&mut self, number: ChannelNumber, peer: PeerAddr, now: Instant) -> Result<(), BindError> {
        let rests = |channel: &Channel| channel.expires.after(CHANNEL_REST) > now;
        let by_number = self.find_number(number).ok().and_then(|index| self.by_number.get(index));
        if by_number.is_some_and(|channel| channel.peer != peer && rests(channel)) {
            return Err(BindError::NumberTaken);
        }
        let by_peer = self.find_peer(peer).ok().and_then(|index| self.by_peer.get(index));
        let by_peer = by_peer.and_then(|index| self.by_number.get(usize::from(*index)));
        if by_peer.is_some_and(|channel| channel.number != number && rests(channel)) {
            return Err(BindError::PeerTaken);
        }
        let exists = by_number.is_some_and(|channel| channel.peer == peer);
        if !exists && self.by_number.len() >= MAX_CHANNELS {
            self.by_number.retain(rests);
            self.index_peers();
        }
        if exists || self.by_number.len() < MAX_CHANNELS { Ok(()) } else { Err(BindError::Full) }
    }

    /// Binds a pair that `check` let pass, or sets its lifetime back to the full.
    pub(super) fn bind(&mut self, number: ChannelNumber, peer: PeerAddr, permitted_until: Instant, now: Instant) {
        let channel = Channel { number, peer, expires: now.after(CHANNEL_LIFETIME), permitted_until };
        // A rested entry may still hold the number or the peer with another partner.
        self.by_number.retain(|old| old.number != number && old.peer != peer);
        let index = self.find_number(number).unwrap_or_else(|index| index);
        self.by_number.insert(index, channel);
        self.index_peers();
    }

    /// The permission for `ip` lives until `until` now.
    pub(super) fn on_permission(&mut self, ip: std::net::IpAddr, until: Instant) {
        for channel in self.by_number.iter_mut().filter(|channel| channel.peer.ip() == ip) {
            channel.permitted_until = until;
        }
    }

    /// Drops those of one family, resting ones included: nothing of that family can be bound again.
    pub(super) fn forget(&mut self, family: Family) {
        self.by_number.retain(|channel| channel.peer.family() != family);
        self.index_peers();
    }

    fn find_number(&self, number: ChannelNumber) -> Result<usize, usize> {
        // Clients hand out numbers in order from the first one, so the position is most often the distance from it.
        let guess = usize::from(number.get().saturating_sub(ChannelNumber::MIN.get()));
        if self.by_number.get(guess).is_some_and(|channel| channel.number == number) {
            return Ok(guess);
        }
        self.by_number.binary_search_by(|channel| channel.number.cmp(&number))
    }

    fn find_peer(&self, peer: PeerAddr) -> Result<usize, usize> {
        self.by_peer.binary_search_by(|index| match self.by_number.get(usize::from(*index)) {
            Some(channel) => channel.peer.cmp(&peer),
            None => std::cmp::Ordering::Less,
        })
    }

    fn index_peers(&mut self) {
        let Self { by_number, by_peer } = self;
        by_peer.clear();
        by_peer.extend((0..).take(by_number.len()));
        by_peer.sort_unstable_by_key(|index| by_number.get(usize::from(*index)).map(|channel| channel.peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    fn number(offset: u16) -> ChannelNumber {
        ChannelNumber::try_from(0x4000 + offset).unwrap()
    }

    fn peer(port: u16) -> PeerAddr {
        PeerAddr(([192, 0, 2, 1], port).into())
    }

    fn bind(channels: &mut Channels, offset: u16, port: u16, now: u64) -> Result<(), BindError> {
        channels.check(number(offset), peer(port), at(now))?;
        channels.bind(number(offset), peer(port), at(now + 300), at(now));
        Ok(())
    }

    #[test]
    fn lives_for_600_seconds_from_its_last_refresh() {
        let mut channels = Channels::default();
        bind(&mut channels, 0, 1, 0).unwrap();
        assert!(channels.by_number(number(0), at(599)).is_some());
        assert!(channels.by_number(number(0), at(600)).is_none());
        assert!(channels.by_peer(peer(1), at(600)).is_none());
        bind(&mut channels, 0, 1, 599).unwrap();
        assert_eq!(channels.by_peer(peer(1), at(1198)).map(|channel| channel.number), Some(number(0)));
    }

    #[test]
    fn neither_side_takes_another_partner_until_it_has_rested() {
        let mut channels = Channels::default();
        bind(&mut channels, 0, 1, 0).unwrap();
        for now in [0, 599, 601, 899] {
            assert_eq!(bind(&mut channels, 0, 2, now), Err(BindError::NumberTaken), "at {now}");
            assert_eq!(bind(&mut channels, 1, 1, now), Err(BindError::PeerTaken), "at {now}");
        }
        bind(&mut channels, 0, 2, 900).unwrap();
        assert!(channels.by_peer(peer(1), at(900)).is_none());
        bind(&mut channels, 1, 1, 900).unwrap();
        assert_eq!(channels.by_peer(peer(1), at(901)).map(|channel| channel.number), Some(number(1)));
        assert_eq!(channels.by_number(number(0), at(901)).map(|channel| channel.peer), Some(peer(2)));
    }

    #[test]
    fn at_the_cap_only_what_exists_is_rebound_and_rested_ones_make_room() {
        let mut channels = Channels::default();
        let max = u16::try_from(MAX_CHANNELS).unwrap();
        for offset in (0..max).rev() {
            bind(&mut channels, offset, 10_000 - offset, 0).unwrap();
        }
        assert_eq!(bind(&mut channels, max, 1, 1), Err(BindError::Full));
        bind(&mut channels, 5, 10_000 - 5, 1).unwrap();
        for offset in 0..max {
            let found = channels.by_peer(peer(10_000 - offset), at(2)).unwrap();
            assert_eq!(found.number, number(offset));
        }
        bind(&mut channels, max, 1, 900).unwrap();
    }
}
