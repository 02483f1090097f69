//! The steps of a client's life, and how each can end.

use crate::wire::Method;

/// A request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::load) enum Step {
    /// TCP's handshake.
    Connect,
    /// TLS's handshake.
    Secure,
    Binding,
    /// Allocate without credentials, answered 401.
    Challenge,
    Allocate,
    Permission,
    Channel,
    Refresh,
    /// Refresh with lifetime 0.
    Free,
}

/// What a client has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::load) struct Told {
    pub(in crate::load) step: Step,
    pub(in crate::load) what: Outcome,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::load) enum Outcome {
    /// Answered well, this long after it was first sent.
    Done {
        /// In nanoseconds.
        took_ns: u64,
    },
    /// Refused with an error code, which ends the client's life; 0: the answer made no sense.
    Refused(u16),
    /// Never answered, which ends it too.
    TimedOut,
    /// The connection is over, and so is it.
    Closed(String),
}

impl Step {
    /// As it stands in the result.
    pub(in crate::load) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Secure => "tls",
            Self::Binding => "binding",
            Self::Challenge => "challenge",
            Self::Allocate => "allocate",
            Self::Permission => "permission",
            Self::Channel => "channel",
            Self::Refresh => "refresh",
            Self::Free => "free",
        }
    }

    pub(super) const fn method(self) -> Method {
        match self {
            // The first two are no requests: nothing answers them.
            Self::Connect | Self::Secure | Self::Binding => Method::BINDING,
            Self::Challenge | Self::Allocate => Method::ALLOCATE,
            Self::Permission => Method::CREATE_PERMISSION,
            Self::Channel => Method::CHANNEL_BIND,
            Self::Refresh | Self::Free => Method::REFRESH,
        }
    }
}
