//! RFC 8489 §9 and §9.2.4: what integrity covers, and how answers are signed.

use turnkeep::wire::attribute::{Lifetime, RequestedTransport, XorPeerAddress};
use turnkeep::wire::header::Method;

use super::sans_io::stun::{Stun, append, append_fingerprint, append_integrity, number, xored};
use super::sans_io::{Client, Raw, World, code, only_reply};

const PEER: &str = "192.0.2.77:5000";

/// C-091, C-092, A-095, RFC 8489 §9: what stands behind the integrity attribute has no effect, with and without
/// FINGERPRINT.
#[test]
fn attributes_behind_integrity_are_ignored() {
    let behind = [
        (number::LIFETIME, vec![0; 4]),
        (number::XOR_PEER_ADDRESS, xored(PEER)),
        (number::REQUESTED_ADDRESS_FAMILY, vec![2, 0, 0, 0]),
        (number::USERNAME, b"bob".to_vec()),
        (0x7FFF, vec![]),
    ];
    for mut alice in Client::each() {
        for fingerprint in [false, true] {
            let mut world = World::default();
            let relayed = alice.allocate(&mut world);
            for (found, value) in &behind {
                let mut request = alice.signed(Method::REFRESH, &[&Lifetime(1200)]);
                append(&mut request, *found, value);
                if fingerprint {
                    append_fingerprint(&mut request);
                }
                let answer = only_reply(world.client_says(alice.path, &request));
                let answer = Stun::read(&answer).unwrap();
                assert_eq!(answer.first(number::LIFETIME), Some(&1200_u32.to_be_bytes()[..]), "{found:#06x}");
            }
            let mut request = alice.signed(Method::CREATE_PERMISSION, &[]);
            append(&mut request, number::XOR_PEER_ADDRESS, &xored(PEER));
            assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 400, "no peer counts");
            let mut request =
                alice.signed(Method::CREATE_PERMISSION, &[&XorPeerAddress("192.0.2.78:1".parse().unwrap())]);
            append(&mut request, number::XOR_PEER_ADDRESS, &xored(PEER));
            assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 0);
            assert_eq!(world.peer_says(relayed, PEER.parse().unwrap(), b"x"), [], "nor is one added");
            alice.nonce.clear();
        }
    }
}

/// C-091, A-095, RFC 8489 §9: a REQUESTED-TRANSPORT or credentials behind integrity are none.
#[test]
fn what_is_missing_is_not_found_behind_integrity() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.challenge(&mut world);
        let mut request = alice.signed(Method::ALLOCATE, &[]);
        append(&mut request, number::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 400);
        let mut request = alice.forged(Method::ALLOCATE, &[], |all| all.retain(|raw| raw.0 != number::USERNAME));
        append(&mut request, number::USERNAME, b"alice");
        assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 400);
        assert_eq!(world.server.allocations(), 0);
    }
}

/// C-092, RFC 8489 §9: MESSAGE-INTEGRITY behind MESSAGE-INTEGRITY-SHA256 is ignored, too, right or wrong.
#[test]
fn the_shorter_integrity_behind_the_longer_is_ignored() {
    for mut alice in Client::each().filter(|alice| alice.algorithms.is_some()) {
        let mut world = World::default();
        alice.allocate(&mut world);
        for key in [alice.key().as_bytes(), b"wrong"] {
            let mut request = alice.clone().signed(Method::REFRESH, &[]);
            append_integrity(&mut request, number::MESSAGE_INTEGRITY, key);
            assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 0);
        }
    }
}

/// C-093, C-094, C-095, RFC 8489 §9.2.4: after a request was authenticated every answer, success or error, is signed
/// with the kind that is due, and has no REALM, NONCE, USERNAME or USERHASH (`code` wants all of them signed, the judge
/// the rest).
#[test]
fn every_further_answer_is_signed() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.challenge(&mut world);
        let peer = XorPeerAddress(PEER.parse().unwrap());
        let denied = XorPeerAddress("10.66.0.1:5000".parse().unwrap());
        let other = XorPeerAddress("[2001:db8:7::77]:5000".parse().unwrap());
        let (udp, tcp, unknown) = (RequestedTransport(17), RequestedTransport(6), Raw(0x7FFF, vec![]));
        let number = Raw(number::CHANNEL_NUMBER, vec![0x40, 0, 0, 0]);
        let family = Raw(number::REQUESTED_ADDRESS_FAMILY, vec![9, 0, 0, 0]);
        assert_eq!(alice.code(&mut world, Method::REFRESH, &[]), 437);
        assert_eq!(alice.code(&mut world, Method::ALLOCATE, &[]), 400);
        assert_eq!(alice.code(&mut world, Method::ALLOCATE, &[&udp, &unknown]), 420);
        assert_eq!(alice.code(&mut world, Method::ALLOCATE, &[&tcp]), 442);
        assert_eq!(alice.code(&mut world, Method::ALLOCATE, &[&udp, &family]), 440);
        assert_eq!(alice.code(&mut world, Method::ALLOCATE, &[&udp]), 0);
        assert_eq!(alice.code(&mut world, Method::ALLOCATE, &[&udp]), 437);
        assert_eq!(alice.code(&mut world, Method::CREATE_PERMISSION, &[&peer]), 0);
        assert_eq!(alice.code(&mut world, Method::CREATE_PERMISSION, &[]), 400);
        assert_eq!(alice.code(&mut world, Method::CREATE_PERMISSION, &[&denied]), 403);
        assert_eq!(alice.code(&mut world, Method::CREATE_PERMISSION, &[&other]), 443);
        assert_eq!(alice.code(&mut world, Method::CHANNEL_BIND, &[&number, &peer]), 0);
        assert_eq!(alice.code(&mut world, Method::CHANNEL_BIND, &[&number]), 400);
        assert_eq!(alice.code(&mut world, Method::REFRESH, &[&family]), 443);
        assert_eq!(alice.code(&mut world, Method::REFRESH, &[&Lifetime(600)]), 0);
        let mut bob = alice.clone();
        (bob.user, bob.password) = ("bob".into(), "bob".into());
        assert_eq!(bob.code(&mut world, Method::REFRESH, &[]), 441);
        assert_eq!(alice.code(&mut world, Method::REFRESH, &[&Lifetime(0)]), 0);
    }
}
