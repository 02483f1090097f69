//! CreatePermission (RFC 8656 §10.2): all of the peers or none.

use super::answer::Answer;
use super::authenticate::Authenticated;
use super::{Refused, Request};
use crate::relay::addr::PeerAddr;
use crate::relay::clock::Now;
use crate::relay::command::RelayId;
use crate::relay::limits::MAX_PEERS_PER_REQUEST;
use crate::relay::seam::{Entropy, PeerPorts, Policy};
use crate::relay::server::Server;
use crate::relay::verdict::Verdict;
use crate::wire::attribute::{ErrorCode, XorPeerAddress};

pub(super) fn handle<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'_>,
    sender: &Authenticated<'_>,
    answer: Answer<'_>,
) -> Verdict {
    match install(server, request, sender) {
        Ok(()) => answer.success(|_| Ok(())),
        Err(refused) => server.refuse(request, &sender.who, answer, refused),
    }
}

fn install<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'_>,
    sender: &Authenticated<'_>,
) -> Result<(), Refused> {
    let id = server.own_allocation(request, sender)?;
    let peers = peers(request)?;
    let judged = judge(server, id, &peers, request.now)?;
    let Some(allocation) = server.table.get_mut(id) else { return Ok(()) };
    let now = request.now.instant;
    if !allocation.permissions.have_room_for(judged.iter().map(|(peer, _)| peer.ip()), now) {
        return Err(Refused::out_of("permissions"));
    }
    for (peer, ports) in judged {
        allocation.permit(peer.ip(), ports, now);
    }
    Ok(())
}

/// The peers that the request names, bounded by what a message can hold; their ports mean nothing here (RFC 8656 §9).
fn peers(request: &Request<'_>) -> Result<Vec<PeerAddr>, Refused> {
    let mut peers = Vec::new();
    for peer in request.message.all::<XorPeerAddress>() {
        let Ok(XorPeerAddress(mut address)) = peer else {
            return Err(Refused::bad_request("Invalid XOR-PEER-ADDRESS"));
        };
        address.set_port(0);
        if !peers.contains(&PeerAddr(address)) {
            peers.push(PeerAddr(address));
        }
    }
    if peers.is_empty() {
        return Err(Refused::bad_request("XOR-PEER-ADDRESS is missing"));
    }
    Ok(peers)
}

/// Every peer's verdict. The gravest refusal wins: 443 for any of them before 403, and that before 508 (D-06).
fn judge<P: Policy, E: Entropy>(
    server: &Server<P, E>,
    id: RelayId,
    peers: &[PeerAddr],
    now: Now,
) -> Result<Vec<(PeerAddr, PeerPorts)>, Refused> {
    let mut judged = Vec::with_capacity(peers.len());
    let mut forbidden = None;
    for peer in peers {
        match server.judge_peer(id, *peer, now) {
            Ok(ports) => judged.push((*peer, ports)),
            Err(refused) if refused.error.code == ErrorCode::FORBIDDEN.code => forbidden = forbidden.or(Some(refused)),
            Err(refused) => return Err(refused),
        }
    }
    match forbidden {
        Some(refused) => Err(refused),
        None if peers.len() > MAX_PEERS_PER_REQUEST => Err(Refused::unavailable("Too many peers in one request")),
        None => Ok(judged),
    }
}
