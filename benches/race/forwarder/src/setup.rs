//! Answers to the requests that make, use and end an allocation, with integrity, as clients insist on it. Whether a
//! request's own integrity is right is not looked at: a floor has no lock on its door.

use std::net::{SocketAddr, SocketAddrV4};

use turnkeep::wire::attribute::{
    ChannelNumberAttribute, ErrorCode, Lifetime, Nonce, Realm, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use turnkeep::wire::{
    BufferFull, Class, Integrity, IntegrityKey, LongTermKey, Message, MessageWriter, Method, PasswordAlgorithm,
};

use crate::table::Table;

const LIFETIME: Lifetime = Lifetime(600);
const NONCE: Nonce<'_> = Nonce(b"race");

pub(crate) struct Setup {
    realm: Vec<u8>,
    key: IntegrityKey,
}

/// What to do after a request.
pub(crate) struct Answer {
    /// Bytes of the response.
    pub(crate) len: usize,
    pub(crate) change: Option<Change>,
}

/// What a request has changed, with the place of the allocation.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    Opened(usize),
    /// It has got a socket connected to its peer.
    Twinned(usize),
    Closed(usize),
}

impl Setup {
    pub(crate) fn new(realm: &str, user: &str, password: &str) -> Self {
        let key = LongTermKey::derive(PasswordAlgorithm::Md5, user.as_bytes(), realm.as_bytes(), password.as_bytes());
        Self { realm: realm.as_bytes().to_vec(), key: IntegrityKey::new(Integrity::Sha1, &key) }
    }

    /// Carries out `datagram` and writes the response to `out`; none for what is no request.
    pub(crate) fn answer(
        &self,
        table: &mut Table,
        datagram: &[u8],
        client: SocketAddrV4,
        out: &mut [u8],
    ) -> Option<Answer> {
        let request = Message::parse(datagram).ok().filter(|message| message.class() == Class::Request)?;
        if request.integrity().is_none() {
            return Some(Answer { len: self.challenge(&request, client, out).ok()?, change: None });
        }
        let mut change = None;
        let done = match request.method() {
            Method::ALLOCATE => match table.allocate(client) {
                Ok((place, is_new)) => {
                    change = is_new.then_some(Change::Opened(place));
                    true
                }
                Err(_) => false,
            },
            Method::REFRESH => {
                if request.get() == Ok(Some(Lifetime(0))) {
                    change = table.free(client).map(Change::Closed);
                }
                true
            }
            Method::CHANNEL_BIND => match (request.get(), request.get()) {
                (Ok(Some(ChannelNumberAttribute(number))), Ok(Some(XorPeerAddress(SocketAddr::V4(peer))))) => {
                    let bound = table.bind(client, number, peer);
                    change = bound.filter(|(_, is_new)| *is_new).map(|(place, _)| Change::Twinned(place));
                    bound.is_some()
                }
                _ => false,
            },
            _ => true,
        };
        let len = if done {
            self.success(&request, table, client, out)
        } else {
            self.refusal(&request, ErrorCode::registered(508), out)
        };
        Some(Answer { len: len.ok()?, change })
    }

    /// 401 to what comes without integrity (RFC 8489 §9.2.4), but for Binding, which needs none.
    fn challenge(&self, request: &Message<'_>, client: SocketAddrV4, out: &mut [u8]) -> Result<usize, BufferFull> {
        if request.method() == Method::BINDING {
            let mut writer = MessageWriter::new(out, request.method(), Class::Success, request.transaction_id())?;
            writer.put(&XorMappedAddress(client.into()))?;
            return Ok(writer.finish());
        }
        let mut writer = MessageWriter::new(out, request.method(), Class::Error, request.transaction_id())?;
        writer.put(&ErrorCode::UNAUTHENTICATED)?;
        writer.put(&Realm(&self.realm))?;
        writer.put(&NONCE)?;
        Ok(writer.finish())
    }

    fn success(
        &self,
        request: &Message<'_>,
        table: &Table,
        client: SocketAddrV4,
        out: &mut [u8],
    ) -> Result<usize, BufferFull> {
        let mut writer = MessageWriter::new(out, request.method(), Class::Success, request.transaction_id())?;
        match (request.method(), table.of_client(client)) {
            (Method::ALLOCATE, Some(allocation)) => {
                writer.put(&XorRelayedAddress(allocation.relayed.into()))?;
                writer.put(&XorMappedAddress(client.into()))?;
                writer.put(&LIFETIME)?;
            }
            (Method::REFRESH, allocation) => writer.put(&allocation.map_or(Lifetime(0), |_| LIFETIME))?,
            _ => {}
        }
        writer.integrity(&self.key)?;
        Ok(writer.finish())
    }

    fn refusal(&self, request: &Message<'_>, error: ErrorCode<'_>, out: &mut [u8]) -> Result<usize, BufferFull> {
        let mut writer = MessageWriter::new(out, request.method(), Class::Error, request.transaction_id())?;
        writer.put(&error)?;
        writer.integrity(&self.key)?;
        Ok(writer.finish())
    }
}
