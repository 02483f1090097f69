//! TURN's own attributes (RFC 8656 §18), addresses apart.

use super::{fixed_attribute, opaque_attribute};

/// CHANNEL-NUMBER (RFC 8656 §18.1), as sent: whether it is a number that can be bound is
/// [`ChannelNumber`](crate::wire::ChannelNumber)'s question. The reserved half is 0 when sent and ignored when
/// received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelNumberAttribute(pub u16);

fixed_attribute! {
    ChannelNumberAttribute = CHANNEL_NUMBER, 4 bytes,
    read: |[hi, lo, _, _]| Some(Self(u16::from_be_bytes([hi, lo]))),
    write: |Self(number)| {
        let [hi, lo] = number.to_be_bytes();
        [hi, lo, 0, 0]
    }
}

/// LIFETIME (RFC 8656 §18.2), in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime(pub u32);

fixed_attribute! {
    Lifetime = LIFETIME, 4 bytes,
    read: |seconds| Some(Self(u32::from_be_bytes(seconds))),
    write: |Self(seconds)| seconds.to_be_bytes()
}

opaque_attribute! {
    /// DATA (RFC 8656 §18.4): what goes to or came from the peer. It can be empty; Debug shows its length only.
    Data = DATA, max usize::from(u16::MAX)
}

/// REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.6): 1 is IPv4, 2 is IPv6, anything else the server refuses with 440. The
/// reserved bits are 0 when sent and ignored when received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestedAddressFamily(pub u8);

fixed_attribute! {
    RequestedAddressFamily = REQUESTED_ADDRESS_FAMILY, 4 bytes,
    read: |[family, ..]| Some(Self(family)),
    write: |Self(family)| [*family, 0, 0, 0]
}

/// ADDITIONAL-ADDRESS-FAMILY (RFC 8656 §18.11): only 2, IPv6, is valid in an Allocate request. The reserved bits are 0
/// when sent and ignored when received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdditionalAddressFamily(pub u8);

fixed_attribute! {
    AdditionalAddressFamily = ADDITIONAL_ADDRESS_FAMILY, 4 bytes,
    read: |[family, ..]| Some(Self(family)),
    write: |Self(family)| [*family, 0, 0, 0]
}

/// EVEN-PORT (RFC 8656 §18.7). The seven reserved bits are 0 when sent and ignored when received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EvenPort {
    /// The R bit: keep the next higher port for a later allocation.
    pub reserve_next: bool,
}

const RESERVE_NEXT: u8 = 0x80;

fixed_attribute! {
    EvenPort = EVEN_PORT, 1 bytes,
    read: |[flags]| Some(Self { reserve_next: flags & RESERVE_NEXT != 0 }),
    write: |even_port| [if even_port.reserve_next { RESERVE_NEXT } else { 0 }]
}

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

fixed_attribute! {
    RequestedTransport = REQUESTED_TRANSPORT, 4 bytes,
    read: |[protocol, ..]| Some(Self(protocol)),
    write: |Self(protocol)| [*protocol, 0, 0, 0]
}

/// DONT-FRAGMENT (RFC 8656 §18.9): a flag without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DontFragment;

fixed_attribute! {
    DontFragment = DONT_FRAGMENT, 0 bytes,
    read: |[]| Some(Self),
    write: |Self| []
}

/// RESERVATION-TOKEN (RFC 8656 §18.10). Whoever knows it can take the port, so Debug hides it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReservationToken(pub [u8; 8]);

fixed_attribute! {
    ReservationToken = RESERVATION_TOKEN, 8 bytes,
    read: |token| Some(Self(token)),
    write: |Self(token)| *token
}

impl std::fmt::Debug for ReservationToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReservationToken(8 bytes)")
    }
}

/// ICMP (RFC 8656 §18.13, figure 11): 16 reserved bits (0 when sent, ignored when received), 7 bits of type, 9 bits of
/// code, 32 bits of data. Types of ICMPv6 errors are below 128 (RFC 4443 §2.1), and so are ICMPv4's two that are
/// reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Icmp {
    /// The ICMP type, below 128; which ICMP, the family of XOR-PEER-ADDRESS says.
    pub icmp_type: u8,
    /// The ICMP code.
    pub code: u8,
    /// The next hop's MTU where the message says one, else 0.
    pub error_data: [u8; 4],
}

