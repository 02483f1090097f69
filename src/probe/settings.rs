//! What to probe, and how.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::client::Credentials;
use crate::client::uri::Uri;

/// What to probe, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// In this order.
    pub targets: Vec<Uri>,
    /// None: what can be seen without.
    pub credentials: Option<Credentials>,
    /// Whose certificates are good.
    pub trust: Trust,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// Whether it is tried what must be refused.
    pub negative: Negative,
    /// Peers that clients of this server are meant to reach, so that it is no fault when they can.
    pub may_reach: Vec<IpNet>,
    /// What the relayed address should be, where that is known.
    pub expect_relayed: Option<IpAddr>,
    /// Where our own peer is: an address of this host. None: the one that the relayed address is reached from.
    pub peer: Option<IpAddr>,
}

/// Whose certificates are good.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// PEM, in place of this host's own store.
    pub authorities: Option<Vec<u8>>,
    /// Go on after a bad certificate, and say so.
    pub insecure: bool,
}

/// Whether it is tried what must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negative {
    /// Against servers on this host and in private networks.
    Near,
    /// Against every server.
    Always,
    /// Not at all.
    Never,
}

impl Settings {
    /// The defaults.
    pub fn new(targets: Vec<Uri>) -> Self {
        Self {
            targets,
            credentials: None,
            trust: Trust::default(),
            patience: Duration::from_secs(3),
            negative: Negative::Near,
            may_reach: Vec::new(),
            expect_relayed: None,
            peer: None,
        }
    }

    /// Whether a client is meant to reach `peer`.
    pub(super) fn is_meant(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.may_reach.iter().any(|range| range.contains(&peer))
    }

    /// Whether what must be refused is tried against `server`.
    pub(super) fn tries_refusals(&self, server: IpAddr) -> bool {
        match self.negative {
            Negative::Near => is_near(server),
            Negative::Always => true,
            Negative::Never => false,
        }
    }
}

/// Whether `ip` is of this host or of a network that the public one does not route to: loopback, unspecified, RFC 1918,
/// link-local (RFC 3927, RFC 4291), unique local (RFC 4193), or behind a carrier's NAT (RFC 6598).
pub(super) fn is_near(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let is_shared = a == 100 && b & 0xC0 == 64;
            ip.is_loopback() || ip.is_unspecified() || ip.is_private() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
