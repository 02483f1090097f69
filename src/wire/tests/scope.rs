//! What counts and what does not: MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256, FINGERPRINT, and what stands behind
//! them.

use super::{ID, mend_length};
use crate::wire::attribute::{Lifetime, Raw, Software, Username, XorPeerAddress};
use crate::wire::{
    AttributeType, Class, Fingerprint, Integrity, IntegrityError, IntegrityKey, Message, MessageWriter, Method,
    fingerprint,
};

const UNKNOWN: AttributeType = AttributeType(0x7ABC);

fn sha1() -> IntegrityKey {
    IntegrityKey::from_raw(Integrity::Sha1, b"key")
}

fn sha256() -> IntegrityKey {
    IntegrityKey::from_raw(Integrity::Sha256, b"key")
}

/// A Refresh with LIFETIME 600 in front and what `rest` adds.
fn message(rest: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut out = vec![0xFF; 512];
    let mut writer = MessageWriter::new(&mut out, Method::REFRESH, Class::Request, ID).unwrap();
    writer.put(&Lifetime(600)).unwrap();
    rest(&mut writer);
    let len = writer.finish();
    out.truncate(len);
    out
}

/// Attributes that would each change what a request means.
fn put_poison(writer: &mut MessageWriter<'_>) {
    writer.put(&Lifetime(0)).unwrap();
    writer.put(&Username(b"mallory")).unwrap();
    writer.put(&XorPeerAddress("192.0.2.66:66".parse().unwrap())).unwrap();
    writer.put(&Raw(UNKNOWN, b"")).unwrap();
    writer.put(&Raw(AttributeType::PRIORITY, &[0; 4])).unwrap();
}

fn assert_unpoisoned(datagram: &[u8]) {
    let message = Message::parse(datagram).unwrap();
    assert_eq!(message.get(), Ok(Some(Lifetime(600))));
    assert_eq!(message.get::<Username<'_>>(), Ok(None));
    assert_eq!(message.get::<XorPeerAddress>(), Ok(None));
    assert_eq!(message.all::<XorPeerAddress>().count(), 0);
    assert!(message.unknown_required().is_empty());
    assert!(!message.has(UNKNOWN));
    assert_eq!(message.range_of(AttributeType::PRIORITY), None);
    assert!(message.attributes().any(|(attribute, _)| attribute == UNKNOWN), "the raw walk shows it");
}

/// C-091, and A-095: RFC 8489 §9.
#[test]
fn nothing_counts_behind_message_integrity() {
    let datagram = message(|writer| {
        writer.integrity(&sha1()).unwrap();
        put_poison(writer);
    });
    assert_unpoisoned(&datagram);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.integrity(), Some(Integrity::Sha1));
    assert_eq!(message.verify_integrity(&sha1()), Ok(()));
}

/// C-092, and A-095: RFC 8489 §9.
#[test]
fn nothing_counts_behind_message_integrity_sha256() {
    let datagram = message(|writer| {
        writer.integrity(&sha256()).unwrap();
        put_poison(writer);
    });
    assert_unpoisoned(&datagram);
    assert_eq!(Message::parse(&datagram).unwrap().verify_integrity(&sha256()), Ok(()));
}

/// C-091: what an attacker appends does not hide the FINGERPRINT that he makes anew, nor the second integrity
/// attribute.
#[test]
fn integrity_and_fingerprint_count_behind_what_does_not() {
    let datagram = message(|writer| {
        writer.integrity(&sha1()).unwrap();
        put_poison(writer);
        writer.integrity(&sha256()).unwrap();
        put_poison(writer);
        writer.fingerprint().unwrap();
    });
    assert_unpoisoned(&datagram);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.integrity(), Some(Integrity::Sha256));
    assert_eq!(message.verify_integrity(&sha256()), Ok(()));
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
}

/// C-013: RFC 8489 §14.7, "MUST be the last attribute".
#[test]
fn nothing_counts_behind_fingerprint() {
    let datagram = message(|writer| {
        writer.fingerprint().unwrap();
        writer.integrity(&sha1()).unwrap();
        writer.integrity(&sha256()).unwrap();
        put_poison(writer);
    });
    assert_unpoisoned(&datagram);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.integrity(), None);
    assert_eq!(message.verify_integrity(&sha1()), Err(IntegrityError::Missing));
    assert_eq!(message.fingerprint(), Fingerprint::Invalid);
}

/// RFC 8489 §14.5, §14.6: MESSAGE-INTEGRITY-SHA256 comes second, so the other behind it is not there.
#[test]
fn message_integrity_behind_the_other_does_not_count() {
    let datagram = message(|writer| {
        writer.integrity(&sha256()).unwrap();
        writer.integrity(&sha1()).unwrap();
    });
    let message = Message::parse(&datagram).unwrap();
    assert!(!message.has(AttributeType::MESSAGE_INTEGRITY));
    assert_eq!(message.integrity(), Some(Integrity::Sha256));
}

