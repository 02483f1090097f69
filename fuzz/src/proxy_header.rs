//! PROXY headers, held against the `proxy-header` crate, against their own beginnings, and written again.

use proxy_header::{Error, ParseConfig, Protocol};
use turnkeep::wire::proxy_header::{
    MAX_PROXY_HEADER, NoProxyHeader, Proxied, ProxiedTransport, ProxyHeader, WRITTEN_PROXY_HEADER,
};

/// Reads a header at the beginning of `bytes`.
pub fn run(bytes: &[u8]) {
    let read = ProxyHeader::read(bytes);
    compare(bytes, read);
    match read {
        Ok(Some(header)) => check(bytes, header),
        // What has begun well is shorter than what is waited for.
        Ok(None) => assert!(bytes.len() < MAX_PROXY_HEADER),
        Err(NoProxyHeader) => {}
    }
}

/// A header is one from its last byte on and not before, whatever follows.
fn check(bytes: &[u8], header: ProxyHeader) {
    let ProxyHeader { len, proxied } = header;
    assert!((15..=MAX_PROXY_HEADER).contains(&len) && len <= bytes.len());
    for short in 0..len {
        assert_eq!(ProxyHeader::read(&bytes[..short]), Ok(None), "{short}");
    }
    assert_eq!(ProxyHeader::read(&bytes[..len]), Ok(Some(header)));
    let Some(Proxied { client, server, .. }) = proxied else { return };
    let mut written = [0; WRITTEN_PROXY_HEADER];
    let len = ProxyHeader::write(&mut written, client, server);
    let proxied = Some(Proxied { transport: ProxiedTransport::Stream, client, server });
    assert_eq!(ProxyHeader::read(&written[..len]), Ok(Some(ProxyHeader { len, proxied })));
}

/// What we take the other takes in the same sense; where we differ we are the stricter one.
fn compare(bytes: &[u8], read: Result<Option<ProxyHeader>, NoProxyHeader>) {
    let other = proxy_header::ProxyHeader::parse(bytes, ParseConfig { include_tlvs: false, ..ParseConfig::default() });
    match (read, other) {
        (Ok(Some(ours)), Ok((theirs, len))) => {
            let proxied = theirs.proxied_address().map(|address| Proxied {
                transport: match address.protocol {
                    Protocol::Stream => ProxiedTransport::Stream,
                    Protocol::Datagram => ProxiedTransport::Datagram,
                },
                client: address.source,
                server: address.destination,
            });
            assert_eq!(ours, ProxyHeader { len, proxied });
        }
        // The proxy speaks for itself, and the addresses that follow are none: not to be looked at, and theirs looks.
        (Ok(Some(ours)), Err(_)) => assert!(ours.proxied.is_none(), "{ours:?} is none for them"),
        // Of what has come in part neither takes anything; of a line that is wrong we wait for the end.
        (Ok(None), Err(error)) => assert!(matches!(error, Error::BufferTooShort) || bytes.starts_with(b"P")),
        (Ok(None), Ok(other)) => panic!("we wait, and they say {other:?}"),
        // They let pass another byte than a blank behind PROXY, signs of ports, and headers that are too long.
        (Err(NoProxyHeader), _) => {}
    }
}
