//! TURN's own attributes (RFC 8656 §18), addresses apart.

use super::{fixed_attribute, opaque_attribute};

/// CHANNEL-NUMBER (RFC 8656 §18.1), as sent: whether it is a number that can be bound is
/// [`ChannelNumber`](crate::wire::ChannelNumber)'s question. The reserved half is 0 when sent and ignored when received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelNumberAttribute(pub u16);

fixed_attribute!(
    ChannelNumberAttribute = CHANNEL_NUMBER,
    [u8; 4],
    |[hi, lo, _, _]| Some(Self(u16::from_be_bytes([hi, lo]))),
    |Self(number)| {
        let [hi, lo] = number.to_be_bytes();
        [hi, lo, 0, 0]
    }
);

/// LIFETIME (RFC 8656 §18.2), in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime(pub u32);

fixed_attribute!(Lifetime = LIFETIME, [u8; 4], |bytes| Some(Self(u32::from_be_bytes(bytes))), |Self(seconds)| seconds
    .to_be_bytes());

opaque_attribute! {
    /// DATA (RFC 8656 §18.4): what goes to or came from the peer. It can be empty; Debug shows its length only.
    Data = DATA, max usize::from(u16::MAX)
}

/// REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.6): 1 is IPv4, 2 is IPv6, anything else the server refuses with 440. The
/// reserved bits are 0 when sent and ignored when received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestedAddressFamily(pub u8);

fixed_attribute!(
    RequestedAddressFamily = REQUESTED_ADDRESS_FAMILY,
    [u8; 4],
    |[family, ..]| Some(Self(family)),
    |Self(family)| [*family, 0, 0, 0]
);

/// ADDITIONAL-ADDRESS-FAMILY (RFC 8656 §18.11): only 2, IPv6, is valid in an Allocate request. The reserved bits are 0
/// when sent and ignored when received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdditionalAddressFamily(pub u8);

fixed_attribute!(
    AdditionalAddressFamily = ADDITIONAL_ADDRESS_FAMILY,
    [u8; 4],
    |[family, ..]| Some(Self(family)),
    |Self(family)| [*family, 0, 0, 0]
);

/// EVEN-PORT (RFC 8656 §18.7). The seven reserved bits are 0 when sent and ignored when received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EvenPort {
    /// The R bit: keep the next higher port for a later allocation.
    pub reserve_next: bool,
}

const RESERVE_NEXT: u8 = 0x80;

fixed_attribute!(
    EvenPort = EVEN_PORT,
    [u8; 1],
    |[flags]| Some(Self { reserve_next: flags & RESERVE_NEXT != 0 }),
    |even_port| [if even_port.reserve_next { RESERVE_NEXT } else { 0 }]
);

/// REQUESTED-TRANSPORT (RFC 8656 §18.8): an IP protocol number. The reserved bits are 0 when sent and ignored when
/// received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestedTransport(pub u8);

impl RequestedTransport {
    /// The only one of RFC 8656.
    pub const UDP: Self = Self(17);
    /// RFC 6062 §4.1.
    pub const TCP: Self = Self(6);
}

fixed_attribute!(RequestedTransport = REQUESTED_TRANSPORT, [u8; 4], |[protocol, ..]| Some(Self(protocol)), |Self(
    protocol,
)| [
    *protocol, 0, 0, 0
]);

/// DONT-FRAGMENT (RFC 8656 §18.9): a flag without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DontFragment;

fixed_attribute!(DontFragment = DONT_FRAGMENT, [u8; 0], |[]| Some(Self), |Self| []);

/// RESERVATION-TOKEN (RFC 8656 §18.10). Whoever knows it can take the port, so Debug hides it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReservationToken(pub [u8; 8]);

fixed_attribute!(ReservationToken = RESERVATION_TOKEN, [u8; 8], |token| Some(Self(token)), |Self(token)| *token);

impl std::fmt::Debug for ReservationToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReservationToken(8 bytes)")
    }
}

/// ICMP (RFC 8656 §18.13, figure 11): 16 reserved bits (0 when sent, ignored when received), 7 bits of type, 9 bits of
/// code, 32 bits of data. Types of ICMPv6 errors are below 128 (RFC 4443 §2.1), and so are ICMPv4's two that are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Icmp {
    /// The ICMP type, below 128; which ICMP, the family of XOR-PEER-ADDRESS says.
    pub icmp_type: u8,
    /// The ICMP code.
    pub code: u8,
    /// The next hop's MTU where the message says one, else 0.
    pub error_data: [u8; 4],
}

fixed_attribute!(
    Icmp = ICMP,
    [u8; 8],
    |[_, _, hi, lo, d0, d1, d2, d3]| {
        // The ninth bit of the code has no meaning: ICMP's codes have eight.
        let code_fits = hi & 1 == 0;
        code_fits.then_some(Self { icmp_type: hi >> 1, code: lo, error_data: [d0, d1, d2, d3] })
    },
    |icmp| {
        let [d0, d1, d2, d3] = icmp.error_data;
        [0, 0, icmp.icmp_type << 1, icmp.code, d0, d1, d2, d3]
    }
);
