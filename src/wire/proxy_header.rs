//! The header of the PROXY protocol, versions 1 and 2 (haproxy.org, `proxy-protocol.txt`): for whom a proxy speaks, in
//! front of what its client says. Extensions are passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str;

/// The longest header that is read, extensions included.
pub const MAX_PROXY_HEADER: usize = 4096;
/// The longest header that [`ProxyHeader::write`] makes.
pub const WRITTEN_PROXY_HEADER: usize = V2_HEAD + IPV6_ENDS;

const V1_START: &[u8] = b"PROXY ";
/// The specification's bound, its last two bytes included.
const V1_MAX: usize = 107;
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family and transport, and the length of what follows.
const V2_HEAD: usize = 16;
const IPV4_ENDS: usize = 12;
const IPV6_ENDS: usize = 36;
const UNIX_ENDS: usize = 216;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Its length, in bytes.
    pub len: usize,
    /// Who speaks; none if the proxy speaks for itself, or does not tell.
    pub proxied: Option<Proxied>,
}

/// A client behind a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// How it reached the proxy.
    pub transport: ProxiedTransport,
    /// Its address.
    pub client: SocketAddr,
    /// The address that it asked for.
    pub server: SocketAddr,
}

/// How a client reached its proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxiedTransport {
    /// By a connection, as version 1 always has it.
    Stream,
    /// By datagrams.
    Datagram,
}

/// No header begins like this, or not one that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoProxyHeader;

impl ProxyHeader {
    /// Reads the header at the beginning of `bytes`; none while it is not all there.
    ///
    /// # Errors
    /// There is none, whatever may follow.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, NoProxyHeader> {
        match bytes.first() {
            None => Ok(None),
            Some(b'P') => v1(bytes),
            Some(_) => v2(bytes),
        }
    }

    /// Writes the header, of version 2, for a client that has come by a connection, and returns its length. Where one
    /// address is of IPv6, the other is shown as that.
    pub fn write(buffer: &mut [u8; WRITTEN_PROXY_HEADER], client: SocketAddr, server: SocketAddr) -> usize {
        let ports = [client.port(), server.port()].map(u16::to_be_bytes);
        let mut write = |family: u8, len: u8, ips: &[u8]| {
            let parts = [V2_START, &[0x21, family << 4 | 1, 0, len], ips, ports.as_flattened()];
            let bytes = parts.into_iter().flatten();
            buffer.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count()
        };
        match (client.ip(), server.ip()) {
            (IpAddr::V4(client), IpAddr::V4(server)) => {
                write(1, 12, [client, server].map(|ip| ip.octets()).as_flattened())
            }
            (client, server) => write(2, 36, [client, server].map(|ip| as_v6(ip).octets()).as_flattened()),
        }
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// "PROXY TCP4 192.0.2.1 198.51.100.9 40000 443" and the end of the line.
fn v1(bytes: &[u8]) -> Result<Option<ProxyHeader>, NoProxyHeader> {
    if !is_start(bytes, V1_START) {
        return Err(NoProxyHeader);
    }
    let line = bytes.get(..V1_MAX).unwrap_or(bytes);
    let end = line.iter().position(|byte| *byte == b'\r').unwrap_or(line.len());
    match line.get(end..).unwrap_or_default() {
        [_, b'\n', ..] => {}
        [] | [_] if line.len() < V1_MAX => return Ok(None),
        _ => return Err(NoProxyHeader),
    }
    let words = line.get(V1_START.len()..end).and_then(|words| str::from_utf8(words).ok()).ok_or(NoProxyHeader)?;
    let mut words = words.split(' ');
    let proxied = match words.next() {
        // Whatever else it says is not to be looked at.
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(v1_ends(&mut words, |text| text.parse().ok().map(IpAddr::V4))?),
        Some("TCP6") => Some(v1_ends(&mut words, |text| text.parse().ok().map(IpAddr::V6))?),
        _ => return Err(NoProxyHeader),
    };
    Ok(Some(ProxyHeader { len: end.saturating_add(2), proxied }))
}

fn v1_ends<'t>(
    words: &mut impl Iterator<Item = &'t str>,
    ip: impl Fn(&str) -> Option<IpAddr>,
) -> Result<Proxied, NoProxyHeader> {
    let [client, server, client_port, server_port] = [(); 4].map(|()| words.next().unwrap_or_default());
    let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let end = |text: &str, port: Option<u16>| Some(SocketAddr::new(ip(text)?, port?));
    let (client, server) = (end(client, port(client_port)), end(server, port(server_port)));
    match (client, server, words.next()) {
        (Some(client), Some(server), None) => Ok(Proxied { transport: ProxiedTransport::Stream, client, server }),
        _ => Err(NoProxyHeader),
    }
}

