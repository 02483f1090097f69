//! ICMP errors about what was sent to peers, for the client that had it sent (RFC 8656 §11.5).

use super::addr::{Family, PeerAddr};
use super::clock::Instant;
use super::command::{Command, RelayId};
use super::limits::MAX_ICMP_INDICATION;
use super::reason::DropReason;
use super::seam::{Entropy, Policy};
use super::server::{Server, indication_id};
use crate::wire::attribute::{Icmp, XorPeerAddress};
use crate::wire::header::{Class, Method};
use crate::wire::writer::{BufferFull, MessageWriter};

/// The Data indication that tells the client of `error`, or why it does not hear of it.
///
/// The source of the ICMP packet is not looked at: routers send most of them. What it is about is: a datagram from the
/// relayed address (by its socket, the engine knows that) to an address that has a permission; ports do not count.
pub(super) fn judge<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    now: Instant,
    relay: RelayId,
    peer: PeerAddr,
    error: Icmp,
) -> Result<Command, DropReason> {
    let allocation = server.table.get_mut(relay).ok_or(DropReason::NoAllocation)?;
    if !is_reported(peer.family(), error.icmp_type) {
        return Err(DropReason::IcmpType);
    }
    if allocation.outlet(relay, peer.family(), now).is_none() {
        return Err(DropReason::RelayNotOpen);
    }
    if allocation.suspended {
        return Err(DropReason::Suspended);
    }
    allocation.permissions.get(peer.ip(), now).ok_or(DropReason::NoPermission)?;
    if !allocation.may_tell_of_icmp(now) {
        return Err(DropReason::IcmpRate);
    }
    let path = allocation.path;
    server.indications = server.indications.wrapping_add(1);
    let message = indication(server.indications, peer, error).map_err(|BufferFull| DropReason::TooLong)?;
    Ok(Command::SendToClient { path, message })
}

/// Destination unreachable and time exceeded; in ICMPv6 packet too big as well.
fn is_reported(family: Family, icmp_type: u8) -> bool {
    match family {
        Family::V4 => matches!(icmp_type, 3 | 11),
        Family::V6 => matches!(icmp_type, 1..=3),
    }
}

/// Never ChannelData: it has no place for the attribute (RFC 8656 §12.5).
fn indication(number: u64, peer: PeerAddr, error: Icmp) -> Result<Box<[u8]>, BufferFull> {
    let mut out = [0; MAX_ICMP_INDICATION];
    let mut writer = MessageWriter::new(&mut out, Method::DATA, Class::Indication, indication_id(number))?;
    writer.put(&XorPeerAddress(peer.0))?;
    writer.put(&with_its_data(peer.family(), error))?;
    let len = writer.finish();
    Ok(out.get(..len).unwrap_or_default().into())
}

/// RFC 8656 §18.13: the next hop's MTU where the packet was too big, else zero.
fn with_its_data(family: Family, error: Icmp) -> Icmp {
    let says_mtu = match family {
        Family::V4 => (error.icmp_type, error.code) == (3, 4),
        Family::V6 => error.icmp_type == 2,
    };
    if says_mtu { error } else { Icmp { error_data: [0; 4], ..error } }
}
