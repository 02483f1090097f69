//! The other side: hosts that answer each word with its echo, and one that talks to whom it should not.

use std::net::SocketAddr;
use std::time::Duration;

use crate::actor::{Actor, Around, Phase};
use crate::mark::{Kind, Mark, Partner};

/// A host that echoes what is meant for it.
pub(crate) struct Peer {
    pub(crate) number: u16,
}

impl Actor for Peer {
    fn hear(&mut self, around: &mut Around<'_>, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        // What has no mark an attacker has sent through somebody's relay.
        let Some(mark) = Mark::read(bytes) else { return };
        assert_eq!(mark.kind, Kind::Say, "P1: peers echo, they are not echoed");
        assert_eq!(mark.partner, Partner::Peer(self.number), "P1: a word for another peer");
        assert!(around.board.had.contains(&(mark.caller, from)), "P1: {mark:?} came out of {from}, another's relay");
        around.send(to, from, mark.echo().payload(bytes.len()));
    }

    fn wake(&mut self, _: &mut Around<'_>, _: u64) {}
}

/// A host that nobody asked, which tries ports of the relay.
pub(crate) struct Stranger {
    pub(crate) address: SocketAddr,
    /// Relayed addresses begin here,
    pub(crate) first: SocketAddr,
    /// and there are so many.
    pub(crate) ports: u16,
    pub(crate) every: Duration,
}

impl Actor for Stranger {
    fn hear(&mut self, _: &mut Around<'_>, from: SocketAddr, _: SocketAddr, bytes: &[u8]) {
        // Nobody permits a stranger, but an insider who is free to.
        assert_eq!(Mark::read(bytes), None, "P1: a caller's word reached a stranger, from {from}");
    }

    fn wake(&mut self, around: &mut Around<'_>, _: u64) {
        if around.board.phase > Phase::Storm {
            return;
        }
        let port = self.first.port() + u16::try_from(around.random.below(self.ports.into())).unwrap();
        let len = usize::try_from(around.random.below(200)).unwrap();
        let bytes = around.random.bytes(len);
        around.send(self.address, SocketAddr::new(self.first.ip(), port), bytes);
        around.wake_in(self.every, 0);
    }
}
