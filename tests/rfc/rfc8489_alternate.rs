//! RFC 8489 §10: a server that is being emptied sends clients to another one.

use std::net::SocketAddr;

use turnkeep::relay::event::{Denial, Event};
use turnkeep::relay::seam::Alternate;
use turnkeep::relay::{StreamId, TlsSession, Transport};
use turnkeep::wire::attribute::RequestedTransport;
use turnkeep::wire::header::Method;

use super::sans_io::stun::{Stun, number};
use super::sans_io::{Client, TestPolicy, World, code, only_reply, settings};

const UDP: RequestedTransport = RequestedTransport(17);

/// One that sends everybody elsewhere, once `drain` says so.
fn draining(other: bool, domain: Option<&str>) -> World {
    let alternate = Alternate {
        server: "192.0.2.10:3478".parse().unwrap(),
        other: other.then(|| "[2001:db8:9::10]:3478".parse().unwrap()),
        domain: domain.map(Into::into),
    };
    World::with_policy(settings(), TestPolicy { elsewhere: Some(alternate), ..TestPolicy::new(100) })
}

/// The addresses of ALTERNATE-SERVER, which are not XORed (RFC 8489 §14.15).
fn servers(answer: &Stun<'_>) -> Vec<SocketAddr> {
    let of = answer.attributes.iter().filter(|tlv| tlv.number == number::ALTERNATE_SERVER);
    let read = |value: &[u8]| {
        let ip = match value[1] {
            1 => <[u8; 4]>::try_from(&value[4..]).unwrap().into(),
            _ => std::net::IpAddr::from(<[u8; 16]>::try_from(&value[4..]).unwrap()),
        };
        SocketAddr::new(ip, u16::from_be_bytes([value[2], value[3]]))
    };
    of.map(|tlv| read(tlv.value)).collect()
}

/// C-051, C-052, C-292, RFC 8489 §10, RFC 8489 §14.8, RFC 8656 §7.2: who has proved who it is gets (D-33) a 300 under
/// integrity (the judge knows of which kind), with the server of its own family first, and makes no allocation; the
/// audit trail hears of it.
#[test]
fn an_authenticated_allocate_is_sent_elsewhere() {
    for mut alice in Client::each() {
        let mut world = draining(true, None);
        alice.challenge(&mut world);
        let answer = alice.ask(&mut world, Method::ALLOCATE, &[&UDP]);
        let answer = Stun::read(&answer).unwrap();
        assert_eq!(answer.code(), 300);
        let (v4, v6) = ("192.0.2.10:3478".parse().unwrap(), "[2001:db8:9::10]:3478".parse().unwrap());
        let expected = if alice.path.client.0.is_ipv4() { [v4, v6] } else { [v6, v4] };
        assert_eq!(servers(&answer), expected);
        assert_eq!((world.server.allocations(), world.policy.held(), world.relays.len()), (0, 0, 0));
        let denied = world.events.last();
        assert!(matches!(denied, Some(Event::Denied { code: 300, denial: Denial::Elsewhere(_), .. })), "{denied:?}");
    }
    let mut world = draining(false, None);
    let mut alice = Client::alice();
    alice.challenge(&mut world);
    let answer = alice.ask(&mut world, Method::ALLOCATE, &[&UDP]);
    assert_eq!(servers(&Stun::read(&answer).unwrap()).len(), 1);
}

/// C-037, C-051, C-054, RFC 8489 §12, RFC 8489 §14.8: nobody else: neither without credentials, nor with wrong ones,
/// nor for a Binding.
#[test]
fn nobody_else_is_sent_elsewhere() {
    for mut alice in Client::each() {
        let mut world = draining(true, None);
        for (method, expected) in [(Method::BINDING, 0), (Method::ALLOCATE, 401)] {
            let bare = alice.bare(method, &[&UDP]);
            assert_eq!(code(&only_reply(world.client_says(alice.path, &bare))), expected);
        }
        alice.challenge(&mut world);
        alice.password.push('?');
        assert_eq!(alice.try_allocate(&mut world, &[]), 401);
    }
}

/// C-053, RFC 8489 §10, RFC 8489 §14.16: over TLS who can check it hears the name in the other's certificate; who signs
/// with SHA-1 hears of the server alone.
#[test]
fn over_tls_there_is_an_alternate_domain_for_those_who_know_rfc_8489() {
    for mut alice in Client::each() {
        let session = TlsSession { version: 0x0304, cipher_suite: 0x1301 };
        alice.path.transport = Transport::Tls(StreamId(1), session);
        let mut world = draining(true, Some("relay-b.example.org"));
        alice.challenge(&mut world);
        let answer = alice.ask(&mut world, Method::ALLOCATE, &[&UDP]);
        let answer = Stun::read(&answer).unwrap();
        assert_eq!((answer.code(), servers(&answer).len()), (300, 2));
        let domains = answer.attributes.iter().filter(|tlv| tlv.number == number::ALTERNATE_DOMAIN);
        let expected: &[&[u8]] = if alice.algorithms.is_some() { &[b"relay-b.example.org"] } else { &[] };
        assert_eq!(domains.map(|tlv| tlv.value).collect::<Vec<_>>(), expected);
    }
}

/// C-053, RFC 8489 §10: over UDP, where nobody shows a certificate, no name of one is sent.
#[test]
fn without_a_certificate_there_is_no_alternate_domain() {
    for mut alice in Client::each() {
        let mut world = draining(true, Some("relay-b.example.org"));
        alice.challenge(&mut world);
        let answer = alice.ask(&mut world, Method::ALLOCATE, &[&UDP]);
        assert!(!Stun::read(&answer).unwrap().has(number::ALTERNATE_DOMAIN));
    }
}
