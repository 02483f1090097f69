//! The long-term credential mechanism (RFC 8489 §9.2.4).

use turnkeep::relay::Path;
use turnkeep::relay::reason::AuthReason;
use turnkeep::relay::seam::{Claim, Identity, Policy};
use turnkeep::wire::header::Method;
use turnkeep::wire::integrity::{Integrity, PasswordAlgorithm};

use super::allocation::Allocation;
use super::{Model, Transaction, same_tuple};
use crate::outcome::{Answer, Outcome, Why};
use crate::said::{Algorithms, Credentials, Name, Said, SaidRealm, Tag};
use crate::sans_io::KNOWN;

/// The longest USERNAME that is an attribute, and the longest that is looked at.
const MAX_TEXT: usize = 763;
const MAX_USERNAME: usize = 508;

impl Model {
    /// In the RFC's order, but that a nonce that was never ours is told first (D-02).
    pub(super) fn authenticate(
        &self,
        path: Path,
        said: &Said,
        stale: bool,
    ) -> Result<(Identity, Transaction), Outcome> {
        let transaction = Transaction::of(path, said);
        let refuse = |code, challenges| Outcome::answered(Answer { challenges, ..transaction.answer(code) });
        let Some(credentials) = &said.credentials else {
            return Err(refuse(401, true));
        };
        // A USERHASH has the same length whatever the name.
        let fits = |user: &&str| user.len() <= MAX_TEXT || matches!(credentials.name, Name::Hash(_));
        let user = credentials.user().filter(fits);
        let (Some(user), true, Some(nonce)) = (user, credentials.realm != SaidRealm::Missing, &credentials.nonce)
        else {
            return Err(refuse(400, false));
        };
        if nonce.minted.is_none() {
            return Err(refuse(438, true));
        }
        let Some(algorithm) = self.algorithm_of(credentials) else {
            return Err(refuse(400, false));
        };
        let who = self.identify(path, said, credentials, user, algorithm).map_err(|reason| {
            let note = transaction.denied(None, self.relayed_on(path), 401, Why::Credentials(reason));
            refuse(401, true).noting(note)
        })?;
        if stale {
            return Err(refuse(438, true));
        }
        let chosen = self.facts.offer_sha256 && credentials.algorithms != Algorithms::Neither;
        let signed = Some(if chosen { Integrity::Sha256 } else { Integrity::Sha1 });
        Ok((who, Transaction { signed, ..transaction }))
    }

    /// The algorithm of the key; none is a 400.
    fn algorithm_of(&self, credentials: &Credentials) -> Option<PasswordAlgorithm> {
        match credentials.algorithms {
            Algorithms::Neither => Some(PasswordAlgorithm::Md5),
            // The nonce says nothing of algorithms, and nobody asked (D-23).
            _ if !self.facts.offer_sha256 => Some(PasswordAlgorithm::Md5),
            // Not among those that are offered.
            Algorithms::Both(PasswordAlgorithm::Md5) if credentials.modern_only => None,
            Algorithms::Both(algorithm) => Some(algorithm),
            _ => None,
        }
    }

    /// Whoever fails here sees the same 401 (D-05).
    fn identify(
        &self,
        path: Path,
        said: &Said,
        credentials: &Credentials,
        user: &str,
        algorithm: PasswordAlgorithm,
    ) -> Result<Identity, AuthReason> {
        let has_sha256_tag = !matches!(credentials.tag, Tag::Sha1 | Tag::ShortSha1);
        if credentials.modern_only && !(algorithm == PasswordAlgorithm::Sha256 && has_sha256_tag) {
            return Err(AuthReason::LegacyAlgorithm);
        }
        let is_hidden = matches!(credentials.name, Name::Hash(_));
        if is_hidden && !self.facts.offer_userhash {
            return Err(AuthReason::UserhashNotOffered);
        }
        if credentials.realm != SaidRealm::Ours {
            return Err(AuthReason::WrongRealm);
        }
        if is_hidden && !KNOWN.contains(&user) {
            return Err(AuthReason::UnknownUser);
        }
        if user.len() > MAX_USERNAME {
            return Err(AuthReason::BadUsername);
        }
        let tag_is_whole = !matches!(credentials.tag, Tag::ShortSha1 | Tag::ShortSha256);
        let proven = credentials.password_is_right && tag_is_whole && credentials.algorithms.of_key() == algorithm;
        // D-19: the expiry of a credential is judged on Allocate, unless it already made what stands.
        let made_it = |found: &Allocation| same_tuple(found.path, path) && found.username == user;
        let expired_will_do = said.method != Method::ALLOCATE || self.allocations.iter().any(made_it);
        let claim = Claim { username: user.as_bytes(), algorithm, expired_will_do };
        self.policy.authenticate(self.now, claim, &mut |_| proven)
    }
}
