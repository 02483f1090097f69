//! RFC 8489 §9.2.4: the checks of the long-term mechanism in their order, and the keys.

use sha2::{Digest, Sha256};
use turnkeep::relay::event::{Denial, Event};
use turnkeep::relay::reason::AuthReason;
use turnkeep::relay::{ListenerId, Settings};
use turnkeep::wire::attribute::RequestedTransport;
use turnkeep::wire::header::{Class, Method};
use turnkeep::wire::integrity::{LongTermKey, PasswordAlgorithm, userhash};

use super::sans_io::stun::{
    Stun, append, append_fingerprint, append_integrity, hmac, long_term_key, number, set_length,
};
use super::sans_io::{Attribute, Client, Kind, Raw, World, code, message, only_reply, password_of, settings};

const ALLOCATE: Method = Method::ALLOCATE;
const UDP: RequestedTransport = RequestedTransport(17);

fn udp() -> Raw {
    Raw(number::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])
}

/// Every kind of client, challenged, in a world of its own.
fn challenged() -> impl Iterator<Item = (World, Client)> {
    Client::each().map(|mut alice| {
        let mut world = World::default();
        alice.challenge(&mut world);
        (world, alice)
    })
}

/// Sends an Allocate after `edit`; returns the code.
fn edited(world: &mut World, alice: &mut Client, edit: impl FnOnce(&mut Vec<Raw>)) -> u16 {
    let request = alice.forged(ALLOCATE, &[udp()], edit);
    code(&only_reply(world.client_says(alice.path, &request)))
}

fn replace(all: &mut [Raw], wanted: u16, value: &[u8]) {
    all.iter_mut().find(|raw| raw.0 == wanted).unwrap().1 = value.to_vec();
}

/// An Allocate up to its integrity.
fn unsigned(alice: &mut Client) -> Vec<u8> {
    let mut request = alice.bare(ALLOCATE, &[&UDP]);
    for Raw(found, value) in alice.credentials() {
        append(&mut request, found, &value);
    }
    request
}

/// C-069, C-070, C-071, C-072, RFC 8489 §9.2.4: with integrity, but without USERNAME, REALM or NONCE: a 400 that holds
/// nothing but its ERROR-CODE (the judge knows the list).
#[test]
fn incomplete_credentials_are_a_bad_request() {
    for (mut world, mut alice) in challenged() {
        for missing in [number::USERNAME, number::REALM, number::NONCE] {
            assert_eq!(edited(&mut world, &mut alice, |all| all.retain(|raw| raw.0 != missing)), 400, "{missing:#06x}");
        }
        assert_eq!(edited(&mut world, &mut alice, |all| all.truncate(1)), 400, "all of them");
        assert_eq!((world.policy.asked(), world.events.len()), (0, 0));
    }
}

/// C-073, RFC 8489 §9.2.4: a client of before RFC 8489 is MD5, although the NONCE offers more (the judge wants it
/// answered with MESSAGE-INTEGRITY).
#[test]
fn without_an_algorithm_it_is_md5() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    assert_eq!(alice.try_allocate(&mut world, &[]), 0);
    let mut with_sha256 = alice.bare(Method::REFRESH, &[]);
    for Raw(found, value) in alice.credentials() {
        append(&mut with_sha256, found, &value);
    }
    append_integrity(&mut with_sha256, number::MESSAGE_INTEGRITY_SHA256, alice.key().as_bytes());
    assert_eq!(code(&only_reply(world.client_says(alice.path, &with_sha256))), 0, "also under the longer HMAC");
}

/// C-074, C-075, C-076, A-093, RFC 8489 §9.2.4: PASSWORD-ALGORITHMS and PASSWORD-ALGORITHM go together, the list is the
/// one that was sent, and the choice is in it; else 400.
#[test]
fn the_algorithms_are_those_that_were_offered() {
    const LIST: u16 = number::PASSWORD_ALGORITHMS;
    const CHOICE: u16 = number::PASSWORD_ALGORITHM;
    for (mut world, mut alice) in challenged().filter(|(_, alice)| alice.algorithms.is_some()) {
        for missing in [LIST, CHOICE] {
            assert_eq!(edited(&mut world, &mut alice, |all| all.retain(|raw| raw.0 != missing)), 400);
        }
        let lists: [&[u8]; 8] = [
            &[],
            &[0, 1, 0, 0],
            &[0, 2, 0, 0],
            &[0, 1, 0, 0, 0, 2, 0, 0],
            &[0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0],
            &[0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0],
            &[0, 2, 0, 4, 0, 1, 0, 0],
            &[0, 2, 0],
        ];
        for list in lists {
            assert_eq!(edited(&mut world, &mut alice, |all| replace(all, LIST, list)), 400, "{list:?}");
        }
        let choices: [&[u8]; 8] = [
            &[],
            &[0, 2],
            &[0, 0, 0, 0],
            &[0, 3, 0, 0],
            &[0xFF, 0xFF, 0, 0],
            &[0, 2, 0, 4, 1, 2, 3, 4],
            &[0, 2, 0, 4],
            &[0, 2, 0, 0, 0, 1, 0, 0],
        ];
        for choice in choices {
            assert_eq!(edited(&mut world, &mut alice, |all| replace(all, CHOICE, choice)), 400, "{choice:?}");
        }
        assert_eq!(edited(&mut world, &mut alice, |_| {}), 0);
    }
}

