//! From text to a [`Config`], or to everything that is wrong with the text: all syntax errors; or else all unknown and
//! missing keys and all values that will not do.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::document::{Document, KeyPath, Lines, Step};
use super::finding::{Finding, Severity};
use super::schema::Config;
use super::shape::{Key, Kind, Shape, json_schema};
use super::value;

/// Findings of one text that are told at most; who has more starts from the reference.
const MAX_FINDINGS: usize = 100;

/// Syntax errors that are told at most: most of them follow from the first ones.
const MAX_SYNTAX_ERRORS: usize = 10;

/// Reads `text`.
///
/// # Errors
/// What is wrong with it, in no order; never empty.
pub(super) fn parse(text: &str) -> Result<(Config, Lines), Vec<Finding>> {
    let document = Document::parse(text).map_err(|errors| {
        let finding = |(line, sentence)| error(Some(line), &KeyPath::default(), sentence);
        errors.into_iter().map(finding).take(MAX_SYNTAX_ERRORS).collect::<Vec<_>>()
    })?;
    let lines = document.lines();
    let schema = json_schema();
    let config = Loader { document, schema: &schema, findings: Vec::new() }.run()?;
    Ok((config, lines))
}

/// Works on a document until it deserialises: what is wrong is noted and mended, so that the next fault shows.
struct Loader<'t, 's> {
    document: Document<'t>,
    schema: &'s Value,
    findings: Vec<Finding>,
}

impl Loader<'_, '_> {
    fn run(mut self) -> Result<Config, Vec<Finding>> {
        self.find_keys();
        let mut outcome = self.deserialize();
        while let Err(fault) = &outcome
            && self.findings.len() < MAX_FINDINGS
        {
            let mended = self.mend(fault);
            outcome = self.deserialize();
            if !mended {
                break;
            }
        }
        match outcome {
            Ok(config) if self.findings.is_empty() => Ok(config),
            _ => Err(self.findings),
        }
    }

    fn deserialize(&self) -> Result<Config, toml::de::Error> {
        Config::deserialize(Deserializer::from(self.document.root.clone()))
    }

    /// Notes a value that does not deserialise and takes it away, or puts an example in its place where something has
    /// to be there. False if the fault cannot be found in the text.
    fn mend(&mut self, fault: &toml::de::Error) -> bool {
        let Some(span) = fault.span() else {
            self.findings.push(error(None, &KeyPath::default(), fault.message().to_owned()));
            return false;
        };
        let path = self.document.path_at(&span);
        let line = self.document.line_at(span.start);
        let sentence = self.sentence(&path, &span).unwrap_or_else(|| fault.message().replace('\n', " "));
        self.findings.push(error(Some(line), &path, sentence));
        if path.0.is_empty() {
            return false;
        }
        self.document.remove(&path);
        if let Some(substitute) = self.substitute(&path) {
            self.document.put(&path, substitute);
        }
        true
    }

    /// What the parser's own words would not tell: the words that a key takes, or that it takes a list.
    fn sentence(&self, path: &KeyPath, span: &Range<usize>) -> Option<String> {
        let key = self.key_at(path)?;
        let written = self.document.text(span)?;
        let words: Vec<&str> = key.words().map(|(word, _)| word).collect();
        if !words.is_empty() {
            let shown = value::quote(written.trim_matches(['"', '\'']));
            let near = nearest(written.trim_matches(['"', '\'']), &words);
            let near = near.map(|word| format!("; did you mean \"{word}\"?")).unwrap_or_default();
            return Some(format!("{shown} will not do; allowed is \"{}\"{near}", words.join("\", \"")));
        }
        let is_whole = matches!(path.0.last(), Some(Step::Key(_)));
        let is_scalar = !written.starts_with(['[', '{']);
        let is_short = written.len() <= 60 && !written.contains('\n');
        (key.is_list() && is_whole && is_scalar && is_short).then(|| format!("has to be a list: write [{written}]"))
    }

