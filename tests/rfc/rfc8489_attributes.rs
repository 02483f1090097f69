//! RFC 8489 §6.3 and §14: unknown attributes, and the form of all of them.

use turnkeep::relay::{DropReason, Settings};
use turnkeep::wire::attribute::{Data, Lifetime, RequestedTransport, XorPeerAddress};
use turnkeep::wire::header::Method;

use super::sans_io::stun::{Stun, append, append_fingerprint, append_integrity, number, set_length, xored};
use super::sans_io::{Client, Kind, Output, Raw, World, code, only_reply, refusal, settings};

const PEER: &str = "192.0.2.77:5000";

/// The types that a 420 lists.
fn listed(answer: &[u8]) -> Vec<u16> {
    let list = Stun::read(answer).unwrap().first(number::UNKNOWN_ATTRIBUTES).expect("a list").to_vec();
    list.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

/// C-017, RFC 8489 §6.3: attributes that may be ignored are, in every request and in Send.
#[test]
fn unknown_optional_attributes_are_ignored() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let optional = [0x8004, 0x8027, 0x8029, 0xC000, 0xFFFF].map(|unknown| Raw(unknown, vec![7; 5]));
        let [a, b, c, d, e] = &optional;
        let request = alice.bare(Method::BINDING, &[a, b, c, d, e]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 0);
        alice.allocate_with(&mut world, &[a, b, c, d, e]);
        assert_eq!(alice.code(&mut world, Method::REFRESH, &[e, d]), 0);
        let peer = XorPeerAddress(PEER.parse().unwrap());
        assert_eq!(alice.code(&mut world, Method::CREATE_PERMISSION, &[a, &peer]), 0);
        let send = alice.indication(&[e, &peer, &Data(b"x"), d]);
        assert_eq!(world.client_says(alice.path, &send).len(), 1);
    }
}

/// C-018, RFC 8489 §6.3: known attributes have no effect where they have no place, valid or not (D-34).
#[test]
fn unexpected_attributes_are_ignored() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate(&mut world);
    let peer = XorPeerAddress(PEER.parse().unwrap());
    for lifetime in [vec![0; 4], vec![1], vec![]] {
        let lifetime = Raw(number::LIFETIME, lifetime);
        assert_eq!(alice.code(&mut world, Method::CREATE_PERMISSION, &[&lifetime, &peer]), 0);
        let number = Raw(number::CHANNEL_NUMBER, vec![0x40, 0, 0, 0]);
        assert_eq!(alice.code(&mut world, Method::CHANNEL_BIND, &[&lifetime, &number, &peer]), 0);
    }
    let bad_peer = Raw(number::XOR_PEER_ADDRESS, vec![1, 2, 3]);
    assert_eq!(alice.code(&mut world, Method::REFRESH, &[&bad_peer, &Lifetime(600)]), 0);
    assert!(world.relays.values().any(|address| *address == relayed));
}

/// C-019, C-035, C-297, RFC 8489 §6.3.1, RFC 8489 §14.13: Binding with an unknown required attribute: 420, which lists
/// it.
#[test]
fn an_unknown_required_attribute_makes_a_420() {
    for mut alice in Client::each() {
        let mut world = World::default();
        // Attributes of extensions that are not on are unknown, too (D-15).
        for unknown in [0x0000, 0x0002, 0x0007, 0x0024, 0x002A, 0x4000, 0x7FFF] {
            let request = alice.bare(Method::BINDING, &[&Raw(unknown, vec![1; 7])]);
            let answer = only_reply(world.client_says(alice.path, &request));
            assert_eq!((code(&answer), listed(&answer)), (420, vec![unknown]));
        }
    }
}

/// C-020, RFC 8489 §6.3.1, RFC 8656 §5: in an authenticated TURN request, too; the 420 is signed, and nothing changes.
#[test]
fn an_authenticated_420_is_signed_and_changes_nothing() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.challenge(&mut world);
        let unknown = Raw(0x7ABC, vec![]);
        let answer = alice.ask(&mut world, Method::ALLOCATE, &[&RequestedTransport(17), &unknown]);
        assert_eq!((refusal(&answer), listed(&answer)), (420, vec![0x7ABC]));
        assert_eq!(world.server.allocations(), 0);

        let relayed = alice.allocate(&mut world);
        let peer = XorPeerAddress(PEER.parse().unwrap());
        let number = Raw(number::CHANNEL_NUMBER, vec![0x40, 0, 0, 0]);
        assert_eq!(alice.code(&mut world, Method::REFRESH, &[&Lifetime(0), &unknown]), 420);
        assert_eq!(alice.code(&mut world, Method::CREATE_PERMISSION, &[&peer, &unknown]), 420);
        assert_eq!(alice.code(&mut world, Method::CHANNEL_BIND, &[&number, &peer, &unknown]), 420);
        assert_eq!(world.peer_says(relayed, peer.0, b"x"), [], "no permission was installed");
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), []);
        assert_eq!(world.server.allocations(), 1);
    }
}

