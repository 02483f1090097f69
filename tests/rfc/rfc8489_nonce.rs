//! RFC 8489 §9.2: the first request, and what a NONCE is good for.

use std::collections::HashSet;
use std::time::Duration;

use turnkeep::relay::{NonceKey, Server, Settings};
use turnkeep::wire::attribute::{Lifetime, RequestedTransport};
use turnkeep::wire::header::Method;

use super::sans_io::stun::{Stun, append, append_integrity, number};
use super::sans_io::{Client, Kind, Raw, Seeded, World, code, only_reply, settings};

const UDP: RequestedTransport = RequestedTransport(17);
const TURN_REQUESTS: [Method; 4] = [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND];

/// Sends an Allocate with this NONCE; returns the code and whether the answer is signed.
fn try_nonce(world: &mut World, client: &mut Client, nonce: &[u8]) -> (u16, bool) {
    client.nonce = nonce.to_vec();
    let request = client.signed(Method::ALLOCATE, &[&UDP]);
    let answer = only_reply(world.client_says(client.path, &request));
    let answer = Stun::read(&answer).unwrap();
    let signed = answer.has(number::MESSAGE_INTEGRITY) || answer.has(number::MESSAGE_INTEGRITY_SHA256);
    (answer.code(), signed)
}

/// C-055, C-056, C-108, A-001, RFC 8489 §9.2.4, RFC 8656 §7.2: without integrity, every TURN request gets a 401 with
/// REALM and NONCE and nothing of the sender (the judge knows the list), and leaves no state.
#[test]
fn without_integrity_there_is_a_challenge() {
    for mut alice in Client::each() {
        let mut world = World::default();
        for method in TURN_REQUESTS {
            let bare = alice.bare(method, &[&UDP]);
            let named = alice.bare(method, &[&Raw(number::USERNAME, b"alice".to_vec()), &UDP]);
            for request in [bare, named] {
                let answer = only_reply(world.client_says(alice.path, &request));
                let answer = Stun::read(&answer).unwrap();
                assert_eq!(answer.code(), 401, "{method}");
                assert!(answer.has(number::REALM) && answer.has(number::NONCE));
            }
        }
        assert_eq!((world.server.allocations(), world.events.len(), world.policy.asked()), (0, 0, 0));
        assert_eq!(world.server.next_deadline(), None, "nothing is remembered");
    }
}

/// C-057, C-058, C-059, C-032, RFC 8489 §9.2, RFC 8489 §9.2.4, RFC 8489 §18.1: the nonce cookie and its 24 feature bits
/// tell whether PASSWORD-ALGORITHMS is offered, and that anonymity is not.
#[test]
fn the_nonce_says_which_features_there_are() {
    for (offer_sha256, cookie) in [(true, "obMatJos2gAAA"), (false, "obMatJos2AAAA")] {
        for method in TURN_REQUESTS {
            let mut world = World::new(Settings { offer_sha256, ..settings() });
            let mut alice = Client::alice();
            let request = alice.bare(method, &[]);
            let answer = only_reply(world.client_says(alice.path, &request));
            let answer = Stun::read(&answer).unwrap();
            let nonce = answer.first(number::NONCE).unwrap();
            assert!(nonce.starts_with(cookie.as_bytes()) && nonce.len() < 128);
            assert_eq!(answer.has(number::PASSWORD_ALGORITHMS), offer_sha256);
        }
    }
}

/// C-060, C-067, A-088, RFC 8489 §9.2.4, RFC 8656 §5: no two sources get the same NONCE, and each attempt gets a new
/// one.
#[test]
fn every_challenge_has_a_nonce_of_its_own() {
    let (mut world, mut nonces) = (World::default(), HashSet::new());
    for address in ["203.0.113.5:40000", "203.0.113.5:40001", "203.0.113.6:40000", "[2001:db8:5::5]:40000"] {
        let mut client = Client::new("alice", address);
        for _ in 0..100 {
            client.challenge(&mut world);
            assert!(nonces.insert(client.nonce.clone()));
        }
    }
}

