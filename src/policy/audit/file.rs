//! The file that the audit trail is written to.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What records are written to.
pub(super) trait Medium {
    /// Writes some of `bytes` and says how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes what was written survive a loss of power.
    fn sync(&mut self) -> io::Result<()>;

    /// Goes on in a new file if the one that is written is no longer where it belongs.
    fn follow(&mut self) -> Result<Option<Followed>, OpenError> {
        Ok(None)
    }
}

/// A new file is written from here on.
pub(super) struct Followed {
    pub(super) found: Found,
    /// The old one has no name any more: what it holds is lost.
    pub(super) was_deleted: bool,
}

/// The file, open for appending and locked against other processes.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    /// Not so for a pipe or a terminal: those cannot be read back, locked or synced.
    regular: bool,
}

/// What was found in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The number for the next record.
    pub(super) next_seq: u64,
    /// Bytes of a record that was cut short; they are taken off.
    pub(super) torn_bytes: u64,
}

impl AuditFile {
    /// Opens the file, or makes it: readable by its owner alone. A record that a crash cut short is taken off its end.
    pub(super) fn open(path: &Path) -> Result<(Self, Found), OpenError> {
        let fail = |why| OpenError { path: path.to_owned(), why };
        let mut this = Self::open_any(path).map_err(|error| fail(OpenFailure::at(path, &error)))?;
        if !this.regular {
            return Ok((this, Found::default()));
        }
        match this.file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(fail(OpenFailure::InUse)),
            Err(TryLockError::Error(error)) => return Err(fail(OpenFailure::of(&error))),
        }
        let found = this.read_end().map_err(|error| fail(OpenFailure::of(&error)))?;
        let found = found.ok_or_else(|| fail(OpenFailure::NotOurs))?;
        this.take_off(found.torn_bytes).map_err(|error| fail(OpenFailure::of(&error)))?;
        Ok((this, found))
    }

    /// Whether [`Self::open`] would succeed, as far as that can be told without writing or locking.
    pub(super) fn probe(path: &Path) -> Result<(), OpenFailure> {
        let of = |error: io::Error| OpenFailure::at(path, &error);
        let file = match OpenOptions::new().read(true).append(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return probe_directory(path).map_err(of),
            Err(error) => return Err(of(error)),
        };
        let regular = file.metadata().map_err(of)?.is_file();
        let mut this = Self { path: path.to_owned(), file, regular };
        if !regular {
            // A device that is full says so before it has taken a byte.
            return this.write(&[]).map(drop).map_err(of);
        }
        this.read_end().map_err(of)?.map(drop).ok_or(OpenFailure::NotOurs)
    }

    fn open_any(path: &Path) -> io::Result<Self> {
        let is_new = !path.exists();
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        if is_new && let Some(directory) = directory_of(path) {
            // The name must survive a crash as well; where the directory cannot be synced the file still serves.
            let _ = File::open(directory).and_then(|directory| directory.sync_all());
        }
        let regular = file.metadata()?.is_file();
        Ok(Self { path: path.to_owned(), file, regular })
    }

    /// Whether the file has another name or none by now, or another file its name. What cannot be told is so not.
    fn is_elsewhere(&self) -> bool {
        let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(ours)) => id(there) != id(ours),
            (Err(error), _) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
            (Ok(_), Err(_)) => false,
        }
    }

    /// Reads as much of the end as one record can take; none if it was not written by us.
    fn read_end(&mut self) -> io::Result<Option<Found>> {
        let length = self.file.metadata()?.len();
        self.file.seek(SeekFrom::Start(length.saturating_sub(MAX_RECORD)))?;
        let mut end = Vec::new();
        (&self.file).take(MAX_RECORD).read_to_end(&mut end)?;
        Ok(judge_end(&end))
    }

    fn take_off(&mut self, torn_bytes: u64) -> io::Result<()> {
        if torn_bytes == 0 {
            return Ok(());
        }
        let length = self.file.metadata()?.len();
        self.file.set_len(length.saturating_sub(torn_bytes))
    }
}

/// The directory that a file is in; the parent of a bare name is empty, and means the working directory.
fn directory_of(path: &Path) -> Option<&Path> {
    path.parent().map(|directory| if directory.as_os_str().is_empty() { Path::new(".") } else { directory })
}

/// Whether a file can be made beside `path`: there is no other way to know, on every file system, than to make one.
fn probe_directory(path: &Path) -> io::Result<()> {
    let name = format!(".turnkeep-check-{}", std::process::id());
    let Some(beside) = directory_of(path).map(|directory| directory.join(name)) else {
        return Err(ErrorKind::NotFound.into());
    };
    File::create_new(&beside)?;
    fs::remove_file(&beside)
}

/// Whether an audit trail can be written to `path`, as far as that can be told without writing to it.
///
/// # Errors
/// Why not.
pub fn probe(path: &Path) -> Result<(), OpenError> {
    AuditFile::probe(path).map_err(|why| OpenError { path: path.to_owned(), why })
}

impl Medium for AuditFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.regular { self.file.sync_all() } else { Ok(()) }
    }

    fn follow(&mut self) -> Result<Option<Followed>, OpenError> {
        if !self.regular || !self.is_elsewhere() {
            return Ok(None);
        }
        let (new, found) = Self::open(&self.path)?;
        // If this fails nobody could do more about it: nothing is written to the old one any more.
        let _ = self.sync();
        let was_deleted = self.file.metadata().is_ok_and(|ours| ours.nlink() == 0);
        *self = new;
        Ok(Some(Followed { found, was_deleted }))
    }
}

/// A record stays below this many bytes, its line feed included.
const MAX_RECORD: u64 = 65_536;

