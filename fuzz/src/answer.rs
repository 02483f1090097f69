//! An answer of the server. The world's judge has looked at it already: at its form, its size and its integrity.

use turnkeep::wire::attribute::{ErrorCode, Lifetime, Nonce, XorRelayedAddress};
use turnkeep::wire::{Class, Message};

use super::oracle;

/// A response that two codecs can read.
pub(super) struct Answer<'a> {
    pub(super) message: Message<'a>,
    /// 0 for a success.
    pub(super) code: u16,
}

impl<'a> Answer<'a> {
    pub(super) fn read(answer: &'a [u8]) -> Self {
        let message = Message::parse(answer).expect("a message");
        assert_eq!(message.unknown_required(), []);
        assert!(
            message.attributes().all(|(attribute, _)| message.has(attribute)),
            "every attribute counts: {message:?}"
        );
        oracle::assert_accepted(answer);
        let code = match message.class() {
            Class::Success => 0,
            _ => message.get::<ErrorCode<'_>>().expect("valid").expect("an error says which").code,
        };
        Self { message, code }
    }

    /// Whether the server knew who asked.
    pub(super) fn is_signed(&self) -> bool {
        self.message.integrity().is_some()
    }

    pub(super) fn nonce(&self) -> Option<&'a [u8]> {
        self.message.get::<Nonce<'a>>().expect("valid").map(|nonce| nonce.0)
    }

    /// Seconds.
    pub(super) fn lifetime(&self) -> u64 {
        u64::from(self.message.get::<Lifetime>().expect("valid").expect("granted").0)
    }

    /// One address, or one of each family.
    pub(super) fn relayed(&self) -> Vec<std::net::SocketAddr> {
        let relayed: Vec<_> =
            self.message.all::<XorRelayedAddress>().map(|address| address.expect("valid").0).collect();
        assert!(matches!(&relayed[..], [_]) || matches!(&relayed[..], [v4, v6] if v4.is_ipv4() && v6.is_ipv6()));
        relayed
    }
}