    fn key_at(&self, path: &KeyPath) -> Option<Key<'_>> {
        let mut shape = Shape::of_root(self.schema)?;
        let mut last = None;
        for step in &path.0 {
            let Step::Key(name) = step else { continue };
            let key = shape.key(name)?;
            if let Kind::Table(inner) | Kind::Tables(inner) = key.kind() {
                shape = inner;
            }
            last = Some(key);
        }
        last
    }

    fn substitute(&self, path: &KeyPath) -> Option<DeValue<'static>> {
        let key = self.key_at(path).filter(|key| key.required)?;
        matches!(path.0.last(), Some(Step::Key(_))).then(|| substitute(key))
    }

    /// Notes and mends unknown and missing keys in the whole document.
    fn find_keys(&mut self) {
        let Some(shape) = Shape::of_root(self.schema) else { return };
        let mut found = Vec::new();
        check_table(self.document.root.get_ref(), shape, &KeyPath::default(), 0, &mut found);
        for fault in found {
            match fault {
                KeyFault::Unknown { path, at, known } => {
                    let sentence = unknown_sentence(&path, &known, self.schema);
                    self.findings.push(error(Some(self.document.line_at(at)), &KeyPath::default(), sentence));
                    self.document.remove(&path);
                }
                KeyFault::Misplaced { path, at, brackets } => {
                    let sentence = format!("has to be a table: write {brackets} and its keys below");
                    self.findings.push(error(Some(self.document.line_at(at)), &path, sentence));
                    let substitute = self.substitute(&path);
                    self.document.remove(&path);
                    // Nobody needs to be told that it is missing now.
                    substitute.into_iter().for_each(|substitute| self.document.put(&path, substitute));
                }
                KeyFault::Missing { path, at, key, is_mistyped } => {
                    if !is_mistyped {
                        let line = path.0.len().gt(&1).then(|| self.document.line_at(at));
                        self.findings.push(error(line, &path, missing_sentence(key)));
                    }
                    self.document.put(&path, substitute(key));
                }
            }
        }
    }
}

enum KeyFault<'s> {
    Unknown {
        path: KeyPath,
        at: usize,
        known: Vec<&'s str>,
    },
    Misplaced {
        path: KeyPath,
        at: usize,
        brackets: String,
    },
    /// If it was mistyped that was said already.
    Missing {
        path: KeyPath,
        at: usize,
        key: Key<'s>,
        is_mistyped: bool,
    },
}

/// Compares the keys of `table`, which stands `at` that place of the text, and of all tables in it with the schema's.
fn check_table<'s>(table: &DeTable<'_>, shape: Shape<'s>, path: &KeyPath, at: usize, found: &mut Vec<KeyFault<'s>>) {
    let mut misspelled = Vec::new();
    for (name, value) in table.iter() {
        let path = path.key(name.get_ref());
        let Some(key) = shape.key(name.get_ref()) else {
            // What has to be there and is not comes last: of two that are equally near it is the one that is meant.
            let is_needed = |key: &Key<'_>| key.required && !table.contains_key(key.name);
            let (needed, others): (Vec<Key<'_>>, Vec<Key<'_>>) = shape.keys().partition(is_needed);
            let known: Vec<&str> = others.iter().chain(&needed).map(|key| key.name).collect();
            misspelled.extend(nearest(name.get_ref(), &known));
            found.push(KeyFault::Unknown { path, at: name.span().start, known });
            continue;
        };
        // Serde would fill a table's fields from an array, in their order.
        let at = value.span().start;
        match (key.kind(), value.get_ref()) {
            (Kind::Table(inner), DeValue::Table(table)) => check_table(table, inner, &path, at, found),
            (Kind::Table(_), _) => found.push(KeyFault::Misplaced { brackets: format!("[{path}]"), path, at }),
            (Kind::Tables(inner), DeValue::Array(array)) => check_tables(array, inner, &path, found),
            (Kind::Tables(_), _) => found.push(KeyFault::Misplaced { brackets: format!("[[{path}]]"), path, at }),
            (Kind::Value, _) => {}
        }
    }
    for key in shape.keys().filter(|key| key.required && !table.contains_key(key.name)) {
        let is_mistyped = misspelled.contains(&key.name);
        found.push(KeyFault::Missing { path: path.key(key.name), at, key, is_mistyped });
    }
}

