//! What all three codecs can say, and how the tests build datagrams by hand.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use turnkeep::wire::attribute::*;
use turnkeep::wire::{
    Class, HEADER_LEN, Header, Integrity, IntegrityKey, Message, MessageWriter, Method, TransactionId,
};

pub(crate) const ID: TransactionId = TransactionId([0xA0, 0xB1, 0xC2, 0xD3, 0xE4, 0xF5, 6, 7, 8, 9, 10, 11]);
pub(crate) const USERNAME: &str = "1795285900:u-7f3a9c";
pub(crate) const REALM: &str = "example.org";
pub(crate) const PASSWORD: &str = "/Nycdx7RO/Vda0x6wRpB04bvq5U=";

/// A message whose every attribute the other codecs have too.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) method: Method,
    pub(crate) class: Class,
    pub(crate) id: TransactionId,
    pub(crate) attributes: Vec<Shared>,
    pub(crate) fingerprint: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Shared {
    Username(String),
    Realm(String),
    Nonce(String),
    Software(String),
    XorMappedAddress(SocketAddr),
    AlternateServer(SocketAddr),
    ErrorCode(u16, String),
    UnknownAttributes(Vec<AttributeType>),
}

/// Long-term MD5, what all three can do.
pub(crate) fn long_term_key(integrity: Integrity) -> IntegrityKey {
    use turnkeep::wire::{LongTermKey, PasswordAlgorithm};
    let algorithm = match integrity {
        Integrity::Sha1 => PasswordAlgorithm::Md5,
        Integrity::Sha256 => PasswordAlgorithm::Sha256,
    };
    let key = LongTermKey::derive(algorithm, USERNAME.as_bytes(), REALM.as_bytes(), PASSWORD.as_bytes());
    IntegrityKey::new(integrity, &key)
}

impl Common {
    /// The message as we write it, with the integrity attributes in order.
    pub(crate) fn bytes(&self, integrity: &[Integrity]) -> Vec<u8> {
        let mut out = vec![0xFF; 16_384];
        let mut writer = MessageWriter::new(&mut out, self.method, self.class, self.id).expect("room");
        self.attributes.iter().for_each(|attribute| attribute.put(&mut writer));
        for integrity in integrity {
            writer.integrity(&long_term_key(*integrity)).expect("room");
        }
        if self.fingerprint {
            writer.fingerprint().expect("room");
        }
        let len = writer.finish();
        out.truncate(len);
        out
    }

    /// Asserts that we read from `message` what is meant.
    pub(crate) fn assert_read(&self, message: &Message<'_>) {
        assert_eq!((message.method(), message.class(), message.transaction_id()), (self.method, self.class, self.id));
        for (index, attribute) in self.attributes.iter().enumerate() {
            let is_same_type = |earlier: &Shared| std::mem::discriminant(earlier) == std::mem::discriminant(attribute);
            if !self.attributes[..index].iter().any(is_same_type) {
                attribute.assert_read(message);
            }
        }
    }
}

impl Shared {
    fn put(&self, writer: &mut MessageWriter<'_>) {
        let put = match self {
            Self::Username(text) => writer.put(&Username(text.as_bytes())),
            Self::Realm(text) => writer.put(&Realm(text.as_bytes())),
            Self::Nonce(text) => writer.put(&Nonce(text.as_bytes())),
            Self::Software(text) => writer.put(&Software(text.as_bytes())),
            Self::XorMappedAddress(address) => writer.put(&XorMappedAddress(*address)),
            Self::AlternateServer(address) => writer.put(&AlternateServer(*address)),
            Self::ErrorCode(code, reason) => writer.put(&ErrorCode { code: *code, reason }),
            Self::UnknownAttributes(types) => writer.put(&UnknownAttributes::new(types)),
        };
        put.expect("room");
    }

