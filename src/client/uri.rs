//! `turn:`, `turns:`, `stun:` and `stuns:` URIs (RFC 7065, RFC 7064).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Where a server is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// STUN or TURN.
    pub service: Service,
    /// What carries it.
    pub transport: Transport,
    /// A name or an address.
    pub host: Host,
    /// As given, or the default: 3478, and 5349 behind TLS (RFC 7065 §3.2).
    pub port: u16,
}

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Binding requests alone.
    Stun,
    /// A relay.
    Turn,
}

/// What carries STUN messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// `turn:…?transport=udp`, and `turn:` without a word.
    Udp,
    /// `turn:…?transport=tcp`.
    Tcp,
    /// `turns:…?transport=tcp`, and `turns:` without a word.
    Tls,
    /// `turns:…?transport=udp`.
    Dtls,
}

/// A server's name or address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// To be looked up.
    Name(String),
    /// To be used as it is.
    Address(IpAddr),
}

impl FromStr for Uri {
    type Err = String;

    /// Reads a URI; the error is a sentence that says what to write instead.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(format!("no scheme; write it like turn:{text}"));
        };
        let Some((service, secure)) = read_scheme(scheme) else {
            return Err(format!("\"{scheme}\" is no scheme of a server; write it like turn:{text}"));
        };
        if rest.starts_with("//") {
            return Err(format!("there are no slashes in it; write {scheme}:{}", rest.trim_start_matches('/')));
        }
        let (authority, query) = rest.split_once('?').map_or((rest, None), |(front, query)| (front, Some(query)));
        let transport = Transport::read(query, service, secure)?;
        let (host, port) = split_port(authority)?;
        Ok(Self { service, transport, host: host.parse()?, port: port.unwrap_or(transport.default_port()) })
    }
}

impl Uri {
    /// A relay at `place`, which is `HOST`, `HOST:PORT` or an IPv6 address; the error is a sentence.
    pub fn turn(place: &str, transport: Transport) -> Result<Self, String> {
        let (host, port) = match place.parse::<Ipv6Addr>() {
            Ok(ip) => (Host::Address(ip.into()), None),
            Err(_) => split_port(place).and_then(|(host, port)| Ok((host.parse()?, port)))?,
        };
        let port = port.unwrap_or(transport.default_port());
        Ok(Self { service: Service::Turn, transport, host, port })
    }

    /// Whether `text` begins as a URI does, not as a place.
    pub fn is_meant_by(text: &str) -> bool {
        text.split_once(':').is_some_and(|(scheme, _)| read_scheme(scheme).is_some())
    }
}

/// Schemes are written in any case (RFC 3986 §3.1).
fn read_scheme(scheme: &str) -> Option<(Service, bool)> {
    match scheme.to_ascii_lowercase().as_str() {
        "turn" => Some((Service::Turn, false)),
        "turns" => Some((Service::Turn, true)),
        "stun" => Some((Service::Stun, false)),
        "stuns" => Some((Service::Stun, true)),
        _ => None,
    }
}

impl Transport {
    /// RFC 7065 §3.2.
    const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 3478,
            Self::Tls | Self::Dtls => 5349,
        }
    }

    fn read(query: Option<&str>, service: Service, secure: bool) -> Result<Self, String> {
        let word = match query.map(|query| query.split_once('=').unwrap_or((query, ""))) {
            None => return Ok(if secure { Self::Tls } else { Self::Udp }),
            Some(_) if service == Service::Stun => {
                return Err("a stun: or stuns: URI has nothing behind the port (RFC 7064 §3.1)".into());
            }
            Some(("transport", word)) => word,
            Some((key, _)) => return Err(format!("\"{key}\" is not known there; write ?transport=udp or =tcp")),
        };
        match (word.to_ascii_lowercase().as_str(), secure) {
            ("udp", false) => Ok(Self::Udp),
            ("tcp", false) => Ok(Self::Tcp),
            ("udp", true) => Ok(Self::Dtls),
            ("tcp", true) => Ok(Self::Tls),
            _ => Err(format!("\"{word}\" is no transport; write ?transport=udp or ?transport=tcp")),
        }
    }

    /// As people say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Dtls => "DTLS",
        }
    }
}

