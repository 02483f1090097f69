//! What is said, marked: who said it, to whom, and the number of the word. One that reaches somebody else gives itself
//! away.

use turnkeep::engine::sim::TraceHash;

/// The mark of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) kind: Kind,
    /// The caller who said it first.
    pub(crate) caller: u16,
    /// Whom it was said to.
    pub(crate) partner: Partner,
    pub(crate) sequence: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A caller's word.
    Say,
    /// The same, on its way back.
    Echo,
}

/// Whom a caller speaks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Partner {
    /// A host on the other side.
    Peer(u16),
    /// Another caller, relay to relay.
    Caller(u16),
}

/// Bytes of a mark.
const LEN: usize = 24;

impl Mark {
    /// A payload that carries it: `len` bytes, or as many as the mark needs.
    pub(crate) fn payload(&self, len: usize) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Say => b'S',
            Kind::Echo => b'E',
        };
        let (side, partner) = match self.partner {
            Partner::Peer(number) => (b'P', number),
            Partner::Caller(number) => (b'C', number),
        };
        let mut bytes = vec![b't', b'k', kind, side];
        bytes.extend(self.caller.to_be_bytes());
        bytes.extend(partner.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(check(&bytes).to_be_bytes());
        bytes.resize(len.max(LEN), 0x55);
        bytes
    }

    /// The mark of a payload; none if it has none, as what attackers send.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (marked, sum) = payload.get(..LEN)?.split_at(LEN - 8);
        if check(marked).to_be_bytes() != sum {
            return None;
        }
        let kind = match marked[..3] {
            [b't', b'k', b'S'] => Kind::Say,
            [b't', b'k', b'E'] => Kind::Echo,
            _ => return None,
        };
        let number = u16::from_be_bytes([marked[6], marked[7]]);
        Some(Self {
            kind,
            caller: u16::from_be_bytes([marked[4], marked[5]]),
            partner: if marked[3] == b'P' { Partner::Peer(number) } else { Partner::Caller(number) },
            sequence: u32::from_be_bytes([marked[8], marked[9], marked[10], marked[11]]),
        })
    }

    pub(crate) fn echo(self) -> Self {
        Self { kind: Kind::Echo, ..self }
    }
}

fn check(bytes: &[u8]) -> u64 {
    let mut hash = TraceHash::default();
    hash.note(bytes);
    hash.value()
}

#[test]
fn a_mark_is_read_as_it_was_written_and_nothing_else_is_one() {
    for partner in [Partner::Peer(3), Partner::Caller(0x1234)] {
        let mark = Mark { kind: Kind::Say, caller: 7, partner, sequence: 99 };
        for len in [0, 160] {
            assert_eq!(Mark::read(&mark.payload(len)), Some(mark));
            assert_eq!(Mark::read(&mark.echo().payload(len)), Some(Mark { kind: Kind::Echo, ..mark }));
        }
        let mut altered = mark.payload(0);
        altered[5] ^= 1;
        assert_eq!(Mark::read(&altered), None);
    }
    assert_eq!(Mark::read(b"tk"), None);
}
