//! Clients whose datagrams come by way of a proxy, which tells by a PROXY header (version 2) who they are. Proxies do
//! so in each datagram (dnsdist, caddy-l4, go-mmproxy), or in the first one of a client alone, with something behind it
//! or nothing (Cloudflare's Spectrum, frp): both will do. A proxy keeps a port of its own for each client then, and for
//! as long as it does, what comes from that port is the client's and what goes to the client goes there.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::stream::Proxies;
use crate::relay::{ClientAddr, Instant, Path, ServerAddr};
use crate::wire::proxy_header::{Proxied, ProxiedTransport, ProxyHeader};

/// Those of one worker.
pub(super) struct ProxiedClients {
    proxies: Proxies,
    /// Whoever has spoken or been spoken to lately.
    young: Generation,
    /// Who has not since `young` was begun: forgotten when the next one is.
    old: Generation,
    begun: Instant,
}

/// Each client's flow, by either end.
#[derive(Default)]
struct Generation {
    clients: HashMap<(SocketAddr, ServerAddr), ClientAddr, RandomState>,
    proxies: HashMap<(ClientAddr, ServerAddr), SocketAddr, RandomState>,
}

/// A proxy has not said for whom it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unintroduced;

/// Flows of a generation, of which there are two. A proxy can invent as many clients as it likes; who is being relayed
/// for is young all the time.
const GENERATION: usize = 32_768;
/// How long a generation lasts at most: longer than a client with an allocation is silent (RFC 8656 §7.2).
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The first byte of a header; neither STUN nor ChannelData begins like this.
const HEADER: u8 = b'\r';

impl ProxiedClients {
    /// None if nobody is a proxy.
    pub(super) fn new(proxies: &Proxies, now: Instant) -> Option<Box<Self>> {
        let (young, old) = Default::default();
        (!proxies.0.is_empty()).then(|| Box::new(Self { proxies: proxies.clone(), young, old, begun: now }))
    }

    /// Who sent `datagram`, which came on `path`, and how many bytes of it a proxy has put in front.
    pub(super) fn sender(
        &mut self,
        now: Instant,
        path: &Path,
        datagram: &[u8],
    ) -> Result<(ClientAddr, usize), Unintroduced> {
        let (from, server) = (path.client.0, path.server);
        if !self.proxies.have(from.ip()) {
            return Ok((path.client, 0));
        }
        if datagram.first() != Some(&HEADER) {
            let client = self.young.clients.get(&(from, server)).or_else(|| self.old.clients.get(&(from, server)));
            let client = *client.ok_or(Unintroduced)?;
            self.keep(now, from, server, client);
            return Ok((client, 0));
        }
        let (client, len) = match ProxyHeader::read(datagram) {
            Ok(Some(ProxyHeader {
                len,
                proxied: Some(Proxied { transport: ProxiedTransport::Datagram, client, .. }),
            })) => (ClientAddr(client), len),
            // It speaks for itself: it looks whether we are well.
            Ok(Some(ProxyHeader { len, proxied: None })) => (path.client, len),
            _ => return Err(Unintroduced),
        };
        self.keep(now, from, server, client);
        Ok((client, len))
    }

    /// Where a datagram goes that is for the client of `path`: to the proxy that it came by last, or to itself.
    pub(super) fn way_to(&mut self, now: Instant, path: &Path) -> SocketAddr {
        let Path { client, server, .. } = *path;
        let Some(proxy) = self.young.proxies.get(&(client, server)) else {
            let Some(proxy) = self.old.proxies.get(&(client, server)).copied() else { return client.0 };
            self.keep(now, proxy, server, client);
            return proxy;
        };
        *proxy
    }

