//! Reading and writing whole messages: each row reads, or writes, the same attributes of the same bytes. `stun` is
//! webrtc-rs' codec, with `turn`'s attributes; `stun-types` has none of TURN's, so they are read as raw bytes there.

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use stun::attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME};
use stun::error_code::ErrorCodeAttribute;
use stun::message::{Getter as _, Message as StunMessage, Setter as _};
use stun::textattrs::TextAttribute;
use stun_types::attribute as st;
use stun_types::message::{Message as StunTypesMessage, MessageWrite as _, MessageWriteExt as _, MessageWriteMutSlice};
use support::{ID, MAPPED, NONCE, REALM, RELAYED, write_success, write_unauthenticated};
use turn::proto::{data, lifetime, peeraddr, relayaddr, reqtrans};
use turnkeep::wire::attribute::{
    AttributeType, ErrorCode, Nonce, PasswordAlgorithms, Realm, RequestedTransport, Username, XorPeerAddress,
};
use turnkeep::wire::{ChannelData, Class, Fingerprint, Message, MessageWriter, Method};

fn read_allocate(criterion: &mut Criterion) {
    let datagram = support::allocate(NONCE);
    let mut group = criterion.benchmark_group("read an Allocate request");
    group.bench_function("turnkeep", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(&datagram)).ok()?;
            let known = message.unknown_required().is_empty() && message.fingerprint() == Fingerprint::Absent;
            let username = message.get::<Username<'_>>().ok()??.0;
            let realm = message.get::<Realm<'_>>().ok()??.0;
            let nonce = message.get::<Nonce<'_>>().ok()??.0;
            black_box([username, realm, nonce]);
            Some((known, message.get::<RequestedTransport>()))
        });
    });
    group.bench_function("stun", |bencher| {
        bencher.iter(|| {
            let mut message = StunMessage::new();
            message.unmarshal_binary(black_box(&datagram)).ok()?;
            let texts = [ATTR_USERNAME, ATTR_REALM, ATTR_NONCE];
            let [username, realm, nonce] = texts.map(|text| TextAttribute::get_from_as(&message, text).ok());
            let mut transport = reqtrans::RequestedTransport::default();
            transport.get_from(&message).ok()?;
            Some((username?, realm?, nonce?, transport))
        });
    });
    group.bench_function("stun-types", |bencher| {
        bencher.iter(|| {
            let message = StunTypesMessage::from_bytes(black_box(&datagram)).ok()?;
            let username = message.attribute::<st::Username>().ok()?;
            let realm = message.attribute::<st::Realm>().ok()?;
            let nonce = message.attribute::<st::Nonce>().ok()?;
            let transport = message.raw_attribute(AttributeType::REQUESTED_TRANSPORT.0.into())?.value[0];
            Some((username, realm, nonce, transport))
        });
    });
    group.finish();
}

fn read_send(criterion: &mut Criterion) {
    let datagram = support::send_indication(RELAYED);
    let mut group = criterion.benchmark_group("read a Send indication");
    group.bench_function("turnkeep", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(&datagram)).ok()?;
            let known = message.unknown_required().is_empty() && message.fingerprint() == Fingerprint::Absent;
            Some((known, message.get::<XorPeerAddress>().ok()??, message.range_of(AttributeType::DATA)?))
        });
    });
    group.bench_function("stun", |bencher| {
        bencher.iter(|| {
            let mut message = StunMessage::new();
            message.unmarshal_binary(black_box(&datagram)).ok()?;
            let (mut peer, mut data) = (peeraddr::PeerAddress::default(), data::Data::default());
            peer.get_from(&message).ok()?;
            data.get_from(&message).ok()?;
            Some((peer, data))
        });
    });
    group.bench_function("stun-types", |bencher| {
        bencher.iter(|| {
            let message = StunTypesMessage::from_bytes(black_box(&datagram)).ok()?;
            let peer = message.raw_attribute(AttributeType::XOR_PEER_ADDRESS.0.into())?;
            let peer = st::XorSocketAddr::from_raw(&peer).ok()?.addr(message.transaction_id());
            let data = message.raw_attribute(AttributeType::DATA.0.into())?.value.len();
            Some((peer, data))
        });
    });
    group.finish();
}

