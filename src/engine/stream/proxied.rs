//! The PROXY protocol (versions 1 and 2, as HAProxy specifies them): who is behind a proxy that was named in the
//! configuration. What anybody else says of himself is not listened to.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use proxy_header::{Error, ParseConfig, ProxyHeader};

use super::end::StreamEnd;

/// The longest header that is read, extensions included.
pub(super) const MAX_HEADER: usize = 4096;

/// The networks that proxies are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(pub Vec<IpNet>);

impl Proxies {
    /// Whether `ip` is a proxy.
    pub(super) fn have(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Its length, in bytes.
    pub(super) len: usize,
    /// The client, and the address that it asked for; none if the proxy speaks for itself.
    pub(super) ends: Option<(SocketAddr, SocketAddr)>,
}

/// Reads a header at the beginning of `bytes`; none while it is not all there.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Header>, StreamEnd> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, len)) => {
            let ends = header.proxied_address().map(|ends| (ends.source, ends.destination));
            Ok(Some(Header { len, ends }))
        }
        Err(Error::BufferTooShort) if bytes.len() < MAX_HEADER => Ok(None),
        Err(_) => Err(StreamEnd::BadProxyHeader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.9 40000 443\r\n";
    /// The signature, PROXY over TCP and IPv4, 12 bytes of addresses and ports.
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xC0\0\x02\x01\xC6\x33\x64\x09\x9C\x40\x01\xBB";
    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

    fn ends() -> Option<(SocketAddr, SocketAddr)> {
        Some(("192.0.2.1:40000".parse().unwrap(), "198.51.100.9:443".parse().unwrap()))
    }

    #[test]
    fn both_versions_name_the_client() {
        for header in [V1, V2] {
            let bytes = [header, b"\0\x01rest"].concat();
            assert_eq!(read(&bytes), Ok(Some(Header { len: header.len(), ends: ends() })));
        }
        assert_eq!(read(LOCAL), Ok(Some(Header { len: LOCAL.len(), ends: None })));
    }

    #[test]
    fn a_header_is_waited_for_and_nothing_else_is() {
        for header in [V1, V2, LOCAL] {
            for len in 0..header.len() {
                assert_eq!(read(&header[..len]), Ok(None), "{len}");
            }
        }
        for other in [&b"\0\x01\0\0"[..], b"\x16\x03\x01", b"GET /", b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0"] {
            assert_eq!(read(other), Err(StreamEnd::BadProxyHeader), "{other:?}");
        }
    }

    #[test]
    fn networks_are_what_they_say() {
        let proxies = Proxies(vec!["10.0.0.0/24".parse().unwrap(), "2001:db8::5/128".parse().unwrap()]);
        let have = |ip: &str| proxies.have(ip.parse().unwrap());
        assert!(have("10.0.0.7") && have("2001:db8::5"));
        assert!(!have("10.0.1.7") && !have("2001:db8::6") && !have("::ffff:10.0.0.7"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(head in prop::sample::select(vec![&b""[..], &V1[..6], &V2[..12], &V2[..16]]),
                          tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [head, &tail].concat();
            if let Ok(Some(header)) = read(&bytes) {
                prop_assert!(header.len <= bytes.len());
            }
        }
    }
}
