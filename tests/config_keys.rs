//! Every key has an effect: what the floors below are told differs when it does.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use turnkeep::config::{self, translate};
use turnkeep::relay::NonceKey;
use turnkeep::supervisor::Plan;

/// A relay of a laboratory that starts on every host: [`KEYS`] change it line by line.
const BASE: &str = "\
realm = 'example.org'
lab = true
listener = [{ address = '127.0.0.1:3478' }, { address = '127.0.0.1:5349', transport = 'tls' }]
[[pass_through]]
to = '127.0.0.1:8443'
alpn = ['h2']
[tls]
certificate = [{ chain_file = 'chain.pem', key_file = 'key.pem' }]
[streams]
[proxy_protocol]
[relay]
address = [{ bind = '127.0.0.1' }]
[credentials]
secret = [{ id = 'k1', file = 'k1' }]
[peers]
allow = [{ id = 'loopback', cidr = '127.0.0.0/8' }]
deny = [{ id = 'tens', cidr = '10.0.0.0/8' }]
[limits]
[audit]
path = 'audit.jsonl'
[log]
";

/// Each key, and what in [`BASE`] is replaced by what to change it. A table's head stands for itself and the new line.
const KEYS: &[(&str, &str, &str)] = &[
    ("realm", "realm = 'example.org'", "realm = 'example.net'"),
    ("node", "lab = true", "lab = true\nnode = 'relay-a'"),
    ("zone", "lab = true", "lab = true\nzone = 'clinic'"),
    ("lab", "lab = true", "lab = false"),
    ("workers", "lab = true", "lab = true\nworkers = 3"),
    ("listener.address", "127.0.0.1:3478", "127.0.0.1:3479"),
    ("listener.legacy", "3478' }", "3478', legacy = 'deny' }"),
    ("listener.transport", "'127.0.0.1:3478'", "'127.0.0.1:3478', transport = 'tcp'"),
    ("tls.profile", "[tls]", "[tls]\nprofile = 'aes256'"),
    ("tls.client_certificates", "[tls]", "[tls]\nclient_ca_file = 'chain.pem'\nclient_certificates = 'required'"),
    ("tls.client_ca_file", "[tls]", "[tls]\nclient_ca_file = 'chain.pem'\nclient_certificates = 'optional'"),
    ("tls.certificate.chain_file", "'chain.pem'", "'other.pem'"),
    ("tls.certificate.key_file", "'key.pem'", "'copy.pem'"),
    ("tls.certificate.names", "'key.pem'", "'key.pem', names = ['a.example.org']"),
    ("pass_through.to", "127.0.0.1:8443", "127.0.0.1:8444"),
    ("pass_through.server_names", "alpn = ['h2']", "alpn = ['h2']\nserver_names = ['www.example.org']"),
    ("pass_through.alpn", "['h2']", "['imap']"),
    ("pass_through.proxy_header", "alpn = ['h2']", "alpn = ['h2']\nproxy_header = true"),
    ("streams.passed_through", "[streams]", "[streams]\npassed_through = 100"),
    ("streams.passed_through_idle_timeout", "[streams]", "[streams]\npassed_through_idle_timeout = '5m'"),
    ("streams.unauthenticated", "[streams]", "[streams]\nunauthenticated = 5000"),
    ("streams.unauthenticated_per_network", "[streams]", "[streams]\nunauthenticated_per_network = 500"),
    ("streams.network_bits_v4", "[streams]", "[streams]\nnetwork_bits_v4 = 24"),
    ("streams.network_bits_v6", "[streams]", "[streams]\nnetwork_bits_v6 = 56"),
    ("streams.per_worker", "[streams]", "[streams]\nper_worker = 1000"),
    ("streams.handshake_timeout", "[streams]", "[streams]\nhandshake_timeout = '5s'"),
    ("streams.idle_timeout", "[streams]", "[streams]\nidle_timeout = '5m'"),
    ("proxy_protocol.from", "[proxy_protocol]", "[proxy_protocol]\nfrom = ['10.0.0.0/24']"),
    ("proxy_protocol.udp_from", "[proxy_protocol]", "[proxy_protocol]\nudp_from = ['10.0.0.0/24']"),
    ("relay.ports", "[relay]", "[relay]\nports = '50000-50999'"),
    ("relay.min_port_rest", "[relay]", "[relay]\nmin_port_rest = '5s'"),
    ("relay.dscp", "[relay]", "[relay]\ndscp = 46"),
    ("relay.channel_numbers", "[relay]", "[relay]\nchannel_numbers = 'rfc5766'"),
    ("relay.address.bind", "bind = '127.0.0.1'", "bind = '::1', advertise = '2600::5'"),
    ("relay.address.advertise", "bind = '127.0.0.1'", "bind = '127.0.0.1', advertise = '8.8.8.8'"),
    ("credentials.max_ttl", "[credentials]", "[credentials]\nmax_ttl = '2h'"),
    ("credentials.username_order", "[credentials]", "[credentials]\nusername_order = 'any'"),
    ("credentials.separator", "[credentials]", "[credentials]\nseparator = '|'"),
    ("credentials.hmac", "[credentials]", "[credentials]\nhmac = 'sha256'"),
    ("credentials.offer_sha256", "[credentials]", "[credentials]\noffer_sha256 = false"),
    ("credentials.legacy", "[credentials]", "[credentials]\nlegacy = 'deny'"),
    (
        "credentials.offer_userhash",
        "secret = [{ id = 'k1', file = 'k1' }]",
        "users_file = 'users'\noffer_userhash = true",
    ),
    ("credentials.users_file", "[credentials]", "[credentials]\nusers_file = 'users'"),
    ("credentials.secret.id", "id = 'k1'", "id = 'k2'"),
    ("credentials.secret.file", "file = 'k1'", "file = 'k2'"),
    ("credentials.secret.env", "file = 'k1'", "env = 'CARGO_PKG_DESCRIPTION'"),
    ("credentials.secret.not_after", "file = 'k1'", "file = 'k1', not_after = 2099-01-01T00:00:00Z"),
    ("peers.relay_to_relay", "[peers]", "[peers]\nrelay_to_relay = false"),
    ("peers.strict_permissions", "[peers]", "[peers]\nstrict_permissions = true"),
    ("peers.min_port", "[peers]", "[peers]\nmin_port = 1024"),
    ("peers.deny_ports", "[peers]", "[peers]\ndeny_ports = [5060]"),
    ("peers.backends", "[peers]", "[peers]\nbackends = ['10.0.0.20']"),
    ("peers.nat64_prefixes", "[peers]", "[peers]\nnat64_prefixes = ['2001:db8:64::/96']"),
    ("peers.allow.id", "id = 'loopback'", "id = 'own'"),
    ("peers.allow.cidr", "127.0.0.0/8", "127.0.0.0/16"),
    ("peers.deny.id", "id = 'tens'", "id = 'no-tens'"),
    ("peers.deny.cidr", "10.0.0.0/8", "10.0.0.0/9"),
    ("limits.allocations_per_user", "[limits]", "[limits]\nallocations_per_user = 3"),
    ("limits.allocations_per_user_per_minute", "[limits]", "[limits]\nallocations_per_user_per_minute = 7"),
    ("limits.max_lifetime", "[limits]", "[limits]\nmax_lifetime = '20m'"),
    ("drain.alternate_servers", "[audit]", "[drain]\nalternate_servers = ['192.0.2.8']\n[audit]"),
    ("drain.alternate_domain", "[audit]", "[drain]\nalternate_domain = 'b.example.org'\n[audit]"),
    ("audit.enabled", "[audit]", "[audit]\nenabled = false"),
    ("audit.path", "'audit.jsonl'", "'other.jsonl'"),
    ("log.format", "[log]", "[log]\nformat = 'json'"),
    ("log.level", "[log]", "[log]\nlevel = 'debug'"),
];

