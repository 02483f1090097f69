//! What is said to a server, as the sender means it: the model judges this, the server gets the bytes of it.

use std::net::SocketAddr;

use turnkeep::relay::Now;
use turnkeep::wire::attribute::{
    AdditionalAddressFamily, AttributeType, ChannelNumberAttribute, Data, DontFragment, Encode, EvenPort, Lifetime,
    Nonce, PasswordAlgorithmAttribute, PasswordAlgorithms, Realm, RequestedAddressFamily, RequestedTransport,
    ReservationToken, Userhash, Username, XorPeerAddress,
};
use turnkeep::wire::header::{Class, Method, TransactionId};
use turnkeep::wire::integrity::{Integrity, IntegrityKey, LongTermKey, PasswordAlgorithm, userhash};
use turnkeep::wire::writer::MessageWriter;

use crate::sans_io::{Attribute, REALM, Raw, password_of};

/// A STUN message.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) method: Method,
    pub(crate) class: Class,
    pub(crate) id: TransactionId,
    pub(crate) attributes: Vec<Attr>,
    pub(crate) credentials: Option<Credentials>,
    /// Attributes behind the integrity attribute: nobody may act on them (RFC 8489 §9).
    pub(crate) behind: Vec<Attr>,
    pub(crate) print: Print,
}

/// FINGERPRINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Print {
    None,
    Right,
    Wrong,
}

/// An attribute of a request or indication, credentials apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attr {
    Transport(u8),
    DontFragment,
    EvenPort {
        reserve: bool,
    },
    ReservationToken,
    Family(u8),
    AdditionalFamily(u8),
    Lifetime(u32),
    Peer(SocketAddr),
    Channel(u16),
    Data(Vec<u8>),
    /// A type of RFC 8489 or 8656 whose value has a length that the RFC does not allow.
    Malformed(AttributeType),
    /// A type that nobody here understands, or one that has no business in a request.
    Other(u16),
}

impl Attr {
    pub(crate) fn kind(&self) -> AttributeType {
        match self {
            Self::Transport(_) => AttributeType::REQUESTED_TRANSPORT,
            Self::DontFragment => AttributeType::DONT_FRAGMENT,
            Self::EvenPort { .. } => AttributeType::EVEN_PORT,
            Self::ReservationToken => AttributeType::RESERVATION_TOKEN,
            Self::Family(_) => AttributeType::REQUESTED_ADDRESS_FAMILY,
            Self::AdditionalFamily(_) => AttributeType::ADDITIONAL_ADDRESS_FAMILY,
            Self::Lifetime(_) => AttributeType::LIFETIME,
            Self::Peer(_) => AttributeType::XOR_PEER_ADDRESS,
            Self::Channel(_) => AttributeType::CHANNEL_NUMBER,
            Self::Data(_) => AttributeType::DATA,
            Self::Malformed(kind) => *kind,
            Self::Other(number) => AttributeType(*number),
        }
    }

    fn put(&self, writer: &mut MessageWriter<'_>) {
        match self {
            Self::Transport(protocol) => Attribute::put(&RequestedTransport(*protocol), writer),
            Self::DontFragment => Attribute::put(&DontFragment, writer),
            Self::EvenPort { reserve } => Attribute::put(&EvenPort { reserve_next: *reserve }, writer),
            Self::ReservationToken => Attribute::put(&ReservationToken(*b"a token!"), writer),
            Self::Family(family) => Attribute::put(&RequestedAddressFamily(*family), writer),
            Self::AdditionalFamily(family) => Attribute::put(&AdditionalAddressFamily(*family), writer),
            Self::Lifetime(seconds) => Attribute::put(&Lifetime(*seconds), writer),
            Self::Peer(peer) => Attribute::put(&XorPeerAddress(*peer), writer),
            Self::Channel(number) => Attribute::put(&ChannelNumberAttribute(*number), writer),
            Self::Data(data) => Attribute::put(&Data(data), writer),
            // Eleven bytes: the length of none of them. DATA alone has no wrong length, so it is never malformed.
            Self::Malformed(kind) => Attribute::put(&Raw(kind.0, vec![1; 11]), writer),
            Self::Other(number) => Attribute::put(&Raw(*number, vec![7; 3]), writer),
        }
    }
}

