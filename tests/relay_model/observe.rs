//! Reads off the server's output what the model speaks of. That each message is well made, the kit's judge has seen to.

use turnkeep::wire::attribute::{
    AddressErrorCode, AttributeType, Data, ErrorCode, Icmp, Lifetime, Nonce, UnknownAttributes, XorMappedAddress,
    XorPeerAddress, XorRelayedAddress,
};
use turnkeep::wire::channel_data::{ChannelData, ChannelNumbers};
use turnkeep::wire::message::Message;

use crate::outcome::{Answer, Framing, Outcome, ToClient, ToPeer};
use crate::sans_io::Output;

/// What the server did.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) outcome: Outcome,
    /// The nonce of a challenge.
    pub(crate) nonce: Option<Vec<u8>>,
}

impl Seen {
    /// Compares with what the model says.
    pub(crate) fn assert_is(&self, expected: &Outcome) {
        let seen = &self.outcome;
        match (&seen.answer, &expected.answer) {
            (Some(seen), Some(expected)) => assert_answer(seen, expected),
            (seen, expected) => assert_eq!(seen, expected, "answer"),
        }
        assert_eq!(seen.to_peer, expected.to_peer, "to the peer");
        assert_eq!(seen.to_client, expected.to_client, "to the client");
        match (&seen.dropped, &expected.dropped) {
            (Some(seen), Some(expected)) => {
                assert!(seen.len() == 1 && expected.contains(&seen[0]), "dropped for {seen:?}, not for {expected:?}");
            }
            (seen, expected) => assert_eq!(seen, expected, "dropped"),
        }
        assert_eq!(seen.opens, expected.opens, "socket asked for");
        assert_eq!(seen.notes, expected.notes, "audit events");
    }
}

fn assert_answer(seen: &Answer, expected: &Answer) {
    let mut expected = expected.clone();
    if let (Some(seen), Some(range)) = (&seen.lifetime, &mut expected.lifetime)
        && range.contains(seen.start())
    {
        *range = seen.clone();
    }
    if expected.code == 438 {
        // It may be signed (RFC 8489 §9.2.4).
        expected.signed = seen.signed;
    }
    assert_eq!(*seen, expected, "answer");
}

/// What a client's datagram led to, or a socket that was opened for one.
pub(crate) fn client_outputs(outputs: &[Output]) -> Seen {
    let mut seen = Seen::default();
    for output in outputs {
        match output.clone() {
            Output::ToPeer { from, peer, payload, dont_fragment } => {
                let to_peer = ToPeer { from, peer, payload, dont_fragment };
                assert_eq!(seen.outcome.to_peer.replace(to_peer), None, "one datagram for one");
            }
            Output::ToClient { client, bytes } => {
                let mut answer = read_answer(&bytes, &mut seen.nonce);
                answer.client = client;
                assert_eq!(seen.outcome.answer.replace(answer), None, "one answer to one request");
            }
        }
    }
    seen
}

/// What a peer's datagram led to.
pub(crate) fn peer_outputs(outputs: &[Output]) -> Seen {
    let mut seen = Seen::default();
    for output in outputs {
        let Output::ToClient { client, bytes } = output else {
            panic!("a peer's datagram goes to a client: {output:?}");
        };
        let (framing, payload) = read_data(bytes);
        let to_client = ToClient { client: *client, framing, payload };
        assert_eq!(seen.outcome.to_client.replace(to_client), None, "one datagram for one");
    }
    seen
}

fn read_answer(bytes: &[u8], nonce: &mut Option<Vec<u8>>) -> Answer {
    let message = Message::parse(bytes).unwrap();
    *nonce = message.get::<Nonce<'_>>().unwrap().map(|nonce| nonce.0.to_vec());
    let unknown = message.get::<UnknownAttributes<'_>>().unwrap();
    Answer {
        client: "0.0.0.0:0".parse().unwrap(),
        method: message.method(),
        id: message.transaction_id().0,
        code: message.get::<ErrorCode<'_>>().unwrap().map_or(0, |error| error.code),
        signed: message.integrity(),
        challenges: nonce.is_some(),
        fingerprint: message.has(AttributeType::FINGERPRINT),
        relayed: message.get::<XorRelayedAddress>().unwrap().map(|address| address.0),
        mapped: message.get::<XorMappedAddress>().unwrap().map(|address| address.0),
        lifetime: message.get::<Lifetime>().unwrap().map(|lifetime| lifetime.0..=lifetime.0),
        unknown: unknown.iter().flat_map(|list| list.iter()).map(|kind| kind.0).collect(),
        address_error: message.get::<AddressErrorCode<'_>>().unwrap().map(|error| (error.family, error.code)),
        hands_out_a_token: message.has(AttributeType::RESERVATION_TOKEN),
    }
}

fn read_data(bytes: &[u8]) -> (Framing, Vec<u8>) {
    if bytes[0] >= 0x40 {
        let data = ChannelData::parse_among(ChannelNumbers::Rfc5766, bytes).unwrap();
        return (Framing::Channel(data.number.get()), bytes[data.payload].to_vec());
    }
    let message = Message::parse(bytes).unwrap();
    let peer = message.get::<XorPeerAddress>().unwrap().unwrap().0;
    if let Some(Icmp { icmp_type, code, .. }) = message.get().unwrap() {
        return (Framing::Icmp { peer, icmp_type, code }, Vec::new());
    }
    (Framing::Indication { peer }, message.get::<Data<'_>>().unwrap().unwrap().0.to_vec())
}
