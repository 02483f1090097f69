//! A relay that is being emptied sends new allocations to others, and serves those that it has (RFC 8489 §10, RFC 8656
//! §7.2, step 11).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::relay::Path;
use crate::relay::seam::Alternate;

/// Where clients are sent instead; nowhere unless it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// The server for clients that come by IPv4.
    pub v4: Option<Target>,
    /// The server for clients that come by IPv6.
    pub v6: Option<Target>,
    /// The name in their certificate, if it is not the one in ours.
    pub domain: Option<Arc<str>>,
}

/// Another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub ip: IpAddr,
    /// Its port; if none, the one that the client came to.
    pub port: Option<u16>,
}

impl Drain {
    /// Where the client on `path` is sent, if it is. A client is never sent to an address of the other family alone,
    /// which it may have no way to (RFC 8489 §10: the first is of the family that the request came by).
    pub fn redirect(&self, path: &Path) -> Option<Alternate> {
        let (own, other) = if path.client.ip().is_ipv4() { (self.v4, self.v6) } else { (self.v6, self.v4) };
        let at = |target: Target| SocketAddr::new(target.ip, target.port.unwrap_or(path.server.port()));
        Some(Alternate { server: at(own?), other: other.map(at), domain: self.domain.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::{ClientAddr, ListenerId, ServerAddr, Transport};

    fn path(client: &str, port: u16) -> Path {
        Path {
            client: ClientAddr(client.parse().unwrap()),
            server: ServerAddr(([192, 0, 2, 9], port).into()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        }
    }

    /// C-052: RFC 8489 §10.
    #[test]
    fn a_client_is_sent_to_its_own_family_first_and_never_without_it() {
        let v4 = Target { ip: "192.0.2.10".parse().unwrap(), port: None };
        let v6 = Target { ip: "2001:db8::10".parse().unwrap(), port: Some(5349) };
        let both = Drain { v4: Some(v4), v6: Some(v6), domain: None };
        let sent = |drain: &Drain, client| {
            let alternate = drain.redirect(&path(client, 3478))?;
            Some((alternate.server.to_string(), alternate.other.map(|other| other.to_string())))
        };
        let (a, b) = ("192.0.2.10:3478".to_owned(), "[2001:db8::10]:5349".to_owned());
        assert_eq!(sent(&both, "203.0.113.5:1"), Some((a.clone(), Some(b.clone()))));
        assert_eq!(sent(&both, "[2001:db8::5]:1"), Some((b, Some(a.clone()))));
        let only_v4 = Drain { v6: None, ..both };
        assert_eq!(sent(&only_v4, "203.0.113.5:1"), Some((a, None)));
        assert_eq!(sent(&only_v4, "[2001:db8::5]:1"), None);
        assert_eq!(sent(&Drain::default(), "203.0.113.5:1"), None);
    }
}
