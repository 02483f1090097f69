//! What every payload carries, so that its receiver can tell which packet it is, when it was due, and whether it is
//! whole: 24 bytes of header, and a body that follows from them.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0–3 | run: 24 bits that are this run's own, 8 that count its phases |
//! | 4–7 | flow |
//! | 8–11 | sequence number in the flow, from 0 |
//! | 12–15 | a check over the other fields and the payload's length |
//! | 16–23 | when it should leave, in nanoseconds since the run began |

/// Bytes of the header: the shortest payload.
pub(super) const MARK_LEN: usize = 24;
/// The longest payload.
pub(super) const MAX_PAYLOAD: usize = 9000;

/// The identity of one payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Run and phase.
    pub(super) run: u32,
    pub(super) flow: u32,
    pub(super) sequence: u32,
    /// In nanoseconds since the run began.
    pub(super) due_ns: u64,
}

/// What a payload turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// One of this run, as it was sent.
    Whole(Mark),
    /// It says it is of this run, but is not what was sent.
    Corrupted,
    /// None of this run's and phase's.
    Stray,
}

/// Bytes for the bodies: the same for everybody who has the seed.
pub(super) struct Bodies(Box<[u8]>);

/// Bodies begin at one of so many places of the table.
const PLACES: usize = 4096;

impl Bodies {
    pub(super) fn new(seed: u64) -> Self {
        let words = (PLACES + MAX_PAYLOAD).div_ceil(8);
        Self((0..words as u64).flat_map(|index| mix(seed ^ mix(index)).to_le_bytes()).collect())
    }

    /// Writes a payload that fills `out`, which has at least [`MARK_LEN`] bytes.
    pub(super) fn write(&self, mark: &Mark, out: &mut [u8]) {
        let len = out.len();
        let (head, body) = out.split_at_mut(MARK_LEN);
        head[..4].copy_from_slice(&mark.run.to_be_bytes());
        head[4..8].copy_from_slice(&mark.flow.to_be_bytes());
        head[8..12].copy_from_slice(&mark.sequence.to_be_bytes());
        head[12..16].copy_from_slice(&mark.check(len).to_be_bytes());
        head[16..].copy_from_slice(&mark.due_ns.to_be_bytes());
        body.copy_from_slice(self.body(mark, body.len()));
    }

    /// Reads a payload that came in during `run`.
    pub(super) fn read(&self, run: u32, payload: &[u8]) -> Read {
        let Some((head, body)) = payload.split_first_chunk::<MARK_LEN>() else {
            return Read::Stray;
        };
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let due_ns = u64::from(word(16)) << 32 | u64::from(word(20));
        let mark = Mark { run: word(0), flow: word(4), sequence: word(8), due_ns };
        if mark.run != run {
            return Read::Stray;
        }
        if word(12) != mark.check(payload.len()) || body.len() > MAX_PAYLOAD || body != self.body(&mark, body.len()) {
            return Read::Corrupted;
        }
        Read::Whole(mark)
    }

    fn body(&self, mark: &Mark, len: usize) -> &[u8] {
        let place = mark.sequence.wrapping_mul(97).wrapping_add(mark.flow.wrapping_mul(31)) as usize % PLACES;
        &self.0[place..place + len]
    }
}

impl Mark {
    fn check(&self, len: usize) -> u32 {
        let identity = u64::from(self.run) << 32 | u64::from(self.flow);
        let hash = mix(identity ^ mix(self.due_ns ^ mix(u64::from(self.sequence) << 32 | len as u64)));
        (hash >> 32) as u32
    }
}

/// A bijection that spreads every bit (the finaliser of SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
pub(super) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { run: 0xABCD_EF01, flow: 7, sequence: 12_345, due_ns: 9_876_543_210 };

    #[test]
    fn what_is_written_is_read() {
        let bodies = Bodies::new(1);
        for len in [MARK_LEN, MARK_LEN + 1, 160, 1150, MAX_PAYLOAD] {
            let mut payload = vec![0; len];
            bodies.write(&MARK, &mut payload);
            assert_eq!(bodies.read(MARK.run, &payload), Read::Whole(MARK));
            assert_eq!(bodies.read(MARK.run + 1, &payload), Read::Stray, "another phase");
        }
    }

    #[test]
    fn every_changed_byte_and_length_is_seen() {
        let bodies = Bodies::new(1);
        let mut payload = vec![0; 200];
        bodies.write(&MARK, &mut payload);
        for at in 0..payload.len() {
            payload[at] ^= 0x10;
            let expected = if at < 4 { Read::Stray } else { Read::Corrupted };
            assert_eq!(bodies.read(MARK.run, &payload), expected, "byte {at}");
            payload[at] ^= 0x10;
        }
        for len in 0..payload.len() {
            assert!(!matches!(bodies.read(MARK.run, &payload[..len]), Read::Whole(_)), "cut to {len}");
        }
        payload.push(0);
        assert_eq!(bodies.read(MARK.run, &payload), Read::Corrupted, "longer");
    }

    #[test]
    fn neighbours_have_other_bodies() {
        let bodies = Bodies::new(1);
        let body = |mark: Mark| {
            let mut payload = vec![0; 64];
            bodies.write(&mark, &mut payload);
            payload.split_off(MARK_LEN)
        };
        assert_ne!(body(MARK), body(Mark { sequence: MARK.sequence + 1, ..MARK }));
        assert_ne!(body(MARK), body(Mark { flow: MARK.flow + 1, ..MARK }));
    }
}
