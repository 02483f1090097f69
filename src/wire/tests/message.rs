//! Reading messages: what is refused, what is found.

use super::{ID, mend_length, request};
use crate::wire::attribute::{Data, DontFragment, Lifetime, Raw, Realm, Software, Username, XorPeerAddress};
use crate::wire::message::{MAX_ATTRIBUTES, MAX_UNKNOWN};
use crate::wire::{
    AttributeType, Class, HEADER_LEN, InvalidAttribute, Message, MessageWriter, Method, ParseError, TransactionId,
};

fn parse_error(datagram: &[u8]) -> Option<ParseError> {
    Message::parse(datagram).err()
}

/// C-016, and A-129: no datagram shorter than a header is a message.
#[test]
fn a_message_has_a_header() {
    let datagram = request(&[]);
    for len in 0..HEADER_LEN {
        assert_eq!(parse_error(&datagram[..len]), Some(ParseError::TooShort));
    }
    assert_eq!(parse_error(&datagram), None);
}

/// C-004: RFC 8489 §6.3.
#[test]
fn the_top_bits_are_zero() {
    for bits in [0x40, 0x80, 0xC0] {
        let mut datagram = request(&[]);
        datagram[0] |= bits;
        assert_eq!(parse_error(&datagram), Some(ParseError::NotStun));
    }
}

/// C-005: RFC 8489 §6.3; RFC 3489's messages have no cookie.
#[test]
fn the_cookie_is_the_cookie() {
    for byte in 4..8 {
        for bit in 0..8 {
            let mut datagram = request(&[]);
            datagram[byte] ^= 1 << bit;
            assert_eq!(parse_error(&datagram), Some(ParseError::BadCookie));
        }
    }
}

/// C-002, C-003, and A-115: RFC 8489 §6.3, D-35.
#[test]
fn the_length_is_the_datagrams() {
    let whole = request(&[0x80, 0x22, 0x00, 0x04, b'a', b'b', b'c', b'd']);
    assert_eq!(parse_error(&whole), None);
    for length in (0..=16_u16).chain([0xFFFC, 0xFFFF]).filter(|length| *length != 8) {
        let mut datagram = whole.clone();
        datagram[2..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(parse_error(&datagram), Some(ParseError::BadLength), "{length}");
    }
    for extra in 1..4 {
        // The length field agrees with the datagram, but neither is whole words.
        let mut datagram = whole.clone();
        datagram.extend(vec![0; extra]);
        mend_length(&mut datagram);
        assert_eq!(parse_error(&datagram), Some(ParseError::BadLength), "{extra} more");
    }
}

/// C-034, and A-116: RFC 8489 §14.
#[test]
fn an_attribute_ends_within_the_message() {
    for length in [5_u16, 8, 0xFFFC, 0xFFFF] {
        let mut datagram = request(&[0x80, 0x22, 0x00, 0x00, b'a', b'b', b'c', b'd']);
        datagram[22..24].copy_from_slice(&length.to_be_bytes());
        assert_eq!(parse_error(&datagram), Some(ParseError::AttributeOverrun), "{length}");
    }
}

/// D-16.
#[test]
fn attributes_are_bounded() {
    let attribute = [0x80, 0x22, 0x00, 0x00];
    assert_eq!(parse_error(&request(&attribute.repeat(MAX_ATTRIBUTES))), None);
    assert_eq!(parse_error(&request(&attribute.repeat(MAX_ATTRIBUTES + 1))), Some(ParseError::TooManyAttributes));
}

#[test]
fn the_longest_message_is_read() {
    let mut datagram = request(&[0x00, 0x13, 0xFF, 0xF8]);
    datagram.resize(HEADER_LEN + 65_532, 0);
    mend_length(&mut datagram);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.range_of(AttributeType::DATA), Some(24..65_552));
}

/// C-001, C-015.
#[test]
fn header_fields_are_read() {
    for id in [ID, TransactionId([0; 12])] {
        let mut out = [0; 32];
        let len = MessageWriter::new(&mut out, Method::REFRESH, Class::Error, id).unwrap().finish();
        let message = Message::parse(&out[..len]).unwrap();
        assert_eq!((message.method(), message.class(), message.transaction_id()), (Method::REFRESH, Class::Error, id));
        assert_eq!(message.as_bytes(), &out[..len]);
        assert_eq!(message.attributes().count(), 0);
    }
}

/// C-024, and A-116: RFC 8489 §14, "MUST be ignored by the receiver".
#[test]
fn padding_can_be_anything() {
    let datagram = request(&[0x00, 0x14, 0x00, 0x01, b'r', 0xFF, 0xFF, 0xFF, 0x00, 0x0D, 0x00, 0x04, 0, 0, 0, 9]);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.get(), Ok(Some(Realm(b"r"))));
    assert_eq!(message.get(), Ok(Some(Lifetime(9))));
}

/// C-026: RFC 8489 §14; not even an invalid first one gives way.
#[test]
fn the_first_of_its_kind_decides() {
    let datagram = request(&[0x00, 0x0D, 0, 4, 0, 0, 0, 1, 0x00, 0x0D, 0, 4, 0, 0, 0, 2]);
    assert_eq!(Message::parse(&datagram).unwrap().get(), Ok(Some(Lifetime(1))));
    let datagram = request(&[0x00, 0x0D, 0, 2, 0, 0, 0, 0, 0x00, 0x0D, 0, 4, 0, 0, 0, 2]);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.get::<Lifetime>(), Err(InvalidAttribute(AttributeType::LIFETIME)));
    assert!(message.has(AttributeType::LIFETIME));
}

