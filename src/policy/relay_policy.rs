//! The answers to the questions of the relay floor.

use std::sync::Arc;

use super::auth::Authenticator;
use super::limit::user::{AllocationsByUser, Lease};
use super::peer::{PeerPolicy, judge_source};
use crate::relay::reason::AuthReason;
use crate::relay::seam::{AdmitRefusal, Claim, Identity, PeerPorts, Policy, Refusal};
use crate::relay::{Now, Path, PeerAddr};
use crate::wire::integrity::LongTermKey;

/// All of policy in one. It does not change: a new configuration makes a new one, which goes on with the same counts.
pub struct RelayPolicy {
    /// Who somebody is.
    pub authenticator: Authenticator,
    /// Who may be reached.
    pub peers: PeerPolicy,
    /// What stands already.
    pub allocations: AllocationsByUser,
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

    fn admit(&self, _now: Now, who: &Identity, path: &Path) -> Result<Lease, AdmitRefusal> {
        judge_source(path.client).map_err(AdmitRefusal::Forbidden)?;
        let by_credential = who.max_allocations.map_or(u32::MAX, u32::from);
        let most = self.max_allocations_per_user.min(by_credential);
        self.allocations.lease(&who.user, most).map_err(AdmitRefusal::OverQuota)
    }

    fn judge_peer(&self, _who: &Identity, peer: PeerAddr) -> Result<PeerPorts, Refusal> {
        self.peers.judge(peer)
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

    fn admit(&self, now: Now, who: &Identity, path: &Path) -> Result<Self::Lease, AdmitRefusal> {
        (**self).admit(now, who, path)
    }

    fn judge_peer(&self, who: &Identity, peer: PeerAddr) -> Result<PeerPorts, Refusal> {
        (**self).judge_peer(who, peer)
    }
}
