//! Refresh (RFC 8656 §8.2).

use std::time::Duration;

use super::answer::Answer;
use super::authenticate::Authenticated;
use super::wish::{asked_lifetime, granted_lifetime};
use super::{Refused, Request, family, lifetime_attribute};
use crate::relay::addr::Family;
use crate::relay::command::RelayId;
use crate::relay::event::Event;
use crate::relay::reason::CloseReason;
use crate::relay::seam::{Entropy, Policy};
use crate::relay::server::Server;
use crate::relay::verdict::Verdict;
use crate::wire::attribute::RequestedAddressFamily;

pub(super) fn handle<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'_>,
    sender: &Authenticated<'_>,
    answer: Answer<'_>,
) -> Verdict {
    match refresh(server, request, sender) {
        Ok(lifetime) => answer.success(|writer| writer.put(&lifetime_attribute(lifetime))),
        Err(refused) => server.refuse(request, &sender.who, answer, refused),
    }
}

fn refresh<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'_>,
    sender: &Authenticated<'_>,
) -> Result<Duration, Refused> {
    let id = server.own_allocation(request, sender)?;
    let asked = asked_lifetime(request)?;
    let wanted = request.message.get::<RequestedAddressFamily>();
    let wanted = wanted.map_err(|_| Refused::bad_request("Invalid REQUESTED-ADDRESS-FAMILY"))?;
    let family = wanted.map(|wanted| family(wanted.0).ok_or_else(Refused::family_mismatch)).transpose()?;
    let Some(allocation) = server.table.get(id) else { return Err(Refused::no_allocation()) };
    let has = |family| allocation.has(family, request.now.instant);
    // One that was never had, or is gone already (RFC 8656 §8.1, §8.2).
    if family.is_some_and(|family| !has(family)) {
        return Err(Refused::family_mismatch());
    }
    if asked == Some(0) {
        match family.filter(|family| has(family.other())) {
            Some(family) => server.close_family(request.now, id, family, CloseReason::ClientRefresh),
            None => server.close(request.now, id, CloseReason::ClientRefresh),
        }
        return Ok(Duration::ZERO);
    }
    let lifetime = granted_lifetime(&server.settings, asked);
    extend(server, request, id, family, lifetime);
    Ok(lifetime)
}

fn extend<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'_>,
    id: RelayId,
    family: Option<Family>,
    lifetime: Duration,
) {
    let Some(allocation) = server.table.get_mut(id) else { return };
    let until = request.now.instant.after(lifetime);
    allocation.lifetime = lifetime;
    allocation.extend(family, request.now.instant, until);
    let next = allocation.next_expiry().unwrap_or(until);
    let totals = allocation.totals;
    let record = allocation.refresh_record(request.now.instant);
    server.wheel.set(request.now.instant, id.slot, next);
    if let Some(allocation) = record {
        server.audit(Event::Refreshed { at: request.now, allocation, lifetime, totals });
    }
}
