//! The permissions of one allocation (RFC 8656 §9): by peer address, for 300 seconds.

use std::net::IpAddr;

use super::addr::Family;
use super::clock::Instant;
use super::limits::{MAX_PERMISSIONS, PERMISSION_LIFETIME};
use super::seam::PeerPorts;

/// One permission.
#[derive(Clone, Debug)]
pub(super) struct Permission {
    ip: IpAddr,
    /// Which ports of the address policy lets through; judged when the permission was made.
    pub(super) ports: PeerPorts,
    expires: Instant,
}

/// Sorted by address; expired entries stay until room is needed.
#[derive(Default)]
pub(super) struct Permissions {
    entries: Vec<Permission>,
}

impl Permissions {
    /// The live permission for `ip`.
    pub(super) fn get(&self, ip: IpAddr, now: Instant) -> Option<&Permission> {
        let index = self.find(ip).ok()?;
        self.entries.get(index).filter(|permission| permission.expires > now)
    }

    /// Whether `ips` can all have a permission: what exists costs nothing (D-32 of docs/conformance.md: refreshing
    /// never counts as new).
    pub(super) fn have_room_for(&mut self, ips: impl Iterator<Item = IpAddr> + Clone, now: Instant) -> bool {
        if self.len_with(ips.clone()) > MAX_PERMISSIONS {
            self.entries.retain(|permission| permission.expires > now);
        }
        self.len_with(ips) <= MAX_PERMISSIONS
    }

    /// How many entries there are once all of `ips` have one.
    fn len_with(&self, ips: impl Iterator<Item = IpAddr>) -> usize {
        let new = ips.filter(|ip| self.find(*ip).is_err()).count();
        self.entries.len().saturating_add(new)
    }

    /// Installs the permission for `ip`, or sets it back to its full lifetime. Returns when it expires.
    pub(super) fn install(&mut self, ip: IpAddr, ports: PeerPorts, now: Instant) -> Instant {
        let permission = Permission { ip, ports, expires: now.after(PERMISSION_LIFETIME) };
        let expires = permission.expires;
        match self.find(ip) {
            Ok(index) => {
                if let Some(entry) = self.entries.get_mut(index) {
                    *entry = permission;
                }
            }
            Err(index) => self.entries.insert(index, permission),
        }
        expires
    }

    /// Drops those of one family.
    pub(super) fn forget(&mut self, family: Family) {
        self.entries.retain(|permission| Family::of(permission.ip) != family);
    }

    fn find(&self, ip: IpAddr) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.ip.cmp(&ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    fn ip(number: usize) -> IpAddr {
        IpAddr::from(u32::try_from(0x0a00_0000 + number).unwrap().to_be_bytes())
    }

    #[test]
    fn lives_for_300_seconds_from_its_last_refresh() {
        let mut permissions = Permissions::default();
        permissions.install(ip(1), PeerPorts::Any, at(0));
        assert!(permissions.get(ip(1), at(299)).is_some());
        assert!(permissions.get(ip(1), at(300)).is_none());
        assert!(permissions.get(ip(2), at(0)).is_none());
        permissions.install(ip(1), PeerPorts::Any, at(299));
        assert!(permissions.get(ip(1), at(598)).is_some());
    }

    #[test]
    fn at_the_cap_only_what_exists_is_refreshed_and_expired_ones_make_room() {
        let mut permissions = Permissions::default();
        for number in 0..MAX_PERMISSIONS {
            assert!(permissions.have_room_for(std::iter::once(ip(number)), at(0)));
            permissions.install(ip(number), PeerPorts::Any, at(0));
        }
        assert!(!permissions.have_room_for(std::iter::once(ip(MAX_PERMISSIONS)), at(1)));
        assert!(permissions.have_room_for(std::iter::once(ip(7)), at(1)));
        assert!(permissions.have_room_for(std::iter::once(ip(MAX_PERMISSIONS)), at(301)));
    }

    #[test]
    fn what_has_expired_counts_as_new_once_it_was_swept_to_make_room() {
        let mut permissions = Permissions::default();
        for number in 0..MAX_PERMISSIONS {
            permissions.install(ip(number), PeerPorts::Any, at(if number < 10 { 0 } else { 200 }));
        }
        // Ten have expired, 246 live: ten have room, eleven have not.
        let eleven = (0..10).chain([MAX_PERMISSIONS]).map(ip);
        assert!(!permissions.have_room_for(eleven, at(301)));
        let ten = (0..9).chain([MAX_PERMISSIONS]).map(ip);
        assert!(permissions.have_room_for(ten, at(301)));
    }
}
