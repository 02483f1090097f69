//! Files that nobody else can read, and how what they hold is kept from sight.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::value::EnvName;
use crate::engine;

/// What was read from a guarded place: wiped when dropped. It is on its way to a type that cannot be shown.
pub(super) type Guarded = Zeroizing<Vec<u8>>;

/// The longest file that is read, in bytes.
const MAX_FILE: usize = 16 << 20;

/// Reads the one line that an environment variable holds.
///
/// # Errors
/// One sentence: why it cannot be used.
pub(super) fn line_of_variable(name: &EnvName) -> Result<Guarded, String> {
    let Some(value) = std::env::var_os(name.as_str()) else {
        return Err(format!("the environment variable {name} is not set"));
    };
    one_line(Zeroizing::new(value.into_vec()), format_args!("the environment variable {name}"))
}

/// Reads the one line that the file at `path` holds; a newline at its end does not count.
///
/// # Errors
/// One sentence: why it cannot be used, and the mend.
pub(super) fn line_of_file(path: &Path) -> Result<Guarded, String> {
    one_line(read(path)?, path.display())
}

/// Reads a whole file that must be closed to everybody but its owner, who is root or us.
///
/// # Errors
/// One sentence: why it cannot be used, and the mend.
pub(super) fn read(path: &Path) -> Result<Guarded, String> {
    let shown = path.display();
    // Non-blocking, so that a pipe in the file's place cannot stop us.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let mut file = file.map_err(|error| format!("cannot read {shown}: {}", reason(&error)))?;
    let metadata = file.metadata().map_err(|error| format!("cannot read {shown}: {}", reason(&error)))?;
    refuse_unguarded(path, &metadata)?;
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if size > MAX_FILE {
        return Err(format!("{shown} is longer than {MAX_FILE} bytes"));
    }
    read_all(&mut file, size).map_err(|error| format!("cannot read {shown}: {}", reason(&error)))
}

/// The whole file; the buffer is made once, so that no copy stays behind when it would have grown.
fn read_all(file: &mut File, size: usize) -> io::Result<Guarded> {
    let mut bytes = Zeroizing::new(vec![0; size.saturating_add(1)]);
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if len > size {
        return Err(io::Error::other("it grew while it was read"));
    }
    bytes.truncate(len);
    Ok(bytes)
}

fn refuse_unguarded(path: &Path, metadata: &Metadata) -> Result<(), String> {
    let shown = path.display();
    if !metadata.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    // systemd guards these by an access list, whose mask shows as the group's bits.
    if std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|directory| path.starts_with(directory)) {
        return Ok(());
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let who = if mode & 0o007 == 0 { "its group" } else { "everybody" };
        return Err(format!("{shown} is open to {who} (mode {mode:04o}); close it: chmod 0400 {shown}"));
    }
    let owner = metadata.uid();
    if owner != 0 && owner != engine::effective_user() {
        return Err(format!(
            "{shown} belongs to user {owner}, who is neither root nor us; mend it: chown root {shown}"
        ));
    }
    Ok(())
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied for the user that turnkeep runs as".into(),
        _ => error.to_string(),
    }
}

fn one_line(mut text: Guarded, source: impl std::fmt::Display) -> Result<Guarded, String> {
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    if text.contains(&b'\n') || text.contains(&0) {
        return Err(format!("{source} holds more than one line; it must hold one secret and nothing else"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    const GOOD: &str = "8f3b1c5e9d2a7f604b6c8e1d3f5a7092";

    fn file(directory: &Path, content: &[u8], mode: u32) -> PathBuf {
        let path = directory.join("k1");
        let _ = fs::remove_file(&path);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    #[test]
    fn takes_a_closed_file_without_its_last_newline() {
        let directory = tempfile::tempdir().expect("a directory");
        for (content, mode) in [(GOOD.to_owned(), 0o400), (format!("{GOOD}\n"), 0o600), (format!("{GOOD}\r\n"), 0o600)]
        {
            let line = line_of_file(&file(directory.path(), content.as_bytes(), mode));
            assert_eq!(line.as_deref().map(Vec::as_slice), Ok(GOOD.as_bytes()));
        }
        let path = file(directory.path(), b"a:b\nc:d\n", 0o600);
        assert_eq!(read(&path).as_deref().map(Vec::as_slice), Ok(b"a:b\nc:d\n".as_slice()));
    }

    #[test]
    fn a_148_refuses_a_file_that_others_can_read_and_says_the_mend() {
        let directory = tempfile::tempdir().expect("a directory");
        for (mode, who) in [(0o644, "everybody"), (0o604, "everybody"), (0o640, "its group"), (0o660, "its group")] {
            let path = file(directory.path(), GOOD.as_bytes(), mode);
            let shown = path.display();
            let expected = format!("{shown} is open to {who} (mode {mode:04o}); close it: chmod 0400 {shown}");
            assert_eq!(line_of_file(&path), Err(expected));
        }
    }

    #[test]
    fn refuses_more_than_a_line_and_does_not_repeat_it() {
        let directory = tempfile::tempdir().expect("a directory");
        for content in [format!("{GOOD}\n{GOOD}"), format!("{GOOD}\n\n"), format!("{GOOD}\0")] {
            let error = line_of_file(&file(directory.path(), content.as_bytes(), 0o600)).expect_err("no line");
            assert!(error.contains("more than one line") && !error.contains(GOOD), "{error}");
        }
    }

    #[test]
    fn refuses_what_is_no_file() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(read(directory.path()).expect_err("a directory").contains("is not a regular file"));
        assert!(read(Path::new("/dev/zero")).expect_err("a device").contains("is not a regular file"));
        let missing = read(&directory.path().join("none")).expect_err("nothing");
        assert!(missing.ends_with("there is no such file"), "{missing}");
        let long = file(directory.path(), &vec![b'x'; MAX_FILE + 1], 0o600);
        assert!(read(&long).expect_err("a long file").contains("is longer than"));
    }

    #[test]
    fn reads_the_environment() {
        let name = |text: &str| <EnvName as super::super::value::Text>::parse(text).expect("a name");
        let unset = line_of_variable(&name("TURNKEEP_TEST_UNSET"));
        assert_eq!(unset, Err("the environment variable TURNKEEP_TEST_UNSET is not set".into()));
        // Cargo sets it for every test.
        let set = line_of_variable(&name("CARGO_PKG_NAME"));
        assert_eq!(set.as_deref().map(Vec::as_slice), Ok(b"turnkeep".as_slice()));
    }
}