    fn assert_read(&self, message: &Message<'_>) {
        match self {
            Self::Username(text) => assert_eq!(message.get(), Ok(Some(Username(text.as_bytes())))),
            Self::Realm(text) => assert_eq!(message.get(), Ok(Some(Realm(text.as_bytes())))),
            Self::Nonce(text) => assert_eq!(message.get(), Ok(Some(Nonce(text.as_bytes())))),
            Self::Software(text) => assert_eq!(message.get(), Ok(Some(Software(text.as_bytes())))),
            Self::XorMappedAddress(address) => assert_eq!(message.get(), Ok(Some(XorMappedAddress(*address)))),
            Self::AlternateServer(address) => assert_eq!(message.get(), Ok(Some(AlternateServer(*address)))),
            Self::ErrorCode(code, reason) => assert_eq!(message.get(), Ok(Some(ErrorCode { code: *code, reason }))),
            Self::UnknownAttributes(types) => assert_eq!(message.get(), Ok(Some(UnknownAttributes::new(types)))),
        }
    }
}

/// Any such message; texts are within everybody's bounds.
pub(crate) fn common() -> impl Strategy<Value = Common> {
    let class = prop_oneof![Just(Class::Request), Just(Class::Indication), Just(Class::Success), Just(Class::Error)];
    let method = prop_oneof![
        Just(Method::BINDING),
        Just(Method::ALLOCATE),
        Just(Method::REFRESH),
        Just(Method::SEND),
        Just(Method::DATA),
        Just(Method::CREATE_PERMISSION),
        Just(Method::CHANNEL_BIND),
        Just(Method::CONNECT),
        Just(Method::CONNECTION_BIND),
        Just(Method::CONNECTION_ATTEMPT),
    ];
    let id = any::<[u8; 12]>().prop_map(TransactionId);
    (method, class, id, vec(shared(), 0..9), any::<bool>())
        .prop_map(|(method, class, id, attributes, fingerprint)| Common { method, class, id, attributes, fingerprint })
}

fn shared() -> impl Strategy<Value = Shared> {
    let text = || any::<String>().prop_map(|text| text.chars().take(120).collect::<String>());
    let address = || any::<SocketAddr>().prop_map(|address| SocketAddr::new(address.ip(), address.port()));
    prop_oneof![
        text().prop_map(Shared::Username),
        text().prop_map(Shared::Realm),
        text().prop_map(Shared::Nonce),
        text().prop_map(Shared::Software),
        address().prop_map(Shared::XorMappedAddress),
        address().prop_map(Shared::AlternateServer),
        (300..=699_u16, text()).prop_map(|(code, reason)| Shared::ErrorCode(code, reason)),
        vec(any::<u16>().prop_map(AttributeType), 0..9).prop_map(Shared::UnknownAttributes),
    ]
}

/// A Binding request by its attributes' bytes, with nothing done for them but the header's length.
pub(crate) fn request(attributes: &[u8]) -> Vec<u8> {
    let body_len = u16::try_from(attributes.len()).expect("short");
    let header = Header { method: Method::BINDING, class: Class::Request, body_len, transaction_id: ID };
    [&header.to_bytes()[..], attributes].concat()
}

/// An attribute's bytes.
pub(crate) fn attribute(number: AttributeType, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).expect("short");
    let mut bytes = [&number.0.to_be_bytes()[..], &len.to_be_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A Refresh of LIFETIME 600 with what `seal` adds.
pub(crate) fn refresh(seal: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut out = vec![0; 512];
    let mut writer = MessageWriter::new(&mut out, Method::REFRESH, Class::Request, ID).expect("room");
    writer.put(&Lifetime(600)).expect("room");
    seal(&mut writer);
    let len = writer.finish();
    out.truncate(len);
    out
}

/// Appends bytes and counts them in the header's length.
pub(crate) fn append(datagram: &mut Vec<u8>, bytes: &[u8]) {
    datagram.extend(bytes);
    let len = u16::try_from(datagram.len() - HEADER_LEN).expect("short");
    datagram[2..4].copy_from_slice(&len.to_be_bytes());
}
