//! What must hold for every byte that leaves the server, whatever a test is about. The world shows each message to the
//! judge before the test sees it.

use std::net::{IpAddr, SocketAddr};

use turnkeep::relay::{ListenerId, Path, Settings};
use turnkeep::wire::attribute::Icmp;
use turnkeep::wire::integrity::userhash;

use super::policy::{KNOWN, password_of};
use super::stun::{COOKIE, Stun, Tlv, long_term_key, number};

const BINDING: u16 = 0x0001;
const ALLOCATE: u16 = 0x0003;
const REFRESH: u16 = 0x0004;
const CREATE_PERMISSION: u16 = 0x0008;
const CHANNEL_BIND: u16 = 0x0009;

const SUCCESS: u16 = 0x0100;
const ERROR: u16 = 0x0110;

/// Errors that a TURN server decides on after it knows who asks, so that they carry integrity (RFC 8489 §9.2.4). 400
/// can come before that, 401 does, and 438 may.
const DECIDED_KNOWING_THE_SENDER: [u16; 10] = [300, 403, 420, 437, 440, 441, 442, 443, 486, 508];

/// Knows of the server what is configured.
pub struct Judge {
    realm: String,
    offers_algorithms: bool,
    offers_userhash: bool,
    modern_only: Box<[ListenerId]>,
}

impl Judge {
    pub fn new(settings: &Settings) -> Self {
        Self {
            realm: settings.realm.to_string(),
            offers_algorithms: settings.offer_sha256,
            offers_userhash: settings.offer_userhash,
            modern_only: settings.modern_only.clone(),
        }
    }

    /// A response, given the request that it answers.
    pub fn response(&self, path: &Path, request: &[u8], response: &[u8]) {
        let request = Stun::read(request).expect("only what is STUN is answered");
        let answer = Stun::read(response).expect("an answer is a whole STUN message");
        let method = request.message_type();
        assert_eq!(answer.id(), request.id(), "the request's transaction id (RFC 8489 §6.3.1)");
        let class = answer.message_type() ^ method;
        assert!([SUCCESS, ERROR].contains(&class), "the request's method, and the class of a response");
        values(&answer, path);
        self.attributes(&answer, method, class);
        fingerprint(&request, &answer);
        self.integrity(&request, &answer, method, class);
        size(&request, &answer, path, method, class);
        if let Some(realm) = answer.first(number::REALM) {
            self.challenge(&answer, path, realm);
        }
    }

    /// Which attributes there are, and in which order.
    fn attributes(&self, answer: &Stun<'_>, method: u16, class: u16) {
        let mut expected = match (class, method, answer.code()) {
            (SUCCESS, BINDING, 0) => vec![number::XOR_MAPPED_ADDRESS],
            (SUCCESS, ALLOCATE, 0) => vec![number::XOR_RELAYED_ADDRESS, number::LIFETIME, number::XOR_MAPPED_ADDRESS],
            (SUCCESS, REFRESH, 0) => vec![number::LIFETIME],
            (SUCCESS, CREATE_PERMISSION | CHANNEL_BIND, 0) => vec![],
            (ERROR, _, 401 | 438) if self.offers_algorithms => {
                vec![number::ERROR_CODE, number::REALM, number::NONCE, number::PASSWORD_ALGORITHMS]
            }
            (ERROR, _, 401 | 438) => vec![number::ERROR_CODE, number::REALM, number::NONCE],
            (ERROR, ALLOCATE, 300) => vec![number::ERROR_CODE, number::ALTERNATE_SERVER],
            (ERROR, _, 420) => vec![number::ERROR_CODE, number::UNKNOWN_ATTRIBUTES],
            (ERROR, BINDING, code) => panic!("{code} in answer to a Binding request"),
            (ERROR, _, 400 | 403 | 437 | 440..=443 | 486 | 508) => vec![number::ERROR_CODE],
            (_, _, code) => panic!("no answer of a TURN server: method {method}, code {code}"),
        };
        let proof = [number::MESSAGE_INTEGRITY, number::MESSAGE_INTEGRITY_SHA256, number::FINGERPRINT];
        let mut numbers = answer.numbers();
        let open = numbers.iter().position(|number| proof.contains(number)).unwrap_or(numbers.len());
        let mut behind = numbers.split_off(open);
        if method == ALLOCATE && class == SUCCESS {
            let optional = [number::ADDRESS_ERROR_CODE, number::RESERVATION_TOKEN];
            numbers.retain(|found| !optional.contains(found));
            // RFC 8656 §7.2, step 9: one of each family.
            numbers.dedup();
            let all = answer.attributes.iter().filter(|tlv| tlv.number == number::XOR_RELAYED_ADDRESS);
            let families: Vec<_> = all.map(|tlv| tlv.value[1]).collect();
            assert!([vec![1], vec![2], vec![1, 2]].contains(&families), "{families:?}");
        }
        if answer.code() == 300 {
            // RFC 8489 §10: another one for the other family, and a name.
            numbers.retain(|found| *found != number::ALTERNATE_DOMAIN);
            numbers.dedup();
        }
        numbers.sort_unstable();
        expected.sort_unstable();
        assert_eq!(numbers, expected, "what method {method}, code {} asks for, each once", answer.code());
        behind.retain(|found| *found != number::FINGERPRINT);
        assert!(behind.len() <= 1 && proof.contains(behind.first().unwrap_or(&proof[0])), "one integrity attribute");
    }

