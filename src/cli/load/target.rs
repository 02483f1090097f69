//! Which server is meant.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// As RFC 8656 §6 says.
const PORT: u16 = 3478;

/// The first address of `target`; IPv4 before IPv6 where a name has both.
pub(super) fn resolve(target: &str) -> Result<SocketAddr, String> {
    if let Ok(ip) = target.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, PORT));
    }
    let with_port = if target.contains(':') { target.to_owned() } else { format!("{target}:{PORT}") };
    let mut found: Vec<_> = match with_port.to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => return Err(format!("\"{target}\" is no server's address: {error}")),
    };
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| format!("\"{target}\" has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_port() {
        assert_eq!(resolve("127.0.0.1"), Ok("127.0.0.1:3478".parse().unwrap()));
        assert_eq!(resolve("127.0.0.1:99"), Ok("127.0.0.1:99".parse().unwrap()));
        assert_eq!(resolve("[::1]"), Ok("[::1]:3478".parse().unwrap()));
        assert_eq!(resolve("::1"), Ok("[::1]:3478".parse().unwrap()));
        assert_eq!(resolve("[::1]:99"), Ok("[::1]:99".parse().unwrap()));
        assert!(resolve("127.0.0.1:x").is_err());
    }
}
