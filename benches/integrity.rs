//! Signing and checking a request of about 150 bytes, with the HMAC's key taken in once and cloned, and with it taken
//! in each time; beside them the other codecs. What policy does once a credential, deriving the key, has rows of its
//! own.

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use stun::message::{Message as StunMessage, Setter as _};
use stun_types::message::{LongTermKeyCredentials, Message as StunTypesMessage};
use support::{ID, NONCE, PASSWORD, REALM, USER, key};
use turnkeep::wire::attribute::{Nonce, Realm, RequestedTransport, Username};
use turnkeep::wire::{Class, Integrity, IntegrityKey, LongTermKey, Message, MessageWriter, Method, PasswordAlgorithm};

const ALL: [(Integrity, PasswordAlgorithm, &str); 2] = [
    (Integrity::Sha1, PasswordAlgorithm::Md5, "MESSAGE-INTEGRITY"),
    (Integrity::Sha256, PasswordAlgorithm::Sha256, "MESSAGE-INTEGRITY-SHA256"),
];

fn start(out: &mut [u8]) -> MessageWriter<'_> {
    let mut writer = MessageWriter::new(out, Method::ALLOCATE, Class::Request, ID).expect("there is room");
    let put = writer
        .put(&RequestedTransport::UDP)
        .and_then(|()| writer.put(&Username(black_box(USER.as_bytes()))))
        .and_then(|()| writer.put(&Realm(REALM.as_bytes())))
        .and_then(|()| writer.put(&Nonce(black_box(NONCE))));
    put.expect("there is room");
    writer
}

fn signed(key: &IntegrityKey) -> Vec<u8> {
    let mut out = vec![0; 512];
    let mut writer = start(&mut out);
    writer.integrity(key).expect("there is room");
    let len = writer.finish();
    out.truncate(len);
    out
}

fn verify(criterion: &mut Criterion) {
    for (integrity, algorithm, name) in ALL {
        let mut group = criterion.benchmark_group(format!("verify {name}"));
        let (long_term, cached) = (key(algorithm), IntegrityKey::new(integrity, &key(algorithm)));
        let datagram = signed(&cached);
        let message = Message::parse(&datagram).expect("well-formed");
        assert_eq!(message.verify_integrity(&cached), Ok(()));
        group.bench_function("turnkeep, key kept", |bencher| {
            bencher.iter(|| black_box(&message).verify_integrity(&cached));
        });
        group.bench_function("turnkeep, key taken in", |bencher| {
            bencher.iter(|| black_box(&message).verify_integrity(&IntegrityKey::new(integrity, &long_term)));
        });

        let credentials = LongTermKeyCredentials::new(USER.to_owned(), PASSWORD.to_owned(), REALM.to_owned());
        let their_key = credentials.make_key(match integrity {
            Integrity::Sha1 => stun_types::message::IntegrityAlgorithm::Sha1,
            Integrity::Sha256 => stun_types::message::IntegrityAlgorithm::Sha256,
        });
        let their = StunTypesMessage::from_bytes(&datagram).expect("well-formed");
        assert!(their.validate_integrity_with_key(&their_key).is_ok());
        group.bench_function("stun-types, key kept", |bencher| {
            bencher.iter(|| black_box(&their).validate_integrity_with_key(&their_key));
        });

        if integrity == Integrity::Sha1 {
            let mut their = StunMessage::new();
            their.unmarshal_binary(&datagram).expect("well-formed");
            let checker = stun_integrity();
            checker.check(&mut their).expect("signed");
            group.bench_function("stun", |bencher| bencher.iter(|| checker.check(black_box(&mut their))));
        }
        group.finish();
    }
}

fn sign(criterion: &mut Criterion) {
    for (integrity, algorithm, name) in ALL {
        let mut group = criterion.benchmark_group(format!("sign {name}"));
        let (long_term, cached) = (key(algorithm), IntegrityKey::new(integrity, &key(algorithm)));
        let out = &mut [0; 512];
        group.bench_function("turnkeep, unsigned", |bencher| bencher.iter(|| start(black_box(out)).finish()));
        group.bench_function("turnkeep, key kept", |bencher| {
            bencher.iter(|| {
                let mut writer = start(black_box(out));
                writer.integrity(&cached).map(|()| writer.finish())
            });
        });
        group.bench_function("turnkeep, key taken in", |bencher| {
            bencher.iter(|| {
                let mut writer = start(black_box(out));
                writer.integrity(&IntegrityKey::new(integrity, &long_term)).map(|()| writer.finish())
            });
        });
        if integrity == Integrity::Sha1 {
            let unsigned = start(out).finish();
            let mut their = StunMessage::new();
            their.unmarshal_binary(&out[..unsigned]).expect("well-formed");
            let signer = stun_integrity();
            group.bench_function("stun, with a copy of the message", |bencher| {
                bencher.iter(|| {
                    let mut message = black_box(&their).clone();
                    signer.add_to(&mut message).map(|()| message)
                });
            });
        }
        group.finish();
    }
}

fn derive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("derive the long-term key");
    for (algorithm, name) in [(PasswordAlgorithm::Md5, "MD5"), (PasswordAlgorithm::Sha256, "SHA-256")] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                LongTermKey::derive(algorithm, black_box(USER.as_bytes()), REALM.as_bytes(), PASSWORD.as_bytes())
            });
        });
    }
    group.finish();
}

fn stun_integrity() -> stun::integrity::MessageIntegrity {
    stun::integrity::MessageIntegrity::new_long_term_integrity(USER.to_owned(), REALM.to_owned(), PASSWORD.to_owned())
}

fn quick() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group!(name = benches; config = quick(); targets = verify, sign, derive);
criterion_main!(benches);
