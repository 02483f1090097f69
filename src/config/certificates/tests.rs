//! Chains that were made for the purpose, and what is said of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

/// 2026-11-22.
const NOW: u64 = 1_795_305_600;

struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { params: dated(params), key: KeyPair::generate().unwrap() }
    }

    fn pem(&self) -> String {
        self.params.clone().self_signed(&self.key).unwrap().pem()
    }

    fn sign(&self, params: CertificateParams, key: &KeyPair) -> String {
        params.signed_by(key, &Issuer::from_params(&self.params, &self.key)).unwrap().pem()
    }
}

fn dated(mut params: CertificateParams) -> CertificateParams {
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 12, 31));
    params
}

fn server(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "a relay");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    dated(params)
}

/// What is said of a chain with a key.
fn read(chain: &str, key: &str, names: &[&str]) -> Result<ReadCertificate, Unusable> {
    let directory = TempDir::new().unwrap();
    let files = CertificateFiles {
        chain: directory.path().join("chain.pem"),
        key: directory.path().join("key.pem"),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    fs::write(&files.chain, chain).unwrap();
    fs::write(&files.key, key).unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    files.read(NOW)
}

fn faults_of(chain: &str, key: &KeyPair) -> Vec<(bool, String)> {
    let faults = read(chain, &key.serialize_pem(), &[]).unwrap().faults;
    faults.into_iter().map(|fault| (fault.is_grave, fault.sentence)).collect()
}

#[test]
fn a_whole_chain_is_taken_without_a_word() {
    let (authority, key) = (Authority::new("an authority"), KeyPair::generate().unwrap());
    let chain = authority.sign(server(&["turn.example.org", "*.relay.example.org"]), &key) + &authority.pem();
    let read = read(&chain, &key.serialize_pem(), &["turn.example.org", "a.relay.example.org"]).unwrap();
    assert_eq!((read.faults.as_slice(), read.chain.len()), (&[][..], 2));
    assert_eq!(read.names, ["turn.example.org", "a.relay.example.org"]);
}

#[test]
fn what_clients_dislike_is_told_in_words() {
    let (authority, other) = (Authority::new("an authority"), Authority::new("another"));
    let key = KeyPair::generate().unwrap();
    let chain_of = |params| authority.sign(params, &key) + &authority.pem();
    let with_dates = |from: i32, to: i32| {
        let mut params = server(&["turn.example.org"]);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 12, 1));
        params
    };
    let mut no_server = server(&["turn.example.org"]);
    no_server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let cases = [
        (chain_of(with_dates(2024, 2025)), true, "it expired on 2025-12-01T00:00:00Z"),
        (chain_of(with_dates(2027, 2028)), true, "it is not valid before 2027-01-01T00:00:00Z"),
        (chain_of(with_dates(2026, 2026)), false, "it expires in 9 days"),
        (chain_of(server(&[])), true, "it is for no name"),
        (chain_of(no_server), true, "it is not for servers"),
        (authority.sign(server(&["a.example.org"]), &key), false, "the file does not have its issuer, CN=an authority"),
        (
            authority.sign(server(&["a.example.org"]), &key) + &other.pem(),
            false,
            "certificate 2 of the file is CN=another, and not the issuer",
        ),
        (server(&["a.example.org"]).self_signed(&key).unwrap().pem(), false, "it is signed by itself"),
    ];
    for (chain, is_grave, head) in cases {
        let found = faults_of(&chain, &key);
        assert!(found.len() == 1 && found[0].0 == is_grave && found[0].1.starts_with(head), "{head}: {found:?}");
    }
}

#[test]
fn a_name_that_is_not_covered_is_told() {
    let (authority, key) = (Authority::new("an authority"), KeyPair::generate().unwrap());
    let chain = authority.sign(server(&["turn.example.org"]), &key) + &authority.pem();
    let read = read(&chain, &key.serialize_pem(), &["turn.example.net"]).unwrap();
    assert_eq!(read.faults[0].sentence, "it is not for turn.example.net, but for turn.example.org");
}

#[test]
fn a_pair_that_is_none_is_refused() {
    let (authority, key, other) =
        (Authority::new("an authority"), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let chain = authority.sign(server(&["turn.example.org"]), &key) + &authority.pem();
    let refused = |chain: &str, key: &str| {
        let Unusable { key, sentence } = read(chain, key, &[]).unwrap_err();
        format!("{key}: {sentence}")
    };
    let mismatch = refused(&chain, &other.serialize_pem());
    assert!(mismatch.starts_with("key_file: ") && mismatch.contains("does not go with"), "{mismatch}");
    assert!(refused("", &key.serialize_pem()).contains("holds no certificate"));
    assert!(refused(&chain, "nothing").contains("holds no private key"));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(refused(garbage, &key.serialize_pem()).starts_with("chain_file: certificate 1 of"));
}

#[test]
fn names_are_covered_as_they_are_or_by_a_wildcard() {
    let has = ["turn.example.org".to_owned(), "*.relay.example.org".to_owned()];
    for (name, is_covered) in [
        ("turn.example.org", true),
        ("TURN.example.org", true),
        ("a.relay.example.org", true),
        ("relay.example.org", false),
        ("a.b.relay.example.org", false),
        ("example.org", false),
    ] {
        assert_eq!(covers(&has, name), is_covered, "{name}");
    }
}
