//! What `stun-types`, a codec that we did not write, says to the same bytes, and where it may say something else.

use std::str::from_utf8;

use stun_types::attribute as theirs;
use stun_types::attribute::{AttributeFromRaw, AttributeStaticType};
use stun_types::message::{IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, ShortTermCredentials};
use turnkeep::wire::attribute as ours;
use turnkeep::wire::{Class, Fingerprint, Integrity, Message, ParseError, PasswordAlgorithm};

use super::message::{ENDINGS, Lie};

type TheirMessage<'a> = stun_types::message::Message<'a>;

/// The short-term password that drivers sign with.
pub(super) const PASSWORD: &[u8] = b"a password for the oracle";

/// Both codecs take the same datagrams for messages, but for these:
///
/// - trailing bytes and lengths that are no multiple of 4, which `stun-types` accepts (it reads on past the length);
/// - more than 64 attributes, which is our limit;
/// - an overrun behind the first attribute that no longer counts, where `stun-types` stops looking;
/// - a wrong FINGERPRINT, which is our caller's to ask for.
pub(super) fn compare_acceptance(datagram: &[u8], plain: &Result<Vec<Lie>, ParseError>) {
    // `stun-types` compares lengths as 16-bit numbers: beyond those it refuses at random.
    if datagram.len() > usize::from(u16::MAX) {
        return;
    }
    let they_accept = TheirMessage::from_bytes(datagram).is_ok();
    match plain {
        Ok(_) => {
            let message = Message::parse(datagram).expect("readable, so accepted");
            assert!(they_accept || message.fingerprint() == Fingerprint::Invalid, "only we accept it");
        }
        Err(ParseError::BadLength | ParseError::TooManyAttributes) => {}
        Err(ParseError::AttributeOverrun) if has_ending(datagram) => {}
        Err(error) => assert!(!they_accept, "only they accept it: {error}"),
    }
}

/// Whether there may be an ending attribute before the one that overruns.
fn has_ending(datagram: &[u8]) -> bool {
    datagram[20..].chunks(4).any(|word| ENDINGS.iter().any(|ending| word.starts_with(&ending.0.to_be_bytes())))
}

/// Where nothing stands behind the endings and the endings stand in order, both codecs find the same attributes and
/// read the same from them.
pub(super) fn compare_values(message: &Message<'_>, plain: &[Lie]) {
    let datagram = message.as_bytes();
    let Ok(their) = TheirMessage::from_bytes(datagram) else { return };
    assert_eq!(their.method().value(), message.method().number());
    assert_eq!(class_of(&their), message.class());
    assert_eq!(u128::from(their.transaction_id()).to_be_bytes()[4..], message.transaction_id().0);
    if !is_regular(plain) {
        return;
    }
    for (attribute, _) in plain {
        let ours = message.range_of(*attribute).map(|range| &datagram[range]);
        let their = their.raw_attribute(attribute.0.into());
        assert_eq!(their.as_ref().map(|raw| &*raw.value), ours, "{attribute}");
    }
    compare_addresses(message, &their);
    compare_texts(message, &their);
    compare_lists(message, &their);
}

fn class_of(their: &TheirMessage<'_>) -> Class {
    use stun_types::message::MessageClass;
    match their.class() {
        MessageClass::Request => Class::Request,
        MessageClass::Indication => Class::Indication,
        MessageClass::Success => Class::Success,
        MessageClass::Error => Class::Error,
    }
}

/// The endings are last, each at most once, in the order of [`ENDINGS`].
fn is_regular(plain: &[Lie]) -> bool {
    let ranks = plain.iter().map(|(attribute, _)| ENDINGS.iter().position(|ending| ending == attribute));
    let tail: Vec<_> = ranks.skip_while(Option::is_none).collect();
    tail.is_sorted_by(|before, after| before < after && after.is_some())
}

fn read<'a, T: AttributeFromRaw<'a> + AttributeStaticType>(their: &'a TheirMessage<'_>) -> Option<T> {
    their.attribute::<T>().ok()
}

fn compare_addresses(message: &Message<'_>, their: &TheirMessage<'_>) {
    let mapped = read::<theirs::XorMappedAddress>(their).map(|mapped| mapped.addr(their.transaction_id()));
    let our_mapped = message.get::<ours::XorMappedAddress>().ok().flatten();
    assert_eq!(mapped, our_mapped.map(|ours| ours.0));
    let alternate = read::<theirs::AlternateServer>(their).map(|alternate| alternate.server());
    assert_eq!(alternate, message.get::<ours::AlternateServer>().ok().flatten().map(|ours| ours.0));
}

