//! What an Allocate asks for (RFC 8656 §7.2, steps 3 to 9).

use std::time::Duration;

use super::{Refused, Request, family};
use crate::relay::addr::Family;
use crate::relay::allocation::AddressError;
use crate::relay::command::{PortParity, Token};
use crate::relay::event::Denial;
use crate::relay::limits::DEFAULT_LIFETIME;
use crate::relay::server::Settings;
use crate::wire::attribute::{
    AdditionalAddressFamily, DontFragment, ErrorCode, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport,
    ReservationToken,
};

/// What an Allocate asks for, once it is clear that it may be asked for.
pub(super) struct Wish {
    pub(super) family: Family,
    /// A second address, of the other family.
    pub(super) second: Option<Family>,
    /// A second family that is not offered: success, with an ADDRESS-ERROR-CODE.
    pub(super) address_error: Option<(Family, AddressError)>,
    pub(super) port: Port,
    pub(super) lifetime: Duration,
}

/// Which port.
pub(super) enum Port {
    Single(PortParity),
    /// An even one, and a token for the next.
    Pair,
    /// What was reserved under a token.
    Reserved(Token),
}

impl Wish {
    /// Steps 3 to 9, in their order.
    pub(super) fn read(request: &Request<'_>, settings: &Settings) -> Result<Self, Refused> {
        let invalid = Refused::bad_request;
        check_transport(request)?;
        let Choice { token, even, requested, additional } = Choice::read(request)?;
        if token.is_some() && (even.is_some() || requested.is_some() || additional.is_some()) {
            return Err(invalid("RESERVATION-TOKEN excludes EVEN-PORT and address families"));
        }
        if let Some(token) = token {
            if !settings.families.has(token.family()) {
                return Err(Refused::unavailable("Nothing is reserved under the token"));
            }
            let lifetime = granted_lifetime(settings, asked_lifetime(request)?);
            let (family, port) = (token.family(), Port::Reserved(token));
            return Ok(Self { family, second: None, address_error: None, port, lifetime });
        }
        if requested.is_some() && additional.is_some() {
            return Err(invalid("REQUESTED- and ADDITIONAL-ADDRESS-FAMILY exclude each other"));
        }
        let wanted = match requested {
            None => Family::V4,
            Some(number) => family(number).ok_or_else(|| unsupported_family(number))?,
        };
        if !settings.families.has(wanted) {
            return Err(unsupported_family(wanted.number()));
        }
        let port = match even {
            None => Port::Single(PortParity::Any),
            Some(EvenPort { reserve_next: false }) => Port::Single(PortParity::Even),
            Some(EvenPort { reserve_next: true }) if additional.is_some() => {
                return Err(invalid("EVEN-PORT with a reservation excludes ADDITIONAL-ADDRESS-FAMILY"));
            }
            Some(EvenPort { reserve_next: true }) => Port::Pair,
        };
        let (second, address_error) = match additional.map(|number| (number, family(number))) {
            None => (None, None),
            Some((_, Some(Family::V4))) => return Err(invalid("ADDITIONAL-ADDRESS-FAMILY must not be IPv4")),
            Some((_, Some(Family::V6))) if settings.families.v6 => (Some(Family::V6), None),
            Some((_, Some(Family::V6))) => (None, Some((Family::V6, AddressError::NotSupported))),
            Some((number, None)) => return Err(unsupported_family(number)),
        };
        let lifetime = granted_lifetime(settings, asked_lifetime(request)?);
        Ok(Self { family: wanted, second, address_error, port, lifetime })
    }
}

/// What chooses among addresses, each in a form that its RFC allows; families by their numbers.
struct Choice {
    token: Option<Token>,
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
            token: token.map(|ReservationToken(token)| Token::received(token)),
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

fn unsupported_family(number: u8) -> Refused {
    Refused::with(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED, Denial::Family(number))
}
