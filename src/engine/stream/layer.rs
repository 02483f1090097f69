//! What lies between a connection's bytes and its messages.
#![forbid(unsafe_code)]

use crate::engine::tls::Session;

/// What lies between a connection's bytes and its messages, as far as it has come.
pub(in crate::engine) enum Layer {
    /// The header of a proxy comes first; what there is of it.
    Proxied(Vec<u8>),
    /// The first byte tells whether it is TLS.
    Undecided,
    /// It is TLS, and its first message tells whose; what there is of it.
    Greeting(Vec<u8>),
    /// It is TLS of somebody else: the way that it goes, and what it has said.
    Foreign(usize, Vec<u8>),
    /// Nothing.
    Plain,
    /// The handshake: its state, unless it is being worked on, and what has come meanwhile.
    Handshake(Option<Session>, Vec<u8>),
    /// TLS, and the beginning of a record whose end has not come.
    Tls(Session, Vec<u8>),
}

/// The first byte of a TLS handshake (RFC 8446 §5.1).
pub(super) const TLS_HANDSHAKE: u8 = 22;
/// Bytes of a record's header.
const RECORD_HEADER: usize = 5;

impl Layer {
    /// Bytes of memory that it takes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Undecided | Self::Plain => 0,
            Self::Proxied(bytes)
            | Self::Greeting(bytes)
            | Self::Foreign(_, bytes)
            | Self::Handshake(_, bytes)
            | Self::Tls(_, bytes) => bytes.capacity(),
        }
    }

    /// Messages can pass.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self, Self::Plain | Self::Tls(..))
    }
}

/// There is a whole record at the beginning of `bytes`.
pub(super) fn has_record(bytes: &[u8]) -> bool {
    match bytes {
        [_, _, _, high, low, ..] => bytes.len() >= RECORD_HEADER + usize::from(u16::from_be_bytes([*high, *low])),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_there_once_all_of_it_is() {
        let record = b"\x16\x03\x01\0\x02ab";
        assert!((0..record.len()).all(|len| !has_record(&record[..len])));
        assert!(has_record(record) && has_record(b"\x16\x03\x01\0\x02abc"));
    }
}
