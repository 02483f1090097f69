//! How much a socket is asked for at a time, and what it says it has lost.
#![forbid(unsafe_code)]

/// One for each socket that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intake {
    /// What the next burst is expected to bring.
    burst: u8,
    /// What the present one has brought so far.
    so_far: u8,
    /// The turn of the last read that was filled up, after which more may wait; 0 for none. A coincidence after a
    /// round of the number asks for too much, once.
    filled: u16,
    lost: u32,
}

impl Default for Intake {
    fn default() -> Self {
        Self { burst: 1, so_far: 0, filled: 0, lost: 0 }
    }
}

impl Intake {
    /// How many datagrams to ask for in this turn: as many as the last burst had, since a further attempt that finds
    /// nothing costs a packet's worth of system call; many more while a burst goes on.
    pub(super) fn ask(self, turn: u64, most: usize) -> usize {
        const GROWTH: u8 = 8;
        let ask = if self.goes_on(turn) { self.so_far.saturating_mul(GROWTH) } else { self.burst };
        usize::from(ask).clamp(1, most)
    }

    /// Learns from a read that asked for `asked` and got `got`.
    pub(super) fn learn(&mut self, turn: u64, asked: usize, got: usize) {
        let before = if self.goes_on(turn) { self.so_far } else { 0 };
        self.so_far = before.saturating_add(u8::try_from(got).unwrap_or(u8::MAX));
        if got < asked {
            // Of a crowd's next burst nobody knows the size; among many, one attempt in vain counts little.
            const CROWD: u8 = 4;
            let reserve = if self.so_far < CROWD { 0 } else { self.so_far / 2 };
            self.burst = self.so_far.saturating_add(reserve);
            self.filled = 0;
        } else {
            self.filled = number(turn);
        }
    }

    /// The last read was filled up, and this is the same turn or the next.
    fn goes_on(self, turn: u64) -> bool {
        self.filled != 0 && number(turn).wrapping_sub(self.filled) <= 1
    }

    /// How many more datagrams were lost, given the socket's running count.
    pub(super) fn newly_lost(&mut self, total: u32) -> u32 {
        let newly = total.wrapping_sub(self.lost);
        self.lost = total;
        newly
    }
}

/// Turns go round, and none has the number 0.
fn number(turn: u64) -> u16 {
    u16::try_from(turn % u64::from(u16::MAX)).unwrap_or(0) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked for in `turn` while `waiting` datagrams wait, again and again until a read is not filled up.
    fn read_out(intake: &mut Intake, turn: u64, mut waiting: usize) -> Vec<usize> {
        let mut asked = Vec::new();
        loop {
            let ask = intake.ask(turn, 64);
            let got = ask.min(waiting);
            intake.learn(turn, ask, got);
            asked.push(ask);
            waiting -= got;
            if got < ask {
                return asked;
            }
        }
    }

    /// What is asked for in `turn`, of which `got` come.
    fn read_once(intake: &mut Intake, turn: u64, waiting: usize) -> usize {
        let ask = intake.ask(turn, 64);
        intake.learn(turn, ask, ask.min(waiting));
        ask
    }

    #[test]
    fn a_call_is_asked_for_one_at_a_time() {
        let mut intake = Intake::default();
        for turn in (0..50).step_by(5) {
            assert_eq!(read_once(&mut intake, turn, 1), 1, "nothing is tried in vain");
        }
    }

    #[test]
    fn a_flood_is_read_in_great_gulps() {
        let mut intake = Intake::default();
        assert_eq!(read_out(&mut intake, 1, 300), [1, 8, 64, 64, 64, 64, 64]);
        assert_eq!(read_out(&mut intake, 2, 300)[..2], [64, 64], "and at once in the next turn");
    }

    #[test]
    fn a_burst_is_as_long_as_the_last_one() {
        let mut intake = Intake::default();
        assert_eq!([(1, 8), (2, 7)].map(|(turn, waiting)| read_once(&mut intake, turn, waiting)), [1, 8]);
        assert_eq!(read_once(&mut intake, 40, 8), 12, "in one read from the second on");
        assert_eq!(read_once(&mut intake, 80, 1), 12);
        assert_eq!(read_once(&mut intake, 120, 1), 1, "until it is over");
        assert_eq!(read_once(&mut intake, 160, 1), 1);
    }

    #[test]
    fn two_that_come_close_together_are_no_crowd() {
        let mut intake = Intake::default();
        assert_eq!([1, 2].map(|turn| read_once(&mut intake, turn, 1)), [1, 8]);
        assert_eq!([9, 19].map(|turn| read_once(&mut intake, turn, 1)), [2, 1]);
    }

    #[test]
    fn one_that_woke_up_for_nothing_asks_for_one() {
        let mut intake = Intake::default();
        read_out(&mut intake, 1, 100);
        read_once(&mut intake, 50, 0);
        assert_eq!(intake.ask(51, 64), 1);
    }

    #[test]
    fn losses_are_counted_once_and_over_the_wrap() {
        let mut intake = Intake::default();
        assert_eq!([3, 3, 5].map(|total| intake.newly_lost(total)), [3, 0, 2]);
        assert_eq!(intake.newly_lost(u32::MAX), u32::MAX - 5);
        assert_eq!(intake.newly_lost(1), 2);
    }
}