fn v2(bytes: &[u8]) -> Result<Option<ProxyHeader>, NoProxyHeader> {
    if !is_start(bytes, V2_START) {
        return Err(NoProxyHeader);
    }
    let Some((head, rest)) = bytes.split_first_chunk::<V2_HEAD>() else { return Ok(None) };
    let [.., command, family, high, low] = *head;
    let body = usize::from(u16::from_be_bytes([high, low]));
    let ends = match command {
        // LOCAL: what follows is not to be looked at.
        0x20 => Ends::Untold,
        0x21 => Ends::of(family).ok_or(NoProxyHeader)?,
        _ => return Err(NoProxyHeader),
    };
    let len = V2_HEAD.saturating_add(body);
    if len > MAX_PROXY_HEADER || body < ends.len() {
        return Err(NoProxyHeader);
    }
    let Some(body) = rest.get(..body) else { return Ok(None) };
    Ok(Some(ProxyHeader { len, proxied: ends.read(body) }))
}

/// What stands behind the head.
#[derive(Clone, Copy)]
enum Ends {
    /// Nothing to be looked at.
    Untold,
    /// Paths, which are nobody's address here.
    Unix,
    V4(ProxiedTransport),
    V6(ProxiedTransport),
}

impl Ends {
    /// By the byte for family and transport.
    fn of(family: u8) -> Option<Self> {
        let transport = match family & 0xF {
            1 => ProxiedTransport::Stream,
            2 => ProxiedTransport::Datagram,
            _ => return (family == 0).then_some(Self::Untold),
        };
        match family >> 4 {
            1 => Some(Self::V4(transport)),
            2 => Some(Self::V6(transport)),
            3 => Some(Self::Unix),
            _ => None,
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Untold => 0,
            Self::Unix => UNIX_ENDS,
            Self::V4(_) => IPV4_ENDS,
            Self::V6(_) => IPV6_ENDS,
        }
    }

    fn read(self, body: &[u8]) -> Option<Proxied> {
        let (transport, (client, server)) = match self {
            Self::Untold | Self::Unix => return None,
            Self::V4(transport) => (transport, v2_ends_v4(body.first_chunk()?)),
            Self::V6(transport) => (transport, v2_ends_v6(body.first_chunk()?)),
        };
        Some(Proxied { transport, client, server })
    }
}

fn v2_ends_v4(ends: &[u8; IPV4_ENDS]) -> (SocketAddr, SocketAddr) {
    let [a, b, c, d, e, f, g, h, ports @ ..] = *ends;
    let [client, server] = [[a, b, c, d], [e, f, g, h]].map(|ip| Ipv4Addr::from(ip).into());
    with_ports(client, server, ports)
}

fn v2_ends_v6(ends: &[u8; IPV6_ENDS]) -> (SocketAddr, SocketAddr) {
    let ip = |at: usize| {
        let mut octets = [0; 16];
        octets.iter_mut().zip(ends.iter().skip(at)).for_each(|(to, from)| *to = *from);
        Ipv6Addr::from(octets).into()
    };
    let [.., a, b, c, d] = *ends;
    with_ports(ip(0), ip(16), [a, b, c, d])
}