/// C-018, D-07, D-34: a bad value is found when it is asked for, not before.
#[test]
fn a_bad_value_harms_nobody_who_does_not_ask() {
    let datagram = request(&[0x00, 0x1A, 0, 4, 0, 0, 0, 0, 0x00, 0x0D, 0, 4, 0, 0, 0, 7]);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.get(), Ok(Some(Lifetime(7))));
    let error = message.get::<DontFragment>().unwrap_err();
    assert_eq!(error.to_string(), "invalid DONT-FRAGMENT");
    assert!(message.unknown_required().is_empty());
}

#[test]
fn what_is_not_there_is_none() {
    let datagram = request(&[]);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.get::<Username<'_>>(), Ok(None));
    assert_eq!(message.get::<Data<'_>>(), Ok(None));
    assert_eq!(message.range_of(AttributeType::DATA), None);
    assert_eq!(message.range_of(AttributeType::PRIORITY), None);
    assert!(!message.has(AttributeType::SOFTWARE));
    assert_eq!(message.all::<XorPeerAddress>().count(), 0);
}

/// C-175: RFC 8656 §10.1.
#[test]
fn peers_repeat() {
    let peers = ["192.0.2.1:1", "[2001:db8::1]:2", "192.0.2.3:3"].map(|peer| XorPeerAddress(peer.parse().unwrap()));
    let mut out = [0; 256];
    let mut writer = MessageWriter::new(&mut out, Method::CREATE_PERMISSION, Class::Request, ID).unwrap();
    for peer in peers {
        writer.put(&peer).unwrap();
        writer.put(&Software(b"between")).unwrap();
    }
    writer.put(&Raw(AttributeType::XOR_PEER_ADDRESS, &[0, 9])).unwrap();
    let len = writer.finish();
    let message = Message::parse(&out[..len]).unwrap();
    let invalid = Err(InvalidAttribute(AttributeType::XOR_PEER_ADDRESS));
    assert!(message.all::<XorPeerAddress>().eq(peers.map(Ok).into_iter().chain([invalid])));
    assert_eq!(message.get(), Ok(Some(peers[0])));
}

/// The payload of a Send indication is forwarded from where it lies.
#[test]
fn a_range_is_the_value_without_padding() {
    let datagram = request(&[0x00, 0x13, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0x00, 0x24, 0, 4, 9, 9, 9, 9]);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.range_of(AttributeType::DATA), Some(24..29));
    assert_eq!(message.get(), Ok(Some(Data(&[1, 2, 3, 4, 5]))));
    assert_eq!(message.range_of(AttributeType::PRIORITY), Some(36..40), "one that is not understood is searched for");
    let all: Vec<_> = message.attributes().collect();
    assert_eq!(all, [(AttributeType::DATA, 24..29), (AttributeType::PRIORITY, 36..40)]);
}

/// C-017, C-019, C-021, C-022: RFC 8489 §6.3.1, §14.13.
#[test]
fn unknown_required_attributes_are_listed_once() {
    let datagram = request(&[
        0x80, 0x22, 0, 0, // SOFTWARE: optional and known
        0xC0, 0x57, 0, 0, // optional, unknown
        0x7F, 0xFF, 0, 0, // required, unknown
        0x00, 0x03, 0, 0, // CHANGE-REQUEST: required, of another RFC
        0x7F, 0xFF, 0, 0, // again
        0x00, 0x0D, 0, 0, // LIFETIME: known, though unexpected here and of a wrong length
    ]);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.unknown_required(), [AttributeType(0x7FFF), AttributeType::CHANGE_REQUEST]);
}

/// C-021, D-16.
#[test]
fn the_list_of_unknown_attributes_is_bounded() {
    let attributes: Vec<u8> = (0..60).flat_map(|number| [0x70, number, 0, 0]).collect();
    let datagram = request(&attributes);
    let message = Message::parse(&datagram).unwrap();
    let first: Vec<_> = (0x7000..).take(MAX_UNKNOWN).map(AttributeType).collect();
    assert_eq!(message.unknown_required(), first);
}

/// C-118, C-271, C-275–C-277: DONT-FRAGMENT is understood; extensions that are not switched on are unknown (D-15).
#[test]
fn extensions_are_unknown() {
    let datagram = request(&[
        0x00, 0x1A, 0, 0, // DONT-FRAGMENT
        0x00, 0x1B, 0, 0, // ACCESS-TOKEN
        0x00, 0x03, 0, 0, // CHANGE-REQUEST
        0x00, 0x26, 0, 0, // PADDING
        0x00, 0x27, 0, 0, // RESPONSE-PORT
        0x00, 0x2A, 0, 0, // CONNECTION-ID
        0x80, 0x30, 0, 0, // MOBILITY-TICKET: optional
    ]);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.get(), Ok(Some(DontFragment)));
    assert_eq!(
        message.unknown_required(),
        [
            AttributeType::ACCESS_TOKEN,
            AttributeType::CHANGE_REQUEST,
            AttributeType::PADDING,
            AttributeType::RESPONSE_PORT,
            AttributeType::CONNECTION_ID,
        ]
    );
}

#[test]
fn debug_shows_no_values() {
    let datagram = request(b"\x00\x06\x00\x05alice\0\0\0");
    let shown = format!("{:?}", Message::parse(&datagram).unwrap());
    assert_eq!(
        shown,
        "Message { method: Binding, class: Request, transaction_id: a0b1c2d3e4f5060708090a0b, \
         attributes: {USERNAME: 5} }"
    );
}

#[test]
fn errors_say_what_is_wrong() {
    for error in [
        ParseError::TooShort,
        ParseError::NotStun,
        ParseError::BadCookie,
        ParseError::BadLength,
        ParseError::AttributeOverrun,
        ParseError::TooManyAttributes,
    ] {
        assert!(!error.to_string().is_empty());
    }
}
