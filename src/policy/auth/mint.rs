//! Makes credentials, and only such as would be accepted.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::binding::Binding;
use super::ephemeral::{Ephemeral, Unreadable};
use super::secret::{Password, Secret};
use super::username::{Expiry, GrammarError};
use crate::relay::reason::AuthReason;

/// Which credential to make.
#[derive(Clone, Debug)]
pub struct MintRequest<'a> {
    /// Whose it is.
    pub owner: Owner<'a>,
    /// How long it is good, from now.
    pub ttl: Duration,
    /// The id of the secret to sign with; if none, the first that is not retired.
    pub key_id: Option<&'a str>,
}

/// Whose a credential is.
#[derive(Clone, Debug)]
pub enum Owner<'a> {
    /// Nobody's: the user name is an expiry alone, and limits count for this credential only.
    Nobody,
    /// A user's, written as it is.
    User(&'a str),
    /// A user's, bound to the zone and to its secret.
    Bound {
        /// The user.
        user_id: &'a str,
        /// The session it takes part in.
        session: Option<&'a str>,
        /// The most allocations the user may have.
        max_allocations: Option<NonZeroU32>,
    },
}

/// A credential.
pub struct Credential {
    /// USERNAME.
    pub username: String,
    /// The password that belongs to it.
    pub password: Password,
    /// When it expires, in seconds since 1970.
    pub expires_unix: u64,
}

impl Ephemeral {
    /// Makes a credential that [`Ephemeral`] with the same settings accepts for `request.ttl`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn mint(&self, now_unix: u64, request: &MintRequest<'_>) -> Result<Credential, MintError> {
        let secret = self.secret_for(request.key_id, now_unix)?;
        // The tolerance belongs to clocks, not to those who ask for more than the limit.
        if request.ttl > self.max_ttl {
            return Err(MintError::TtlTooLong { max: self.max_ttl });
        }
        let expires_unix = now_unix.saturating_add(request.ttl.as_secs());
        let user_part = self.user_part(&request.owner, secret)?;
        let username = match &user_part {
            Some(user) => format!("{expires_unix}{}{user}", self.grammar.separator.as_char()),
            None => expires_unix.to_string(),
        };
        self.read_back(&username, user_part.as_deref().unwrap_or_default(), expires_unix, now_unix, secret)?;
        Ok(Credential { password: secret.password(username.as_bytes()), username, expires_unix })
    }

    fn secret_for(&self, key_id: Option<&str>, now_unix: u64) -> Result<&Secret, MintError> {
        match key_id {
            Some(id) => self.secrets.iter().find(|secret| secret.id().as_str() == id),
            None => self.secrets.iter().find(|secret| !secret.retired(now_unix)),
        }
        .ok_or(MintError::NoSecret)
    }

    fn user_part(&self, owner: &Owner<'_>, secret: &Secret) -> Result<Option<String>, MintError> {
        match *owner {
            Owner::Nobody => Ok(None),
            Owner::User("") => Err(MintError::User("is empty")),
            Owner::User(user) if Binding::is_claimed_by(user) => {
                Err(MintError::User("begins like a binding, with tk1."))
            }
            Owner::User(user) => Ok(Some(user.to_owned())),
            Owner::Bound { user_id, session, max_allocations } => {
                let binding = Binding {
                    key_id: secret.id().as_str().to_owned(),
                    zone: self.zone.clone(),
                    peer_zones: vec![],
                    session: session.map(str::to_owned),
                    max_allocations,
                    user_id: user_id.to_owned(),
                };
                let text = binding.to_string();
                // A field with a character that it must not have reads back as something else.
                if Binding::parse(&text) == Some(Ok(binding)) { Ok(Some(text)) } else { Err(unbound(user_id, session)) }
            }
        }
    }

    /// What was written must read as what was meant.
    fn read_back(&self, username: &str, user: &str, expires: u64, now: u64, secret: &Secret) -> Result<(), MintError> {
        let presented = self.read(username.as_bytes()).map_err(|unreadable| match unreadable {
            Unreadable::Grammar(GrammarError::TooLong) => MintError::User("is too long: 255 bytes are the most"),
            Unreadable::Grammar(GrammarError::NotPrintable) => {
                MintError::User("has a character that is not printable ASCII")
            }
            _ => MintError::User(MISREAD),
        })?;
        if presented.username.user_part != user || presented.username.expiry != Expiry::Seconds(expires) {
            return Err(MintError::User(MISREAD));
        }
        let objections =
            self.lasting_objections(&presented).chain(self.passing_objections(&presented, Some(secret), now));
        objections.map(MintError::WouldBeRefused).next().map_or(Ok(()), Err)
    }
}

const MISREAD: &str = "would be read as something else, such as an expiry";

/// Which of the two that a caller gives cannot stand in a binding.
fn unbound(user_id: &str, session: Option<&str>) -> MintError {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match session {
        Some(session) if session.is_empty() || !session.bytes().all(is_plain) => MintError::Session,
        _ if user_id.is_empty() => MintError::User("is empty"),
        _ => {
            MintError::User("has another character than letters, digits, \".\", \"_\" and \"-\", so it cannot be bound")
        }
    }
}

/// Why a credential cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintError {
    /// No secret is live, or none has the id that was asked for.
    NoSecret,
    /// The user id cannot stand in a user name; what it is or has.
    User(&'static str),
    /// The session is empty, or has another character than letters, digits, `_` and `-`.
    Session,
    /// It would live longer than `max_ttl`.
    TtlTooLong {
        /// What is allowed.
        max: Duration,
    },
    /// The relay would refuse it for this reason.
    WouldBeRefused(AuthReason),
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSecret => f.write_str("No secret is live under that id."),
            Self::User(what) => write!(f, "The user id {what}."),
            Self::Session => {
                f.write_str("The session is empty, or has another character than letters, digits, \"_\" and \"-\".")
            }
            Self::TtlTooLong { max } => {
                write!(f, "The credential would live longer than max_ttl, {} s.", max.as_secs())
            }
            Self::WouldBeRefused(reason) => write!(f, "The relay would refuse it. {}", super::sentence(*reason)),
        }
    }
}

impl std::error::Error for MintError {}
