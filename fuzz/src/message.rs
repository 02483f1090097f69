//! STUN messages: what is accepted, which attributes count, that they survive being written again, and that
//! `stun-types` sees the same.

use std::ops::Range;

use turnkeep::wire::attribute::{
    AccessToken, AdditionalAddressFamily, AddressErrorCode, AlternateDomain, AlternateServer, AttributeType,
    ChannelNumberAttribute, ConnectionId, Data, DontFragment, ErrorCode, EvenPort, Icmp, Lifetime, MappedAddress,
    MobilityTicket, Nonce, PasswordAlgorithmAttribute, PasswordAlgorithms, Raw, Realm, RequestedAddressFamily,
    RequestedTransport, ReservationToken, Software, ThirdPartyAuthorization, UnknownAttributes, Userhash, Username,
    XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use turnkeep::wire::header::HEADER_LEN;
use turnkeep::wire::message::{MAX_ATTRIBUTES, MAX_UNKNOWN};
use turnkeep::wire::writer::DATA_FRONT_MAX;
use turnkeep::wire::{
    BufferFull, Class, Fingerprint, Integrity, IntegrityError, IntegrityKey, Message, MessageWriter, Method,
    ParseError, data_indication_front,
};

use super::oracle;

/// Reads a datagram as a STUN message and holds it against the plainest reading of the RFC and against `stun-types`.
pub fn run(datagram: &[u8]) {
    let plain = plain(datagram);
    oracle::compare_acceptance(datagram, &plain);
    let message = match Message::parse(datagram) {
        Err(error) => return assert_eq!(plain, Err(error)),
        Ok(message) => message,
    };
    let plain = plain.expect("accepted, so it can be read");
    check_index(&message, &plain);
    check_values(&message);
    check_round_trips(&message);
    check_data_front(&message);
    check_signing(&message, &plain);
    oracle::compare_values(&message, &plain);
}

/// Type of an attribute, and where its value lies.
pub(super) type Lie = (AttributeType, Range<usize>);

/// The attributes of a message as they lie, by RFC 8489 §5 and §14 alone.
pub(super) fn plain(datagram: &[u8]) -> Result<Vec<Lie>, ParseError> {
    let word = |at: usize| usize::from(datagram[at]) << 8 | usize::from(datagram[at + 1]);
    if datagram.len() < 20 {
        return Err(ParseError::TooShort);
    }
    if datagram[0] > 0b0011_1111 {
        return Err(ParseError::NotStun);
    }
    if datagram[4..8] != [0x21, 0x12, 0xA4, 0x42] {
        return Err(ParseError::BadCookie);
    }
    if datagram.len() != 20 + word(2) || !datagram.len().is_multiple_of(4) {
        return Err(ParseError::BadLength);
    }
    let mut attributes = Vec::new();
    let mut at = 20;
    while at < datagram.len() {
        if attributes.len() == MAX_ATTRIBUTES {
            return Err(ParseError::TooManyAttributes);
        }
        let (start, len) = (at + 4, word(at + 2));
        at = start + len + (4 - len % 4) % 4;
        if at > datagram.len() {
            return Err(ParseError::AttributeOverrun);
        }
        attributes
            .push((AttributeType(u16::from_be_bytes([datagram[start - 4], datagram[start - 3]])), start..start + len));
    }
    Ok(attributes)
}

/// Those that end what integrity or a CRC covers.
pub(super) const ENDINGS: [AttributeType; 3] =
    [AttributeType::MESSAGE_INTEGRITY, AttributeType::MESSAGE_INTEGRITY_SHA256, AttributeType::FINGERPRINT];

/// The attributes that count (RFC 8489 §9, §14.5 to §14.7): all up to the first ending; then only later endings, each
/// once, in the order MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256, FINGERPRINT.
fn counting(plain: &[Lie]) -> Vec<Lie> {
    let rank = |attribute| ENDINGS.iter().position(|ending| *ending == attribute);
    let mut last = None;
    let counts = plain.iter().filter(|(attribute, _)| match (last, rank(*attribute)) {
        (None, None) => true,
        (Some(_), None) => false,
        (before, Some(rank)) => {
            let counts = before.is_none_or(|before| before < rank);
            if counts {
                last = Some(rank);
            }
            counts
        }
    });
    counts.cloned().collect()
}

/// What the index finds is what a search finds.
fn check_index(message: &Message<'_>, plain: &[Lie]) {
    let walked: Vec<Lie> = message.attributes().collect();
    assert_eq!(walked, plain);

    let counting = counting(plain);
    for (attribute, _) in plain {
        let first = counting.iter().find(|(counted, _)| counted == attribute).map(|(_, range)| range.clone());
        assert_eq!(message.has(*attribute), first.is_some());
        assert_eq!(message.range_of(*attribute), first, "{attribute}");
    }
    for attribute in AttributeType::REGISTERED {
        let is_there = counting.iter().any(|(counted, _)| counted == attribute);
        assert_eq!(message.has(*attribute), is_there, "{attribute}");
    }

    let mut unknown: Vec<AttributeType> = Vec::new();
    for (attribute, _) in &counting {
        if attribute.0 < 0x8000 && !attribute.is_understood() && !unknown.contains(attribute) {
            unknown.push(*attribute);
        }
    }
    unknown.truncate(MAX_UNKNOWN);
    assert_eq!(message.unknown_required(), unknown);

    let peers = counting.iter().filter(|(attribute, _)| *attribute == AttributeType::XOR_PEER_ADDRESS).count();
    assert_eq!(message.all::<XorPeerAddress>().count(), peers);
    assert_eq!(message.all::<XorPeerAddress>().next().transpose(), message.get::<XorPeerAddress>());
}

/// The header's parts, integrity and FINGERPRINT.
fn check_values(message: &Message<'_>) {
    let datagram = message.as_bytes();
    assert_eq!(message.transaction_id().0, datagram[8..20]);
    let number = message.method().number();
    assert_eq!(Method::new(number), Some(message.method()));
    let class: u16 = match message.class() {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    let spread = (number & 0xF80) << 2 | (number & 0x070) << 1 | (number & 0x00F) | class;
    assert_eq!(spread, u16::from_be_bytes([datagram[0], datagram[1]]), "RFC 8489 §5, figure 3");

    let is_there = message.has(AttributeType::FINGERPRINT);
    assert_eq!(message.fingerprint() == Fingerprint::Absent, !is_there);
    // Nobody knows this key: the fuzzer cannot have signed with it.
    for integrity in [Integrity::Sha1, Integrity::Sha256] {
        let verified = message.verify_integrity(&IntegrityKey::from_raw(integrity, b"a key that nobody signs with"));
        assert_eq!(verified == Err(IntegrityError::Missing), message.integrity().is_none());
        assert_ne!(verified, Ok(()));
    }
    // Values are not shown, and whatever they are, showing the message does not fail.
    let shown = format!("{message:?}");
    assert!(shown.is_ascii());
}

/// What has been read can be written, and says the same when it is read again.
macro_rules! round_trip {
    ($message:expr, $($attribute:ty),+ $(,)?) => {$(
        if let Ok(Some(value)) = $message.get::<$attribute>() {
            let written = write($message, |writer| writer.put(&value)).expect("shorter than the message");
            let again = Message::parse(&written).expect("well-formed");
            assert_eq!(again.get::<$attribute>(), Ok(Some(value)));
            assert_padded_with_zeroes(&written);
        }
    )+};
}

fn check_round_trips(message: &Message<'_>) {
    round_trip!(message, MappedAddress, XorMappedAddress, XorPeerAddress, XorRelayedAddress, AlternateServer);
    round_trip!(message, Username<'_>, Userhash<'_>, Realm<'_>, Nonce<'_>, Software<'_>, AlternateDomain<'_>);
    round_trip!(message, PasswordAlgorithms<'_>, PasswordAlgorithmAttribute<'_>, UnknownAttributes<'_>);
    round_trip!(message, Lifetime, ChannelNumberAttribute, Data<'_>, DontFragment, EvenPort, Icmp, ReservationToken);
    round_trip!(message, RequestedTransport, RequestedAddressFamily, AdditionalAddressFamily);
    round_trip!(message, ConnectionId, MobilityTicket<'_>, AccessToken<'_>, ThirdPartyAuthorization<'_>);
    // Of a reason phrase fewer characters are sent than are accepted (RFC 8489 §14.8).
    if message.get::<ErrorCode<'_>>().is_ok_and(|error| error.is_none_or(|error| is_sendable(error.reason))) {
        round_trip!(message, ErrorCode<'_>);
    }
    if message.get::<AddressErrorCode<'_>>().is_ok_and(|error| error.is_none_or(|error| is_sendable(error.reason))) {
        round_trip!(message, AddressErrorCode<'_>);
    }
}

fn is_sendable(reason: &str) -> bool {
    reason.chars().count() < 128
}

/// A Data indication whose payload is not copied is the one that the writer makes.
fn check_data_front(message: &Message<'_>) {
    let (Ok(Some(peer)), Ok(Some(data))) = (message.get::<XorPeerAddress>(), message.get::<Data<'_>>()) else { return };
    let mut front = [0xA5; DATA_FRONT_MAX];
    let id = message.transaction_id();
    let written = data_indication_front(&mut front, id, peer.0, data.0.len()).expect("both fit into one message");
    let pieces = [&front[..written.len], data.0, &[0; 3][..written.padding]].concat();

    let mut whole = vec![0xA5; pieces.len()];
    let mut writer = MessageWriter::new(&mut whole, Method::DATA, Class::Indication, id).expect("there is room");
    writer.put(&peer).and_then(|()| writer.put(&data)).expect("there is room");
    let len = writer.finish();
    assert_eq!(pieces, whole[..len]);
}

/// The open attributes, signed and fingerprinted anew, hold; one flipped bit later they do not.
fn check_signing(message: &Message<'_>, plain: &[Lie]) {
    let open: Vec<_> = plain.iter().take_while(|(attribute, _)| !ENDINGS.contains(attribute)).collect();
    let keys =
        [Integrity::Sha1, Integrity::Sha256].map(|integrity| IntegrityKey::from_raw(integrity, oracle::PASSWORD));
    let signed = write(message, |writer| {
        for (attribute, range) in &open {
            writer.put(&Raw(*attribute, &message.as_bytes()[range.clone()]))?;
        }
        keys.iter().try_for_each(|key| writer.integrity(key))?;
        writer.fingerprint()
    });
    // Messages that are as long as they can be have no room for more, nor those with as many attributes as they may.
    let Ok(mut signed) = signed else { return };
    if open.len() + ENDINGS.len() > MAX_ATTRIBUTES {
        return assert_eq!(Message::parse(&signed).err(), Some(ParseError::TooManyAttributes));
    }
    let again = Message::parse(&signed).expect("well-formed");
    assert_eq!(again.fingerprint(), Fingerprint::Valid);
    assert_eq!(again.integrity(), Some(Integrity::Sha256));
    assert_eq!(again.verify_integrity(&keys[1]), Ok(()));
    assert_eq!(again.verify_integrity(&keys[0]), Err(IntegrityError::Mismatch), "SHA-256 decides");
    assert_padded_with_zeroes(&signed);
    oracle::assert_signed(&signed);

    // Which bit is the fuzzer's choice: of the transaction id or of what MESSAGE-INTEGRITY-SHA256 covers behind it.
    let covered = HEADER_LEN - 12..again.range_of(AttributeType::MESSAGE_INTEGRITY_SHA256).expect("just put").start - 4;
    let chosen = usize::from(u16::from_be_bytes([message.as_bytes()[18], message.as_bytes()[19]]));
    let at = covered.start + chosen / 8 % covered.len();
    signed[at] ^= 1 << (chosen % 8);
    let Ok(forged) = Message::parse(&signed) else { return };
    assert_ne!(forged.verify_integrity(&keys[1]), Ok(()), "bit {} of byte {at} was flipped", chosen % 8);
    assert_ne!(forged.fingerprint(), Fingerprint::Valid);
    oracle::assert_forged(&signed);
}

/// A message with this one's header, in a buffer that was not clean.
fn write(
    like: &Message<'_>,
    put: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), BufferFull>,
) -> Result<Vec<u8>, BufferFull> {
    let mut out = vec![0xA5; like.as_bytes().len() + 128];
    let mut writer = MessageWriter::new(&mut out, like.method(), like.class(), like.transaction_id())?;
    put(&mut writer)?;
    let len = writer.finish();
    out.truncate(len);
    Ok(out)
}

/// No byte of the buffer leaves with the message.
pub(super) fn assert_padded_with_zeroes(message: &[u8]) {
    for (attribute, range) in plain(message).expect("well-formed") {
        let padding = &message[range.end..range.end.next_multiple_of(4)];
        assert!(padding.iter().all(|byte| *byte == 0), "{attribute} is padded with {padding:?}");
    }
}
