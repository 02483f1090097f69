//! The long-term credential mechanism (RFC 8489 §9.2.4), in the RFC's order but for one thing: a nonce that is not
//! ours is refused first, by its own MAC alone, so that a flood of forged requests costs no key derivation (D-02).

use std::borrow::Cow;

use super::Request;
use super::answer::Answer;
use crate::relay::event::Denial;
use crate::relay::limits::MAX_USERNAME;
use crate::relay::nonce::NonceState;
use crate::relay::reason::AuthReason;
use crate::relay::seam::{Claim, Entropy, Identity, Policy};
use crate::relay::server::{Server, Settings};
use crate::relay::verdict::Verdict;
use crate::wire::attribute::{
    AttributeType, ErrorCode, Nonce, PasswordAlgorithmAttribute, PasswordAlgorithms, Realm, Userhash, Username,
};
use crate::wire::header::Method;
use crate::wire::integrity::{Integrity, IntegrityKey, LongTermKey, PasswordAlgorithm};
use crate::wire::message::Message;

/// Who sent a request, proven.
pub(super) struct Authenticated<'a> {
    pub(super) who: Identity,
    /// USERNAME as received, or what policy says is behind USERHASH.
    pub(super) username: Cow<'a, [u8]>,
    pub(super) key: LongTermKey,
    /// The request had a PASSWORD-ALGORITHM: answers carry MESSAGE-INTEGRITY-SHA256 then (RFC 8489 §9.2.4).
    pub(super) sha256: bool,
}

impl Authenticated<'_> {
    /// The key that answers are signed with.
    pub(super) fn response_key(&self) -> IntegrityKey {
        response_key(&self.key, self.sha256)
    }
}

/// The key that answers under `key` are signed with.
pub(super) fn response_key(key: &LongTermKey, sha256: bool) -> IntegrityKey {
    IntegrityKey::new(if sha256 { Integrity::Sha256 } else { Integrity::Sha1 }, key)
}

/// Checks a request's credentials, and has the answer signed from then on. The error is the verdict on the request: a
/// challenge or a refusal.
pub(super) fn authenticate<'r, 'a, P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'r>,
    mut answer: Answer<'a>,
) -> Result<(Authenticated<'r>, Answer<'a>), Verdict> {
    let checked = Credentials::read(server, request).and_then(|credentials| {
        let sender = verify(server, request, &credentials)?;
        match credentials.nonce {
            NonceState::Valid => Ok(sender),
            NonceState::Expired | NonceState::Foreign => Err(Fault::StaleNonce),
        }
    });
    match checked {
        Ok(sender) => {
            answer.sign_with(sender.response_key());
            Ok((sender, answer))
        }
        Err(fault) => Err(refuse(server, request, answer, fault)),
    }
}

/// What is wrong with a request's credentials.
enum Fault {
    /// It has none: the first request of every client.
    Missing,
    /// 400: attributes that belong together are not together.
    Incomplete,
    /// 438.
    StaleNonce,
    /// 401.
    Unauthenticated(AuthReason),
}

/// The credentials of a request, complete but unproven.
struct Credentials<'a> {
    /// None: nobody is behind USERHASH.
    username: Option<Cow<'a, [u8]>>,
    realm: &'a [u8],
    nonce: NonceState,
    algorithm: PasswordAlgorithm,
    /// The request had a PASSWORD-ALGORITHM.
    sha256: bool,
    integrity: Integrity,
}

impl<'a> Credentials<'a> {
    fn read<P: Policy, E: Entropy>(server: &Server<P, E>, request: &Request<'a>) -> Result<Self, Fault> {
        let message = request.message;
        let integrity = message.integrity().ok_or(Fault::Missing)?;
        let username = message.get::<Username<'_>>().map_err(|_| Fault::Incomplete)?;
        let realm = message.get::<Realm<'_>>().ok().flatten().ok_or(Fault::Incomplete)?;
        let nonce = message.get::<Nonce<'_>>().ok().flatten().ok_or(Fault::Incomplete)?;
        if username.is_none() && !message.has(AttributeType::USERHASH) {
            return Err(Fault::Incomplete);
        }
        // Before anything that the audit trail hears of: who shows a nonce of ours is at the address that he claims.
        let nonce = server.nonces.check(request.now, &request.path, nonce.0);
        if nonce == NonceState::Foreign {
            return Err(Fault::StaleNonce);
        }
        let listener = request.path.listener;
        let offered = server.settings.algorithms(listener);
        let chosen = offered.map_or(Ok(None), |offered| chosen_algorithm(message, offered))?;
        let is_legacy = chosen != Some(PasswordAlgorithm::Sha256) || integrity != Integrity::Sha256;
        if is_legacy && !server.settings.takes_legacy(listener) {
            return Err(Fault::Unauthenticated(AuthReason::LegacyAlgorithm));
        }
        let username = match username {
            Some(username) => Some(Cow::Borrowed(username.0)),
            None => hidden_username(server, message)?.map(Cow::Owned),
        };
        Ok(Self {
            username,
            realm: realm.0,
            nonce,
            algorithm: chosen.unwrap_or(PasswordAlgorithm::Md5),
            sha256: chosen.is_some(),
            integrity,
        })
    }
}

