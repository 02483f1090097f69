//! Whether two runs were the same.

/// A hash over everything that happened, in order: equal runs have equal ones. FNV-1a by words of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHash(u64);

impl Default for TraceHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl TraceHash {
    /// Takes in one thing that happened. Two things are not the same as one of both.
    pub fn note(&mut self, what: &[u8]) {
        self.mix(what.len() as u64);
        let (words, rest) = what.as_chunks();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
    }

    fn mix(&mut self, word: u64) {
        // The rotation brings the high bits, where the product has mixed best, back to where it mixes next.
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    /// The hash so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&[u8]]) -> u64 {
        let mut hash = TraceHash::default();
        parts.iter().for_each(|part| hash.note(part));
        hash.value()
    }

    #[test]
    fn order_and_boundaries_count() {
        assert_eq!(of(&[b"a", b"b"]), of(&[b"a", b"b"]));
        assert_ne!(of(&[b"a", b"b"]), of(&[b"b", b"a"]));
        assert_ne!(of(&[b"ab"]), of(&[b"a", b"b"]));
        assert_ne!(of(&[]), of(&[b""]));
        assert_ne!(of(&[b"nine byte"]), of(&[b"nine bytf"]));
        assert_ne!(of(&[b"\0"]), of(&[b"\0\0"]));
    }
}
