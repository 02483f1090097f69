//! Refresh (RFC 8656 §8.2).

use std::time::Duration;

use super::answer::Answer;
use super::authenticate::Authenticated;
use super::{Refused, Request, allocate, family, lifetime_attribute};
use crate::relay::allocation::Stage;
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
    let asked = allocate::asked_lifetime(request)?;
    let wanted = request.message.get::<RequestedAddressFamily>();
    let wanted = wanted.map_err(|_| Refused::bad_request("Invalid REQUESTED-ADDRESS-FAMILY"))?;
    let own = server.table.get(id).and_then(|allocation| allocation.family());
    if wanted.is_some_and(|wanted| family(wanted.0) != own) {
        return Err(Refused::family_mismatch());
    }
    if asked == Some(0) {
        server.close(request.now, id, CloseReason::ClientRefresh);
        return Ok(Duration::ZERO);
    }
    let lifetime = allocate::granted_lifetime(&server.settings, asked);
    extend(server, request, id, lifetime);
    Ok(lifetime)
}

fn extend<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'_>,
    id: crate::relay::RelayId,
    lifetime: Duration,
) {
    let Some(allocation) = server.table.get_mut(id) else { return };
    let until = request.now.instant.after(lifetime);
    allocation.lifetime = lifetime;
    if let Stage::Open { expires, .. } = &mut allocation.stage {
        *expires = until;
    }
    let totals = allocation.totals;
    let record = allocation.refresh_record(request.now.instant);
    server.wheel.set(request.now.instant, id.slot, until);
    if let Some(allocation) = record {
        server.audit(Event::Refreshed { at: request.now, allocation, lifetime, totals });
    }
}
