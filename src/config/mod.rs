//! The configuration: one TOML file whose every key is documented by the struct field it fills.
//!
//! [`schema`] has the keys; [`load()`] turns a file into them, or names everything that is wrong with it at once;
//! [`check()`] judges what they mean together and on this host; [`Loaded::keys`] reads what must not stand in the
//! file; [`reference()`] writes the documented default file, and [`translate`] hands the floors below their settings.
#![forbid(unsafe_code)]

mod certificates;
mod check;
mod document;
mod finding;
mod guarded;
mod keys;
mod load;
mod loopback;
mod reference;
pub mod schema;
mod shape;
mod summary;
pub mod translate;
pub mod value;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use certificates::{CertificateFiles, ReadCertificate};
pub use check::{Scope, check};
pub use document::Lines;
pub use finding::{Finding, Report, Severity};
pub use keys::Keys;
pub use reference::reference;
pub use schema::Config;
pub use shape::json_schema;
pub use summary::summary;
pub use value::UtcTime;

/// A configuration that was read, and where its keys stand.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The keys.
    pub config: Config,
    /// The line of each.
    pub lines: Lines,
    /// The file.
    pub file: PathBuf,
}

/// The longest configuration that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Reads the configuration file `path`.
///
/// # Errors
/// Everything that is wrong with its text; what its keys mean together is for [`check()`].
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let parsed = read(path).map_err(|finding| vec![finding]).and_then(|text| load::parse(&text));
    let (config, lines) = parsed.map_err(|findings| Report::of(path, findings))?;
    Ok(Loaded { config, lines, file: path.to_owned() })
}

fn read(path: &Path) -> Result<String, Finding> {
    let about_file = |line, sentence| Finding { severity: Severity::Error, line, key: String::new(), sentence };
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => {
            about_file(None, "is not there; name another, or begin with what `turnkeep config reference` prints".into())
        }
        _ => about_file(None, format!("cannot be read: {error}")),
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(about_file(None, "is not a regular file".into()));
    }
    if metadata.len() > MAX_FILE {
        return Err(about_file(None, format!("is longer than {MAX_FILE} bytes")));
    }
    String::from_utf8(std::fs::read(path).map_err(unreadable)?).map_err(|error| {
        let valid = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = valid.filter(|byte| **byte == b'\n').count().saturating_add(1);
        about_file(u32::try_from(line).ok(), "is not UTF-8 from this line on".into())
    })
}

impl Loaded {
    /// A path of the configuration: a relative one starts at the file's directory.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.file.parent().map_or_else(|| path.to_owned(), |directory| directory.join(path))
    }
}
