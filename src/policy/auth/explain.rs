//! Says of a credential what the relay would make of it, and why: for `turnkeep credential explain`.

use std::time::Duration;

use super::Authenticator;
use super::binding::Binding;
use super::ephemeral::{Presented, Unreadable};
use super::secret::{PasswordHash, Secret, SecretId};
use super::username::{Expiry, Layout};
use crate::relay::Now;
use crate::relay::reason::AuthReason;
use crate::relay::seam::UserId;

/// What the relay makes of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What its user name says.
    pub username: UsernameReport,
    /// Whose it is; limits and the audit trail are kept by it.
    pub user: Option<UserId>,
    /// Whether the password is right.
    pub password: PasswordReport,
    /// Every reason for which an Allocate would be refused now, the one that the relay would name first. Empty if it
    /// would be accepted (with a password that was not given: if that is right).
    pub refusals: Vec<AuthReason>,
}

/// What a user name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsernameReport {
    /// The name of a static user.
    Static,
    /// The name of an ephemeral credential.
    Ephemeral {
        /// How it is laid out.
        layout: Layout,
        /// The timestamp as it is written.
        expiry: Expiry,
        /// How far the timestamp is from now.
        distance: Distance,
        /// What it is bound to.
        binding: Option<Binding>,
    },
    /// Neither.
    Unreadable(Unreadable),
}

/// A point in time as seen from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// It is still to come.
    Ahead(Duration),
    /// It has passed.
    Ago(Duration),
}

/// Whether a password is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordReport {
    /// It was not given.
    NotGiven,
    /// It is a static user's.
    MatchesUser,
    /// It belongs to the user name under this secret.
    Matches(SecretId),
    /// It does not, but it would if the issuer had made this mistake under this secret.
    NearMiss(SecretId, Mistake),
    /// It does not.
    Wrong,
}

/// A mistake that issuers make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The password was made by the other hash.
    OtherHash,
    /// The issuer's copy of the secret has a line feed at its end.
    LineFeedInSecret,
    /// The base64 lacks its padding.
    NoPadding,
    /// The base64 is of the alphabet for URLs.
    UrlAlphabet,
    /// There is white space around it.
    WhiteSpace,
}

impl Authenticator {
    /// What the relay makes of a user name, and of a password if there is one.
    pub fn explain(&self, username: &[u8], password: Option<&[u8]>, now: Now) -> Explanation {
        if self.static_users.contains(username) {
            return self.explain_static(username, password);
        }
        match self.ephemeral.read(username) {
            Ok(presented) => self.explain_ephemeral(&presented, password, now.unix_secs()),
            Err(unreadable) => Explanation {
                username: UsernameReport::Unreadable(unreadable),
                user: None,
                password: password.map_or(PasswordReport::NotGiven, |_| PasswordReport::Wrong),
                refusals: vec![unreadable.reason()],
            },
        }
    }

    fn explain_static(&self, username: &[u8], password: Option<&[u8]>) -> Explanation {
        let matches = password.and_then(|password| self.static_users.check(&self.realm, username, password));
        Explanation {
            username: UsernameReport::Static,
            user: Some(UserId(String::from_utf8_lossy(username).into())),
            password: match matches {
                None => PasswordReport::NotGiven,
                Some(true) => PasswordReport::MatchesUser,
                Some(false) => PasswordReport::Wrong,
            },
            refusals: if matches == Some(false) { vec![AuthReason::WrongPassword] } else { vec![] },
        }
    }

    fn explain_ephemeral(&self, presented: &Presented<'_>, password: Option<&[u8]>, now_unix: u64) -> Explanation {
        let candidates: Vec<_> =
            self.ephemeral.secrets.iter().filter(|secret| presented.may_be_signed_by(secret)).collect();
        let name = presented.username.whole.as_bytes();
        let report = password.map_or(PasswordReport::NotGiven, |password| compare(&candidates, name, password));
        let unsigned = match (&report, candidates.is_empty()) {
            (_, true) if presented.binding.is_some() => Some(AuthReason::UnknownKeyId),
            (PasswordReport::NearMiss(..) | PasswordReport::Wrong, _) | (_, true) => Some(AuthReason::WrongPassword),
            _ => None,
        };
        let signer = match (&report, candidates.as_slice()) {
            (PasswordReport::Matches(id), _) => candidates.iter().copied().find(|secret| secret.id() == id),
            // Only one can have signed it.
            (_, [only]) => Some(*only),
            _ => None,
        };
        let lasting = self.ephemeral.lasting_objections(presented);
        let passing = self.ephemeral.passing_objections(presented, signer, now_unix);
        Explanation {
            username: UsernameReport::Ephemeral {
                layout: presented.username.layout,
                expiry: presented.username.expiry,
                distance: distance(presented.username.expiry, now_unix),
                binding: presented.binding.clone(),
            },
            user: Some(presented.user()),
            password: report,
            refusals: unsigned.into_iter().chain(lasting).chain(passing).collect(),
        }
    }
}

fn distance(expiry: Expiry, now_unix: u64) -> Distance {
    let unix = match expiry {
        Expiry::Seconds(seconds) => seconds,
        Expiry::Milliseconds(milliseconds) => milliseconds / 1000,
    };
    match unix.checked_sub(now_unix) {
        Some(ahead) => Distance::Ahead(Duration::from_secs(ahead)),
        None => Distance::Ago(Duration::from_secs(now_unix.saturating_sub(unix))),
    }
}

fn compare(secrets: &[&Secret], username: &[u8], given: &[u8]) -> PasswordReport {
    if let Some(secret) = secrets.iter().find(|secret| secret.password(username).matches(given)) {
        return PasswordReport::Matches(secret.id().clone());
    }
    let near = secrets.iter().find_map(|secret| Some((secret, mistake(secret, username, given)?)));
    near.map_or(PasswordReport::Wrong, |(secret, mistake)| PasswordReport::NearMiss(secret.id().clone(), mistake))
}

fn mistake(secret: &Secret, username: &[u8], given: &[u8]) -> Option<Mistake> {
    let other_hash = match secret.hash() {
        PasswordHash::Sha1 => PasswordHash::Sha256,
        PasswordHash::Sha256 => PasswordHash::Sha1,
    };
    let right = secret.password(username);
    let padded = [given, b"="].concat();
    let standard: Vec<u8> = given
        .iter()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let trials = [
        (Mistake::OtherHash, secret.password_by(other_hash, username).matches(given)),
        (Mistake::LineFeedInSecret, secret.password_with_suffix(b"\n", username).matches(given)),
        (Mistake::NoPadding, right.matches(&padded)),
        (Mistake::UrlAlphabet, right.matches(&standard)),
        (Mistake::WhiteSpace, right.matches(given.trim_ascii())),
    ];
    trials.into_iter().find(|(_, matches)| *matches).map(|(mistake, _)| mistake)
}
