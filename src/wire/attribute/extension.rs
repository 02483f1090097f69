//! Attributes of extensions. Their types are known, but they count as unknown in a message (`is_understood` is false) until
//! the extension is switched on.

use super::{fixed_attribute, opaque_attribute};

/// CONNECTION-ID (RFC 6062 §6.2.1): names a peer's data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u32);

fixed_attribute!(ConnectionId = CONNECTION_ID, [u8; 4], |bytes| Some(Self(u32::from_be_bytes(bytes))), |Self(id)| id
    .to_be_bytes());

opaque_attribute! {
    /// MOBILITY-TICKET (RFC 8016 §3): opaque; empty in an Allocate request. Debug shows its length only.
    MobilityTicket = MOBILITY_TICKET, max usize::from(u16::MAX)
}

opaque_attribute! {
    /// ACCESS-TOKEN (RFC 7635 §6.2): the self-contained token. Debug shows its length only.
    AccessToken = ACCESS_TOKEN, max usize::from(u16::MAX)
}

opaque_attribute! {
    /// THIRD-PARTY-AUTHORIZATION (RFC 7635 §6.1): the server's name.
    ThirdPartyAuthorization = THIRD_PARTY_AUTHORIZATION, max usize::from(u16::MAX)
}
