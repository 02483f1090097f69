//! Stateless nonces (RFC 8489 §9.2): the time and a MAC over the 5-tuple, so that nothing is remembered of a client
//! that has not authenticated, and a nonce is good only where it was handed out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::addr::Path;
use super::clock::Now;
use super::seam::Entropy;

/// Begins the nonces of every server that knows RFC 8489 (§9.2), before the feature bits.
const COOKIE: &[u8; 9] = b"obMatJos2";

/// Seconds since 1970 and as many random bytes, so that two nonces of one second differ.
const BODY: usize = 8;
const MAC: usize = 16;
/// Length of a nonce on the wire, in bytes.
pub(super) const NONCE_LEN: usize = COOKIE.len() + FEATURES + TEXT;
/// The security feature bits, in base64.
const FEATURES: usize = 4;
/// Length of the part in base64, which 24 bytes fill without padding.
const TEXT: usize = (BODY + MAC) / 3 * 4;
/// How far the wall clock may have gone backwards since a nonce was made, in seconds.
const CLOCK_SLACK: u64 = 2;

/// The key that nonces are made with. A fleet that shares it accepts each other's nonces.
#[derive(Clone)]
pub struct NonceKey(Zeroizing<[u8; 32]>);

impl NonceKey {
    /// From random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl std::fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NonceKey")
    }
}

/// What a nonce proves to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NonceState {
    /// Made here for this 5-tuple, and fresh.
    Valid,
    /// Made here for this 5-tuple, too long ago.
    Expired,
    /// Not made here, or not for this 5-tuple, or altered, or from the future.
    Foreign,
}

/// The security features that every nonce announces (RFC 8489 §9.2, §18.1). They are under its MAC, so that nobody on
/// the way can bid them down unnoticed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Features {
    /// Bit 0: challenges have PASSWORD-ALGORITHMS.
    pub(super) password_algorithms: bool,
    /// Bit 1: requests may have USERHASH instead of USERNAME.
    pub(super) anonymity: bool,
}

impl Features {
    /// The 24 bits in base64; bit 0 is the first one sent.
    fn encoded(self) -> &'static [u8; FEATURES] {
        match (self.password_algorithms, self.anonymity) {
            (false, false) => b"AAAA",
            (true, false) => b"gAAA",
            (false, true) => b"QAAA",
            (true, true) => b"wAAA",
        }
    }
}

/// Makes and checks nonces.
pub(super) struct Nonces {
    keyed: Hmac<Sha256>,
    features: &'static [u8; FEATURES],
    lifetime: Duration,
}

impl Nonces {
    pub(super) fn new(key: &NonceKey, features: Features, lifetime: Duration) -> Self {
        let mut block = [0u8; 64];
        block.iter_mut().zip(key.0.iter()).for_each(|(to, from)| *to = *from);
        Self { keyed: Hmac::new(&block.into()), features: features.encoded(), lifetime }
    }

    /// A nonce for the client on `path`.
    pub(super) fn mint(&self, now: Now, path: &Path, entropy: &mut impl Entropy) -> [u8; NONCE_LEN] {
        let mut body = [0; BODY];
        let (time, random) = body.split_at_mut(4);
        // Seconds until 2106 fit; afterwards they wrap, and `check` with them.
        time.copy_from_slice(&seconds(now).to_be_bytes());
        entropy.fill(random);
        let mut raw = [0; BODY + MAC];
        raw.iter_mut().zip(body.iter().chain(&self.mac(path, &body))).for_each(|(to, from)| *to = *from);
        let mut nonce = [0; NONCE_LEN];
        let (cookie, rest) = nonce.split_at_mut(COOKIE.len());
        cookie.copy_from_slice(COOKIE);
        let (features, text) = rest.split_at_mut(FEATURES);
        features.copy_from_slice(self.features);
        // 24 bytes make exactly the 32 characters that are left.
        let _exact = STANDARD.encode_slice(raw, text);
        nonce
    }

    /// Whether `nonce` was made by [`Self::mint`] for this path, and when.
    pub(super) fn check(&self, now: Now, path: &Path, nonce: &[u8]) -> NonceState {
        let Some((body, mac)) = self.decode(nonce) else { return NonceState::Foreign };
        if !bool::from(self.mac(path, &body).ct_eq(&mac)) {
            return NonceState::Foreign;
        }
        let [a, b, c, d, ..] = body;
        let age = i64::from(seconds(now).wrapping_sub(u32::from_be_bytes([a, b, c, d])).cast_signed());
        match u64::try_from(age) {
            Ok(age) if age < self.lifetime.as_secs() => NonceState::Valid,
            Ok(_) => NonceState::Expired,
            Err(_) if age.unsigned_abs() <= CLOCK_SLACK => NonceState::Valid,
            Err(_) => NonceState::Foreign,
        }
    }

    fn decode(&self, nonce: &[u8]) -> Option<([u8; BODY], [u8; MAC])> {
        let text = nonce.strip_prefix(COOKIE)?.strip_prefix(self.features)?;
        // Base64 of 24 bytes has neither padding nor spare bits: one text for one value.
        let mut raw = [0; BODY + MAC];
        if text.len() != TEXT || STANDARD.decode_slice(text, &mut raw).ok()? != raw.len() {
            return None;
        }
        let (body, mac) = raw.split_first_chunk::<BODY>()?;
        Some((*body, *mac.first_chunk()?))
    }

    fn mac(&self, path: &Path, body: &[u8; BODY]) -> [u8; MAC] {
        let mut mac = self.keyed.clone();
        mac.update(self.features);
        mac.update(body);
        mac.update(path.transport.name().as_bytes());
        update_address(&mut mac, path.client.0);
        update_address(&mut mac, path.server.0);
        let full = mac.finalize().into_bytes();
        let mut short = [0; MAC];
        short.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        short
    }
}