/// Host and port of `authority`; the brackets of an IPv6 address stay.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let end_of_literal = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[end_of_literal..].find(':').map(|at| at + end_of_literal) else {
        return Ok((authority, None));
    };
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address stands in brackets: [{authority}]"));
    }
    let port = authority[colon + 1..].parse().ok().filter(|port| *port != 0);
    let port = port.ok_or_else(|| format!("\"{}\" is no port from 1 to 65535", &authority[colon + 1..]))?;
    Ok((&authority[..colon], Some(port)))
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(literal) = text.strip_prefix('[') {
            let ip = literal.strip_suffix(']').and_then(|literal| literal.parse().ok());
            return ip.map(|ip| Self::Address(IpAddr::V6(ip))).ok_or_else(|| format!("\"{text}\" is no IPv6 address"));
        }
        if let Ok(ip) = text.parse() {
            return Ok(Self::Address(ip));
        }
        if text.contains('@') {
            return Err("a user has no place in it (RFC 7065 §3.1); give --user".into());
        }
        let fits = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
        };
        let labels = text.strip_suffix('.').unwrap_or(text);
        if labels.len() > 253 || !labels.split('.').all(fits) {
            return Err(format!("\"{text}\" is neither a host's name nor an address"));
        }
        // "127.0.0.300" is a valid name, and never meant as one.
        if labels.rsplit('.').next().is_some_and(|last| last.bytes().all(|c| c.is_ascii_digit())) {
            return Err(format!("\"{text}\" is no IPv4 address"));
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

/// In full: with the port, and with the transport where it is not the default.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, transport, host, port } = self;
        let scheme = match service {
            Service::Stun => "stun",
            Service::Turn => "turn",
        };
        let (secure, query) = match (transport, service) {
            (Transport::Udp, Service::Turn) => ("", "?transport=udp"),
            (Transport::Tcp, Service::Turn) => ("", "?transport=tcp"),
            (Transport::Udp | Transport::Tcp, Service::Stun) => ("", ""),
            (Transport::Tls, Service::Turn) => ("s", "?transport=tcp"),
            (Transport::Dtls, Service::Turn) => ("s", "?transport=udp"),
            (Transport::Tls | Transport::Dtls, Service::Stun) => ("s", ""),
        };
        write!(f, "{scheme}{secure}:{host}:{port}{query}")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl Serialize for Uri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7065 §3.1 and appendix A, RFC 7064 appendix A: what each means in full.
    #[test]
    fn uris_are_read() {
        for (text, full) in [
            ("turn:example.org", "turn:example.org:3478?transport=udp"),
            ("turns:example.org", "turns:example.org:5349?transport=tcp"),
            ("turn:example.org:8000", "turn:example.org:8000?transport=udp"),
            ("turn:example.org?transport=udp", "turn:example.org:3478?transport=udp"),
            ("turn:example.org?transport=tcp", "turn:example.org:3478?transport=tcp"),
            ("turns:example.org?transport=tcp", "turns:example.org:5349?transport=tcp"),
            ("turns:example.org:443?transport=udp", "turns:example.org:443?transport=udp"),
            ("TURN:Example.ORG?transport=TCP", "turn:example.org:3478?transport=tcp"),
            ("turn:192.0.2.1", "turn:192.0.2.1:3478?transport=udp"),
            ("turn:[2001:db8::1]", "turn:[2001:db8::1]:3478?transport=udp"),
            ("turns:[2001:DB8::1]:443", "turns:[2001:db8::1]:443?transport=tcp"),
            ("stun:example.org", "stun:example.org:3478"),
            ("stuns:example.org", "stuns:example.org:5349"),
            ("stun:example.org:8000", "stun:example.org:8000"),
            ("turn:a_b-c.example.", "turn:a_b-c.example.:3478?transport=udp"),
        ] {
            let uri: Uri = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(uri.to_string(), full);
            assert_eq!(full.parse(), Ok(uri), "{text}");
        }
    }

    #[test]
    fn a_place_is_a_server_as_well() {
        for (place, transport, full) in [
            ("127.0.0.1", Transport::Udp, "turn:127.0.0.1:3478?transport=udp"),
            ("Example.org:99", Transport::Tcp, "turn:example.org:99?transport=tcp"),
            ("example.org", Transport::Tls, "turns:example.org:5349?transport=tcp"),
            ("[::1]:99", Transport::Tls, "turns:[::1]:99?transport=tcp"),
            ("::1", Transport::Udp, "turn:[::1]:3478?transport=udp"),
        ] {
            assert_eq!(Uri::turn(place, transport).map(|uri| uri.to_string()), Ok(full.into()));
            assert!(!Uri::is_meant_by(place) && Uri::is_meant_by(full));
        }
        assert!(Uri::turn("", Transport::Udp).is_err() && Uri::turn("[::1", Transport::Udp).is_err());
    }

    #[test]
    fn what_is_no_uri_says_what_to_write() {
        for (text, why) in [
            ("example.org", "write it like turn:example.org"),
            ("example.org:3478", "write it like turn:example.org:3478"),
            ("https:example.org", "no scheme of a server"),
            ("turn://example.org", "no slashes in it; write turn:example.org"),
            ("turn:", "neither a host's name"),
            ("turn:?transport=udp", "neither a host's name"),
            ("turn:user@example.org", "--user"),
            ("turn:2001:db8::1", "in brackets: [2001:db8::1]"),
            ("turn:[2001:db8::g]", "no IPv6 address"),
            ("turn:[192.0.2.1]", "no IPv6 address"),
            ("turn:[::1", "no port"),
            ("turn:127.0.0.300", "no IPv4 address"),
            ("turn:example.org:0", "no port"),
            ("turn:example.org:65536", "no port"),
            ("turn:example.org:", "no port"),
            ("turn:example.org:3478x", "no port"),
            ("turn:example.org?transport=sctp", "no transport"),
            ("turn:example.org?transport", "no transport"),
            ("turn:example.org?protocol=udp", "?transport=udp"),
            ("stun:example.org?transport=udp", "nothing behind the port"),
            ("turn:exa mple", "neither a host's name"),
            ("turn:-..org", "neither a host's name"),
        ] {
            let error = text.parse::<Uri>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
