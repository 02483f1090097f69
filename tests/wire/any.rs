//! Any attribute, and any message made of them.
#![allow(dead_code, reason = "each test uses its part")]

use std::fmt::Debug;
use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use turnkeep::wire::attribute::*;
use turnkeep::wire::{Class, Integrity, IntegrityKey, Message, MessageWriter, Method, TransactionId};

/// An attribute that owns its value: every type that the codec has, and types that it has not.
#[derive(Clone, Debug)]
pub(crate) enum Any {
    MappedAddress(SocketAddr),
    XorMappedAddress(SocketAddr),
    XorPeerAddress(SocketAddr),
    XorRelayedAddress(SocketAddr),
    AlternateServer(SocketAddr),
    Username(Vec<u8>),
    Realm(Vec<u8>),
    Nonce(Vec<u8>),
    Software(Vec<u8>),
    AlternateDomain(Vec<u8>),
    Userhash([u8; 32]),
    ErrorCode(u16, String),
    AddressErrorCode(u8, u16, String),
    UnknownAttributes(Vec<AttributeType>),
    /// The value's bytes.
    PasswordAlgorithms(Vec<u8>),
    PasswordAlgorithm(u16, Vec<u8>),
    ChannelNumber(u16),
    Lifetime(u32),
    Data(Vec<u8>),
    RequestedAddressFamily(u8),
    AdditionalAddressFamily(u8),
    EvenPort(bool),
    RequestedTransport(u8),
    DontFragment,
    ReservationToken([u8; 8]),
    Icmp(u8, u8, [u8; 4]),
    ConnectionId(u32),
    MobilityTicket(Vec<u8>),
    AccessToken(Vec<u8>),
    ThirdPartyAuthorization(Vec<u8>),
    Other(AttributeType, Vec<u8>),
}

/// What is done with an attribute, whatever its type.
trait Use<'d> {
    fn attribute<T: Encode + Decode<'d> + PartialEq + Debug>(&mut self, attribute: T);
    fn other(&mut self, attribute: Raw<'d>);
}

impl Any {
    /// Appends it.
    pub(crate) fn put(&self, writer: &mut MessageWriter<'_>) {
        self.apply(&mut Put(writer));
    }

    /// Asserts that it is what the message says of its type.
    pub(crate) fn assert_is_first<'d>(&'d self, message: &Message<'d>) {
        self.apply(&mut Read(message));
    }

    /// Its type.
    pub(crate) fn attribute_type(&self) -> AttributeType {
        let mut found = Type(AttributeType(0));
        self.apply(&mut found);
        found.0
    }

    fn apply<'d>(&'d self, with: &mut impl Use<'d>) {
        match self {
            Self::MappedAddress(address) => with.attribute(MappedAddress(*address)),
            Self::XorMappedAddress(address) => with.attribute(XorMappedAddress(*address)),
            Self::XorPeerAddress(address) => with.attribute(XorPeerAddress(*address)),
            Self::XorRelayedAddress(address) => with.attribute(XorRelayedAddress(*address)),
            Self::AlternateServer(address) => with.attribute(AlternateServer(*address)),
            Self::Username(bytes) => with.attribute(Username(bytes)),
            Self::Realm(bytes) => with.attribute(Realm(bytes)),
            Self::Nonce(bytes) => with.attribute(Nonce(bytes)),
            Self::Software(bytes) => with.attribute(Software(bytes)),
            Self::AlternateDomain(bytes) => with.attribute(AlternateDomain(bytes)),
            Self::Userhash(hash) => with.attribute(Userhash(hash)),
            Self::ErrorCode(code, reason) => with.attribute(ErrorCode { code: *code, reason }),
            Self::AddressErrorCode(family, code, reason) => {
                with.attribute(AddressErrorCode { family: *family, code: *code, reason });
            }
            Self::UnknownAttributes(types) => with.attribute(UnknownAttributes::new(types)),
            Self::PasswordAlgorithms(bytes) => {
                with.attribute(PasswordAlgorithms::from_bytes(bytes).expect("whole entries"));
            }
            Self::PasswordAlgorithm(number, parameters) => {
                with.attribute(PasswordAlgorithmAttribute { number: *number, parameters });
            }
            Self::ChannelNumber(number) => with.attribute(ChannelNumberAttribute(*number)),
            Self::Lifetime(seconds) => with.attribute(Lifetime(*seconds)),
            Self::Data(bytes) => with.attribute(Data(bytes)),
            Self::RequestedAddressFamily(family) => with.attribute(RequestedAddressFamily(*family)),
            Self::AdditionalAddressFamily(family) => with.attribute(AdditionalAddressFamily(*family)),
            Self::EvenPort(reserve_next) => with.attribute(EvenPort { reserve_next: *reserve_next }),
            Self::RequestedTransport(protocol) => with.attribute(RequestedTransport(*protocol)),
            Self::DontFragment => with.attribute(DontFragment),
            Self::ReservationToken(token) => with.attribute(ReservationToken(*token)),
            Self::Icmp(icmp_type, code, error_data) => {
                with.attribute(Icmp { icmp_type: *icmp_type, code: *code, error_data: *error_data });
            }
            Self::ConnectionId(id) => with.attribute(ConnectionId(*id)),
            Self::MobilityTicket(bytes) => with.attribute(MobilityTicket(bytes)),
            Self::AccessToken(bytes) => with.attribute(AccessToken(bytes)),
            Self::ThirdPartyAuthorization(bytes) => with.attribute(ThirdPartyAuthorization(bytes)),
            Self::Other(attribute, bytes) => with.other(Raw(*attribute, bytes)),
        }
    }
}

