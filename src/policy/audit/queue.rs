//! What lies between the packet threads and the writer: a bounded queue, into which events go without waiting.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::relay::Now;
use crate::relay::event::Event;
use crate::relay::seam::EventSink;

/// Takes the events of one worker; cheap to clone. Recording waits for nothing but other threads' pushes and the moment
/// in which the writer swaps the queue for an empty one: never for the file. It comes once a request, never once a
/// packet.
#[derive(Clone)]
pub struct AuditHandle {
    queue: Arc<Queue>,
}

impl AuditHandle {
    pub(super) fn new(queue: &Arc<Queue>) -> Self {
        Self { queue: Arc::clone(queue) }
    }

    /// How the trail stands.
    pub fn status(&self) -> AuditStatus {
        self.queue.lock().status
    }
}

impl EventSink for AuditHandle {
    fn record(&mut self, event: Event) {
        self.queue.push(event);
    }
}

/// How the trail stands, for metrics and readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditStatus {
    /// Records in the file, those of earlier runs included.
    pub records: u64,
    /// Events that found no room in the queue.
    pub lost: u64,
    /// Events that wait for the writer.
    pub queued: usize,
    /// The file takes no records at present.
    pub failing: bool,
}

/// The queue. Room is taken as events come and given back when they are written.
pub(super) struct Queue {
    bound: usize,
    state: Mutex<State>,
    /// Something came into an empty queue, it holds enough by now, or the trail is to stop.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    gap: Option<Gap>,
    tick: Option<Tick>,
    stop: Option<Stop>,
    status: AuditStatus,
}

/// Events that were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) count: u64,
    pub(super) first: Now,
    pub(super) last: Now,
}

impl Gap {
    /// This one and a later one.
    pub(super) fn and(self, later: Option<Self>) -> Self {
        let Some(later) = later else { return self };
        Self { count: self.count.saturating_add(later.count), first: self.first, last: later.last }
    }
}

/// What the trail is told between events: to look where its file is, and whether the wall clock has jumped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// When.
    pub at: Now,
    /// How far the wall clock has jumped since the last one, in milliseconds; negative is back, and 0 not at all.
    pub clock_step_millis: i64,
}

/// The trail is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// When, if it was told to; else whoever owned it is gone.
    pub(super) at: Option<Now>,
}

/// What the writer takes in one go. What was lost came after the events that had found room.
pub(super) struct Taken {
    pub(super) gap: Option<Gap>,
    pub(super) tick: Option<Tick>,
    /// Nothing comes after this.
    pub(super) stop: Option<Stop>,
}

/// How long an event waits for others. Written one by one they cost a wake-up and a write each: on the worker's own
/// core a fifth of what an allocation costs that comes and goes (`scripts/race --cases cycles`).
const GATHER: Duration = Duration::from_millis(5);
/// Room for so many events is kept when the queue is empty.
const KEPT: usize = 256;

impl Queue {
    pub(super) fn new(bound: usize) -> Self {
        Self { bound: bound.max(2), state: Mutex::default(), changed: Condvar::new() }
    }

    fn push(&self, event: Event) {
        // Half of the room is for beginnings and ends of allocations: a client that refreshes or is refused as fast as
        // it can never costs the record of another's.
        let is_cheap = matches!(event, Event::Denied { .. } | Event::Refreshed { .. });
        let bound = if is_cheap { self.bound / 2 } else { self.bound };
        let mut state = self.lock();
        if state.events.len() >= bound || state.stop.is_some() {
            return state.lose(event.at());
        }
        state.events.push_back(event);
        state.status.queued = state.events.len();
        let is_news = state.events.len() == 1 || state.events.len() == self.enough();
        drop(state);
        if is_news {
            self.changed.notify_one();
        }
    }

