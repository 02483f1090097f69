//! Why something was dropped, refused or closed. Each reason's name is at once the metric's label, the audit's reason
//! and the word in the log, so an admin finds all three by one search.

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every reason, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable name: lower case, words joined by `_`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

reasons! {
    /// Why a datagram was silently discarded.
    DropReason {
        /// The first byte is neither STUN's nor a channel number's (RFC 7983 §7).
        NotTurn = "not_turn",
        /// STUN with a bad length, cookie or attribute layout (RFC 8489 §6.3).
        Malformed = "malformed",
        /// FINGERPRINT present and wrong (RFC 8489 §14.7).
        BadFingerprint = "bad_fingerprint",
        /// A method we do not speak, or a class that the method does not have (RFC 8489 §6.3).
        UnsupportedMethod = "unsupported_method",
        /// A response to nothing we asked.
        UnexpectedResponse = "unexpected_response",
        /// An indication with an unknown comprehension-required attribute (RFC 8489 §6.3.2).
        UnknownAttribute = "unknown_attribute",
        /// Send indication without a valid XOR-PEER-ADDRESS or DATA, or with port 0 (RFC 8656 §11.2).
        BadSend = "bad_send",
        /// Data from a 5-tuple that has no allocation.
        NoAllocation = "no_allocation",
        /// No live permission for the peer's address (RFC 8656 §9).
        NoPermission = "no_permission",
        /// The peer's port is not one that policy lets through.
        PeerPortDenied = "peer_port_denied",
        /// ChannelData on a number that is not bound (RFC 8656 §12.6).
        UnboundChannel = "unbound_channel",
        /// ChannelData whose length says more than the datagram holds (RFC 8656 §12.6).
        TruncatedChannelData = "truncated_channel_data",
        /// The peer's family is not the relayed address's.
        FamilyMismatch = "family_mismatch",
        /// Another user asked for an allocation on this 5-tuple; its owner must authenticate again (RFC 8656 §7.4).
        Suspended = "suspended",
        /// The request is being worked on; a retransmission needs no second answer.
        InProgress = "in_progress",
        /// The source port is 0: nobody can be answered there.
        SourcePortZero = "source_port_zero",
        /// The message would not fit into one datagram with its header.
        TooLong = "too_long",
        /// The relay socket is not open (yet or any more).
        RelayNotOpen = "relay_not_open",
        /// An ICMP error of a type that clients do not hear of (RFC 8656 §11.5).
        IcmpType = "icmp_type",
        /// An ICMP error more than a client hears of at a time.
        IcmpRate = "icmp_rate",
    }
}

reasons! {
    /// Why an allocation ended.
    CloseReason {
        /// The client refreshed with LIFETIME 0 (RFC 8656 §8.2).
        ClientRefresh = "client_refresh",
        /// The allocation's lifetime passed without a Refresh (RFC 8656 §6).
        Expired = "expired",
        /// The client's connection ended (D-11 of docs/conformance.md).
        StreamClosed = "stream_closed",
        /// The server stops.
        Shutdown = "shutdown",
    }
}

reasons! {
    /// Why credentials were refused; on the wire all of them look alike (RFC 8489 §9.2.4, 401).
    AuthReason {
        /// The user name is no `<expiry>:<user>` and no static user.
        UnknownUser = "unknown_user",
        /// The user name's form is broken: a bad timestamp, too long, or bytes that are not printable ASCII.
        BadUsername = "bad_username",
        /// The timestamp stands behind the colon; the zone takes it in front only.
        TimestampOnWrongSide = "timestamp_on_wrong_side",
        /// The timestamp is in the past.
        Expired = "expired",
        /// The timestamp is further ahead than `max_ttl` allows.
        ExpiryTooFar = "expiry_too_far",
        /// The timestamp has 13 digits: milliseconds where seconds belong.
        ExpiryInMilliseconds = "expiry_in_milliseconds",
        /// The user name names a key id that is not live here.
        UnknownKeyId = "unknown_key_id",
        /// The password does not match under any live secret.
        WrongPassword = "wrong_password",
        /// The password matches under a secret whose last day has passed.
        SecretRetired = "secret_retired",
        /// The credential is bound to a zone that is not this one.
        WrongZone = "wrong_zone",
        /// REALM is not ours.
        WrongRealm = "wrong_realm",
        /// USERHASH was sent although it was not offered.
        UserhashNotOffered = "userhash_not_offered",
        /// MD5 or SHA-1, at a listener that takes SHA-256 alone.
        LegacyAlgorithm = "legacy_algorithm",
        /// A credential bound to a zone, session or peers that this version cannot enforce is refused, not widened.
        UnsupportedBinding = "unsupported_binding",
    }
}

/// The id of the rule that refused something; an admin can look it up with `turnkeep explain`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(pub std::borrow::Cow<'static, str>);

/// The rule that the relay floor has of its own: a channel to a port that the answer about its peer leaves out
/// (RFC 8656 §12.2).
pub const PEER_PORT: &str = "peer.port";

impl std::fmt::Display for RuleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