/// C-021, RFC 8489 §14.13: several are listed each once, padded like any value; the list is bounded, and an answer
/// never grows faster than its request (D-16; the judge measures).
#[test]
fn unknown_attributes_are_listed_each_once() {
    for mut alice in Client::each() {
        let mut world = World::default();
        for count in [1, 2, 3, 4, 15, 16, 17, 30] {
            let unknown: Vec<u16> = (0..count).map(|index| 0x7000 + index).collect();
            let mut request = alice.bare(Method::BINDING, &[]);
            for each in unknown.iter().chain(&unknown) {
                append(&mut request, *each, &[]);
            }
            append(&mut request, 0x9000, &[]);
            let answer = only_reply(world.client_says(alice.path, &request));
            assert_eq!(code(&answer), 420);
            assert_eq!(listed(&answer), unknown[..unknown.len().min(16)]);
        }
    }
}

/// C-022, RFC 8489 §6.3.2: an indication with an unknown required attribute is discarded.
#[test]
fn an_unknown_required_attribute_discards_an_indication() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, PEER), 0);
    let peer = XorPeerAddress(PEER.parse().unwrap());
    let send = alice.indication(&[&peer, &Data(b"x"), &Raw(0x7FFF, vec![])]);
    assert_eq!(world.silence(alice.path, &send), DropReason::UnknownAttribute);
    assert_eq!(alice.send(&mut world, PEER, b"x").len(), 1, "without it, it passes");
}

/// C-023, C-054, RFC 8489 §6.3, RFC 8489 §14.8: who is not authenticated learns 401 and nothing of his attributes.
#[test]
fn authentication_comes_before_unknown_attributes() {
    for mut alice in Client::each() {
        let mut world = World::default();
        for method in [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
            let request = alice.bare(method, &[&Raw(0x7FFF, vec![])]);
            assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 401);
        }
        alice.challenge(&mut world);
        alice.password.push('?');
        assert_eq!(alice.code(&mut world, Method::ALLOCATE, &[&Raw(0x7FFF, vec![])]), 401);
    }
}

/// C-024, A-116, RFC 8489 §14: padding may hold anything: here all that a request has is padded with 0xFF.
#[test]
fn padding_is_ignored() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.challenge(&mut world);
    let mut request = alice.bare(Method::ALLOCATE, &[&RequestedTransport(17), &Raw(0x8022, vec![b's'; 5])]);
    for Raw(found, value) in alice.credentials() {
        append(&mut request, found, &value);
    }
    let whole = request.clone();
    for tlv in Stun::read(&whole).unwrap().attributes {
        let end = tlv.at + 4 + tlv.value.len();
        request[end..end + tlv.padding.len()].fill(0xFF);
    }
    assert_ne!(request, whole, "there is padding");
    append_integrity(&mut request, number::MESSAGE_INTEGRITY, alice.key().as_bytes());
    assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 0);
}

/// C-025, C-027, C-028, A-121, RFC 8489 §14, RFC 8489 §14.2: what is emitted is padded with zeroes, its reserved bits
/// are zero and its addresses are XORed (the judge looks at all of it): realms, names and payloads of every length
/// modulo 4.
#[test]
fn what_is_emitted_is_clean() {
    for length in 1..=24 {
        let mut settings = settings();
        settings.realm = "r".repeat(length).into();
        let mut world = World::new(settings);
        for mut alice in Client::each() {
            alice.challenge(&mut world);
        }
    }
    for mut alice in Client::each() {
        let mut world = World::default();
        let relayed = alice.allocate(&mut world);
        assert_eq!(alice.permit(&mut world, PEER), 0);
        for length in 0..9 {
            let payload = vec![0xEE; length];
            assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), &payload).len(), 1);
        }
        assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
        for length in 0..9 {
            let payload = vec![0xEE; length];
            assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), &payload).len(), 1);
        }
    }
}

/// C-026, RFC 8489 §14: of two attributes of one type, the first decides.
#[test]
fn the_first_of_duplicates_decides() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate_with(&mut world, &[&RequestedTransport(6)]);
    let answer = alice.ask(&mut world, Method::REFRESH, &[&Lifetime(1200), &Lifetime(0)]);
    assert_eq!(Stun::read(&answer).unwrap().first(number::LIFETIME), Some(&1200_u32.to_be_bytes()[..]));

    assert_eq!(alice.permit(&mut world, PEER), 0);
    let peers = ["192.0.2.77:5000", "192.0.2.78:5000"].map(|peer| XorPeerAddress(peer.parse().unwrap()));
    let send = alice.indication(&[&peers[0], &Data(b"first"), &peers[1], &Data(b"second")]);
    let expected = Output::ToPeer { from: relayed, peer: peers[0].0, payload: b"first".to_vec(), dont_fragment: false };
    assert_eq!(world.client_says(alice.path, &send), [expected]);

    let twice = alice.forged(Method::REFRESH, &[], |all| all.push(Raw(number::USERNAME, b"bob".to_vec())));
    assert_eq!(code(&only_reply(world.client_says(alice.path, &twice))), 0);
    let twice = alice.forged(Method::REFRESH, &[], |all| all.insert(0, Raw(number::USERNAME, b"bob".to_vec())));
    assert_eq!(code(&only_reply(world.client_says(alice.path, &twice))), 401);
}