fixed_attribute! {
    Icmp = ICMP, 8 bytes,
    read: |[_, _, hi, lo, d0, d1, d2, d3]| {
        // The ninth bit of the code has no meaning: ICMP's codes have eight.
        let code_fits = hi & 1 == 0;
        code_fits.then_some(Self { icmp_type: hi >> 1, code: lo, error_data: [d0, d1, d2, d3] })
    },
    write: |icmp| {
        let [d0, d1, d2, d3] = icmp.error_data;
        [0, 0, icmp.icmp_type << 1, icmp.code, d0, d1, d2, d3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::attribute::{Decode, Encode};
    use crate::wire::tests::{decoded, encoded};

    /// Sent as `sent`, and read from `received`, which differs in nothing but reserved bits.
    fn assert_wire<T>(attribute: T, sent: &[u8], received: &[u8])
    where
        T: for<'a> Decode<'a> + Encode + PartialEq + std::fmt::Debug,
    {
        assert_eq!(encoded(&attribute), sent);
        assert_eq!(decoded::<T>(sent).as_ref(), Some(&attribute));
        assert_eq!(decoded::<T>(received), Some(attribute));
    }

    /// Only values of `len` bytes are valid.
    fn assert_length<T: for<'a> Decode<'a>>(len: usize) {
        for wrong in (0..=40).filter(|wrong| *wrong != len) {
            assert!(decoded::<T>(&vec![0; wrong]).is_none(), "{} of {wrong} bytes", T::TYPE);
        }
        assert!(decoded::<T>(&vec![0; len]).is_some());
    }

    /// C-115, C-128, C-144, C-210: RFC 8656 §18.1, §18.6–§18.8, §18.11.
    #[test]
    fn reserved_bits_are_sent_as_zero_and_ignored() {
        assert_wire(ChannelNumberAttribute(0x4123), &[0x41, 0x23, 0, 0], &[0x41, 0x23, 0xFF, 0xFF]);
        assert_wire(RequestedTransport::UDP, &[17, 0, 0, 0], &[17, 0xFF, 0xFF, 0xFF]);
        assert_wire(RequestedAddressFamily(2), &[2, 0, 0, 0], &[2, 0xFF, 0xFF, 0xFF]);
        assert_wire(AdditionalAddressFamily(2), &[2, 0, 0, 0], &[2, 0xFF, 0xFF, 0xFF]);
        assert_wire(EvenPort { reserve_next: true }, &[0x80], &[0xFF]);
        assert_wire(EvenPort { reserve_next: false }, &[0x00], &[0x7F]);
    }

    #[test]
    fn values_are_big_endian() {
        assert_wire(Lifetime(0x0102_0304), &[1, 2, 3, 4], &[1, 2, 3, 4]);
        assert_wire(ReservationToken([1, 2, 3, 4, 5, 6, 7, 8]), &[1, 2, 3, 4, 5, 6, 7, 8], &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_wire(DontFragment, &[], &[]);
    }

    /// C-114, C-123, C-129, C-143, C-151, C-209: RFC 8656 §18.
    #[test]
    fn fixed_lengths_are_exact() {
        assert_length::<ChannelNumberAttribute>(4);
        assert_length::<Lifetime>(4);
        assert_length::<RequestedTransport>(4);
        assert_length::<RequestedAddressFamily>(4);
        assert_length::<AdditionalAddressFamily>(4);
        assert_length::<EvenPort>(1);
        assert_length::<DontFragment>(0);
        assert_length::<ReservationToken>(8);
        assert_length::<Icmp>(8);
    }

    /// C-116, C-125: whether they are supported is not the codec's to say; their errors are 442 and 440, not 400.
    #[test]
    fn unknown_transports_and_families_are_kept() {
        assert_eq!(decoded(&[255, 0, 0, 0]), Some(RequestedTransport(255)));
        assert_eq!(decoded(&[0, 0, 0, 0]), Some(RequestedAddressFamily(0)));
        assert_eq!(decoded(&[3, 0, 0, 0]), Some(AdditionalAddressFamily(3)));
    }

    /// C-197: RFC 8656 §18.13, figure 11: 16 reserved bits, 7 of type, 9 of code.
    #[test]
    fn icmp_has_seven_bits_of_type_and_nine_of_code() {
        let too_big = Icmp { icmp_type: 3, code: 4, error_data: 1400_u32.to_be_bytes() };
        assert_wire(too_big, &[0, 0, 6, 4, 0, 0, 5, 0x78], &[0xFF, 0xFF, 6, 4, 0, 0, 5, 0x78]);
        let highest = Icmp { icmp_type: 127, code: 255, error_data: [0; 4] };
        assert_wire(highest, &[0, 0, 0xFE, 0xFF, 0, 0, 0, 0], &[0xFF, 0xFF, 0xFE, 0xFF, 0, 0, 0, 0]);
        assert_eq!(decoded::<Icmp>(&[0, 0, 0x07, 4, 0, 0, 0, 0]), None, "no ICMP code has nine bits");
    }

    /// C-185, C-192: RFC 8656 §18.4.
    #[test]
    fn data_can_be_empty() {
        assert_eq!(decoded(b""), Some(Data(b"")));
        assert_eq!(encoded(&Data(b"abc")), b"abc");
    }

    #[test]
    fn debug_shows_neither_payload_nor_token() {
        assert_eq!(format!("{:?}", Data(b"secret")), "Data(6 bytes)");
        assert_eq!(format!("{:?}", ReservationToken([9; 8])), "ReservationToken(8 bytes)");
    }
}
