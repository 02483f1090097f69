//! Allocate (RFC 8656 §7.2), in two halves: the request is judged and a relay socket asked for; when the engine has
//! opened it, the client is answered.

use std::time::Duration;

use super::answer::Answer;
use super::authenticate::{Authenticated, response_key};
use super::{Refused, Request, family, lifetime_attribute};
use crate::relay::addr::{Family, RelayedAddr};
use crate::relay::allocation::{Allocation, PendingAnswer, Stage};
use crate::relay::channel::Channels;
use crate::relay::clock::Now;
use crate::relay::command::{Command, PortParity, RelayFailure, RelayId};
use crate::relay::event::{AllocationUuid, Denial, Event, RequestKind, Totals};
use crate::relay::limits::{DEFAULT_LIFETIME, MAX_REPLY};
use crate::relay::permission::Permissions;
use crate::relay::reason::DropReason;
use crate::relay::resting::Claim;
use crate::relay::seam::{AdmitRefusal, Entropy, Policy};
use crate::relay::server::{Server, Settings};
use crate::relay::verdict::Verdict;
use crate::wire::attribute::{
    AdditionalAddressFamily, AddressErrorCode, DontFragment, ErrorCode, EvenPort, Lifetime, RequestedAddressFamily,
    RequestedTransport, ReservationToken, XorMappedAddress, XorRelayedAddress,
};
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
            return repeat(standing, answer);
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
fn repeat<L>(standing: &Allocation<L>, answer: Answer<'_>) -> Verdict {
    match standing.stage {
        Stage::Opening { .. } => Verdict::Drop(DropReason::InProgress),
        Stage::Open { relayed, .. } => success(answer, standing, relayed, standing.refused_family),
    }
}

/// Judges the request, takes the user's share and asks for a relay socket.
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
        stage: Stage::Opening {
            answer: PendingAnswer { fingerprint: request.has_fingerprint(), sha256: sender.sha256 },
        },
        refused_family: wish.refused_family,
        lifetime: wish.lifetime,
        opened: request.now,
        permissions: Permissions::default(),
        channels: Channels::default(),
        totals: Totals::default(),
        refresh_recorded_from: request.now.instant,
        suspended: false,
        lease,
    };
    let relay = server.table.insert(allocation).ok_or_else(|| Refused::out_of("allocations"))?;
    server.commands.push_back(Command::OpenRelay { relay, family: wish.family, parity: wish.parity });
    Ok(())
}

/// What an Allocate asks for, once it is clear that it can be had.
struct Wish {
    family: Family,
    /// A second family that is not offered: success, with an ADDRESS-ERROR-CODE (RFC 8656 §7.2, step 9).
    refused_family: Option<u8>,
    parity: PortParity,
    lifetime: Duration,
}

impl Wish {
    /// Steps 3 to 9 of RFC 8656 §7.2, in their order.
    fn read(request: &Request<'_>, settings: &Settings) -> Result<Self, Refused> {
        let invalid = Refused::bad_request;
        check_transport(request)?;
        let Choice { token, even, requested, additional } = Choice::read(request)?;
        if token && (even.is_some() || requested.is_some() || additional.is_some()) {
            return Err(invalid("RESERVATION-TOKEN excludes EVEN-PORT and address families"));
        }
        // No token is ever handed out, and none can be: a reservation cannot be satisfied yet.
        if token {
            return Err(Refused::unavailable("Reservation token not known here"));
        }
        if requested.is_some() && additional.is_some() {
            return Err(invalid("REQUESTED- and ADDITIONAL-ADDRESS-FAMILY exclude each other"));
        }
        let wanted = match requested {
            None => Family::V4,
            Some(number) => family(number).ok_or_else(|| unsupported_family(number))?,
        };
        if !settings.families.has(wanted) {
            return Err(unsupported_family(number_of(wanted)));
        }
        let parity = match even {
            None => PortParity::Any,
            Some(EvenPort { reserve_next: false }) => PortParity::Even,
            Some(EvenPort { reserve_next: true }) if additional.is_some() => {
                return Err(invalid("EVEN-PORT with a reservation excludes ADDITIONAL-ADDRESS-FAMILY"));
            }
            Some(EvenPort { reserve_next: true }) => {
                return Err(Refused::unavailable("Pairs of ports are not offered"));
            }
        };
        let refused_family = match additional.map(|number| (number, family(number))) {
            None => None,
            Some((_, Some(Family::V4))) => return Err(invalid("ADDITIONAL-ADDRESS-FAMILY must not be IPv4")),
            Some((number, Some(Family::V6))) => Some(number),
            Some((number, None)) => return Err(unsupported_family(number)),
        };
        let lifetime = granted_lifetime(settings, asked_lifetime(request)?);
        Ok(Self { family: wanted, refused_family, parity, lifetime })
    }
}

/// What chooses among addresses, each in a form that its RFC allows; families by their numbers.
struct Choice {
    token: bool,
    even: Option<EvenPort>,
    requested: Option<u8>,
    additional: Option<u8>,
}

