//! Certificates that are good, and each way in which they are not, on coturn's TLS port and on our own.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::rig::{Probed, Server, Site, probe};
use crate::support::credential::SECRET;

const AUTHORITY: &str = "Test Authority";

/// An authority of our own, and what it has signed.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let (parameters, key) = Self::parameters(name);
        let pem = parameters.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    /// One below it.
    fn intermediate(&self, name: &str) -> Self {
        let (parameters, key) = Self::parameters(name);
        let pem = parameters.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    fn parameters(name: &str) -> (CertificateParams, KeyPair) {
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (parameters, KeyPair::generate().expect("a key"))
    }

    /// Certificate and key of a server, as PEM.
    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut parameters = leaf(name);
        change(&mut parameters);
        let key = KeyPair::generate().expect("a key");
        (parameters.signed_by(&key, &self.issuer).expect("a certificate").pem(), key.serialize_pem())
    }
}

fn leaf(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_after = date_time_ymd(2040, 1, 1);
    parameters
}

/// coturn with this certificate, and its port for TLS one above its own.
fn coturn((certificate, key): (&str, &str), ca: &str) -> Option<Server> {
    let site = Site::new();
    site.write("cert.pem", certificate);
    site.write("key.pem", key);
    site.write("ca.pem", ca);
    let lines = format!(
        "use-auth-secret\nstatic-auth-secret={SECRET}\nallow-loopback-peers\ncert={}\npkey={}",
        site.path("cert.pem"),
        site.path("key.pem")
    );
    site.coturn(&lines)
}

fn over_tls(server: &Server, arguments: &[&str]) -> Probed {
    let (uri, secret, ca) =
        (format!("turns:localhost:{}", server.port + 1), server.path("secret"), server.path("ca.pem"));
    probe(&[&[&*uri, "--secret-file", &secret, "--ca", &ca, "--negative=never"], arguments].concat())
}

#[test]
fn a_good_certificate_and_tls_pass() {
    let authority = Authority::new(AUTHORITY);
    let (certificate, key) = authority.sign("localhost", |_| ());
    let Some(server) = coturn((&certificate, &key), &authority.pem) else { return };
    let probed = over_tls(&server, &[]);
    let words = ["TLS 1.", "ALPN stun.turn", "certificate of localhost, issued by Test Authority, until 2040-01-01"];
    probed.says("tls", "ok", &words);
    probed.says("channel", "ok", &[]);
    probed.says("sizes", "ok", &["1472"]);
    assert_eq!((probed.code, probed.all("fault"), probed.all("warning")), (Some(0), vec![], vec![]));
}

#[test]
fn bad_certificates_are_told_apart() {
    let authority = Authority::new(AUTHORITY);
    let other = Authority::new("Other Authority");
    let intermediate = authority.intermediate("Intermediate");
    let expired = authority.sign("localhost", |leaf| leaf.not_after = date_time_ymd(2020, 1, 2));
    let future = authority.sign("localhost", |leaf| leaf.not_before = date_time_ymd(2039, 1, 1));
    let misnamed = authority.sign("elsewhere.example", |_| ());
    let foreign = other.sign("localhost", |_| ());
    let alone = intermediate.sign("localhost", |_| ());
    let key = KeyPair::generate().expect("a key");
    let own = (leaf("localhost").self_signed(&key).expect("a certificate").pem(), key.serialize_pem());
    for ((certificate, key), words) in [
        (expired, &["expired on 2020-01-02", "renew it"][..]),
        (future, &["not valid yet", "clock"]),
        (misnamed, &["is not for localhost but for: ", "elsewhere.example", "use a name of the certificate"]),
        (foreign, &["sends its certificate alone", "\"Other Authority\"", "no known authority"]),
        (alone, &["sends its certificate alone", "\"Intermediate\"", "fullchain.pem"]),
        (own, &["self-signed, by \"localhost\"", "--ca"]),
    ] {
        let Some(server) = coturn((&certificate, &key), &authority.pem) else { return };
        let probed = over_tls(&server, &[]);
        probed.says("tls", "fault", words);
        assert_eq!((probed.code, probed.all("fault")), (Some(1), vec!["tls"]), "nothing is sent after it");
    }
}

