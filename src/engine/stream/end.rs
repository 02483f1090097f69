//! Why connections end.
#![forbid(unsafe_code)]

macro_rules! ends {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $sentence:literal;)+) => {
        /// Why a connection of a client ended. Its name is the word in the log and the metric's label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum StreamEnd { $($(#[$doc])* $variant,)+ }

        impl StreamEnd {
            /// Every reason, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable name: lower case, words joined by `_`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What happened, and what an admin can do about it; without a full stop.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)+ }
            }
        }
    };
}

ends! {
    /// The client closed it.
    ClosedByClient = "closed_by_client", "the client closed it";
    /// The client or something between broke it.
    Reset = "connection_reset", "it was reset";
    /// The client has acknowledged nothing for two minutes.
    TimedOut = "connection_timed_out", "the client took nothing in for two minutes";
    /// What came is neither STUN nor ChannelData.
    NotTurn = "not_turn", "what came is neither STUN nor ChannelData";
    /// A long message began before the client had authenticated.
    LongMessageOfStranger = "long_message_of_stranger",
        "a message of more than 4096 bytes began before the client had authenticated";
    /// Nothing came.
    NoFirstByte = "no_first_byte", "nothing came";
    /// No message was complete in time.
    NoMessage = "no_message", "no message was complete in time";
    /// The client did not authenticate in time.
    NotAuthenticated = "not_authenticated", "the client did not authenticate in time";
    /// What came to a TLS listener is not TLS.
    NotTls = "not_tls", "what came is not TLS; where clients speak both, set transport = \"auto\"";
    /// The TLS handshake went wrong.
    HandshakeFailed = "tls_handshake_failed", "the TLS handshake failed; at level debug the log has the reason";
    /// The TLS handshake took too long.
    HandshakeTimeout = "tls_handshake_timeout", "the TLS handshake was not complete in time";
    /// A TLS record was not what was agreed on.
    TlsBroken = "tls_broken", "a TLS record was not what was agreed on";
    /// A proxy did not say for whom it speaks.
    BadProxyHeader = "bad_proxy_header",
        "it comes from a proxy of proxy_protocol.from and does not begin with a PROXY header";
    /// It is somebody else's TLS, and was passed on unopened.
    PassedThrough = "passed_through", "it was passed on, as [[pass_through]] says";
    /// As many connections as may be are passed on.
    TooManyPassedThrough = "too_many_passed_through",
        "as many connections are passed on as streams.passed_through says, or a quarter of them for one network";
    /// It was of no use any more: its allocation had ended.
    Idle = "idle", "it had no allocation any more";
    /// As many connections as may be wait to authenticate.
    TooManyUnauthenticated = "too_many_unauthenticated", "too many connections have yet to authenticate";
    /// As many connections as may be from one network wait to authenticate.
    TooManyFromNetwork = "too_many_from_network",
        "too many connections of one network have yet to authenticate; if it is a large site behind a NAT, raise \
         streams.unauthenticated_per_network";
    /// The worker has as many connections as it may.
    TooManyConnections = "too_many_connections", "the worker has as many connections as it may";
    /// Messages that are not all there take as much memory as they may.
    PartialMessages = "partial_messages", "unfinished messages take as much memory as they may";
    /// The kernel refused to watch it.
    NoResources = "no_resources", "the kernel has no resources left";
    /// The worker panicked, and its allocations are gone.
    WorkerRestarted = "worker_restarted", "the worker started afresh";
    /// The relay stops.
    Shutdown = "shutdown", "the relay stops";
}

impl StreamEnd {
    /// It is nothing that an admin would look at.
    pub(super) const fn is_usual(self) -> bool {
        matches!(
            self,
            Self::ClosedByClient | Self::Reset | Self::TimedOut | Self::PassedThrough | Self::Idle | Self::Shutdown
        )
    }
}