fn with_ports(client: IpAddr, server: IpAddr, [a, b, c, d]: [u8; 4]) -> (SocketAddr, SocketAddr) {
    let [from, to] = [[a, b], [c, d]].map(u16::from_be_bytes);
    (SocketAddr::new(client, from), SocketAddr::new(server, to))
}

/// As far as there are bytes, they are those of `start`.
fn is_start(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.9 40000 443\r\n";
    /// PROXY, by a connection over IPv4.
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xC0\0\x02\x01\xC6\x33\x64\x09\x9C\x40\x01\xBB";
    /// The same by datagrams, with an extension of one byte.
    const V2_UDP: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x10\xC0\0\x02\x01\xC6\x33\x64\x09\x9C\x40\x01\xBB\xEE\0\x01x";
    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    const UNKNOWN: &[u8] = b"PROXY UNKNOWN and so on\r\n";

    fn proxied(transport: ProxiedTransport) -> Option<Proxied> {
        let [client, server] = ["192.0.2.1:40000", "198.51.100.9:443"].map(|text| text.parse().unwrap());
        Some(Proxied { transport, client, server })
    }

    #[test]
    fn both_versions_name_the_client() {
        let (stream, datagram) = (proxied(ProxiedTransport::Stream), proxied(ProxiedTransport::Datagram));
        for (header, proxied) in [(V1, stream), (V2, stream), (V2_UDP, datagram), (LOCAL, None), (UNKNOWN, None)] {
            let bytes = [header, b"\0\x01rest"].concat();
            assert_eq!(ProxyHeader::read(&bytes), Ok(Some(ProxyHeader { len: header.len(), proxied })));
        }
    }

    #[test]
    fn a_header_is_waited_for_and_nothing_else_is() {
        for header in [V1, V2, V2_UDP, LOCAL, UNKNOWN] {
            for len in 0..header.len() {
                assert_eq!(ProxyHeader::read(&header[..len]), Ok(None), "{len}");
            }
        }
        let others: [&[u8]; 19] = [
            b"\0\x01\0\0",
            b"\x16\x03\x01",
            b"GET /",
            b"POST",
            b"PROXY\t",
            b"PROXY TCP5 192.0.2.1 198.51.100.9 40000 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.9 +40000 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.9 40000 65536\r\n",
            b"PROXY TCP4 192.0.2.1  198.51.100.9 40000 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.9 40000 443 1\r\n",
            b"PROXY TCP6 192.0.2.1 198.51.100.9 40000 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.9 40000\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.9 40000 443\rx",
            b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0B12345678901",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x13\0\x0C123456789012",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x0F\xF1",
            // As soon as it shows.
            b"\r\n\r\n\0\r\nQUIT\n\x55\0\0\x08",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x22\0\x23",
        ];
        for other in others {
            assert_eq!(ProxyHeader::read(other), Err(NoProxyHeader), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_not_waited_for() {
        let mut line = b"PROXY UNKNOWN ".to_vec();
        line.resize(V1_MAX - 1, b'x');
        assert_eq!(ProxyHeader::read(&line), Ok(None));
        line.push(b'x');
        assert_eq!(ProxyHeader::read(&line), Err(NoProxyHeader));
    }

    #[test]
    fn what_is_written_is_read() {
        for [client, server] in [
            ["192.0.2.1:40000", "198.51.100.9:443"],
            ["[2001:db8::1]:1", "[2001:db8::2]:65535"],
            ["192.0.2.1:40000", "[2001:db8::2]:443"],
        ] {
            let [client, server]: [SocketAddr; 2] = [client, server].map(|text| text.parse().unwrap());
            let mut buffer = [0xEE; WRITTEN_PROXY_HEADER];
            let len = ProxyHeader::write(&mut buffer, client, server);
            let read = ProxyHeader::read(&buffer[..len]).unwrap().unwrap();
            let told = read.proxied.unwrap();
            assert_eq!((read.len, told.transport, told.server), (len, ProxiedTransport::Stream, server));
            assert_eq!((told.client.ip().to_canonical(), told.client.port()), (client.ip(), client.port()));
        }
    }
}
