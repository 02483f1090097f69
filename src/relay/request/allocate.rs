//! Allocate (RFC 8656 §7.2), in two halves: the request is judged and relay sockets are asked for; when the engine has
//! opened them, the client is answered.

use super::answer::Answer;
use super::authenticate::{Authenticated, response_key};
use super::wish::{Port, Wish};
use super::{Refused, Request, lifetime_attribute};
use crate::relay::addr::{Family, RelayedAddr};
use crate::relay::allocation::{AddressError, Allocation, Opening, PendingAnswer, Second};
use crate::relay::channel::Channels;
use crate::relay::clock::{Instant, Now};
use crate::relay::command::{Command, PortParity, PortWish, RelayFailure, RelayId, Reservation, Token};
use crate::relay::event::{AllocationUuid, Denial, Event, RequestKind, Totals};
use crate::relay::limits::MAX_REPLY;
use crate::relay::permission::Permissions;
use crate::relay::reason::DropReason;
use crate::relay::resting::Claim;
use crate::relay::seam::{AdmitRefusal, Entropy, Policy};
use crate::relay::server::Server;
use crate::relay::verdict::Verdict;
use crate::wire::attribute::{AddressErrorCode, ErrorCode, ReservationToken, XorMappedAddress, XorRelayedAddress};
use crate::wire::header::Method;

pub(super) fn handle<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'_>,
    sender: &Authenticated<'_>,
    answer: Answer<'_>,
) -> Verdict {
    if let Some(id) = server.table.find(&request.path) {
        server.close_if_expired(request.now, id);
    }
    if let Some((_, standing)) = server.table.by_path(&request.path) {
        let transaction_id = request.message.transaction_id();
        if *standing.username == *sender.username && standing.transaction_id == transaction_id {
            return repeat(standing, request.now.instant, answer);
        }
        // Whoever it is, the allocation stays; somebody else there means that a NAT gave the address away (§7.4), which
        // cannot happen to a connection. Its owner under a new credential is nobody else.
        let is_other = standing.who.user != sender.who.user;
        standing.suspended |= is_other && !request.path.transport.is_stream();
        let denial = if is_other { Denial::WrongUser } else { Denial::AllocationExists };
        let refused = Refused::with(ErrorCode::ALLOCATION_MISMATCH, denial);
        return server.refuse(request, &sender.who, answer, refused);
    }
    match begin(server, request, sender) {
        Ok(()) => Verdict::Pending,
        Err(refused) => server.refuse(request, &sender.who, answer, refused),
    }
}

/// A retransmitted Allocate gets the answer that the first one got (RFC 8656 §7.2).
fn repeat<L>(standing: &Allocation<L>, now: Instant, answer: Answer<'_>) -> Verdict {
    match standing.opening {
        Some(_) => Verdict::Drop(DropReason::InProgress),
        None => success(answer, standing, now),
    }
}

/// Judges the request, takes the user's share and asks for relay sockets.
fn begin<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'_>,
    sender: &Authenticated<'_>,
) -> Result<(), Refused> {
    let transaction_id = request.message.transaction_id();
    match server.resting.claim(request.now.instant, &request.path, &sender.who.user, transaction_id) {
        Claim::Free => {}
        Claim::Repeated => return Err(Refused::with(ErrorCode::ALLOCATION_MISMATCH, Denial::AllocationExists)),
        Claim::OtherUser => return Err(Refused::with(ErrorCode::ALLOCATION_MISMATCH, Denial::WrongUser)),
    }
    let wish = Wish::read(request, &server.settings)?;
    if server.table.is_full() {
        return Err(Refused::out_of("allocations"));
    }
    let lease = server.policy.admit(request.now, &sender.who, &request.path).map_err(|refusal| match refusal {
        AdmitRefusal::Forbidden(refusal) => Refused::with(ErrorCode::FORBIDDEN, Denial::Client(refusal.rule)),
        AdmitRefusal::OverQuota(refusal) => {
            Refused::with(ErrorCode::ALLOCATION_QUOTA_REACHED, Denial::Quota(refusal.rule))
        }
        AdmitRefusal::Elsewhere(alternate) => Refused::elsewhere(alternate, request),
    })?;
    let allocation = Allocation {
        uuid: uuid(request.now, &mut server.entropy),
        path: request.path,
        who: sender.who.clone(),
        username: sender.username.as_ref().into(),
        key: sender.key.clone(),
        transaction_id,
        opening: Some(Opening {
            answer: PendingAnswer { fingerprint: request.has_fingerprint(), sha256: sender.sha256 },
            waits_for: 1,
            failure: None,
        }),
        first: None,
        expires: Instant::default(),
        second: None,
        address_error: wish.address_error,
        token: None,
        lifetime: wish.lifetime,
        opened: request.now,
        permissions: Permissions::default(),
        channels: Channels::default(),
        totals: Totals::default(),
        refresh_recorded_from: request.now.instant,
        icmp_rested: request.now.instant,
        suspended: false,
        lease,
    };
    let relay = server.table.insert(allocation).ok_or_else(|| Refused::out_of("allocations"))?;
    ask_for_sockets(server, relay, &wish);
    Ok(())
}