/// C-058, C-073, RFC 8489 §9.2.4: where no list is offered, every client is MD5, whatever else it sends.
#[test]
fn where_nothing_is_offered_all_are_md5() {
    let mut world = World::new(Settings { offer_sha256: false, ..settings() });
    let mut alice = Client::alice();
    alice.challenge(&mut world);
    let code = edited(&mut world, &mut alice, |all| all.push(Raw(number::PASSWORD_ALGORITHM, vec![0, 1, 0, 0])));
    assert_eq!(code, 0);
}

/// C-077, C-078, C-079, C-090, C-097, C-294, A-098, A-109, RFC 8489 §9.2.4: unknown user, wrong password, expired
/// credential, wrong realm, impossible name: one 401 of one shape, byte for byte but for its NONCE and transaction id
/// (D-05).
#[test]
fn all_wrong_credentials_look_alike() {
    for (mut world, honest) in challenged() {
        let mut shapes = Vec::new();
        let mut try_as = |client: &mut Client, user: &[u8], realm: &[u8]| {
            let request = client.forged(ALLOCATE, &[udp()], |all| {
                replace(all, number::USERNAME, user);
                replace(all, number::REALM, realm);
            });
            let mut answer = only_reply(world.client_says(client.path, &request));
            assert_eq!(code(&answer), 401, "{} of {}", user.escape_ascii(), realm.escape_ascii());
            let nonce = Stun::read(&answer).unwrap().attributes.into_iter().find(|tlv| tlv.number == number::NONCE);
            let (at, len) = nonce.map(|tlv| (tlv.at + 4, tlv.value.len())).unwrap();
            answer[at..at + len].fill(0);
            answer[8..20].fill(0);
            shapes.push(answer);
        };
        for user in ["nobody", "old", "ALICE", "alice ", "\"alice\"", "alice\0", "al\nice", "%s%n", "", "\u{1b}[2J"] {
            let mut client = honest.clone();
            (client.user, client.password) = (user.into(), password_of(user));
            try_as(&mut client, user.as_bytes(), b"example.org");
        }
        let mut wrong = honest.clone();
        for password in ["", "alice", "Ecila", "ecila\0", "\"ecila\""] {
            wrong.password = password.into();
            try_as(&mut wrong, b"alice", b"example.org");
        }
        for realm in ["", "example.com", "Example.org", "\"example.org\"", "example.org\0", "example.org "] {
            let mut client = honest.clone();
            client.realm = realm.into();
            try_as(&mut client, b"alice", realm.as_bytes());
            try_as(&mut honest.clone(), b"alice", realm.as_bytes());
        }
        let mut client = honest.clone();
        for user in [&b"\xff\xfe"[..], &[b'a'; 513], &[b'a'; 763]] {
            try_as(&mut client, user, b"example.org");
        }
        assert!(shapes.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(world.server.allocations(), 0);
    }
}

/// C-033, A-124, A-125, RFC 8489 §14.3, RFC 8489 §14.9: what is longer than 763 bytes is refused, and never echoed: the
/// judge lets no USERNAME out, and no REALM but ours.
#[test]
fn overlong_text_is_refused() {
    for (mut world, mut alice) in challenged() {
        for len in [764, 1000, 65_000] {
            for attribute in [number::USERNAME, number::REALM] {
                let code = edited(&mut world, &mut alice, |all| replace(all, attribute, &vec![b'a'; len]));
                assert!([400, 401].contains(&code), "{len} bytes of {attribute:#06x}: {code}");
            }
        }
        for software in [vec![b's'; 764], b"\xff\xfe\0\x1b[2J%s%n\r\n".to_vec()] {
            assert_eq!(edited(&mut world, &mut alice, |all| all.push(Raw(number::SOFTWARE, software))), 0, "ignored");
            world = World::default();
            alice.challenge(&mut world);
        }
    }
}

/// C-080, RFC 8489 §9.2.4: if MESSAGE-INTEGRITY-SHA256 is there, it alone is verified.
#[test]
fn the_longer_integrity_decides() {
    for (mut world, mut alice) in challenged() {
        let key = alice.key();
        for (sha1, sha256, expected) in [("right", "wrong", 401), ("wrong", "right", 0)] {
            let key_of = |which: &'static str| if which == "right" { key.as_bytes() } else { which.as_bytes() };
            let mut request = unsigned(&mut alice);
            append_integrity(&mut request, number::MESSAGE_INTEGRITY, key_of(sha1));
            append_integrity(&mut request, number::MESSAGE_INTEGRITY_SHA256, key_of(sha256));
            assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), expected, "{sha1}, {sha256}");
        }
    }
}