struct Put<'w, 'b>(&'w mut MessageWriter<'b>);

impl<'d> Use<'d> for Put<'_, '_> {
    fn attribute<T: Encode + Decode<'d> + PartialEq + Debug>(&mut self, attribute: T) {
        self.0.put(&attribute).expect("room enough");
    }

    fn other(&mut self, attribute: Raw<'d>) {
        self.0.put(&attribute).expect("room enough");
    }
}

struct Read<'m, 'd>(&'m Message<'d>);

impl<'d> Use<'d> for Read<'_, 'd> {
    fn attribute<T: Encode + Decode<'d> + PartialEq + Debug>(&mut self, attribute: T) {
        assert_eq!(self.0.get::<T>(), Ok(Some(attribute)));
    }

    fn other(&mut self, Raw(attribute, bytes): Raw<'d>) {
        let range = self.0.range_of(attribute).expect("it was written");
        assert_eq!(&self.0.as_bytes()[range], bytes);
    }
}

struct Type(AttributeType);

impl<'d> Use<'d> for Type {
    fn attribute<T: Encode + Decode<'d> + PartialEq + Debug>(&mut self, attribute: T) {
        assert_eq!(attribute.attribute_type(), T::TYPE);
        self.0 = T::TYPE;
    }

    fn other(&mut self, attribute: Raw<'d>) {
        self.0 = attribute.0;
    }
}

/// Any attribute that can be sent; long values are rare.
pub(crate) fn attribute() -> impl Strategy<Value = Any> {
    let bytes = || prop_oneof![9 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 0..=763)];
    // What has no place on the wire, an IPv6 scope, would not come back.
    let address = || any::<SocketAddr>().prop_map(|address| SocketAddr::new(address.ip(), address.port()));
    let reason = || any::<String>().prop_map(|reason| reason.chars().take(127).collect());
    prop_oneof![
        address().prop_map(Any::MappedAddress),
        address().prop_map(Any::XorMappedAddress),
        address().prop_map(Any::XorPeerAddress),
        address().prop_map(Any::XorRelayedAddress),
        address().prop_map(Any::AlternateServer),
        bytes().prop_map(Any::Username),
        bytes().prop_map(Any::Realm),
        bytes().prop_map(Any::Nonce),
        bytes().prop_map(Any::Software),
        vec(any::<u8>(), 0..=255).prop_map(Any::AlternateDomain),
        any::<[u8; 32]>().prop_map(Any::Userhash),
        (300..=699_u16, reason()).prop_map(|(code, reason)| Any::ErrorCode(code, reason)),
        (any::<u8>(), 300..=699_u16, reason())
            .prop_map(|(family, code, reason)| Any::AddressErrorCode(family, code, reason)),
        vec(any::<u16>().prop_map(AttributeType), 0..20).prop_map(Any::UnknownAttributes),
        vec((any::<u16>(), vec(any::<u8>(), 0..9)), 0..5).prop_map(algorithm_list),
        (any::<u16>(), vec(any::<u8>(), 0..9)).prop_map(|(number, bytes)| Any::PasswordAlgorithm(number, bytes)),
        any::<u16>().prop_map(Any::ChannelNumber),
        any::<u32>().prop_map(Any::Lifetime),
        prop_oneof![9 => bytes(), 1 => vec(any::<u8>(), 0..2000)].prop_map(Any::Data),
        any::<u8>().prop_map(Any::RequestedAddressFamily),
        any::<u8>().prop_map(Any::AdditionalAddressFamily),
        any::<bool>().prop_map(Any::EvenPort),
        any::<u8>().prop_map(Any::RequestedTransport),
        Just(Any::DontFragment),
        any::<[u8; 8]>().prop_map(Any::ReservationToken),
        (0..=127_u8, any::<u8>(), any::<[u8; 4]>())
            .prop_map(|(icmp_type, code, data)| Any::Icmp(icmp_type, code, data)),
        any::<u32>().prop_map(Any::ConnectionId),
        bytes().prop_map(Any::MobilityTicket),
        bytes().prop_map(Any::AccessToken),
        bytes().prop_map(Any::ThirdPartyAuthorization),
        (other_type(), bytes()).prop_map(|(attribute, bytes)| Any::Other(attribute, bytes)),
    ]
}