    /// Swaps the queue's events for the empty `events`; waits for some, but no longer than `patience` if there is one.
    pub(super) fn take(&self, events: &mut VecDeque<Event>, patience: Option<Duration>) -> Taken {
        events.shrink_to(KEPT);
        let nothing = |state: &mut State| {
            state.events.is_empty() && state.gap.is_none() && state.tick.is_none() && state.stop.is_none()
        };
        let mut state = match patience {
            None => self.changed.wait_while(self.lock(), nothing).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let waited = self.changed.wait_timeout_while(self.lock(), patience, nothing);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if !state.events.is_empty() {
            let few = |state: &mut State| state.events.len() < self.enough() && state.stop.is_none();
            state = self.changed.wait_timeout_while(state, GATHER, few).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut state.events, events);
        state.status.queued = 0;
        Taken { gap: state.gap.take(), tick: state.tick.take(), stop: state.stop }
    }

    /// So many events are written at once.
    fn enough(&self) -> usize {
        KEPT.min(self.bound / 4).max(1)
    }

    /// A tick that came while the writer was busy.
    pub(super) fn take_tick(&self) -> Option<Tick> {
        self.lock().tick.take()
    }

    /// Waits, but not once the trail is to stop. Returns whether it is.
    pub(super) fn pause(&self, duration: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), duration, |state| state.stop.is_none());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.stop.is_some()
    }

    pub(super) fn tick(&self, tick: Tick) {
        let mut state = self.lock();
        let earlier = state.tick.map_or(0, |earlier| earlier.clock_step_millis);
        let clock_step_millis = tick.clock_step_millis.saturating_add(earlier);
        state.tick = Some(Tick { clock_step_millis, ..tick });
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn stop(&self, stop: Stop) {
        self.lock().stop.get_or_insert(stop);
        self.changed.notify_one();
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut AuditStatus)) {
        change(&mut self.lock().status);
    }

    /// Nobody panics while holding the lock; if somebody did, the state would still be whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lose(&mut self, at: Now) {
        self.status.lost = self.status.lost.saturating_add(1);
        let gap = self.gap.get_or_insert(Gap { count: 0, first: at, last: at });
        gap.count = gap.count.saturating_add(1);
        gap.last = at;
    }
}

#[cfg(test)]
mod tests {
    use super::super::sink::tests::{at, closed, denied};
    use super::*;

    #[test]
    fn denials_leave_half_of_the_room() {
        let queue = Arc::new(Queue::new(10));
        let mut handle = AuditHandle::new(&queue);
        (0..8).for_each(|second| handle.record(denied(second)));
        (8..20).for_each(|second| handle.record(closed(second)));
        assert_eq!(handle.status(), AuditStatus { records: 0, lost: 10, queued: 10, failing: false });
        let mut events = VecDeque::new();
        let taken = queue.take(&mut events, Some(Duration::ZERO));
        let seconds: Vec<_> = events.iter().map(|event| event.at().unix_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 3, 4, 8, 9, 10, 11, 12]);
        assert_eq!(taken.gap, Some(Gap { count: 10, first: at(5), last: at(19) }));
        assert_eq!(queue.take(&mut VecDeque::new(), Some(Duration::ZERO)).gap, None);
        assert_eq!(handle.status().queued, 0);
    }

    #[test]
    fn after_the_stop_everything_is_lost_and_counted() {
        let queue = Arc::new(Queue::new(10));
        let mut handle = AuditHandle::new(&queue);
        handle.record(closed(1));
        queue.stop(Stop { at: Some(at(2)) });
        handle.record(closed(3));
        let mut events = VecDeque::new();
        let taken = queue.take(&mut events, None);
        assert_eq!(events.len(), 1);
        assert_eq!(taken.stop, Some(Stop { at: Some(at(2)) }));
        assert_eq!(taken.gap, Some(Gap { count: 1, first: at(3), last: at(3) }));
    }

    #[test]
    fn room_is_given_back() {
        let queue = Arc::new(Queue::new(100_000));
        let mut handle = AuditHandle::new(&queue);
        (0..50_000).for_each(|second| handle.record(closed(second)));
        let mut events = VecDeque::new();
        queue.take(&mut events, Some(Duration::ZERO));
        events.clear();
        queue.take(&mut events, Some(Duration::ZERO));
        assert!(queue.lock().events.capacity() <= KEPT, "{}", queue.lock().events.capacity());
    }
}
