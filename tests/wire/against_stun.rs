//! Beside `stun` 0.17.2: agreement first, then each difference (see the table above).

use std::net::SocketAddr;

use proptest::prelude::*;
use stun::agent::TransactionId as TheirId;
use stun::attributes::*;
use stun::error_code::{ErrorCode as TheirCode, ErrorCodeAttribute};
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{Getter, Message as Theirs, MessageType, Setter};
use stun::textattrs::TextAttribute;
use stun::uattrs::UnknownAttributes as TheirUnknown;
use stun::xoraddr::XorMappedAddress as TheirXorAddress;
use turnkeep::wire::attribute::*;
use turnkeep::wire::message::MAX_ATTRIBUTES;
use turnkeep::wire::{
    BufferFull, Class, Fingerprint, HEADER_LEN, Integrity, IntegrityError, InvalidAttribute, Message, MessageWriter,
    Method, ParseError,
};

use super::common::*;
use super::damage::datagram;

proptest! {
    /// Each writes what the other writes, and reads it.
    #[test]
    fn both_write_the_same_bytes(common in common(), signed: bool) {
        let integrity: &[Integrity] = if signed { &[Integrity::Sha1] } else { &[] };
        let ours = common.bytes(integrity);
        let theirs = their_bytes(&common, signed);
        prop_assert_eq!(&ours, &theirs);

        let message = Message::parse(&theirs).expect("valid");
        common.assert_read(&message);
        let mut read = read(&ours).expect("valid");
        assert_they_read(&common, &read);
        if signed {
            prop_assert_eq!(message.verify_integrity(&long_term_key(Integrity::Sha1)), Ok(()));
            their_key().check(&mut read).expect("they confirm our integrity");
        }
        if common.fingerprint {
            prop_assert_eq!(message.fingerprint(), Fingerprint::Valid);
            FINGERPRINT.check(&read).expect("they confirm our fingerprint");
        }
    }

    /// What one takes for a message, so does the other, but for W1, W2, W3; and both see the same attributes, but for
    /// W8.
    #[test]
    fn both_see_the_same_messages(datagram in datagram()) {
        let theirs = read(&datagram);
        match Message::parse(&datagram) {
            Ok(message) => {
                let theirs = theirs.expect("they are never stricter");
                prop_assert_eq!(theirs.transaction_id.0, message.transaction_id().0);
                prop_assert_eq!(theirs.typ.value(), u16::from_be_bytes([datagram[0], datagram[1]]));
                let renamed = |number| if number == 0x8020 { 0x0020 } else { number };
                let ours = message.attributes().map(|(number, value)| (renamed(number.0), &datagram[value]));
                let theirs = theirs.attributes.0.iter().map(|found| (found.typ.0, &found.value[..]));
                prop_assert_eq!(ours.collect::<Vec<_>>(), theirs.collect::<Vec<_>>());
            }
            Err(error) => {
                let explained = match error {
                    ParseError::NotStun | ParseError::TooManyAttributes => true,
                    ParseError::BadLength => datagram.len() > HEADER_LEN + length_field(&datagram),
                    _ => false,
                };
                prop_assert!(theirs.is_none() || explained, "{:?}", error);
            }
        }
    }
}

/// Names and numbers are the registry's in both.
#[test]
fn the_registries_agree() {
    for number in 0..=u16::MAX {
        let theirs = AttrType(number).to_string();
        if !theirs.starts_with("0x") {
            assert_eq!(AttributeType(number).name(), Some(theirs.as_str()));
        }
        assert_eq!(AttributeType(number).is_comprehension_required(), AttrType(number).required());
    }
    for method in [Method::BINDING, Method::ALLOCATE, Method::SEND, Method::CHANNEL_BIND, Method::CONNECTION_ATTEMPT] {
        assert_eq!(their_type(method, Class::Error).method.to_string(), method.name().expect("registered"));
        assert_eq!(their_type(method, Class::Error).class.to_string(), Class::Error.name());
    }
}

#[test]
fn w1_top_bits() {
    for bits in [0x40, 0x80, 0xC0] {
        let mut datagram = request(&[]);
        datagram[0] |= bits;
        assert!(read(&datagram).is_some());
        assert_eq!(Message::parse(&datagram).unwrap_err(), ParseError::NotStun);
    }
}

