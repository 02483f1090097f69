//! The server as a reflector: what an unproven source gets is small, and goes nowhere but there.

use turnkeep::relay::{DropReason, Settings};
use turnkeep::wire::attribute::RequestedTransport;
use turnkeep::wire::header::{Class, Method};

use super::sans_io::stun::{append, append_fingerprint, number};
use super::sans_io::{Client, Raw, World, code, message, only_reply, settings};

const REQUESTS: [Method; 4] = [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND];

/// A-037, RFC 8489 §9.2.4: a 401 or 438 for an unproven source is at most 128 bytes with a realm of up to 24, with
/// FINGERPRINT or not, and has no reason phrase; a 400 is 28 (D-38; the judge measures each).
#[test]
fn challenges_are_small() {
    for realm_len in [1, 11, 12, 23, 24] {
        for offer_sha256 in [true, false] {
            let realm: String = "r".repeat(realm_len);
            let mut world = World::new(Settings { realm: realm.clone().into(), offer_sha256, ..settings() });
            for address in ["203.0.113.5:40000", "[2001:db8:5::5]:40000"] {
                let mut mallory = Client::new("mallory", address);
                mallory.realm.clone_from(&realm);
                mallory.nonce = b"obMatJos2gAAAnever minted here".to_vec();
                let mut largest = 0;
                for method in REQUESTS {
                    let bare = mallory.bare(method, &[]);
                    let forged = mallory.signed(method, &[]);
                    let broken = mallory.forged(method, &[], |all| all.truncate(1));
                    for (request, expected) in [(bare, 401), (forged, 438), (broken, 400)] {
                        for fingerprint in [false, true] {
                            let mut request = request.clone();
                            if fingerprint {
                                append_fingerprint(&mut request);
                            }
                            let answer = only_reply(world.client_says(mallory.path, &request));
                            assert_eq!(code(&answer), expected);
                            largest = largest.max(answer.len());
                        }
                    }
                }
                assert!(largest <= 128, "{largest} bytes");
            }
            assert_eq!((world.policy.asked(), world.events.len()), (0, 0));
        }
    }
}

/// A-036, A-037, A-040, RFC 8489 §6.3.1: no request of any size, with any attributes, makes a larger answer than the
/// plain one, unless by the unknown attributes that it lists itself.
#[test]
fn a_larger_request_makes_no_larger_answer() {
    let (mut world, mut mallory) = (World::default(), Client::alice());
    let filler = [number::SOFTWARE, number::DATA, number::REALM, number::USERNAME, 0xC000];
    for method in [Method::BINDING].into_iter().chain(REQUESTS) {
        let plain = mallory.bare(method, &[]);
        let plain = only_reply(world.client_says(mallory.path, &plain)).len();
        for len in [1, 100, 763, 764, 1400, 60_000] {
            for found in filler {
                let request = mallory.bare(method, &[&Raw(found, vec![b'x'; len])]);
                let answer = only_reply(world.client_says(mallory.path, &request));
                assert_eq!(answer.len(), plain, "{len} bytes of {found:#06x}");
            }
        }
    }
    world.assert_alive();
}

/// A-044, RFC 8489 §6.3.1.2: nobody can be answered at port 0; a request from there is dropped, whatever it asks.
#[test]
fn port_zero_is_not_answered() {
    for host in ["203.0.113.5:0", "[2001:db8:5::5]:0"] {
        let (mut world, mut mallory) = (World::default(), Client::new("alice", host));
        mallory.nonce = b"obMatJos2gAAA".to_vec();
        for method in [Method::BINDING].into_iter().chain(REQUESTS) {
            for request in [mallory.bare(method, &[]), mallory.signed(method, &[&RequestedTransport(17)])] {
                assert_eq!(world.silence(mallory.path, &request), DropReason::SourcePortZero, "{method}");
            }
        }
        world.assert_alive();
    }
}

/// A-043, RFC 8489 §6.3: neither responses nor indications are answered, so that two servers cannot be set at each
/// other.
#[test]
fn answers_are_not_answered() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    alice.challenge(&mut world);
    let requests = [
        alice.bare(Method::BINDING, &[]),
        alice.bare(Method::BINDING, &[&Raw(0x7FFF, vec![])]),
        alice.bare(Method::ALLOCATE, &[]),
        alice.signed(Method::ALLOCATE, &[]),
        alice.signed(Method::ALLOCATE, &[&RequestedTransport(17)]),
    ];
    for request in requests {
        let answer = only_reply(world.client_says(alice.path, &request));
        for path in [alice.path, Client::bob().path] {
            assert_eq!(world.silence(path, &answer), DropReason::UnexpectedResponse);
        }
    }
    let mut data = message(Method::DATA, Class::Indication, alice.id(), &[], None);
    append(&mut data, number::DATA, b"x");
    assert_eq!(world.silence(alice.path, &data), DropReason::UnsupportedMethod);
    world.assert_alive();
}
