//! What is relayed, and what is not (RFC 8656 §9, §11, §12.5 to §12.7).

use std::net::SocketAddr;

use turnkeep::relay::{DropReason, Family, Path};
use turnkeep::wire::attribute::{AttributeType, Icmp};
use turnkeep::wire::channel_data::ChannelNumbers;

use super::allocation::{MOST_ICMP, ONE_ICMP};
use super::{Model, is_channel, same_tuple};
use crate::outcome::{Framing, Outcome, ToClient};
use crate::said::{Attr, Said};

const MAX_PAYLOAD: usize = 65_535 - 8 - 20 - 48;

impl Model {
    /// RFC 8656 §11.2.
    pub(super) fn send(&mut self, path: Path, said: &Said) -> Outcome {
        let mut faults = Vec::new();
        if !said.unknown_required().is_empty() {
            faults.push(DropReason::UnknownAttribute);
        }
        let peer = match said.first(AttributeType::XOR_PEER_ADDRESS) {
            Some(Attr::Peer(peer)) if peer.port() != 0 => Some(*peer),
            _ => None,
        };
        let data = match said.first(AttributeType::DATA) {
            Some(Attr::Data(data)) => Some(data.clone()),
            _ => None,
        };
        if peer.is_none() || data.is_none() {
            faults.push(DropReason::BadSend);
        }
        let now = self.now.instant;
        if self.open_on(path).is_none() {
            return self.drop_for_want_of_an_allocation(path, faults);
        }
        let allocation = self.open_on(path).expect("it is there");
        if let Some(peer) = peer {
            if Family::of(peer.ip()) != allocation.family {
                faults.push(DropReason::FamilyMismatch);
            }
            match allocation.permission(now, peer.ip()) {
                None => faults.push(DropReason::NoPermission),
                Some(permission) if !permission.ports.allow(peer.port()) => faults.push(DropReason::PeerPortDenied),
                Some(_) => {}
            }
        }
        let (Some(peer), Some(payload), true) = (peer, data, faults.is_empty()) else {
            allocation.totals.dropped += 1;
            return Outcome::dropped(&faults);
        };
        // Ignored where IPv6 is on either side (RFC 8656 §13).
        let all_v4 = allocation.family == Family::V4 && path.client.family() == Family::V4;
        allocation.forward(peer, payload, all_v4 && said.has(AttributeType::DONT_FRAGMENT))
    }

    /// RFC 8656 §12.6. `rest` is what follows the number and the length.
    pub(crate) fn channel_data(&mut self, path: Path, number: u16, length: usize, rest: &[u8]) -> Outcome {
        if !is_channel(self.facts.channel_numbers, number) {
            return self.not_turn(path, Some(number.to_be_bytes()[0]));
        }
        let mut faults = Vec::new();
        let payload = rest.get(..length);
        if payload.is_none() {
            faults.push(DropReason::TruncatedChannelData);
        }
        let (now, strict) = (self.now.instant, self.facts.strict_permissions);
        if self.open_on(path).is_none() {
            return self.drop_for_want_of_an_allocation(path, faults);
        }
        let allocation = self.open_on(path).expect("it is there");
        let bound = allocation.channels.iter().find(|channel| channel.number == number && channel.expires > now);
        let peer = bound.map(|channel| channel.peer);
        match peer {
            None => faults.push(DropReason::UnboundChannel),
            Some(peer) if strict && allocation.permission(now, peer.ip()).is_none() => {
                faults.push(DropReason::NoPermission);
            }
            Some(_) => {}
        }
        let (Some(peer), Some(payload), true) = (peer, payload, faults.is_empty()) else {
            allocation.totals.dropped += 1;
            return Outcome::dropped(&faults);
        };
        allocation.forward(peer, payload.to_vec(), false)
    }

    /// RFC 7983 §7: of none of our protocols. Where old channel numbers are taken, it may be held to be a channel's
    /// until its number is looked at.
    pub(crate) fn not_turn(&mut self, path: Path, first_byte: Option<u8>) -> Outcome {
        let is_dtls = matches!(first_byte, Some(20..=63));
        if is_dtls || self.facts.channel_numbers == ChannelNumbers::Rfc8656 {
            return Outcome::dropped(&[DropReason::NotTurn]);
        }
        let mut all = self.allocations.iter_mut().chain(&mut self.dead);
        match all.find(|allocation| same_tuple(allocation.path, path)) {
            None => Outcome::dropped(&[DropReason::NotTurn, DropReason::NoAllocation]),
            Some(allocation) => {
                allocation.totals.dropped += 1;
                Outcome::dropped(&[DropReason::NotTurn, DropReason::TruncatedChannelData])
            }
        }
    }