/// C-061, A-089, RFC 8489 §9.2.4: a NONCE is good at the address, port and server address that it was handed to;
/// elsewhere it makes a 438 that no user is looked up for, with a NONCE that is good there (D-02, D-40).
#[test]
fn a_nonce_is_good_at_its_own_five_tuple() {
    for mut owner in Client::each() {
        let mut world = World::default();
        owner.challenge(&mut world);
        let mut others = Vec::new();
        let mut port = owner.clone();
        port.path.client.0.set_port(40_001);
        let mut address = owner.clone();
        let neighbour = if owner.path.client.0.is_ipv4() { "203.0.113.6" } else { "2001:db8:5::6" };
        address.path.client.0.set_ip(neighbour.parse().unwrap());
        let mut server_port = owner.clone();
        server_port.path.server.0.set_port(443);
        let mut server_address = owner.clone();
        server_address.path.server.0.set_ip("192.0.2.10".parse().unwrap());
        let mut family = owner.clone();
        family.path.client.0.set_ip("::ffff:203.0.113.5".parse().unwrap());
        others.extend([port, address, server_port, server_address, family]);
        for mut thief in others {
            let stolen = owner.nonce.clone();
            assert_eq!(try_nonce(&mut world, &mut thief, &stolen), (438, false), "{:?}", thief.path);
            assert_eq!((world.policy.asked(), world.events.len()), (0, 0));
            let request = thief.signed(Method::ALLOCATE, &[&UDP]);
            thief.learn(&only_reply(world.client_says(thief.path, &request)));
            assert_eq!(thief.try_allocate(&mut world, &[]), 0, "with the new one");
            world = World::default();
        }
        assert_eq!(owner.try_allocate(&mut world, &[]), 0);
    }
}

/// C-062, C-063, A-090, RFC 8489 §9.2.4: an expired NONCE under right credentials makes a 438 with a fresh one, REALM
/// and PASSWORD-ALGORITHMS; the retry succeeds.
#[test]
fn an_expired_nonce_is_replaced() {
    for mut alice in Client::each() {
        for offer_sha256 in [true, false] {
            let mut world = World::new(Settings { offer_sha256, ..settings() });
            if !offer_sha256 {
                alice = Client::of(Kind::Legacy, "alice", &alice.path.client.to_string());
            }
            alice.challenge(&mut world);
            let stale = alice.nonce.clone();
            world.advance_secs(3601);
            let answer = alice.ask(&mut world, Method::ALLOCATE, &[&UDP]);
            assert_eq!(code(&answer), 438);
            alice.learn(&answer);
            assert_ne!(alice.nonce, stale);
            assert_eq!(alice.try_allocate(&mut world, &[]), 0);
        }
    }
}

/// C-064, C-068, C-096, A-091, A-092, RFC 8489 §9.2.4, RFC 8489 §14.10, RFC 8489 §16.1.3: what was never minted here is
/// 438 or 400 and never success, with the right key and with a wrong one, without asking who it is; altered feature
/// bits too.
#[test]
fn a_nonce_that_was_not_minted_here_is_refused_first() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.challenge(&mut world);
        let own = alice.nonce.clone();
        let mut forged: Vec<Vec<u8>> =
            vec![b"".into(), b"obMatJos2".into(), b"obMatJos2gAAA".into(), b"garbage".into()];
        forged.extend([[0; 45].to_vec(), vec![b'A'; 45], vec![b'A'; 762], [&own[..], b"A"].concat()]);
        forged.extend((0..own.len()).map(|len| own[..len].to_vec()));
        forged.extend((0..own.len() * 8).map(|bit| {
            let mut altered = own.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            altered
        }));
        // Bid down to no features, and up to anonymity.
        forged.extend([b"AAAA", b"wAAA", b"QAAA"].map(|bits| [&own[..9], bits, &own[13..]].concat()));
        for password in [alice.password.clone(), "wrong".into()] {
            alice.password = password;
            for nonce in &forged {
                assert_eq!(try_nonce(&mut world, &mut alice, nonce), (438, false), "{}", nonce.escape_ascii());
            }
            for len in [764, 1000, 65_000] {
                let (code, _) = try_nonce(&mut world, &mut alice, &vec![b'A'; len]);
                assert!([400, 438].contains(&code), "{len} bytes: {code}");
            }
        }
        assert_eq!((world.policy.asked(), world.events.len(), world.server.allocations()), (0, 0, 0));
    }
}

/// C-064, C-087, A-077, RFC 8489 §9.2.4: that holds for a USERHASH, too: who shows no NONCE of ours fills no audit
/// trail. With one it is a 401 (D-25).
#[test]
fn a_foreign_nonce_goes_before_a_userhash() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.challenge(&mut world);
    let with_hash =
        |alice: &mut Client| alice.forged(Method::ALLOCATE, &[], |all| all[0] = Raw(number::USERHASH, vec![7; 32]));
    let request = with_hash(&mut alice);
    assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 401, "anonymity is not offered");
    world.events.clear();
    alice.nonce = b"obMatJos2gAAAforeign".to_vec();
    let request = with_hash(&mut alice);
    assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 438);
    assert_eq!(world.events, []);
}

