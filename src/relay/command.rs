//! What the server asks its engine to do: side effects as a queue.

use std::fmt;

use super::addr::{Family, Path};
use super::event::Event;
use super::seam::{Entropy, UserId};

/// Names a relay socket for as long as its allocation lives, and never another one afterwards: a slot and the slot's
/// generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RelayId {
    /// Index into the table of allocations; slots are reused, the last freed first.
    pub slot: u32,
    /// Counts the slot's uses.
    pub generation: u32,
}

/// Which relayed port an Allocate asked for (RFC 8656 §7.2, step 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortParity {
    /// Any port of the range.
    Any,
    /// An even one (EVEN-PORT with the R bit clear).
    Even,
}

/// Which relayed port is wanted (RFC 8656 §7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortWish {
    /// One of many.
    Single(PortParity),
    /// An even one, while the next higher is reserved (EVEN-PORT with the R bit set).
    Pair(Reservation),
    /// The one that was reserved (RESERVATION-TOKEN).
    Reserved(Reservation),
}

/// What a port is reserved under. Nobody else gets it, on whichever worker he asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The secret.
    pub token: Token,
    /// Whose it is.
    pub user: UserId,
}

/// The value of RESERVATION-TOKEN: random but for one bit, which tells the family. Whoever knows it could take the
/// port, so `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; 8]);

impl Token {
    /// A new one for a port of `family`.
    pub(super) fn new(family: Family, entropy: &mut impl Entropy) -> Self {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        let [first, ..] = &mut bytes;
        *first = *first & !1 | u8::from(family == Family::V6);
        Self(bytes)
    }

    /// One that a client shows.
    pub fn received(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// Of the port that it is for.
    pub fn family(self) -> Family {
        let [first, ..] = self.0;
        if first & 1 == 0 { Family::V4 } else { Family::V6 }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Why a relay socket could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayFailure {
    /// No port of the range is free or rested.
    PortsExhausted,
    /// Nothing is reserved under the token for this user, or not any more.
    NotReserved,
    /// The process has no file descriptor left.
    DescriptorsExhausted,
    /// The system refused for another reason; the engine has logged it.
    Refused,
}

/// A side effect for the engine to carry out, in order. Its `Debug` tells the length of a message and no byte of it.
pub enum Command {
    /// Open a relay socket and answer with `Server::on_relay_opened` or `Server::on_relay_failed`.
    OpenRelay {
        /// The name the socket will have.
        relay: RelayId,
        /// The family of its address.
        family: Family,
        /// Which ports will do.
        port: PortWish,
    },
    /// Close the relay socket; its port rests before it is used again.
    CloseRelay {
        /// Which one.
        relay: RelayId,
    },
    /// Send a message to a client.
    SendToClient {
        /// Where to.
        path: Path,
        /// The whole message.
        message: Box<[u8]>,
    },
    /// Hand an event to the audit trail.
    Audit(Box<Event>),
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenRelay { relay, family, port } => {
                let mut open = f.debug_struct("OpenRelay");
                open.field("relay", relay).field("family", family).field("port", port).finish()
            }
            Self::CloseRelay { relay } => f.debug_struct("CloseRelay").field("relay", relay).finish(),
            Self::SendToClient { path, message } => {
                f.debug_struct("SendToClient").field("path", path).field("len", &message.len()).finish()
            }
            Self::Audit(event) => f.debug_tuple("Audit").field(event).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::addr::{ClientAddr, ListenerId, RelayedAddr, ServerAddr, Transport};
    use crate::relay::clock::Now;
    use crate::relay::event::{AllocationRecord, AllocationUuid};
    use crate::relay::seam::Identity;
    use crate::relay::verdict::{FRONT_MAX, Front, PeerVerdict, Verdict};

    /// In decimal 171, which nothing else here is.
    const MARK: u8 = 0xAB;

    /// A message can hold a payload, and what is formatted ends in a log some day.
    #[test]
    fn debug_tells_lengths_and_no_byte() {
        let path = Path {
            client: ClientAddr(([203, 0, 113, 5], 40_000).into()),
            server: ServerAddr(([192, 0, 2, 9], 3478).into()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        };
        let relay = RelayId { slot: 0, generation: 1 };
        let who = Identity { user: UserId("alice".into()), key_id: None, expires_unix: None, max_allocations: None };
        let relayed = RelayedAddr(([198, 51, 100, 1], 50_000).into());
        let uuid = AllocationUuid([MARK; 16]);
        let allocation = AllocationRecord { uuid, who, path, relayed, also: None, opened: Now::default() };
        let opened = Event::Opened { at: Now::default(), allocation, lifetime: std::time::Duration::from_secs(600) };
        let front = Front::new(&[MARK; FRONT_MAX]);
        let reservation = Reservation { token: Token([MARK; 8]), user: UserId("alice".into()) };
        let shown: [&dyn fmt::Debug; 7] = [
            &Command::OpenRelay { relay, family: Family::V4, port: PortWish::Single(PortParity::Even) },
            &Command::OpenRelay { relay, family: Family::V4, port: PortWish::Pair(reservation) },
            &Command::CloseRelay { relay },
            &Command::SendToClient { path, message: Box::new([MARK; 77]) },
            &Command::Audit(opened.into()),
            &PeerVerdict::ToClient { path, front, padding: 3 },
            &Verdict::Reply { len: 44 },
        ];
        let lines = shown.map(|what| format!("{what:?}\n{what:#?}"));
        for line in &lines {
            assert!(!line.contains("171") && !line.contains("0xab"), "{line}");
        }
        assert!(lines[3].contains("len: 77"), "{}", lines[3]);
        assert!(lines[4].contains(&"ab".repeat(16)), "{}", lines[4]);
        assert!(lines[5].contains("len: 48"), "{}", lines[5]);
    }
}
