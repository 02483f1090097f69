//! The audit trail of a process: one thread that writes what the workers' handles took.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant as SystemInstant};

use super::file::{AuditFile, Found, Medium, OpenError, OpenFailure};
use super::queue::{AuditHandle, AuditStatus, Gap, Queue, Stop, Tick};
use super::record::{Entry, Origin};
use super::writer::{Trouble, Writer};
use crate::relay::Now;
use crate::relay::event::Event;

/// What the trail is written with.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// The file.
    pub path: PathBuf,
    /// Where its records come from.
    pub origin: Origin,
    /// How many events may wait for the writer; denials may fill half of it.
    pub queue: usize,
}

/// What [`AuditSettings::queue`] is unless the configuration says otherwise: about 20 MB at worst, next to nothing when
/// the writer keeps up.
pub const DEFAULT_QUEUE: usize = 65_536;

/// The audit trail of this process. If it is dropped instead of stopped, what is queued is still written, but nobody
/// waits for it and no last record says that recording ended as it should.
pub struct AuditSink {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<Result<(), StopError>>>,
}

impl AuditSink {
    /// Opens the file, records that recording begins, and starts the thread that writes. `on_trouble` is called on that
    /// thread.
    ///
    /// # Errors
    /// The file cannot be opened or written, or the thread cannot be started.
    pub fn start(
        settings: &AuditSettings,
        now: Now,
        on_trouble: impl FnMut(Trouble) + Send + 'static,
    ) -> Result<Self, OpenError> {
        let fail = |error: &io::Error| OpenError { path: settings.path.clone(), why: OpenFailure::of(error) };
        let (file, found) = AuditFile::open(&settings.path)?;
        Self::start_on(file, found, settings, now, on_trouble).map_err(|error| fail(&error))
    }

    fn start_on<M: Medium + Send + 'static>(
        medium: M,
        found: Found,
        settings: &AuditSettings,
        now: Now,
        on_trouble: impl FnMut(Trouble) + Send + 'static,
    ) -> io::Result<Self> {
        let mut writer = Writer::new(medium, settings.origin.clone(), found.next_seq);
        if found.torn_bytes > 0 {
            writer.append(&Entry::Recovered { at: now, torn_bytes: found.torn_bytes });
        }
        writer.append(&Entry::Started { at: now });
        // A file that does not take this record will not take others: better known before the first call.
        writer.commit()?;
        let queue = Arc::new(Queue::new(settings.queue));
        queue.update(|status| status.records = writer.next_seq());
        let thread = WriterThread {
            writer,
            queue: Arc::clone(&queue),
            on_trouble,
            clock: Clock::new(now),
            gap: None,
            last_gap: None,
            is_astray: false,
            looked: SystemInstant::now(),
        };
        let writer = std::thread::Builder::new().name("audit".into()).spawn(move || thread.run())?;
        Ok(Self { queue, writer: Some(writer) })
    }

    /// A handle for a worker.
    pub fn handle(&self) -> AuditHandle {
        AuditHandle::new(&self.queue)
    }

    /// How it stands.
    pub fn status(&self) -> AuditStatus {
        self.handle().status()
    }

    /// Sees whether the file is still where it belongs, and goes on in a new one if it is not. Before it writes, the
    /// trail looks by itself, once a second at most; this is for what shall not wait for the next record.
    pub fn tick(&self, tick: Tick) {
        self.queue.tick(tick);
    }

    /// Writes what is queued, records that recording ends, and brings all of it to stable storage. Events that come
    /// after this are lost.
    ///
    /// # Errors
    /// Not all of it could be written.
    pub fn stop(mut self, now: Now) -> Result<(), StopError> {
        self.queue.stop(Stop { at: Some(now) });
        self.writer.take().map_or(Ok(()), |writer| writer.join().unwrap_or(Err(StopError::Panicked)))
    }
}

impl Drop for AuditSink {
    fn drop(&mut self) {
        self.queue.stop(Stop { at: None });
    }
}

/// Why the trail is not complete at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopError {
    /// The last records could not be written, or not brought to stable storage.
    Write(String),
    /// The writer died.
    Panicked,
}

impl std::fmt::Display for StopError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Write(error) => write!(f, "The last audit records could not be written: {error}."),
            Self::Panicked => f.write_str("The audit writer died; its last records are lost."),
        }
    }
}

