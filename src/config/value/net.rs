//! Addresses and networks.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Text, text_value};
use crate::policy::peer::{BadRange, Range, canonical};

/// Where clients are listened for: an address of this host, or all of them (`0.0.0.0`, `[::]`), and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenAddress(SocketAddr);

impl ListenAddress {
    /// As the standard library has it; the port is never 0.
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl Text for ListenAddress {
    fn allowed() -> Cow<'static, str> {
        "an address and a port from 1 to 65535, such as \"0.0.0.0:3478\" or \"[2001:db8::5]:3478\"".into()
    }

    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        if text.parse::<IpAddr>().is_ok() {
            return Err("has no port".into());
        }
        let Ok(address) = text.parse::<SocketAddr>() else { return Err("is no address with a port".into()) };
        if address.port() == 0 {
            return Err("has port 0".into());
        }
        refuse_unusable(address.ip())?;
        Ok(Self(address))
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(ListenAddress);

/// What somebody else listens on: the address of one host, and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendAddress(SocketAddr);

impl BackendAddress {
    /// As the standard library has it; the port is never 0.
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl Text for BackendAddress {
    fn allowed() -> Cow<'static, str> {
        "the address of one host and a port, such as \"127.0.0.1:8443\" or \"[2001:db8::80]:443\"".into()
    }

    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let ListenAddress(address) = ListenAddress::parse(text)?;
        HostIp::parse(&address.ip().to_string())?;
        Ok(Self(address))
    }
}

impl fmt::Display for BackendAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(BackendAddress);

/// The address of one host: no wildcard, no group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostIp(IpAddr);

impl HostIp {
    /// As the standard library has it.
    pub fn get(self) -> IpAddr {
        self.0
    }
}

impl Text for HostIp {
    fn allowed() -> Cow<'static, str> {
        "one IPv4 or IPv6 address without a port, such as \"203.0.113.5\"".into()
    }

    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        if text.parse::<SocketAddr>().is_ok() {
            return Err("has a port".into());
        }
        let Ok(ip) = text.parse::<IpAddr>() else { return Err("is no address".into()) };
        if ip.is_unspecified() {
            return Err("means every address".into());
        }
        refuse_unusable(ip)?;
        Ok(Self(ip))
    }
}

impl From<IpAddr> for HostIp {
    fn from(ip: IpAddr) -> Self {
        Self(ip)
    }
}

impl fmt::Display for HostIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(HostIp);

/// Another relay: its address, and its port where it is not the one that the client came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlternateServer {
    ip: HostIp,
    port: Option<u16>,
}

impl AlternateServer {
    /// Its address.
    pub fn ip(self) -> IpAddr {
        self.ip.get()
    }

    /// Its port, if it is told.
    pub fn port(self) -> Option<u16> {
        self.port
    }
}

impl Text for AlternateServer {
    fn allowed() -> Cow<'static, str> {
        "one address, with or without a port, such as \"198.51.100.8\" or \"[2001:db8::8]:3478\"".into()
    }

    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let (ip, port) = match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => return Err("has port 0".into()),
            Ok(address) => (address.ip().to_string(), Some(address.port())),
            Err(_) => (text.to_owned(), None),
        };
        Ok(Self { ip: HostIp::parse(&ip)?, port })
    }
}

impl fmt::Display for AlternateServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip(), port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

text_value!(AlternateServer);

/// Addresses that no socket of ours can have.
fn refuse_unusable(ip: IpAddr) -> Result<(), Cow<'static, str>> {
    if ip.is_multicast() {
        return Err("is a multicast address".into());
    }
    match ip {
        IpAddr::V4(v4) if v4.is_broadcast() => Err("is the broadcast address".into()),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err("is an IPv4 address in IPv6 clothes: write it as IPv4".into())
        }
        _ => Ok(()),
    }
}

/// A network that a peer rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr(Range);

impl Cidr {
    /// 127.0.0.0/8.
    pub(in crate::config) const LOOPBACK_V4: Self =
        Self(Range(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8))));
    /// ::1.
    pub(in crate::config) const LOOPBACK_V6: Self =
        Self(Range(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128))));

    /// As the `ipnet` crate has it; no host bit is set.
    pub fn get(self) -> IpNet {
        self.0.0
    }
}

impl Text for Cidr {
    fn allowed() -> Cow<'static, str> {
        "an address, or a network without host bits, such as \"10.2.0.0/16\" or \"2001:db8::/32\"".into()
    }

    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        text.parse().map(Self).map_err(|bad| match bad {
            BadRange::Syntax(_) => "is no network".into(),
            BadRange::HostBits { written, meant } => {
                format!("has host bits set: write \"{meant}\", or \"{}\" for the one address", written.addr()).into()
            }
        })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

text_value!(Cidr);

/// A prefix under which a network's NAT64 shows IPv4 hosts (RFC 6052 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64Prefix(canonical::Nat64Prefix);

impl Nat64Prefix {
    /// As policy has it.
    pub fn get(self) -> canonical::Nat64Prefix {
        self.0
    }
}

