//! The configuration: one TOML file whose every key is documented by the struct field it fills.
//!
//! [`schema`] has the keys; [`load`] turns a file into them, or names everything that is wrong with it at once;
//! [`check`] judges what they mean together and on this host; [`secret`] reads what must not stand in the file;
//! [`reference`] writes the documented default file and [`translate`] hands the floors below their own settings.
#![forbid(unsafe_code)]

mod check;
mod document;
mod finding;
mod load;
mod reference;
pub mod schema;
pub mod secret;
mod shape;
mod summary;
pub mod translate;
pub mod value;

use std::path::{Path, PathBuf};

pub use check::{Scope, check};
pub use document::Lines;
pub use finding::{Finding, Report, Severity};
pub use reference::reference;
pub use schema::Config;
pub use shape::json_schema;
pub use summary::summary;

use secret::Hidden;
use value::{Id, UtcTime};

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

/// A secret, read from where the configuration says.
#[derive(Clone, Debug)]
pub struct ReadSecret {
    /// Its name.
    pub id: Id,
    /// Its bytes.
    pub bytes: Hidden,
    /// When it ends.
    pub not_after: Option<UtcTime>,
}

/// The longest configuration that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Reads the configuration file `path`.
///
/// # Errors
/// Everything that is wrong with its text; what its keys mean together is for [`check`].
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let mut report = Report::new(path);
    let parsed = read(path).map_err(|sentence| vec![about_file(sentence)]).and_then(|text| load::parse(&text));
    match parsed {
        Ok((config, lines)) => Ok(Loaded { config, lines, file: path.to_owned() }),
        Err(findings) => {
            report.extend(findings);
            Err(report)
        }
    }
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

    /// Reads all secrets.
    ///
    /// # Errors
    /// What is wrong with each that cannot be used.
    pub fn secrets(&self) -> Result<Vec<ReadSecret>, Vec<Finding>> {
        let mut secrets = Vec::new();
        let mut findings = Vec::new();
        for (index, source) in self.config.credentials.secrets.iter().enumerate() {
            let (key, read) = match (&source.file, &source.env) {
                (Some(path), None) => ("file", secret::from_file(&self.resolve(path))),
                (None, Some(name)) => ("env", secret::from_env(name)),
                // Said by the check already.
                _ => continue,
            };
            match read {
                Ok(bytes) => secrets.push(ReadSecret { id: source.id.clone(), bytes, not_after: source.not_after }),
                Err(sentence) => {
                    let line = self.lines.of(&format!("credentials.secret.{index}.{key}"));
                    let key = format!("credentials.secret.{key}");
                    findings.push(Finding { severity: Severity::Error, line, key, sentence });
                }
            }
        }
        if findings.is_empty() { Ok(secrets) } else { Err(findings) }
    }
}
