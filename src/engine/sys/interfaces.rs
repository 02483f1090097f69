//! This host's own addresses (getifaddrs(3)).

use std::io;
use std::net::IpAddr;
use std::ptr::{self, NonNull};

use super::checked;
use super::sockaddr::RawAddr;

/// Every address of every interface and the broadcast addresses of their networks, each once: whatever is sent to one
/// of them reaches this host.
///
/// # Errors
/// The kernel's or the C library's, such as a sandbox that forbids netlink sockets.
pub(crate) fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let list = List::get()?;
    let own = list.entries().filter_map(|entry| address_of(entry.ifa_addr));
    let mut addresses: Vec<IpAddr> = own.chain(list.entries().filter_map(broadcast_address)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

struct List(Option<NonNull<libc::ifaddrs>>);

impl List {
    fn get() -> io::Result<Self> {
        let mut head = ptr::null_mut();
        // SAFETY: `head` is a place for the result.
        checked(unsafe { libc::getifaddrs(&raw mut head) })?;
        Ok(Self(NonNull::new(head)))
    }

    fn entries(&self) -> impl Iterator<Item = &libc::ifaddrs> {
        std::iter::successors(self.0, |entry| {
            // SAFETY: an entry of the list, which is intact until `self` is dropped.
            NonNull::new(unsafe { entry.as_ref() }.ifa_next)
        })
        // SAFETY: as above, and the references are bounded by the borrow of `self`.
        .map(|entry| unsafe { entry.as_ref() })
    }
}

impl Drop for List {
    fn drop(&mut self) {
        if let Some(head) = self.0 {
            // SAFETY: the list came from `getifaddrs` and no reference outlives `self`.
            unsafe { libc::freeifaddrs(head.as_ptr()) };
        }
    }
}

/// The broadcast address of an IPv4 network. Where the interface cannot broadcast, or the network is too small for it
/// (RFC 3021), the field holds the other end of the link, who is a stranger.
fn broadcast_address(entry: &libc::ifaddrs) -> Option<IpAddr> {
    let can_broadcast = u32::try_from(libc::IFF_BROADCAST).is_ok_and(|flag| entry.ifa_flags & flag != 0);
    let Some(IpAddr::V4(mask)) = address_of(entry.ifa_netmask) else { return None };
    (can_broadcast && mask.to_bits().leading_ones() < 31).then(|| address_of(entry.ifa_ifu)).flatten()
}

/// `address` is null, or a socket address whose family says how long it is.
fn address_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    let address = NonNull::new(address.cast_mut())?;
    // SAFETY: every socket address starts with its family; it need not be aligned for more.
    let family = unsafe { address.cast::<libc::sa_family_t>().read_unaligned() };
    let size = match i32::from(family) {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => return None,
    };
    // SAFETY: the family says that `size` bytes are there; they are only read while the list is alive.
    let bytes = unsafe { std::slice::from_raw_parts(address.cast::<u8>().as_ptr(), size) };
    RawAddr::from_bytes(bytes)?.get().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn loopback_is_ours_and_every_address_can_be_bound() {
        let addresses = local_addresses().unwrap();
        assert!(addresses.contains(&Ipv4Addr::LOCALHOST.into()), "{addresses:?}");
        for address in addresses {
            // A link-local address can be bound with a scope id only.
            if address.is_ipv4() || address.is_loopback() {
                std::net::UdpSocket::bind((address, 0)).unwrap();
            }
        }
    }
}
