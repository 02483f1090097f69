//! The log lines about refusals: each with the client, the reason and a sentence, and never so many that a flood of
//! requests fills the disk. What the log leaves out, the audit trail has, or counts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant as SystemInstant;

use tracing::{Level, debug, warn};

use crate::policy::audit::Entry;
use crate::policy::audit::aggregate::{Aggregator, WINDOW};
use crate::policy::audit::record::{denial_sentence, reason_of, rule_of};
use crate::relay::Instant;
use crate::relay::event::Event;

/// Events that may wait for the log; more are counted.
const QUEUE: usize = 1024;
/// Lines in a [`WINDOW`] of ten seconds; more are counted.
const LINES: u32 = 30;

/// The thread that writes them.
pub(super) struct RefusalLog {
    handle: RefusalHandle,
    thread: JoinHandle<()>,
}

/// Takes the events of one worker; it never blocks.
#[derive(Clone)]
pub(super) struct RefusalHandle {
    queue: SyncSender<Message>,
    crowded_out: Arc<AtomicU64>,
    /// Allocations, too, which is a level that few have switched on.
    with_allocations: bool,
}

enum Message {
    Event(Box<Event>),
    Stop,
}

impl RefusalLog {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start() -> io::Result<Self> {
        let (queue, events) = sync_channel(QUEUE);
        let crowded_out = Arc::<AtomicU64>::default();
        let with_allocations = tracing::enabled!(Level::DEBUG);
        let handle = RefusalHandle { queue, crowded_out: crowded_out.clone(), with_allocations };
        let thread = std::thread::Builder::new().name("refusals".into()).spawn(move || run(&events, &crowded_out))?;
        Ok(Self { handle, thread })
    }

    pub(super) fn handle(&self) -> RefusalHandle {
        self.handle.clone()
    }

    /// Writes what is left and ends the thread.
    pub(super) fn stop(self) {
        // The thread takes what is before it; if it has died, its panic was printed.
        let _ = self.handle.queue.send(Message::Stop);
        let _ = self.thread.join();
    }
}

