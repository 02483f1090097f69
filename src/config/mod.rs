//! The configuration: one TOML file whose every key is documented by the struct field it fills.
//!
//! [`schema`] has the keys; [`load()`] turns a file into them, or names everything that is wrong with it at once;
//! [`check()`] judges what they mean together and on this host; [`Loaded::keys`] reads what must not stand in the
//! file; [`reference()`] writes the documented default file, and [`translate`] hands the floors below their settings.
#![forbid(unsafe_code)]

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

use std::path::{Path, PathBuf};

pub use check::{Scope, check};
pub use document::Lines;
pub use finding::{Finding, Report, Severity};
pub use keys::Keys;
pub use reference::reference;
pub use schema::Config;
pub use shape::json_schema;
pub use summary::summary;

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
    let parsed = read(path).map_err(|sentence| vec![about_file(sentence)]).and_then(|text| load::parse(&text));
    let (config, lines) = parsed.map_err(|findings| Report::of(path, findings))?;
    Ok(Loaded { config, lines, file: path.to_owned() })
}

fn read(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    if metadata.len() > MAX_FILE {
        return Err(format!("is longer than {MAX_FILE} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

fn about_file(sentence: String) -> Finding {
    Finding { severity: Severity::Error, line: None, key: String::new(), sentence }
}

impl Loaded {
    /// A path of the configuration: a relative one starts at the file's directory.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.file.parent().map_or_else(|| path.to_owned(), |directory| directory.join(path))
    }
}
