//! Which server is meant, and how it is reached: an address, a name, or a TURN URI (RFC 7065).

use std::net::{SocketAddr, ToSocketAddrs};

use crate::client::uri::{self, Host, Service, Uri};
use crate::load::settings::Transport;

/// How to write one.
const MEND: &str = "write HOST, HOST:PORT, or a URI without slashes such as turn:HOST:PORT or turns:HOST (RFC 7065)";

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
    /// The address or the name as it was written: the one that the server's certificate is for.
    pub(super) host: String,
}

/// Reads `target`, and looks its name up; IPv4 before IPv6 where it has both. `asked` is the transport that was asked
/// for beside it.
///
/// # Errors
/// A sentence.
pub(super) fn resolve(target: &str, asked: Option<Transport>) -> Result<Target, String> {
    let uri = read(target, asked).map_err(|why| format!("\"{target}\" is no target: {why}"))?;
    let transport = match uri.transport {
        uri::Transport::Udp => Transport::Udp,
        uri::Transport::Tcp => Transport::Tcp,
        uri::Transport::Tls => Transport::Tls,
        uri::Transport::Dtls => return Err("turns: over UDP is DTLS, which the load tester does not speak".to_owned()),
    };
    if let Some(asked) = asked.filter(|asked| *asked != transport) {
        return Err(format!("\"{target}\" says {}, and --transport {}", transport.name(), asked.name()));
    }
    match uri.host {
        Host::Address(ip) => Ok(Target { address: SocketAddr::new(ip, uri.port), transport, host: ip.to_string() }),
        Host::Name(name) => {
            let address = look_up(&name, uri.port).map_err(|why| format!("\"{name}\" cannot be looked up: {why}"))?;
            // No certificate names the root.
            Ok(Target { address, transport, host: name.trim_end_matches('.').to_owned() })
        }
    }
}

fn read(target: &str, asked: Option<Transport>) -> Result<Uri, String> {
    if !Uri::is_meant_by(target) {
        let transport = match asked {
            None | Some(Transport::Udp) => uri::Transport::Udp,
            Some(Transport::Tcp) => uri::Transport::Tcp,
            Some(Transport::Tls) => uri::Transport::Tls,
        };
        return Uri::turn(target, transport).map_err(|why| format!("{why}; {MEND}"));
    }
    let uri: Uri = target.parse()?;
    match uri.service {
        Service::Turn => Ok(uri),
        Service::Stun => Err(format!("a relay is measured, not STUN alone; {MEND}")),
    }
}

fn look_up(host: &str, port: u16) -> Result<SocketAddr, String> {
    let mut found: Vec<_> = (host, port).to_socket_addrs().map_err(|error| error.to_string())?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| "the name has none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(target: &str) -> Result<(String, Transport), String> {
        resolve(target, None).map(|target| (target.address.to_string(), target.transport))
    }

    #[test]
    fn a_target_has_a_port() {
        for (target, address) in [
            ("127.0.0.1", "127.0.0.1:3478"),
            ("127.0.0.1:99", "127.0.0.1:99"),
            ("[::1]", "[::1]:3478"),
            ("::1", "[::1]:3478"),
            ("[::1]:99", "[::1]:99"),
        ] {
            assert_eq!(found(target), Ok((address.into(), Transport::Udp)));
        }
        assert!(found("127.0.0.1:x").is_err() && found("[::1").is_err());
    }

    /// RFC 7065 §3.
    #[test]
    fn a_uri_says_how_as_well() {
        for (target, address, transport) in [
            ("turn:127.0.0.1", "127.0.0.1:3478", Transport::Udp),
            ("turn:127.0.0.1:99?transport=tcp", "127.0.0.1:99", Transport::Tcp),
            ("TURN:127.0.0.1", "127.0.0.1:3478", Transport::Udp),
            ("turns:[::1]", "[::1]:5349", Transport::Tls),
            ("turns:127.0.0.1:443?transport=tcp", "127.0.0.1:443", Transport::Tls),
        ] {
            assert_eq!(found(target), Ok((address.into(), transport)));
        }
        assert!(found("turns:127.0.0.1?transport=udp").is_err_and(|error| error.contains("DTLS")));
        assert!(found("turn:127.0.0.1?transport=sctp").is_err_and(|error| error.contains("sctp")));
        for (target, why) in [
            ("turn:", "neither a host's name"),
            ("", "turn:HOST"),
            ("http://127.0.0.1", "turn:HOST"),
            ("stun:127.0.0.1", "turn:HOST"),
            ("turn://127.0.0.1", "no slashes in it; write turn:127.0.0.1"),
        ] {
            assert!(found(target).is_err_and(|error| error.contains(why)), "{target}: {:?}", found(target));
        }
        assert!(found("turn:127.0.0.1?ttl=3").is_err_and(|error| error.contains("ttl")));
    }

    #[test]
    fn what_is_asked_for_beside_it_counts_unless_it_differs() {
        let tls = resolve("127.0.0.1", Some(Transport::Tls)).unwrap();
        assert_eq!((tls.address.port(), tls.host.as_str()), (5349, "127.0.0.1"));
        assert!(resolve("turn:127.0.0.1?transport=tcp", Some(Transport::Tcp)).is_ok());
        assert!(resolve("turn:127.0.0.1", Some(Transport::Tls)).is_err_and(|error| error.contains("--transport tls")));
    }
}
