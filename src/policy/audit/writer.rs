//! Turns entries into numbered lines and gets them onto the medium, through partial writes and full disks.

use std::io::{self, ErrorKind};

use super::aggregate::Aggregator;
use super::file::{Followed, Medium, OpenError};
use super::record::{Entry, Origin};
use crate::relay::event::Event;
use crate::relay::{Instant, Now};

/// The one place where records get their numbers, and where they will be chained.
pub(super) struct Writer<M> {
    medium: M,
    origin: Origin,
    next_seq: u64,
    aggregator: Aggregator,
    /// Lines that are not on the medium yet. A record is numbered when it stands here, and keeps its number however
    /// often writing fails.
    pending: String,
    /// How much of `pending` is on the medium: a write may take half a line.
    written: usize,
}

/// What befell the audit file, for the log: once when it begins and once when it ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The file takes no more; events queue up while writing is tried again and again.
    WriteFailed(String),
    /// The file takes records again.
    Recovered,
    /// The file was moved away or deleted, and records go to a new one.
    Moved {
        /// No name is left of the old one: what it held is lost.
        was_deleted: bool,
    },
    /// The file was moved away or deleted, and there can be no new one: records still go to the old one.
    Astray(OpenError),
    /// Events were lost because the queue was full, and a gap was recorded in their place.
    Lost {
        /// How many.
        count: u64,
    },
}

impl<M: Medium> Writer<M> {
    pub(super) fn new(medium: M, origin: Origin, next_seq: u64) -> Self {
        Self { medium, origin, next_seq, aggregator: Aggregator::default(), pending: String::new(), written: 0 }
    }

    /// Takes an event in; repeated denials are gathered.
    pub(super) fn take(&mut self, event: Event) {
        let mut lines = Lines { origin: &self.origin, next_seq: &mut self.next_seq, pending: &mut self.pending };
        self.aggregator.take(event, &mut |entry| lines.append(&entry));
    }

    /// Takes in what has been gathered long enough.
    pub(super) fn end_due(&mut self, now: Instant) {
        let mut lines = Lines { origin: &self.origin, next_seq: &mut self.next_seq, pending: &mut self.pending };
        self.aggregator.end_due(now, &mut |entry| lines.append(&entry));
    }

    /// When [`Self::end_due`] may next have something to take in.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.aggregator.next_due()
    }

    /// Takes in an entry that is about the trail itself.
    pub(super) fn append(&mut self, entry: &Entry) {
        Lines { origin: &self.origin, next_seq: &mut self.next_seq, pending: &mut self.pending }.append(entry);
    }

    /// Takes in what is gathered, and a last record.
    pub(super) fn end(&mut self, at: Option<Now>) {
        let mut lines = Lines { origin: &self.origin, next_seq: &mut self.next_seq, pending: &mut self.pending };
        self.aggregator.end_all(&mut |entry| lines.append(&entry));
        if let Some(at) = at {
            self.append(&Entry::Stopped { at });
        }
    }

    /// Gets all lines onto the medium. After an error the same call goes on where it stopped.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        while let Some(rest) = self.pending.as_bytes().get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.medium.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => self.written = self.written.saturating_add(len),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.pending.clear();
        self.written = 0;
        Ok(())
    }

    /// Goes on in a new file if the old one was moved away or deleted. A line that got there in part is written anew:
    /// no record is lost between two files.
    pub(super) fn follow(&mut self, at: Now) -> Result<Option<bool>, OpenError> {
        let Some(Followed { found, was_deleted }) = self.medium.follow()? else { return Ok(None) };
        let mut on_the_old = self.pending.as_bytes().iter().take(self.written);
        self.written = on_the_old.rposition(|byte| *byte == b'\n').map_or(0, |end| end.saturating_add(1));
        // Whoever puts another file of ours there does not make numbers come twice.
        self.next_seq = self.next_seq.max(found.next_seq);
        if found.torn_bytes > 0 {
            self.append(&Entry::Recovered { at, torn_bytes: found.torn_bytes });
        }
        self.append(&Entry::Rotated { at, was_deleted });
        Ok(Some(was_deleted))
    }

    /// Makes what is on the medium stay there.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.medium.sync()
    }

    /// How many records there are, those of earlier runs included.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }
}

struct Lines<'a> {
    origin: &'a Origin,
    next_seq: &'a mut u64,
    pending: &'a mut String,
}

impl Lines<'_> {
    fn append(&mut self, entry: &Entry) {
        entry.write_line(self.origin, *self.next_seq, self.pending);
        *self.next_seq = self.next_seq.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time, and at some calls none.
    #[derive(Default)]
    struct Stubborn {
        taken: Vec<u8>,
        calls: usize,
    }

    impl Medium for &mut Stubborn {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            match self.calls % 4 {
                0 => Err(ErrorKind::StorageFull.into()),
                1 => Err(ErrorKind::Interrupted.into()),
                _ => {
                    let len = bytes.len().min(7);
                    self.taken.extend_from_slice(&bytes[..len]);
                    Ok(len)
                }
            }
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_write_that_fails_halfway_goes_on_where_it_stopped() {
        let origin = Origin { node: "n".into(), boot_id: "b".into() };
        let (mut expected, mut medium) = (String::new(), Stubborn::default());
        let mut writer = Writer::new(&mut medium, origin.clone(), 7);
        let mut failures = 0;
        for seq in 7..12 {
            let entry = Entry::Started { at: Now::default() };
            entry.write_line(&origin, seq, &mut expected);
            writer.append(&entry);
            while writer.commit().is_err() {
                failures += 1;
            }
        }
        assert!(failures > 5);
        assert_eq!(String::from_utf8(medium.taken).unwrap(), expected);
    }
}
