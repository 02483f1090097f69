//! Send indications (RFC 8656 §11.2).

use std::ops::Range;

use crate::relay::addr::{Family, PeerAddr};
use crate::relay::allocation::Allocation;
use crate::relay::clock::Instant;
use crate::relay::command::RelayId;
use crate::relay::reason::DropReason;
use crate::wire::attribute::{AttributeType, XorPeerAddress};
use crate::wire::message::Message;

/// A Send indication that may pass.
pub(in crate::relay) struct Send {
    pub(in crate::relay) relay: RelayId,
    pub(in crate::relay) peer: PeerAddr,
    pub(in crate::relay) payload: Range<usize>,
    pub(in crate::relay) dont_fragment: bool,
}

/// What a Send indication is to do, or why it is dropped: no answer is ever due (RFC 8656 §11.2).
pub(in crate::relay) fn judge<L>(
    own: RelayId,
    allocation: &Allocation<L>,
    now: Instant,
    message: &Message<'_>,
) -> Result<Send, DropReason> {
    if !message.unknown_required().is_empty() {
        return Err(DropReason::UnknownAttribute);
    }
    if !allocation.is_open(now) {
        return Err(DropReason::RelayNotOpen);
    }
    let peer = message.get::<XorPeerAddress>().ok().flatten().ok_or(DropReason::BadSend)?;
    let payload = message.range_of(AttributeType::DATA).ok_or(DropReason::BadSend)?;
    let peer = PeerAddr(peer.0);
    if peer.port() == 0 {
        return Err(DropReason::BadSend);
    }
    // A single address has permissions of its own family alone.
    let relay = allocation.outlet(own, peer.family(), now).ok_or(DropReason::FamilyMismatch)?;
    if allocation.second.is_none() && !allocation.has(peer.family(), now) {
        return Err(DropReason::FamilyMismatch);
    }
    let permission = allocation.permissions.get(peer.ip(), now).ok_or(DropReason::NoPermission)?;
    if !permission.ports.allow(peer.port()) {
        return Err(DropReason::PeerPortDenied);
    }
    // Where an IPv6 header is on either side the attribute is ignored (RFC 8656 §13.1 to §13.3), but for clients that
    // come by a stream (§13, §15).
    let from_v4_to_v4 = allocation.path.client.family() == Family::V4 && peer.family() == Family::V4;
    let heeds_it = from_v4_to_v4 || allocation.path.transport.is_stream();
    let dont_fragment = heeds_it && message.has(AttributeType::DONT_FRAGMENT);
    Ok(Send { relay, peer, payload, dont_fragment })
}
