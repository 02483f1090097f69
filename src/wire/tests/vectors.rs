//! The published test vectors, bit for bit in both directions: RFC 5769 §2 and RFC 8489 Appendix B.

use super::mend_length;
use crate::wire::attribute::{Nonce, Raw, Realm, Software, Userhash, Username, XorMappedAddress};
use crate::wire::integrity::{PasswordAlgorithm, userhash};
use crate::wire::{
    AttributeType, Class, Fingerprint, HEADER_LEN, Integrity, IntegrityError, IntegrityKey, LongTermKey, Message,
    MessageWriter, Method, ParseError, TransactionId, fingerprint,
};

/// The short-term password of RFC 5769 §2.1–§2.3.
const SHORT_TERM_PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
const SHORT_TERM_ID: TransactionId =
    TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

/// The user of RFC 5769 §2.4 and RFC 8489 §B.1, and the password after OpaqueString.
const USER: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
const PASSWORD: &[u8] = b"TheMatrIX";
const REALM: &[u8] = b"example.org";
const LONG_TERM_ID: TransactionId =
    TransactionId([0x78, 0xad, 0x34, 0x33, 0xc6, 0xad, 0x72, 0xc0, 0x29, 0xda, 0x41, 0x2e]);

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn short_term_key() -> IntegrityKey {
    IntegrityKey::from_raw(Integrity::Sha1, SHORT_TERM_PASSWORD)
}

