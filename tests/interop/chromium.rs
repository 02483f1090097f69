//! Two pages of Chromium that may use nothing but the relay (chromium/call.mjs): ICE, DTLS, a data channel and video
//! both ways.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::against_each_server;
use super::support::credential::Credential;
use super::support::program::{Program, find, find_tool};
use super::support::server::{Make, Server, V4};

against_each_server!(pages_call_each_other, pages_call_each_other_by_tcp, pages_call_each_other_by_tls, wrong_secret);

/// Where the driver is, below target/tools.
pub(crate) const MODULES: &str = "node";

fn pages_call_each_other(make: Make) {
    assert_call(make, "udp");
}

fn pages_call_each_other_by_tcp(make: Make) {
    assert_call(make, "tcp");
}

fn pages_call_each_other_by_tls(make: Make) {
    assert_call(make, "tls");
}

fn assert_call(make: Make, transport: &str) {
    let Some(pages) = call(make, transport, Credential::of("chromium")) else { return };
    for (page, other) in [(0, 1), (1, 0)].map(|(page, other)| (&pages[page], &pages[other])) {
        let gathered = page["gathered"].as_array().expect("a list");
        assert!(!gathered.is_empty() && gathered.iter().all(|kind| kind == "relay"), "{pages:#}");
        let (local, remote) = (&page["selected"]["local"], &page["selected"]["remote"]);
        assert_eq!(
            (&local["candidateType"], &remote["candidateType"]),
            (&json!("relay"), &json!("relay")),
            "{pages:#}"
        );
        assert_eq!(local["relayProtocol"], transport);
        let other = &other["selected"]["remote"];
        assert_eq!((&local["address"], &local["port"]), (&other["address"], &other["port"]), "{pages:#}");
        // All of the other's messages, in order; its pictures, decoded, and more of them as time went on.
        assert_eq!(page["intact"], 100, "{pages:#}");
        let frames = [0, 1].map(|at| page["frames"][at].as_u64().expect("a count"));
        assert!(frames[1] >= frames[0] + 60, "{pages:#}");
    }
    // The caller paints red and the callee blue; each sees the other's colour.
    let seen = |page: usize| ["red", "green", "blue"].map(|colour| pages[page]["colour"][colour].as_u64());
    let is_strong = |part: Option<u64>| part.expect("a colour") > 128;
    assert_eq!(seen(0).map(is_strong), [false, false, true], "{pages:#}");
    assert_eq!(seen(1).map(is_strong), [true, false, false], "{pages:#}");
}

/// Without the right password there is no relay candidate, and the page is told why.
fn wrong_secret(make: Make) {
    let Some(pages) = call(make, "udp", Credential::forged("chromium")) else { return };
    for page in pages.as_array().expect("two pages") {
        assert_eq!(page["gathered"], json!([]), "{pages:#}");
        let errors = page["errors"].as_array().expect("a list");
        assert!(!errors.is_empty() && errors.iter().all(|error| error["errorCode"] == 401), "{pages:#}");
    }
}

/// What the two pages report.
fn call(make: Make, transport: &str, Credential { username, password }: Credential) -> Option<Value> {
    let (node, chromium) = (find("node")?, find("chromium")?);
    let modules = find_tool(MODULES)?;
    let server = Server::start(make)?;
    let ice_server = json!({
        "urls": match transport {
            "tls" => format!("turns:{}?transport=tcp", server.tls_address(V4)),
            _ => format!("turn:{}?transport={transport}", server.address(V4)),
        },
        "username": username,
        "credential": password,
    });
    let mut command = Command::new(node);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/chromium/call.mjs"));
    command.arg(modules).arg(chromium).arg(ice_server.to_string()).arg(server.key_pin());
    let finished = Program::start(command, server.directory()).finish(Duration::from_secs(90));
    assert!(finished.status.success(), "{}", finished.output);
    let last = finished.output.lines().last().unwrap_or_default();
    Some(serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {}", finished.output)))
}
