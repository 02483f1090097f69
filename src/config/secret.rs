//! Secrets: read from files that nobody else can read, or from the environment; never from the configuration file, and
//! never shown.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::value::EnvName;

/// What was read from a guarded place. It has no way to be shown and is wiped when dropped.
#[derive(Clone)]
pub struct Hidden(Zeroizing<Vec<u8>>);

impl Hidden {
    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// The shortest secret that is taken, in bytes: 256 bits if they are random bytes, 128 if hexadecimal digits.
pub const MIN_SECRET: usize = 32;
/// The longest guarded file that is read, in bytes.
const MAX_FILE: usize = 1 << 20;

/// Reads the shared secret in the file at `path`; a newline at its end does not count.
///
/// # Errors
/// One sentence: why it cannot be used, and the mend.
pub fn from_file(path: &Path) -> Result<Hidden, String> {
    let text = read_guarded(path)?;
    judge(text, &format!("{}", path.display()))
}

/// Reads the shared secret in an environment variable.
///
/// # Errors
/// One sentence: why it cannot be used.
pub fn from_env(name: &EnvName) -> Result<Hidden, String> {
    let Some(value) = std::env::var_os(name.as_str()) else {
        return Err(format!("the environment variable {name} is not set"));
    };
    let bytes = std::os::unix::ffi::OsStringExt::into_vec(value);
    judge(Hidden(Zeroizing::new(bytes)), &format!("the environment variable {name}"))
}

/// Reads a whole file that must be closed to everybody but its owner, who is root or us.
///
/// # Errors
/// One sentence: why it cannot be used, and the mend.
pub fn read_guarded(path: &Path) -> Result<Hidden, String> {
    let shown = path.display();
    // Non-blocking, so that a pipe in the file's place cannot stop us.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let mut file = file.map_err(|error| format!("cannot read {shown}: {}", reason(&error)))?;
    let metadata = file.metadata().map_err(|error| format!("cannot read {shown}: {}", reason(&error)))?;
    refuse_unguarded(path, &metadata)?;
    read_all(&mut file).map_err(|error| format!("cannot read {shown}: {}", reason(&error)))
}

/// The whole file; the buffer is made once, so that no copy stays behind when it would have grown.
fn read_all(file: &mut File) -> io::Result<Hidden> {
    let mut bytes = Zeroizing::new(vec![0; MAX_FILE + 1]);
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if len > MAX_FILE {
        return Err(io::Error::other(format!("it is longer than {MAX_FILE} bytes")));
    }
    bytes.truncate(len);
    Ok(Hidden(bytes))
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
    let (owner, me) = (metadata.uid(), effective_uid());
    if owner != 0 && me.is_some_and(|me| me != owner) {
        return Err(format!(
            "{shown} belongs to user {owner}, who is neither root nor us; mend it: chown root {shown}"
        ));
    }
    Ok(())
}

/// Whom this process acts as: the owner of what the kernel shows of it.
fn effective_uid() -> Option<u32> {
    std::fs::metadata("/proc/self/task").ok().map(|metadata| metadata.uid())
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied for the user that turnkeep runs as".into(),
        _ => error.to_string(),
    }
}

/// Words that stand in examples and templates, not in secrets.
const PLACEHOLDERS: [&str; 7] = ["changeme", "change-me", "secret", "password", "example", "replace", "placeholder"];
/// Random text of [`MIN_SECRET`] hexadecimal digits has fewer different ones about twice in 10^10.
const MIN_DIFFERENT: usize = 7;

/// Refuses what is no secret; `source` is where it comes from.
fn judge(text: Hidden, source: &str) -> Result<Hidden, String> {
    let secret = trimmed(text);
    let bytes = secret.expose();
    if bytes.is_empty() {
        return Err(format!("{source} is empty; put a secret there: openssl rand -hex 32"));
    }
    if bytes.contains(&b'\n') || bytes.contains(&0) {
        return Err(format!("{source} holds more than one line; it must hold one secret and nothing else"));
    }
    if bytes.len() < MIN_SECRET {
        let len = bytes.len();
        return Err(format!(
            "{source} holds {len} bytes, at least {MIN_SECRET} are needed; make a secret: openssl rand -hex 32"
        ));
    }
    if is_placeholder(bytes) {
        return Err(format!("{source} holds a placeholder, not a secret; make one: openssl rand -hex 32"));
    }
    Ok(secret)
}

