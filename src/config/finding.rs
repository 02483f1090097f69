//! What is wrong with a configuration, as a list of sentences with their lines.

use std::fmt;
use std::path::{Path, PathBuf};

use super::document::Lines;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// It works, and it is probably not what is wanted.
    Warning,
    /// It does not start.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing to be said about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Its line, from 1; none where nothing in the file is meant.
    pub line: Option<u32>,
    /// The key it is about, with the tables it is in joined by dots; empty where none is meant.
    pub key: String,
    /// One sentence without a full stop.
    pub sentence: String,
}

impl Finding {
    /// About what `path` names, which is as [`Lines::of`] takes it.
    pub(super) fn new(severity: Severity, lines: &Lines, path: &str, sentence: String) -> Self {
        let is_key = |step: &&str| step.parse::<usize>().is_err();
        let key = path.split('.').filter(is_key).collect::<Vec<_>>().join(".");
        Self { severity, line: lines.of(path), key, sentence }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.severity)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.sentence)
    }
}

/// All findings about one file, by line.
#[derive(Clone, Debug, Default)]
pub struct Report {
    file: PathBuf,
    findings: Vec<Finding>,
}

impl Report {
    /// These findings in `file`.
    pub fn of(file: &Path, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.line);
        Self { file: file.to_owned(), findings }
    }

    /// Those findings alone that matter as much as `severity`.
    pub fn only(mut self, severity: Severity) -> Self {
        self.findings.retain(|finding| finding.severity == severity);
        self
    }

    /// The findings, by line; those without one come first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many findings matter as much as `severity`.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether the relay must not start with it.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Each finding as `file:line: severity: key: sentence`, the form that editors and CI systems can follow.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.findings.iter().map(|finding| match finding.line {
            Some(line) => format!("{}:{line}: {finding}", self.file.display()),
            None => format!("{}: {finding}", self.file.display()),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            write!(f, "{}{line}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