/// Writes a message as RFC 5769 prints it, bit for bit: it pads with blanks ("this is arbitrary", §2) where we send
/// zeroes, so the blanks are put in before integrity and FINGERPRINT are made.
fn assert_written(printed: &[u8], write: impl FnOnce(&mut MessageWriter<'_>)) {
    let message = Message::parse(printed).unwrap();
    let mut out = [0xff; 256];
    let mut writer = MessageWriter::new(&mut out, message.method(), message.class(), message.transaction_id()).unwrap();
    write(&mut writer);
    let len = writer.finish();
    let mut written = out[..len].to_vec();
    for (_, value) in Message::parse(&out[..len]).unwrap().attributes() {
        let padding = value.end..value.end.next_multiple_of(4);
        assert!(out[padding.clone()].iter().all(|byte| *byte == 0));
        written[padding.clone()].copy_from_slice(&printed[padding]);
    }

    let mut tag = [0; 20];
    written.extend([0x00, 0x08, 0x00, 0x14]);
    written.extend(tag);
    mend_length(&mut written);
    short_term_key().sign(written.first_chunk().unwrap(), &written[HEADER_LEN..len], &mut tag);
    written.truncate(len + 4);
    written.extend(tag);

    let crc_at = written.len();
    written.extend([0x80, 0x28, 0x00, 0x04, 0, 0, 0, 0]);
    mend_length(&mut written);
    let crc = fingerprint::value(&written[..crc_at]);
    written[crc_at + 4..].copy_from_slice(&crc);
    assert_eq!(written, printed);
}

/// C-288: RFC 5769 §2.1.
#[test]
fn rfc_5769_request() {
    let printed = bytes(
        "00 01 00 58 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
         80 22 00 10 53 54 55 4e 20 74 65 73 74 20 63 6c 69 65 6e 74
         00 24 00 04 6e 00 01 ff
         80 29 00 08 93 2f f9 b1 51 26 3b 36
         00 06 00 09 65 76 74 6a 3a 68 36 76 59 20 20 20
         00 08 00 14 9a ea a7 0c bf d8 cb 56 78 1e f2 b5 b2 d3 f2 49 c1 b5 71 a2
         80 28 00 04 e5 7a 3b cf",
    );
    let message = Message::parse(&printed).unwrap();
    assert_eq!((message.method(), message.class()), (Method::BINDING, Class::Request));
    assert_eq!(message.transaction_id(), SHORT_TERM_ID);
    assert_eq!(message.get::<Software>(), Ok(Some(Software(b"STUN test client"))));
    assert_eq!(message.get::<Username>(), Ok(Some(Username(b"evtj:h6vY"))));
    assert_eq!(message.integrity(), Some(Integrity::Sha1));
    assert_eq!(message.verify_integrity(&short_term_key()), Ok(()));
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
    assert_eq!(message.unknown_required(), [AttributeType::PRIORITY]);

    assert_written(&printed, |writer| {
        writer.put(&Software(b"STUN test client")).unwrap();
        writer.put(&Raw(AttributeType::PRIORITY, &[0x6e, 0x00, 0x01, 0xff])).unwrap();
        writer.put(&Raw(AttributeType::ICE_CONTROLLED, &[0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36])).unwrap();
        writer.put(&Username(b"evtj:h6vY")).unwrap();
    });
}

fn assert_response(printed: &[u8], mapped: &str) {
    let mapped = XorMappedAddress(mapped.parse().unwrap());
    let message = Message::parse(printed).unwrap();
    assert_eq!((message.method(), message.class()), (Method::BINDING, Class::Success));
    assert_eq!(message.transaction_id(), SHORT_TERM_ID);
    assert_eq!(message.get::<Software>(), Ok(Some(Software(b"test vector"))));
    assert_eq!(message.get::<XorMappedAddress>(), Ok(Some(mapped)));
    assert_eq!(message.verify_integrity(&short_term_key()), Ok(()));
    assert_eq!(message.fingerprint(), Fingerprint::Valid);

    assert_written(printed, |writer| {
        writer.put(&Software(b"test vector")).unwrap();
        writer.put(&mapped).unwrap();
    });
}

/// C-028, C-288: RFC 5769 §2.2.
#[test]
fn rfc_5769_ipv4_response() {
    let printed = bytes(
        "01 01 00 3c 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
         80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
         00 20 00 08 00 01 a1 47 e1 12 a6 43
         00 08 00 14 2b 91 f5 99 fd 9e 90 c3 8c 74 89 f9 2a f9 ba 53 f0 6b e7 d7
         80 28 00 04 c0 7d 4c 96",
    );
    assert_response(&printed, "192.0.2.1:32853");
}

/// C-028, C-288: RFC 5769 §2.3.
#[test]
fn rfc_5769_ipv6_response() {
    let printed = bytes(
        "01 01 00 48 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
         80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
         00 20 00 14 00 02 a1 47 01 13 a9 fa a5 d3 f1 79 bc 25 f4 b5 be d2 b9 d9
         00 08 00 14 a3 82 95 4e 4b e6 7b f1 17 84 c9 7c 82 92 c2 75 bf e3 ed 41
         80 28 00 04 c8 fb 0b 4c",
    );
    assert_response(&printed, "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
}

/// C-085, C-288: RFC 5769 §2.4. It pads with zeroes, so the writer makes exactly what is printed.
#[test]
fn rfc_5769_long_term_request() {
    let printed = bytes(
        "00 01 00 60 21 12 a4 42 78 ad 34 33 c6 ad 72 c0 29 da 41 2e
         00 06 00 12 e3 83 9e e3 83 88 e3 83 aa e3 83 83 e3 82 af e3 82 b9 00 00
         00 15 00 1c 66 2f 2f 34 39 39 6b 39 35 34 64 36 4f 4c 33 34 6f 4c 39 46 53 54 76 79 36 34 73 41
         00 14 00 0b 65 78 61 6d 70 6c 65 2e 6f 72 67 00
         00 08 00 14 f6 70 24 65 6d d6 4a 3e 02 b8 e0 71 2e 85 c9 a2 8c a8 96 66",
    );
    let key = LongTermKey::derive(PasswordAlgorithm::Md5, USER.as_bytes(), REALM, PASSWORD);
    let key = IntegrityKey::new(Integrity::Sha1, &key);
    let message = Message::parse(&printed).unwrap();
    assert_eq!(message.get::<Username>(), Ok(Some(Username(USER.as_bytes()))));
    assert_eq!(message.get::<Nonce>(), Ok(Some(Nonce(b"f//499k954d6OL34oL9FSTvy64sA"))));
    assert_eq!(message.get::<Realm>(), Ok(Some(Realm(REALM))));
    assert_eq!(message.verify_integrity(&key), Ok(()));
    assert_eq!(message.fingerprint(), Fingerprint::Absent);

    let mut out = [0xff; 128];
    let mut writer = MessageWriter::new(&mut out, Method::BINDING, Class::Request, LONG_TERM_ID).unwrap();
    writer.put(&Username(USER.as_bytes())).unwrap();
    writer.put(&Nonce(b"f//499k954d6OL34oL9FSTvy64sA")).unwrap();
    writer.put(&Realm(REALM)).unwrap();
    writer.integrity(&key).unwrap();
    let len = writer.finish();
    assert_eq!(out[..len], printed);
}

/// C-086, C-087, C-289: RFC 8489 §B.1. Its length field is printed as 0x9c, 156: the length of the whole message where
/// that of the body, 136, belongs. Such a message is refused; the HMAC, though, was made over exactly what is printed.
#[test]
fn rfc_8489_sha256_request() {
    let mut printed = bytes(
        "00 01 00 9c 21 12 a4 42 78 ad 34 33 c6 ad 72 c0 29 da 41 2e
         00 1e 00 20 4a 3c f3 8f ef 69 92 bd a9 52 c6 78 04 17 da 0f 24 81 94 15 56 9e 60 b2 05 c4 6e 41 40 7f 17 04
         00 15 00 29 6f 62 4d 61 74 4a 6f 73 32 41 41 41 43 66 2f 2f 34 39 39 6b 39 35 34 64 36 4f 4c 33 34 6f 4c 39
                     46 53 54 76 79 36 34 73 41 00 00 00
         00 14 00 0b 65 78 61 6d 70 6c 65 2e 6f 72 67 00
         00 1c 00 20 e4 68 6c 8f 0e de b5 90 13 e0 70 90 01 0a 93 ef cc bc cc 54 4c 0a 45 d9 f8 30 aa 6d 6f 73 5a 01",
    );
    let nonce: &[u8] = b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA";
    let hash = userhash(USER.as_bytes(), REALM);
    // The RFC does not say which algorithm the key was derived with; only SHA-256 fits.
    let key = LongTermKey::derive(PasswordAlgorithm::Sha256, USER.as_bytes(), REALM, PASSWORD);
    let key = IntegrityKey::new(Integrity::Sha256, &key);
    assert_eq!(Message::parse(&printed).unwrap_err(), ParseError::BadLength);

    let integrity_at = printed.len() - 36;
    let header: [u8; HEADER_LEN] = printed[..HEADER_LEN].try_into().unwrap();
    assert!(key.verify(&header, &printed[HEADER_LEN..integrity_at], &printed[integrity_at + 4..]));

    printed[3] = 0x88;
    let message = Message::parse(&printed).unwrap();
    assert_eq!(message.get::<Userhash>(), Ok(Some(Userhash(&hash))));
    assert_eq!(message.get::<Nonce>(), Ok(Some(Nonce(nonce))));
    assert_eq!(message.get::<Realm>(), Ok(Some(Realm(REALM))));
    assert_eq!(message.integrity(), Some(Integrity::Sha256));
    assert_eq!(message.verify_integrity(&key), Err(IntegrityError::Mismatch));

    let mut out = [0xff; 256];
    let mut writer = MessageWriter::new(&mut out, Method::BINDING, Class::Request, LONG_TERM_ID).unwrap();
    writer.put(&Userhash(&hash)).unwrap();
    writer.put(&Nonce(nonce)).unwrap();
    writer.put(&Realm(REALM)).unwrap();
    writer.integrity(&key).unwrap();
    let len = writer.finish();
    assert_eq!(out[..len - 32], printed[..printed.len() - 32]);
    assert_eq!(Message::parse(&out[..len]).unwrap().verify_integrity(&key), Ok(()));
}
