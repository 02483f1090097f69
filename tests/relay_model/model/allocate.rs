//! Allocate (RFC 8656 §7.2).

use std::net::SocketAddr;
use std::time::Duration;

use turnkeep::relay::event::Totals;
use turnkeep::relay::seam::{AdmitRefusal, Policy};
use turnkeep::relay::{DropReason, Families, Family, Path};
use turnkeep::wire::attribute::AttributeType;

use super::allocation::{Allocation, MOST_ICMP};
use super::{Asked, Model, same_tuple};
use crate::outcome::{Note, Outcome, Port, Why};
use crate::said::{Attr, Said};

const DEFAULT_LIFETIME: u32 = 600;

impl Model {
    /// In the order of D-30.
    pub(super) fn allocate(&mut self, asked: Asked, said: &Said) -> Outcome {
        if let Err(refused) = self.five_tuple_is_free(&asked) {
            return refused;
        }
        let request = match AllocateRequest::read(said, self.facts.families) {
            Ok(request) => request,
            Err((code, None)) => return asked.refuse(code),
            Err((code, Some(why))) => return asked.deny(code, why),
        };
        let lease = match self.policy.admit(self.now, &asked.who, &asked.path) {
            Ok(lease) => lease,
            Err(AdmitRefusal::Forbidden(_)) => return asked.deny(403, Why::Client),
            Err(AdmitRefusal::Elsewhere(_)) => return asked.deny(300, Why::Elsewhere),
            Err(AdmitRefusal::OverQuota(_)) => return asked.deny(486, Why::Quota),
        };
        self.allocations.push(Allocation {
            path: asked.path,
            username: asked.username,
            who: asked.who,
            made_by: asked.transaction,
            family: request.family,
            lifetime: granted(request.lifetime, self.facts.max_lifetime),
            address_error: request.address_error,
            has_token: request.port == Port::Pair,
            relayed: None,
            expires: self.now.instant,
            permissions: Vec::new(),
            channels: Vec::new(),
            suspended: false,
            totals: Totals::default(),
            refresh_noted: None,
            icmp_credit: (MOST_ICMP, self.now.instant),
            _lease: lease,
        });
        Outcome { opens: Some((request.family, request.port)), ..Outcome::default() }
    }

    /// Step 2, with D-09 and D-37; the same Allocate again gets the same answer.
    fn five_tuple_is_free(&mut self, asked: &Asked) -> Result<(), Outcome> {
        let now = self.now.instant;
        if let Some(allocation) = self.standing_on(asked.path) {
            if allocation.who.user != asked.who.user {
                allocation.suspended = true;
                return Err(asked.deny(437, Why::WrongUser));
            }
            let is_repeated = allocation.made_by.id == asked.transaction.id && allocation.username == asked.username;
            return Err(match allocation.relayed {
                Some(_) if is_repeated => Outcome::answered(allocation.success(now)),
                None if is_repeated => Outcome::dropped(&[DropReason::InProgress]),
                _ => asked.refuse(437),
            });
        }
        let rests = || self.resting.iter().filter(|resting| same_tuple(resting.path, asked.path));
        if rests().any(|resting| resting.who.user != asked.who.user) {
            return Err(asked.deny(437, Why::WrongUser));
        }
        if rests().any(|resting| resting.id == asked.transaction.id) {
            return Err(asked.refuse(437));
        }
        Ok(())
    }

    /// The socket that the allocation on this 5-tuple waits for is open.
    pub(crate) fn relay_opened(&mut self, path: Path, relayed: SocketAddr) -> Outcome {
        let now = self.now.instant;
        let allocation = self.standing_on(path).expect("a socket is opened for an allocation");
        allocation.relayed = Some(relayed);
        allocation.expires = now.after(Duration::from_secs(allocation.lifetime.into()));
        let opened = Note::Opened {
            user: allocation.who.user.0.to_string(),
            client: allocation.path.client.0,
            relayed,
            lifetime: u64::from(allocation.lifetime),
        };
        Outcome::answered(allocation.success(now)).noting(opened)
    }