/// C-081, C-089, RFC 8489 §9.2.4, RFC 8656 §6: a client that knows the list takes its first entry, SHA-256, and it
/// works; so does MD5 from the same list.
#[test]
fn both_algorithms_can_be_chosen() {
    for kind in [Kind::Sha256, Kind::Md5] {
        let (mut world, mut alice) = (World::default(), Client::of(kind, "alice", "203.0.113.5:40000"));
        alice.allocate(&mut world);
        assert_eq!(alice.algorithms.as_deref(), Some(&[0, 2, 0, 0, 0, 1, 0, 0][..]));
        assert_eq!(alice.refresh(&mut world, 600), 0);
        alice.algorithm = if kind == Kind::Md5 { PasswordAlgorithm::Sha256 } else { PasswordAlgorithm::Md5 };
        assert_eq!(alice.refresh(&mut world, 600), 0, "the choice may change");
        let key = alice.key();
        let mut shorter = alice.bare(Method::REFRESH, &[]);
        for Raw(found, value) in alice.credentials() {
            append(&mut shorter, found, &value);
        }
        append_integrity(&mut shorter, number::MESSAGE_INTEGRITY, key.as_bytes());
        assert_eq!(code(&only_reply(world.client_says(alice.path, &shorter))), 0, "answered under the longer HMAC");
    }
}

/// C-082, C-083, A-094, RFC 8489 §14.5, RFC 8489 §14.6: an HMAC is 20 or 32 bytes, whole: neither cut nor extended.
#[test]
fn integrity_is_not_truncated() {
    for (mut world, mut alice) in challenged() {
        for (attribute, whole) in [(number::MESSAGE_INTEGRITY, 20), (number::MESSAGE_INTEGRITY_SHA256, 32)] {
            for len in [0, 4, 12, 16, 19, 20, 21, 24, 28, 31, 32, 33, 36].into_iter().filter(|len| *len != whole) {
                let mut request = unsigned(&mut alice);
                let (end, key) = (request.len() + 4 + len - 20, alice.key());
                let mut text = request.clone();
                set_length(&mut text, end);
                let mut value = hmac(attribute, key.as_bytes(), &text);
                value.resize(len, 0);
                append(&mut request, attribute, &value);
                let code = code(&only_reply(world.client_says(alice.path, &request)));
                assert!([400, 401].contains(&code), "{len} bytes of {attribute:#06x}: {code}");
            }
        }
    }
}

/// C-084, A-096, RFC 8489 §14.5: the HMAC sees a message that ends with itself: a FINGERPRINT behind it changes
/// nothing.
#[test]
fn integrity_holds_with_and_without_fingerprint() {
    for (mut world, mut alice) in challenged() {
        let mut request = alice.signed(ALLOCATE, &[&UDP]);
        append_fingerprint(&mut request);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 0);
        let mut refresh = alice.signed(Method::REFRESH, &[]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &refresh))), 0);
        append_fingerprint(&mut refresh);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &refresh))), 0);
    }
}

/// C-085, C-086, C-087, RFC 8489 §9.2.2, RFC 8489 §18.5.1, RFC 8489 §14.4: keys of 16 and 32 bytes, and the USERHASH.
#[test]
fn keys_are_the_published_ones() {
    let derive = |algorithm| LongTermKey::derive(algorithm, b"user", b"realm", b"pass").as_bytes().to_vec();
    let md5 = 0x8493_fbc5_3ba5_82fb_4c04_4c45_6bdc_40eb_u128.to_be_bytes();
    assert_eq!(derive(PasswordAlgorithm::Md5), md5);
    assert_eq!(long_term_key(1, b"user", b"realm", b"pass"), md5, "the judge's own");
    assert_eq!(derive(PasswordAlgorithm::Sha256), long_term_key(2, b"user", b"realm", b"pass"));
    let text = Sha256::digest(b"user:realm");
    assert_eq!(userhash(b"user", b"realm")[..], text[..]);
}

