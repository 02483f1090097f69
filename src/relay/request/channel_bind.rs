//! ChannelBind (RFC 8656 §12.2).

use super::answer::Answer;
use super::authenticate::Authenticated;
use super::{Refused, Request};
use crate::relay::addr::PeerAddr;
use crate::relay::channel::BindError;
use crate::relay::event::Denial;
use crate::relay::reason::{PEER_PORT, RuleId};
use crate::relay::seam::{Entropy, Policy};
use crate::relay::server::Server;
use crate::relay::verdict::Verdict;
use crate::wire::attribute::{ChannelNumberAttribute, ErrorCode, XorPeerAddress};
use crate::wire::channel_data::{ChannelNumber, ChannelNumbers};

pub(super) fn handle<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'_>,
    sender: &Authenticated<'_>,
    answer: Answer<'_>,
) -> Verdict {
    match bind(server, request, sender) {
        Ok(()) => answer.success(|_| Ok(())),
        Err(refused) => server.refuse(request, &sender.who, answer, refused),
    }
}

fn bind<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'_>,
    sender: &Authenticated<'_>,
) -> Result<(), Refused> {
    let id = server.own_allocation(request, sender)?;
    let (number, peer) = read(request, server.settings.channel_numbers)?;
    let now = request.now.instant;
    let Some(allocation) = server.table.get_mut(id) else { return Ok(()) };
    // The mistakes first, then the peer, then whether there is room (D-06 of docs/conformance.md).
    let is_full = match allocation.channels.check(number, peer, now) {
        Ok(()) => false,
        Err(BindError::Full) => true,
        Err(BindError::NumberTaken) => return Err(Refused::bad_request("Channel is bound to another peer")),
        Err(BindError::PeerTaken) => return Err(Refused::bad_request("Peer is bound to another channel")),
    };
    let ports = server.judge_peer(id, peer, request.now)?;
    if !ports.allow(peer.port()) {
        let rule = RuleId(PEER_PORT.into());
        return Err(Refused::with(ErrorCode::FORBIDDEN, Denial::Peer { peer, rule }));
    }
    if is_full {
        return Err(Refused::out_of("channels"));
    }
    let Some(allocation) = server.table.get_mut(id) else { return Ok(()) };
    if !allocation.permissions.have_room_for(std::iter::once(peer.ip()), now) {
        return Err(Refused::out_of("permissions"));
    }
    let permitted_until = allocation.permit(peer.ip(), ports, now);
    allocation.channels.bind(number, peer, permitted_until, now);
    Ok(())
}

fn read(request: &Request<'_>, numbers: ChannelNumbers) -> Result<(ChannelNumber, PeerAddr), Refused> {
    let number = request.message.get::<ChannelNumberAttribute>();
    let number = number.map_err(|_| Refused::bad_request("Invalid CHANNEL-NUMBER"))?;
    let number = number.ok_or_else(|| Refused::bad_request("CHANNEL-NUMBER is missing"))?;
    let number = numbers.find(number.0).ok_or_else(|| Refused::bad_request("Channel number out of range"))?;
    let peer = request.message.get::<XorPeerAddress>();
    let peer = peer.map_err(|_| Refused::bad_request("Invalid XOR-PEER-ADDRESS"))?;
    let peer = peer.ok_or_else(|| Refused::bad_request("XOR-PEER-ADDRESS is missing"))?;
    if peer.0.port() == 0 {
        return Err(Refused::bad_request("Peer port is 0"));
    }
    Ok((number, PeerAddr(peer.0)))
}
