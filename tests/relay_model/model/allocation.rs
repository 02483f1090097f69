//! What stands behind a 5-tuple (RFC 8656 §3.2).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use turnkeep::relay::event::Totals;
use turnkeep::relay::seam::{Identity, PeerPorts};
use turnkeep::relay::{CloseReason, Family, Instant, Path};

use super::Transaction;
use crate::outcome::{Answer, Note, Outcome, ToPeer};
use crate::sans_io::Lease;

pub(super) const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
pub(super) const CHANNEL_REST: Duration = Duration::from_secs(300);
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// Refreshes are noted this often at most.
pub(super) const REFRESH_NOTED_EVERY: Duration = Duration::from_secs(10);
const MAX_PERMISSIONS: usize = 256;
pub(super) const MOST_ICMP: Duration = Duration::from_millis(500);
pub(super) const ONE_ICMP: Duration = Duration::from_millis(100);

pub(super) struct Allocation {
    pub(super) path: Path,
    pub(super) username: String,
    pub(super) who: Identity,
    /// The transaction that made it, and how its answer looks.
    pub(super) made_by: Transaction,
    pub(super) family: Family,
    /// What was granted last.
    pub(super) lifetime: u32,
    pub(super) address_error: Option<(u8, u16)>,
    pub(super) has_token: bool,
    /// None while its socket is being opened: until then nothing else of it exists.
    pub(super) relayed: Option<SocketAddr>,
    pub(super) expires: Instant,
    pub(super) permissions: Vec<Permission>,
    pub(super) channels: Vec<Channel>,
    /// Another user was here (RFC 8656 §7.4): peers are not heard until the owner shows up.
    pub(super) suspended: bool,
    pub(super) totals: Totals,
    /// Of ICMP errors the client hears five at once, and one every 100 ms: what it has to its credit, and since when.
    pub(super) icmp_credit: (Duration, Instant),
    /// When a refresh was last noted.
    pub(super) refresh_noted: Option<Instant>,
    pub(super) _lease: Lease,
}

pub(super) struct Permission {
    pub(super) ip: IpAddr,
    pub(super) ports: PeerPorts,
    pub(super) expires: Instant,
}

pub(super) struct Channel {
    pub(super) number: u16,
    pub(super) peer: SocketAddr,
    pub(super) expires: Instant,
}

impl Allocation {
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.relayed.is_some() && self.expires <= now
    }

    /// The latest first.
    pub(super) fn known_peers(&self) -> Vec<SocketAddr> {
        let permitted = self.permissions.iter().map(|permission| SocketAddr::new(permission.ip, 5000));
        let mut known: Vec<_> = permitted.chain(self.channels.iter().map(|channel| channel.peer)).collect();
        known.reverse();
        known
    }

    pub(super) fn permission(&self, now: Instant, ip: IpAddr) -> Option<&Permission> {
        self.permissions.iter().find(|permission| permission.ip == ip && permission.expires > now)
    }

    /// RFC 8656 §9: installed or refreshed.
    pub(super) fn permit(&mut self, now: Instant, ip: IpAddr, ports: PeerPorts) {
        self.permissions.retain(|permission| permission.ip != ip && permission.expires > now);
        self.permissions.push(Permission { ip, ports, expires: now.after(PERMISSION_LIFETIME) });
    }

    /// Refreshing what exists never counts as new (D-32).
    pub(super) fn has_room_for(&self, now: Instant, peers: &[IpAddr]) -> bool {
        let live = self.permissions.iter().filter(|permission| permission.expires > now);
        let mut ips: Vec<_> = live.map(|permission| permission.ip).collect();
        let before = ips.len();
        for ip in peers {
            if !ips.contains(ip) {
                ips.push(*ip);
            }
        }
        ips.len() == before || ips.len() <= MAX_PERMISSIONS
    }

    pub(super) fn forward(&mut self, peer: SocketAddr, payload: Vec<u8>, dont_fragment: bool) -> Outcome {
        self.totals.packets_to_peers += 1;
        self.totals.bytes_to_peers += payload.len() as u64;
        let from = self.relayed.expect("it is open");
        Outcome { to_peer: Some(ToPeer { from, peer, payload, dont_fragment }), ..Outcome::default() }
    }

    pub(super) fn closed(&self, reason: CloseReason) -> Note {
        Note::Closed {
            user: self.who.user.0.to_string(),
            client: self.path.client.0,
            relayed: self.relayed.expect("it was open"),
            reason,
            totals: self.totals,
        }
    }

    /// RFC 8656 §7.2, at the end. When it is repeated, LIFETIME is between what is left and what was granted.
    pub(super) fn success(&self, now: Instant) -> Answer {
        let left = u32::try_from(self.expires.since(now).as_secs()).unwrap();
        Answer {
            relayed: self.relayed,
            mapped: Some(self.path.client.0),
            lifetime: Some(left..=self.lifetime),
            address_error: self.address_error,
            hands_out_a_token: self.has_token,
            ..self.made_by.answer(0)
        }
    }
}
