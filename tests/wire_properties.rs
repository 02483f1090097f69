//! What holds for every message and for every sequence of bytes.

#[path = "wire/any.rs"]
mod any;
#[path = "wire/damage.rs"]
mod damage;

use std::ops::Range;

use any::{Any, Seal, Written, attribute, key, message};
use damage::{bytes_of, datagram, mend_length};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use turnkeep::wire::attribute::*;
use turnkeep::wire::message::{MAX_ATTRIBUTES, MAX_UNKNOWN};
use turnkeep::wire::writer::DATA_FRONT_MAX;
use turnkeep::wire::{
    ChannelData, ChannelNumber, Class, DataFront, Fingerprint, Integrity, Message, MessageWriter, Method,
    TransactionId, channel_data, classify, data_indication_front,
};

proptest! {
    /// What is written is read back, and nothing else is there (RFC 8489 §5, §14).
    #[test]
    fn a_message_round_trips(written in message()) {
        let bytes = written.bytes();
        let message = Message::parse(&bytes).expect("what we write is valid");
        prop_assert_eq!(message.method(), written.method);
        prop_assert_eq!(message.class(), written.class);
        prop_assert_eq!(message.transaction_id(), written.transaction_id);

        let types: Vec<_> = written.attributes.iter().map(Any::attribute_type).collect();
        for (index, attribute) in written.attributes.iter().enumerate() {
            // C-026: a later one of the same type does not count.
            if !types[..index].contains(&types[index]) {
                attribute.assert_is_first(&message);
            }
        }
        for absent in AttributeType::REGISTERED.iter().filter(|attribute| !types.contains(attribute)) {
            prop_assert_eq!(message.has(*absent), is_sealed_with(&written, *absent), "{}", absent);
        }
        let walked: Vec<_> = message.attributes().map(|(attribute, _)| attribute).collect();
        prop_assert_eq!(&walked[..types.len()], &types);
    }

    /// C-080, C-084, C-012: the seal holds, and the stronger integrity decides.
    #[test]
    fn a_seal_is_confirmed(written in message()) {
        let bytes = written.bytes();
        let message = Message::parse(&bytes).expect("what we write is valid");
        let expected = match written.seal {
            Seal { sha256: true, .. } => Some(Integrity::Sha256),
            Seal { sha1: true, .. } => Some(Integrity::Sha1),
            _ => None,
        };
        prop_assert_eq!(message.integrity(), expected);
        if let Some(integrity) = expected {
            prop_assert_eq!(message.verify_integrity(&key(integrity)), Ok(()));
        }
        let fingerprint = if written.seal.fingerprint { Fingerprint::Valid } else { Fingerprint::Absent };
        prop_assert_eq!(message.fingerprint(), fingerprint);
    }

    /// C-025, and A-121: no bit of the buffer's old content gets out.
    #[test]
    fn old_bytes_do_not_get_out(written in message()) {
        let clean = Written { dirt: 0, ..written.clone() };
        prop_assert_eq!(written.bytes(), clean.bytes());
    }

    /// A change of any single bit up to the end of the integrity attribute is noticed (RFC 8489 §14.5, §14.6).
    #[test]
    fn a_flipped_bit_breaks_integrity(written in message(), sha256: bool, bit: Index) {
        let written = Written { seal: Seal { sha1: !sha256, sha256, fingerprint: false }, ..written };
        let mut bytes = written.bytes();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let integrity = if sha256 { Integrity::Sha256 } else { Integrity::Sha1 };
        let confirmed = Message::parse(&bytes).is_ok_and(|message| message.verify_integrity(&key(integrity)).is_ok());
        prop_assert!(!confirmed, "bit {} of byte {}", bit % 8, bit / 8);
    }

    /// A change of any single bit is noticed by FINGERPRINT, or has taken it away (RFC 8489 §14.7).
    #[test]
    fn a_flipped_bit_breaks_the_fingerprint(written in message(), bit: Index) {
        let written = Written { seal: Seal { fingerprint: true, ..written.seal }, ..written };
        let mut bytes = written.bytes();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let valid = Message::parse(&bytes).is_ok_and(|message| message.fingerprint() == Fingerprint::Valid);
        prop_assert!(!valid, "bit {} of byte {}", bit % 8, bit / 8);
    }

    /// C-013, C-091, C-092, and A-095: what is appended behind integrity or FINGERPRINT changes nothing.
    #[test]
    fn appended_attributes_change_nothing(written in message(), seal in signed(), appended in vec(attribute(), 1..5)) {
        let original = Written { seal, ..written }.bytes();
        let before = Message::parse(&original).expect("what we write is valid");

        let mut tampered = original.clone();
        tampered.extend(bytes_of(&appended));
        mend_length(&mut tampered);
        let after = Message::parse(&tampered).expect("the attributes are whole");

        prop_assert_eq!(after.unknown_required(), before.unknown_required());
        prop_assert_eq!(after.integrity(), before.integrity());
        let integrity = before.integrity().expect("it is sealed");
        prop_assert_eq!(after.verify_integrity(&key(integrity)), Ok(()));
        prop_assert_eq!(after.fingerprint(), Fingerprint::Absent);
        for number in every_type() {
            prop_assert_eq!(after.range_of(number), before.range_of(number), "{}", number);
        }
        let peers = |message: &Message<'_>| message.all::<XorPeerAddress>().collect::<Vec<_>>();
        prop_assert_eq!(peers(&after), peers(&before));
    }

    /// The index agrees with a reader that keeps everything in lists.
    #[test]
    fn the_index_agrees_with_a_plain_reader(datagram in datagram()) {
        let expected = plain::read(&datagram);
        let message = Message::parse(&datagram);
        prop_assert_eq!(message.is_ok(), expected.is_some());
        let (Ok(message), Some(expected)) = (message, expected) else {
            return Ok(());
        };
        prop_assert_eq!(message.attributes().collect::<Vec<_>>(), expected.all.clone());
        let counted = expected.counted();
        for number in every_type().chain(expected.all.iter().map(|(number, _)| *number)) {
            let first = counted.iter().find(|(found, _)| *found == number).map(|(_, range)| range.clone());
            prop_assert_eq!(message.has(number), first.is_some());
            prop_assert_eq!(message.range_of(number), first);
        }
        prop_assert_eq!(message.unknown_required(), plain::unknown_required(&counted));
        let lifetimes = counted.iter().filter(|(number, _)| *number == AttributeType::LIFETIME).count();
        prop_assert_eq!(message.all::<Lifetime>().count(), lifetimes);
    }

    /// No bytes make the reader panic, and every range lies within the datagram.
    #[test]
    fn any_bytes_can_be_read(bytes in vec(any::<u8>(), 0..600)) {
        read_everything(&bytes);
    }

    /// The same for what is nearly a message.
    #[test]
    fn nearly_messages_can_be_read(datagram in datagram()) {
        read_everything(&datagram);
    }

    /// C-217, C-220–C-222: RFC 8656 §12.4–§12.6.
    #[test]
    fn channel_data_round_trips(
        number in 0x4000..=0x4FFF_u16,
        payload in vec(any::<u8>(), 0..2000),
        behind in 0..9_usize,
    ) {
        let number = ChannelNumber::new(number).expect("in range");
        let len = u16::try_from(payload.len()).expect("short");
        let datagram = [&channel_data::header(number, len)[..], &payload, &vec![0xFF; behind]].concat();
        let read = ChannelData::parse(&datagram).expect("what we write is valid");
        prop_assert_eq!(read.number, number);
        prop_assert_eq!(&datagram[read.payload], &payload);
    }

    /// C-191: RFC 8656 §11.4; the front with payload and padding is what the writer makes.
    #[test]
    fn a_data_front_is_a_message(
        peer: std::net::SocketAddr,
        id: [u8; 12],
        payload in vec(any::<u8>(), 0..2000),
        dirt: u8,
    ) {
        let id = TransactionId(id);
        let mut front = [dirt; DATA_FRONT_MAX];
        let DataFront { len, padding } = data_indication_front(&mut front, id, peer, payload.len()).expect("short");
        let datagram = [&front[..len], &payload, &[0; 3][..padding]].concat();

        let mut out = vec![dirt; 2100];
        let mut writer = MessageWriter::new(&mut out, Method::DATA, Class::Indication, id).expect("room");
        writer.put(&XorPeerAddress(peer)).expect("room");
        writer.put(&Data(&payload)).expect("room");
        let end = writer.finish();
        prop_assert_eq!(&datagram, &out[..end]);
        let message = Message::parse(&datagram).expect("what we write is valid");
        prop_assert_eq!(message.range_of(AttributeType::DATA), Some(len..len + payload.len()));
    }
}

