//! Requests of a client that knows the password, with the flaws that the fuzzer asks for.

use std::net::{Ipv6Addr, SocketAddr};

use turnkeep::wire::attribute::{
    AttributeType, Encode, Nonce, PasswordAlgorithmAttribute, PasswordAlgorithms, Raw, Realm, Username, XorPeerAddress,
};
use turnkeep::wire::header::TransactionId;
use turnkeep::wire::{
    BufferFull, Class, Integrity, IntegrityKey, LongTermKey, MessageWriter, Method, PasswordAlgorithm,
};

use super::input::Input;
use super::sans_io::{REALM, password_of};

/// An attribute, encoded.
pub(super) type Attribute = (AttributeType, Vec<u8>);

/// Encodes an attribute.
pub(super) fn attribute(attribute: &impl Encode, id: TransactionId) -> Attribute {
    let mut value = vec![0; attribute.value_len()];
    attribute.encode_value(&mut value, &id);
    (attribute.attribute_type(), value)
}

/// Peers: several ports of one host, hosts of both families, one that policy denies, one with few ports, one without a
/// port, and one that is a relayed address.
pub(super) const PEERS: [&str; 10] = [
    "192.0.2.77:5000",
    "192.0.2.77:5001",
    "192.0.2.78:5000",
    "[2001:db8:77::1]:5000",
    "[2001:db8:77::2]:5000",
    "10.66.0.1:5000",
    "10.67.0.1:50000",
    "10.67.0.1:80",
    "192.0.2.79:0",
    "198.51.100.1:50001",
];

pub(super) fn peer(input: &mut Input<'_>) -> SocketAddr {
    input.pick(&PEERS).parse().expect("written above")
}

/// Any attribute: one that the method may use, one with a value of the fuzzer's, or one of its own invention.
pub(super) fn any_attribute(input: &mut Input<'_>, id: TransactionId) -> Attribute {
    let of_four = |attribute, first| (attribute, vec![first, 0, 0, 0]);
    match input.u8() % 12 {
        0 => attribute(&XorPeerAddress(peer(input)), id),
        1 => (AttributeType::LIFETIME, input.pick(&[0, 1, 599, 600, 601, 3600, u32::MAX]).to_be_bytes().to_vec()),
        2 => of_four(AttributeType::REQUESTED_ADDRESS_FAMILY, input.u8() % 4),
        3 => of_four(AttributeType::ADDITIONAL_ADDRESS_FAMILY, input.u8() % 4),
        4 => of_four(AttributeType::REQUESTED_TRANSPORT, input.u8()),
        5 => (AttributeType::EVEN_PORT, vec![input.u8()]),
        6 => (AttributeType::RESERVATION_TOKEN, input.take(8).to_vec()),
        7 => (AttributeType::DONT_FRAGMENT, Vec::new()),
        8 => (AttributeType::CHANNEL_NUMBER, [&input.u16().to_be_bytes()[..], &[0, 0]].concat()),
        9 => {
            let anywhere = SocketAddr::from((Ipv6Addr::from_bits(u128::from(input.u32()) << 96 | 1), input.u16()));
            attribute(&XorPeerAddress(anywhere), id)
        }
        10 => {
            let len = usize::from(input.u8() % 40);
            (input.pick(AttributeType::REGISTERED), input.take(len).to_vec())
        }
        _ => {
            let (number, len) = (input.u16(), usize::from(input.u8()));
            (AttributeType(number), input.take(len).to_vec())
        }
    }
}

/// Who asks.
pub(super) struct Sender<'a> {
    pub(super) user: &'a str,
    pub(super) nonce: &'a [u8],
}