    /// Integrity of the kind that the request makes due, valid under the key of the user that it names (RFC 8489
    /// §9.2.4).
    fn integrity(&self, request: &Stun<'_>, answer: &Stun<'_>, method: u16, class: u16) {
        let signed = is_signed(answer);
        let code = answer.code();
        let due = method != BINDING && (class == SUCCESS || DECIDED_KNOWING_THE_SENDER.contains(&code));
        let not_due = method == BINDING || code == 401;
        assert!(signed || !due, "{code} for method {method} carries integrity");
        assert!(!signed || !not_due, "{code} for method {method} carries no integrity");
        if !signed {
            return;
        }
        let chosen = open_attribute(request, number::PASSWORD_ALGORITHM).filter(|_| self.offers_algorithms);
        let (algorithm, kind) = match chosen {
            None => (1, number::MESSAGE_INTEGRITY),
            Some(chosen) => (u16::from_be_bytes([chosen[0], chosen[1]]), number::MESSAGE_INTEGRITY_SHA256),
        };
        let user = open_attribute(request, number::USERNAME).unwrap_or_else(|| self.hidden_user(request));
        let password = password_of(std::str::from_utf8(user).expect("no test user's name is other than UTF-8"));
        let key = long_term_key(algorithm, user, self.realm.as_bytes(), password.as_bytes());
        assert!(answer.has_valid_integrity(kind, &key), "{code} for method {method}: kind and value of the integrity");
    }

