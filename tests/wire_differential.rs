//! Our codec beside two that we did not write: `stun` 0.17.2 (webrtc-rs) and `stun-types` 2.0. They agree with us byte
//! for byte in both directions on what all three can say, and on which damaged messages are none; where they do not,
//! the RFC is with us, or leaves the choice. Each row of these tables is asserted by the test of its number.
//!
//! # `stun` 0.17.2
//!
//! | no. | it | we | RFC |
//! | --- | --- | --- | --- |
//! | W1 | ignores the top two bits | refuse the message | 8489 §6.3 |
//! | W2 | accepts bytes behind the length | refuse the message | 8489 §6.3 over UDP |
//! | W3 | accepts any number of attributes | refuse more than 64 | our bound |
//! | W4 | reads what stands behind MESSAGE-INTEGRITY as if it were covered | ignore it | 8489 §9, §14.5 |
//! | W5 | checks MESSAGE-INTEGRITY beside a broken MESSAGE-INTEGRITY-SHA256 | the stronger one decides | 8489 §9.2.4 |
//! | W6 | fills up addresses that are too short, ignores what is too long of a plain one | refuse both | 8489 §14.1 |
//! | W7 | refuses an address whose first byte is not 0 | ignore that byte | 8489 §14.1 |
//! | W8 | reads type 0x8020 as XOR-MAPPED-ADDRESS | it is an unknown optional attribute | drafts of RFC 5389 |
//! | W9 | reads texts of any length, refuses those that are not UTF-8 | read bytes, up to 763 | 8489 §14.3, §14.9 |
//! | W10 | reads reserved bits as part of an error code | ignore them | 8489 §14.8 |
//! | W11 | reads error classes 0 to 2, 7 and up, and numbers of 100 and up | refuse them | 8489 §14.8 |
//! | W12 | keeps a reason that is not UTF-8 and fails to show it | read it up to there | 8489 §14.8 |
//! | W13 | cuts the length of a value above 65,535 bytes to 16 bits | refuse to write it | 8489 §14 |
//!
//! # `stun-types` 2.0
//!
//! | no. | it | we | RFC |
//! | --- | --- | --- | --- |
//! | Y1 | reads bytes behind the length as further attributes | refuse the message | 8489 §6.3 over UDP |
//! | Y2 | accepts any number of attributes | refuse more than 64 | our bound |
//! | Y3 | refuses a message with a wrong FINGERPRINT as it parses | say so when asked | 8489 §6.3; the same end |
//! | Y4 | accepts a FINGERPRINT that is not the last attribute | it must be the last | 8489 §14.7 |
//! | Y5 | stops at the first attribute behind MESSAGE-INTEGRITY that does not belong there | skip it, and find what does | 8489 §9 |
//! | Y6 | does not look at the layout of what is behind there | refuse a message with an overrun anywhere | 8489 §14 |
//! | Y7 | checks whichever integrity attribute the key is made for | the stronger one decides | 8489 §9.2.4 |
//! | Y8 | accepts MESSAGE-INTEGRITY-SHA256 cut to 16 bytes and more | refuse all but 32 | 8489 §14.6; TURN allows no cut |
//! | Y9 | refuses texts that are not UTF-8 and a USERNAME above 513 bytes | read bytes, up to 763 | 8489 §14.3 |
//! | Y10 | refuses a reason that is not UTF-8 | read it up to there | 8489 §14.8 |
//! | Y11 | refuses password algorithms that it does not know | keep them for the comparison | 8489 §9.2.4 |
//! | Y12 | lists an unknown required attribute as often as it occurs | once | ours; C-021 |

#[path = "wire/against_stun.rs"]
mod against_stun;
#[path = "wire/against_stun_types.rs"]
mod against_stun_types;
#[path = "wire/any.rs"]
mod any;
#[path = "wire/common.rs"]
mod common;
#[path = "wire/damage.rs"]
mod damage;
