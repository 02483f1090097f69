//! Beside `stun-types` 2.0: agreement first, then each difference (see the table above).

use proptest::prelude::*;
use stun_types::attribute as theirs;
use stun_types::attribute::{Attribute as _, AttributeStaticType};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message as Theirs, MessageClass, MessageHeader, MessageType,
    MessageWrite, MessageWriteExt, MessageWriteVec, Method as TheirMethod, StunParseError,
};
use turnkeep::wire::attribute::*;
use turnkeep::wire::integrity::userhash;
use turnkeep::wire::message::MAX_ATTRIBUTES;
use turnkeep::wire::{
    Class, Fingerprint, HEADER_LEN, Integrity, IntegrityError, LongTermKey, Message, ParseError, PasswordAlgorithm,
};

use super::common::*;
use super::damage::datagram;

/// The three ways to sign; the last has both attributes.
const SEALS: [&[Integrity]; 4] = [&[], &[Integrity::Sha1], &[Integrity::Sha256], &[Integrity::Sha1, Integrity::Sha256]];

proptest! {
    /// Each writes what the other writes, and reads it.
    #[test]
    fn both_write_the_same_bytes(common in common(), seal in 0..SEALS.len()) {
        let seal = SEALS[seal];
        let ours = common.bytes(seal);
        let written = their_bytes(&common, seal);
        prop_assert_eq!(&ours, &written);

        let message = Message::parse(&written).expect("valid");
        common.assert_read(&message);
        let read = Theirs::from_bytes(&ours).expect("they confirm our fingerprint");
        assert_they_read(&common, &read);
        if let Some(integrity) = seal.last() {
            prop_assert_eq!(message.verify_integrity(&long_term_key(*integrity)), Ok(()));
            let algorithm = their_algorithm(*integrity);
            let key = their_credentials().make_key(algorithm);
            prop_assert_eq!(read.validate_integrity_with_key(&key).expect("they confirm our integrity"), algorithm);
        }
    }

    /// What one takes for a message, so does the other, but for Y1, Y2, Y3, Y6; and both find the same attributes
    /// before any integrity attribute.
    #[test]
    fn both_see_the_same_messages(datagram in datagram()) {
        match (Message::parse(&datagram), Theirs::from_bytes(&datagram)) {
            (Ok(message), Ok(read)) => {
                for number in AttributeType::REGISTERED.iter().copied() {
                    if is_seal(number) {
                        continue;
                    }
                    let found = read.raw_attribute(number.0.into()).map(|found| found.value.to_vec());
                    let ours = message.range_of(number).map(|range| datagram[range].to_vec());
                    prop_assert_eq!(ours, found, "{}", number);
                }
            }
            (Ok(message), Err(error)) => {
                let explained = message.fingerprint() == Fingerprint::Invalid;
                prop_assert!(explained, "Y3: {:?}", error);
            }
            (Err(error), Ok(read)) => {
                let length = usize::from(MessageHeader::from_bytes(&datagram).expect("a header").data_length());
                let explained = match error {
                    ParseError::BadLength => datagram.len() > HEADER_LEN + length,
                    ParseError::TooManyAttributes => true,
                    ParseError::AttributeOverrun => read.iter_attributes().any(|(_, found)| {
                        is_seal(AttributeType(found.get_type().value()))
                    }),
                    _ => false,
                };
                prop_assert!(explained, "Y1, Y2, Y6: {:?}", error);
            }
            (Err(_), Err(_)) => {}
        }
    }

    /// Keys and user hashes are the same (RFC 8489 §9.2.2, §14.4).
    #[test]
    fn both_derive_the_same_keys(username: String, realm: String, password: String) {
        let [name, area] = [username.as_bytes(), realm.as_bytes()];
        prop_assert_eq!(userhash(name, area), theirs::Userhash::compute(&username, &realm));
        let credentials = LongTermKeyCredentials::new(username.clone(), password.clone(), realm.clone());
        for (algorithm, integrity) in [
            (PasswordAlgorithm::Md5, IntegrityAlgorithm::Sha1),
            (PasswordAlgorithm::Sha256, IntegrityAlgorithm::Sha256),
        ] {
            // Theirs shows no bytes, but signs what we confirm.
            let mut written = Theirs::builder_request(TheirMethod::new(1), MessageWriteVec::new());
            written.add_message_integrity_with_key(&credentials.make_key(integrity), integrity).expect("room");
            let written = written.finish();
            let key = LongTermKey::derive(algorithm, name, area, password.as_bytes());
            let message = Message::parse(&written).expect("valid");
            let found = message.integrity().expect("signed");
            prop_assert_eq!(message.verify_integrity(&turnkeep::wire::IntegrityKey::new(found, &key)), Ok(()));
        }
    }
}