/// Integrity of one kind or both, without FINGERPRINT.
fn signed() -> impl Strategy<Value = Seal> {
    prop_oneof![Just((true, false)), Just((false, true)), Just((true, true))].prop_map(|(sha1, sha256)| Seal {
        sha1,
        sha256,
        fingerprint: false,
    })
}

fn is_sealed_with(written: &Written, attribute: AttributeType) -> bool {
    match attribute {
        AttributeType::MESSAGE_INTEGRITY => written.seal.sha1,
        AttributeType::MESSAGE_INTEGRITY_SHA256 => written.seal.sha256,
        AttributeType::FINGERPRINT => written.seal.fingerprint,
        _ => false,
    }
}

/// Every registered type, and some that are not.
fn every_type() -> impl Iterator<Item = AttributeType> {
    let others = [0x0000, 0x7000, 0x7FFF, 0xC000, 0xFFFF].map(AttributeType);
    AttributeType::REGISTERED.iter().copied().chain(others)
}

/// Calls whatever can be called.
fn read_everything(datagram: &[u8]) {
    let within = |range: &Range<usize>| assert!(range.start <= range.end && range.end <= datagram.len());
    let _ = classify(datagram);
    if let Ok(data) = ChannelData::parse(datagram) {
        within(&data.payload);
    }
    let Ok(message) = Message::parse(datagram) else {
        return;
    };
    message.attributes().for_each(|(_, range)| within(&range));
    every_type().filter_map(|number| message.range_of(number)).for_each(|range| within(&range));
    assert!(message.unknown_required().len() <= MAX_UNKNOWN);
    let _ = (message.class(), message.method(), message.transaction_id(), message.fingerprint());
    let _ = format!("{message:?}");
    for integrity in [Integrity::Sha1, Integrity::Sha256] {
        // Nobody can guess a MAC; whether it was left whole is for other properties to say.
        let _ = message.verify_integrity(&key(integrity));
    }
    macro_rules! get {
        ($($attribute:ty),+ $(,)?) => {
            $(
                if let Ok(Some(attribute)) = message.get::<$attribute>() {
                    assert!(!format!("{attribute:?}").is_empty());
                    assert_eq!(attribute.attribute_type(), <$attribute>::TYPE);
                }
                let _ = message.all::<$attribute>().count();
            )+
        };
    }
    get!(
        MappedAddress,
        XorMappedAddress,
        XorPeerAddress,
        XorRelayedAddress,
        AlternateServer,
        Username<'_>,
        Realm<'_>,
        Nonce<'_>,
        Software<'_>,
        AlternateDomain<'_>,
        Userhash<'_>,
        ErrorCode<'_>,
        AddressErrorCode<'_>,
        UnknownAttributes<'_>,
        PasswordAlgorithms<'_>,
        PasswordAlgorithmAttribute<'_>,
        ChannelNumberAttribute,
        Lifetime,
        Data<'_>,
        RequestedAddressFamily,
        AdditionalAddressFamily,
        EvenPort,
        RequestedTransport,
        DontFragment,
        ReservationToken,
        Icmp,
        ConnectionId,
        MobilityTicket<'_>,
        AccessToken<'_>,
        ThirdPartyAuthorization<'_>,
    );
}

