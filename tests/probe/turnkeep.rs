//! Our own server, sound and misconfigured.

use crate::rig::{Server, Site, probe};

const RELAY: &str = "[relay]\nports = '33000-33999'\naddress = [{ bind = '127.0.0.1' }]";
const PEER: &str = "[[peers.allow]]\nid = 'lab'\ncidr = '127.0.0.1/32'";

/// With these keys in [credentials], which come behind the secret's table.
fn server(tables: &str) -> Server {
    Site::new().turnkeep(&format!("{RELAY}\n{PEER}\n{tables}"))
}

/// Every check, and not one complaint.
#[test]
fn a_sound_server_passes() {
    let probed = server("").probe(&["--may-reach", "127.0.0.1"]);
    for verdict in ["fault", "warning", "untested", "note"] {
        assert_eq!(probed.all(verdict), [""; 0], "{verdict}: {:#}", probed.json);
    }
    assert_eq!(probed.code, Some(0));
    probed.says("challenge", "ok", &["SHA-256 and MD5 offered"]);
    probed.says("allocate", "ok", &["by SHA-256"]);
    probed.says("independent", "ok", &["echo through it"]);
    probed.says("behind-integrity", "ok", &["ignored"]);
    probed.says("quota", "ok", &["12, then 486"]);
}

/// By its own configuration, over UDP and TCP; what it allows is meant.
#[test]
fn a_relay_is_probed_by_its_own_configuration() {
    let tcp = |port: u16| format!("[[listener]]\naddress = '0.0.0.0:{port}'\ntransport = 'tcp'");
    let site = Site::new();
    let tables = format!("{RELAY}\n{PEER}\n{}", tcp(site.port));
    let server = site.turnkeep(&tables);
    let probed = probe(&["--config", &server.path("turnkeep.toml")]);
    assert_eq!((probed.code, probed.all("fault"), probed.all("untested")), (Some(0), vec![], vec![]));
    let channels = probed.all("ok").into_iter().filter(|name| *name == "channel").count();
    assert_eq!(channels, 2, "{:#}", probed.json);

    let missing = server.path("missing.toml");
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_turnkeep")).args(["probe", "--config", &missing]).output();
    let output = output.expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing.toml"));
}

/// The README's first line, on a server of ours in place of the try-out.
#[test]
fn what_the_readme_tells_to_run_runs() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("the README");
    let line = readme.lines().find_map(|line| line.strip_prefix("    turnkeep probe ")).expect("a line to run");
    let server = server("");
    let (uri, secret) = (server.uri(""), server.path("secret"));
    let word = |word| match word {
        "turn:127.0.0.1" => &*uri,
        "secret" => &*secret,
        other => other,
    };
    assert_eq!(probe(&line.split_whitespace().map(word).collect::<Vec<_>>()).code, Some(0), "{line}");
}

#[test]
fn an_allowed_network_that_should_not_be_is_found() {
    let server = server("[[peers.allow]]\nid = 'all-tens'\ncidr = '10.0.0.0/8'");
    let probed = server.probe(&["--may-reach", "127.0.0.1"]);
    assert_eq!((probed.code, probed.all("fault")), (Some(1), vec!["peer-private"]));
    probed.says("peer-private", "fault", &["granted: 10.1.2.3 (permission)\n", "[[peers.allow]]"]);
    let meant = server.probe(&["--may-reach", "127.0.0.1", "--may-reach", "10.0.0.0/8"]);
    assert_eq!((meant.code, meant.all("fault")), (Some(0), vec![]));
}

#[test]
fn a_loopback_peer_is_a_fault_unless_it_is_meant() {
    let probed = server("").probe(&[]);
    assert_eq!(probed.all("fault"), ["peer-loopback", "peer-server"]);
}

/// The guesses after a 401, each on a server that wants just that.
#[test]
fn a_refused_login_is_explained() {
    for (keys, words) in [
        ("max_ttl = '10m'", &["a credential for a minute is accepted", "max_ttl"][..]),
        ("hmac = 'sha256'", &["by HMAC-SHA256", "credentials.hmac"]),
    ] {
        let probed = server(&format!("[credentials]\n{keys}")).probe(&["--negative=never"]);
        probed.says("allocate", "fault", words);
        probed.says("channel", "ok", &[]);
    }
}

#[test]
fn a_wrong_secret_is_told() {
    let site = Site::new();
    let secret = crate::support::credential::SECRET;
    site.write("ours", secret.get(1..).expect("it is longer"));
    let ours = site.path("ours");
    let server = server("");
    let probed = probe(&[&server.uri(""), "--secret-file", &ours, "--negative=never"]);
    probed.says("allocate", "fault", &["the secret is another one", "turnkeep credential explain"]);
}

#[test]
fn a_wrong_advertised_address_is_found() {
    let relay = "[relay]\nports = '33000-33999'\naddress = [{ bind = '127.0.0.1', advertise = '198.51.100.7' }]";
    let server = Site::new().turnkeep(&format!("{relay}\n{PEER}"));
    let probed = server.probe(&["--negative=never", "--peer", "127.0.0.1"]);
    probed.says("send", "fault", &["198.51.100.7", "packets come from 127.0.0.1", "advertise"]);
}

#[test]
fn used_up_ports_are_told() {
    let relay = "[relay]\nports = '33000-33000'\naddress = [{ bind = '127.0.0.1' }]";
    let server = Site::new().turnkeep(&format!("{relay}\n{PEER}"));
    let probed = server.probe(&["--may-reach", "127.0.0.1"]);
    // The walk has the one port; what follows finds it resting, or taken.
    probed.says("allocate", "ok", &["33000"]);
    assert_eq!(probed.step("quota").verdict, "untested");
    assert!(probed.step("quota").said.contains("508"), "{}", probed.step("quota").said);
}