/// How each of our records begins: its first key is one of these.
const BEGINNINGS: [&[u8]; 2] = [br#"{"alloc":""#, br#"{"boot_id":""#];

/// What the last bytes of a file say; none if they are not ours. Nothing is ever taken off a file that is not.
fn judge_end(end: &[u8]) -> Option<Found> {
    let (whole, torn) = match end.iter().rposition(|byte| *byte == b'\n') {
        Some(last) => end.split_at_checked(last.checked_add(1)?)?,
        None => (&[][..], end),
    };
    let ours = |beginning: &&[u8]| torn.starts_with(beginning) || beginning.starts_with(torn);
    if !BEGINNINGS.iter().any(ours) {
        return None;
    }
    let torn_bytes = u64::try_from(torn.len()).ok()?;
    if whole.is_empty() {
        return Some(Found { next_seq: 0, torn_bytes });
    }
    let last_record = whole.strip_suffix(b"\n")?.rsplit(|byte| *byte == b'\n').next()?;
    Some(Found { next_seq: seq_of(last_record)?.checked_add(1)?, torn_bytes })
}

/// The number of a record. Inside of a text each quotation mark has a backslash before it, so this key can only be
/// found where it is one.
fn seq_of(record: &[u8]) -> Option<u64> {
    const KEY: &[u8] = br#","seq":"#;
    let ours = BEGINNINGS.iter().any(|beginning| record.starts_with(beginning)) && record.ends_with(br#","v":1}"#);
    let at = record.windows(KEY.len()).position(|window| window == KEY)?;
    let rest = record.get(at.checked_add(KEY.len())?..)?;
    let digits = rest.split(|byte| !byte.is_ascii_digit()).next()?;
    ours.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// An audit file that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub why: OpenFailure,
}

/// Why an audit file cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum OpenFailure {
    /// It has no name.
    Nameless,
    /// Its directory does not exist.
    NoDirectory,
    /// Its directory exists, and takes no files.
    NoFiles,
    /// It is a directory.
    IsDirectory,
    /// We may not read and write it.
    Permission,
    /// Its file system takes no writes.
    ReadOnly,
    /// There is no room for it.
    Full,
    /// Another process writes it.
    InUse,
    /// It ends in something that is no audit record.
    NotOurs,
    /// The system says so.
    Other(String),
}

impl OpenFailure {
    /// The error came of opening `path`.
    fn at(path: &Path, error: &io::Error) -> Self {
        match Self::of(error) {
            Self::NoDirectory if path.as_os_str().is_empty() => Self::Nameless,
            Self::NoDirectory if directory_of(path).is_some_and(Path::is_dir) => Self::NoFiles,
            why => why,
        }
    }

    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::NoDirectory,
            ErrorKind::IsADirectory => Self::IsDirectory,
            ErrorKind::PermissionDenied => Self::Permission,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The audit file {} cannot be written: ", self.path.display())?;
        match &self.why {
            OpenFailure::Nameless => f.write_str("it has no name; give it one, such as audit.jsonl."),
            OpenFailure::NoFiles => f.write_str("no file can be made in its directory; name one in another."),
            OpenFailure::NoDirectory => f.write_str("its directory does not exist; create it."),
            OpenFailure::IsDirectory => f.write_str("it is a directory; name a file in it."),
            OpenFailure::Permission => f.write_str(
                "permission denied; let the user that turnkeep runs as read and write it and its directory.",
            ),
            OpenFailure::ReadOnly => f.write_str("its file system is read-only; name a file on another one."),
            OpenFailure::Full => f.write_str("its file system is full; make room on it."),
            OpenFailure::InUse => f.write_str("another process is writing it; stop that one, or name another file."),
            OpenFailure::NotOurs => {
                f.write_str("it ends in something that is no audit record; move it away, or name another file.")
            }
            OpenFailure::Other(error) => write!(f, "{error}; mend that, or name another file."),
        }
    }
}

impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"boot_id":"b","detail":"x,\"seq\":9","seq":41,"ts":"t","v":1}"#;

    fn found(next_seq: u64, torn_bytes: u64) -> Option<Found> {
        Some(Found { next_seq, torn_bytes })
    }

    #[test]
    fn the_end_of_a_file_says_how_it_goes_on() {
        let end = |text: &str| judge_end(text.as_bytes());
        assert_eq!(end(""), found(0, 0));
        assert_eq!(end(&format!("{ONE}\n")), found(42, 0));
        assert_eq!(end(&format!("half of an earlier record\n{ONE}\n")), found(42, 0));
        for torn in 1..ONE.len() {
            let torn = &ONE[..torn];
            assert_eq!(end(torn), found(0, torn.len() as u64), "{torn}");
            assert_eq!(end(&format!("{ONE}\n{torn}")), found(42, torn.len() as u64), "{torn}");
        }
    }

    #[test]
    fn what_others_wrote_is_left_alone() {
        for text in [
            "\n",
            "x",
            "{",
            "hello\n",
            "root:x:0:0:root:/root:/bin/bash\n",
            "{\"a\":1}",
            "{\"a\":1}\n",
            "[]\n",
            "{\"seq\":1,\"v\":1}\n",
            "{\"boot_id\":\"b\",\"v\":1}\n",
            "{\"boot_id\":\"b\",\"seq\":x,\"v\":1}\n",
            "{\"boot_id\":\"b\",\"seq\":1,\"v\":2}\n",
            "{\"boot_id\":\"b\",\"seq\":99999999999999999999,\"v\":1}\n",
        ] {
            let ours = text == "{"; // nobody else's either, and nothing is lost with it
            assert_eq!(judge_end(text.as_bytes()).is_some(), ours, "{text:?}");
        }
    }
}