fn ask_for_sockets<P: Policy, E: Entropy>(server: &mut Server<P, E>, own: RelayId, wish: &Wish) {
    let Server { table, entropy, commands, .. } = server;
    let name = wish.second.and_then(|_| table.insert_second(own));
    let Some(allocation) = table.get_mut(own) else { return };
    let reservation = |token| Reservation { token, user: allocation.who.user.clone() };
    let mut parity = PortParity::Any;
    let port = match wish.port {
        Port::Single(single) => {
            parity = single;
            PortWish::Single(single)
        }
        Port::Pair => {
            let token = Token::new(wish.family, entropy);
            allocation.token = Some(token);
            PortWish::Pair(reservation(token))
        }
        Port::Reserved(token) => PortWish::Reserved(reservation(token)),
    };
    commands.push_back(Command::OpenRelay { relay: own, family: wish.family, port });
    match (wish.second, name) {
        (Some(family), Some(relay)) => {
            let second = Second { relay, relayed: None, expires: Instant::default() };
            allocation.second = Some(Box::new(second));
            if let Some(opening) = &mut allocation.opening {
                opening.waits_for = 2;
            }
            commands.push_back(Command::OpenRelay { relay, family, port: PortWish::Single(parity) });
        }
        (Some(family), None) => allocation.address_error = Some((family, AddressError::NoCapacity)),
        (None, _) => {}
    }
}

/// A relay socket is open. When it is the last that was asked for, the allocation begins.
pub(in crate::relay) fn on_relay_opened<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    now: Now,
    relay: RelayId,
    relayed: RelayedAddr,
) {
    let Some(own) = server.table.owner_of(relay) else {
        server.commands.push_back(Command::CloseRelay { relay });
        return;
    };
    let Some(allocation) = server.table.get_mut(own).filter(|allocation| allocation.opening.is_some()) else { return };
    allocation.begin(own, relay, relayed, now.instant);
    conclude(server, now, own);
}

/// There is no such relay socket.
pub(in crate::relay) fn on_relay_failed<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    now: Now,
    relay: RelayId,
    failure: RelayFailure,
) {
    let Some(own) = server.table.owner_of(relay) else { return };
    let Some(allocation) = server.table.get_mut(own) else { return };
    let Some(opening) = &mut allocation.opening else { return };
    opening.failure = opening.failure.or(Some(failure));
    if let Some(second) = allocation.second.take_if(|second| second.relay == relay) {
        server.table.remove_second(second.relay);
    }
    conclude(server, now, own);
}

/// One socket less to wait for. After the last one, with any of them an allocation begins; with none of them there is
/// none (RFC 8656 §7.2, step 9).
fn conclude<P: Policy, E: Entropy>(server: &mut Server<P, E>, now: Now, own: RelayId) {
    let Some(allocation) = server.table.get_mut(own) else { return };
    let Some(opening) = &mut allocation.opening else { return };
    opening.waits_for = opening.waits_for.saturating_sub(1);
    if opening.waits_for > 0 {
        return;
    }
    let Opening { answer, failure, .. } = *opening;
    allocation.opening = None;
    match failure {
        Some(failure) if !allocation.is_open(now.instant) => refuse_late(server, now, own, answer, failure),
        Some(_) => {
            let missing = if allocation.has(Family::V4, now.instant) { Family::V6 } else { Family::V4 };
            allocation.address_error = Some((missing, AddressError::NoCapacity));
            open(server, now, own, answer);
        }
        None => open(server, now, own, answer),
    }
}

