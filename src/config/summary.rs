//! What a configuration would do, in a few lines for people.

use std::fmt::Write;

use super::schema::{Config, PassThrough, PeerRule};
use super::translate::opens;
use super::{CertificateFiles, Loaded};

/// What would listen, relay, be reached, be accepted and be recorded: one line each, aligned.
pub fn summary(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut text = String::new();
    for listener in &config.listeners {
        line(&mut text, "listens on", &format!("{} {}", listener.transport.name(), listener.address));
    }
    for files in loaded.certificate_files() {
        line(&mut text, "shows", &certificate(&files));
    }
    for pass in &config.pass_through {
        line(&mut text, "passes on", &passed_on(pass));
    }
    let ports = config.relay.ports;
    for address in &config.relay.addresses {
        let bound = match address.advertise {
            Some(advertised) if advertised != address.bind => format!(" (bound to {})", address.bind),
            _ => String::new(),
        };
        let advertised = address.advertised();
        line(&mut text, "relays at", &format!("{advertised}{bound}, ports {ports}: {} allocations", ports.count()));
    }
    line(&mut text, "reaches", &reach(config));
    line(&mut text, "accepts", &credentials(config));
    line(&mut text, "allows", &format!("{} allocations to one user", config.limits.allocations_per_user));
    let audit =
        if config.audit.enabled { loaded.resolve(&config.audit.path).display().to_string() } else { "nothing".into() };
    line(&mut text, "records", &audit);
    text
}

fn line(text: &mut String, what: &str, how: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{what:<12}{how}");
}

/// A certificate's file, and the names that it is shown for, if they are configured.
fn certificate(files: &CertificateFiles) -> String {
    let names = if files.names.is_empty() { String::new() } else { format!(" for {}", files.names.join(", ")) };
    format!("the certificate in {}{names}", files.chain.display())
}

/// What goes where without being opened.
fn passed_on(pass: &PassThrough) -> String {
    let names = pass.server_names.iter().map(|name| name.as_str());
    let all: Vec<&str> = names.chain(pass.alpn.iter().map(|protocol| protocol.as_str())).collect();
    format!("TLS for {} to {}", all.join(", "), pass.to)
}

fn reach(config: &Config) -> String {
    let peers = &config.peers;
    let mut reach = "public addresses".to_owned();
    let opened = rules(peers.allowed.iter().filter(|rule| opens(peers, rule)));
    if !opened.is_empty() {
        let _ = write!(reach, ", and {opened}");
    }
    if !peers.denied.is_empty() {
        let _ = write!(reach, ", but not {}", rules(&peers.denied));
    }
    if peers.min_port.get() > 1 {
        let _ = write!(reach, ", ports from {} on", peers.min_port.get());
    }
    if !peers.relay_to_relay {
        reach.push_str("; not one client another");
    }
    reach
}

fn rules<'r>(rules: impl IntoIterator<Item = &'r PeerRule>) -> String {
    rules.into_iter().map(|rule| format!("{} ({})", rule.cidr, rule.id)).collect::<Vec<_>>().join(", ")
}

fn credentials(config: &Config) -> String {
    let credentials = &config.credentials;
    let ids: Vec<&str> = credentials.secrets.iter().map(|secret| secret.id.as_str()).collect();
    let mut accepted = Vec::new();
    if !ids.is_empty() {
        let (ids, ttl) = (ids.join(", "), credentials.max_ttl);
        accepted.push(format!("ephemeral credentials under {ids} for up to {ttl}"));
    }
    if let Some(file) = &credentials.users_file {
        accepted.push(format!("the users in {}", file.display()));
    }
    format!("{}, realm {}", accepted.join(" and "), config.realm)
}
