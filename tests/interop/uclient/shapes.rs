//! Clients of more than one allocation: a second one for RTCP on the next port (EVEN-PORT and RESERVATION-TOKEN, RFC
//! 8656 §7.2), two that are each other's peers, and those with an address of each family. That they had what they asked
//! for, and that nothing was lost, is read off turnkeep's audit trail beside what they count.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use stun_types::attribute::AttributeType;
use stun_types::message::Message;

use super::super::support::program::{Program, find, say};
use super::super::support::server::{Make, Server, V4, V6};
use super::{By, Run, SMALL, Via, against_each_server};

against_each_server!(
    rtcp_by_udp,
    rtcp_by_tcp,
    client_to_client_by_udp,
    client_to_client_by_tcp;
    turnkeep only:
    rtcp_by_tls,
    client_to_client_by_tls,
    both_families_by_udp,
    both_families_by_tcp,
    both_families_by_tls,
    both_families_client_to_client_by_udp,
    both_families_client_to_client_by_tcp,
    both_families_client_to_client_by_tls,
);

fn rtcp_by_udp(make: Make) {
    Shape::Rtcp.loses_nothing(make, By::Udp);
}

fn rtcp_by_tcp(make: Make) {
    Shape::Rtcp.loses_nothing(make, By::Tcp);
}

fn rtcp_by_tls(make: Make) {
    Shape::Rtcp.loses_nothing(make, By::Tls);
}

fn client_to_client_by_udp(make: Make) {
    Shape::RtcpClientToClient.loses_nothing(make, By::Udp);
}

fn client_to_client_by_tcp(make: Make) {
    Shape::RtcpClientToClient.loses_nothing(make, By::Tcp);
}

fn client_to_client_by_tls(make: Make) {
    Shape::RtcpClientToClient.loses_nothing(make, By::Tls);
}

fn both_families_by_udp(make: Make) {
    Shape::Dual.loses_nothing(make, By::Udp);
}

fn both_families_by_tcp(make: Make) {
    Shape::Dual.loses_nothing(make, By::Tcp);
}

fn both_families_by_tls(make: Make) {
    Shape::Dual.loses_nothing(make, By::Tls);
}

fn both_families_client_to_client_by_udp(make: Make) {
    Shape::DualClientToClient.loses_nothing(make, By::Udp);
}

fn both_families_client_to_client_by_tcp(make: Make) {
    Shape::DualClientToClient.loses_nothing(make, By::Tcp);
}

fn both_families_client_to_client_by_tls(make: Make) {
    Shape::DualClientToClient.loses_nothing(make, By::Tls);
}

/// Which allocations a client has, and who its peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Rtcp,
    RtcpClientToClient,
    Dual,
    DualClientToClient,
}

impl Shape {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Rtcp => &[],
            Self::RtcpClientToClient => &["-y"],
            Self::Dual => &["-Z"],
            Self::DualClientToClient => &["-Z", "-y"],
        }
    }

    fn is_dual(self) -> bool {
        matches!(self, Self::Dual | Self::DualClientToClient)
    }

    /// Channels and Send, IPv4 and IPv6. A run waits most of its time, so all four are under way at once.
    fn loses_nothing(self, make: Make, by: By) {
        if self.is_dual() && asks_for_two_families() != Some(true) {
            return;
        }
        let runs = [(Via::Channels, V4), (Via::Channels, V6), (Via::Send, V4), (Via::Send, V6)];
        // Several of the control take one another's relayed ports away; one run shows that the test can pass.
        let runs = if make == Make::Turnkeep { &runs[..] } else { &runs[..1] };
        thread::scope(|scope| {
            for &(via, ip) in runs {
                let run = Run { via, by, ip, flags: self.flags(), ..SMALL };
                let name = thread::current().name().map(str::to_owned).unwrap_or_default();
                let spawned = thread::Builder::new().name(name).spawn_scoped(scope, move || self.run(run, make));
                spawned.expect("a thread");
            }
        });
    }

    fn run(self, run: Run, make: Make) {
        let Some(mut server) = Server::start(make) else { return };
        let Some(result) = run.start_on(&server, true) else { return };
        let totals = result.unwrap_or_else(|output| panic!("no totals in:\n{output}"));
        say(&format!("{make:?}, {run}: {totals}"));
        let all = run.clients * run.messages;
        assert_eq!((totals.sent, totals.received), (all, all), "{run}");
        if make == Make::Turnkeep {
            self.check(run, &mut server);
        }
    }

    /// All messages went both ways through the relay, and the allocations were what the client is for.
    fn check(self, run: Run, server: &mut Server) {
        let path = server.directory().join("audit.jsonl");
        let all = run.clients * run.messages;
        // An allocation's totals are recorded when it ends, and this client does not end all of its own.
        server.stop();
        assert_eq!(relayed(&path), [all, all], "{run}");

        let opened = records(&path, "allocation.open");
        let port = |record: &Value| record["relay"]["port"].as_u64().expect("a port");
        let ports: BTreeSet<u64> = opened.iter().map(port).collect();
        let is_odd = |port: &&u64| *port % 2 == 1;
        let dual = opened.iter().filter(|record| record.get("relay_also").is_some()).count();
        match self {
            // Each asks for an even port with the next one reserved, or has the token for that.
            Self::Rtcp | Self::RtcpClientToClient => {
                assert!(ports.iter().filter(is_odd).all(|port| ports.contains(&(port - 1))), "{run}: {ports:?}");
                assert!(ports.iter().filter(is_odd).count() as u64 >= run.clients / 2, "{run}: {ports:?}");
                assert_eq!(dual, 0, "{run}");
            }
            Self::Dual | Self::DualClientToClient => assert_eq!(dual, opened.len(), "{run}"),
        }
    }
}

/// Messages from clients and to them, of all allocations that have ended.
fn relayed(path: &Path) -> [u64; 2] {
    let ended = records(path, "allocation.close");
    ["c2p", "p2c"].map(|way| ended.iter().filter_map(|record| record["packets"][way].as_u64()).sum())
}

fn records(path: &Path, event: &str) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("an audit trail");
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["event"] == event).collect()
}

/// Whether the client asks for a second family by ADDITIONAL-ADDRESS-FAMILY's number, 0x8000 (RFC 8656 §18.11), as
/// coturn does since 4.8.0. Earlier ones use a draft's, 0x8032, which servers rightly ignore; then a Refresh of the
/// address that they have not got is refused now and then (443, §8.2). Nothing if the program is missing.
fn asks_for_two_families() -> Option<bool> {
    let uclient = find("turnutils_uclient")?;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = UdpSocket::bind((V4, 0)).expect("a loopback address");
    server.set_read_timeout(Some(Duration::from_secs(5))).expect("a positive time");
    let port = server.local_addr().expect("it is bound").port().to_string();
    let mut command = Command::new(uclient);
    command.args(["-Z", "-u", "nobody", "-w", "nothing", "-e", "127.0.0.1", "-p", &port, "127.0.0.1"]);
    let _uclient = Program::start(command, directory.path());
    let mut request = [0; 1500];
    let len = server.recv(&mut request).expect("an Allocate");
    let request = Message::from_bytes(&request[..len]).expect("a STUN message");
    let asks = request.has_attribute(AttributeType::new(0x8000));
    if !asks {
        say("SKIPPED: this turnutils_uclient asks for a second family by a draft's number; coturn's of 4.8.0 does not");
    }
    Some(asks)
}