fn read_unauthenticated(criterion: &mut Criterion) {
    let datagram = support::unauthenticated();
    let mut group = criterion.benchmark_group("read a 401");
    group.bench_function("turnkeep", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(&datagram)).ok()?;
            let error = message.get::<ErrorCode<'_>>().ok()??.code;
            let realm = message.get::<Realm<'_>>().ok()??.0.len();
            let nonce = message.get::<Nonce<'_>>().ok()??.0.len();
            Some((error, realm, nonce, message.get::<PasswordAlgorithms<'_>>().ok()??.as_bytes().len()))
        });
    });
    group.bench_function("stun", |bencher| {
        bencher.iter(|| {
            let mut message = StunMessage::new();
            message.unmarshal_binary(black_box(&datagram)).ok()?;
            let mut error = ErrorCodeAttribute::default();
            error.get_from(&message).ok()?;
            let [realm, nonce] = [ATTR_REALM, ATTR_NONCE].map(|text| TextAttribute::get_from_as(&message, text).ok());
            let algorithms = message.get(stun::attributes::AttrType(AttributeType::PASSWORD_ALGORITHMS.0)).ok()?;
            Some((error.code.0, realm?, nonce?, algorithms))
        });
    });
    group.bench_function("stun-types", |bencher| {
        bencher.iter(|| {
            let message = StunTypesMessage::from_bytes(black_box(&datagram)).ok()?;
            let error = message.attribute::<st::ErrorCode>().ok()?;
            let realm = message.attribute::<st::Realm>().ok()?;
            let nonce = message.attribute::<st::Nonce>().ok()?;
            Some((error, realm, nonce, message.attribute::<st::PasswordAlgorithms>().ok()?))
        });
    });
    group.finish();
}

fn write_allocate_success(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write an Allocate success response");
    let out = &mut [0; 512];
    group.bench_function("turnkeep", |bencher| {
        bencher.iter(|| {
            let mut writer = MessageWriter::new(black_box(out), Method::ALLOCATE, Class::Success, black_box(ID))?;
            write_success(&mut writer, black_box(RELAYED), black_box(MAPPED)).map(|()| writer.finish())
        });
    });
    group.bench_function("stun", |bencher| {
        bencher.iter(|| {
            let (relayed, mapped) = (black_box(RELAYED), black_box(MAPPED));
            let mut message = started(stun::message::CLASS_SUCCESS_RESPONSE);
            relayaddr::RelayedAddress { ip: relayed.ip(), port: relayed.port() }.add_to(&mut message)?;
            lifetime::Lifetime(Duration::from_secs(600)).add_to(&mut message)?;
            stun::xoraddr::XorMappedAddress { ip: mapped.ip(), port: mapped.port() }.add_to(&mut message)?;
            Ok::<_, stun::Error>(message)
        });
    });
    group.finish();
}

fn write_401(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write a 401");
    let out = &mut [0; 512];
    group.bench_function("turnkeep", |bencher| {
        bencher.iter(|| {
            let mut writer = MessageWriter::new(black_box(out), Method::ALLOCATE, Class::Error, black_box(ID))?;
            write_unauthenticated(&mut writer, black_box(NONCE)).map(|()| writer.finish())
        });
    });
    let nonce = std::str::from_utf8(NONCE).expect("ASCII");
    group.bench_function("stun", |bencher| {
        bencher.iter(|| {
            let mut message = started(stun::message::CLASS_ERROR_RESPONSE);
            stun::error_code::CODE_UNAUTHORIZED.add_to(&mut message)?;
            TextAttribute::new(ATTR_REALM, black_box(REALM).to_owned()).add_to(&mut message)?;
            TextAttribute::new(ATTR_NONCE, black_box(nonce).to_owned()).add_to(&mut message)?;
            let list = PasswordAlgorithms::SHA256_THEN_MD5.as_bytes();
            message.add(stun::attributes::AttrType(AttributeType::PASSWORD_ALGORITHMS.0), list);
            Ok::<_, stun::Error>(message)
        });
    });
    let request = support::message(Method::ALLOCATE, Class::Request, |_| Ok(()));
    let request = StunTypesMessage::from_bytes(&request).expect("well-formed");
    group.bench_function("stun-types", |bencher| {
        bencher.iter(|| {
            let mut writer = StunTypesMessage::builder_error(&request, MessageWriteMutSlice::new(black_box(out)));
            writer.add_attribute(&st::ErrorCode::builder(401).build()?)?;
            writer.add_attribute(&st::Realm::new(black_box(REALM))?)?;
            writer.add_attribute(&st::Nonce::new(black_box(nonce))?)?;
            let list = [st::PasswordAlgorithmValue::SHA256, st::PasswordAlgorithmValue::MD5];
            writer.add_attribute(&st::PasswordAlgorithms::new(&list))?;
            Ok::<_, stun_types::message::StunWriteError>(writer.finish())
        });
    });
    group.finish();
}

fn started(class: stun::message::MessageClass) -> StunMessage {
    let mut message = StunMessage::new();
    message.transaction_id = stun::agent::TransactionId(ID.0);
    message.set_type(stun::message::MessageType::new(stun::message::METHOD_ALLOCATE, class));
    message.write_header();
    message
}

fn read_channel_data(criterion: &mut Criterion) {
    let datagram = support::channel_data();
    let mut group = criterion.benchmark_group("read ChannelData");
    group.bench_function("turnkeep", |bencher| bencher.iter(|| ChannelData::parse(black_box(&datagram))));
    group.bench_function("turn", |bencher| {
        let mut data = turn::proto::chandata::ChannelData { raw: datagram.clone(), ..Default::default() };
        bencher.iter(|| black_box(&mut data).decode());
    });
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group!(
    name = benches;
    config = quick();
    targets = read_allocate, read_send, read_unauthenticated, read_channel_data, write_allocate_success, write_401
);
criterion_main!(benches);