impl std::error::Error for StopError {}

/// The most events between two writes.
const BATCH: usize = 256;
/// How old the last look may be, when a record is written, at whether the file is still where it belongs.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The queue has room again when nothing was lost for this long.
const OVERFLOW_ENDS: Duration = Duration::from_millis(10);
/// A gap is recorded after this time at the latest, and not sooner after another.
const LONG_GAP: Duration = Duration::from_secs(1);
/// How long it waits before it tries a file again that took nothing.
const RETRY: Duration = Duration::from_millis(250);

struct WriterThread<M, F> {
    writer: Writer<M>,
    queue: Arc<Queue>,
    on_trouble: F,
    clock: Clock,
    /// What was lost and is not recorded yet, and when it was noticed.
    gap: Option<(Gap, SystemInstant)>,
    /// When a gap was last recorded.
    last_gap: Option<SystemInstant>,
    /// The file was moved away, and there can be no new one.
    is_astray: bool,
    /// When the writer last looked whether it was.
    looked: SystemInstant,
}

impl<M: Medium, F: FnMut(Trouble)> WriterThread<M, F> {
    fn run(mut self) -> Result<(), StopError> {
        let mut events = VecDeque::new();
        loop {
            let taken = self.queue.take(&mut events, self.patience());
            let quiet = events.is_empty() && taken.gap.is_none();
            // Before anything is written, so that a new file begins with the record that says so.
            self.follow_if_due();
            while !events.is_empty() {
                events.drain(..events.len().min(BATCH)).for_each(|event| self.take(event));
                self.commit()?;
            }
            self.writer.end_due(self.clock.now().instant);
            self.note_gap(taken.gap, quiet, taken.stop.is_some());
            if let Some(tick) = taken.tick {
                self.tick(tick);
            }
            if let Some(stop) = taken.stop {
                stop.at.into_iter().for_each(|at| self.follow(at));
                self.writer.end(stop.at);
            }
            self.commit()?;
            if taken.stop.is_some() {
                return self.writer.sync().map_err(|error| StopError::Write(error.to_string()));
            }
        }
    }

    /// How long nothing needs to be done unless something comes.
    fn patience(&self) -> Option<Duration> {
        match self.gap {
            Some(_) => Some(OVERFLOW_ENDS),
            None => self.writer.next_due().map(|due| due.since(self.clock.now().instant)),
        }
    }

    /// Records what was lost: at the end of all, and before that once the queue has room again or the gap is a long
    /// one, but no more often than every [`LONG_GAP`]. While events pour in faster than they can be written, gaps must
    /// not be what fills the file.
    fn note_gap(&mut self, more: Option<Gap>, room_again: bool, stopping: bool) {
        let (gap, since) = match (self.gap.take(), more) {
            (None, None) => return,
            (None, Some(first)) => (first, SystemInstant::now()),
            (Some((gap, since)), more) => (gap.and(more), since),
        };
        let long_ago = |then: SystemInstant| then.elapsed() >= LONG_GAP;
        let due = (room_again || long_ago(since)) && self.last_gap.is_none_or(long_ago);
        if !due && !stopping {
            self.gap = Some((gap, since));
            return;
        }
        self.last_gap = Some(SystemInstant::now());
        self.writer.append(&Entry::Gap { count: gap.count, first: gap.first, at: gap.last });
        (self.on_trouble)(Trouble::Lost { count: gap.count });
    }

    fn tick(&mut self, Tick { at, clock_step_millis }: Tick) {
        self.clock.see(at);
        if clock_step_millis != 0 {
            self.writer.append(&Entry::ClockStepped { at, by_millis: clock_step_millis });
        }
        self.follow(at);
    }