fn check_tables<'s>(array: &DeArray<'_>, shape: Shape<'s>, path: &KeyPath, found: &mut Vec<KeyFault<'s>>) {
    // From the back: what is misplaced is taken out by its index.
    for (index, value) in array.iter().enumerate().rev() {
        let (brackets, path, at) = (format!("[[{path}]]"), path.join(Step::Index(index)), value.span().start);
        match value.get_ref() {
            DeValue::Table(table) => check_table(table, shape, &path, at, found),
            _ => found.push(KeyFault::Misplaced { brackets, path, at }),
        }
    }
}

/// Something in the place of a required key, so that the rest can be looked at; the outcome is thrown away.
fn substitute(key: Key<'_>) -> DeValue<'static> {
    match key.example() {
        Some(Value::String(text)) => DeValue::String(text.clone().into()),
        _ => DeValue::Array(DeArray::new()),
    }
}

fn missing_sentence(key: Key<'_>) -> String {
    let meaning = first_sentence(key.description());
    match key.example() {
        Some(example) => format!("missing; it is needed: {meaning} (for example {example})"),
        None => format!("missing; it is needed: {meaning}"),
    }
}

fn first_sentence(text: &str) -> String {
    let text = text.replace('\n', " ");
    text.split_once(". ").map_or(text.trim_end_matches('.'), |(first, _)| first).to_owned()
}

fn unknown_sentence(path: &KeyPath, known: &[&str], schema: &Value) -> String {
    let Some((table, Step::Key(name))) = path.split_last() else { return "unknown key".into() };
    let place = if table.0.is_empty() { "at the top level".into() } else { format!("in [{table}]") };
    let shown = value::quote(name);
    if let Some(advice) = advice(name).or_else(|| log_advice(&table, name)) {
        return format!("unknown key {shown} {place}; {advice}");
    }
    if let Some(near) = nearest(name, known) {
        return format!("unknown key {shown} {place}; did you mean \"{near}\"?");
    }
    if let Some(home) = Shape::of_root(schema).and_then(|root| find_home(root, name, "")) {
        return format!("unknown key {shown} {place}; it belongs into [{home}]");
    }
    format!("unknown key {shown} {place}; known are {}", known.join(", "))
}

/// The known key that `name` most likely stands for: few letters differ, in proportion to its length.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_lowercase().replace('-', "_");
    let similar = |key: &&'k str| (strsim::normalized_damerau_levenshtein(&name, key), *key);
    let best = known.iter().map(similar).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.6).then_some(best.1)
}

/// The table that has a key of this name.
fn find_home(shape: Shape<'_>, name: &str, path: &str) -> Option<String> {
    let is_home = !path.is_empty() && shape.key(name).is_some();
    if is_home {
        return Some(path.to_owned());
    }
    shape.keys().find_map(|key| match key.kind() {
        Kind::Table(inner) | Kind::Tables(inner) => {
            let dot = if path.is_empty() { "" } else { "." };
            find_home(inner, name, &format!("{path}{dot}{}", key.name))
        }
        Kind::Value => None,
    })
}

/// What to write instead of words that people bring along.
fn advice(name: &str) -> Option<&'static str> {
    Some(match name.to_lowercase().replace('_', "-").as_str() {
        "secret" | "password" | "static-auth-secret" | "auth-secret" | "shared-secret" | "turn-shared-secret" => {
            "a secret never stands in this file: name its file or environment variable in [[credentials.secret]]"
        }
        "listening-port" | "listening-ip" | "listeners" | "listen" => "write [[listener]] with an address",
        "external-ip" => "write advertise in [[relay.address]]",
        "relay-ip" => "write bind in [[relay.address]]",
        "min-port" | "max-port" => "write ports in [relay], or min_port in [peers] for the ports of peers",
        "user-quota" => "write allocations_per_user in [limits]",
        "allowed-peer-ip" => "write [[peers.allow]]",
        "denied-peer-ip" => "write [[peers.deny]]",
        "no-auth" | "server-relay" => "no key switches authentication or permissions off",
        "use-auth-secret" | "lt-cred-mech" => "a [[credentials.secret]] is all that is needed",
        _ => return None,
    })
}

fn log_advice(table: &KeyPath, name: &str) -> Option<&'static str> {
    let is_file = matches!(name, "file" | "path" | "output" | "target");
    (table.to_string() == "log" && is_file)
        .then_some("the log goes to standard error; whoever starts turnkeep keeps it")
}

