//! The answers to the questions of the relay floor.

use std::sync::{Arc, PoisonError, RwLock};

use super::auth::Authenticator;
use super::drain::Drain;
use super::limit::rate::AllocationRate;
use super::limit::user::{AllocationsByUser, Lease};
use super::peer::{PeerPolicy, judge_source};
use crate::relay::reason::AuthReason;
use crate::relay::seam::{AdmitRefusal, Claim, Identity, PeerPorts, Policy, Refusal};
use crate::relay::{Now, Path, PeerAddr};
use crate::wire::integrity::LongTermKey;

/// All of policy in one. It does not change; [`LivePolicy`] puts another in its place.
pub struct RelayPolicy {
    /// Who somebody is.
    pub authenticator: Arc<Authenticator>,
    /// Who may be reached.
    pub peers: PeerPolicy,
    /// What stands already.
    pub allocations: AllocationsByUser,
    /// How often they are begun.
    pub allocation_rate: AllocationRate,
    /// Where else clients are sent.
    pub drain: Drain,
    /// The most allocations of one user.
    pub max_allocations_per_user: u32,
}

impl Policy for RelayPolicy {
    type Lease = Lease;

    fn authenticate(
        &self,
        now: Now,
        claim: Claim<'_>,
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Result<Identity, AuthReason> {
        self.authenticator.authenticate(now, claim, proof)
    }

    fn username_of(&self, userhash: &[u8; 32]) -> Option<Box<[u8]>> {
        self.authenticator.username_of(userhash)
    }

    fn admit(&self, now: Now, who: &Identity, path: &Path) -> Result<Lease, AdmitRefusal> {
        judge_source(path.client).map_err(AdmitRefusal::Forbidden)?;
        self.drain.redirect(path).map_or(Ok(()), |alternate| Err(AdmitRefusal::Elsewhere(alternate)))?;
        let by_credential = who.max_allocations.map_or(u32::MAX, u32::from);
        let most = self.max_allocations_per_user.min(by_credential);
        let lease = self.allocations.lease(&who.user, most).map_err(AdmitRefusal::OverQuota)?;
        self.allocation_rate.spend(now.instant, &who.user).map_err(AdmitRefusal::OverQuota)?;
        Ok(lease)
    }

    fn judge_peer(&self, _who: &Identity, peer: PeerAddr) -> Result<PeerPorts, Refusal> {
        self.peers.judge(peer)
    }
}

/// The policy in force, which can be replaced as a whole while the relay runs: for a new configuration, or when an
/// address of this host comes or goes. Each question is answered by one policy from beginning to end.
pub struct LivePolicy(RwLock<Arc<RelayPolicy>>);

impl LivePolicy {
    /// Begins with `policy`.
    pub fn new(policy: RelayPolicy) -> Self {
        Self(RwLock::new(Arc::new(policy)))
    }

    /// The one in force.
    pub fn current(&self) -> Arc<RelayPolicy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `policy` in force. To keep the counts it must have clones of [`RelayPolicy::allocations`] and
    /// [`RelayPolicy::allocation_rate`].
    pub fn replace(&self, policy: RelayPolicy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }
}

impl Policy for LivePolicy {
    type Lease = Lease;

    fn authenticate(
        &self,
        now: Now,
        claim: Claim<'_>,
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Result<Identity, AuthReason> {
        self.current().authenticate(now, claim, proof)
    }

    fn username_of(&self, userhash: &[u8; 32]) -> Option<Box<[u8]>> {
        self.current().username_of(userhash)
    }

    fn admit(&self, now: Now, who: &Identity, path: &Path) -> Result<Lease, AdmitRefusal> {
        self.current().admit(now, who, path)
    }

    fn judge_peer(&self, who: &Identity, peer: PeerAddr) -> Result<PeerPorts, Refusal> {
        self.current().judge_peer(who, peer)
    }
}

impl<P: Policy + ?Sized> Policy for Arc<P> {
    type Lease = P::Lease;

    fn authenticate(
        &self,
        now: Now,
        claim: Claim<'_>,
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Result<Identity, AuthReason> {
        (**self).authenticate(now, claim, proof)
    }

    fn username_of(&self, userhash: &[u8; 32]) -> Option<Box<[u8]>> {
        (**self).username_of(userhash)
    }

    fn admit(&self, now: Now, who: &Identity, path: &Path) -> Result<Self::Lease, AdmitRefusal> {
        (**self).admit(now, who, path)
    }

    fn judge_peer(&self, who: &Identity, peer: PeerAddr) -> Result<PeerPorts, Refusal> {
        (**self).judge_peer(who, peer)
    }
}
