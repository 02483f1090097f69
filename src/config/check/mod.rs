//! What a configuration means, judged: whether its keys fit together, and whether this host has what it names.

mod credentials;
mod drain;
mod host;
mod listeners;
mod pass_through;
mod peers;
mod relay;
mod tls;

use std::net::IpAddr;

use super::Loaded;
use super::document::Lines;
use super::finding::{Finding, Report, Severity};
use super::schema::Config;
use crate::engine;

/// How much of the world is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The text alone: it may be meant for another host.
    Text,
    /// This host's addresses, files and settings as well.
    Host,
}

/// Judges `loaded`; `now_unix` is the wall clock, in seconds since 1970.
pub fn check(loaded: &Loaded, scope: Scope, now_unix: u64) -> Report {
    let mut judge = Judge { config: &loaded.config, lines: &loaded.lines, findings: Vec::new() };
    listeners::check(&mut judge);
    relay::check(&mut judge);
    credentials::check(&mut judge, now_unix);
    tls::check(&mut judge);
    pass_through::check(&mut judge, &interfaces(scope));
    peers::check(&mut judge);
    drain::check(&mut judge);
    check_realm(&mut judge);
    if loaded.config.lab {
        judge.warn("lab", "test addresses can be opened and secrets may be short; never so in production".into());
    }
    if !loaded.config.audit.enabled {
        judge.warn("audit.enabled", "nothing will be recorded: nobody can say afterwards who was relayed".into());
    }
    if scope == Scope::Host {
        host::check(&mut judge, loaded);
        tls::check_files(&mut judge, loaded, now_unix);
    }
    Report::of(&loaded.file, judge.findings)
}

/// The addresses of this host, where the configuration is for it and they can be had.
fn interfaces(scope: Scope) -> Vec<IpAddr> {
    match scope {
        Scope::Text => Vec::new(),
        Scope::Host => engine::local_addresses().unwrap_or_default(),
    }
}

/// The names that are kept for examples and tests (RFC 2606) are nobody's: two relays that keep the one of an example
/// take each other's users for theirs.
fn check_realm(judge: &mut Judge<'_>) {
    const RESERVED: [&str; 7] =
        ["example", "test", "invalid", "localhost", "example.com", "example.net", "example.org"];
    let realm = judge.config.realm.as_str().to_ascii_lowercase();
    let is_below = |name: &str| realm.strip_suffix(name).is_some_and(|head| head.is_empty() || head.ends_with('.'));
    if !judge.config.lab && RESERVED.into_iter().any(is_below) {
        judge.warn("realm", format!("{realm} is a name for examples; put in a domain name of your own"));
    }
}

/// Collects findings about one configuration.
struct Judge<'a> {
    config: &'a Config,
    lines: &'a Lines,
    findings: Vec<Finding>,
}

impl Judge<'_> {
    /// It does not start; `path` is as [`Lines::of`] takes it.
    fn error(&mut self, path: &str, sentence: String) {
        self.find(Severity::Error, path, sentence);
    }

    /// It is probably not what is wanted.
    fn warn(&mut self, path: &str, sentence: String) {
        self.find(Severity::Warning, path, sentence);
    }

    /// It is worth knowing.
    fn note(&mut self, path: &str, sentence: String) {
        self.find(Severity::Note, path, sentence);
    }

    fn find(&mut self, severity: Severity, path: &str, sentence: String) {
        self.findings.push(Finding::new(severity, self.lines, path, sentence));
    }

    /// "line 12" for a sentence that points at another place of the file.
    fn place(&self, path: &str) -> String {
        self.lines.of(path).map_or_else(|| "another line".into(), |line| format!("line {line}"))
    }
}

/// For each element that repeats an earlier one: its index and the earlier one's.
fn repeats<K: PartialEq>(keys: &[K]) -> Vec<(usize, usize)> {
    let earlier = |(index, key): (usize, &K)| Some((index, keys.iter().take(index).position(|other| other == key)?));
    keys.iter().enumerate().filter_map(earlier).collect()
}

#[cfg(test)]
mod tests;