/// Numbers without an attribute of their own, half of them required.
fn other_type() -> impl Strategy<Value = AttributeType> {
    prop_oneof![0x0023..=0x0029_u16, 0x7000..=0x7010_u16, 0xC000..=0xC010_u16, 0xFFFF..=0xFFFF_u16]
        .prop_map(AttributeType)
}

fn algorithm_list(list: Vec<(u16, Vec<u8>)>) -> Any {
    let mut bytes = Vec::new();
    for (number, parameters) in list {
        bytes.extend(number.to_be_bytes());
        bytes.extend(u16::try_from(parameters.len()).expect("a few").to_be_bytes());
        bytes.extend(&parameters);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    Any::PasswordAlgorithms(bytes)
}

/// What can stand behind the attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seal {
    pub(crate) sha1: bool,
    pub(crate) sha256: bool,
    pub(crate) fingerprint: bool,
}

/// The key of a seal.
pub(crate) fn key(integrity: Integrity) -> IntegrityKey {
    IntegrityKey::from_raw(integrity, b"a short-term password")
}

/// A message: what was written, and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) method: Method,
    pub(crate) class: Class,
    pub(crate) transaction_id: TransactionId,
    pub(crate) attributes: Vec<Any>,
    pub(crate) seal: Seal,
    /// What the buffer held before.
    pub(crate) dirt: u8,
}

impl Written {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.dirt; 32_768];
        let mut writer = MessageWriter::new(&mut out, self.method, self.class, self.transaction_id).expect("room");
        self.attributes.iter().for_each(|attribute| attribute.put(&mut writer));
        for (integrity, wanted) in [(Integrity::Sha1, self.seal.sha1), (Integrity::Sha256, self.seal.sha256)] {
            if wanted {
                writer.integrity(&key(integrity)).expect("room");
            }
        }
        if self.seal.fingerprint {
            writer.fingerprint().expect("room");
        }
        let len = writer.finish();
        out.truncate(len);
        out
    }
}

/// Any message of up to 12 attributes.
pub(crate) fn message() -> impl Strategy<Value = Written> {
    let class = prop_oneof![Just(Class::Request), Just(Class::Indication), Just(Class::Success), Just(Class::Error)];
    let method = (0..=0xFFF_u16).prop_map(|number| Method::new(number).expect("twelve bits"));
    let seal = any::<[bool; 3]>().prop_map(|[sha1, sha256, fingerprint]| Seal { sha1, sha256, fingerprint });
    let id = any::<[u8; 12]>().prop_map(TransactionId);
    (method, class, id, vec(attribute(), 0..12), seal, any::<u8>()).prop_map(
        |(method, class, transaction_id, attributes, seal, dirt)| Written {
            method,
            class,
            transaction_id,
            attributes,
            seal,
            dirt,
        },
    )
}