/// Names and numbers are the registry's in both, but for one that they spell with underlines.
#[test]
fn the_registries_agree() {
    for number in 0..=u16::MAX {
        let name = theirs::AttributeType::new(number).name();
        if name != "unknown" {
            assert_eq!(AttributeType(number).name(), Some(name.replace('_', "-").as_str()));
        }
    }
}

#[test]
fn reason_phrases_agree() {
    for code in 300..=699 {
        let theirs = match theirs::ErrorCode::default_reason_for_code(code) {
            // IANA has it so since RFC 8489 (§18.4).
            "Unauthorized" => "Unauthenticated",
            "Address Family Not Supported" => "Address Family not Supported",
            reason => reason,
        };
        let ours = ErrorCode::registered(code).reason;
        if !ours.is_empty() && code != ErrorCode::MOBILITY_FORBIDDEN.code {
            assert_eq!(ours, theirs, "{code}");
        }
    }
}

#[test]
fn password_algorithms_agree() {
    use theirs::PasswordAlgorithmValue::{MD5, SHA256};
    let mut written = Theirs::builder_request(TheirMethod::new(3), MessageWriteVec::new());
    written.add_attribute(&theirs::PasswordAlgorithms::new(&[SHA256, MD5])).expect("room");
    written.add_attribute(&theirs::PasswordAlgorithm::new(SHA256)).expect("room");
    let written = written.finish();
    let message = Message::parse(&written).expect("valid");
    assert_eq!(message.get(), Ok(Some(PasswordAlgorithms::SHA256_THEN_MD5)));
    let expected = PasswordAlgorithmAttribute::new(PasswordAlgorithm::Sha256);
    assert_eq!(message.get(), Ok(Some(expected)));
}

#[test]
fn y1_bytes_behind_the_length() {
    let mut datagram = request(&[]);
    datagram.extend(attribute(AttributeType::SOFTWARE, b"behind"));
    assert!(Theirs::from_bytes(&datagram).expect("accepted").has_attribute(theirs::Software::TYPE));
    assert_eq!(Message::parse(&datagram).unwrap_err(), ParseError::BadLength);
}

#[test]
fn y2_many_attributes() {
    let datagram = request(&attribute(AttributeType::SOFTWARE, b"").repeat(MAX_ATTRIBUTES + 1));
    assert!(Theirs::from_bytes(&datagram).is_ok());
    assert_eq!(Message::parse(&datagram).unwrap_err(), ParseError::TooManyAttributes);
}

#[test]
fn y3_a_wrong_fingerprint() {
    let datagram = request(&attribute(AttributeType::FINGERPRINT, &[0; 4]));
    assert!(matches!(Theirs::from_bytes(&datagram), Err(StunParseError::FingerprintMismatch)));
    assert_eq!(Message::parse(&datagram).expect("valid").fingerprint(), Fingerprint::Invalid);
}

#[test]
fn y4_a_fingerprint_in_the_middle() {
    let mut datagram = refresh(|writer| writer.fingerprint().expect("room"));
    append(&mut datagram, &attribute(AttributeType::SOFTWARE, b"behind"));
    assert!(Theirs::from_bytes(&datagram).is_ok());
    assert_eq!(Message::parse(&datagram).expect("valid").fingerprint(), Fingerprint::Invalid);
}

#[test]
fn y5_integrity_behind_what_does_not_count() {
    let mut datagram = refresh(|writer| writer.integrity(&long_term_key(Integrity::Sha1)).expect("room"));
    append(&mut datagram, &attribute(AttributeType::SOFTWARE, b"appended"));
    append(&mut datagram, &attribute(AttributeType::MESSAGE_INTEGRITY_SHA256, &[0; 32]));
    let read = Theirs::from_bytes(&datagram).expect("accepted");
    assert!(!read.has_attribute(theirs::MessageIntegritySha256::TYPE));
    assert_eq!(Message::parse(&datagram).expect("valid").integrity(), Some(Integrity::Sha256));
}

#[test]
fn y6_damage_behind_what_does_not_count() {
    let mut datagram = refresh(|writer| writer.integrity(&long_term_key(Integrity::Sha1)).expect("room"));
    append(&mut datagram, &attribute(AttributeType::SOFTWARE, b"appended"));
    append(&mut datagram, &[0x80, 0x22, 0xFF, 0xFF]);
    assert!(Theirs::from_bytes(&datagram).is_ok());
    assert_eq!(Message::parse(&datagram).unwrap_err(), ParseError::AttributeOverrun);
}

