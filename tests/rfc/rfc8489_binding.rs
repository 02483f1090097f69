//! RFC 8489 §6.3.1.1 and §12, RFC 5780: Binding.

use turnkeep::wire::header::{Class, Method};

use super::sans_io::stun::{Stun, append, append_fingerprint, number};
use super::sans_io::{Client, Raw, World, code, message, only_reply, xored_address};

/// C-036, C-037, C-039, A-036, RFC 8489 §6.3.1.1, RFC 8489 §12: without credentials, a client learns its address from
/// 32 or 44 bytes that hold nothing else.
#[test]
fn a_binding_request_tells_the_source_address() {
    let addresses = ["203.0.113.5:1", "0.0.0.1:65535", "33.18.164.66:8466", "[2001:db8::1]:40000", "[::]:8466"];
    for address in addresses {
        let (mut world, mut client) = (World::default(), Client::new("nobody", address));
        let request = client.bare(Method::BINDING, &[]);
        assert_eq!(request.len(), 20);
        let answer = only_reply(world.client_says(client.path, &request));
        assert_eq!(answer.len(), if client.path.client.0.is_ipv4() { 32 } else { 44 });
        let answer = Stun::read(&answer).unwrap();
        assert_eq!(answer.message_type(), 0x0101);
        let mapped = answer.first(number::XOR_MAPPED_ADDRESS).unwrap();
        assert_eq!(xored_address(mapped, answer.id()), address.parse().unwrap());
        assert_eq!(world.policy.asked(), 0);
    }
}

/// C-038, RFC 8489 §6.3.2: a Binding indication is not answered, and is no error.
#[test]
fn a_binding_indication_is_not_answered() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let id = alice.id();
    let mut indication = message(Method::BINDING, Class::Indication, id, &[], None);
    assert_eq!(world.client_says(alice.path, &indication), []);
    append_fingerprint(&mut indication);
    assert_eq!(world.client_says(alice.path, &indication), []);
    assert_eq!(world.drops, []);
}

/// C-041, RFC 8489 §9, RFC 8489 §12: credentials in a Binding request are not needed, and not checked (D-29).
#[test]
fn a_binding_request_with_credentials_is_answered() {
    for mut alice in Client::each() {
        let mut world = World::default();
        for user in ["alice", "nobody"] {
            alice.user = user.into();
            let request = alice.signed(Method::BINDING, &[]);
            let answer = only_reply(world.client_says(alice.path, &request));
            let answer = Stun::read(&answer).unwrap();
            assert_eq!(answer.numbers(), [number::XOR_MAPPED_ADDRESS], "and not signed either");
            assert_eq!(world.policy.asked(), 0);
        }
    }
}

/// C-049, RFC 8489 §6.3.1: a retransmitted Binding request gets the same answer.
#[test]
fn a_retransmission_is_answered_alike() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let request = alice.bare(Method::BINDING, &[]);
    let first = only_reply(world.client_says(alice.path, &request));
    world.advance_secs(39);
    assert_eq!(only_reply(world.client_says(alice.path, &request)), first);
}

/// C-275, C-276, C-277, C-278, A-040, A-041, A-042, RFC 5780 §6, RFC 5780 §6.1: NAT discovery is not offered: its
/// required attributes are unknown, a long PADDING makes no long answer, and none of its own is ever sent (the judge
/// allows none).
#[test]
fn nat_discovery_is_not_offered() {
    const CHANGE_REQUEST: u16 = 0x0003;
    const PADDING: u16 = 0x0026;
    const RESPONSE_PORT: u16 = 0x0027;
    let values = [
        (CHANGE_REQUEST, vec![0, 0, 0, 6]),
        (RESPONSE_PORT, vec![0x12, 0x34, 0, 0]),
        (PADDING, vec![0; 4]),
        (PADDING, vec![0; 1400]),
    ];
    for mut client in Client::each() {
        for (unknown, value) in &values {
            let mut world = World::default();
            let request = client.bare(Method::BINDING, &[&Raw(*unknown, value.clone())]);
            let answer = only_reply(world.client_says(client.path, &request));
            assert_eq!((code(&answer), answer.len()), (420, 36), "{unknown:#06x}");
            let listed = Stun::read(&answer).unwrap().first(number::UNKNOWN_ATTRIBUTES).unwrap().to_vec();
            assert_eq!(listed, unknown.to_be_bytes());
        }
    }
}

/// C-018, C-024, RFC 8489 §6.3, RFC 8489 §14: what is known but has no place in a Binding request is ignored, however
/// it looks.
#[test]
fn unexpected_attributes_are_ignored() {
    let unexpected = [
        (number::CHANNEL_NUMBER, vec![0x40, 0, 0, 0]),
        (number::LIFETIME, vec![1, 2, 3]),
        (number::DATA, vec![9; 100]),
        (number::REQUESTED_TRANSPORT, vec![]),
        (number::XOR_PEER_ADDRESS, vec![0; 3]),
        (number::ERROR_CODE, vec![0, 0, 4, 0]),
        (number::MAPPED_ADDRESS, vec![]),
    ];
    let (mut world, mut alice) = (World::default(), Client::alice());
    for (found, value) in unexpected {
        let mut request = alice.bare(Method::BINDING, &[]);
        append(&mut request, found, &value);
        assert_eq!(code(&only_reply(world.client_says(alice.path, &request))), 0, "{found:#06x}");
    }
}