    /// The user whose name is behind USERHASH (RFC 8489 §14.4).
    fn hidden_user(&self, request: &Stun<'_>) -> &'static [u8] {
        assert!(self.offers_userhash, "who is authenticated has a USERNAME");
        let hash = open_attribute(request, number::USERHASH).expect("or a USERHASH");
        let is_it = |name: &&&str| userhash(name.as_bytes(), self.realm.as_bytes())[..] == *hash;
        KNOWN.iter().find(is_it).expect("of somebody who is known").as_bytes()
    }

    /// REALM, NONCE and PASSWORD-ALGORITHMS (RFC 8489 §9.2, §9.2.4, §14.9–§14.11, D-23).
    fn challenge(&self, answer: &Stun<'_>, path: &Path, realm: &[u8]) {
        assert_eq!(realm, self.realm.as_bytes());
        let nonce = answer.first(number::NONCE).unwrap();
        for text in [realm, nonce] {
            assert!(text.len() < 128 && text.iter().all(|byte| is_qdtext(*byte)), "short and qdtext (RFC 3261 §25.1)");
        }
        // Bit 0 of 24, password algorithms, is the first of the first base64 character; anonymity is bit 1.
        let features: &[u8] = match (self.offers_algorithms, self.offers_userhash) {
            (false, false) => b"obMatJos2AAAA",
            (true, false) => b"obMatJos2gAAA",
            (false, true) => b"obMatJos2QAAA",
            (true, true) => b"obMatJos2wAAA",
        };
        assert!(nonce.starts_with(features), "the nonce cookie and the feature bits");
        let sha256_then_md5: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
        let list = if self.modern_only.contains(&path.listener) { &sha256_then_md5[..4] } else { sha256_then_md5 };
        assert_eq!(answer.first(number::PASSWORD_ALGORITHMS), self.offers_algorithms.then_some(list));
        assert!(is_signed(answer) || answer.first(number::ERROR_CODE).unwrap().len() == 4, "no reason phrase (D-38)");
    }
}

/// A message that goes to the client because `peer` sent `payload`.
pub fn relayed(bytes: &[u8], peer: SocketAddr, payload: &[u8]) {
    if (0x40..=0x7F).contains(&bytes[0]) {
        // RFC 8656 §12.4, §12.5: over UDP, padding is not required.
        assert_eq!(bytes[2..4], u16::try_from(payload.len()).unwrap().to_be_bytes());
        assert_eq!(&bytes[4..], payload);
        return;
    }
    let indication = Stun::read(bytes).expect("a Data indication is a whole STUN message");
    assert_eq!(indication.message_type(), 0x0017, "a Data indication");
    assert_eq!(indication.numbers(), [number::XOR_PEER_ADDRESS, number::DATA], "and nothing else (RFC 8656 §11.3)");
    let [address, data] = indication.attributes[..] else { unreachable!() };
    assert_eq!(xored_address(address.value, indication.id()), peer);
    assert_eq!(data.value, payload);
    assert!(data.padding.iter().all(|byte| *byte == 0));
}

/// A message that goes to the client because of an ICMP error about a datagram to `peer` (RFC 8656 §11.5, §18.13).
pub fn icmp(bytes: &[u8], peer: SocketAddr, error: Icmp) {
    let indication = Stun::read(bytes).expect("a Data indication is a whole STUN message");
    assert_eq!(indication.message_type(), 0x0017, "a Data indication, with a channel, too");
    assert_eq!(indication.numbers(), [number::XOR_PEER_ADDRESS, number::ICMP], "and nothing else");
    let [address, icmp] = indication.attributes[..] else { unreachable!() };
    assert_eq!(xored_address(address.value, indication.id()), peer);
    let says_mtu = if peer.is_ipv4() { (error.icmp_type, error.code) == (3, 4) } else { error.icmp_type == 2 };
    let data = if says_mtu { error.error_data } else { [0; 4] };
    assert_eq!(icmp.value, [&[0, 0, error.icmp_type << 1, error.code], &data[..]].concat());
}

/// Whether a response carries integrity; that it is right, the judge has seen to.
pub fn is_signed(answer: &Stun<'_>) -> bool {
    answer.has(number::MESSAGE_INTEGRITY) || answer.has(number::MESSAGE_INTEGRITY_SHA256)
}

/// An attribute before the first integrity attribute: what stands behind does not count (RFC 8489 §9).
fn open_attribute<'a>(message: &Stun<'a>, wanted: u16) -> Option<&'a [u8]> {
    let is_open = |tlv: &&Tlv<'a>| ![number::MESSAGE_INTEGRITY, number::MESSAGE_INTEGRITY_SHA256].contains(&tlv.number);
    message.attributes.iter().take_while(is_open).find(|tlv| tlv.number == wanted).map(|tlv| tlv.value)
}