/// The allocation begins: the audit trail hears of it, and then the client.
fn open<P: Policy, E: Entropy>(server: &mut Server<P, E>, now: Now, own: RelayId, answer: PendingAnswer) {
    let Some(allocation) = server.table.get_mut(own) else { return };
    allocation.opened = now;
    // Sockets that were opened one after the other end together.
    allocation.extend(None, now.instant, now.instant.after(allocation.lifetime));
    let (lifetime, record) = (allocation.lifetime, allocation.record());
    let expires = allocation.next_expiry();
    let message = answer_late(allocation, answer, |ready, allocation| success(ready, allocation, now.instant));
    if let Some(expires) = expires {
        server.wheel.set(now.instant, own.slot, expires);
    }
    if let Some(allocation) = record {
        server.audit(Event::Opened { at: now, allocation, lifetime });
    }
    server.commands.extend(message);
}

/// The user's share goes back, and the client gets a 508.
fn refuse_late<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    now: Now,
    own: RelayId,
    answer: PendingAnswer,
    failure: RelayFailure,
) {
    let Some(allocation) = server.table.remove(own) else { return };
    let Refused { error, denial } = match failure {
        RelayFailure::PortsExhausted => Refused::out_of("relayed ports"),
        RelayFailure::DescriptorsExhausted => Refused::out_of("file descriptors"),
        RelayFailure::Refused => Refused::out_of("relay sockets"),
        RelayFailure::NotReserved => Refused::unavailable("Nothing is reserved under the token"),
    };
    server.audit(Event::Denied {
        at: now,
        path: allocation.path,
        who: Some(allocation.who.clone()),
        allocation: None,
        request: RequestKind::Allocate,
        code: error.code,
        denial,
    });
    let message = answer_late(&allocation, answer, |ready, _| ready.error(error));
    server.commands.extend(message);
}

/// Writes the answer that an Allocate is still owed.
fn answer_late<L>(
    allocation: &Allocation<L>,
    pending: PendingAnswer,
    write: impl FnOnce(Answer<'_>, &Allocation<L>) -> Verdict,
) -> Option<Command> {
    let mut out = [0; MAX_REPLY];
    let mut answer = Answer::to(Method::ALLOCATE, allocation.transaction_id, pending.fingerprint, &mut out);
    answer.sign_with(response_key(&allocation.key, pending.sha256));
    let Verdict::Reply { len } = write(answer, allocation) else { return None };
    let message = out.get(..len)?.into();
    Some(Command::SendToClient { path: allocation.path, message })
}

/// RFC 8656 §7.2, at the end.
fn success<L>(answer: Answer<'_>, allocation: &Allocation<L>, now: Instant) -> Verdict {
    answer.success(|writer| {
        for (relayed, _) in allocation.addresses(now) {
            writer.put(&XorRelayedAddress(relayed.0))?;
        }
        writer.put(&lifetime_attribute(allocation.lifetime))?;
        writer.put(&XorMappedAddress(allocation.path.client.0))?;
        if let Some(token) = allocation.token {
            writer.put(&ReservationToken(token.to_bytes()))?;
        }
        let Some((family, error)) = allocation.address_error else { return Ok(()) };
        let ErrorCode { code, reason } = match error {
            AddressError::NotSupported => ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
            AddressError::NoCapacity => ErrorCode::INSUFFICIENT_CAPACITY,
        };
        writer.put(&AddressErrorCode { family: family.number(), code, reason })
    })
}

/// A UUIDv7 (RFC 9562 §5.7): 48 bits of wall clock in milliseconds, and random ones but for version and variant.
fn uuid(now: Now, entropy: &mut impl Entropy) -> AllocationUuid {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    let [_, _, time @ ..] = now.unix_millis.to_be_bytes();
    bytes.iter_mut().zip(time).for_each(|(to, from)| *to = from);
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = 0x70 | (*version & 0x0f);
    *variant = 0x80 | (*variant & 0x3f);
    AllocationUuid(bytes)
}
