//! What is done each second while anything goes on: the log hears of the traffic, and memory is given back.

use super::report::{Minute, Traffic};
use super::thrift::Thrift;
use crate::engine::{self, WorkerCounters};

/// What is known from beat to beat.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    seen: Vec<WorkerCounters>,
    minute: Minute,
    thrift: Thrift,
}

impl Upkeep {
    /// Does what is due with these `counters`. Returns whether something goes on or is waited for.
    pub(super) fn is_busy(&mut self, counters: Vec<WorkerCounters>) -> bool {
        let traffic = Traffic::of(&counters);
        self.minute.tick(&traffic);
        if self.thrift.is_time(counters.iter().map(|worker| worker.relays_open).sum()) {
            engine::give_back_memory();
        }
        let is_news = self.seen != counters;
        self.seen = counters;
        is_news || self.minute.is_waiting(&traffic) || self.thrift.is_waiting()
    }
}