    /// Goes on in a new file, unless the last look is fresh enough to trust the old one.
    fn follow_if_due(&mut self) {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.follow(self.clock.now());
        }
    }

    /// Goes on in a new file if the old one was moved away or deleted.
    fn follow(&mut self, at: Now) {
        self.looked = SystemInstant::now();
        let was_astray = self.is_astray;
        let followed = self.writer.follow(at);
        self.is_astray = followed.is_err();
        match followed {
            Ok(None) => {}
            Ok(Some(was_deleted)) => (self.on_trouble)(Trouble::Moved { was_deleted }),
            Err(_) if was_astray => {}
            Err(error) => (self.on_trouble)(Trouble::Astray(error)),
        }
    }

    fn take(&mut self, event: Event) {
        self.clock.see(event.at());
        self.writer.take(event);
    }

    /// Writes until it is written, or until the trail is to stop and one more trial fails.
    fn commit(&mut self) -> Result<(), StopError> {
        let mut last_trial = false;
        let mut failing = false;
        while let Err(error) = self.writer.commit() {
            if !failing {
                failing = true;
                self.queue.update(|status| status.failing = true);
                (self.on_trouble)(Trouble::WriteFailed(error.to_string()));
            }
            if last_trial {
                return Err(StopError::Write(error.to_string()));
            }
            last_trial = self.queue.pause(RETRY);
            // Where a file system is full, another file may be on one that is not.
            self.follow_if_due();
            if let Some(tick) = self.queue.take_tick() {
                self.tick(tick);
            }
        }
        let records = self.writer.next_seq();
        self.queue.update(|status| (status.records, status.failing) = (records, false));
        if failing {
            (self.on_trouble)(Trouble::Recovered);
        }
        Ok(())
    }
}

/// The relay's time between events, told from the last one and from what has passed since.
struct Clock {
    last: Now,
    seen: SystemInstant,
}

impl Clock {
    fn new(now: Now) -> Self {
        Self { last: now, seen: SystemInstant::now() }
    }

    fn see(&mut self, at: Now) {
        let now = self.now();
        if at.instant > now.instant {
            *self = Self::new(at);
        } else {
            // It waited in the queue. What the wall clock shows is news all the same, for it may have jumped.
            let behind = millis(now.instant.since(at.instant));
            *self = Self::new(Now { unix_millis: at.unix_millis.saturating_add(behind), ..now });
        }
    }

    fn now(&self) -> Now {
        let passed = self.seen.elapsed();
        let unix_millis = self.last.unix_millis.saturating_add(millis(passed));
        Now { instant: self.last.instant.after(passed), unix_millis }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::relay::event::{AllocationRecord, AllocationUuid, Denial, RequestKind, Totals};
    use crate::relay::reason::{AuthReason, CloseReason};
    use crate::relay::seam::{EventSink, Identity, UserId};
    use crate::relay::{ClientAddr, Instant, ListenerId, Path, RelayedAddr, ServerAddr, Transport};

    pub(in super::super) fn at(second: u64) -> Now {
        Now { instant: Instant::from_nanos(second * 1_000_000_000), unix_millis: second * 1000 }
    }

    fn path() -> Path {
        Path {
            client: ClientAddr("198.51.100.7:4000".parse().unwrap()),
            server: ServerAddr("192.0.2.1:3478".parse().unwrap()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        }
    }

    pub(in super::super) fn denied(second: u64) -> Event {
        Event::Denied {
            at: at(second),
            path: path(),
            who: None,
            allocation: None,
            request: RequestKind::Allocate,
            code: 401,
            denial: Denial::Credentials(AuthReason::WrongPassword),
        }
    }

    pub(in super::super) fn closed(second: u64) -> Event {
        let who = Identity { user: UserId("u".into()), key_id: None, expires_unix: None, max_allocations: None };
        let relayed = RelayedAddr("192.0.2.1:50000".parse().unwrap());
        let allocation =
            AllocationRecord { uuid: AllocationUuid([7; 16]), who, path: path(), relayed, also: None, opened: at(0) };
        Event::Closed { at: at(second), allocation, reason: CloseReason::Expired, totals: Totals::default() }
    }

    /// A medium that asks the test before each write, and tells it what it took.
    struct Asking {
        allowed: Receiver<io::Result<()>>,
        taken: Arc<Mutex<Vec<u8>>>,
        synced: Sender<usize>,
    }

    impl Medium for Asking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.allowed.recv().unwrap_or(Ok(()))?;
            self.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn sync(&mut self) -> io::Result<()> {
            self.synced.send(self.taken.lock().unwrap().len()).map_err(io::Error::other)
        }
    }

    struct Rig {
        sink: AuditSink,
        allow: Sender<io::Result<()>>,
        taken: Arc<Mutex<Vec<u8>>>,
        synced: Receiver<usize>,
        trouble: Receiver<Trouble>,
    }

    fn rig(queue: usize) -> Rig {
        let ((allow, allowed), (send, synced), (tell, trouble)) = (channel(), channel(), channel());
        let taken = Arc::new(Mutex::new(Vec::new()));
        allow.send(Ok(())).unwrap();
        let medium = Asking { allowed, taken: Arc::clone(&taken), synced: send };
        let origin = Origin { node: "n".into(), boot_id: "b".into() };
        let settings = AuditSettings { path: "nowhere".into(), origin, queue };
        let on_trouble = move |what| drop(tell.send(what));
        let sink = AuditSink::start_on(medium, Found::default(), &settings, at(0), on_trouble).unwrap();
        Rig { sink, allow, taken, synced, trouble }
    }

    /// Event and number of each record.
    fn records(taken: &Mutex<Vec<u8>>) -> Vec<(String, u64)> {
        let text = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let pair =
            |value: serde_json::Value| (value["event"].as_str().unwrap().to_owned(), value["seq"].as_u64().unwrap());
        text.lines().map(parse).map(pair).collect()
    }

    fn full() -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }

    /// While the disk is full events wait, those beyond the bound are counted, and when there is room
    /// again nothing is missing but them.
    #[test]
    fn a_full_disk_costs_only_what_does_not_fit_into_the_queue_and_says_so() {
        let rig = rig(4);
        let mut handle = rig.sink.handle();
        handle.record(closed(1));
        rig.allow.send(full()).unwrap();
        assert!(matches!(rig.trouble.recv().unwrap(), Trouble::WriteFailed(_)));
        assert!(handle.status().failing);
        (2..9).for_each(|second| handle.record(closed(second)));
        assert_eq!(handle.status().lost, 3);
        drop(rig.allow);
        assert_eq!(rig.trouble.recv().unwrap(), Trouble::Recovered);
        assert_eq!(rig.trouble.recv().unwrap(), Trouble::Lost { count: 3 });
        rig.sink.stop(at(10)).unwrap();
        let events = ["audit.start"].into_iter().chain(["allocation.close"; 5]).chain(["audit.gap", "audit.stop"]);
        let expected: Vec<_> = events.map(str::to_owned).zip(0..).collect();
        assert_eq!(records(&rig.taken), expected);
        assert_eq!(handle.status(), AuditStatus { records: 8, lost: 3, queued: 0, failing: false });
        assert_eq!(rig.synced.recv().unwrap(), rig.taken.lock().unwrap().len());
    }

    #[test]
    fn stopping_writes_what_is_gathered_and_queued() {
        let rig = rig(1000);
        let mut handle = rig.sink.handle();
        drop(rig.allow);
        (0..300).for_each(|_| handle.record(denied(1)));
        (0..300).for_each(|_| handle.record(closed(2)));
        rig.sink.stop(at(3)).unwrap();
        let events: Vec<_> = records(&rig.taken).into_iter().map(|(event, _)| event).collect();
        assert_eq!(events.iter().filter(|event| *event == "auth.fail").count(), 2);
        assert_eq!(events.iter().filter(|event| *event == "allocation.close").count(), 300);
        assert_eq!(events.last().map(String::as_str), Some("audit.stop"));
    }

    #[test]
    fn stopping_does_not_wait_for_a_disk_that_stays_full() {
        let rig = rig(10);
        let mut handle = rig.sink.handle();
        handle.record(closed(1));
        (0..10).for_each(|_| rig.allow.send(full()).unwrap());
        assert!(matches!(rig.trouble.recv().unwrap(), Trouble::WriteFailed(_)));
        assert!(matches!(rig.sink.stop(at(2)), Err(StopError::Write(_))));
        assert_eq!(records(&rig.taken).len(), 1);
    }

    #[test]
    fn a_file_that_takes_nothing_is_refused_at_the_start() {
        struct Full;
        impl Medium for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                full().map(|()| 0)
            }
            fn sync(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let origin = Origin { node: "n".into(), boot_id: "b".into() };
        let settings = AuditSettings { path: "nowhere".into(), origin, queue: 9 };
        let started = AuditSink::start_on(Full, Found::default(), &settings, at(0), |_| {});
        assert_eq!(started.err().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    }

    #[test]
    fn the_clock_goes_on_between_events_and_never_back() {
        let mut clock = Clock::new(at(100));
        clock.see(at(50));
        assert!(clock.now().instant >= at(100).instant);
        clock.see(at(200));
        assert!(clock.now().instant >= at(200).instant);
    }
}
