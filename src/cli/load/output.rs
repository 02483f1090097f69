//! Where a run's result goes: tried before it, and written whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::is_dash;
use crate::cli::out;
use crate::load::report::html;
use crate::load::result::LoadResult;

/// The documents of a run.
pub(super) struct Outputs {
    json: Option<Output>,
    report: Option<Output>,
}

/// A place to write to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    Standard,
    /// A regular file, or none yet, which a whole one takes the place of.
    File(PathBuf),
    /// What cannot be replaced: a device, a pipe, a file in a directory that is not ours.
    Direct(PathBuf),
}

impl Outputs {
    /// Sees that both can be written.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(super) fn check(json: Option<&Path>, report: Option<&Path>) -> Result<Self, String> {
        let outputs =
            Self { json: json.map(Output::check).transpose()?, report: report.map(Output::check).transpose()? };
        match (&outputs.json, &outputs.report) {
            (Some(json), Some(report)) if json == report && !json.is_bottomless() => {
                Err("--json and --report would overwrite each other: give them different files".into())
            }
            _ => Ok(outputs),
        }
    }

    /// Whether standard output is a document's, and not the summary's.
    pub(super) fn take_standard_output(&self) -> bool {
        [&self.json, &self.report].into_iter().flatten().any(|output| *output == Output::Standard)
    }

    /// Writes both, whatever becomes of the other; what went wrong, a sentence each.
    pub(super) fn write(&self, result: &LoadResult) -> Vec<String> {
        let json = self.json.as_ref().map(|output| {
            let json =
                serde_json::to_string_pretty(result).map_err(|error| format!("cannot write the result: {error}"));
            json.and_then(|json| output.write(&(json + "\n")))
        });
        let report = self.report.as_ref().map(|output| output.write(&html(result)));
        json.into_iter().chain(report).filter_map(Result::err).collect()
    }
}

impl Output {
    /// Sees that `file` can be written, and leaves it as it is.
    ///
    /// # Errors
    /// A sentence that names it.
    pub(super) fn check(file: &Path) -> Result<Self, String> {
        if is_dash(file) {
            return Ok(Self::Standard);
        }
        // What a link points to is written, not the link.
        let path = fs::canonicalize(file).unwrap_or_else(|_| resolved(file));
        let is_regular = fs::metadata(&path).map_or(true, |found| found.is_file());
        let tried = match is_regular {
            true => trial(&path).map(|()| Self::File(path.clone())),
            false => Err(io::ErrorKind::Unsupported.into()),
        };
        let tried = tried.or_else(|error| match OpenOptions::new().append(true).open(&path) {
            Ok(_) => Ok(Self::Direct(path)),
            Err(_) if is_regular => Err(error),
            Err(error) => Err(error),
        });
        tried.map_err(|error| format!("cannot write {}: {error}", file.display()))
    }

    /// Writes `text`, all of it or nothing where that can be had.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn write(&self, text: &str) -> Result<(), String> {
        let (path, written) = match self {
            // It says itself what went wrong.
            Self::Standard if out::print(text) == ExitCode::SUCCESS => return Ok(()),
            Self::Standard => return Err("the result was not written".into()),
            Self::File(path) => (path, replace(path, text)),
            Self::Direct(path) => {
                let open = || OpenOptions::new().write(true).truncate(true).open(path);
                (path, open().and_then(|mut file| file.write_all(text.as_bytes())))
            }
        };
        written.map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Two can write to it.
    fn is_bottomless(&self) -> bool {
        matches!(self, Self::Direct(path) if path == Path::new("/dev/null"))
    }
}

/// A path that is not there yet, through its directory.
fn resolved(file: &Path) -> PathBuf {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(directory), file.file_name()) {
        (Ok(directory), Some(name)) => directory.join(name),
        _ => file.to_path_buf(),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

/// Leaves nothing behind, so that a run that is killed does not either.
fn trial(path: &Path) -> io::Result<()> {
    let beside = beside(path);
    File::create_new(&beside)?;
    fs::remove_file(&beside)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = beside(path);
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing/result.json");
        assert!(Output::check(&missing).is_err_and(|error| error.contains("missing/result.json: No such file")));
        assert!(Output::check(directory.path()).is_err_and(|error| error.contains("directory")));
        assert_eq!(Output::check(Path::new("-")), Ok(Output::Standard));
        assert_eq!(Output::check(Path::new("/dev/null")), Ok(Output::Direct("/dev/null".into())));
    }

    #[test]
    fn a_file_stays_as_it_was_until_the_new_one_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("result.json");
        fs::write(&file, "before").unwrap();
        let output = Output::check(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        output.write("after").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_is_followed_and_one_file_is_not_two() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link] = ["result", "link"].map(|name| directory.path().join(name));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(Output::check(&link), Output::check(&file));
        assert!(Outputs::check(Some(&file), Some(&link)).is_err_and(|error| error.contains("overwrite")));
        assert!(Outputs::check(Some(Path::new("-")), Some(Path::new("-"))).is_err());
        let null = Some(Path::new("/dev/null"));
        assert!(Outputs::check(null, null).is_ok());
    }
}
