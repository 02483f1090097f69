//! Attributes (RFC 8489 §14, RFC 8656 §18): their numbers, and one struct for each, the same for reading and writing.
//!
//! To add one: its number in `types.rs`, its struct with [`Decode`] and [`Encode`] in the file of its family. A decoder
//! takes exactly the lengths that the RFC allows, ignores reserved bits, and keeps as a raw number what has its own
//! error code when it is unknown (such as an address family, 440).

mod algorithm;
mod extension;
mod raw;
mod text;
mod turn;
mod types;
mod unknown;

pub use self::algorithm::{PasswordAlgorithmAttribute, PasswordAlgorithms};
pub use self::extension::{AccessToken, ConnectionId, MobilityTicket, ThirdPartyAuthorization};
pub use self::raw::Raw;
pub use self::text::{AlternateDomain, MAX_TEXT_LEN, Nonce, Realm, Software, Userhash, Username};
pub use self::turn::{
    AdditionalAddressFamily, ChannelNumberAttribute, Data, DontFragment, EvenPort, Icmp, Lifetime,
    RequestedAddressFamily, RequestedTransport, ReservationToken,
};
pub use self::types::AttributeType;
pub use self::unknown::UnknownAttributes;
pub use super::address::{
    AlternateServer, FAMILY_V4, FAMILY_V6, MappedAddress, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
pub use super::error_code::{AddressErrorCode, ErrorCode};

pub(super) use self::types::SLOTS;

use super::header::TransactionId;

/// An attribute that can be read from a message.
pub trait Decode<'a>: Sized {
    /// Its number.
    const TYPE: AttributeType;

    /// Reads the value (without padding); none if its length or content is impossible. The transaction id is what IPv6
    /// addresses are XORed with.
    fn decode(value: &'a [u8], transaction_id: &TransactionId) -> Option<Self>;
}

/// An attribute that can be written into a message.
pub trait Encode {
    /// Its number.
    fn attribute_type(&self) -> AttributeType;

    /// Bytes of the value, without padding.
    fn value_len(&self) -> usize;

    /// Writes the value into `out`, which is [`value_len`](Self::value_len) zero bytes.
    fn encode_value(&self, out: &mut [u8], transaction_id: &TransactionId);
}

/// The attribute is there, but its value is none that the RFC allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAttribute(pub AttributeType);

impl std::fmt::Display for InvalidAttribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invalid {}", self.0)
    }
}

impl std::error::Error for InvalidAttribute {}

/// Copies `bytes` to the front of `out`.
#[inline]
pub(super) fn fill(out: &mut [u8], bytes: &[u8]) {
    if let Some(front) = out.get_mut(..bytes.len()) {
        front.copy_from_slice(bytes);
    }
}

/// An attribute of `$bytes` opaque bytes, at most `$max`; what it shows in Debug is its length alone.
macro_rules! opaque_attribute {
    ($(#[$doc:meta])* $name:ident = $type:ident, max $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name<'a>(pub &'a [u8]);

        impl<'a> $crate::wire::attribute::Decode<'a> for $name<'a> {
            const TYPE: $crate::wire::attribute::AttributeType = $crate::wire::attribute::AttributeType::$type;

            #[inline]
            fn decode(value: &'a [u8], _: &$crate::wire::header::TransactionId) -> Option<Self> {
                (value.len() <= $max).then_some(Self(value))
            }
        }

        impl $crate::wire::attribute::Encode for $name<'_> {
            fn attribute_type(&self) -> $crate::wire::attribute::AttributeType {
                $crate::wire::attribute::AttributeType::$type
            }

            fn value_len(&self) -> usize {
                self.0.len()
            }

            fn encode_value(&self, out: &mut [u8], _: &$crate::wire::header::TransactionId) {
                $crate::wire::attribute::fill(out, self.0);
            }
        }

        impl std::fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({} bytes)"), self.0.len())
            }
        }
    };
}
pub(super) use opaque_attribute;

/// An attribute whose value has a fixed length: `read` makes the struct from the bytes, `write` the bytes from the
/// struct.
macro_rules! fixed_attribute {
    ($name:ty = $type:ident, $len:literal bytes, read: $read:expr, write: $write:expr) => {
        impl<'a> $crate::wire::attribute::Decode<'a> for $name {
            const TYPE: $crate::wire::attribute::AttributeType = $crate::wire::attribute::AttributeType::$type;

            #[inline]
            fn decode(value: &'a [u8], _: &$crate::wire::header::TransactionId) -> Option<Self> {
                let read: fn([u8; $len]) -> Option<Self> = $read;
                read(value.try_into().ok()?)
            }
        }

        impl $crate::wire::attribute::Encode for $name {
            fn attribute_type(&self) -> $crate::wire::attribute::AttributeType {
                $crate::wire::attribute::AttributeType::$type
            }

            fn value_len(&self) -> usize {
                $len
            }

            fn encode_value(&self, out: &mut [u8], _: &$crate::wire::header::TransactionId) {
                let write: fn(&Self) -> [u8; $len] = $write;
                $crate::wire::attribute::fill(out, &write(self));
            }
        }
    };
}
pub(super) use fixed_attribute;