#[test]
fn y7_the_stronger_integrity() {
    let mut datagram = refresh(|writer| writer.integrity(&long_term_key(Integrity::Sha1)).expect("room"));
    append(&mut datagram, &attribute(AttributeType::MESSAGE_INTEGRITY_SHA256, &[0; 32]));
    let read = Theirs::from_bytes(&datagram).expect("accepted");
    let weaker = their_credentials().make_key(IntegrityAlgorithm::Sha1);
    assert!(matches!(read.validate_integrity_with_key(&weaker), Ok(IntegrityAlgorithm::Sha1)));
    let message = Message::parse(&datagram).expect("valid");
    assert_eq!(message.verify_integrity(&long_term_key(Integrity::Sha1)), Err(IntegrityError::Mismatch));
}

#[test]
fn y8_a_truncated_hmac() {
    // The HMAC sees the length of the message with the truncated attribute, so it is made by them.
    let key = their_credentials().make_key(IntegrityAlgorithm::Sha256);
    for len in [16, 20, 24, 28] {
        let mut datagram = refresh(|_| {});
        let at = datagram.len();
        append(&mut datagram, &attribute(AttributeType::MESSAGE_INTEGRITY_SHA256, &vec![0; len]));
        let hmac = theirs::MessageIntegritySha256::compute(&[&datagram[..at]], &key).expect("a key");
        datagram[at + 4..].copy_from_slice(&hmac[..len]);
        let read = Theirs::from_bytes(&datagram).expect("accepted");
        assert!(read.validate_integrity_with_key(&key).is_ok(), "{len} bytes");
        let message = Message::parse(&datagram).expect("valid");
        assert_eq!(message.verify_integrity(&long_term_key(Integrity::Sha256)), Err(IntegrityError::BadLength));
    }
}