/// C-096, A-092, RFC 8489 §16.1.3: nor do the bits bid down from one server of a fleet to another that offers less:
/// they are part of what is authenticated.
#[test]
fn feature_bits_are_authenticated() {
    for (offered_there, bits) in [(true, b"AAAA"), (false, b"gAAA")] {
        let (mut there, mut here) = (World::new(Settings { offer_sha256: offered_there, ..settings() }), settings());
        here.offer_sha256 = !offered_there;
        let (mut here, mut alice) = (World::new(here), Client::alice());
        alice.challenge(&mut there);
        let altered = [&alice.nonce[..9], bits, &alice.nonce[13..]].concat();
        assert_eq!(try_nonce(&mut here, &mut alice, &altered), (438, false));
    }
}

/// C-064, RFC 8489 §9.2.4: a NONCE from the future, after the wall clock was set back, is none of ours.
#[test]
fn a_nonce_from_the_future_is_refused() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.challenge(&mut world);
    world.now.unix_millis -= 3_600_000;
    let nonce = alice.nonce.clone();
    assert_eq!(try_nonce(&mut world, &mut alice, &nonce), (438, false));
}

/// C-065, RFC 8489 §9.2.4: integrity goes before staleness for a NONCE that was ours: wrong credentials are 401 (D-03).
#[test]
fn an_expired_nonce_hides_no_wrong_password() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.challenge(&mut world);
        world.advance_secs(3601);
        let nonce = alice.nonce.clone();
        alice.password = "wrong".into();
        assert_eq!(try_nonce(&mut world, &mut alice, &nonce), (401, false));
    }
}

/// C-066, C-310, A-090, RFC 8656 §5: a NONCE is good for an hour and not longer.
#[test]
fn a_nonce_lives_for_an_hour() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.allocate_with(&mut world, &[&Lifetime(3600)]);
        for step in [1000, 1000, 1000, 599] {
            world.advance_secs(step);
            assert_eq!(alice.refresh(&mut world, 3600), 0, "a second before its end, it is good");
        }
        world.advance_secs(2);
        assert_eq!(alice.refresh(&mut world, 3600), 438, "and a second after it, stale");
    }
}

/// A-086, RFC 8489 §14.10: nonces cannot be foretold: all but the time looks random, and two starts share nothing.
#[test]
fn nonces_are_unpredictable() {
    use base64::Engine as _;
    let raw = |nonce: &[u8]| base64::engine::general_purpose::STANDARD.decode(&nonce[13..]).unwrap();
    let mut alice = Client::alice();
    let (mut world, mut ones, mut repeats, mut last) = (World::default(), 0_u32, 0_u32, 0_u8);
    const NONCES: u32 = 4096;
    for _ in 0..NONCES {
        alice.challenge(&mut world);
        for byte in &raw(&alice.nonce)[4..] {
            ones += byte.count_ones();
            repeats += (byte ^ last).count_ones();
            last = *byte;
        }
    }
    // Of n fair bits, the ones are within 5 sigma (2.5 √n) of the half.
    let bits = f64::from(NONCES * 20 * 8);
    for count in [ones, repeats] {
        assert!((f64::from(count) - bits / 2.0).abs() < 2.5 * bits.sqrt(), "{count} of {bits}");
    }
    let before = alice.nonce.clone();
    let mut restarted = World::new(Settings { nonce_key: NonceKey::new([8; 32]), ..settings() });
    assert_eq!(try_nonce(&mut restarted, &mut alice, &before), (438, false), "another key");
    restarted.server = Server::new(settings(), restarted.policy.clone(), Seeded(2));
    assert_eq!(try_nonce(&mut restarted, &mut alice, &before), (0, true), "a shared key is a fleet's");
}

/// C-062, RFC 8489 §9.2.4: a stale NONCE goes before what else is wrong in a request, and changes no timer.
#[test]
fn a_stale_request_has_no_effect() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.allocate_with(&mut world, &[&Lifetime(3600)]);
    world.advance(Duration::from_millis(3_599_900));
    world.now.unix_millis += 1000;
    assert_eq!(alice.refresh(&mut world, 3600), 438);
    let mut unknown = alice.bare(Method::REFRESH, &[&Raw(0x7FFF, vec![])]);
    for Raw(found, value) in alice.credentials() {
        append(&mut unknown, found, &value);
    }
    append_integrity(&mut unknown, number::MESSAGE_INTEGRITY, alice.key().as_bytes());
    assert_eq!(code(&only_reply(world.client_says(alice.path, &unknown))), 438);
    world.advance_secs(2);
    assert_eq!(world.server.allocations(), 0, "it was not refreshed");
}