/// C-027, A-118, RFC 8489 §14.1: the first byte of a received address is ignored.
#[test]
fn the_first_byte_of_an_address_is_ignored() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate(&mut world);
    let mut value = xored(PEER);
    value[0] = 0xFF;
    assert_eq!(alice.code(&mut world, Method::CREATE_PERMISSION, &[&Raw(number::XOR_PEER_ADDRESS, value)]), 0);
    assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x").len(), 1);
}

/// C-029, C-030, C-031, C-106, C-246, RFC 8489 §14.8, RFC 8489 §16.1.2, RFC 8656 §21.1.6: every error has an ERROR-CODE
/// of class 3 to 6 and a short reason, none an unauthenticated one; SOFTWARE, not configured, is in no answer (the
/// judge allows none).
#[test]
fn errors_have_a_code_and_answers_no_software() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let software = Raw(number::SOFTWARE, b"client".to_vec());
    let request = alice.bare(Method::ALLOCATE, &[&software]);
    let answer = only_reply(world.client_says(alice.path, &request));
    assert_eq!(Stun::read(&answer).unwrap().first(number::ERROR_CODE), Some(&[0, 0, 4, 1][..]));
    alice.allocate_with(&mut world, &[&software]);
    assert_eq!(alice.code(&mut world, Method::REFRESH, &[&software]), 0);
    let answer = alice.ask(&mut world, Method::CHANNEL_BIND, &[]);
    let answer = Stun::read(&answer).unwrap();
    let error = answer.first(number::ERROR_CODE).unwrap();
    assert!(error[..4] == [0, 0, 4, 0] && error.len() > 4, "a signed error says why");
}

/// C-048, RFC 8489 §6.1: the longest answers that there are, under the longest realm, stay below 548 bytes (the judge
/// measures).
#[test]
fn the_longest_answers_fit_an_unknown_path() {
    let realm = "r".repeat(Settings::REALM_MAX);
    let address = "[2001:db8:5::5]:40000";
    let mut world = World::new(Settings { realm: realm.clone().into(), ..settings() });
    let mut stranger = Client::of(Kind::Sha256, "alice", address);
    let mut challenge = stranger.bare(Method::ALLOCATE, &[]);
    append_fingerprint(&mut challenge);
    let challenge = only_reply(world.client_says(stranger.path, &challenge));
    assert!(Stun::read(&challenge).unwrap().first(number::REALM) == Some(realm.as_bytes()));

    let (mut world, mut alice) = (World::default(), Client::of(Kind::Sha256, "alice", address));
    alice.challenge(&mut world);
    let mut unknown = alice.forged(Method::ALLOCATE, &[], |all| {
        all.splice(0..0, (0..40).map(|index| Raw(0x7000 + index, vec![])));
    });
    append_fingerprint(&mut unknown);
    assert_eq!(refusal(&only_reply(world.client_says(alice.path, &unknown))), 420);
    let additional = Raw(number::ADDITIONAL_ADDRESS_FAMILY, vec![2, 0, 0, 0]);
    let mut allocate = alice.signed(Method::ALLOCATE, &[&RequestedTransport(17), &additional]);
    append_fingerprint(&mut allocate);
    assert_eq!(code(&only_reply(world.client_says(alice.path, &allocate))), 0);
}

/// C-034, A-116, RFC 8489 §14, RFC 8489 §6.3: an attribute that runs past the end makes the whole message nothing.
#[test]
fn an_attribute_past_the_end_is_discarded() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.challenge(&mut world);
    for too_long in [5_u16, 8, 0x7FFF, 0xFFFC, 0xFFFF] {
        for method in [Method::BINDING, Method::ALLOCATE] {
            let mut request = alice.signed(method, &[]);
            append(&mut request, number::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            let at = request.len() - 6;
            request[at..at + 2].copy_from_slice(&too_long.to_be_bytes());
            assert_eq!(world.silence(alice.path, &request), DropReason::Malformed, "{too_long}");
        }
    }
}

/// C-034, RFC 8489 §14: three bytes of an attribute's header are none.
#[test]
fn the_last_padding_may_not_be_missing() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let mut request = alice.bare(Method::BINDING, &[&Raw(0x8022, vec![b's'; 5])]);
    for _ in 0..3 {
        request.pop();
        assert_eq!(world.silence(alice.path, &request), DropReason::Malformed);
        let (mut mended, length) = (request.clone(), request.len() - 20);
        set_length(&mut mended, length);
        assert_eq!(world.silence(alice.path, &mended), DropReason::Malformed);
    }
}
