//! Socket addresses in the kernel's layout (ip(7), ipv6(7)), written and read as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Room for a `sockaddr_in` (16 bytes) or a `sockaddr_in6` (28 bytes), aligned like both.
#[derive(Clone, Copy)]
#[repr(C, align(4))]
pub(crate) struct RawAddr([u8; RawAddr::SIZE]);

#[expect(clippy::cast_possible_truncation, reason = "AF_INET is 2 and AF_INET6 is 10")]
const FAMILY_V4: [u8; 2] = (libc::AF_INET as u16).to_ne_bytes();
#[expect(clippy::cast_possible_truncation, reason = "AF_INET is 2 and AF_INET6 is 10")]
const FAMILY_V6: [u8; 2] = (libc::AF_INET6 as u16).to_ne_bytes();
const V4_SIZE: usize = 16;

const _: () = assert!(size_of::<libc::sockaddr_in>() == V4_SIZE && size_of::<libc::sockaddr_in6>() == RawAddr::SIZE);

impl RawAddr {
    /// The longest address, in bytes.
    pub(crate) const SIZE: usize = 28;
    /// Nothing yet.
    pub(crate) const EMPTY: Self = Self([0; Self::SIZE]);

    /// Writes `address` and returns how many bytes of it count. Flow info and scope id are always 0: a peer's address
    /// from the wire must not choose a flow label or an interface.
    pub(crate) fn set(&mut self, address: SocketAddr) -> usize {
        self.0 = [0; Self::SIZE];
        self.0[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address.ip() {
            IpAddr::V4(ip) => {
                self.0[..2].copy_from_slice(&FAMILY_V4);
                self.0[4..8].copy_from_slice(&ip.octets());
                V4_SIZE
            }
            IpAddr::V6(ip) => {
                self.0[..2].copy_from_slice(&FAMILY_V6);
                self.0[8..24].copy_from_slice(&ip.octets());
                Self::SIZE
            }
        }
    }

    /// From a socket address as other calls return it; none if it is too long.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut raw = Self::EMPTY;
        raw.0.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(raw)
    }

    /// The address that the kernel wrote, without flow info and scope id; none for a family that we don't speak.
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        let [f0, f1, p0, p1, rest @ ..] = &self.0;
        let port = u16::from_be_bytes([*p0, *p1]);
        let ip: IpAddr = match [*f0, *f1] {
            FAMILY_V4 => Ipv4Addr::from(*rest.first_chunk::<4>()?).into(),
            FAMILY_V6 => Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?).into(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddrV6;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["192.0.2.1:3478", "[2001:db8::7]:65535", "[::]:0", "0.0.0.0:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut raw = RawAddr([0xFF; RawAddr::SIZE]);
            raw.set(address);
            assert_eq!(raw.get(), Some(address));
        }
    }

    #[test]
    fn flow_info_and_scope_never_reach_the_kernel() {
        let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0x00AB_CDEF, 3);
        let mut raw = RawAddr::EMPTY;
        assert_eq!(raw.set(scoped.into()), 28);
        assert_eq!(raw.get(), Some("[fe80::1]:9".parse().unwrap()));
        assert_eq!((&raw.0[4..8], &raw.0[24..28]), (&[0; 4][..], &[0; 4][..]));
    }

    #[test]
    fn another_family_is_no_address() {
        assert_eq!(RawAddr::EMPTY.get(), None);
    }
}
