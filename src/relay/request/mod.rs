//! Requests: who may make them, and one file a method for what they do.

use std::time::Duration;

use super::addr::Path;
use super::clock::Now;
use super::command::RelayId;
use super::event::{Denial, Event, RequestKind};
use super::limits::MAX_REPLY;
use super::reason::DropReason;
use super::seam::{Alternate, Entropy, Identity, PeerPorts, Policy};
use super::server::Server;
use super::verdict::Verdict;
use crate::relay::addr::{Family, PeerAddr};
use crate::wire::attribute::{AlternateDomain, AlternateServer, AttributeType, ErrorCode, Lifetime};
use crate::wire::header::Method;
use crate::wire::integrity::Integrity;
use crate::wire::message::Message;
use crate::wire::writer::{BufferFull, MessageWriter};

pub(super) mod allocate;
mod answer;
mod authenticate;
mod binding;
mod channel_bind;
mod create_permission;
mod refresh;
pub(super) mod send;
mod wish;

use answer::Answer;
use authenticate::{Authenticated, authenticate};

/// What every handler is given.
struct Request<'a> {
    now: Now,
    path: Path,
    kind: RequestKind,
    message: &'a Message<'a>,
}

impl Request<'_> {
    fn has_fingerprint(&self) -> bool {
        self.message.has(AttributeType::FINGERPRINT)
    }
}

/// Answers a request, or says why not.
pub(super) fn handle<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    now: Now,
    path: Path,
    message: &Message<'_>,
    reply: &mut [u8; MAX_REPLY],
) -> Verdict {
    let answer = Answer::new(message, reply);
    let kind = match message.method() {
        Method::BINDING => return binding::handle(path, message, answer),
        Method::ALLOCATE => RequestKind::Allocate,
        Method::REFRESH => RequestKind::Refresh,
        Method::CREATE_PERMISSION => RequestKind::CreatePermission,
        Method::CHANNEL_BIND => RequestKind::ChannelBind,
        // Counted among what RFC 8489 §6.3 discards; so are Connect and ConnectionBind (RFC 6062) while they are off.
        _ => return Verdict::Drop(DropReason::UnsupportedMethod),
    };
    let request = Request { now, path, kind, message };
    let (sender, answer) = match authenticate(server, &request, answer) {
        Ok(authenticated) => authenticated,
        Err(verdict) => return verdict,
    };
    server.heard_from(&path, &sender);
    if !message.unknown_required().is_empty() {
        let first = message.unknown_required().first().map_or(0, |unknown| unknown.0);
        let code = ErrorCode::UNKNOWN_ATTRIBUTE.code;
        server.audit_denial(&request, Some(&sender.who), code, Denial::UnknownAttribute(first));
        return answer.unknown_attributes(message.unknown_required());
    }
    match kind {
        RequestKind::Allocate => allocate::handle(server, &request, &sender, answer),
        RequestKind::Refresh => refresh::handle(server, &request, &sender, answer),
        RequestKind::CreatePermission => create_permission::handle(server, &request, &sender, answer),
        RequestKind::ChannelBind => channel_bind::handle(server, &request, &sender, answer),
    }
}

/// A refusal of an authenticated request: what the client is told, and what the audit trail is told.
struct Refused {
    error: ErrorCode<'static>,
    denial: Denial,
}

impl Refused {
    fn with(error: ErrorCode<'static>, denial: Denial) -> Self {
        Self { error, denial }
    }

    /// 400, with the mistake in words.
    fn bad_request(reason: &'static str) -> Self {
        Self::with(ErrorCode { reason, ..ErrorCode::BAD_REQUEST }, Denial::BadRequest(reason))
    }

    /// 508, with what there is no more of.
    fn out_of(reason: &'static str) -> Self {
        let error = ErrorCode { reason, ..ErrorCode::INSUFFICIENT_CAPACITY };
        Self::with(error, Denial::Capacity(reason))
    }

    /// 508, whatever there is left.
    fn unavailable(reason: &'static str) -> Self {
        let error = ErrorCode { reason, ..ErrorCode::INSUFFICIENT_CAPACITY };
        Self::with(error, Denial::Unavailable(reason))
    }

