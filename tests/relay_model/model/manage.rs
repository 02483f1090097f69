//! Requests about an allocation that stands: Refresh, CreatePermission, ChannelBind (RFC 8656 §8, §10, §12).

use std::net::SocketAddr;
use std::time::Duration;

use turnkeep::relay::seam::Policy;
use turnkeep::relay::{CloseReason, Family, PeerAddr};
use turnkeep::wire::attribute::AttributeType;

use super::allocate::granted;
use super::allocation::{Allocation, CHANNEL_LIFETIME, CHANNEL_REST, Channel, REFRESH_NOTED_EVERY};
use super::{Asked, Model, is_channel, same_tuple};
use crate::outcome::{Answer, Note, Outcome, Why};
use crate::said::{Attr, Said};

const MAX_CHANNELS: usize = 256;
const MAX_PEERS: usize = 32;

impl Model {
    /// RFC 8656 §8.2.
    pub(super) fn refresh(&mut self, asked: &Asked, said: &Said) -> Outcome {
        let (now, max_lifetime) = (self.now.instant, self.facts.max_lifetime);
        let allocation = match self.owned(asked) {
            Ok(allocation) => allocation,
            Err(refused) => return refused,
        };
        let lifetime = match said.first(AttributeType::LIFETIME) {
            Some(Attr::Lifetime(seconds)) => Some(*seconds),
            Some(_) => return asked.refuse(400),
            None => None,
        };
        match said.first(AttributeType::REQUESTED_ADDRESS_FAMILY) {
            Some(Attr::Family(family)) if *family != number_of(allocation.family) => return asked.refuse(443),
            Some(Attr::Malformed(_)) => return asked.refuse(400),
            _ => {}
        }
        if lifetime == Some(0) {
            let place = self.allocations.iter().position(|allocation| same_tuple(allocation.path, asked.path)).unwrap();
            let allocation = self.allocations.remove(place);
            self.rest(&allocation, now);
            let answer = Answer { lifetime: Some(0..=0), ..asked.transaction.answer(0) };
            return Outcome::answered(answer).noting(allocation.closed(CloseReason::ClientRefresh));
        }
        let lifetime = granted(lifetime, max_lifetime);
        allocation.lifetime = lifetime;
        allocation.expires = now.after(Duration::from_secs(lifetime.into()));
        let refreshed = Note::Refreshed {
            user: allocation.who.user.0.to_string(),
            client: allocation.path.client.0,
            relayed: allocation.relayed.expect("it is open"),
            lifetime: u64::from(lifetime),
            totals: allocation.totals,
        };
        let answer = Answer { lifetime: Some(lifetime..=lifetime), ..asked.transaction.answer(0) };
        if allocation.refresh_noted.is_some_and(|last| now.since(last) < REFRESH_NOTED_EVERY) {
            return Outcome::answered(answer);
        }
        allocation.refresh_noted = Some(now);
        Outcome::answered(answer).noting(refreshed)
    }

    /// RFC 8656 §10.2, in the order of D-06.
    pub(super) fn create_permission(&mut self, asked: &Asked, said: &Said) -> Outcome {
        let (now, policy) = (self.now.instant, self.policy.clone());
        let allocation = match self.owned(asked) {
            Ok(allocation) => allocation,
            Err(refused) => return refused,
        };
        let mut peers = Vec::new();
        for attribute in said.attributes.iter().filter(|attribute| attribute.kind() == AttributeType::XOR_PEER_ADDRESS)
        {
            let Attr::Peer(peer) = attribute else {
                return asked.refuse(400);
            };
            // Named twice is one peer.
            if !peers.contains(&peer.ip()) {
                peers.push(peer.ip());
            }
        }
        if peers.is_empty() {
            return asked.refuse(400);
        }
        if peers.iter().any(|ip| Family::of(*ip) != allocation.family) {
            return asked.refuse(443);
        }
        let mut permitted = Vec::new();
        for ip in &peers {
            match policy.judge_peer(&asked.who, PeerAddr(SocketAddr::new(*ip, 0))) {
                Ok(ports) => permitted.push((*ip, ports)),
                Err(_) => return asked.deny(403, Why::Peer(*ip)),
            }
        }
        if peers.len() > MAX_PEERS || !allocation.has_room_for(now, &peers) {
            return asked.deny(508, Why::Capacity);
        }
        for (ip, ports) in permitted {
            allocation.permit(now, ip, ports);
        }
        Outcome::answered(asked.transaction.answer(0))
    }

    /// RFC 8656 §12.2, in the order of D-06.
    pub(super) fn channel_bind(&mut self, asked: &Asked, said: &Said) -> Outcome {
        let (now, policy) = (self.now.instant, self.policy.clone());
        let numbers = self.facts.channel_numbers;
        let allocation = match self.owned(asked) {
            Ok(allocation) => allocation,
            Err(refused) => return refused,
        };
        let number = match said.first(AttributeType::CHANNEL_NUMBER) {
            Some(Attr::Channel(number)) if is_channel(numbers, *number) => *number,
            _ => return asked.refuse(400),
        };
        let peer = match said.first(AttributeType::XOR_PEER_ADDRESS) {
            Some(Attr::Peer(peer)) if peer.port() != 0 => *peer,
            _ => return asked.refuse(400),
        };
        // D-10: what has expired is not given to others for five minutes.
        allocation.channels.retain(|channel| channel.expires.after(CHANNEL_REST) > now);
        let is_pair = |channel: &Channel| channel.number == number && channel.peer == peer;
        let is_half = |channel: &Channel| (channel.number == number) != (channel.peer == peer);
        if allocation.channels.iter().any(is_half) {
            return asked.refuse(400);
        }
        if Family::of(peer.ip()) != allocation.family {
            return asked.refuse(443);
        }
        let ports = match policy.judge_peer(&asked.who, PeerAddr(peer)) {
            Ok(ports) if ports.allow(peer.port()) => ports,
            _ => return asked.deny(403, Why::Peer(peer.ip())),
        };
        let is_new = !allocation.channels.iter().any(is_pair);
        if is_new && allocation.channels.len() >= MAX_CHANNELS || !allocation.has_room_for(now, &[peer.ip()]) {
            return asked.deny(508, Why::Capacity);
        }
        allocation.channels.retain(|channel| !is_pair(channel));
        allocation.channels.push(Channel { number, peer, expires: now.after(CHANNEL_LIFETIME) });
        allocation.permit(now, peer.ip(), ports);
        Outcome::answered(asked.transaction.answer(0))
    }

    /// RFC 8656 §5: a request other than Allocate is about an allocation, and made under its user name.
    fn owned(&mut self, asked: &Asked) -> Result<&mut Allocation, Outcome> {
        let Some(allocation) = self.open_on(asked.path) else {
            return Err(asked.refuse(437));
        };
        if allocation.username != asked.username {
            return Err(asked.deny(441, Why::WrongUser));
        }
        Ok(allocation)
    }
}

fn number_of(family: Family) -> u8 {
    match family {
        Family::V4 => 1,
        Family::V6 => 2,
    }
}