/// C-080: RFC 8489 §9.2.4; with both, the SHA-1 one is not even looked at.
#[test]
fn message_integrity_sha256_decides() {
    let mut datagram = message(|writer| {
        writer.integrity(&sha1()).unwrap();
        writer.integrity(&sha256()).unwrap();
    });
    let parsed = Message::parse(&datagram).unwrap();
    assert_eq!(parsed.verify_integrity(&sha256()), Ok(()));
    assert_eq!(parsed.verify_integrity(&sha1()), Err(IntegrityError::Mismatch), "a valid SHA-1 does not help");
    let last = datagram.len() - 1;
    datagram[last] ^= 1;
    assert_eq!(Message::parse(&datagram).unwrap().verify_integrity(&sha256()), Err(IntegrityError::Mismatch));

    let wrong = IntegrityKey::from_raw(Integrity::Sha1, b"wrong");
    let datagram = message(|writer| {
        writer.integrity(&wrong).unwrap();
        writer.integrity(&sha256()).unwrap();
    });
    assert_eq!(Message::parse(&datagram).unwrap().verify_integrity(&sha256()), Ok(()));
}

/// C-055.
#[test]
fn integrity_can_be_missing() {
    let datagram = message(|_| {});
    assert_eq!(Message::parse(&datagram).unwrap().verify_integrity(&sha1()), Err(IntegrityError::Missing));
}

/// C-082, C-083, and A-094: RFC 8489 §14.5, §14.6; TURN allows no truncation.
#[test]
fn integrity_has_its_length() {
    for (attribute, key) in
        [(AttributeType::MESSAGE_INTEGRITY, sha1()), (AttributeType::MESSAGE_INTEGRITY_SHA256, sha256())]
    {
        let whole = message(|writer| writer.integrity(&key).unwrap());
        let value = Message::parse(&whole).unwrap().range_of(attribute).unwrap();
        for len in (0..=40).filter(|len| *len != value.len()) {
            let truncated: Vec<u8> = whole[value.clone()].iter().copied().cycle().take(len).collect();
            let datagram = message(|writer| writer.put(&Raw(attribute, &truncated)).unwrap());
            let message = Message::parse(&datagram).unwrap();
            assert_eq!(message.verify_integrity(&key), Err(IntegrityError::BadLength), "{attribute}, {len} bytes");
        }
    }
}

/// C-084, and A-096: RFC 8489 §14.5; the HMAC does not change when FINGERPRINT follows.
#[test]
fn the_hmac_sees_an_adjusted_length() {
    for (attribute, key) in
        [(AttributeType::MESSAGE_INTEGRITY, sha1()), (AttributeType::MESSAGE_INTEGRITY_SHA256, sha256())]
    {
        let without = message(|writer| writer.integrity(&key).unwrap());
        let with = message(|writer| {
            writer.integrity(&key).unwrap();
            writer.fingerprint().unwrap();
        });
        let tag = |datagram: &[u8]| datagram[Message::parse(datagram).unwrap().range_of(attribute).unwrap()].to_vec();
        assert_eq!(tag(&without), tag(&with));
        assert_eq!(Message::parse(&without).unwrap().verify_integrity(&key), Ok(()));
        assert_eq!(Message::parse(&with).unwrap().verify_integrity(&key), Ok(()));
    }
}

/// C-078.
#[test]
fn another_key_does_not_match() {
    let datagram = message(|writer| writer.integrity(&sha1()).unwrap());
    let message = Message::parse(&datagram).unwrap();
    let other = IntegrityKey::from_raw(Integrity::Sha1, b"kez");
    assert_eq!(message.verify_integrity(&other), Err(IntegrityError::Mismatch));
    assert_eq!(message.verify_integrity(&sha256()), Err(IntegrityError::Mismatch));
}

/// C-010, C-011, C-014: RFC 8489 §14.7.
#[test]
fn a_fingerprint_covers_all_before_it() {
    let whole = message(|writer| {
        writer.put(&Software(b"odd")).unwrap();
        writer.integrity(&sha1()).unwrap();
        writer.fingerprint().unwrap();
    });
    assert_eq!(Message::parse(&whole).unwrap().fingerprint(), Fingerprint::Valid);
    assert_eq!(Message::parse(&message(|_| {})).unwrap().fingerprint(), Fingerprint::Absent);
    for byte in 0..whole.len() {
        let mut datagram = whole.clone();
        datagram[byte] ^= 0x10;
        let fingerprint = Message::parse(&datagram).map(|message| message.fingerprint());
        assert_ne!(fingerprint, Ok(Fingerprint::Valid), "byte {byte}");
    }
}

#[test]
fn a_fingerprint_has_four_bytes() {
    for len in [0, 3, 5, 8] {
        let mut datagram = message(|writer| writer.put(&Raw(AttributeType::FINGERPRINT, &vec![0; len])).unwrap());
        let value = Message::parse(&datagram).unwrap().range_of(AttributeType::FINGERPRINT).unwrap();
        let crc = fingerprint::value(&datagram[..value.start - 4]);
        datagram[value].iter_mut().zip(crc).for_each(|(byte, crc)| *byte = crc);
        assert_eq!(Message::parse(&datagram).unwrap().fingerprint(), Fingerprint::Invalid, "{len} bytes");
    }
}

/// C-013: not even with a CRC made for the longer message does it count in the middle.
#[test]
fn a_fingerprint_is_valid_where_it_is_last() {
    let whole = message(|writer| writer.fingerprint().unwrap());
    let value = whole.len() - 4..whole.len();
    let mut datagram = whole.clone();
    datagram.extend([0x80, 0x22, 0, 0]);
    mend_length(&mut datagram);
    let crc = fingerprint::value(&datagram[..value.start - 4]);
    datagram[value].copy_from_slice(&crc);
    assert_eq!(Message::parse(&datagram).unwrap().fingerprint(), Fingerprint::Invalid);
    assert_eq!(Message::parse(&whole).unwrap().fingerprint(), Fingerprint::Valid);
}
