//! What clients write and read.

use std::net::SocketAddr;

use turnkeep::wire::attribute::{
    AdditionalAddressFamily, AttributeType, ChannelNumberAttribute, Data, Encode, ErrorCode, Lifetime, Nonce,
    PasswordAlgorithmAttribute, PasswordAlgorithms, Realm, RequestedAddressFamily, RequestedTransport, Username,
    XorPeerAddress, XorRelayedAddress,
};
use turnkeep::wire::channel_data::ChannelData;
use turnkeep::wire::demux::{Kind, classify};
use turnkeep::wire::header::{Class, Method, TransactionId};
use turnkeep::wire::integrity::{Integrity, IntegrityKey, LongTermKey, PasswordAlgorithm};
use turnkeep::wire::message::Message;
use turnkeep::wire::writer::MessageWriter;

use crate::sans_io::{REALM, password_of};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A relayed address of this family (1 or 2), or IPv4 and IPv6 both, for so long if it says.
    Allocate {
        family: u8,
        both: bool,
        lifetime: Option<u32>,
    },
    /// All addresses, or that of one family.
    Refresh {
        lifetime: Option<u32>,
        family: Option<u8>,
    },
    Permit(Vec<SocketAddr>),
    Bind {
        channel: u16,
        peer: SocketAddr,
    },
}

/// How a client proves who it is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) user: String,
    pub(crate) password: String,
    /// Empty before the first challenge: then a request goes without credentials.
    pub(crate) nonce: Vec<u8>,
    /// It knows RFC 8489, and the server offers what is in it.
    pub(crate) modern: bool,
}

impl Identity {
    pub(crate) fn of(user: &str) -> Self {
        Self { user: user.into(), password: password_of(user), nonce: Vec::new(), modern: false }
    }

    fn algorithm(&self) -> PasswordAlgorithm {
        if self.modern { PasswordAlgorithm::Sha256 } else { PasswordAlgorithm::Md5 }
    }

    pub(crate) fn key(&self) -> IntegrityKey {
        let integrity = if self.modern { Integrity::Sha256 } else { Integrity::Sha1 };
        let (user, password) = (self.user.as_bytes(), self.password.as_bytes());
        IntegrityKey::new(integrity, &LongTermKey::derive(self.algorithm(), user, REALM.as_bytes(), password))
    }
}

impl Wish {
    pub(crate) fn method(&self) -> Method {
        match self {
            Self::Allocate { .. } => Method::ALLOCATE,
            Self::Refresh { .. } => Method::REFRESH,
            Self::Permit(_) => Method::CREATE_PERMISSION,
            Self::Bind { .. } => Method::CHANNEL_BIND,
        }
    }

    /// The request, with credentials if there is a nonce.
    pub(crate) fn request(&self, id: [u8; 12], identity: &Identity, fingerprint: bool) -> Vec<u8> {
        write(self.method(), Class::Request, id, |writer| {
            match self {
                Self::Allocate { family, both, lifetime } => {
                    put(writer, &RequestedTransport::UDP);
                    if *both {
                        put(writer, &AdditionalAddressFamily(2));
                    } else if *family == 2 {
                        put(writer, &RequestedAddressFamily(2));
                    }
                    lifetime.iter().for_each(|seconds| put(writer, &Lifetime(*seconds)));
                }
                Self::Refresh { lifetime, family } => {
                    lifetime.iter().for_each(|seconds| put(writer, &Lifetime(*seconds)));
                    family.iter().for_each(|family| put(writer, &RequestedAddressFamily(*family)));
                }
                Self::Permit(peers) => peers.iter().for_each(|peer| put(writer, &XorPeerAddress(*peer))),
                Self::Bind { channel, peer } => {
                    put(writer, &ChannelNumberAttribute(*channel));
                    put(writer, &XorPeerAddress(*peer));
                }
            }
            if !identity.nonce.is_empty() {
                prove(writer, identity);
            }
            if fingerprint {
                writer.fingerprint().unwrap();
            }
        })
    }
}