/// Of fixed length, so that no two paths feed the MAC the same bytes.
fn update_address(mac: &mut Hmac<Sha256>, address: SocketAddr) {
    let (family, ip) = match address.ip() {
        IpAddr::V4(v4) => (4, v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => (6, v6),
    };
    mac.update(&[family]);
    mac.update(&ip.octets());
    mac.update(&address.port().to_be_bytes());
}

#[allow(clippy::cast_possible_truncation, reason = "wraps in 2106, and so does the comparison")]
fn seconds(now: Now) -> u32 {
    now.unix_secs() as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::relay::addr::{ClientAddr, ListenerId, ServerAddr, Transport};
    use crate::relay::clock::Instant;

    struct Counter(u64);

    impl Entropy for Counter {
        fn fill(&mut self, out: &mut [u8]) {
            self.0 += 1;
            out.iter_mut().zip(self.0.to_be_bytes().iter().rev()).for_each(|(to, from)| *to = *from);
        }
    }

    fn nonces(password_algorithms: bool) -> Nonces {
        with(Features { password_algorithms, anonymity: false })
    }

    fn with(features: Features) -> Nonces {
        Nonces::new(&NonceKey::new([7; 32]), features, Duration::from_secs(3600))
    }

    fn now(second: u64) -> Now {
        Now { instant: Instant::default(), unix_millis: second * 1000 }
    }

    fn path(client: &str, server: &str) -> Path {
        Path {
            client: ClientAddr(client.parse().unwrap()),
            server: ServerAddr(server.parse().unwrap()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        }
    }

    const T: u64 = 1_795_285_900;

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", NonceKey::new([7; 32])), "NonceKey");
    }

    #[test]
    fn begins_with_the_cookie_and_the_feature_bits() {
        // RFC 8489 §9.2 (C-057, C-058, C-059).
        let here = path("192.0.2.1:1", "192.0.2.9:3478");
        for (password_algorithms, anonymity, bits) in
            [(false, false, 0x00_0000_u32), (true, false, 0x80_0000), (false, true, 0x40_0000), (true, true, 0xc0_0000)]
        {
            let nonce = with(Features { password_algorithms, anonymity }).mint(now(T), &here, &mut Counter(0));
            let [_, bits @ ..] = bits.to_be_bytes();
            assert!(nonce.starts_with(format!("obMatJos2{}", STANDARD.encode(bits)).as_bytes()));
            assert!(nonce.is_ascii() && nonce.len() < 128);
        }
    }

    #[test]
    fn is_good_for_an_hour_and_then_expired() {
        // RFC 8656 §5 (C-066, C-310).
        let (nonces, here) = (nonces(true), path("192.0.2.1:1", "192.0.2.9:3478"));
        let nonce = nonces.mint(now(T), &here, &mut Counter(0));
        assert_eq!(nonces.check(now(T), &here, &nonce), NonceState::Valid);
        assert_eq!(nonces.check(now(T + 3599), &here, &nonce), NonceState::Valid);
        assert_eq!(nonces.check(now(T + 3600), &here, &nonce), NonceState::Expired);
        assert_eq!(nonces.check(now(T - 2), &here, &nonce), NonceState::Valid);
        assert_eq!(nonces.check(now(T - 3), &here, &nonce), NonceState::Foreign);
    }

    #[test]
    fn is_good_on_its_own_five_tuple_only() {
        // RFC 8489 §9.2.4 (C-060, C-061; ).
        let (nonces, here) = (nonces(true), path("192.0.2.1:1", "192.0.2.9:3478"));
        let nonce = nonces.mint(now(T), &here, &mut Counter(0));
        for other in [
            path("192.0.2.2:1", "192.0.2.9:3478"),
            path("192.0.2.1:2", "192.0.2.9:3478"),
            path("192.0.2.1:1", "192.0.2.8:3478"),
            path("192.0.2.1:1", "192.0.2.9:443"),
            path("[::ffff:192.0.2.1]:1", "192.0.2.9:3478"),
        ] {
            assert_eq!(nonces.check(now(T), &other, &nonce), NonceState::Foreign, "{other:?}");
        }
    }

    #[test]
    fn any_altered_byte_makes_it_foreign() {
        // The feature bits are inside the MAC (C-064, C-096; A-092).
        let (nonces, here) = (nonces(true), path("[2001:db8::1]:1", "[2001:db8::9]:3478"));
        let nonce = nonces.mint(now(T), &here, &mut Counter(0));
        for index in 0..nonce.len() {
            for bit in 0..8 {
                let mut altered = nonce;
                altered[index] ^= 1 << bit;
                assert_eq!(nonces.check(now(T), &here, &altered), NonceState::Foreign, "byte {index} bit {bit}");
            }
            assert_eq!(nonces.check(now(T), &here, &nonce[..index]), NonceState::Foreign);
        }
        let mut bid_down = nonce;
        bid_down[9..13].copy_from_slice(b"AAAA");
        assert_eq!(nonces.check(now(T), &here, &bid_down), NonceState::Foreign);
        assert_eq!(nonces.check(now(T), &here, &[b'A'; 764]), NonceState::Foreign);
    }

    #[test]
    fn no_two_are_equal_within_a_second() {
        // RFC 8656 §5 (C-067).
        let (nonces, here, mut entropy) = (nonces(true), path("192.0.2.1:1", "192.0.2.9:3478"), Counter(0));
        let distinct: HashSet<_> = (0..1000).map(|_| nonces.mint(now(T), &here, &mut entropy)).collect();
        assert_eq!(distinct.len(), 1000);
    }
}
