//! Those who mean ill: in others' names, with others' words, or with credentials of their own.

use std::net::SocketAddr;
use std::time::Duration;

use crate::actor::{Actor, Around, Phase};
use crate::speech::{Heard, Identity, Outcome, Wish, on_channel, read, send_indication};

/// Off-path: knows 5-tuples, and sends under their clients' addresses; hears nothing of the answers.
pub(crate) struct Forger {
    pub(crate) server: SocketAddr,
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) every: Duration,
}

impl Actor for Forger {
    fn hear(&mut self, _: &mut Around<'_>, _: SocketAddr, _: SocketAddr, _: &[u8]) {}

    fn wake(&mut self, around: &mut Around<'_>, _: u64) {
        if around.board.phase > Phase::Storm {
            return;
        }
        let guess = (SocketAddr::from(([203, 0, 113, 77], 7777)), self.server);
        let (client, server) = around.random.pick(&around.board.tuples).copied().unwrap_or(guess);
        let bytes = self.forgery(around);
        around.forge(client, server, bytes);
        around.wake_in(self.every, 0);
    }
}

impl Forger {
    fn forgery(&self, around: &mut Around<'_>) -> Vec<u8> {
        let id = around.id();
        let peer = *around.random.pick(&self.peers).expect("there are peers");
        let mut stranger = Identity::of("bob");
        stranger.nonce = around.random.bytes(45);
        stranger.modern = around.random.chance(500);
        if around.random.chance(500) {
            stranger.password.push('?');
        }
        match around.random.below(8) {
            0 => Wish::Refresh { lifetime: Some(0), family: None }.request(id, &stranger, false),
            1 => Wish::Permit(vec![peer]).request(id, &stranger, false),
            2 => Wish::Bind { channel: 0x4000, peer }.request(id, &stranger, true),
            3 => Wish::Allocate { family: 1, both: false, lifetime: None }.request(id, &stranger, false),
            4 => Wish::Refresh { lifetime: Some(0), family: None }.request(id, &Identity::of("bob"), false),
            // What is not signed cannot be known for a forgery (RFC 8656 §21.1.4); it goes where it may, no further.
            5 => send_indication(id, peer, b"not what alice said"),
            6 => on_channel(0x4000, b"nor this"),
            _ => {
                let len = usize::try_from(around.random.below(120)).unwrap();
                around.random.bytes(len)
            }
        }
    }
}

/// On-path for a moment: sends from its own address what it has overheard.
pub(crate) struct Replayer {
    pub(crate) home: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) every: Duration,
}

impl Actor for Replayer {
    fn hear(&mut self, _: &mut Around<'_>, _: SocketAddr, _: SocketAddr, bytes: &[u8]) {
        // A class of 0b11 is an error (RFC 8489 §5); a Binding, which it never sends, alone is answered to anybody.
        assert_eq!(bytes[0] & 0x01, 1, "a stranger is refused, whatever he repeats");
        assert_eq!(bytes[1] & 0x10, 0x10, "a stranger is refused, whatever he repeats");
    }

    fn wake(&mut self, around: &mut Around<'_>, _: u64) {
        if around.board.phase > Phase::Storm {
            return;
        }
        if let Some(bytes) = around.random.pick(&around.board.overheard).cloned() {
            around.send(self.home, self.server, bytes);
        }
        around.wake_in(self.every, 0);
    }
}

/// One with credentials, who asks for whatever comes to its mind, in whatever order, and hears what it is told.
pub(crate) struct Insider {
    pub(crate) homes: Vec<SocketAddr>,
    pub(crate) server: SocketAddr,
    pub(crate) identity: Identity,
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) every: Duration,
    /// The nonce of each home.
    pub(crate) nonces: Vec<Vec<u8>>,
}

impl Actor for Insider {
    fn hear(&mut self, _: &mut Around<'_>, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        // It is a peer of its own, too.
        let home = self.homes.iter().position(|home| *home == to);
        let Some(home) = home.filter(|_| from == self.server) else { return };
        if let Heard::Answer { outcome: Outcome::Challenge { nonce, algorithms, .. }, .. } =
            read(bytes, &self.identity, |_| true)
        {
            self.identity.modern &= algorithms;
            self.nonces[home] = nonce;
        }
    }

    fn wake(&mut self, around: &mut Around<'_>, _: u64) {
        if around.board.phase > Phase::Storm {
            return;
        }
        let home = usize::try_from(around.random.below(self.homes.len() as u64)).unwrap();
        self.identity.nonce = self.nonces[home].clone();
        let bytes = self.whim(around);
        around.send(self.homes[home], self.server, bytes);
        around.wake_in(self.every, 0);
    }
}

impl Insider {
    fn whim(&mut self, around: &mut Around<'_>) -> Vec<u8> {
        let id = around.id();
        let peer = self.anybody(around);
        let channel = u16::try_from(around.random.within(0x3FFE..=0x4004)).unwrap();
        let lifetime = *around.random.pick(&[None, Some(0), Some(1), Some(700), Some(u32::MAX)]).expect("some");
        let family = if around.random.chance(300) { 2 } else { 1 };
        let wish = match around.random.below(10) {
            0..=2 => Wish::Allocate { family, both: around.random.chance(400), lifetime },
            3 => Wish::Refresh { lifetime, family: around.random.chance(400).then_some(family) },
            4 | 5 => Wish::Permit((0..=around.random.below(3)).map(|_| self.anybody(around)).collect()),
            6 | 7 => Wish::Bind { channel, peer },
            8 => return send_indication(id, peer, b"hello"),
            _ => return on_channel(channel.max(0x4000), b"hello"),
        };
        wish.request(id, &self.identity, around.random.chance(200))
    }

    /// Those that everybody may reach, those that nobody may, and relayed addresses.
    fn anybody(&self, around: &mut Around<'_>) -> SocketAddr {
        let relayed: Vec<_> = around.board.relayed.values().copied().collect();
        let known = if around.random.chance(200) && !relayed.is_empty() { &relayed } else { &self.peers };
        *around.random.pick(known).expect("there are peers")
    }
}
