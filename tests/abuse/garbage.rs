//! Bytes that mean nothing, or almost something.

use turnkeep::relay::seam::Entropy;
use turnkeep::wire::attribute::{Data, Lifetime, RequestedTransport, XorPeerAddress};
use turnkeep::wire::header::Method;

use super::sans_io::stun::{append_fingerprint, set_length};
use super::sans_io::{Client, Output, Seeded, World, channel_message};

const PEER: &str = "192.0.2.77:5000";

/// A-043, RFC 8489 §6.3: a hundred thousand datagrams of noise, as they come and with a first byte or a cookie that
/// promises more: no byte leaves.
#[test]
fn noise_is_not_answered() {
    let (mut world, alice, mut noise) = (World::default(), Client::alice(), Seeded(43));
    for round in 0..100_000_u32 {
        let mut datagram = vec![0; usize::try_from(noise.next() % 200).unwrap()];
        noise.fill(&mut datagram);
        if let Some(first) = datagram.first_mut().filter(|_| round % 3 == 0) {
            *first &= 0x4F;
        }
        if datagram.len() >= 8 && round % 4 == 0 {
            // With the cookie, but the length of random bytes is almost never the datagram's.
            datagram[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
            let wrong = datagram.len();
            set_length(&mut datagram, wrong);
        }
        assert_eq!(world.client_says(alice.path, &datagram), [], "round {round}");
    }
    assert_eq!((world.drops.len(), world.server.allocations(), world.events.len()), (100_000, 0, 0));
    world.assert_alive();
}

/// RFC 8489 §9, RFC 8489 §14: flip any bit of an authenticated request: it is answered as
/// unauthenticated or not at all, and deletes nothing, permits nothing.
#[test]
fn no_flipped_bit_has_an_effect() {
    for mut alice in Client::each() {
        let mut world = World::default();
        let relayed = alice.allocate(&mut world);
        let peer = XorPeerAddress(PEER.parse().unwrap());
        let requests =
            [alice.signed(Method::REFRESH, &[&Lifetime(0)]), alice.signed(Method::CREATE_PERMISSION, &[&peer])];
        for request in requests {
            for bit in 0..request.len() * 8 {
                let mut altered = request.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                world.client_says(alice.path, &altered);
                assert_eq!(world.server.allocations(), 1, "bit {bit}");
                assert_eq!(world.peer_says(relayed, peer.0, b"x"), [], "bit {bit}");
            }
        }
        world.assert_alive();
    }
}

/// RFC 8489 §6.3: cut any message anywhere: nothing is answered, relayed or changed.
#[test]
fn no_cut_message_has_an_effect() {
    for mut alice in Client::each() {
        let mut world = World::default();
        alice.allocate(&mut world);
        assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
        let mut fingerprinted = alice.signed(Method::REFRESH, &[&Lifetime(0)]);
        append_fingerprint(&mut fingerprinted);
        let messages = [
            fingerprinted,
            alice.signed(Method::REFRESH, &[&Lifetime(0)]),
            alice.indication(&[&XorPeerAddress(PEER.parse().unwrap()), &Data(b"payload")]),
            channel_message(0x4000, b"payload"),
        ];
        for whole in messages {
            for len in 0..whole.len() {
                world.silence(alice.path, &whole[..len]);
            }
        }
        world.assert_alive();
    }
}

/// A-117, RFC 8489 §5: where in memory a datagram lies makes no difference.
#[test]
fn alignment_makes_no_difference() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.allocate(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    let messages = [
        alice.bare(Method::BINDING, &[]),
        alice.signed(Method::REFRESH, &[&Lifetime(600)]),
        alice.indication(&[&XorPeerAddress(PEER.parse().unwrap()), &Data(b"payload")]),
        channel_message(0x4000, b"payload"),
    ];
    for message in messages {
        let expected = world.client_says(alice.path, &message);
        assert_eq!(expected.len(), 1);
        for offset in 1..16 {
            let shifted = [vec![0xAA; offset], message.clone()].concat();
            assert_eq!(world.client_says(alice.path, &shifted[offset..]), expected, "at {offset}");
        }
    }
}

/// A-128, RFC 8489 §6.3, RFC 8656 §12.6: the largest datagrams that UDP carries: STUN, a channel's, and noise.
#[test]
fn the_largest_datagrams_do_no_harm() {
    const LARGEST: usize = 65_507;
    for mut alice in Client::each() {
        let mut world = World::default();
        let relayed = alice.allocate(&mut world);
        assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
        for first in [0x00, 0x16, 0x3F, 0x50, 0x80, 0xFF] {
            world.silence(alice.path, &[first; LARGEST]);
        }
        let payload = vec![0x40; LARGEST - 4];
        let expected = Output::ToPeer { from: relayed, peer: PEER.parse().unwrap(), payload, dont_fragment: false };
        assert_eq!(alice.channel_data(&mut world, 0x4000, &[0x40; LARGEST - 4]), [expected]);
        assert_eq!(alice.send(&mut world, PEER, &vec![0; 65_472]).len(), 1);
        for method in [Method::REFRESH, Method::ALLOCATE] {
            let request = alice.signed(method, &[&RequestedTransport(17), &Data(&vec![0; 65_000])]);
            assert_eq!(world.client_says(alice.path, &request).len(), 1);
        }
        world.assert_alive();
    }
}
