//! RFC 5769 and RFC 8489 §B.1: the judge's own instruments, which share nothing with the server's codec, measure the
//! published vectors right.

use turnkeep::wire::fingerprint::Fingerprint;
use turnkeep::wire::integrity::userhash;
use turnkeep::wire::message::Message;

use super::sans_io::stun::{Stun, hmac, long_term_key, number};
use super::sans_io::xored_address;

const SHORT_TERM_PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

/// §2.1 to §2.3: a request, a response of IPv4 and one of IPv6.
const SHORT_TERM: [&str; 3] = [
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b1\
     51263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf",
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643000800142b91f599\
     fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96",
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5\
     bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c",
];

/// §2.4: a request with long-term credentials.
const LONG_TERM: &str = "\
    000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015001c662f2f34\
    39396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f72670000080014f67024656dd64a3e\
    02b8e0712e85c9a28ca89666";

/// RFC 8489 §B.1: a request with USERHASH and MESSAGE-INTEGRITY-SHA256.
const USERHASH: &str = "\
    0001009c2112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41\
    407f1704001500296f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c39465354767936347341000000\
    0014000b6578616d706c652e6f726700001c0020e4686c8f0edeb59013e07090010a93efccbccc544c0a45d9f830aa6d6f735a01";

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// C-288, RFC 5769 §2: CRC, HMAC, long-term key and XORed addresses are the printed ones, and one bit off is none of
/// them.
#[test]
fn the_judge_measures_right() {
    for vector in SHORT_TERM.map(bytes) {
        let message = Stun::read(&vector).unwrap();
        assert!(message.has_valid_fingerprint());
        assert!(message.has_valid_integrity(number::MESSAGE_INTEGRITY, SHORT_TERM_PASSWORD));
        assert!(!message.has_valid_integrity(number::MESSAGE_INTEGRITY, b"another"));
        assert_eq!(Message::parse(&vector).unwrap().fingerprint(), Fingerprint::Valid, "and the codec agrees");
        let mut altered = vector.clone();
        altered[25] ^= 1;
        let altered = Stun::read(&altered).unwrap();
        assert!(!altered.has_valid_fingerprint());
        assert!(!altered.has_valid_integrity(number::MESSAGE_INTEGRITY, SHORT_TERM_PASSWORD));
    }
    for (vector, address) in [(1, "192.0.2.1:32853"), (2, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")] {
        let vector = bytes(SHORT_TERM[vector]);
        let message = Stun::read(&vector).unwrap();
        let mapped = message.first(number::XOR_MAPPED_ADDRESS).unwrap();
        assert_eq!(xored_address(mapped, message.id()), address.parse().unwrap());
    }
    let vector = bytes(LONG_TERM);
    let message = Stun::read(&vector).unwrap();
    let user = message.first(number::USERNAME).unwrap();
    let key = long_term_key(1, user, b"example.org", b"TheMatrIX");
    assert!(message.has_valid_integrity(number::MESSAGE_INTEGRITY, &key));
}

/// C-086, C-087, C-289, RFC 8489 §14.4, RFC 8489 §14.6: so are the SHA-256 key, HMAC and USERHASH of RFC 8489's sample,
/// whose length field counts the header, too: the HMAC was made over exactly that.
#[test]
fn the_judge_measures_sha256_right() {
    let vector = bytes(USERHASH);
    let user = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}".as_bytes();
    let key = long_term_key(2, user, b"example.org", b"TheMatrIX");
    let (signed, integrity) = vector.split_at(vector.len() - 36);
    assert_eq!(integrity[4..], hmac(number::MESSAGE_INTEGRITY_SHA256, &key, signed));
    assert_eq!(vector[24..56], userhash(user, b"example.org"));
    assert!(Stun::read(&vector).is_none() && Message::parse(&vector).is_err());
}
