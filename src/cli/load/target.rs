//! Which server is meant, and how it is reached: an address, a name, or a TURN URI (RFC 7065).

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use crate::load::settings::Transport;

/// As RFC 8656 §6 says; over TLS the second.
const PORT: u16 = 3478;
const TLS_PORT: u16 = 5349;

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

/// Reads `target`, and looks its name up; IPv4 before IPv6 where it has both. `transport` is what was asked for beside
/// it.
///
/// # Errors
/// A sentence.
pub(super) fn resolve(target: &str, transport: Option<Transport>) -> Result<Target, String> {
    let (place, said) = uri(target)?;
    if let (Some(said), Some(asked)) = (said, transport)
        && said != asked
    {
        return Err(format!("\"{target}\" says {}, and --transport {}", said.name(), asked.name()));
    }
    let transport = said.or(transport).unwrap_or(Transport::Udp);
    let (host, port) = host_and_port(place);
    let port = match port {
        None if transport == Transport::Tls => TLS_PORT,
        None => PORT,
        Some(port) => port.parse().map_err(|_| format!("\"{target}\" has no port that can be"))?,
    };
    let address = match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port),
        Err(_) if host.is_empty() => return Err(format!("\"{target}\" names no server; {MEND}")),
        Err(_) => look_up(host, port).map_err(|error| format!("\"{host}\" is no server's address: {error}; {MEND}"))?,
    };
    Ok(Target { address, transport, host: host.to_owned() })
}

/// What a URI says, or what is none.
fn uri(target: &str) -> Result<(&str, Option<Transport>), String> {
    // Schemes are written in any case (RFC 3986 §3.1).
    let (rest, is_secure) = match target.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("turn") => (rest, false),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("turns") => (rest, true),
        _ => return Ok((target, None)),
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let transport = match (query.strip_prefix("transport="), is_secure) {
        (None, _) if !query.is_empty() => Err(format!("\"{query}\" is no part of a TURN URI (RFC 7065)")),
        (None | Some("udp"), false) => Ok(Transport::Udp),
        (Some("tcp"), false) => Ok(Transport::Tcp),
        (None | Some("tcp"), true) => Ok(Transport::Tls),
        (Some("udp"), true) => Err("turns: over UDP is DTLS, which the load tester does not speak".to_owned()),
        (Some(other), _) => Err(format!("there is no transport \"{other}\" in a TURN URI (RFC 7065)")),
    };
    transport.map(|transport| (place, Some(transport)))
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, `v6`.
fn host_and_port(place: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match place.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (place, None),
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
        for (target, why) in [("turn:", "names no server"), ("", "names no server"), ("turn://127.0.0.1", "slashes")] {
            assert!(found(target).is_err_and(|error| error.contains(why) && error.contains("turn:HOST")), "{target}");
        }
        assert!(found("turn:127.0.0.1?ttl=3").is_err_and(|error| error.contains("ttl=3")));
    }

    #[test]
    fn what_is_asked_for_beside_it_counts_unless_it_differs() {
        let tls = resolve("127.0.0.1", Some(Transport::Tls)).unwrap();
        assert_eq!((tls.address.port(), tls.host.as_str()), (5349, "127.0.0.1"));
        assert!(resolve("turn:127.0.0.1?transport=tcp", Some(Transport::Tcp)).is_ok());
        assert!(resolve("turn:127.0.0.1", Some(Transport::Tls)).is_err_and(|error| error.contains("--transport tls")));
    }
}