fn prove(writer: &mut MessageWriter<'_>, identity: &Identity) {
    put(writer, &Username(identity.user.as_bytes()));
    put(writer, &Realm(REALM.as_bytes()));
    put(writer, &Nonce(&identity.nonce));
    if identity.modern {
        put(writer, &PasswordAlgorithms::SHA256_THEN_MD5);
        put(writer, &PasswordAlgorithmAttribute::new(identity.algorithm()));
    }
    writer.integrity(&identity.key()).unwrap();
}

/// A Send indication.
pub(crate) fn send_indication(id: [u8; 12], peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
    write(Method::SEND, Class::Indication, id, |writer| {
        put(writer, &XorPeerAddress(peer));
        put(writer, &Data(payload));
    })
}

/// ChannelData.
pub(crate) fn on_channel(channel: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    [&channel.to_be_bytes()[..], &len.to_be_bytes(), payload].concat()
}

fn write(method: Method, class: Class, id: [u8; 12], fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut out = vec![0; 2048];
    let mut writer = MessageWriter::new(&mut out, method, class, TransactionId(id)).unwrap();
    fill(&mut writer);
    let len = writer.finish();
    out.truncate(len);
    out
}

fn put(writer: &mut MessageWriter<'_>, attribute: &impl Encode) {
    writer.put(attribute).unwrap();
}

/// What a client hears from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// An answer to the transaction with this id.
    Answer { id: [u8; 12], outcome: Outcome },
    /// An answer to nothing that was asked: somebody asked in our name.
    Unasked,
    /// A peer's datagram.
    Data { peer: SocketAddr, payload: Vec<u8> },
    /// The same, on a channel.
    Channel { channel: u16, payload: Vec<u8> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success {
        relayed: Vec<SocketAddr>,
        lifetime: Option<u32>,
    },
    /// 401 or 438, with a nonce; and whether password algorithms are offered.
    Challenge {
        code: u16,
        nonce: Vec<u8>,
        algorithms: bool,
    },
    Error {
        code: u16,
    },
}

/// Reads what the server sent. Everything must be well made, and what was asked by `asked` signed where it has to be.
pub(crate) fn read(bytes: &[u8], identity: &Identity, asked: impl Fn([u8; 12]) -> bool) -> Heard {
    if classify(bytes) == Kind::ChannelData {
        let data = ChannelData::parse(bytes).expect("the server's ChannelData is whole");
        return Heard::Channel { channel: data.number.get(), payload: bytes[data.payload].to_vec() };
    }
    let message = Message::parse(bytes).expect("the server's STUN is whole");
    if (message.method(), message.class()) == (Method::DATA, Class::Indication) {
        let peer = message.get::<XorPeerAddress>().unwrap().expect("XOR-PEER-ADDRESS").0;
        return Heard::Data { peer, payload: message.get::<Data<'_>>().unwrap().expect("DATA").0.to_vec() };
    }
    let id = message.transaction_id().0;
    if asked(id) { Heard::Answer { id, outcome: read_outcome(&message, identity) } } else { Heard::Unasked }
}

fn read_outcome(message: &Message<'_>, identity: &Identity) -> Outcome {
    let code = message.get::<ErrorCode<'_>>().unwrap().map_or(0, |error| error.code);
    if let (401 | 438, Some(nonce)) = (code, message.get::<Nonce<'_>>().unwrap()) {
        let algorithms = message.has(AttributeType::PASSWORD_ALGORITHMS);
        return Outcome::Challenge { code, nonce: nonce.0.to_vec(), algorithms };
    }
    if message.integrity().is_some() {
        assert_eq!(message.verify_integrity(&identity.key()), Ok(()), "{message:?}");
    } else {
        assert_eq!(code, 400, "answers to those who proved who they are are signed: {message:?}");
    }
    match code {
        0 => Outcome::Success {
            relayed: message.all::<XorRelayedAddress>().map(|address| address.unwrap().0).collect(),
            lifetime: message.get::<Lifetime>().unwrap().map(|lifetime| lifetime.0),
        },
        _ => Outcome::Error { code },
    }
}
