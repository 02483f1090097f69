//! Proxies that were named in the configuration, and what they say of those behind them. What anybody else says of
//! himself is not listened to.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::end::StreamEnd;
use crate::wire::proxy_header::{Proxied, ProxiedTransport, ProxyHeader};

/// The networks that proxies are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(pub Vec<IpNet>);

impl Proxies {
    /// Whether `ip` is a proxy.
    pub(in crate::engine) fn have(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }
}

/// What a header says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Its length, in bytes.
    pub(super) len: usize,
    /// The client, and the address that it asked for; none if the proxy speaks for itself.
    pub(super) ends: Option<(SocketAddr, SocketAddr)>,
}

/// Reads a header at the beginning of `bytes`; none while it is not all there.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Header>, StreamEnd> {
    let Some(ProxyHeader { len, proxied }) = ProxyHeader::read(bytes).map_err(|_| StreamEnd::BadProxyHeader)? else {
        return Ok(None);
    };
    match proxied {
        None => Ok(Some(Header { len, ends: None })),
        Some(Proxied { transport: ProxiedTransport::Stream, client, server }) => {
            Ok(Some(Header { len, ends: Some((client, server)) }))
        }
        Some(Proxied { transport: ProxiedTransport::Datagram, .. }) => Err(StreamEnd::BadProxyHeader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xC0\0\x02\x01\xC6\x33\x64\x09\x9C\x40\x01\xBB";
    const UDP: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0C\xC0\0\x02\x01\xC6\x33\x64\x09\x9C\x40\x01\xBB";
    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

    #[test]
    fn only_connections_are_spoken_of() {
        let ends = Some(("192.0.2.1:40000".parse().unwrap(), "198.51.100.9:443".parse().unwrap()));
        assert_eq!(read(TCP), Ok(Some(Header { len: TCP.len(), ends })));
        assert_eq!(read(LOCAL), Ok(Some(Header { len: LOCAL.len(), ends: None })));
        assert_eq!(read(&TCP[..20]), Ok(None));
        assert_eq!(read(UDP), Err(StreamEnd::BadProxyHeader));
        assert_eq!(read(b"GET /"), Err(StreamEnd::BadProxyHeader));
    }

    #[test]
    fn networks_are_what_they_say() {
        let proxies = Proxies(vec!["10.0.0.0/24".parse().unwrap(), "2001:db8::5/128".parse().unwrap()]);
        let have = |ip: &str| proxies.have(ip.parse().unwrap());
        assert!(have("10.0.0.7") && have("2001:db8::5"));
        assert!(!have("10.0.1.7") && !have("2001:db8::6") && !have("::ffff:10.0.0.7"));
    }
}
