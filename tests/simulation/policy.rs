//! The tests' policy, with a share for each user.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use turnkeep::relay::reason::{AuthReason, RuleId};
use turnkeep::relay::seam::{AdmitRefusal, Claim, Identity, PeerPorts, Policy, Refusal};
use turnkeep::relay::{Now, Path, PeerAddr};
use turnkeep::wire::integrity::LongTermKey;

use crate::sans_io::{Lease, TestPolicy};

/// Users, passwords and forbidden peers are those of [`TestPolicy`]; one user may have so many allocations at a time.
#[derive(Clone)]
pub(crate) struct SharedPolicy {
    base: TestPolicy,
    limited: (&'static str, usize),
    held: Rc<RefCell<BTreeMap<String, usize>>>,
}

/// A part of a user's share.
pub(crate) struct Part {
    user: String,
    held: Rc<RefCell<BTreeMap<String, usize>>>,
    _base: Lease,
}

impl Drop for Part {
    fn drop(&mut self) {
        *self.held.borrow_mut().get_mut(&self.user).expect("it was taken") -= 1;
    }
}

impl SharedPolicy {
    pub(crate) fn new(limited: (&'static str, usize)) -> Self {
        Self { base: TestPolicy::new(usize::MAX), limited, held: Rc::default() }
    }

    /// Allocations that hold a part of anybody's share, those being opened included.
    pub(crate) fn held(&self) -> usize {
        self.held.borrow().values().sum()
    }
}

impl Policy for SharedPolicy {
    type Lease = Part;

    fn authenticate(
        &self,
        now: Now,
        claim: Claim<'_>,
        proof: &mut dyn FnMut(&LongTermKey) -> bool,
    ) -> Result<Identity, AuthReason> {
        self.base.authenticate(now, claim, proof)
    }

    fn admit(&self, now: Now, who: &Identity, path: &Path) -> Result<Part, AdmitRefusal> {
        let base = self.base.admit(now, who, path)?;
        let mut held = self.held.borrow_mut();
        let own = held.entry(who.user.0.to_string()).or_default();
        if *who.user.0 == *self.limited.0 && *own >= self.limited.1 {
            return Err(AdmitRefusal::OverQuota(Refusal { rule: RuleId("test.share".into()) }));
        }
        *own += 1;
        Ok(Part { user: who.user.0.to_string(), held: self.held.clone(), _base: base })
    }

    fn judge_peer(&self, who: &Identity, peer: PeerAddr) -> Result<PeerPorts, Refusal> {
        self.base.judge_peer(who, peer)
    }
}