/// Keys that say something to people alone.
const WITHOUT_EFFECT: [&str; 2] = ["peers.allow.description", "peers.deny.description"];

/// All that the floors below are told by the configuration `text`.
fn told(directory: &TempDir, text: &str) -> String {
    let file = directory.path().join("turnkeep.toml");
    fs::write(&file, text).expect("a configuration");
    let plan = match Plan::from_file(&file) {
        Ok(plan) => plan,
        // An effect, too, and for `lab` the one that it is there for.
        Err(report) => return report.to_string(),
    };
    let mut told = String::new();
    let mut tell = |what: &dyn std::fmt::Debug| writeln!(told, "{what:?}").expect("a string takes all");
    tell(&translate::engine_config(&plan.config));
    tell(&translate::relay_settings(&plan.config, NonceKey::new([0; 32])));
    tell(&translate::peer_settings(&plan.config, &[]));
    tell(&translate::node_name(&plan.config, "host"));
    tell(&(&plan.config.limits.allocations_per_user, &plan.config.limits.allocations_per_user_per_minute));
    tell(&translate::drain(&plan.config));
    tell(&(&plan.tls, &plan.certificates));
    let backends = plan.config.pass_through.iter().map(|pass| (pass.to, pass.proxy_header));
    tell(&(translate::ways(&plan.config), backends.collect::<Vec<_>>()));
    tell(&plan.config.streams.passed_through_idle_timeout);
    tell(&plan.audit);
    tell(&plan.config.log);
    let authenticator = translate::authenticator(&plan.config, plan.keys);
    let ephemeral = &authenticator.ephemeral;
    tell(&(&authenticator.realm, &ephemeral.zone, ephemeral.grammar, ephemeral.max_ttl));
    tell(&authenticator.static_users.len());
    for secret in ephemeral.secrets.iter() {
        tell(&(secret.id(), secret.hash(), secret.retired(u64::MAX), secret.password(b"1795285900:u").as_str()));
    }
    told
}

