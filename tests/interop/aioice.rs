//! Two agents of aioice that may use nothing but the relay (aioice_pair.py): ICE checks between two allocations, and
//! data on channels.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::against_each_server;
use super::support::credential::Credential;
use super::support::program::{Program, find_tool};
use super::support::server::{Make, Server, V4};

against_each_server!(two_agents_exchange_data, by_tcp, by_tls, wrong_password);

/// Below target/tools.
pub(crate) const PYTHON: &str = "python/bin/python3";
const MESSAGES: u64 = 200;

fn two_agents_exchange_data(make: Make) {
    assert_exchange(make, "udp");
}

fn by_tcp(make: Make) {
    assert_exchange(make, "tcp");
}

fn by_tls(make: Make) {
    assert_exchange(make, "tls");
}

fn assert_exchange(make: Make, transport: &str) {
    let Some(result) = run(make, transport, Credential::of("aioice")) else { return };
    assert_relayed(&result, MESSAGES);
}

/// Each agent had relayed addresses alone, and all messages arrived unchanged.
pub(crate) fn assert_relayed(result: &Value, messages: u64) {
    for agent in 0..2 {
        assert_eq!(result["candidates"][agent], serde_json::json!(["relay"]), "{result}");
        let pair = &result["selected"][agent];
        assert_eq!((&pair["local"][0], &pair["remote"][0]), (&"relay".into(), &"relay".into()), "{result}");
    }
    // What is the one's own address is the other's remote address, and both are on the relay.
    let selected = &result["selected"];
    assert_eq!(selected[0]["local"], selected[1]["remote"], "{result}");
    assert_eq!(selected[1]["local"], selected[0]["remote"], "{result}");
    assert_eq!((&result["to_bob"], &result["to_alice"]), (&messages.into(), &messages.into()), "{result}");
}

fn wrong_password(make: Make) {
    let Some(result) = run(make, "udp", Credential::forged("aioice")) else { return };
    assert_eq!(result, serde_json::json!({ "candidates": [[], []] }));
}

fn run(make: Make, transport: &str, Credential { username, password }: Credential) -> Option<Value> {
    let python = find_tool(PYTHON)?;
    let server = Server::start(make)?;
    let address = if transport == "tls" { server.tls_address(V4) } else { server.address(V4) };
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/aioice_pair.py"));
    command.args([address.ip().to_string(), address.port().to_string(), username, password, MESSAGES.to_string()]);
    command.arg(transport).env("SSL_CERT_FILE", server.authority());
    let finished = Program::start(command, server.directory()).finish(Duration::from_secs(30));
    assert!(finished.status.success(), "{}", finished.output);
    let last = finished.output.lines().last().unwrap_or_default();
    Some(serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {}", finished.output)))
}