impl Sender<'_> {
    /// A request as it should be, but for what the rest of the input says.
    pub(super) fn request(
        &self,
        id: TransactionId,
        method: Method,
        attributes: &[Attribute],
        input: &mut Input<'_>,
    ) -> Vec<u8> {
        let class = if input.happens(8) { Class::Indication } else { Class::Request };
        let mut out = vec![0; 4096];
        let mut writer = MessageWriter::new(&mut out, method, class, id).expect("there is room");
        // Where something does not fit it is left out: that is a flaw, too.
        let _all_fit = self.write(&mut writer, attributes, input);
        let len = writer.finish();
        out.truncate(len);
        mutate(&mut out, input);
        out
    }

    fn write(
        &self,
        writer: &mut MessageWriter<'_>,
        attributes: &[Attribute],
        input: &mut Input<'_>,
    ) -> Result<(), BufferFull> {
        for (attribute, value) in attributes {
            writer.put(&Raw(*attribute, value))?;
        }
        if !input.happens(8) {
            let scheme = Scheme::choose(input);
            self.sign(writer, scheme, Flaw::choose(input))?;
        }
        // Behind integrity nothing counts.
        if input.happens(16) {
            let (attribute, value) = any_attribute(input, TransactionId([0; 12]));
            writer.put(&Raw(attribute, &value))?;
        }
        if input.happens(64) { writer.fingerprint() } else { Ok(()) }
    }

    fn sign(&self, writer: &mut MessageWriter<'_>, scheme: Scheme, flaw: Flaw) -> Result<(), BufferFull> {
        let user = if flaw == Flaw::OtherUser { "mallory" } else { self.user };
        let realm = if flaw == Flaw::WrongRealm { "example.com" } else { REALM };
        let nonce = if flaw == Flaw::WrongNonce { b"obMatJos2gAAA of our own invention" } else { self.nonce };
        let mut password = password_of(self.user);
        if flaw == Flaw::WrongPassword {
            password.push('?');
        }
        if flaw != Flaw::NoUsername {
            writer.put(&Username(user.as_bytes()))?;
        }
        if flaw != Flaw::NoRealm {
            writer.put(&Realm(realm.as_bytes()))?;
        }
        if flaw != Flaw::NoNonce {
            writer.put(&Nonce(nonce))?;
        }
        if scheme.offers {
            let reversed = PasswordAlgorithms::from_bytes(&[0, 1, 0, 0, 0, 2, 0, 0]).expect("well-formed");
            let list = if flaw == Flaw::OtherList { reversed } else { PasswordAlgorithms::SHA256_THEN_MD5 };
            writer.put(&list)?;
        }
        if let Some(number) = scheme.chosen {
            writer.put(&PasswordAlgorithmAttribute { number, parameters: &[] })?;
        }
        let key = LongTermKey::derive(scheme.key, user.as_bytes(), realm.as_bytes(), password.as_bytes());
        scheme.integrity.iter().try_for_each(|integrity| writer.integrity(&IntegrityKey::new(*integrity, &key)))
    }
}

/// How a request is signed.
#[derive(Clone, Copy)]
struct Scheme {
    /// PASSWORD-ALGORITHMS is sent back.
    offers: bool,
    /// PASSWORD-ALGORITHM.
    chosen: Option<u16>,
    key: PasswordAlgorithm,
    integrity: &'static [Integrity],
}

impl Scheme {
    fn choose(input: &mut Input<'_>) -> Self {
        use Integrity::{Sha1, Sha256};
        let (md5, sha256) = (PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256);
        let scheme = |offers, chosen, key, integrity| Self { offers, chosen, key, integrity };
        match input.u8() {
            0..=79 => scheme(false, None, md5, &[Sha1]),
            80..=159 => scheme(true, Some(2), sha256, &[Sha256]),
            160..=175 => scheme(true, Some(1), md5, &[Sha256]),
            176..=191 => scheme(true, Some(2), sha256, &[Sha1, Sha256]),
            192..=203 => scheme(false, None, md5, &[Sha256]),
            204..=215 => scheme(true, Some(1), md5, &[Sha1]),
            216..=223 => scheme(true, Some(2), sha256, &[Sha256, Sha1]),
            224..=231 => scheme(true, None, md5, &[Sha1]),
            232..=239 => scheme(false, Some(2), sha256, &[Sha256]),
            240..=247 => scheme(true, Some(3), sha256, &[Sha256]),
            248..=255 => scheme(true, Some(2), md5, &[Sha256]),
        }
    }
}

/// What is wrong with the credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    WrongPassword,
    WrongRealm,
    WrongNonce,
    OtherUser,
    OtherList,
    NoUsername,
    NoRealm,
    NoNonce,
}

impl Flaw {
    fn choose(input: &mut Input<'_>) -> Self {
        const FLAWS: [Flaw; 8] = [
            Flaw::WrongPassword,
            Flaw::WrongRealm,
            Flaw::WrongNonce,
            Flaw::OtherUser,
            Flaw::OtherList,
            Flaw::NoUsername,
            Flaw::NoRealm,
            Flaw::NoNonce,
        ];
        if input.happens(32) { input.pick(&FLAWS) } else { Self::None }
    }
}

/// Changes bytes, or cuts some off, after the request has been signed.
fn mutate(request: &mut Vec<u8>, input: &mut Input<'_>) {
    if !input.happens(32) {
        return;
    }
    for _ in 0..=input.u8() % 3 {
        let at = usize::from(input.u16()) % request.len();
        request[at] ^= input.u8();
    }
    if input.happens(64) {
        let len = usize::from(input.u16()) % request.len();
        request.truncate(len);
    }
}