fn is_placeholder(bytes: &[u8]) -> bool {
    let mut seen = [false; 256];
    bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    let has = |word: &str| bytes.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
    different < MIN_DIFFERENT || PLACEHOLDERS.into_iter().any(has)
}

fn trimmed(mut text: Hidden) -> Hidden {
    if text.0.last() == Some(&b'\n') {
        text.0.pop();
        if text.0.last() == Some(&b'\r') {
            text.0.pop();
        }
    }
    text
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
            let secret = from_file(&file(directory.path(), content.as_bytes(), mode)).expect("a secret");
            assert_eq!(secret.expose(), GOOD.as_bytes());
            assert_eq!(format!("{secret:?}"), "Hidden");
        }
    }

    #[test]
    fn refuses_a_file_that_others_can_read_and_says_the_mend() {
        let directory = tempfile::tempdir().expect("a directory");
        for (mode, who) in [(0o644, "everybody"), (0o604, "everybody"), (0o640, "its group"), (0o660, "its group")] {
            let path = file(directory.path(), GOOD.as_bytes(), mode);
            let error = from_file(&path).expect_err("an open file");
            let shown = path.display();
            assert_eq!(error, format!("{shown} is open to {who} (mode {mode:04o}); close it: chmod 0400 {shown}"));
        }
    }

    #[test]
    fn refuses_what_is_no_secret() {
        let directory = tempfile::tempdir().expect("a directory");
        let cases: [(&[u8], &str); 9] = [
            (b"", "is empty"),
            (b"\n", "is empty"),
            (b"north", "holds 5 bytes"),
            (b"changeme", "holds 8 bytes"),
            (b"0123456789abcdef0123456789abcde", "holds 31 bytes"),
            (b"this-is-my-very-own-Secret-please-0123", "placeholder"),
            (b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "placeholder"),
            (b"8f3b1c5e9d2a7f604b6c8e1d3f5a7092\n8f3b1c5e9d2a7f604b6c8e1d3f5a7092", "more than one line"),
            (b"8f3b1c5e9d2a7f604b6c8e1d3f5a7092\n\n", "more than one line"),
        ];
        for (content, head) in cases {
            let error = from_file(&file(directory.path(), content, 0o600)).expect_err("no secret");
            assert!(error.contains(head), "{error}");
            let shown = String::from_utf8_lossy(content);
            assert!(content.len() < 8 || !error.contains(shown.trim()), "the secret is repeated: {error}");
        }
    }

    #[test]
    fn refuses_what_is_no_file() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(from_file(directory.path()).expect_err("a directory").contains("is not a regular file"));
        assert!(from_file(Path::new("/dev/zero")).expect_err("a device").contains("is not a regular file"));
        let missing = from_file(&directory.path().join("none")).expect_err("nothing");
        assert!(missing.ends_with("there is no such file"), "{missing}");
        let long = file(directory.path(), &vec![b'x'; MAX_FILE + 1], 0o600);
        assert!(from_file(&long).expect_err("a long file").contains("longer than"));
    }

    #[test]
    fn the_environment_is_judged_alike() {
        let name = |text: &str| <EnvName as super::super::value::Text>::parse(text).expect("a name");
        let unset = from_env(&name("TURNKEEP_TEST_UNSET")).expect_err("unset");
        assert_eq!(unset, "the environment variable TURNKEEP_TEST_UNSET is not set");
        // A variable that is set everywhere and is no secret.
        let path = from_env(&name("CARGO_PKG_NAME")).expect_err("too short");
        assert!(path.starts_with("the environment variable CARGO_PKG_NAME holds"), "{path}");
    }
}
