//! What the server asks its engine to do: side effects as a queue.

use super::addr::{Family, Path};
use super::event::Event;

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

/// Why a relay socket could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayFailure {
    /// No port of the range is free or rested.
    PortsExhausted,
    /// The process has no file descriptor left.
    DescriptorsExhausted,
    /// The system refused for another reason; the engine has logged it.
    Refused,
}

/// A side effect for the engine to carry out, in order.
#[derive(Debug)]
pub enum Command {
    /// Open a relay socket and answer with `Server::on_relay_opened` or `Server::on_relay_failed`.
    OpenRelay {
        /// The name the socket will have.
        relay: RelayId,
        /// The family of its address.
        family: Family,
        /// Which ports will do.
        parity: PortParity,
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
