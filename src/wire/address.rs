//! Transport addresses on the wire (RFC 8489 §14.1, §14.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::attribute::{AttributeType, Decode, Encode, fill};
use super::header::{COOKIE_BYTES, TransactionId};

/// The family number of IPv4.
pub const FAMILY_V4: u8 = 0x01;
/// The family number of IPv6.
pub const FAMILY_V6: u8 = 0x02;

macro_rules! address_attribute {
    ($(#[$doc:meta])* $name:ident = $type:ident, $mask:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub SocketAddr);

        impl<'a> Decode<'a> for $name {
            const TYPE: AttributeType = AttributeType::$type;

            #[inline]
            fn decode(value: &'a [u8], transaction_id: &TransactionId) -> Option<Self> {
                let mask: fn(&TransactionId) -> Mask = $mask;
                decode_address(value, mask(transaction_id)).map(Self)
            }
        }

        impl Encode for $name {
            fn attribute_type(&self) -> AttributeType {
                AttributeType::$type
            }

            fn value_len(&self) -> usize {
                address_len(self.0)
            }

            #[inline]
            fn encode_value(&self, out: &mut [u8], transaction_id: &TransactionId) {
                let mask: fn(&TransactionId) -> Mask = $mask;
                encode_address(self.0, mask(transaction_id), out);
            }
        }
    };
}

address_attribute!(
    /// MAPPED-ADDRESS (RFC 8489 §14.1): for clients of RFC 3489 only.
    MappedAddress = MAPPED_ADDRESS, |_| PLAIN
);
address_attribute!(
    /// XOR-MAPPED-ADDRESS (RFC 8489 §14.2): where the request came from.
    XorMappedAddress = XOR_MAPPED_ADDRESS, xor
);
address_attribute!(
    /// XOR-PEER-ADDRESS (RFC 8656 §18.3): can appear several times in a CreatePermission. An IPv4-mapped IPv6 address
    /// stays what the family byte says, IPv6.
    XorPeerAddress = XOR_PEER_ADDRESS, xor
);
address_attribute!(
    /// XOR-RELAYED-ADDRESS (RFC 8656 §18.5): one per family in an Allocate response.
    XorRelayedAddress = XOR_RELAYED_ADDRESS, xor
);
address_attribute!(
    /// ALTERNATE-SERVER (RFC 8489 §14.15): not XORed.
    AlternateServer = ALTERNATE_SERVER, |_| PLAIN
);

/// What port (first two bytes) and address are XORed with, in network order.
type Mask = [u8; 16];

const PLAIN: Mask = [0; 16];

/// The cookie, then the transaction id, which only IPv6 addresses reach (RFC 8489 §14.2).
#[inline]
fn xor(TransactionId(id): &TransactionId) -> Mask {
    let [c0, c1, c2, c3] = COOKIE_BYTES;
    let [t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11] = *id;
    [c0, c1, c2, c3, t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11]
}

/// Bytes of the value: 8 for IPv4, 20 for IPv6.
#[inline]
pub(super) fn address_len(address: SocketAddr) -> usize {
    if address.is_ipv4() { 8 } else { 20 }
}

/// The length must be the family's; the first byte is ignored (RFC 8489 §14.1).
#[inline]
fn decode_address(value: &[u8], mask: Mask) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], ip) = value.split_first_chunk()?;
    let [m0, m1, ..] = mask;
    let port = u16::from_be_bytes([p0 ^ m0, p1 ^ m1]);
    let ip = match family {
        FAMILY_V4 => {
            let ip: [u8; 4] = ip.try_into().ok()?;
            let [m0, m1, m2, m3, ..] = mask;
            IpAddr::V4(Ipv4Addr::from_bits(u32::from_be_bytes(ip) ^ u32::from_be_bytes([m0, m1, m2, m3])))
        }
        FAMILY_V6 => {
            let ip: [u8; 16] = ip.try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes(ip) ^ u128::from_be_bytes(mask)))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Writes [`address_len`] bytes.
#[inline]
fn encode_address(address: SocketAddr, mask: Mask, out: &mut [u8]) {
    let [m0, m1, m2, m3, ..] = mask;
    let [p0, p1] = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => {
            let [a0, a1, a2, a3] = ip.octets();
            fill(out, &[0, FAMILY_V4, p0 ^ m0, p1 ^ m1, a0 ^ m0, a1 ^ m1, a2 ^ m2, a3 ^ m3]);
        }
        IpAddr::V6(ip) => {
            let ip = (ip.to_bits() ^ u128::from_be_bytes(mask)).to_be_bytes();
            if let Some((front, rest)) = out.split_at_mut_checked(4) {
                fill(front, &[0, FAMILY_V6, p0 ^ m0, p1 ^ m1]);
                fill(rest, &ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{ID, decoded, encoded};

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// C-028: RFC 8489 §14.2; the same address plain and XORed.
    #[test]
    fn addresses_are_xored_with_cookie_and_transaction_id() {
        let v4 = address("192.0.2.1:32853");
        assert_eq!(encoded(&XorMappedAddress(v4)), [0, 1, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43]);
        assert_eq!(encoded(&MappedAddress(v4)), [0, 1, 0x80, 0x55, 192, 0, 2, 1]);
        let v6 = address("[2001:db8::1]:32853");
        let mut plain = vec![0, 2, 0x80, 0x55, 0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(encoded(&AlternateServer(v6)), plain);
        let mask = [0x21, 0x12, 0x21, 0x12, 0xA4, 0x42].into_iter().chain(ID.0);
        plain[2..].iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        assert_eq!(encoded(&XorPeerAddress(v6)), plain);
    }

    #[test]
    fn addresses_come_back() {
        for text in ["0.0.0.0:0", "255.255.255.255:65535", "[::]:0", "[::ffff:192.0.2.1]:9", "[ff02::1%7]:3478"] {
            let address = address(text);
            // What has no place on the wire, an IPv6 scope, is lost.
            let expected = SocketAddr::new(address.ip(), address.port());
            assert_eq!(decoded(&encoded(&MappedAddress(address))), Some(MappedAddress(expected)));
            assert_eq!(decoded(&encoded(&XorMappedAddress(address))), Some(XorMappedAddress(expected)));
            assert_eq!(decoded(&encoded(&XorPeerAddress(address))), Some(XorPeerAddress(expected)));
            assert_eq!(decoded(&encoded(&XorRelayedAddress(address))), Some(XorRelayedAddress(expected)));
            assert_eq!(decoded(&encoded(&AlternateServer(address))), Some(AlternateServer(expected)));
        }
    }

    /// C-027: RFC 8489 §14.1.
    #[test]
    fn the_first_byte_is_ignored() {
        let mut value = encoded(&XorPeerAddress(address("192.0.2.1:1")));
        value[0] = 0xFF;
        assert_eq!(decoded(&value), Some(XorPeerAddress(address("192.0.2.1:1"))));
    }

    /// C-174.
    #[test]
    fn the_length_is_the_familys() {
        for family in 0..=u8::MAX {
            for len in 0..=24 {
                let mut value = vec![0; len];
                value.iter_mut().skip(1).take(1).for_each(|byte| *byte = family);
                let valid = matches!((family, len), (FAMILY_V4, 8) | (FAMILY_V6, 20));
                assert_eq!(decoded::<XorPeerAddress>(&value).is_some(), valid, "family {family}, {len} bytes");
            }
        }
    }
}