/// The user name behind USERHASH (RFC 8489 §9.2.4); none if policy knows nobody by it.
fn hidden_username<P: Policy, E: Entropy>(
    server: &Server<P, E>,
    message: &Message<'_>,
) -> Result<Option<Vec<u8>>, Fault> {
    if !server.settings.offer_userhash {
        return Err(Fault::Unauthenticated(AuthReason::UserhashNotOffered));
    }
    let userhash = message.get::<Userhash<'_>>().ok().flatten().ok_or(Fault::Incomplete)?;
    Ok(server.policy.username_of(userhash.0).map(Vec::from))
}

/// The algorithm that the client chose from our list; none if it does not know RFC 8489, which means MD5.
fn chosen_algorithm(
    message: &Message<'_>,
    offered: PasswordAlgorithms<'_>,
) -> Result<Option<PasswordAlgorithm>, Fault> {
    let list = message.get::<PasswordAlgorithms<'_>>().map_err(|_| Fault::Incomplete)?;
    let chosen = message.get::<PasswordAlgorithmAttribute<'_>>().map_err(|_| Fault::Incomplete)?;
    match (list, chosen) {
        (None, None) => Ok(None),
        (Some(list), Some(chosen))
            if list.as_bytes() == offered.as_bytes() && offered.iter().any(|entry| entry == chosen) =>
        {
            PasswordAlgorithm::from_number(chosen.number).map(Some).ok_or(Fault::Incomplete)
        }
        _ => Err(Fault::Incomplete),
    }
}

fn verify<'a, P: Policy, E: Entropy>(
    server: &Server<P, E>,
    request: &Request<'a>,
    credentials: &Credentials<'a>,
) -> Result<Authenticated<'a>, Fault> {
    let refused = |reason| Fault::Unauthenticated(reason);
    let Credentials { realm, algorithm, sha256, integrity, .. } = *credentials;
    if realm != server.settings.realm.as_bytes() {
        return Err(refused(AuthReason::WrongRealm));
    }
    // Whoever is unknown takes as long as somebody known: an empty name is nobody's.
    let is_somebody = credentials.username.is_some();
    let username = credentials.username.clone().unwrap_or_default();
    if username.len() > MAX_USERNAME {
        return Err(refused(AuthReason::BadUsername));
    }
    let proof = |key: &LongTermKey| request.message.verify_integrity(&IntegrityKey::new(integrity, key)).is_ok();

    // The owner of an allocation is known by the key that it made it with: expiry is judged on Allocate (D-19).
    let standing = server.table.find(&request.path).and_then(|id| server.table.get(id));
    let standing = standing.filter(|standing| is_somebody && !standing.is_over(request.now.instant));
    if let Some(own) = standing.filter(|own| *own.username == *username && own.key.algorithm() == algorithm) {
        let (who, key) = (own.who.clone(), own.key.clone());
        return if proof(&key) {
            Ok(Authenticated { who, username, key, sha256 })
        } else {
            Err(refused(AuthReason::WrongPassword))
        };
    }

    let claim = Claim { username: &username, algorithm, expired_will_do: request.message.method() != Method::ALLOCATE };
    let mut proven = None;
    let who = server.policy.authenticate(request.now, claim, &mut |key| {
        let holds = proof(key);
        if holds {
            proven = Some(key.clone());
        }
        holds
    });
    if !is_somebody {
        return Err(refused(AuthReason::UnknownUser));
    }
    let who = who.map_err(refused)?;
    let key = proven.ok_or(refused(AuthReason::WrongPassword))?;
    Ok(Authenticated { who, username, key, sha256 })
}

fn refuse<P: Policy, E: Entropy>(
    server: &mut Server<P, E>,
    request: &Request<'_>,
    answer: Answer<'_>,
    fault: Fault,
) -> Verdict {
    let error = match fault {
        Fault::Incomplete => return answer.error(ErrorCode::BAD_REQUEST),
        Fault::StaleNonce => ErrorCode::STALE_NONCE,
        Fault::Missing => ErrorCode::UNAUTHENTICATED,
        Fault::Unauthenticated(reason) => {
            let error = ErrorCode::UNAUTHENTICATED;
            server.audit_denial(request, None, error.code, Denial::Credentials(reason));
            error
        }
    };
    let nonce = server.nonces.mint(request.now, &request.path, &mut server.entropy);
    let Settings { realm, .. } = &server.settings;
    let offered = server.settings.algorithms(request.path.listener);
    answer.error_with(error, |writer| {
        writer.put(&Realm(realm.as_bytes()))?;
        writer.put(&Nonce(&nonce))?;
        offered.map_or(Ok(()), |offered| writer.put(&offered))
    })
}
