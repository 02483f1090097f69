//! Two agents of libnice that may use nothing but the relay (libnice_pair.c). Wherever it is told that TLS is spoken it
//! speaks plain TCP, so that is what it does on the TLS port.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::against_each_server;
use super::aioice::assert_relayed;
use super::support::credential::Credential;
use super::support::program::{Program, find, skip};
use super::support::server::{Make, Server, V4, V6};

against_each_server!(by_udp, by_tcp, on_the_tls_port_v4, on_the_tls_port_v6, wrong_password);

const MESSAGES: u64 = 200;

fn by_udp(make: Make) {
    assert_exchange(make, "udp", V4);
}

fn by_tcp(make: Make) {
    assert_exchange(make, "tcp", V4);
}

fn on_the_tls_port_v4(make: Make) {
    assert_exchange(make, "tls", V4);
}

fn on_the_tls_port_v6(make: Make) {
    assert_exchange(make, "tls", V6);
}

fn assert_exchange(make: Make, transport: &str, ip: IpAddr) {
    let Some(result) = run(make, transport, ip, Credential::of("libnice")) else { return };
    assert_relayed(&result, MESSAGES);
}

fn wrong_password(make: Make) {
    let Some(result) = run(make, "tls", V4, Credential::forged("libnice")) else { return };
    assert_eq!(result, serde_json::json!({ "candidates": [[], []] }));
}

fn run(make: Make, transport: &str, ip: IpAddr, Credential { username, password }: Credential) -> Option<Value> {
    let flags = flags()?;
    let server = Server::start(make)?;
    let pair = compile(&flags, server.directory());
    let address = if transport == "tls" { server.tls_address(ip) } else { server.address(ip) };
    let mut command = Command::new(pair);
    command.args([address.ip().to_string(), address.port().to_string(), username, password, MESSAGES.to_string()]);
    command.arg(transport);
    let finished = Program::start(command, server.directory()).finish(Duration::from_secs(30));
    assert!(finished.status.success(), "{}", finished.output);
    let last = finished.output.lines().last().unwrap_or_default();
    Some(serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {}", finished.output)))
}

fn compile(flags: &[String], directory: &Path) -> PathBuf {
    let program = directory.join("libnice_pair");
    let mut command = Command::new("cc");
    command.arg("-o").arg(&program).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/libnice_pair.c"));
    let status = command.args(flags).status().expect("a C compiler");
    assert!(status.success(), "libnice_pair.c does not compile");
    program
}

/// What the C compiler needs to know of libnice.
pub(crate) fn flags() -> Option<Vec<String>> {
    find("cc")?;
    let output = Command::new(find("pkg-config")?).args(["--cflags", "--libs", "nice"]).output().expect("it runs");
    if !output.status.success() {
        return skip("libnice's header and library");
    }
    Some(String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect())
}