fn laboratory() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let key = KeyPair::generate().expect("random numbers");
    let [chain, other] = ["a.example.org", "b.example.org"].map(|name| {
        let own = CertificateParams::new([name.to_owned()]).expect("a name");
        own.self_signed(&key).expect("a signature").pem()
    });
    let key = key.serialize_pem();
    let contents = [
        ("k1", "8f3b1c5e9d2a7f604b6c8e1d3f5a7092"),
        ("k2", "another one"),
        ("users", "alice:open"),
        ("chain.pem", &chain),
        ("other.pem", &other),
        ("key.pem", &key),
        ("copy.pem", &key),
    ];
    for (name, content) in contents {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    directory
}

/// Every key of the schema that holds a value.
fn keys(schema: &Value, path: &str, found: &mut BTreeMap<String, ()>) {
    for (name, key) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match [key, &key["items"]].into_iter().find(|table| table["properties"].is_object()) {
            Some(table) => keys(table, &path, found),
            None => drop(found.insert(path, ())),
        }
    }
}

#[test]
fn a_159_every_key_has_an_effect() {
    let directory = laboratory();
    let base = told(&directory, BASE);
    assert!(base.starts_with("EngineConfig"), "{base}");
    for (key, from, to) in KEYS {
        assert!(BASE.contains(from), "{key}: {from} is not in the base");
        let changed = told(&directory, &BASE.replacen(from, to, 1));
        assert_ne!(changed, base, "{key} has no effect");
        let is_refused = !changed.starts_with("EngineConfig");
        assert_eq!(is_refused, *key == "lab", "{key}: {changed}");
    }
}

#[test]
fn a_159_every_key_is_tested() {
    let mut all = BTreeMap::new();
    keys(&config::json_schema(), "", &mut all);
    let tested: Vec<&str> = KEYS.iter().map(|(key, ..)| *key).chain(WITHOUT_EFFECT).collect();
    let untested: Vec<&String> = all.keys().filter(|key| !tested.contains(&key.as_str())).collect();
    assert!(untested.is_empty(), "without a row in KEYS: {untested:?}");
    let gone: Vec<&str> = tested.into_iter().filter(|key| !all.contains_key(*key)).collect();
    assert!(gone.is_empty(), "no longer keys: {gone:?}");
}

#[test]
fn a_034_no_key_switches_permissions_or_authentication_off() {
    let reference = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/reference.toml"));
    let reference = reference.expect("the reference");
    for word in ["no_auth", "no-auth", "server_relay", "server-relay", "anonymous"] {
        assert!(!reference.contains(word), "{word}");
    }
}