    /// RFC 8656 §5. One that is being opened, or has expired and is not swept up, may have it on its account.
    fn drop_for_want_of_an_allocation(&mut self, path: Path, mut faults: Vec<DropReason>) -> Outcome {
        faults.push(DropReason::NoAllocation);
        let mut nearly = self.allocations.iter_mut().chain(&mut self.dead);
        if let Some(nearly) = nearly.find(|allocation| same_tuple(allocation.path, path)) {
            nearly.totals.dropped += 1;
            faults.push(DropReason::RelayNotOpen);
        }
        Outcome::dropped(&faults)
    }

    /// RFC 8656 §11.5.
    pub(crate) fn icmp_says(&mut self, relayed: SocketAddr, peer: SocketAddr, error: Icmp) -> Outcome {
        let now = self.now.instant;
        let reported: &[u8] = if peer.is_ipv4() { &[3, 11] } else { &[1, 2, 3] };
        let mut faults = Vec::new();
        if !reported.contains(&error.icmp_type) {
            faults.push(DropReason::IcmpType);
        }
        if self.dead.iter().any(|dead| dead.relayed == Some(relayed)) {
            faults.push(DropReason::RelayNotOpen);
            return Outcome::dropped(&faults);
        }
        let open = self.allocations.iter_mut().find(|allocation| allocation.relayed == Some(relayed));
        let allocation = open.expect("the kernel tells of open sockets");
        if allocation.suspended {
            faults.push(DropReason::Suspended);
        }
        // Of another family than the address there is no permission either.
        if allocation.permission(now, peer.ip()).is_none() {
            faults.push(DropReason::NoPermission);
        }
        if !faults.is_empty() {
            return Outcome::dropped(&faults);
        }
        let (credit, since) = allocation.icmp_credit;
        let credit = MOST_ICMP.min(credit + now.since(since));
        allocation.icmp_credit = (credit, now);
        if credit < ONE_ICMP {
            return Outcome::dropped(&[DropReason::IcmpRate]);
        }
        allocation.icmp_credit.0 -= ONE_ICMP;
        let framing = Framing::Icmp { peer, icmp_type: error.icmp_type, code: error.code };
        let to_client = ToClient { client: allocation.path.client.0, framing, payload: Vec::new() };
        Outcome { to_client: Some(to_client), ..Outcome::default() }
    }

    /// RFC 8656 §9, §11.3, §12.7.
    pub(crate) fn peer_says(&mut self, relayed: SocketAddr, peer: SocketAddr, payload: &[u8]) -> Outcome {
        let now = self.now.instant;
        if let Some(dead) = self.dead.iter_mut().find(|dead| dead.relayed == Some(relayed)) {
            dead.totals.dropped += 1;
            return Outcome::dropped(&[DropReason::RelayNotOpen]);
        }
        let open = self.allocations.iter_mut().find(|allocation| allocation.relayed == Some(relayed));
        let allocation = open.expect("peers send to open sockets");
        let mut faults = Vec::new();
        if Family::of(peer.ip()) != allocation.family {
            faults.push(DropReason::FamilyMismatch);
        }
        if allocation.permission(now, peer.ip()).is_none() {
            faults.push(DropReason::NoPermission);
        }
        if allocation.suspended {
            faults.push(DropReason::Suspended);
        }
        if payload.len() > MAX_PAYLOAD {
            faults.push(DropReason::TooLong);
        }
        if !faults.is_empty() {
            allocation.totals.dropped += 1;
            return Outcome::dropped(&faults);
        }
        let bound = allocation.channels.iter().find(|channel| channel.peer == peer && channel.expires > now);
        let framing = match bound {
            Some(channel) => Framing::Channel(channel.number),
            None => Framing::Indication { peer },
        };
        allocation.totals.packets_to_client += 1;
        allocation.totals.bytes_to_client += payload.len() as u64;
        let to_client = ToClient { client: allocation.path.client.0, framing, payload: payload.to_vec() };
        Outcome { to_client: Some(to_client), ..Outcome::default() }
    }
}
