//! A policy for tests: three users, a quota, and a few addresses that are forbidden.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use turnkeep::relay::reason::{AuthReason, RuleId};
use turnkeep::relay::seam::{AdmitRefusal, Alternate, Claim, Entropy, Identity, PeerPorts, Policy, Refusal, UserId};
use turnkeep::relay::{Now, Path, PeerAddr};
use turnkeep::wire::integrity::{LongTermKey, userhash};

pub const REALM: &str = "example.org";
/// 2026-11-21T18:31:40Z.
pub const EPOCH: u64 = 1_795_285_900;
/// When the credential of `brief` expires.
pub const BRIEF_UNTIL: u64 = EPOCH + 30;

/// Users whose password is their name, backwards: alice, bob, carol; `old` is known but expired, and `brief` expires
/// soon. What stands before a colon tells credentials of one user apart. Clients in 2002::/16 are denied, peers in
/// 10.66.0.0/16 and 2001:db8:66::/48 too, and of 10.67.0.0/16 only the ports from 50,000 on are allowed.
#[derive(Clone)]
pub struct TestPolicy {
    pub quota: usize,
    /// Allocations that hold a share of the quota.
    pub held: Arc<AtomicUsize>,
    /// How often `authenticate` was asked.
    pub asked: Arc<AtomicUsize>,
    /// Where all clients are sent instead.
    pub elsewhere: Option<Alternate>,
}

impl TestPolicy {
    pub fn new(quota: usize) -> Self {
        Self { quota, held: Arc::default(), asked: Arc::default(), elsewhere: None }
    }

    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

pub struct Lease(Arc<AtomicUsize>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The names that policy finds behind a USERHASH.
pub const KNOWN: [&str; 7] = ["alice", "bob", "carol", "1:carol", "2:carol", "old", "brief"];

pub fn password_of(user: &str) -> String {
    user.chars().rev().collect()
}

impl Policy for TestPolicy {
    type Lease = Lease;

    fn authenticate(
        &self,
        now: Now,
        claim: Claim<'_>,
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Result<Identity, AuthReason> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let user = std::str::from_utf8(claim.username).map_err(|_| AuthReason::BadUsername)?;
        let password = password_of(user);
        let key = LongTermKey::derive(claim.algorithm, claim.username, REALM.as_bytes(), password.as_bytes());
        if !proof(&key) {
            return Err(AuthReason::WrongPassword);
        }
        let person = user.rsplit(':').next().unwrap_or(user);
        let expired = match person {
            "alice" | "bob" | "carol" => false,
            "old" => true,
            "brief" => now.unix_secs() >= BRIEF_UNTIL,
            _ => return Err(AuthReason::UnknownUser),
        };
        if expired && !claim.expired_will_do {
            return Err(AuthReason::Expired);
        }
        Ok(Identity { user: UserId(person.into()), key_id: None, expires_unix: None, max_allocations: None })
    }

    fn username_of(&self, hash: &[u8; 32]) -> Option<Box<[u8]>> {
        let known = KNOWN.iter().find(|name| userhash(name.as_bytes(), REALM.as_bytes()) == *hash);
        known.map(|name| name.as_bytes().into())
    }

    fn admit(&self, _: Now, _: &Identity, path: &Path) -> Result<Lease, AdmitRefusal> {
        if let Some(alternate) = &self.elsewhere {
            return Err(AdmitRefusal::Elsewhere(for_family(alternate, path)));
        }
        if is_tunnel(path.client.ip()) {
            return Err(AdmitRefusal::Forbidden(refusal("test.tunnel")));
        }
        if self.held.fetch_add(1, Ordering::Relaxed) >= self.quota {
            self.held.fetch_sub(1, Ordering::Relaxed);
            return Err(AdmitRefusal::OverQuota(refusal("limit.allocations_per_user")));
        }
        Ok(Lease(self.held.clone()))
    }

    fn judge_peer(&self, _: &Identity, peer: PeerAddr) -> Result<PeerPorts, Refusal> {
        match peer.ip() {
            IpAddr::V4(v4) if v4.octets()[..2] == [10, 66] => Err(refusal("test.denied")),
            IpAddr::V6(v6) if v6.segments()[..3] == [0x2001, 0xdb8, 0x66] => Err(refusal("test.denied")),
            ip if is_tunnel(ip) => Err(refusal("test.tunnel")),
            IpAddr::V4(v4) if v4.octets()[..2] == [10, 67] => Ok(PeerPorts::Only(50_000..=u16::MAX)),
            _ => Ok(PeerPorts::Any),
        }
    }
}

/// The server of the client's family first.
fn for_family(alternate: &Alternate, path: &Path) -> Alternate {
    let is_own = alternate.server.is_ipv4() == path.client.0.is_ipv4();
    let (server, other) = match alternate.other {
        Some(other) if !is_own => (other, Some(alternate.server)),
        other => (alternate.server, other),
    };
    Alternate { server, other, domain: alternate.domain.clone() }
}

/// 6to4 and Teredo.
fn is_tunnel(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.segments()[0] == 0x2002 || v6.segments()[..2] == [0x2001, 0])
}

fn refusal(rule: &'static str) -> Refusal {
    Refusal { rule: RuleId(rule.into()) }
}

/// SplitMix64.
#[derive(Clone)]
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next().to_be_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}