#[test]
fn w2_bytes_behind_the_length() {
    let mut datagram = request(&[]);
    datagram.extend([0; 4]);
    assert!(read(&datagram).is_some());
    assert_eq!(Message::parse(&datagram).unwrap_err(), ParseError::BadLength);
}

#[test]
fn w3_many_attributes() {
    let datagram = request(&attribute(AttributeType::SOFTWARE, b"").repeat(MAX_ATTRIBUTES + 1));
    assert_eq!(read(&datagram).expect("valid").attributes.0.len(), MAX_ATTRIBUTES + 1);
    assert_eq!(Message::parse(&datagram).unwrap_err(), ParseError::TooManyAttributes);
}

#[test]
fn w4_attributes_behind_integrity() {
    let mut datagram = refresh(|writer| writer.integrity(&long_term_key(Integrity::Sha1)).expect("room"));
    append(&mut datagram, &attribute(AttributeType::USERNAME, b"mallory"));
    let mut theirs = read(&datagram).expect("valid");
    their_key().check(&mut theirs).expect("the integrity holds");
    assert_eq!(theirs.get(ATTR_USERNAME).expect("and mallory is believed"), b"mallory");

    let message = Message::parse(&datagram).expect("valid");
    assert_eq!(message.verify_integrity(&long_term_key(Integrity::Sha1)), Ok(()));
    assert_eq!(message.get::<Username<'_>>(), Ok(None));
}

#[test]
fn w5_the_stronger_integrity() {
    let datagram = refresh(|writer| {
        writer.integrity(&long_term_key(Integrity::Sha1)).expect("room");
        // A MESSAGE-INTEGRITY-SHA256 of a key that is not SHA-256's.
        let other = turnkeep::wire::IntegrityKey::from_raw(Integrity::Sha256, b"other");
        writer.integrity(&other).expect("room");
    });
    their_key().check(&mut read(&datagram).expect("valid")).expect("they look at the weaker one");
    let message = Message::parse(&datagram).expect("valid");
    assert_eq!(message.integrity(), Some(Integrity::Sha256));
    assert_eq!(message.verify_integrity(&long_term_key(Integrity::Sha256)), Err(IntegrityError::Mismatch));
    assert_eq!(message.verify_integrity(&long_term_key(Integrity::Sha1)), Err(IntegrityError::Mismatch));
}

/// They look for it 8 bytes before the end, we want it to be the last: the verdict is the same.
#[test]
fn both_refuse_a_fingerprint_in_the_middle() {
    let mut datagram = refresh(|writer| writer.fingerprint().expect("room"));
    append(&mut datagram, &attribute(AttributeType::SOFTWARE, b"behind"));
    assert!(FINGERPRINT.check(&read(&datagram).expect("valid")).is_err());
    assert_eq!(Message::parse(&datagram).expect("valid").fingerprint(), Fingerprint::Invalid);
}

#[test]
fn w6_lengths_of_addresses() {
    let cut = attribute(AttributeType::XOR_MAPPED_ADDRESS, &[0, 1, 0x21, 0x12, 0x21 ^ 192]);
    let mut theirs = TheirXorAddress::default();
    theirs.get_from(&read(&request(&cut)).expect("valid")).expect("one byte of an address will do");
    assert_eq!(theirs.ip.to_string(), "192.0.0.0");
    let invalid = Err(InvalidAttribute(AttributeType::XOR_MAPPED_ADDRESS));
    assert_eq!(Message::parse(&request(&cut)).expect("valid").get::<XorMappedAddress>(), invalid);

    let long = attribute(AttributeType::MAPPED_ADDRESS, &[0, 1, 0, 0, 192, 0, 2, 1, 9, 9]);
    let mut theirs = stun::addr::MappedAddress::default();
    theirs.get_from(&read(&request(&long)).expect("valid")).expect("the rest is ignored");
    assert_eq!(theirs.ip.to_string(), "192.0.2.1");
    let invalid = Err(InvalidAttribute(AttributeType::MAPPED_ADDRESS));
    assert_eq!(Message::parse(&request(&long)).expect("valid").get::<MappedAddress>(), invalid);
}

#[test]
fn w7_the_first_byte_of_an_address() {
    let datagram = request(&attribute(AttributeType::MAPPED_ADDRESS, &[7, 1, 0, 9, 192, 0, 2, 1]));
    let mut theirs = stun::addr::MappedAddress::default();
    assert!(theirs.get_from(&read(&datagram).expect("valid")).is_err());
    let expected = MappedAddress("192.0.2.1:9".parse().expect("an address"));
    assert_eq!(Message::parse(&datagram).expect("valid").get(), Ok(Some(expected)));
}

#[test]
fn w8_type_8020() {
    let datagram = request(&attribute(AttributeType(0x8020), &[0, 1, 0x21, 0x12, 0x21, 0x12, 0xA4, 0x42]));
    assert!(TheirXorAddress::default().get_from(&read(&datagram).expect("valid")).is_ok());
    let message = Message::parse(&datagram).expect("valid");
    assert_eq!(message.get::<XorMappedAddress>(), Ok(None));
    assert!(message.unknown_required().is_empty());
}

#[test]
fn w9_texts() {
    let long = vec![b'a'; 764];
    let datagram = request(&attribute(AttributeType::USERNAME, &long));
    assert!(TextAttribute::get_from_as(&read(&datagram).expect("valid"), ATTR_USERNAME).is_ok());
    assert!(Message::parse(&datagram).expect("valid").get::<Username<'_>>().is_err());

    let datagram = request(&attribute(AttributeType::USERNAME, b"\xFF"));
    assert!(TextAttribute::get_from_as(&read(&datagram).expect("valid"), ATTR_USERNAME).is_err());
    assert_eq!(Message::parse(&datagram).expect("valid").get(), Ok(Some(Username(b"\xFF"))));
}

#[test]
fn w10_reserved_bits_of_an_error_code() {
    let datagram = request(&attribute(AttributeType::ERROR_CODE, &[0, 0, 0xFC, 1]));
    assert_eq!(their_error(&datagram).code.0, 25_201);
    let expected = ErrorCode { code: 401, reason: "" };
    assert_eq!(Message::parse(&datagram).expect("valid").get(), Ok(Some(expected)));
}

#[test]
fn w11_impossible_error_codes() {
    for (class, number) in [(0, 0), (2, 0), (7, 0), (4, 100)] {
        let datagram = request(&attribute(AttributeType::ERROR_CODE, &[0, 0, class, number]));
        assert_eq!(their_error(&datagram).code.0, u16::from(class) * 100 + u16::from(number));
        assert!(Message::parse(&datagram).expect("valid").get::<ErrorCode<'_>>().is_err());
    }
}

#[test]
fn w12_a_reason_that_is_no_text() {
    let datagram = request(&attribute(AttributeType::ERROR_CODE, b"\0\0\x04\x00Bad\xFF"));
    let theirs = their_error(&datagram);
    assert_eq!(theirs.reason, b"Bad\xFF");
    let mut shown = String::new();
    assert!(std::fmt::write(&mut shown, format_args!("{theirs}")).is_err(), "`to_string` would panic");
    let expected = ErrorCode { code: 400, reason: "Bad" };
    assert_eq!(Message::parse(&datagram).expect("valid").get(), Ok(Some(expected)));
}

#[test]
fn w13_values_that_are_too_long() {
    let value = vec![0; 65_536 + 4];
    let mut theirs = Theirs::new();
    theirs.build(&[]).expect("a header");
    theirs.add(ATTR_DATA, &value);
    assert_eq!(&theirs.raw[22..24], [0, 4], "65,540 in 16 bits");
    let mut out = vec![0; 70_000];
    let mut writer = MessageWriter::new(&mut out, Method::DATA, Class::Indication, ID).expect("room");
    assert_eq!(writer.put(&Data(&value)), Err(BufferFull));
}

fn read(datagram: &[u8]) -> Option<Theirs> {
    let mut message = Theirs::new();
    message.unmarshal_binary(datagram).ok().map(|()| message)
}

fn their_key() -> MessageIntegrity {
    MessageIntegrity::new_long_term_integrity(USERNAME.into(), REALM.into(), PASSWORD.into())
}

fn their_error(datagram: &[u8]) -> ErrorCodeAttribute {
    let mut error = ErrorCodeAttribute::default();
    error.get_from(&read(datagram).expect("valid")).expect("they take it");
    error
}

fn length_field(datagram: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([datagram[2], datagram[3]]))
}

/// Read from the wire, since a method's number is private.
fn their_type(method: Method, class: Class) -> MessageType {
    let mut out = [0; HEADER_LEN];
    MessageWriter::new(&mut out, method, class, ID).expect("room").finish();
    read(&out).expect("valid").typ
}

fn their_bytes(common: &Common, signed: bool) -> Vec<u8> {
    let mut setters: Vec<Box<dyn Setter>> =
        vec![Box::new(their_type(common.method, common.class)), Box::new(TheirId(common.id.0))];
    setters.extend(common.attributes.iter().map(their_setter));
    if signed {
        setters.push(Box::new(their_key()));
    }
    if common.fingerprint {
        setters.push(Box::new(FINGERPRINT));
    }
    let mut message = Theirs::new();
    message.build(&setters).expect("within their bounds");
    message.raw
}

fn their_setter(attribute: &Shared) -> Box<dyn Setter> {
    let text = |number, text: &str| Box::new(TextAttribute::new(number, text.to_owned()));
    match attribute {
        Shared::Username(username) => text(ATTR_USERNAME, username),
        Shared::Realm(realm) => text(ATTR_REALM, realm),
        Shared::Nonce(nonce) => text(ATTR_NONCE, nonce),
        Shared::Software(software) => text(ATTR_SOFTWARE, software),
        Shared::XorMappedAddress(address) => Box::new(TheirXorAddress { ip: address.ip(), port: address.port() }),
        Shared::AlternateServer(address) => Box::new(TheirAlternate(*address)),
        Shared::ErrorCode(code, reason) => {
            Box::new(ErrorCodeAttribute { code: TheirCode(*code), reason: reason.clone().into_bytes() })
        }
        Shared::UnknownAttributes(types) => {
            Box::new(TheirUnknown(types.iter().map(|number| AttrType(number.0)).collect()))
        }
    }
}

/// Their ALTERNATE-SERVER is an alias that writes MAPPED-ADDRESS unless told otherwise.
struct TheirAlternate(SocketAddr);

impl Setter for TheirAlternate {
    fn add_to(&self, message: &mut Theirs) -> Result<(), stun::Error> {
        let address = stun::addr::MappedAddress { ip: self.0.ip(), port: self.0.port() };
        address.add_to_as(message, ATTR_ALTERNATE_SERVER)
    }
}

/// They find the first of each type, and it says what was meant.
fn assert_they_read(common: &Common, theirs: &Theirs) {
    let text = |number| TextAttribute::get_from_as(theirs, number).expect("they read it").text;
    for (index, attribute) in common.attributes.iter().enumerate() {
        let same_type = |earlier: &Shared| std::mem::discriminant(earlier) == std::mem::discriminant(attribute);
        if common.attributes[..index].iter().any(same_type) {
            continue;
        }
        match attribute {
            Shared::Username(username) => assert_eq!(&text(ATTR_USERNAME), username),
            Shared::Realm(realm) => assert_eq!(&text(ATTR_REALM), realm),
            Shared::Nonce(nonce) => assert_eq!(&text(ATTR_NONCE), nonce),
            Shared::Software(software) => assert_eq!(&text(ATTR_SOFTWARE), software),
            Shared::XorMappedAddress(address) => {
                let mut read = TheirXorAddress::default();
                read.get_from(theirs).expect("they read it");
                assert_eq!(SocketAddr::new(read.ip, read.port), *address);
            }
            Shared::AlternateServer(address) => {
                let mut read = stun::addr::MappedAddress::default();
                read.get_from_as(theirs, ATTR_ALTERNATE_SERVER).expect("they read it");
                assert_eq!(SocketAddr::new(read.ip, read.port), *address);
            }
            Shared::ErrorCode(code, reason) => {
                let mut read = ErrorCodeAttribute::default();
                read.get_from(theirs).expect("they read it");
                assert_eq!((read.code.0, read.reason), (*code, reason.clone().into_bytes()));
            }
            Shared::UnknownAttributes(types) => {
                let mut read = TheirUnknown(Vec::new());
                read.get_from(theirs).expect("they read it");
                assert!(read.0.iter().map(|number| AttributeType(number.0)).eq(types.iter().copied()));
            }
        }
    }
}
