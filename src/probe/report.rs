//! What a probe found, as data: for JSON, and for the text of `text`.

use std::net::SocketAddr;
use std::time::Duration;

use crate::client::uri::{Transport, Uri};
use serde::Serialize;

/// What a probe found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Of the program that probed.
    pub turnkeep: &'static str,
    /// When it began, in seconds since 1970.
    pub begun_unix: u64,
    /// In the order in which they were given.
    pub targets: Vec<Target>,
    /// How many steps ended how.
    pub summary: Summary,
}

/// One URI.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// In full.
    pub uri: Uri,
    /// Its addresses were looked up.
    pub name: Step,
    /// The addresses, in the order in which they were tried.
    pub paths: Vec<Path>,
}

/// One address of a URI.
#[derive(Clone, Debug, Serialize)]
pub struct Path {
    /// The server's.
    pub address: SocketAddr,
    /// What carries the messages.
    pub transport: Transport,
    /// What a client does.
    pub steps: Vec<Step>,
    /// What a server must refuse.
    pub refusals: Vec<Step>,
}

/// One thing that was tried, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Names do not change from version to version.
    pub name: &'static str,
    /// Whether that is good.
    pub verdict: Verdict,
    /// From the first packet to the last, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// What was tried, where the name does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<String>,
    /// What the server did.
    pub found: String,
    /// Why that matters, or what it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What most likely cures it, the likeliest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cures: Vec<String>,
}

/// Whether it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It does not apply here, or was not asked for.
    Skipped,
    /// Works, but it is not good.
    Warning,
    /// It could not be tested, and so is not known.
    Untested,
    /// It does not work, or is dangerous.
    Fault,
}

/// How many steps ended how, and what the probe sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// As they should be.
    pub ok: u32,
    /// Worth knowing.
    pub notes: u32,
    /// Did not apply, or were not asked for.
    pub skipped: u32,
    /// Work, but are not good.
    pub warnings: u32,
    /// Could not be tested.
    pub untested: u32,
    /// Do not work, or are dangerous.
    pub faults: u32,
    /// Datagrams, or frames of a stream, that were sent to the servers.
    pub packets_sent: u64,
    /// Their bytes, without the headers below STUN.
    pub bytes_sent: u64,
}

/// Which part of a path a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What a client does.
    Walk,
    /// What a server must refuse.
    Refusals,
}

impl Step {
    pub(super) fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { name, verdict, took_us: None, tried: None, found: found.into(), why: None, cures: Vec::new() }
    }

    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found)
    }

    pub(super) fn fault(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Fault, found)
    }

    pub(super) fn untested(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Untested, found)
    }

    pub(super) fn skipped(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Skipped, found)
    }

    pub(super) fn took(mut self, took: Duration) -> Self {
        self.took_us = u64::try_from(took.as_micros()).ok();
        self
    }

    pub(super) fn tried(mut self, what: impl Into<String>) -> Self {
        self.tried = Some(what.into());
        self
    }

    pub(super) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    pub(super) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cures.push(cure.into());
        self
    }

    /// The step with a worse verdict, if `verdict` is one.
    pub(super) fn at_least(mut self, verdict: Verdict) -> Self {
        self.verdict = self.verdict.max(verdict);
        self
    }
}

impl Summary {
    /// Counts a step.
    pub(super) fn count(&mut self, step: &Step) {
        let counter = match step.verdict {
            Verdict::Ok => &mut self.ok,
            Verdict::Note => &mut self.notes,
            Verdict::Skipped => &mut self.skipped,
            Verdict::Warning => &mut self.warnings,
            Verdict::Untested => &mut self.untested,
            Verdict::Fault => &mut self.faults,
        };
        *counter += 1;
    }
}
