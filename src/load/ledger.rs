//! The account of every packet: which were sent, which arrived, twice, or late. Exact: one bit a packet.

/// The account of all flows in one phase.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    flows: Vec<FlowAccount>,
    /// `words` for each flow, a bit for each sequence number.
    seen: Vec<u64>,
    words: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct FlowAccount {
    /// The next sequence number to send.
    next: u32,
    /// One more than the highest that arrived.
    expected: u32,
}

/// What an arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The packet's first; whether one with a higher number was there before it (RFC 4737 §3).
    First {
        /// It was.
        reordered: bool,
    },
    /// A copy.
    Duplicate,
    /// Nobody sent it.
    Impossible,
}

impl Ledger {
    /// For `flows` flows that send up to `most` packets each.
    pub(super) fn new(flows: usize, most: u32) -> Self {
        let words = (most as usize).div_ceil(64);
        Self { flows: vec![FlowAccount::default(); flows], seen: vec![0; words * flows], words }
    }

    /// The sequence number of the next packet of `flow`; none if it has sent as many as there is room for.
    pub(super) fn send(&mut self, flow: u32) -> Option<u32> {
        let words = self.words;
        let account = self.flows.get_mut(flow as usize)?;
        let sequence = account.next;
        if sequence as usize >= words * 64 {
            return None;
        }
        account.next += 1;
        Some(sequence)
    }

    /// Books an arrival.
    pub(super) fn arrive(&mut self, flow: u32, sequence: u32) -> Arrival {
        let Some(account) = self.flows.get_mut(flow as usize).filter(|account| sequence < account.next) else {
            return Arrival::Impossible;
        };
        let bit = 1_u64 << (sequence % 64);
        let word = &mut self.seen[flow as usize * self.words + sequence as usize / 64];
        if *word & bit != 0 {
            return Arrival::Duplicate;
        }
        *word |= bit;
        let reordered = sequence < account.expected;
        account.expected = account.expected.max(sequence + 1);
        Arrival::First { reordered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_ORDER: Arrival = Arrival::First { reordered: false };
    const LATE: Arrival = Arrival::First { reordered: true };

    fn ledger(sent: u32) -> Ledger {
        let mut ledger = Ledger::new(2, 200);
        (0..sent).for_each(|sequence| assert_eq!(ledger.send(1), Some(sequence)));
        ledger
    }

    #[test]
    fn loss_alone_is_no_reordering() {
        let mut ledger = ledger(200);
        assert!([0, 1, 3, 64, 130, 199].map(|sequence| ledger.arrive(1, sequence)).iter().all(|a| *a == IN_ORDER));
    }

    /// RFC 4737 §3.3: of two that change places, one is reordered; one that is late by many is one as well.
    #[test]
    fn reordering_is_counted_at_the_late_one() {
        let mut ledger = ledger(10);
        let arrivals = [1, 0, 4, 5, 6, 2, 7].map(|sequence| ledger.arrive(1, sequence));
        assert_eq!(arrivals, [IN_ORDER, LATE, IN_ORDER, IN_ORDER, IN_ORDER, LATE, IN_ORDER]);
    }

    #[test]
    fn copies_are_duplicates_however_late() {
        let mut ledger = ledger(200);
        assert_eq!(
            [0, 0, 199, 0, 199].map(|sequence| ledger.arrive(1, sequence)),
            [IN_ORDER, Arrival::Duplicate, IN_ORDER, Arrival::Duplicate, Arrival::Duplicate]
        );
    }

    #[test]
    fn what_was_not_sent_cannot_arrive() {
        let mut ledger = ledger(5);
        assert_eq!(ledger.arrive(1, 5), Arrival::Impossible);
        assert_eq!(ledger.arrive(0, 0), Arrival::Impossible);
        assert_eq!(ledger.arrive(2, 0), Arrival::Impossible);
    }

    #[test]
    fn a_flow_has_an_end() {
        let mut ledger = Ledger::new(1, 64);
        assert_eq!((0..65).filter_map(|_| ledger.send(0)).count(), 64);
        assert_eq!(ledger.send(1), None);
    }
}