    fn keep(&mut self, now: Instant, proxy: SocketAddr, server: ServerAddr, client: ClientAddr) {
        if self.young.clients.len() >= GENERATION || now.since(self.begun) >= LIFETIME {
            self.old = std::mem::take(&mut self.young);
            self.begun = now;
        }
        self.young.clients.insert((proxy, server), client);
        self.young.proxies.insert((client, server), proxy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::{ListenerId, Transport};

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn path(client: SocketAddr) -> Path {
        let server = ServerAddr(address("192.0.2.9:3478"));
        Path { client: ClientAddr(client), server, transport: Transport::Udp, listener: ListenerId(0) }
    }

    fn proxied() -> Box<ProxiedClients> {
        let proxies = Proxies(vec!["10.0.0.0/24".parse().unwrap()]);
        ProxiedClients::new(&proxies, Instant::default()).unwrap()
    }

    /// The header for a client at 192.0.2.1.
    fn header(port: u16) -> Vec<u8> {
        let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0C\xC0\0\x02\x01\xC6\x33\x64\x09";
        [&start[..], &port.to_be_bytes(), b"\x0D\x96"].concat()
    }

    fn client(port: u16) -> ClientAddr {
        ClientAddr(SocketAddr::new("192.0.2.1".parse().unwrap(), port))
    }

    const NOW: fn() -> Instant = Instant::default;

    #[test]
    fn nobody_is_asked_where_there_is_no_proxy() {
        assert!(ProxiedClients::new(&Proxies::default(), NOW()).is_none());
    }

    #[test]
    fn a_header_tells_who_it_is_for_itself_and_for_what_follows() {
        let mut proxied = proxied();
        let by = path(address("10.0.0.1:5000"));
        assert_eq!(proxied.sender(NOW(), &by, b"\0\x01"), Err(Unintroduced), "who?");
        assert_eq!(proxied.sender(NOW(), &by, &header(1000)), Ok((client(1000), 28)));
        assert_eq!(proxied.sender(NOW(), &by, b"\0\x01"), Ok((client(1000), 0)));
        assert_eq!(proxied.way_to(NOW(), &path(client(1000).0)), by.client.0);
        // Another client has the port now, and the first one another port.
        let other = path(address("10.0.0.1:5001"));
        assert_eq!(proxied.sender(NOW(), &by, &header(2000)), Ok((client(2000), 28)));
        assert_eq!(proxied.sender(NOW(), &other, &[&header(1000)[..], b"x"].concat()), Ok((client(1000), 28)));
        assert_eq!(proxied.sender(NOW(), &by, b"\0\x01"), Ok((client(2000), 0)));
        assert_eq!(proxied.way_to(NOW(), &path(client(1000).0)), other.client.0);
    }

    #[test]
    fn a_proxy_can_speak_for_itself() {
        let mut proxied = proxied();
        let by = path(address("10.0.0.1:5000"));
        assert_eq!(proxied.sender(NOW(), &by, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0\0\x01"), Ok((by.client, 16)));
        assert_eq!(proxied.way_to(NOW(), &by), by.client.0);
    }

    ///
    #[test]
    fn nobody_else_is_believed() {
        let mut proxied = proxied();
        let stranger = path(address("10.0.1.1:5000"));
        assert_eq!(proxied.sender(NOW(), &stranger, &header(1000)), Ok((stranger.client, 0)), "it is a datagram");
        assert_eq!(proxied.way_to(NOW(), &path(client(1000).0)), client(1000).0);
        // For connections, broken, or of the version that is text.
        let mut tcp = header(1000);
        tcp[13] = 0x11;
        for bad in [&tcp[..], &header(1000)[..27], b"\r\n", b"PROXY TCP4 192.0.2.1 198.51.100.9 40000 443\r\n"] {
            assert_eq!(proxied.sender(NOW(), &path(address("10.0.0.1:5000")), bad), Err(Unintroduced));
        }
    }

    #[test]
    fn who_is_silent_is_forgotten_and_who_is_not_stays() {
        let mut proxied = proxied();
        let port = |port: u16| path(SocketAddr::new("10.0.0.1".parse().unwrap(), port));
        for (by, at) in [(1, 1000), (2, 2000)] {
            proxied.sender(NOW(), &port(by), &header(at)).unwrap();
        }
        let mut now = NOW();
        for _ in 0..3 {
            now = now.after(LIFETIME);
            assert_eq!(proxied.way_to(now, &path(client(1000).0)), port(1).client.0, "spoken to");
            proxied.sender(now, &port(3), &header(3000)).unwrap();
        }
        assert_eq!(proxied.sender(now, &port(2), b"\0\x01"), Err(Unintroduced));
        assert_eq!(proxied.way_to(now, &path(client(2000).0)), client(2000).0);
    }

    #[test]
    fn a_proxy_that_invents_clients_fills_no_more_than_its_place() {
        let mut proxied = proxied();
        for by in 1..=u16::MAX {
            for ip in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
                let by = path(SocketAddr::new(ip.parse().unwrap(), by));
                proxied.sender(NOW(), &by, &header(by.client.port())).unwrap();
            }
        }
        for generation in [&proxied.young, &proxied.old] {
            assert!(generation.clients.len() <= GENERATION && generation.proxies.len() <= GENERATION);
        }
    }
}