impl Choice {
    fn read(request: &Request<'_>) -> Result<Self, Refused> {
        let (message, invalid) = (request.message, Refused::bad_request);
        // DF can be set, so DONT-FRAGMENT is nothing to refuse (step 4), if it is one.
        message.get::<DontFragment>().map_err(|_| invalid("Invalid DONT-FRAGMENT"))?;
        let token = message.get::<ReservationToken>().map_err(|_| invalid("Invalid RESERVATION-TOKEN"))?;
        let even = message.get::<EvenPort>().map_err(|_| invalid("Invalid EVEN-PORT"))?;
        let requested = message.get::<RequestedAddressFamily>();
        let requested = requested.map_err(|_| invalid("Invalid REQUESTED-ADDRESS-FAMILY"))?;
        let additional = message.get::<AdditionalAddressFamily>();
        let additional = additional.map_err(|_| invalid("Invalid ADDITIONAL-ADDRESS-FAMILY"))?;
        Ok(Self {
            token: token.is_some(),
            even,
            requested: requested.map(|requested| requested.0),
            additional: additional.map(|additional| additional.0),
        })
    }
}

/// Step 3: UDP is what there is.
fn check_transport(request: &Request<'_>) -> Result<(), Refused> {
    let invalid = Refused::bad_request;
    let transport = request.message.get::<RequestedTransport>().map_err(|_| invalid("Invalid REQUESTED-TRANSPORT"))?;
    match transport.ok_or_else(|| invalid("REQUESTED-TRANSPORT is missing"))? {
        RequestedTransport::UDP => Ok(()),
        RequestedTransport(other) => {
            Err(Refused::with(ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL, Denial::TransportProtocol(other)))
        }
    }
}

/// LIFETIME in seconds, if the request has one.
pub(super) fn asked_lifetime(request: &Request<'_>) -> Result<Option<u32>, Refused> {
    let lifetime = request.message.get::<Lifetime>().map_err(|_| Refused::bad_request("Invalid LIFETIME"))?;
    Ok(lifetime.map(|lifetime| lifetime.0))
}

/// What is granted of it: never less than the default, never more than the maximum (RFC 8656 §7.2 and §8.2).
pub(super) fn granted_lifetime(settings: &Settings, asked: Option<u32>) -> Duration {
    let asked = Duration::from_secs(u64::from(asked.unwrap_or_default()));
    asked.max(DEFAULT_LIFETIME).min(settings.max_lifetime)
}

/// The relay socket is open: the allocation begins, the audit trail hears of it, and then the client.
pub(in crate::relay) fn on_relay_opened<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    now: Now,
    id: RelayId,
    relayed: RelayedAddr,
) {
    let Some(allocation) = server.table.get_mut(id) else {
        server.commands.push_back(Command::CloseRelay { relay: id });
        return;
    };
    let Stage::Opening { answer } = allocation.stage else { return };
    let expires = now.instant.after(allocation.lifetime);
    allocation.stage = Stage::Open { relayed, expires };
    allocation.opened = now;
    let (lifetime, record) = (allocation.lifetime, allocation.record());
    let message = answer_late(allocation, answer, |ready, allocation| {
        success(ready, allocation, relayed, allocation.refused_family)
    });
    server.wheel.set(now.instant, id.slot, expires);
    if let Some(allocation) = record {
        server.audit(Event::Opened { at: now, allocation, lifetime });
    }
    server.commands.extend(message);
}

/// There is no relay socket: the user's share goes back, and the client gets a 508.
pub(in crate::relay) fn on_relay_failed<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    now: Now,
    id: RelayId,
    failure: RelayFailure,
) {
    let Some(Stage::Opening { answer }) = server.table.get(id).map(|allocation| allocation.stage) else { return };
    let Some(allocation) = server.table.remove(id) else { return };
    let Refused { error, denial } = Refused::out_of(match failure {
        RelayFailure::PortsExhausted => "relayed ports",
        RelayFailure::DescriptorsExhausted => "file descriptors",
        RelayFailure::Refused => "relay sockets",
    });
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

fn success<L>(
    answer: Answer<'_>,
    allocation: &Allocation<L>,
    relayed: RelayedAddr,
    refused_family: Option<u8>,
) -> Verdict {
    answer.success(|writer| {
        writer.put(&XorRelayedAddress(relayed.0))?;
        writer.put(&lifetime_attribute(allocation.lifetime))?;
        writer.put(&XorMappedAddress(allocation.path.client.0))?;
        match refused_family {
            None => Ok(()),
            Some(family) => {
                let ErrorCode { code, reason } = ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED;
                writer.put(&AddressErrorCode { family, code, reason })
            }
        }
    })
}

fn unsupported_family(number: u8) -> Refused {
    Refused::with(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED, Denial::Family(number))
}

fn number_of(family: Family) -> u8 {
    match family {
        Family::V4 => 0x01,
        Family::V6 => 0x02,
    }
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
