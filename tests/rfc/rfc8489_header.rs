//! RFC 8489 §5 to §7, §14.7: the header, what is silently discarded, and FINGERPRINT.

use turnkeep::relay::DropReason;
use turnkeep::wire::attribute::RequestedTransport;
use turnkeep::wire::header::{Class, Method, TransactionId};

use super::sans_io::stun::{Stun, append, append_fingerprint, number, set_length};
use super::sans_io::{Client, Output, World, message, only_reply};

const PEER: &str = "192.0.2.77:5000";
const ALLOCATE: Method = Method::ALLOCATE;

fn binding(alice: &mut Client) -> Vec<u8> {
    alice.bare(Method::BINDING, &[])
}

/// C-001, RFC 8489 §5, RFC 8489 §6.3.1: an answer has two zero bits, the cookie and the request's transaction id.
#[test]
fn answers_repeat_the_transaction_id() {
    for mut alice in Client::each() {
        let mut world = World::default();
        for request in [binding(&mut alice), alice.bare(ALLOCATE, &[&RequestedTransport(17)])] {
            let answer = only_reply(world.client_says(alice.path, &request));
            assert_eq!(answer[0] & 0xC0, 0);
            assert_eq!(answer[4..20], request[4..20], "cookie and transaction id");
        }
    }
}

/// C-015, RFC 8489 §5: a transaction id of zeroes is as good as any.
#[test]
fn the_transaction_id_may_be_zero() {
    let (mut world, alice) = (World::default(), Client::alice());
    let request = message(Method::BINDING, Class::Request, TransactionId([0; 12]), &[], None);
    let answer = only_reply(world.client_says(alice.path, &request));
    assert_eq!(Stun::read(&answer).unwrap().message_type(), 0x0101);
}

/// C-002, C-003, A-115, RFC 8489 §5, RFC 8489 §6.3: the length is a multiple of 4 and the datagram's own less 20.
#[test]
fn a_wrong_length_is_discarded() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    for plain in [binding(&mut alice), alice.bare(ALLOCATE, &[&RequestedTransport(17)])] {
        let right = plain.len() - 20;
        let lengths = [right + 1, right + 2, right + 3, right + 4, right + 20, 0xFFFC, 0xFFFF];
        let shorter = (1..=4).filter_map(|less| right.checked_sub(less));
        for length in lengths.into_iter().chain(shorter) {
            let mut wrong = plain.clone();
            set_length(&mut wrong, length);
            assert_eq!(world.silence(alice.path, &wrong), DropReason::Malformed, "{length} for {right}");
        }
        for more in 1..=4 {
            let wrong = [plain.clone(), vec![0; more]].concat();
            assert_eq!(world.silence(alice.path, &wrong), DropReason::Malformed, "{more} bytes behind");
        }
    }
}

/// C-002, RFC 8489 §5: a datagram that is as long as its header says, but no multiple of 4.
#[test]
fn an_odd_length_is_discarded_although_the_datagram_has_it() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    for odd in [1, 2, 3, 5] {
        let mut wrong = [binding(&mut alice), vec![0; odd]].concat();
        set_length(&mut wrong, odd);
        assert_eq!(world.silence(alice.path, &wrong), DropReason::Malformed, "{odd}");
    }
}

/// C-004, C-229, RFC 8489 §6.3, RFC 7983 §7: what does not begin like STUN or like a channel is no TURN.
#[test]
fn the_first_byte_tells_what_is_no_stun() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let allocated = Client::bob();
    allocated.clone().allocate(&mut world);
    let plain = binding(&mut alice);
    for first in (4..=63).chain(80..=255) {
        let other = [&[first], &plain[1..]].concat();
        for path in [alice.path, allocated.path] {
            assert_eq!(world.silence(path, &other), DropReason::NotTurn, "{first}");
        }
    }
}

/// C-005, C-107, RFC 8489 §6.3, RFC 8656 §5: without the magic cookie it is RFC 3489, which TURN does not speak.
#[test]
fn a_wrong_cookie_is_discarded() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let plain = binding(&mut alice);
    for at in 4..8 {
        let mut wrong = plain.clone();
        wrong[at] ^= 1;
        assert_eq!(world.silence(alice.path, &wrong), DropReason::Malformed);
    }
    let mut classic = plain;
    classic[4..8].fill(0);
    assert_eq!(world.silence(alice.path, &classic), DropReason::Malformed);
}

