//! What one worker's server counted: plain fields, read at scrape.

use super::reason::DropReason;

/// Running counts; they only rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams from clients that were relayed to peers.
    pub packets_to_peers: u64,
    /// Their payload, in bytes.
    pub bytes_to_peers: u64,
    /// Datagrams from peers that were relayed to clients.
    pub packets_to_clients: u64,
    /// Their payload, in bytes.
    pub bytes_to_clients: u64,
    /// Requests that were answered at once, errors included.
    pub replies: u64,
    /// Messages without an answer of their own: Allocates whose answer follows, Binding indications.
    pub pending: u64,
    drops: Drops,
}

type Drops = [u64; DropReason::ALL.len()];

impl Counters {
    /// Datagrams dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or_default()
    }

    /// Datagrams dropped for any reason.
    pub fn dropped_in_all(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Adds what another server counted.
    pub fn add(&mut self, other: &Self) {
        let Self { packets_to_peers, bytes_to_peers, packets_to_clients, bytes_to_clients, replies, pending, drops } =
            self;
        let sums = [
            (packets_to_peers, other.packets_to_peers),
            (bytes_to_peers, other.bytes_to_peers),
            (packets_to_clients, other.packets_to_clients),
            (bytes_to_clients, other.bytes_to_clients),
            (replies, other.replies),
            (pending, other.pending),
        ];
        for (sum, more) in sums.into_iter().chain(drops.iter_mut().zip(other.drops)) {
            *sum = sum.wrapping_add(more);
        }
    }

    pub(super) fn count_drop(&mut self, reason: DropReason) {
        if let Some(count) = self.drops.get_mut(reason as usize) {
            *count = count.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_counted_by_reason_and_in_all() {
        let mut counters = Counters::default();
        for (times, reason) in (1..).zip(DropReason::ALL) {
            (0..times).for_each(|_| counters.count_drop(*reason));
        }
        for (times, reason) in (1..).zip(DropReason::ALL) {
            assert_eq!(counters.dropped(*reason), times, "{reason}");
        }
        let reasons = DropReason::ALL.len() as u64;
        assert_eq!(counters.dropped_in_all(), reasons * (reasons + 1) / 2);
    }

    #[test]
    fn the_counts_of_two_servers_add_up() {
        let counted = |unit: u64, reason| {
            let mut counters = Counters {
                packets_to_peers: unit,
                bytes_to_peers: 2 * unit,
                packets_to_clients: 3 * unit,
                bytes_to_clients: 4 * unit,
                replies: 5 * unit,
                pending: 6 * unit,
                drops: Drops::default(),
            };
            counters.count_drop(reason);
            counters
        };
        let mut sum = counted(1, DropReason::Malformed);
        sum.add(&counted(10, DropReason::NoPermission));
        let mut expected = counted(11, DropReason::Malformed);
        expected.count_drop(DropReason::NoPermission);
        assert_eq!(sum, expected);
    }
}