    /// The socket cannot be had: the allocation never was.
    pub(crate) fn relay_failed(&mut self, path: Path) -> Outcome {
        let place = self.allocations.iter().position(|allocation| same_tuple(allocation.path, path)).expect("as above");
        let allocation = self.allocations.remove(place);
        let note = allocation.made_by.denied(Some(&allocation.who), None, 508, Why::Capacity);
        Outcome::answered(allocation.made_by.answer(508)).noting(note)
    }
}

/// What an Allocate asks for.
struct AllocateRequest {
    family: Family,
    port: Port,
    lifetime: Option<u32>,
    address_error: Option<(u8, u16)>,
}

impl AllocateRequest {
    /// Steps 3 to 9.
    fn read(said: &Said, offered: Families) -> Result<Self, (u16, Option<Why>)> {
        const BAD: (u16, Option<Why>) = (400, None);
        let requested = said.first(AttributeType::REQUESTED_ADDRESS_FAMILY);
        let additional = said.first(AttributeType::ADDITIONAL_ADDRESS_FAMILY);
        let even = said.first(AttributeType::EVEN_PORT);
        // 3
        match said.first(AttributeType::REQUESTED_TRANSPORT) {
            Some(Attr::Transport(17)) => {}
            Some(Attr::Transport(protocol)) => return Err((442, Some(Why::Transport(*protocol)))),
            _ => return Err(BAD),
        }
        // 4, and whatever else has a form that it cannot have (D-07).
        let shaped = [
            AttributeType::DONT_FRAGMENT,
            AttributeType::RESERVATION_TOKEN,
            AttributeType::EVEN_PORT,
            AttributeType::REQUESTED_ADDRESS_FAMILY,
            AttributeType::ADDITIONAL_ADDRESS_FAMILY,
        ];
        if shaped.into_iter().any(|kind| said.is_malformed(kind)) {
            return Err(BAD);
        }
        // 5: what is under the token, the engine knows; the token tells the family.
        match said.first(AttributeType::RESERVATION_TOKEN) {
            None => {}
            Some(Attr::ReservationToken) if even.or(requested).or(additional).is_none() => {
                let lifetime = lifetime_of(said).ok_or(BAD)?;
                if !offered.v6 {
                    return Err((508, Some(Why::Capacity)));
                }
                return Ok(Self { family: Family::V6, port: Port::Reserved, lifetime, address_error: None });
            }
            Some(_) => return Err(BAD),
        }
        // 6
        if requested.is_some() && additional.is_some() {
            return Err(BAD);
        }
        // 7
        let family = match requested {
            None if offered.v4 => Family::V4,
            None => return Err((440, Some(Why::Family(1)))),
            Some(Attr::Family(1)) if offered.v4 => Family::V4,
            Some(Attr::Family(2)) if offered.v6 => Family::V6,
            Some(Attr::Family(other)) => return Err((440, Some(Why::Family(*other)))),
            Some(_) => return Err(BAD),
        };
        // 8
        let port = match even {
            None => Port::Any,
            Some(Attr::EvenPort { reserve: false }) => Port::Even,
            Some(Attr::EvenPort { reserve: true }) if additional.is_none() => Port::Pair,
            Some(_) => return Err(BAD),
        };
        // 9: where there is no IPv6, it is refused within a success.
        let address_error = match additional {
            None => None,
            Some(Attr::AdditionalFamily(2)) => Some((2, 440)),
            Some(Attr::AdditionalFamily(other)) if *other != 1 => return Err((440, Some(Why::Family(*other)))),
            Some(_) => return Err(BAD),
        };
        let lifetime = lifetime_of(said).ok_or(BAD)?;
        Ok(Self { family, port, lifetime, address_error })
    }
}

/// None if it is malformed.
fn lifetime_of(said: &Said) -> Option<Option<u32>> {
    match said.first(AttributeType::LIFETIME) {
        None => Some(None),
        Some(Attr::Lifetime(seconds)) => Some(Some(*seconds)),
        Some(_) => None,
    }
}

/// RFC 8656 §7.2 and §8.2: between the default and the maximum.
pub(super) fn granted(asked: Option<u32>, max_lifetime: u32) -> u32 {
    asked.unwrap_or(0).min(max_lifetime).max(DEFAULT_LIFETIME)
}