/// C-006, C-007, C-008, C-009, A-126, RFC 8489 §6.3, RFC 8656 §17: of 4,096 methods in 4 classes, five requests are
/// answered and two indications are understood; all else is silence, from strangers and from the owner of an
/// allocation.
#[test]
fn only_defined_methods_and_classes_have_an_effect() {
    let mut world = World::default();
    let (mut alice, stranger) = (Client::alice(), Client::bob());
    alice.allocate(&mut world);
    let requests =
        [Method::BINDING, Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND];
    for method in (0..=0xFFF).filter_map(Method::new) {
        for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
            let bytes = message(method, class, alice.id(), &[], None);
            for path in [alice.path, stranger.path] {
                let expected = match class {
                    // Those have a first byte of 4 and more, which is not STUN's (RFC 7983 §7).
                    _ if method.number() > 0xFF => DropReason::NotTurn,
                    Class::Request if requests.contains(&method) => {
                        only_reply(world.client_says(path, &bytes));
                        continue;
                    }
                    Class::Indication if method == Method::BINDING => {
                        assert_eq!(world.client_says(path, &bytes), []);
                        continue;
                    }
                    Class::Indication if method == Method::SEND && path == alice.path => DropReason::BadSend,
                    Class::Indication if method == Method::SEND => DropReason::NoAllocation,
                    Class::Request | Class::Indication => DropReason::UnsupportedMethod,
                    Class::Success | Class::Error => DropReason::UnexpectedResponse,
                };
                assert_eq!(world.silence(path, &bytes), expected, "{method} {class:?}");
            }
        }
    }
}

/// C-010, C-011, RFC 8489 §7, RFC 8489 §14.7: a wrong FINGERPRINT is discarded, a right one or none is not.
#[test]
fn fingerprint_is_checked_if_present() {
    for mut alice in Client::each() {
        let (mut world, mut right) = (World::default(), binding(&mut alice));
        only_reply(world.client_says(alice.path, &right));
        append_fingerprint(&mut right);
        only_reply(world.client_says(alice.path, &right));
        for bit in 0..32 {
            let mut wrong = right.clone();
            let at = wrong.len() - 4 + bit / 8;
            wrong[at] ^= 1 << (bit % 8);
            assert_eq!(world.silence(alice.path, &wrong), DropReason::BadFingerprint, "bit {bit}");
        }
        for len in [0, 3, 5, 8] {
            let mut wrong = binding(&mut alice);
            append(&mut wrong, number::FINGERPRINT, &vec![0; len]);
            assert_eq!(world.silence(alice.path, &wrong), DropReason::BadFingerprint, "{len} bytes");
        }
    }
}

/// C-012, C-014, RFC 8489 §7, RFC 8489 §14.7: an answer has a FINGERPRINT, last and right, if its request had one: the
/// judge computes the CRC over what was emitted, integrity and length included.
#[test]
fn fingerprint_is_answered_with_fingerprint() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.challenge(&mut world);
        let unsigned = [binding(&mut alice), alice.bare(ALLOCATE, &[]), alice.bare(Method::REFRESH, &[])];
        let signed = [alice.signed(ALLOCATE, &[]), alice.signed(ALLOCATE, &[&RequestedTransport(17)])];
        let standing = [alice.signed(ALLOCATE, &[]), alice.signed(Method::REFRESH, &[])];
        for mut request in unsigned.into_iter().chain(signed).chain(standing) {
            append_fingerprint(&mut request);
            let answer = only_reply(world.client_says(alice.path, &request));
            assert!(Stun::read(&answer).unwrap().has_valid_fingerprint());
        }
    }
}

/// C-013, RFC 8489 §14.7: what stands behind FINGERPRINT is never acted upon.
#[test]
fn nothing_counts_behind_fingerprint() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate(&mut world);
    let mut refresh = alice.signed(Method::REFRESH, &[]);
    append_fingerprint(&mut refresh);
    append(&mut refresh, number::LIFETIME, &[0; 4]);
    world.silence(alice.path, &refresh);
    assert!(world.relays.values().any(|address| *address == relayed), "LIFETIME 0 had no effect");

    let mut unknown = binding(&mut alice);
    append_fingerprint(&mut unknown);
    append(&mut unknown, 0x7FFF, &[]);
    world.silence(alice.path, &unknown);
}

/// C-016, A-129, RFC 8489 §5: fewer bytes than a header has.
#[test]
fn less_than_a_header_is_discarded() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let (whole, owner) = (binding(&mut alice), Client::bob());
    owner.clone().allocate(&mut world);
    for len in 0..20 {
        for path in [alice.path, owner.path] {
            let expected = if len == 0 { DropReason::NotTurn } else { DropReason::Malformed };
            assert_eq!(world.silence(path, &whole[..len]), expected, "{len} bytes");
        }
    }
}

/// C-042, RFC 8489 §6.3.1.2: an answer, at once or later, goes to the source of its request, and from the address of
/// ours that was asked: the world compares the whole path.
#[test]
fn an_answer_goes_back_by_the_path_of_its_request() {
    for mut alice in Client::each() {
        for host in ["192.0.2.10:3478", "192.0.2.9:443", "[2001:db8:9::10]:3478"] {
            let mut world = World::default();
            alice.path.server.0 = host.parse().unwrap();
            alice.path.listener.0 += 1;
            alice.nonce.clear();
            let request = binding(&mut alice);
            let outputs = world.client_says(alice.path, &request);
            assert!(matches!(&outputs[..], [Output::ToClient { client, .. }] if *client == alice.path.client.0));
            let relayed = alice.allocate(&mut world);
            assert_eq!(alice.permit(&mut world, PEER), 0);
            assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x").len(), 1);
        }
    }
}