impl Text for Nat64Prefix {
    fn allowed() -> Cow<'static, str> {
        "an IPv6 prefix of length 32, 40, 48, 56, 64 or 96 without host bits, such as \"2001:db8:64::/96\"".into()
    }

    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let Ok(net) = text.parse::<Ipv6Net>() else { return Err("is no IPv6 prefix".into()) };
        if net != net.trunc() {
            return Err(format!("has host bits set: write \"{}\"", net.trunc()).into());
        }
        match canonical::Nat64Prefix::new(net) {
            Ok(prefix) => Ok(Self(prefix)),
            Err(_) => Err(format!("has length {}", net.prefix_len()).into()),
        }
    }
}

impl fmt::Display for Nat64Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.net().fmt(f)
    }
}

text_value!(Nat64Prefix);

#[cfg(test)]
mod tests {
    use super::*;

    fn why<T: Text>(text: &str) -> String {
        T::parse(text).err().unwrap_or_else(|| "(taken)".into()).into_owned()
    }

    ///
    #[test]
    fn listeners_have_a_port_and_may_be_wildcards() {
        for text in ["0.0.0.0:3478", "[::]:3478", "203.0.113.5:443", "[fe80::1%2]:3478"] {
            assert!(ListenAddress::parse(text).is_ok(), "{text}");
        }
        assert_eq!(why::<ListenAddress>("0.0.0.0"), "has no port");
        assert_eq!(why::<ListenAddress>("::"), "has no port");
        assert_eq!(why::<ListenAddress>("0.0.0.0:0"), "has port 0");
        assert_eq!(why::<ListenAddress>("224.0.0.1:3478"), "is a multicast address");
        assert_eq!(why::<ListenAddress>("255.255.255.255:3478"), "is the broadcast address");
        for text in ["", "0.0.0.0:65536", "0.0.0.0:-1", "0.0.0.0:3478x", "localhost:3478", ":::3478", "300.0.0.1:3478"]
        {
            assert_eq!(why::<ListenAddress>(text), "is no address with a port", "{text:?}");
        }
    }

    #[test]
    fn relayed_addresses_are_single_addresses() {
        assert!(HostIp::parse("203.0.113.5").is_ok());
        assert!(HostIp::parse("2001:db8::5").is_ok());
        assert!(why::<HostIp>("0.0.0.0").starts_with("means every address"));
        assert!(why::<HostIp>("::").starts_with("means every address"));
        assert!(why::<HostIp>("203.0.113.5:3478").starts_with("has a port"));
        assert!(why::<HostIp>("::ffff:203.0.113.5").starts_with("is an IPv4 address"));
        assert_eq!(why::<HostIp>("relay.example.org"), "is no address");
        assert_eq!(why::<HostIp>("ff02::1"), "is a multicast address");
    }

    #[test]
    fn backends_have_an_address_and_a_port() {
        assert!(BackendAddress::parse("127.0.0.1:8443").is_ok() && BackendAddress::parse("[::1]:443").is_ok());
        assert_eq!(why::<BackendAddress>("127.0.0.1"), "has no port");
        assert_eq!(why::<BackendAddress>("0.0.0.0:443"), "means every address");
        assert_eq!(why::<BackendAddress>("localhost:443"), "is no address with a port");
    }

    #[test]
    fn other_relays_have_an_address_and_maybe_a_port() {
        for text in ["198.51.100.8", "198.51.100.8:3478", "2001:db8::8", "[2001:db8::8]:443"] {
            assert_eq!(AlternateServer::parse(text).map(|server| server.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(why::<AlternateServer>("198.51.100.8:0"), "has port 0");
        assert!(why::<AlternateServer>("0.0.0.0:3478").starts_with("means every address"));
        assert_eq!(why::<AlternateServer>("relay-b.example.org"), "is no address");
    }

    #[test]
    fn networks_have_no_host_bits() {
        for text in ["10.0.0.0/8", "203.0.113.5/32", "::/0", "2001:db8::/32", "64:ff9b::/96"] {
            assert!(Cidr::parse(text).is_ok(), "{text}");
        }
        for text in ["10.0.0.0/33", "10.0.0", "10.0.0/8", "::/0/0", "::/129", "10.0.0.0/", "10.0.0.0/-1", ""] {
            assert_eq!(why::<Cidr>(text), "is no network", "{text:?}");
        }
        let expected = "has host bits set: write \"10.0.0.0/8\", or \"10.0.0.5\" for the one address";
        assert_eq!(why::<Cidr>("10.0.0.5/8"), expected);
        assert_eq!(Cidr::parse("10.0.0.5").map(|cidr| cidr.to_string()), Ok("10.0.0.5/32".to_owned()));
    }

    #[test]
    fn nat64_prefixes_have_the_lengths_of_rfc_6052() {
        assert!(Nat64Prefix::parse("2001:db8:64::/96").is_ok());
        assert_eq!(why::<Nat64Prefix>("2001:db8::/33"), "has length 33");
        assert_eq!(why::<Nat64Prefix>("2001:db8::1/96"), "has host bits set: write \"2001:db8::/96\"");
        assert_eq!(why::<Nat64Prefix>("10.0.0.0/8"), "is no IPv6 prefix");
    }
}
