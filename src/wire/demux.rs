//! Which protocol a datagram speaks, by its first byte (RFC 7983 §7).

/// What shares one port with TURN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// First byte 0 to 3: STUN, and with it TURN's requests and indications.
    Stun,
    /// First byte 64 to 79: TURN ChannelData (RFC 8656 §12).
    ChannelData,
    /// First byte 20 to 63: DTLS.
    Dtls,
    /// Anything else, an empty datagram included: ZRTP, RTP, noise. A TURN port drops it.
    Other,
}

/// Classifies a datagram by its first byte (RFC 7983 §7); nothing else is looked at.
#[inline]
pub fn classify(datagram: &[u8]) -> Kind {
    match datagram.first() {
        Some(0..=3) => Kind::Stun,
        Some(20..=63) => Kind::Dtls,
        Some(64..=79) => Kind::ChannelData,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-229, C-287: RFC 7983 §7, every first byte.
    #[test]
    fn every_first_byte_has_its_kind() {
        for byte in 0..=u8::MAX {
            let expected = match byte {
                0..=3 => Kind::Stun,
                4..=15 => Kind::Other,  // unassigned
                16..=19 => Kind::Other, // ZRTP
                20..=63 => Kind::Dtls,
                64..=79 => Kind::ChannelData,
                80..=127 => Kind::Other,  // unassigned
                128..=191 => Kind::Other, // RTP and RTCP
                192..=255 => Kind::Other, // unassigned
            };
            assert_eq!(classify(&[byte]), expected, "{byte}");
            assert_eq!(classify(&[byte, 0xff, 0xff]), expected, "{byte}: only the first byte counts");
        }
    }

    /// C-016.
    #[test]
    fn an_empty_datagram_is_nothing() {
        assert_eq!(classify(&[]), Kind::Other);
    }
}
