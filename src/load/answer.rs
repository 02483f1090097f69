//! What a server's refusals, and its silence, mean to whoever tests it.

/// Error codes (RFC 8489 §14.8, RFC 8656 §19), and what else ends a request.
const MEANINGS: &[(&str, &str)] = &[
    ("400", "Bad Request: the server did not understand what was asked"),
    (
        "401",
        "Unauthenticated: the secret or the password is not the server's, the user is not known there, or the \
         clocks of both hosts differ so much that what is minted now has expired there",
    ),
    ("403", "Forbidden: the server does not let clients reach these peers; allow the peers of the test (--help)"),
    ("420", "Unknown Attribute: the server does not support what was asked"),
    (
        "437",
        "Allocation Mismatch: the allocation is gone, or the client's address and port still rest after the last one",
    ),
    ("438", "Stale Nonce: again and again, though each new one was used"),
    ("440", "Address Family not Supported: the server has no relayed addresses of this family"),
    ("441", "Wrong Credentials: the allocation is another user's"),
    ("442", "Unsupported Transport Protocol: the server does not relay UDP"),
    ("443", "Peer Address Family Mismatch: the peer's address and the relayed one are not of one family"),
    ("486", "Allocation Quota Reached: raise the server's limit for each user, or use a secret instead of one user"),
    ("500", "Server Error"),
    (
        "508",
        "Insufficient Capacity: the server ran out of relay ports, which rest some time after use, or of \
         descriptors; widen its range (turnkeep: relay.ports)",
    ),
    ("unintelligible", "the answer lacks what it must have: is it a TURN server, and is this its port?"),
    ("allocated", "an allocation for somebody without credentials: let the server require credentials"),
    ("before its allocation", "the allocation came later than planned, or not at all: see setup"),
    ("lost", "the other of the pair got no allocation"),
    ("timeout", "no answer after all retransmissions: nothing listens there, it was lost, or the server is too busy"),
];

/// What `what` means, which was answered to a request, such as `486`; empty where that is not known.
pub(super) fn meaning(what: &str) -> &'static str {
    MEANINGS.iter().find(|(code, _)| *code == what).map_or("", |(_, meaning)| meaning)
}

/// An entry of a result's errors, such as `allocate 486`, with how often it came and what it means.
pub fn in_words(what: &str, count: u64) -> String {
    let answer = what.split_once(' ').map_or("", |(_, answer)| answer);
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    match meaning(answer) {
        "" => format!("{what} ({times})"),
        meaning => format!("{what} ({times}): {meaning}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_words_and_what_has_none_stands_for_itself() {
        assert!(in_words("allocate 401", 4).starts_with("allocate 401 (4 times): Unauthenticated"));
        assert!(
            in_words("allocate 508", 1).contains("(once): Insufficient Capacity: the server ran out of relay ports")
        );
        assert_eq!(in_words("connect refused", 2), "connect refused (2 times)");
        assert!(
            in_words("packet before its allocation", 1)
                .ends_with("(once): the allocation came later than planned, or not at all: see setup")
        );
    }
}
