//! The documented default file, written from the schema: what the structs say is what users read.

use std::fmt::Write;

use serde_json::Value;

use super::shape::{Key, Kind, Shape, json_schema};

/// Optional tables and keys that a relay is not much use without: they stand in the reference without a "#", as
/// everything that is required does.
const SHOWN: [&str; 4] = ["listener", "relay.address", "credentials.secret", "credentials.secret.file"];

const HEAD: &str = "\
# turnkeep's configuration: every key, what it means, and what holds where the file says nothing.
#
# A key behind a \"#\" is shown with its default, or with an example where there is none; take the \"#\" away to
# change it. What stands without a \"#\" has to be said: put in your own. Then look at it with: turnkeep check FILE
";

/// Columns that a comment fills at most.
const WIDTH: usize = 118;

/// The commented reference as a TOML text. It loads, and means the defaults and the examples that it shows.
pub fn reference() -> String {
    let schema = json_schema();
    let mut text = HEAD.to_owned();
    if let Some(root) = Shape::of_root(&schema) {
        Writer { text: &mut text, is_shown: true }.table(root, "");
    }
    text
}

struct Writer<'t> {
    text: &'t mut String,
    /// Whether the table that is written stands without a "#".
    is_shown: bool,
}

impl Writer<'_> {
    /// The keys of a table, its values before its tables, as TOML wants them.
    fn table(&mut self, shape: Shape<'_>, path: &str) {
        for key in shape.keys().filter(|key| matches!(key.kind(), Kind::Value)) {
            self.key(key, path);
        }
        for key in shape.keys() {
            let (inner, brackets) = match key.kind() {
                Kind::Table(inner) => (inner, ["[", "]"]),
                Kind::Tables(inner) => (inner, ["[[", "]]"]),
                Kind::Value => continue,
            };
            let path = join(path, key.name);
            let is_shown = brackets == ["[", "]"] || SHOWN.contains(&path.as_str());
            let mark = if is_shown { "" } else { "#" };
            self.text.push('\n');
            self.comment(key.description());
            self.line(&format!("{mark}{}{path}{}", brackets[0], brackets[1]));
            Writer { text: self.text, is_shown }.table(inner, &path);
        }
    }

    fn key(&mut self, key: Key<'_>, path: &str) {
        self.text.push('\n');
        self.comment(key.description());
        for (word, meaning) in key.words() {
            self.comment(&format!("\"{word}\": {meaning}"));
        }
        if let Some(allowed) = key.allowed() {
            let each = if key.is_list() { "a list, each " } else { "" };
            self.comment(&format!("Allowed: {each}{allowed}."));
        }
        let is_shown = self.is_shown && (key.required || SHOWN.contains(&join(path, key.name).as_str()));
        let mark = if is_shown { "" } else { "#" };
        let value = key.default().or(key.example()).unwrap_or(&Value::Null);
        self.line(&format!("{mark}{} = {}", key.name, literal(value, key.is_time())));
    }

    fn comment(&mut self, text: &str) {
        let mut line = String::from("#");
        for word in text.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A JSON value as TOML has it; JSON's strings, numbers, booleans and lists of them are TOML's too.
fn literal(value: &Value, is_time: bool) -> String {
    match value {
        Value::String(time) if is_time => time.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::parse;
    use crate::config::schema::Config;

    #[test]
    fn what_it_shows_are_the_defaults() {
        let (shown, _) = parse(&reference()).expect("the reference loads");
        let defaults = Config {
            listeners: shown.listeners.clone(),
            relay: crate::config::schema::Relay { addresses: shown.relay.addresses.clone(), ..Default::default() },
            credentials: crate::config::schema::Credentials {
                secrets: shown.credentials.secrets.clone(),
                ..Default::default()
            },
            ..parse("realm = 'example.org'\nlistener = []").expect("the least").0
        };
        assert_eq!(shown, defaults);
        assert_eq!((shown.listeners.len(), shown.relay.addresses.len(), shown.credentials.secrets.len()), (1, 1, 1));
    }

    #[test]
    fn every_key_behind_a_mark_is_a_key() {
        let is_name = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_key = |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| is_name(key));
        let uncommented = |line: &str| match line.strip_prefix('#') {
            Some(rest) if is_key(rest) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        let text: String = reference().lines().map(uncommented).collect();
        let (config, lines) = parse(&text).expect("every example loads");
        assert!(config.node.is_some() && config.credentials.users_file.is_some());
        assert_eq!(config.credentials.secrets[0].not_after.map(|t| t.to_string()), Some("2027-03-31T00:00:00Z".into()));
        for path in ["peers.allow.0.description", "peers.deny.0.cidr", "relay.address.0.advertise", "log.level"] {
            assert!(lines.has(path), "{path} is not in the reference");
        }
    }

    #[test]
    fn lines_fit() {
        for line in reference().lines() {
            assert!(line.chars().count() <= 120, "{line}");
        }
    }
}
