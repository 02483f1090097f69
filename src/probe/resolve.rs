//! Step one: which addresses a URI's host has.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Instant;

use super::report::{Step, Verdict};
use crate::client::uri::{Host, Uri};

/// Addresses of one family that are tried; a name with more is somebody's round robin.
const MAX_OF_A_FAMILY: usize = 2;

/// The addresses to try, and what to say of them.
pub(super) fn resolve(uri: &Uri) -> (Step, Vec<SocketAddr>) {
    let name = match &uri.host {
        Host::Address(ip) => {
            return (Step::ok("name", "an address: nothing to look up"), vec![SocketAddr::new(*ip, uri.port)]);
        }
        Host::Name(name) => name,
    };
    let begun = Instant::now();
    let found = (name.as_str(), uri.port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    let (step, addresses) = judge(name, found);
    (step.took(begun.elapsed()), addresses)
}

fn judge(name: &str, found: io::Result<Vec<SocketAddr>>) -> (Step, Vec<SocketAddr>) {
    let mut addresses = match found {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) => return (unknown(name, "it has no address"), Vec::new()),
        Err(error) => return (unknown(name, &error.to_string()), Vec::new()),
    };
    addresses.sort_by_key(|address| address.is_ipv6());
    addresses.dedup();
    let of = |is_v6: bool| addresses.iter().copied().filter(move |address| address.is_ipv6() == is_v6);
    let list = |is_v6: bool, kind: &str| {
        let ips: Vec<String> = of(is_v6).map(|address| address.ip().to_string()).collect();
        if ips.is_empty() { format!("no {kind}") } else { format!("{kind} {}", ips.join(", ")) }
    };
    let tried: Vec<_> = of(false).take(MAX_OF_A_FAMILY).chain(of(true).take(MAX_OF_A_FAMILY)).collect();
    let mut said = format!("{}; {}", list(false, "IPv4"), list(true, "IPv6"));
    if tried.len() < addresses.len() {
        said += &format!("; {} of them are tried", tried.len());
    }
    let is_whole = of(false).next().is_some();
    let step = if is_whole {
        Step::ok("name", said)
    } else {
        Step::new("name", Verdict::Warning, said)
            .why("clients in networks without IPv6 find no server")
            .cure(format!("add an A record for {name}"))
    };
    (step, tried)
}

fn unknown(name: &str, why: &str) -> Step {
    Step::fault("name", format!("{name} cannot be looked up: {why}"))
        .cure("correct the name in the URI, or add its A and AAAA records")
        .cure("if others can look it up: this host's resolver, /etc/resolv.conf")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(addresses: &[&str]) -> (Verdict, String, usize) {
        let addresses = addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 3478)).collect();
        let (step, tried) = judge("turn.example", Ok(addresses));
        (step.verdict, step.found, tried.len())
    }

    #[test]
    fn each_family_is_told() {
        let both = judged(&["2001:db8::1", "192.0.2.1", "192.0.2.1"]);
        assert_eq!(both, (Verdict::Ok, "IPv4 192.0.2.1; IPv6 2001:db8::1".into(), 2));
        assert_eq!(judged(&["192.0.2.1"]), (Verdict::Ok, "IPv4 192.0.2.1; no IPv6".into(), 1));
        let (verdict, said, _) = judged(&["2001:db8::1"]);
        assert_eq!((verdict, said.as_str()), (Verdict::Warning, "no IPv4; IPv6 2001:db8::1"));
        let (_, said, tried) = judged(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        assert_eq!((said.ends_with("; 2 of them are tried"), tried), (true, 2));
        assert_eq!(judged(&[]).0, Verdict::Fault);
    }

    #[test]
    fn a_name_that_is_nobodys_is_a_fault() {
        let (step, addresses) = resolve(&"turn:turnkeep.invalid".parse().expect("a URI"));
        assert_eq!((step.verdict, addresses.len()), (Verdict::Fault, 0));
        assert!(step.found.starts_with("turnkeep.invalid cannot be looked up: "), "{}", step.found);
    }
}