#[test]
fn a_chain_with_its_intermediate_is_good() {
    let authority = Authority::new(AUTHORITY);
    let intermediate = authority.intermediate("Intermediate");
    let (certificate, key) = intermediate.sign("localhost", |_| ());
    let chain = format!("{certificate}{}", intermediate.pem);
    let Some(server) = coturn((&chain, &key), &authority.pem) else { return };
    over_tls(&server, &[]).says("tls", "ok", &["2 in the chain"]);
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning() {
    let authority = Authority::new(AUTHORITY);
    let soon = SystemTime::now() + Duration::from_hours(5 * 24 + 1);
    let (certificate, key) = authority.sign("localhost", |leaf| leaf.not_after = soon.into());
    let Some(server) = coturn((&certificate, &key), &authority.pem) else { return };
    let probed = over_tls(&server, &[]);
    probed.says("tls", "warning", &["ends in 5 days", "renew it"]);
    assert_eq!(probed.code, Some(0));
}

#[test]
fn insecure_goes_on_and_says_so() {
    let authority = Authority::new(AUTHORITY);
    let (certificate, key) = Authority::new("Other Authority").sign("localhost", |_| ());
    let Some(server) = coturn((&certificate, &key), &authority.pem) else { return };
    let probed = over_tls(&server, &["--insecure"]);
    probed.says("tls", "fault", &["going on because of --insecure"]);
    probed.says("channel", "ok", &[]);
    assert_eq!(probed.code, Some(1));
}

#[test]
fn tls_and_plain_ports_that_were_mixed_up_are_told() {
    let Some(server) = Site::new().coturn(&format!("use-auth-secret\nstatic-auth-secret={SECRET}\nno-tls")) else {
        return;
    };
    let probed = probe(&[&format!("turns:127.0.0.1:{}", server.port), "--timeout", "1s"]);
    probed.says("tls", "fault", &["speaks plain TURN", "`cert` and `pkey`"]);
}

/// Our own with this certificate: TCP on its port, TLS on the next one.
fn turnkeep((certificate, key): (&str, &str), ca: &str) -> Server {
    let site = Site::new();
    site.write("cert.pem", certificate);
    site.write("key.pem", key);
    site.write("ca.pem", ca);
    let listener =
        |port: u16, transport| format!("[[listener]]\naddress = '127.0.0.1:{port}'\ntransport = '{transport}'\n");
    let rest = "[[tls.certificate]]\nchain_file = 'cert.pem'\nkey_file = 'key.pem'\n\
                [relay]\nports = '33000-33999'\naddress = [{ bind = '127.0.0.1' }]\n\
                [[peers.allow]]\nid = 'lab'\ncidr = '127.0.0.1/32'\n";
    let lines = [&*listener(site.port, "tcp"), &listener(site.port + 1, "tls"), rest].concat();
    site.turnkeep(&lines)
}

/// Every check by TCP and by TLS, those of what a server must refuse included, and not one complaint.
#[test]
fn our_own_passes_by_tcp_and_tls() {
    let authority = Authority::new(AUTHORITY);
    let (certificate, key) = authority.sign("localhost", |_| ());
    let server = turnkeep((&certificate, &key), &authority.pem);
    let (secret, ca) = (server.path("secret"), server.path("ca.pem"));
    let tls = format!("turns:localhost:{}", server.port + 1);
    for uri in [server.uri("?transport=tcp"), tls] {
        let probed =
            probe(&[&uri, "--secret-file", &secret, "--ca", &ca, "--negative=always", "--may-reach", "127.0.0.1"]);
        for verdict in ["fault", "warning", "untested", "note"] {
            assert_eq!(probed.all(verdict), [""; 0], "{uri} {verdict}: {:#}", probed.json);
        }
        probed.says("channel", "ok", &[]);
        assert_eq!(probed.code, Some(0), "{uri}");
    }
}

#[test]
fn what_is_wrong_with_our_own_certificate_is_told() {
    let authority = Authority::new(AUTHORITY);
    let expired = authority.sign("localhost", |leaf| leaf.not_after = date_time_ymd(2020, 1, 2));
    let misnamed = authority.sign("elsewhere.example", |_| ());
    let foreign = Authority::new("Other Authority").sign("localhost", |_| ());
    for ((certificate, key), words) in [
        (expired, &["expired on 2020-01-02", "renew it"][..]),
        (misnamed, &["is not for localhost but for: ", "elsewhere.example"]),
        (foreign, &["\"Other Authority\"", "no known authority"]),
    ] {
        let server = turnkeep((&certificate, &key), &authority.pem);
        let probed = over_tls(&server, &[]);
        probed.says("tls", "fault", words);
        assert_eq!((probed.code, probed.all("fault")), (Some(1), vec!["tls"]), "nothing is sent after it");
    }
}
