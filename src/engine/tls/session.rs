//! One TLS connection: its handshake, and then records in and out.
#![forbid(unsafe_code)]

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};

use crate::relay::TlsSession;

/// The state of a connection, apart from its bytes.
pub(in crate::engine) struct Session {
    connection: Box<UnbufferedServerConnection>,
    /// The client has done something wrong.
    is_over: bool,
}

/// How far a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum State {
    /// More of the handshake has to come.
    Handshaking,
    /// Messages pass.
    Open,
    /// The client has closed it.
    Closed,
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Option<Self> {
        let connection = UnbufferedServerConnection::new(config).ok()?;
        Some(Self { connection: Box::new(connection), is_over: false })
    }

    /// Works on `incoming`; what was said is handed to `heard`, what is to be sent is put behind `outgoing`. Returns
    /// how many bytes of `incoming` are done with, and how far the connection is.
    ///
    /// # Errors
    /// What the client did wrong. An alert that says so is put behind `outgoing`.
    pub(in crate::engine) fn process(
        &mut self,
        incoming: &mut [u8],
        mut heard: impl FnMut(&[u8]),
        outgoing: &mut Vec<u8>,
    ) -> (usize, Result<State, rustls::Error>) {
        let mut done = 0;
        loop {
            let rest = incoming.get_mut(done..).unwrap_or_default();
            let UnbufferedStatus { discard, state, .. } = self.connection.process_tls_records(rest);
            done += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(record) = records.next_record() {
                        match record {
                            Ok(record) => heard(record.payload),
                            Err(error) => {
                                self.is_over = true;
                                return (done, Err(error));
                            }
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(outgoing, OVERHEAD, |room| data.encode(room).map_err(needed_to_encode));
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::BlockedHandshake) => return (done, Ok(State::Handshaking)),
                Ok(ConnectionState::WriteTraffic(_)) => return (done, Ok(State::Open)),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => return (done, Ok(State::Closed)),
                // Early data is not offered.
                Ok(_) => return (done, Err(rustls::Error::General("unexpected state".into()))),
                Err(error) => {
                    self.put_alert(outgoing);
                    return (done, Err(error));
                }
            }
        }
    }

    /// Puts `message` behind `outgoing` as a record, or as several if it is longer than one can be. `begun` is what
    /// [`Self::process`] has left of what came. False if the connection is over.
    pub(in crate::engine) fn encrypt(&mut self, message: &[u8], begun: &mut Vec<u8>, outgoing: &mut Vec<u8>) -> bool {
        let room = message.len() + (message.len() / RECORD + 1) * OVERHEAD;
        self.write(begun, outgoing, room, |connection, room| connection.encrypt(message, room))
    }

    /// Puts the end of what we say behind `outgoing`; `begun` as above.
    pub(in crate::engine) fn close(&mut self, begun: &mut Vec<u8>, outgoing: &mut Vec<u8>) {
        self.write(begun, outgoing, OVERHEAD, |connection, room| connection.queue_close_notify(room));
    }

    /// What was agreed on.
    pub(in crate::engine) fn agreed(&self) -> TlsSession {
        let version = self.connection.protocol_version().map_or(0, u16::from);
        let suite = self.connection.negotiated_cipher_suite();
        TlsSession { version, cipher_suite: suite.map_or(0, |suite| suite.suite().into()) }
    }

    /// The rest of what came is shown again: rustls keeps its place in it, and panics where that is not.
    fn write(
        &mut self,
        begun: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
        room: usize,
        put: impl Fn(&mut Writing<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> bool {
        if self.is_over {
            return false;
        }
        let mut done = 0;
        let is_put = loop {
            let rest = begun.get_mut(done..).unwrap_or_default();
            let UnbufferedStatus { discard, state, .. } = self.connection.process_tls_records(rest);
            done += discard;
            match state {
                Ok(ConnectionState::WriteTraffic(mut connection)) => {
                    let needed = |error| match error {
                        EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Some(required_size),
                        EncryptError::EncryptExhausted => None,
                    };
                    break append(outgoing, room, |room| put(&mut connection, room).map_err(needed));
                }
                // A change of keys or a ticket that is due goes first.
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(outgoing, OVERHEAD, |room| data.encode(room).map_err(needed_to_encode));
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => break false,
            }
        };
        begun.drain(..done.min(begun.len()));
        is_put
    }

    /// It is over: what is due is put behind `outgoing`, an alert last. rustls must not be asked for more than that,
    /// and nothing afterwards: it would look at what came once more, and panic at having to send a second alert.
    fn put_alert(&mut self, outgoing: &mut Vec<u8>) {
        self.is_over = true;
        while self.connection.wants_write() {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(outgoing, OVERHEAD, |room| data.encode(room).map_err(needed_to_encode));
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => return,
            }
        }
    }
}

type Writing<'c> = rustls::unbuffered::WriteTraffic<'c, rustls::server::ServerConnectionData>;

/// A record carries so much at most (RFC 8446 §5.1).
const RECORD: usize = 16_384;
/// A record's header, and what encryption adds to it: 22 bytes by TLS 1.3, 29 by 1.2.
const OVERHEAD: usize = 64;

/// Has `put` write behind `outgoing`, where it gets `room`, or more if it says so.
fn append(
    outgoing: &mut Vec<u8>,
    mut room: usize,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> bool {
    let start = outgoing.len();
    loop {
        outgoing.resize(start + room, 0);
        match put(outgoing.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                outgoing.truncate(start + written);
                return true;
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                outgoing.truncate(start);
                return false;
            }
        }
    }
}

fn needed_to_encode(error: EncodeError) -> Option<usize> {
    match error {
        EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Some(required_size),
        EncodeError::AlreadyEncoded => None,
    }
}
