//! How much a socket is asked for at a time, and what it says it has lost.
#![forbid(unsafe_code)]

/// One for each socket that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intake {
    ask: u8,
    lost: u32,
}

impl Default for Intake {
    fn default() -> Self {
        Self { ask: 1, lost: 0 }
    }
}

impl Intake {
    /// How many datagrams to ask for: one from a quiet socket, since a second attempt that finds nothing costs a
    /// packet's worth of system call; more once a read was filled up.
    pub(super) fn ask(self, most: usize) -> usize {
        usize::from(self.ask).min(most)
    }

    /// Learns from a read that asked for `asked` and got `got`.
    pub(super) fn learn(&mut self, asked: usize, got: usize) {
        const GROWTH: u8 = 8;
        self.ask = match u8::try_from(got) {
            Ok(got) if usize::from(got) < asked => got.saturating_mul(2).max(1),
            _ => self.ask.saturating_mul(GROWTH),
        };
    }

    /// How many more datagrams were lost, given the socket's running count.
    pub(super) fn newly_lost(&mut self, total: u32) -> u32 {
        let newly = total.wrapping_sub(self.lost);
        self.lost = total;
        newly
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_one_when_quiet_and_for_all_in_a_flood() {
        let mut intake = Intake::default();
        for expected in [1, 8, 64, 64] {
            assert_eq!(intake.ask(64), expected);
            intake.learn(expected, expected);
        }
        intake.learn(64, 10);
        assert_eq!(intake.ask(64), 20, "still busy");
        intake.learn(20, 0);
        assert_eq!(intake.ask(64), 1);
        intake.learn(1, 0);
        assert_eq!(intake.ask(64), 1);
    }

    #[test]
    fn losses_are_counted_once_and_over_the_wrap() {
        let mut intake = Intake::default();
        assert_eq!([3, 3, 5].map(|total| intake.newly_lost(total)), [3, 0, 2]);
        assert_eq!(intake.newly_lost(u32::MAX), u32::MAX - 5);
        assert_eq!(intake.newly_lost(1), 2);
    }
}
