//! What is to be done with a datagram: the return value of the packet path.

use std::fmt;
use std::ops::Range;

use super::addr::{Path, PeerAddr};
use super::command::RelayId;
use super::reason::DropReason;

/// What to do with a datagram from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send `payload`, a range of the datagram that was passed in, from the relay socket to the peer.
    Forward {
        /// The socket to send from.
        relay: RelayId,
        /// Where to.
        peer: PeerAddr,
        /// Which bytes of the datagram.
        payload: Range<usize>,
        /// Set DF on this packet (RFC 8656 §11.2: a Send indication with DONT-FRAGMENT; IPv4 only).
        dont_fragment: bool,
    },
    /// Send the first `len` bytes of the reply buffer back on the path that the datagram came by.
    Reply {
        /// Length in bytes.
        len: usize,
    },
    /// Nothing to send now: the answer follows as a command, or none is due (a Binding indication).
    Pending,
    /// Discard it, and count why.
    Drop(DropReason),
}

/// What to do with a datagram from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerVerdict {
    /// Put the bytes of `front` before the payload and `padding` zero bytes (0 to 3) behind it, and send all of it to
    /// the client. The payload itself stays where it is.
    ToClient {
        /// Where to, and from which socket.
        path: Path,
        /// The ChannelData header, or the Data indication up to its payload.
        front: Front,
        /// Zero bytes to append.
        padding: usize,
    },
    /// Discard it, and count why.
    Drop(DropReason),
}

/// The most bytes that are ever put before a payload: a Data indication to an IPv6 peer (RFC 8656 §11.4) has a header
/// of 20 bytes, XOR-PEER-ADDRESS of 24 and a DATA header of 4.
pub const FRONT_MAX: usize = 48;

/// The bytes that go before a payload on its way to the client. Its `Debug` tells how many.
#[derive(Clone, PartialEq, Eq)]
pub struct Front {
    bytes: [u8; FRONT_MAX],
    len: u8,
}

impl Front {
    /// The bytes to put before the payload.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// A front of these bytes, at most [`FRONT_MAX`] of them.
    pub(super) fn new(front: &[u8]) -> Self {
        let mut bytes = [0; FRONT_MAX];
        bytes.iter_mut().zip(front).for_each(|(to, from)| *to = *from);
        Self { bytes, len: u8::try_from(front.len().min(FRONT_MAX)).unwrap_or_default() }
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("len", &self.len).finish()
    }
}