/// The rules once more, in the plainest way: lists, indices, no index of first occurrences.
mod plain {
    use super::*;

    type Attributes = Vec<(AttributeType, Range<usize>)>;

    pub(crate) struct Plain {
        pub(crate) all: Attributes,
    }

    /// RFC 8489 §5, §6.3, §14.
    pub(crate) fn read(datagram: &[u8]) -> Option<Plain> {
        let word = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
        if datagram.len() < 20 || !datagram.len().is_multiple_of(4) || datagram[0] >= 0x40 {
            return None;
        }
        if usize::from(word(2)) != datagram.len() - 20 || datagram[4..8] != [0x21, 0x12, 0xA4, 0x42] {
            return None;
        }
        let mut all = Vec::new();
        let mut at = 20;
        while at < datagram.len() {
            let value = at + 4..at + 4 + usize::from(word(at + 2));
            if value.end > datagram.len() {
                return None;
            }
            all.push((AttributeType(word(at)), value.clone()));
            at = value.end.div_ceil(4) * 4;
        }
        (all.len() <= MAX_ATTRIBUTES).then_some(Plain { all })
    }

    impl Plain {
        /// RFC 8489 §9, §14.7: FINGERPRINT counts if none was before it, MESSAGE-INTEGRITY-SHA256 if neither it nor
        /// FINGERPRINT was, everything else if none of the three was.
        pub(crate) fn counted(&self) -> Attributes {
            let before = |index: usize, number| self.all[..index].iter().any(|(found, _)| *found == number);
            let counts = |index: usize| {
                let fingerprint = before(index, AttributeType::FINGERPRINT);
                let sha256 = before(index, AttributeType::MESSAGE_INTEGRITY_SHA256);
                let sha1 = before(index, AttributeType::MESSAGE_INTEGRITY);
                match self.all[index].0 {
                    AttributeType::FINGERPRINT => !fingerprint,
                    AttributeType::MESSAGE_INTEGRITY_SHA256 => !fingerprint && !sha256,
                    _ => !fingerprint && !sha256 && !sha1,
                }
            };
            (0..self.all.len()).filter(|index| counts(*index)).map(|index| self.all[index].clone()).collect()
        }
    }

    /// RFC 8489 §6.3.1, bounded.
    pub(crate) fn unknown_required(counted: &Attributes) -> Vec<AttributeType> {
        let mut unknown = Vec::new();
        for (number, _) in counted {
            if number.0 < 0x8000 && !number.is_understood() && !unknown.contains(number) && unknown.len() < 16 {
                unknown.push(*number);
            }
        }
        unknown
    }
}

/// RFC 8489 §14: a value has up to 65,535 bytes, and the message up to 65,532.
#[test]
fn the_longest_value_round_trips() {
    let value = vec![7; 65_528];
    let mut out = vec![0xFF; 65_600];
    let id = TransactionId([1; 12]);
    let mut writer = MessageWriter::new(&mut out, Method::SEND, Class::Indication, id).expect("room");
    writer.put(&Data(&value)).expect("room");
    let len = writer.finish();
    let message = Message::parse(&out[..len]).expect("what we write is valid");
    assert_eq!(message.get(), Ok(Some(Data(&value))));
}