/// Who the sender says he is, and how well he proves it.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) name: Name,
    pub(crate) password_is_right: bool,
    pub(crate) realm: SaidRealm,
    pub(crate) nonce: Option<SaidNonce>,
    pub(crate) algorithms: Algorithms,
    pub(crate) tag: Tag,
    /// SHA-256 alone is offered to the sender.
    pub(crate) modern_only: bool,
}

/// USERNAME or USERHASH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Missing,
    User(String),
    Hash(String),
}

/// REALM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SaidRealm {
    Missing,
    Ours,
    Other,
}

impl SaidRealm {
    fn text(self) -> &'static str {
        match self {
            Self::Missing | Self::Ours => REALM,
            Self::Other => "example.net",
        }
    }
}

/// NONCE: its bytes, and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SaidNonce {
    pub(crate) bytes: Vec<u8>,
    /// When the server minted it for this very 5-tuple, if it did.
    pub(crate) minted: Option<Now>,
}

/// PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS (RFC 8489 §14.11, §14.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithms {
    /// Neither, as all clients of before RFC 8489.
    Neither,
    /// Both as they should be.
    Both(PasswordAlgorithm),
    /// The choice without the list.
    ChoiceOnly(PasswordAlgorithm),
    /// The list without a choice.
    ListOnly,
    /// A list that is not what the server sent: someone bids it down.
    OtherList(PasswordAlgorithm),
    /// An algorithm that nobody offers.
    Unregistered,
}

impl Algorithms {
    /// What the sender derives his key with.
    pub(crate) fn of_key(self) -> PasswordAlgorithm {
        match self {
            Self::Both(algorithm) | Self::ChoiceOnly(algorithm) | Self::OtherList(algorithm) => algorithm,
            Self::Neither | Self::ListOnly | Self::Unregistered => PasswordAlgorithm::Md5,
        }
    }
}

/// Which integrity attributes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Sha1,
    Sha256,
    /// MESSAGE-INTEGRITY that matches nothing, then a right MESSAGE-INTEGRITY-SHA256, which alone is looked at.
    BadSha1ThenSha256,
    /// Four bytes short.
    ShortSha1,
    /// Four bytes short: truncation is for usages that allow it (RFC 8489 §14.6).
    ShortSha256,
}

impl Credentials {
    pub(crate) fn user(&self) -> Option<&str> {
        match &self.name {
            Name::Missing => None,
            Name::User(user) | Name::Hash(user) => Some(user),
        }
    }

    /// The key that the sender has, and that the server's answers are signed with.
    pub(crate) fn key(&self, integrity: Integrity) -> IntegrityKey {
        let user = self.user().unwrap_or_default();
        let mut password = password_of(user);
        if !self.password_is_right {
            password.push('?');
        }
        let (user, realm) = (user.as_bytes(), self.realm.text().as_bytes());
        IntegrityKey::new(integrity, &LongTermKey::derive(self.algorithms.of_key(), user, realm, password.as_bytes()))
    }

    fn put(&self, writer: &mut MessageWriter<'_>) {
        match &self.name {
            Name::Missing => {}
            Name::User(user) => put(writer, &Username(user.as_bytes())),
            Name::Hash(user) => put(writer, &Userhash(&userhash(user.as_bytes(), self.realm.text().as_bytes()))),
        }
        if self.realm != SaidRealm::Missing {
            put(writer, &Realm(self.realm.text().as_bytes()));
        }
        if let Some(nonce) = &self.nonce {
            put(writer, &Nonce(&nonce.bytes));
        }
        self.put_algorithms(writer);
        match self.tag {
            Tag::Sha1 => writer.integrity(&self.key(Integrity::Sha1)).unwrap(),
            Tag::Sha256 => writer.integrity(&self.key(Integrity::Sha256)).unwrap(),
            Tag::BadSha1ThenSha256 => {
                put(writer, &Raw(AttributeType::MESSAGE_INTEGRITY.0, vec![0; 20]));
                writer.integrity(&self.key(Integrity::Sha256)).unwrap();
            }
            Tag::ShortSha1 => put(writer, &Raw(AttributeType::MESSAGE_INTEGRITY.0, vec![0; 16])),
            Tag::ShortSha256 => put(writer, &Raw(AttributeType::MESSAGE_INTEGRITY_SHA256.0, vec![0; 28])),
        }
    }