    /// 300. The certificate's name is for clients that can check it: those that know RFC 8489 (§10).
    fn elsewhere(mut alternate: Alternate, request: &Request<'_>) -> Self {
        let checks_names = request.message.integrity() == Some(Integrity::Sha256);
        alternate.domain = alternate.domain.filter(|_| request.path.transport.has_certificate() && checks_names);
        Self::with(ErrorCode::TRY_ALTERNATE, Denial::Elsewhere(alternate))
    }

    /// 437.
    fn no_allocation() -> Self {
        Self::with(ErrorCode::ALLOCATION_MISMATCH, Denial::NoAllocation)
    }

    /// 443.
    fn family_mismatch() -> Self {
        Self::with(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH, Denial::FamilyMismatch)
    }
}

impl<P: Policy, E: Entropy> Server<P, E> {
    fn refuse(&mut self, request: &Request<'_>, who: &Identity, answer: Answer<'_>, refused: Refused) -> Verdict {
        let Refused { error, denial } = refused;
        let verdict = match &denial {
            Denial::Elsewhere(alternate) => answer.error_with(error, |writer| put_alternate(writer, alternate)),
            _ => answer.error(error),
        };
        self.audit_denial(request, Some(who), error.code, denial);
        verdict
    }

    fn audit_denial(&mut self, request: &Request<'_>, who: Option<&Identity>, code: u16, denial: Denial) {
        let allocation = self.table.find(&request.path).and_then(|id| self.table.get(id)).map(|found| found.uuid);
        self.audit(Event::Denied {
            at: request.now,
            path: request.path,
            who: who.cloned(),
            allocation,
            request: request.kind,
            code,
            denial,
        });
    }

    /// The allocation that the request is about: it stands, and it is the sender's (RFC 8656 §5).
    fn own_allocation(&mut self, request: &Request<'_>, sender: &Authenticated<'_>) -> Result<RelayId, Refused> {
        let standing = self.table.by_path(&request.path);
        let (id, allocation) = standing.ok_or_else(Refused::no_allocation)?;
        if !allocation.is_open(request.now.instant) {
            return Err(Refused::no_allocation());
        }
        if *allocation.username != *sender.username {
            return Err(Refused::with(ErrorCode::WRONG_CREDENTIALS, Denial::WrongUser));
        }
        Ok(id)
    }

    /// The owner of an allocation is there: what suspended it is over (RFC 8656 §7.4, D-37 of docs/conformance.md).
    fn heard_from(&mut self, path: &Path, sender: &Authenticated<'_>) {
        let standing = self.table.by_path(path).map(|(_, allocation)| allocation);
        if let Some(own) = standing.filter(|standing| standing.who.user == sender.who.user) {
            own.suspended = false;
        }
    }

    /// Whether the allocation may talk to `peer`: its family first, then policy (D-06 of docs/conformance.md).
    fn judge_peer(&self, id: RelayId, peer: PeerAddr, now: Now) -> Result<PeerPorts, Refused> {
        let Some(allocation) = self.table.get(id) else {
            return Err(Refused::no_allocation());
        };
        if !allocation.has(peer.family(), now.instant) {
            return Err(Refused::family_mismatch());
        }
        self.policy
            .judge_peer(&allocation.who, peer)
            .map_err(|refusal| Refused::with(ErrorCode::FORBIDDEN, Denial::Peer { peer, rule: refusal.rule }))
    }
}

/// RFC 8489 §10: the server of the client's family first, then that of the other.
fn put_alternate(writer: &mut MessageWriter<'_>, alternate: &Alternate) -> Result<(), BufferFull> {
    writer.put(&AlternateServer(alternate.server))?;
    alternate.other.map_or(Ok(()), |other| writer.put(&AlternateServer(other)))?;
    alternate.domain.as_ref().map_or(Ok(()), |domain| writer.put(&AlternateDomain(domain.as_bytes())))
}

/// A granted lifetime, for the client.
fn lifetime_attribute(lifetime: Duration) -> Lifetime {
    Lifetime(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX))
}

/// The family that a number of RFC 8656 §18.6 stands for.
fn family(number: u8) -> Option<Family> {
    match number {
        0x01 => Some(Family::V4),
        0x02 => Some(Family::V6),
        _ => None,
    }
}