/// Texts are bytes to us and UTF-8 to them.
fn compare_texts(message: &Message<'_>, their: &TheirMessage<'_>) {
    // They take USERNAME up to the 513 bytes of RFC 5389, we up to the 763 of RFC 8489 §14.3.
    let username = read::<theirs::Username>(their);
    let our_username = message.get::<ours::Username<'_>>().ok().flatten().filter(|ours| ours.0.len() <= 513);
    assert_eq!(username.as_ref().map(|their| their.username()), our_username.and_then(|ours| from_utf8(ours.0).ok()));
    let realm = read::<theirs::Realm>(their);
    let our_realm = message.get::<ours::Realm<'_>>().ok().flatten();
    assert_eq!(realm.as_ref().map(|their| their.realm()), our_realm.and_then(|ours| from_utf8(ours.0).ok()));
    let nonce = read::<theirs::Nonce>(their);
    let our_nonce = message.get::<ours::Nonce<'_>>().ok().flatten();
    assert_eq!(nonce.as_ref().map(|their| their.nonce()), our_nonce.and_then(|ours| from_utf8(ours.0).ok()));
    let software = read::<theirs::Software>(their);
    let our_software = message.get::<ours::Software<'_>>().ok().flatten();
    assert_eq!(software.as_ref().map(|their| their.software()), our_software.and_then(|ours| from_utf8(ours.0).ok()));
    // They do not bound a domain name.
    let domain = read::<theirs::AlternateDomain>(their).filter(|their| their.domain().len() <= 255);
    let our_domain = message.get::<ours::AlternateDomain<'_>>().ok().flatten();
    assert_eq!(domain.as_ref().map(|their| their.domain()), our_domain.and_then(|ours| from_utf8(ours.0).ok()));
}

fn compare_lists(message: &Message<'_>, their: &TheirMessage<'_>) {
    let userhash = read::<theirs::Userhash>(their);
    assert_eq!(
        userhash.as_ref().map(|their| their.hash()),
        message.get::<ours::Userhash<'_>>().ok().flatten().map(|ours| ours.0)
    );

    // They refuse a reason that is not UTF-8 all through; we read it as far as it is.
    if let Some(error) = read::<theirs::ErrorCode>(their) {
        let our_error = message.get::<ours::ErrorCode<'_>>().expect("they can read it").expect("it is there");
        assert_eq!((our_error.code, our_error.reason), (error.code(), error.reason()));
    }

    let unknown = read::<theirs::UnknownAttributes>(their);
    let our_unknown = message.get::<ours::UnknownAttributes<'_>>().ok().flatten();
    assert_eq!(unknown.is_some(), our_unknown.is_some());
    if let (Some(unknown), Some(our_unknown)) = (unknown, our_unknown) {
        assert!(our_unknown.iter().all(|attribute| unknown.has_attribute(attribute.0.into())));
    }

    // They refuse numbers that are not registered, and parameters; and read what follows the first PASSWORD-ALGORITHM.
    if let Some(list) = read::<theirs::PasswordAlgorithms>(their) {
        let our_list = message.get::<ours::PasswordAlgorithms<'_>>().expect("they can read it").expect("it is there");
        assert_eq!(our_list.iter().map(|entry| entry.number).collect::<Vec<_>>(), numbers(list.algorithms()));
    }
    if let Ok(Some(ours)) = message.get::<ours::PasswordAlgorithmAttribute<'_>>()
        && let Some(chosen) = read::<theirs::PasswordAlgorithm>(their)
    {
        assert_eq!(vec![ours.number], numbers(&[chosen.algorithm()]));
    }
}

fn numbers(algorithms: &[theirs::PasswordAlgorithmValue]) -> Vec<u16> {
    let number = |algorithm: &theirs::PasswordAlgorithmValue| match algorithm {
        theirs::PasswordAlgorithmValue::MD5 => 1,
        theirs::PasswordAlgorithmValue::SHA256 => 2,
    };
    algorithms.iter().map(number).collect()
}

/// They find MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 under [`PASSWORD`], and FINGERPRINT, as they should be.
pub(super) fn assert_signed(signed: &[u8]) {
    if signed.len() > usize::from(u16::MAX) {
        return;
    }
    let their = TheirMessage::from_bytes(signed).expect("they accept what we write");
    let validated = their.validate_integrity_with_key(&short_term_key());
    assert!(matches!(validated, Ok(IntegrityAlgorithm::Sha256)), "{validated:?}");
}

/// They refuse it, too.
pub(super) fn assert_forged(forged: &[u8]) {
    let holds = |their: TheirMessage<'_>| their.validate_integrity_with_key(&short_term_key()).is_ok();
    assert!(!TheirMessage::from_bytes(forged).is_ok_and(holds));
}

fn short_term_key() -> IntegrityKey {
    let password = from_utf8(PASSWORD).expect("ASCII");
    ShortTermCredentials::new(password.to_owned()).make_key()
}

/// Whether they, too, find that a message is signed with these credentials; none where they cannot tell, because it is
/// not regular or mixes one algorithm's key with the other's HMAC.
pub(super) fn long_term_holds(
    datagram: &[u8],
    credentials: [&str; 3],
    algorithm: PasswordAlgorithm,
    integrity: Integrity,
) -> Option<bool> {
    let algorithm = match (algorithm, integrity) {
        (PasswordAlgorithm::Md5, Integrity::Sha1) => IntegrityAlgorithm::Sha1,
        (PasswordAlgorithm::Sha256, Integrity::Sha256) => IntegrityAlgorithm::Sha256,
        _ => return None,
    };
    if !is_regular(&super::message::plain(datagram).ok()?) {
        return None;
    }
    let their = TheirMessage::from_bytes(datagram).ok()?;
    let [user, password, realm] = credentials.map(str::to_owned);
    let key = LongTermKeyCredentials::new(user, password, realm).make_key(algorithm);
    Some(their.validate_integrity_with_key(&key).is_ok())
}

/// They can read it.
pub(super) fn assert_accepted(datagram: &[u8]) {
    assert!(TheirMessage::from_bytes(datagram).is_ok());
}
