//! Attributes of extensions. Their types are known, but they count as unknown in a message (`is_understood` is false)
//! until the extension is switched on.

use super::{fixed_attribute, opaque_attribute};

/// CONNECTION-ID (RFC 6062 §6.2.1): names a peer's data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u32);

fixed_attribute! {
    ConnectionId = CONNECTION_ID, 4 bytes,
    read: |id| Some(Self(u32::from_be_bytes(id))),
    write: |Self(id)| id.to_be_bytes()
}

opaque_attribute! {
    /// MOBILITY-TICKET (RFC 8016 §3.3): opaque; empty in an Allocate request. Debug shows its length only.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{decoded, encoded};

    /// RFC 6062 §6.2.1.
    #[test]
    fn a_connection_id_is_32_bits() {
        assert_eq!(encoded(&ConnectionId(0x0102_0304)), [1, 2, 3, 4]);
        assert_eq!(decoded(&[1, 2, 3, 4]), Some(ConnectionId(0x0102_0304)));
        assert_eq!(decoded::<ConnectionId>(&[1, 2, 3]), None);
    }

    /// RFC 8016 §3.3, RFC 7635 §6.
    #[test]
    fn the_others_are_opaque() {
        assert_eq!(decoded(b""), Some(MobilityTicket(b"")));
        assert_eq!(decoded(b"\0token"), Some(AccessToken(b"\0token")));
        assert_eq!(encoded(&ThirdPartyAuthorization(b"example.org")), b"example.org");
        assert_eq!(format!("{:?}", AccessToken(b"\0token")), "AccessToken(6 bytes)");
    }
}