/// C-088, RFC 8656 §6: once it knows the owner of an allocation, the server needs no password: it keeps the key that
/// was derived, and policy, who has the passwords, is not asked again.
#[test]
fn the_derived_key_is_kept() {
    for (mut world, mut alice) in challenged() {
        alice.allocate(&mut world);
        for _ in 0..3 {
            assert_eq!(alice.refresh(&mut world, 600), 0);
            assert_eq!(alice.permit(&mut world, "192.0.2.77:5000"), 0);
        }
        assert_eq!(world.policy.asked(), 1);
        let shown = format!("{:?}", alice.key());
        assert!(!shown.contains(&format!("{:?}", alice.key().as_bytes())) && shown.contains(".."), "{shown}");
    }
}

/// C-059, C-087, RFC 8489 §9.2.4, RFC 8489 §14.4: where anonymity is offered (D-25), USERHASH stands for the user name:
/// the allocation is its user's, however the next request names her.
#[test]
fn a_userhash_is_a_user_name() {
    for mut alice in Client::each() {
        let mut world = World::new(Settings { offer_userhash: true, ..settings() });
        alice.challenge(&mut world);
        let hidden = |client: &mut Client, method, attributes: &[Raw]| {
            let hash = userhash(client.user.as_bytes(), client.realm.as_bytes()).to_vec();
            client.forged(method, attributes, |all| {
                all.retain(|raw| raw.0 != number::USERNAME);
                all.push(Raw(number::USERHASH, hash));
            })
        };
        let request = hidden(&mut alice, ALLOCATE, &[udp()]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 0);
        assert_eq!(alice.refresh(&mut world, 600), 0, "by her name");
        let request = hidden(&mut alice, Method::REFRESH, &[]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 0, "by its hash");
        let mut bob = alice.clone();
        (bob.user, bob.password) = ("bob".into(), "bob".into());
        let request = hidden(&mut bob, Method::REFRESH, &[]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 441);
    }
}

/// C-077, C-087, A-098, RFC 8489 §9.2.4, RFC 8489 §14.4: a hash that nobody has is an unknown user, for which policy is
/// asked as often as for a known one; a hash of another length is a 400.
#[test]
fn a_userhash_of_nobody_is_an_unknown_user() {
    for mut alice in Client::each() {
        let mut world = World::new(Settings { offer_userhash: true, ..settings() });
        alice.challenge(&mut world);
        for (hash, expected) in [(vec![7; 32], 401), (vec![7; 31], 400), (vec![7; 33], 400), (vec![], 400)] {
            let asked = world.policy.asked();
            let request = alice.forged(ALLOCATE, &[udp()], |all| {
                all.retain(|raw| raw.0 != number::USERNAME);
                all.push(Raw(number::USERHASH, hash));
            });
            assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), expected);
            assert_eq!(world.policy.asked() - asked, usize::from(expected == 401));
        }
        let unknown = Denial::Credentials(AuthReason::UnknownUser);
        let is_it = |event: &Event| matches!(event, Event::Denied { denial, .. } if *denial == unknown);
        assert_eq!(world.events.iter().filter(|event| is_it(event)).count(), 1);
    }
}

/// C-058, C-073, C-076, C-078, RFC 8489 §9.2.4: a listener may take SHA-256 alone. Its list says so; the MD5 that a
/// client without PASSWORD-ALGORITHM means, and MESSAGE-INTEGRITY, are wrong credentials there, and MD5 by choice is
/// not in the list. Other listeners go on as they were.
#[test]
fn a_listener_can_deny_what_is_legacy() {
    for mut client in Client::each() {
        let mut world = World::new(Settings { modern_only: [ListenerId(0)].into(), ..settings() });
        client.challenge(&mut world);
        let is_modern = client.algorithms.is_some();
        let expected = match (is_modern, client.algorithm) {
            (false, _) => 401,
            (true, PasswordAlgorithm::Md5) => 400,
            (true, PasswordAlgorithm::Sha256) => 0,
        };
        let request = client.signed(ALLOCATE, &[&UDP]);
        assert_eq!(code(&only_reply(world.client_says(client.path, &request))), expected);
        if expected == 401 {
            let refused = Denial::Credentials(AuthReason::LegacyAlgorithm);
            assert!(matches!(world.events.last(), Some(Event::Denied { denial, .. }) if *denial == refused));
        }
        if expected == 0 {
            let mut request = message(Method::REFRESH, Class::Request, client.id(), &refs(&client.credentials()), None);
            append_integrity(&mut request, number::MESSAGE_INTEGRITY, client.key().as_bytes());
            assert_eq!(code(&only_reply(world.client_says(client.path, &request))), 401, "MESSAGE-INTEGRITY");
        }
        let mut elsewhere = client.clone();
        elsewhere.nonce.clear();
        elsewhere.path.listener = ListenerId(1);
        elsewhere.path.server.0.set_port(3479);
        assert_eq!(elsewhere.try_allocate(&mut world, &[]), 0);
    }
}

fn refs(all: &[Raw]) -> Vec<&dyn Attribute> {
    all.iter().map(|raw| raw as &dyn Attribute).collect()
}