/// Padding and reserved bits are zero, and values are what their attributes allow (RFC 8489 §14, RFC 8656 §18).
fn values(answer: &Stun<'_>, path: &Path) {
    for Tlv { number: found, value, padding, .. } in &answer.attributes {
        assert!(padding.iter().all(|byte| *byte == 0), "zeroes pad attribute 0x{found:04x}");
        match *found {
            number::ERROR_CODE => {
                assert!(value[..2] == [0, 0] && (3..=6).contains(&value[2]) && value[3] <= 99, "{value:?}");
                assert!(std::str::from_utf8(&value[4..]).is_ok_and(|reason| reason.chars().count() < 128));
            }
            number::ADDRESS_ERROR_CODE => {
                assert!(value[1] == 0 && (1..=2).contains(&value[0]), "family, and reserved bits: {value:?}");
                assert!([(4, 40), (5, 8)].contains(&(value[2], value[3])), "440 or 508 (RFC 8656 §18.12)");
                assert!(std::str::from_utf8(&value[4..]).is_ok_and(|reason| reason.chars().count() < 128));
            }
            number::ALTERNATE_SERVER => {
                let first = answer.first(number::ALTERNATE_SERVER).unwrap()[1];
                let own = if path.client.0.is_ipv4() { 1 } else { 2 };
                assert!(value[0] == 0 && first == own, "the client's family first (RFC 8489 §10)");
            }
            number::LIFETIME => {
                let seconds = u32::from_be_bytes((*value).try_into().unwrap());
                assert!(seconds <= 3600, "RFC 8656 §7.2");
            }
            number::XOR_MAPPED_ADDRESS => {
                assert_eq!(xored_address(value, answer.id()), path.client.0, "the observed source (RFC 8489 §6.3.1.1)");
            }
            number::XOR_RELAYED_ADDRESS => assert!(xored_address(value, answer.id()).port() >= 1024),
            number::UNKNOWN_ATTRIBUTES => {
                let types: Vec<_> = value.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
                let mut distinct = types.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert!(distinct.len() == types.len() && types.len() <= 16, "each once, at most 16 (D-16)");
                assert!(types.iter().all(|number| *number < 0x8000), "comprehension-required ones only");
            }
            _ => {}
        }
    }
}

/// There is one if and only if the request had one; it is the last attribute and right (D-14, RFC 8489 §14.7).
fn fingerprint(request: &Stun<'_>, answer: &Stun<'_>) {
    assert_eq!(answer.has(number::FINGERPRINT), request.has(number::FINGERPRINT), "FINGERPRINT as the request had it");
    assert!(!answer.has(number::FINGERPRINT) || answer.has_valid_fingerprint(), "a right FINGERPRINT, and last");
}

/// No answer is larger than what the decisions allow (RFC 8489 §6.1; D-16, D-38).
fn size(request: &Stun<'_>, answer: &Stun<'_>, path: &Path, method: u16, class: u16) {
    let (len, fingerprint) = (answer.bytes.len(), if answer.has(number::FINGERPRINT) { 8 } else { 0 });
    let bound = match (class, method, answer.code()) {
        (SUCCESS, BINDING, _) => fingerprint + if path.client.0.is_ipv4() { 32 } else { 44 },
        // The list grows by less than what it lists; what precedes it is 16 bytes and the padding of a list of one.
        (ERROR, BINDING, 420) => request.bytes.len() + 12,
        (ERROR, _, 400) if !is_signed(answer) => 28 + fingerprint,
        (ERROR, _, 401 | 438) if !is_signed(answer) && answer.first(number::REALM).unwrap().len() <= 24 => 128,
        _ => 547,
    };
    assert!(len <= bound, "{len} bytes in answer to {}, {bound} allowed", request.bytes.len());
}

/// Reads an address attribute by hand: first byte 0, family, and port and address XORed (RFC 8489 §14.2).
pub fn xored_address(value: &[u8], id: &[u8]) -> SocketAddr {
    assert_eq!(value[0], 0, "the first byte is zero");
    let mask: Vec<u8> = COOKIE.iter().chain(id).copied().collect();
    let clear = |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(&mask).map(|(byte, mask)| byte ^ mask).collect() };
    let port = clear(&value[2..4]);
    let ip = clear(&value[4..]);
    let ip: IpAddr = match value[1] {
        1 => <[u8; 4]>::try_from(&ip[..]).unwrap().into(),
        2 => <[u8; 16]>::try_from(&ip[..]).unwrap().into(),
        family => panic!("family {family}"),
    };
    SocketAddr::new(ip, u16::from_be_bytes([port[0], port[1]]))
}

fn is_qdtext(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}
