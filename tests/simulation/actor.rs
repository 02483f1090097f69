//! What all who live in the world have in common: they hear datagrams, wake up when they asked for it, and act.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use turnkeep::engine::sim::Random;
use turnkeep::relay::Instant;

/// One who lives there.
pub(crate) trait Actor {
    /// A datagram came to one of its addresses.
    fn hear(&mut self, around: &mut Around<'_>, from: SocketAddr, to: SocketAddr, bytes: &[u8]);

    /// It asked to be woken, with this word.
    fn wake(&mut self, around: &mut Around<'_>, word: u64);

    /// For the caller's judge: why it is not well, if it is not.
    fn complaint(&self, _now: Instant) -> Option<String> {
        None
    }

    /// It has nothing more to do.
    fn is_gone(&self) -> bool {
        true
    }
}

/// What an actor sees, and what it does.
pub(crate) struct Around<'a> {
    pub(crate) now: Instant,
    pub(crate) random: &'a mut Random,
    pub(crate) board: &'a mut Board,
    pub(crate) acts: Vec<Act>,
}

/// What an actor does.
pub(crate) enum Act {
    /// Sends, by way of its NAT if it has one.
    Send { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    /// Sends under an address that is not its own.
    Forge { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    /// Will be woken.
    Wake { at: Instant, word: u64 },
}

/// What is known to all, out of band: signalling, and the phase that the run is in. Attackers see more of it than is
/// fair.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// Where callers can be reached at present.
    pub(crate) relayed: BTreeMap<u16, SocketAddr>,
    /// Every relayed address that a caller ever had.
    pub(crate) had: Vec<(u16, SocketAddr)>,
    /// The 5-tuples of open allocations: what an attacker may have seen or guessed.
    pub(crate) tuples: Vec<(SocketAddr, SocketAddr)>,
    /// Datagrams that clients sent, overheard.
    pub(crate) overheard: Vec<Vec<u8>>,
    pub(crate) phase: Phase,
    /// Words that callers said to partners who had answered before, and echoes of any.
    pub(crate) said: u64,
    pub(crate) echoes: u64,
}

/// How far the run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Everything that the plan has in store.
    #[default]
    Storm,
    /// Nothing fails any more, and attackers have left.
    Calm,
    /// Callers hang up.
    Leaving,
}

impl Around<'_> {
    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.acts.push(Act::Send { from, to, bytes });
    }

    pub(crate) fn forge(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.acts.push(Act::Forge { from, to, bytes });
    }

    pub(crate) fn wake_in(&mut self, time: Duration, word: u64) {
        self.acts.push(Act::Wake { at: self.now.after(time), word });
    }

    pub(crate) fn id(&mut self) -> [u8; 12] {
        self.random.bytes(12).try_into().expect("twelve bytes")
    }
}