impl RefusalHandle {
    /// Looks at an event, and keeps a copy if there is a line in it.
    pub(super) fn see(&self, event: &Event) {
        let is_refusal = matches!(event, Event::Denied { .. });
        if !is_refusal && !self.with_allocations {
            return;
        }
        if self.queue.try_send(Message::Event(event.clone().into())).is_err() && is_refusal {
            self.crowded_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn run(events: &Receiver<Message>, crowded_out: &AtomicU64) {
    let mut lines = Lines::default();
    // The engine's time between events: told from the last one and what has passed since.
    let mut last = (Instant::default(), SystemInstant::now());
    loop {
        let message = match lines.next_due() {
            None => events.recv().map_err(RecvTimeoutError::from),
            Some(due) => events.recv_timeout(due.since(last.0.after(last.1.elapsed()))),
        };
        match message {
            Ok(Message::Event(event)) => {
                last = (event.at().instant.max(last.0), SystemInstant::now());
                lines.take(*event, &mut write);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => {
                lines.count(crowded_out.swap(0, Ordering::Relaxed));
                return lines.end_all(&mut write);
            }
        }
        lines.count(crowded_out.swap(0, Ordering::Relaxed));
        lines.end_due(last.0.after(last.1.elapsed()), &mut write);
    }
}

/// Which lines are written: pure, so that time is an argument.
#[derive(Default)]
struct Lines {
    aggregator: Aggregator,
    /// When the present window ends, and how many lines it has had.
    ends: Instant,
    written: u32,
    left_out: u64,
}

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Entry(Box<Entry>),
    LeftOut(u64),
}

impl Lines {
    fn take(&mut self, event: Event, write: &mut impl FnMut(Line)) {
        self.turn(event.at().instant, write);
        let Self { aggregator, written, left_out, .. } = self;
        aggregator.take(event, &mut |entry| spend(entry, written, left_out, write));
    }

    fn end_due(&mut self, now: Instant, write: &mut impl FnMut(Line)) {
        self.turn(now, write);
        let Self { aggregator, written, left_out, .. } = self;
        aggregator.end_due(now, &mut |entry| spend(entry, written, left_out, write));
    }

    /// When there may next be something to end; none if nothing is gathered.
    fn next_due(&self) -> Option<Instant> {
        let left_out = (self.left_out > 0).then_some(self.ends);
        [self.aggregator.next_due(), left_out].into_iter().flatten().min()
    }

    fn end_all(&mut self, write: &mut impl FnMut(Line)) {
        let Self { aggregator, written, left_out, .. } = self;
        aggregator.end_all(&mut |entry| spend(entry, written, left_out, write));
        self.tell_left_out(write);
    }

    /// Counts refusals of which nothing else is known.
    fn count(&mut self, refusals: u64) {
        self.left_out = self.left_out.saturating_add(refusals);
    }

    /// Begins a new window if the present one has ended.
    fn turn(&mut self, now: Instant, write: &mut impl FnMut(Line)) {
        if now < self.ends {
            return;
        }
        self.ends = now.after(WINDOW);
        self.written = 0;
        self.tell_left_out(write);
    }

    fn tell_left_out(&mut self, write: &mut impl FnMut(Line)) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            write(Line::LeftOut(left_out));
        }
    }
}

fn spend(entry: Entry, written: &mut u32, left_out: &mut u64, write: &mut impl FnMut(Line)) {
    let is_refusal = !matches!(&entry, Entry::Event(event) if !matches!(event, Event::Denied { .. }));
    if is_refusal && *written >= LINES {
        *left_out = left_out.saturating_add(refusals_in(&entry));
        return;
    }
    *written = written.saturating_add(u32::from(is_refusal));
    write(Line::Entry(entry.into()));
}

fn refusals_in(entry: &Entry) -> u64 {
    match entry {
        Entry::Repeats { count, .. } | Entry::Spilled { count, .. } => *count,
        _ => 1,
    }
}

fn write(line: Line) {
    let many = |count| warn!(count, "more refusals than are told one by one");
    match line {
        Line::LeftOut(count) => many(count),
        Line::Entry(entry) => match &*entry {
            Entry::Event(event) => write_event(event, None),
            Entry::Repeats { last, count, .. } => write_event(last, Some(*count)),
            Entry::Spilled { count, .. } => many(*count),
            // The rest is about the audit file, and not made here.
            _ => {}
        },
    }
}

/// One event; or `repeats` more like one that was written before, from the same network, of which this is the last.
fn write_event(event: &Event, repeats: Option<u64>) {
    match event {
        Event::Denied { path, who, request, code, denial, .. } => {
            let user = who.as_ref().map(|who| &*who.user.0);
            let rule = rule_of(denial).map(|rule| &*rule.0);
            let (reason, sentence) = (reason_of(denial), denial_sentence(*request, *code, denial));
            warn!(client = %path.client, user, reason, rule, repeats, "{}", sentence.trim_end_matches('.'));
        }
        Event::Opened { allocation, lifetime, .. } => {
            let (client, relayed, user) = (allocation.path.client, allocation.relayed, &*allocation.who.user.0);
            debug!(%client, %relayed, user, lifetime_secs = lifetime.as_secs(), "allocation opened");
        }
        Event::Refreshed { allocation, lifetime, .. } => {
            let (client, relayed) = (allocation.path.client, allocation.relayed);
            debug!(%client, %relayed, lifetime_secs = lifetime.as_secs(), "allocation refreshed");
        }
        Event::Narrowed { allocation, ended, reason, .. } => {
            let (client, relayed) = (allocation.path.client, allocation.relayed);
            debug!(%client, %relayed, %ended, %reason, "one of an allocation's two addresses ended");
        }
        Event::Closed { allocation, reason, totals, .. } => {
            let (client, relayed) = (allocation.path.client, allocation.relayed);
            let (sent, received) = (totals.packets_to_peers, totals.packets_to_client);
            debug!(%client, %relayed, %reason, to_peers = sent, to_client = received, "allocation closed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use super::*;
    use crate::relay::event::{Denial, RequestKind};
    use crate::relay::reason::AuthReason;
    use crate::relay::{ClientAddr, ListenerId, Now, Path, ServerAddr, Transport};

    /// A wrong password from the `network`th network, `secs` after the start.
    fn wrong_password(network: u16, secs: u64) -> Event {
        let [high, low] = network.to_be_bytes();
        let path = Path {
            client: ClientAddr(SocketAddr::from((Ipv4Addr::new(198, high, low, 7), 40_000))),
            server: ServerAddr(SocketAddr::from((Ipv4Addr::LOCALHOST, 3478))),
            transport: Transport::Udp,
            listener: ListenerId(0),
        };
        Event::Denied {
            at: Now { instant: at(secs), unix_millis: 0 },
            path,
            who: None,
            allocation: None,
            request: RequestKind::Allocate,
            code: 401,
            denial: Denial::Credentials(AuthReason::WrongPassword),
        }
    }

    fn at(secs: u64) -> Instant {
        Instant::default().after(Duration::from_secs(secs))
    }

    /// How many refusals a line tells of.
    fn told(line: &Line) -> u64 {
        match line {
            Line::Entry(entry) => refusals_in(entry),
            Line::LeftOut(count) => *count,
        }
    }

    #[test]
    fn one_refusal_is_one_line() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        lines.take(wrong_password(1, 0), &mut |line| out.push(line));
        lines.end_due(at(60), &mut |line| out.push(line));
        lines.end_all(&mut |line| out.push(line));
        assert_eq!(out, [Line::Entry(Entry::Event(wrong_password(1, 0)).into())]);
    }

    #[test]
    fn repeats_from_one_network_are_two_lines_in_ten_seconds() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for _ in 0..10_000 {
            lines.take(wrong_password(1, 3), &mut |line| out.push(line));
        }
        lines.end_due(at(13), &mut |line| out.push(line));
        assert_eq!(out.len(), 2, "{out:?}");
        assert_eq!(out.iter().map(told).sum::<u64>(), 10_000);
    }

    #[test]
    fn a_flood_from_everywhere_is_a_few_lines_that_tell_of_all() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        let seconds = 100;
        for secs in 0..seconds {
            for network in 0..1000 {
                lines.take(wrong_password(network, secs), &mut |line| out.push(line));
            }
        }
        lines.end_all(&mut |line| out.push(line));
        let windows = usize::try_from(seconds).expect("small") / 10;
        let most = (windows + 1) * (usize::try_from(LINES).expect("small") + 1);
        assert!(out.len() <= most, "{} lines, more than {most}", out.len());
        assert_eq!(out.iter().map(told).sum::<u64>(), seconds * 1000);
    }

    #[test]
    fn what_found_no_room_is_counted() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        lines.count(42);
        lines.end_due(at(11), &mut |line| out.push(line));
        lines.end_due(at(22), &mut |line| out.push(line));
        assert_eq!(out, [Line::LeftOut(42)]);
    }

    #[test]
    fn a_handle_never_waits() {
        let (queue, _events) = sync_channel(1);
        let crowded_out = Arc::<AtomicU64>::default();
        let handle = RefusalHandle { queue, crowded_out: crowded_out.clone(), with_allocations: false };
        (0..3).for_each(|_| handle.see(&wrong_password(1, 0)));
        assert_eq!(crowded_out.load(Ordering::Relaxed), 2);
    }
}
