//! What a server refused or left unanswered, and what that means.

use std::collections::BTreeMap;

use super::page::{Cell, Page};
use crate::load::units;

/// Error codes (RFC 8489 §14.8, RFC 8656 §19) with what they tell whoever tests.
const MEANINGS: &[(&str, &str)] = &[
    ("400", "Bad Request: the server did not understand what was asked"),
    ("401", "Unauthenticated: the credentials are wrong or have expired"),
    ("403", "Forbidden: the server does not let clients reach this peer; allow the peers of the test"),
    ("420", "Unknown Attribute: the server does not support what was asked"),
    ("437", "Allocation Mismatch: the allocation is gone, or was there already"),
    ("438", "Stale Nonce: asked again with the new one"),
    ("440", "Address Family not Supported"),
    ("441", "Wrong Credentials: the allocation is another user's"),
    ("442", "Unsupported Transport Protocol"),
    ("443", "Peer Address Family Mismatch"),
    ("486", "Allocation Quota Reached: raise the server's limit for each user, or use a secret instead of one user"),
    ("500", "Server Error"),
    ("508", "Insufficient Capacity: too few relay ports or descriptors"),
    ("unintelligible", "the answer lacks what it must have: is it a TURN server, and is this its port?"),
    ("allocated", "an allocation for somebody without credentials: let the server require credentials"),
    ("before its allocation", "the allocation came later than planned, or not at all: see setup"),
    ("lost", "the other of the pair got no allocation"),
    ("timeout", "no answer after all retransmissions: lost, or the server was too busy"),
];

pub(super) fn section(errors: &BTreeMap<String, u64>, page: &mut Page) {
    if errors.is_empty() {
        return;
    }
    page.element("h2", "Errors");
    let row = |(what, count): (&String, &u64)| {
        let (asked, answer) = what.split_once(' ').unwrap_or((what, ""));
        vec![
            Cell::new(asked.replace('_', " ")),
            Cell::new(answer),
            Cell::new(units::count(*count)),
            Cell::prose(mend(what)),
        ]
    };
    page.table(&["asked", "answer", "times", "meaning"], &errors.iter().map(row).collect::<Vec<_>>());
}

/// What the error `what` means to whoever tests, and what helps; empty, where nobody knows.
pub fn mend(what: &str) -> &'static str {
    let answer = what.split_once(' ').map_or("", |(_, answer)| answer);
    MEANINGS.iter().find(|(code, _)| *code == answer).map_or("", |(_, meaning)| meaning)
}