    fn attribute_count(&self) -> usize {
        let algorithms = match self.algorithms {
            Algorithms::Neither => 0,
            Algorithms::ChoiceOnly(_) | Algorithms::ListOnly => 1,
            _ => 2,
        };
        let tags = if self.tag == Tag::BadSha1ThenSha256 { 2 } else { 1 };
        let said = [self.name != Name::Missing, self.realm != SaidRealm::Missing, self.nonce.is_some()];
        algorithms + tags + said.into_iter().filter(|said| *said).count()
    }

    fn put_algorithms(&self, writer: &mut MessageWriter<'_>) {
        let offered = if self.modern_only { PasswordAlgorithms::SHA256 } else { PasswordAlgorithms::SHA256_THEN_MD5 };
        let (list, choice) = match self.algorithms {
            Algorithms::Neither => (None, None),
            Algorithms::Both(algorithm) => (Some(offered), Some(algorithm.number())),
            Algorithms::ChoiceOnly(algorithm) => (None, Some(algorithm.number())),
            Algorithms::ListOnly => (Some(offered), None),
            Algorithms::OtherList(algorithm) => {
                (PasswordAlgorithms::from_bytes(&[0, 1, 0, 0]), Some(algorithm.number()))
            }
            Algorithms::Unregistered => (Some(offered), Some(9)),
        };
        if let Some(list) = list {
            put(writer, &list);
        }
        if let Some(number) = choice {
            put(writer, &PasswordAlgorithmAttribute { number, parameters: &[] });
        }
    }
}

impl Said {
    /// The first attribute of this type, which alone counts (RFC 8489 §14).
    pub(crate) fn first(&self, kind: AttributeType) -> Option<&Attr> {
        self.attributes.iter().find(|attribute| attribute.kind() == kind)
    }

    pub(crate) fn has(&self, kind: AttributeType) -> bool {
        self.first(kind).is_some()
    }

    pub(crate) fn is_malformed(&self, kind: AttributeType) -> bool {
        matches!(self.first(kind), Some(Attr::Malformed(_)))
    }

    /// How many attributes the message has.
    pub(crate) fn attribute_count(&self) -> usize {
        let proof =
            self.credentials.as_ref().map_or(0, |credentials| credentials.attribute_count() + self.behind.len());
        self.attributes.len() + proof + usize::from(self.print != Print::None)
    }

    /// Comprehension-required types that RFC 8489 and 8656 do not know, each once, the first 16 of them (D-16).
    pub(crate) fn unknown_required(&self) -> Vec<u16> {
        let mut unknown = Vec::new();
        for attribute in &self.attributes {
            let kind = attribute.kind();
            if kind.0 < 0x8000 && !kind.is_understood() && !unknown.contains(&kind.0) {
                unknown.push(kind.0);
            }
        }
        unknown.truncate(16);
        unknown
    }

    /// As it lies on the wire.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0; 70_000];
        let mut writer = MessageWriter::new(&mut out, self.method, self.class, self.id).unwrap();
        self.attributes.iter().for_each(|attribute| attribute.put(&mut writer));
        if let Some(credentials) = &self.credentials {
            credentials.put(&mut writer);
            self.behind.iter().for_each(|attribute| attribute.put(&mut writer));
        }
        match self.print {
            Print::None => {}
            Print::Right => writer.fingerprint().unwrap(),
            Print::Wrong => put(&mut writer, &Raw(AttributeType::FINGERPRINT.0, vec![1, 2, 3, 4])),
        }
        let len = writer.finish();
        out.truncate(len);
        out
    }
}

fn put(writer: &mut MessageWriter<'_>, attribute: &impl Encode) {
    writer.put(attribute).unwrap();
}
