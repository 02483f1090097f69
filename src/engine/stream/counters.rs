//! What was counted of connections, and what the log hears of those that were closed.
#![forbid(unsafe_code)]

use tracing::warn;

use super::end::StreamEnd;
use super::limits::TELL_EVERY;
use crate::relay::{ClientAddr, Instant};

/// Running counts of the connections of one worker; they only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounters {
    /// Connections that came.
    pub accepted: u64,
    /// Connections that could not be taken in, for want of descriptors or memory.
    pub accept_failures: u64,
    /// TLS handshakes that were completed.
    pub handshakes: u64,
    /// Bytes received, before anything was made of them.
    pub bytes_in: u64,
    /// Whole messages received.
    pub messages_in: u64,
    /// Messages sent, or waiting for the client to read.
    pub messages_out: u64,
    /// Messages dropped because too much waited for the client, or for all clients, to read.
    pub dropped: u64,
    ends: [u64; StreamEnd::ALL.len()],
}

impl StreamCounters {
    /// Connections that ended for `end`, those that were turned away included.
    pub fn ended(&self, end: StreamEnd) -> u64 {
        self.ends.get(end as usize).copied().unwrap_or_default()
    }

    /// Connections that ended.
    pub fn ended_in_all(&self) -> u64 {
        self.ends.iter().sum()
    }

    pub(super) fn count_end(&mut self, end: StreamEnd) {
        if let Some(count) = self.ends.get_mut(end as usize) {
            *count += 1;
        }
    }
}

/// Ends that the log has not heard of: a line for each reason in ten seconds at most, with the number.
#[derive(Debug, Default)]
pub(super) struct Untold {
    reasons: [Reason; StreamEnd::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Reason {
    count: u64,
    told: Option<Instant>,
}

impl Untold {
    pub(super) fn note(&mut self, end: StreamEnd, client: ClientAddr, now: Instant) {
        if let Some(count) = self.count(end, now) {
            warn!(%client, reason = end.name(), count, "a connection was closed: {}", end.sentence());
        }
    }

    /// How many to tell of now.
    fn count(&mut self, end: StreamEnd, now: Instant) -> Option<u64> {
        let reason = self.reasons.get_mut(end as usize).filter(|_| !end.is_usual())?;
        reason.count += 1;
        if reason.told.is_some_and(|told| now.since(told) < TELL_EVERY) {
            return None;
        }
        reason.told = Some(now);
        Some(std::mem::take(&mut reason.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ends_are_counted_by_reason() {
        let mut counters = StreamCounters::default();
        StreamEnd::ALL.iter().for_each(|end| counters.count_end(*end));
        assert!(StreamEnd::ALL.iter().all(|end| counters.ended(*end) == 1 && !end.sentence().ends_with('.')));
        assert_eq!(counters.ended_in_all(), StreamEnd::ALL.len() as u64);
    }

    #[test]
    fn a_flood_is_a_line_in_ten_seconds_that_tells_of_all() {
        let mut untold = Untold::default();
        let at = |millis: u64| Instant::default().after(Duration::from_millis(millis));
        let told: Vec<u64> = (0..30_000).filter_map(|millis| untold.count(StreamEnd::NotTurn, at(millis))).collect();
        assert_eq!(told, [1, 10_000, 10_000]);
        assert_eq!(untold.count(StreamEnd::NoMessage, at(1)), Some(1));
        assert_eq!(untold.count(StreamEnd::ClosedByClient, at(1)), None);
    }
}
