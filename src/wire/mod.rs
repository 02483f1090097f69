//! Bytes and messages: STUN (RFC 8489), TURN (RFC 8656) and ChannelData, zero-copy, without heap, clock or I/O.
//!
//! Reading: [`classify`] tells by the first byte what a datagram is, [`Message::parse`] validates a STUN message in one
//! pass and remembers where each attribute lies, [`Message::get`] decodes one when it is asked for.
//! [`ChannelData::parse`] does the same for the other framing. Everything borrows the datagram or names a range of it;
//! a payload is never copied.
//!
//! Writing: [`MessageWriter`] fills a buffer that it is given. For the packet path there are two fronts that go before
//! a payload which stays where it is: [`data_indication_front`] and [`channel_data::header`].
//!
//! On the way to the messages of a stream there may be others: [`ProxyHeader`] tells for whom a proxy speaks,
//! [`ClientHello`] for whom a TLS connection is, and [`framer::frame`] where messages end.
//!
//! ```
//! use turnkeep::wire::attribute::{Username, XorMappedAddress};
//! use turnkeep::wire::{Class, Fingerprint, Message, MessageWriter, Method, TransactionId};
//!
//! let mut buffer = [0; 548];
//! let mut writer = MessageWriter::new(&mut buffer, Method::BINDING, Class::Success, TransactionId([7; 12]))?;
//! writer.put(&XorMappedAddress("192.0.2.1:3478".parse()?))?;
//! writer.fingerprint()?;
//! let len = writer.finish();
//!
//! let message = Message::parse(&buffer[..len])?;
//! assert_eq!(message.fingerprint(), Fingerprint::Valid);
//! assert_eq!(message.get()?, Some(XorMappedAddress("192.0.2.1:3478".parse()?)));
//! assert_eq!(message.get::<Username>()?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Whatever bytes come in, nothing here panics, and what the RFCs say to ignore has no effect.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod attribute;
pub mod channel_data;
pub mod client_hello;
pub mod demux;
pub mod fingerprint;
pub mod framer;
pub mod header;
pub mod integrity;
pub mod message;
pub mod proxy_header;
pub mod writer;

mod address;
mod error_code;
#[cfg(test)]
mod tests;

pub use attribute::{AttributeType, Decode, Encode, InvalidAttribute};
pub use channel_data::{ChannelData, ChannelDataError, ChannelNumber};
pub use client_hello::ClientHello;
pub use demux::{Kind, classify};
pub use fingerprint::Fingerprint;
pub use framer::{Frame, OutOfFrame};
pub use header::{Class, HEADER_LEN, Header, MAGIC_COOKIE, Method, TransactionId};
pub use integrity::{Integrity, IntegrityError, IntegrityKey, LongTermKey, PasswordAlgorithm};
pub use message::{Message, ParseError};
pub use proxy_header::ProxyHeader;
pub use writer::{BufferFull, DataFront, MessageWriter, data_indication_front};