#[test]
fn y9_texts() {
    for (value, valid) in [(&b"\xFF"[..], true), (&[b'a'; 514], true), (&[b'a'; 763], true), (&[b'a'; 764], false)] {
        let datagram = request(&attribute(AttributeType::USERNAME, value));
        assert!(Theirs::from_bytes(&datagram).expect("accepted").attribute::<theirs::Username>().is_err());
        assert_eq!(Message::parse(&datagram).expect("valid").get::<Username<'_>>().is_ok(), valid);
    }
}

#[test]
fn y10_a_reason_that_is_no_text() {
    let datagram = request(&attribute(AttributeType::ERROR_CODE, b"\0\0\x04\x00Bad\xFF"));
    assert!(Theirs::from_bytes(&datagram).expect("accepted").attribute::<theirs::ErrorCode>().is_err());
    let expected = ErrorCode { code: 400, reason: "Bad" };
    assert_eq!(Message::parse(&datagram).expect("valid").get(), Ok(Some(expected)));
}

#[test]
fn y11_unknown_password_algorithms() {
    for value in [&[0, 9, 0, 0][..], &[0, 2, 0, 2, 1, 1, 0, 0], &[]] {
        let datagram = request(&attribute(AttributeType::PASSWORD_ALGORITHMS, value));
        let read = Theirs::from_bytes(&datagram).expect("accepted");
        assert!(read.attribute::<theirs::PasswordAlgorithms>().is_err());
        let message = Message::parse(&datagram).expect("valid");
        assert_eq!(message.get(), Ok(PasswordAlgorithms::from_bytes(value)));
    }
}

#[test]
fn y12_unknown_attributes_that_repeat() {
    let unknown = AttributeType(0x7ABC);
    let datagram = request(&attribute(unknown, b"").repeat(3));
    let read = Theirs::from_bytes(&datagram).expect("accepted");
    let answer = Theirs::check_attribute_types(&read, &[], &[], MessageWriteVec::new()).expect("a 420").finish();
    let answer = Message::parse(&answer).expect("valid");
    let listed = answer.get::<UnknownAttributes<'_>>().expect("valid").expect("listed");
    assert!(listed.iter().eq([unknown; 3]));
    assert_eq!(Message::parse(&datagram).expect("valid").unknown_required(), [unknown]);
}

fn is_seal(number: AttributeType) -> bool {
    matches!(
        number,
        AttributeType::MESSAGE_INTEGRITY | AttributeType::MESSAGE_INTEGRITY_SHA256 | AttributeType::FINGERPRINT
    )
}

fn their_credentials() -> LongTermKeyCredentials {
    LongTermKeyCredentials::new(USERNAME.to_owned(), PASSWORD.to_owned(), REALM.to_owned())
}

fn their_algorithm(integrity: Integrity) -> IntegrityAlgorithm {
    match integrity {
        Integrity::Sha1 => IntegrityAlgorithm::Sha1,
        Integrity::Sha256 => IntegrityAlgorithm::Sha256,
    }
}

fn their_bytes(common: &Common, seal: &[Integrity]) -> Vec<u8> {
    let class = match common.class {
        Class::Request => MessageClass::Request,
        Class::Indication => MessageClass::Indication,
        Class::Success => MessageClass::Success,
        Class::Error => MessageClass::Error,
    };
    let message_type = MessageType::from_class_method(class, TheirMethod::new(common.method.number()));
    let id = their_id(common);
    let mut written = Theirs::builder(message_type, id, MessageWriteVec::new());
    for attribute in &common.attributes {
        their_attribute(attribute, id, |attribute| written.add_attribute(attribute).expect("room"));
    }
    for integrity in seal {
        let algorithm = their_algorithm(*integrity);
        let key = their_credentials().make_key(algorithm);
        written.add_message_integrity_with_key(&key, algorithm).expect("room");
    }
    if common.fingerprint {
        written.add_fingerprint().expect("room");
    }
    written.finish()
}

fn their_id(common: &Common) -> stun_types::message::TransactionId {
    let mut id = [0; 16];
    id[4..].copy_from_slice(&common.id.0);
    u128::from_be_bytes(id).into()
}

fn their_attribute(
    attribute: &Shared,
    id: stun_types::message::TransactionId,
    put: impl FnOnce(&dyn theirs::AttributeWrite),
) {
    match attribute {
        Shared::Username(text) => put(&theirs::Username::new(text).expect("within their bounds")),
        Shared::Realm(text) => put(&theirs::Realm::new(text).expect("within their bounds")),
        Shared::Nonce(text) => put(&theirs::Nonce::new(text).expect("within their bounds")),
        Shared::Software(text) => put(&theirs::Software::new(text).expect("within their bounds")),
        Shared::XorMappedAddress(address) => put(&theirs::XorMappedAddress::new(*address, id)),
        Shared::AlternateServer(address) => put(&theirs::AlternateServer::new(*address)),
        Shared::ErrorCode(code, reason) => put(&theirs::ErrorCode::new(*code, reason).expect("within their bounds")),
        Shared::UnknownAttributes(types) => {
            let types: Vec<_> = types.iter().map(|number| theirs::AttributeType::new(number.0)).collect();
            put(&theirs::UnknownAttributes::new(&types));
        }
    }
}

/// They find the first of each type, and it says what was meant.
fn assert_they_read(common: &Common, read: &Theirs<'_>) {
    for (index, attribute) in common.attributes.iter().enumerate() {
        let same_type = |earlier: &Shared| std::mem::discriminant(earlier) == std::mem::discriminant(attribute);
        if common.attributes[..index].iter().any(same_type) {
            continue;
        }
        match attribute {
            Shared::Username(text) => assert_eq!(read.attribute::<theirs::Username>().unwrap().username(), text),
            Shared::Realm(text) => assert_eq!(read.attribute::<theirs::Realm>().unwrap().realm(), text),
            Shared::Nonce(text) => assert_eq!(read.attribute::<theirs::Nonce>().unwrap().nonce(), text),
            Shared::Software(text) => assert_eq!(read.attribute::<theirs::Software>().unwrap().software(), text),
            Shared::XorMappedAddress(address) => {
                let found = read.attribute::<theirs::XorMappedAddress>().unwrap();
                assert_eq!(found.addr(their_id(common)), *address);
            }
            Shared::AlternateServer(address) => {
                assert_eq!(read.attribute::<theirs::AlternateServer>().unwrap().server(), *address);
            }
            Shared::ErrorCode(code, reason) => {
                let found = read.attribute::<theirs::ErrorCode>().unwrap();
                assert_eq!((found.code(), found.reason()), (*code, reason.as_str()));
            }
            Shared::UnknownAttributes(types) => {
                let found = read.attribute::<theirs::UnknownAttributes>().unwrap();
                assert!(types.iter().all(|number| found.has_attribute(theirs::AttributeType::new(number.0))));
            }
        }
    }
}