fn error(line: Option<u32>, key: &KeyPath, sentence: String) -> Finding {
    Finding { severity: Severity::Error, line, key: key.to_string(), sentence }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What everything must say.
    const LEAST: &str = "realm = \"example.org\"\nlistener = []\n";

    fn faults(text: &str) -> Vec<String> {
        let Err(mut findings) = parse(text) else { return Vec::new() };
        findings.sort_by_key(|finding| finding.line);
        findings.iter().map(|f| format!("{}: {f}", f.line.map_or("-".into(), |line| line.to_string()))).collect()
    }

    #[test]
    fn the_least_is_enough() {
        let (config, lines) = parse(LEAST).expect("the least");
        assert_eq!(config.realm.as_str(), "example.org");
        assert_eq!(config.relay, Default::default());
        assert_eq!((lines.of("realm"), lines.of("relay.ports")), (Some(1), None));
    }

    #[test]
    fn unknown_keys_are_named_with_their_line_and_the_nearest_known_one() {
        let text =
            format!("{LEAST}wokers = 2\n[relay]\nport = \"5000-6000\"\n[[peers.allow]]\nid='a'\ncdir='10.0.0.0/8'\n");
        assert_eq!(
            faults(&text),
            [
                "3: error: unknown key \"wokers\" at the top level; did you mean \"workers\"?",
                "5: error: unknown key \"port\" in [relay]; did you mean \"ports\"?",
                "8: error: unknown key \"cdir\" in [peers.allow]; did you mean \"cidr\"?",
            ]
        );
    }

    #[test]
    fn a_key_in_the_wrong_table_is_sent_home() {
        assert_eq!(
            faults(&format!("{LEAST}max_ttl = '1h'\n[limits]\nusers_file = 'x'\nfrobnicate = 1\n")),
            [
                "3: error: unknown key \"max_ttl\" at the top level; it belongs into [credentials]",
                "5: error: unknown key \"users_file\" in [limits]; it belongs into [credentials]",
                "6: error: unknown key \"frobnicate\" in [limits]; known are allocations_per_user, \
                 allocations_per_user_per_minute, max_lifetime",
            ]
        );
    }

    #[test]
    fn words_from_elsewhere_get_advice_and_a_secret_is_never_repeated() {
        let found = faults(&format!("{LEAST}static-auth-secret = 'hunter2hunter2'\nexternal-ip = '203.0.113.5'\n"));
        assert!(found[0].contains("a secret never stands in this file"), "{found:?}");
        assert!(found[1].contains("write advertise in [[relay.address]]"), "{found:?}");
        assert!(!found.concat().contains("hunter2"));
    }

    #[test]
    fn all_bad_values_are_named_at_once() {
        let text = "realm = 'a b'\nworkers = 4294967297\n\n\
                    [[listener]]\ntransport = 'sctp'\naddress = '0.0.0.0:65536'\n\
                    [relay]\nports = '65536-70000'\ndscp = 64\n\
                    address = [{ bind = '0.0.0.0' }, { bind = '10.0.0.5' }]\n\
                    [peers]\nrelay_to_relay = 'yes'\nmin_port = -1\nnat64_prefixes = ['2001:db8::/96', '::/33']\n";
        let found = faults(text);
        let heads = [
            "1: error: realm: \"a b\" will not do",
            "2: error: workers: 4294967297 is out of range; allowed is a whole number from 0 to 256",
            "5: error: listener.transport: ",
            "6: error: listener.address: \"0.0.0.0:65536\" is no address with a port; allowed is",
            "8: error: relay.ports: \"65536-70000\" is no range of ports; allowed is two ports",
            "9: error: relay.dscp: 64 is out of range",
            "10: error: relay.address.bind: \"0.0.0.0\" means every address",
            "12: error: peers.relay_to_relay: invalid type: string \"yes\", expected a boolean",
            "13: error: peers.min_port: -1 is out of range",
            "14: error: peers.nat64_prefixes: \"::/33\" has length 33",
        ];
        assert_eq!(found.len(), heads.len(), "{found:#?}");
        for (found, head) in found.iter().zip(heads) {
            assert!(found.starts_with(head), "{found}\nis not\n{head}");
        }
    }

    #[test]
    fn words_and_lists_are_told() {
        let text = format!(
            "{LEAST}[log]\nlevel = 3\nformat = 'JSON'\nfile = '/x'\n[credentials]\nhmac = 'md5'\n\
             [peers]\ndeny_ports = 25\nbackends = '10.0.0.1'\n"
        );
        assert_eq!(
            faults(&text),
            [
                "4: error: log.level: \"3\" will not do; allowed is \"error\", \"warn\", \"info\", \"debug\", \
                 \"trace\"",
                "5: error: log.format: \"JSON\" will not do; allowed is \"human\", \"json\"; did you mean \"json\"?",
                "6: error: unknown key \"file\" in [log]; the log goes to standard error; whoever starts turnkeep \
                 keeps it",
                "8: error: credentials.hmac: \"md5\" will not do; allowed is \"sha1\", \"sha256\"",
                "10: error: peers.deny_ports: has to be a list: write [25]",
                "11: error: peers.backends: has to be a list: write ['10.0.0.1']",
            ]
        );
    }

    #[test]
    fn a_table_with_too_few_brackets_is_one_error() {
        let text = "realm = 'a'\n[listener]\naddress = '0.0.0.0:3478'\n[relay.address]\nbind = '8.8.8.8'\n";
        let found = faults(text);
        let expected =
            ["2: error: listener: has to be a table: write [[listener]]", "4: error: relay.address: has to be"];
        assert!(found.len() == 2 && found.iter().zip(expected).all(|(f, head)| f.starts_with(head)), "{found:#?}");
    }

    #[test]
    fn of_two_near_keys_the_missing_one_is_meant() {
        let found = faults("relam = 'a'\nlistener = []\n");
        assert_eq!(found, ["1: error: unknown key \"relam\" at the top level; did you mean \"realm\"?"]);
    }

    #[test]
    fn one_slip_is_not_told_a_hundred_times() {
        assert!(faults(&format!("a={}", "[".repeat(81))).len() <= MAX_SYNTAX_ERRORS);
    }

    #[test]
    fn missing_keys_are_explained() {
        let found = faults("[[listener]]\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("-: error: realm: missing; it is needed: The realm"), "{found:?}");
        assert!(
            found[1].starts_with("1: error: listener.address: missing; it is needed: Address and port"),
            "{found:?}"
        );
    }

    #[test]
    fn a_value_where_a_table_belongs_is_an_error() {
        for text in
            ["relay = 5", "listener = 5", "relay.address = [7, 8]", "peers = []", "listener = [['0.0.0.0:3478']]"]
        {
            let text = format!("{text}\nrealm = 'a'\n");
            let found = faults(&text);
            assert!(
                found.iter().any(|fault| fault.contains("1: error: ") && fault.contains("has to be a table: write ["))
            );
        }
    }

    #[test]
    fn all_syntax_errors_are_named() {
        let found = faults("realm = \nworkers = = 3\nnode = 'a'\nnode = 'b'\n");
        assert!(found.len() >= 3, "{found:#?}");
        assert!(found[0].starts_with("1: error: ") && found[1].starts_with("2: error: "), "{found:#?}");
    }

    #[test]
    fn every_required_key_has_a_substitute_that_deserialises() {
        // An empty element in each array of tables: all required keys are missing, and nothing else may be wrong.
        let text = "listener = [{}]\nrelay = { address = [{}] }\ncredentials = { secret = [{}] }\n\
                    peers = { allow = [{}], deny = [{}] }\ntls = { certificate = [{}] }\n\
                    pass_through = [{}]\n";
        let found = faults(text);
        assert!(found.iter().all(|fault| fault.contains("missing; it is needed")), "{found:#?}");
        assert_eq!(found.len(), 11, "{found:#?}");
    }

    #[test]
    fn no_text_panics() {
        for text in
            ["", "\0", "[", "[[", "a.b.c = 1", "listener = [1, [2], {}]", "realm = \"\\uD800\"", "[realm]\n[[realm]]"]
        {
            assert!(!faults(text).is_empty(), "{text:?}");
        }
    }
}
