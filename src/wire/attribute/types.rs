//! Attribute numbers: IANA's registry "STUN Attributes" (RFC 8489 §18.3), complete.

use std::fmt;

/// The 16-bit type of an attribute.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttributeType(pub u16);

impl AttributeType {
    /// Whether a receiver that does not know the type must refuse the message (RFC 8489 §14: 0x0000 to 0x7FFF).
    #[inline]
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }

    /// Whether this codec understands it: the attributes of RFC 8489 and RFC 8656. Those of extensions that are not
    /// switched on count as unknown (RFC 8489 §6.3.1).
    #[inline]
    pub const fn is_understood(self) -> bool {
        self.slot().is_some()
    }
}

impl fmt::Debug for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "attribute 0x{:04x}", self.0),
        }
    }
}

macro_rules! attribute_types {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal;)+) => {
        impl AttributeType {
            $($(#[$doc])* pub const $constant: Self = Self($number);)+

            /// Every type that has a name here, in order.
            pub const REGISTERED: &[Self] = &[$(Self::$constant,)+];

            /// The name in IANA's registry, if it has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)+
                    _ => None,
                }
            }
        }
    };
}

attribute_types! {
    /// RFC 8489 §14.1.
    MAPPED_ADDRESS = 0x0001, "MAPPED-ADDRESS";
    /// Reserved; RFC 3489.
    RESPONSE_ADDRESS = 0x0002, "RESPONSE-ADDRESS";
    /// RFC 5780 §7.2.
    CHANGE_REQUEST = 0x0003, "CHANGE-REQUEST";
    /// Reserved; RFC 3489.
    SOURCE_ADDRESS = 0x0004, "SOURCE-ADDRESS";
    /// Reserved; RFC 3489.
    CHANGED_ADDRESS = 0x0005, "CHANGED-ADDRESS";
    /// RFC 8489 §14.3.
    USERNAME = 0x0006, "USERNAME";
    /// Reserved; RFC 3489.
    PASSWORD = 0x0007, "PASSWORD";
    /// RFC 8489 §14.5.
    MESSAGE_INTEGRITY = 0x0008, "MESSAGE-INTEGRITY";
    /// RFC 8489 §14.8.
    ERROR_CODE = 0x0009, "ERROR-CODE";
    /// RFC 8489 §14.13.
    UNKNOWN_ATTRIBUTES = 0x000A, "UNKNOWN-ATTRIBUTES";
    /// Reserved; RFC 3489.
    REFLECTED_FROM = 0x000B, "REFLECTED-FROM";
    /// RFC 8656 §18.1.
    CHANNEL_NUMBER = 0x000C, "CHANNEL-NUMBER";
    /// RFC 8656 §18.2.
    LIFETIME = 0x000D, "LIFETIME";
    /// Reserved; drafts of RFC 5766.
    BANDWIDTH = 0x0010, "BANDWIDTH";
    /// RFC 8656 §18.3.
    XOR_PEER_ADDRESS = 0x0012, "XOR-PEER-ADDRESS";
    /// RFC 8656 §18.4.
    DATA = 0x0013, "DATA";
    /// RFC 8489 §14.9.
    REALM = 0x0014, "REALM";
    /// RFC 8489 §14.10.
    NONCE = 0x0015, "NONCE";
    /// RFC 8656 §18.5.
    XOR_RELAYED_ADDRESS = 0x0016, "XOR-RELAYED-ADDRESS";
    /// RFC 8656 §18.6.
    REQUESTED_ADDRESS_FAMILY = 0x0017, "REQUESTED-ADDRESS-FAMILY";
    /// RFC 8656 §18.7.
    EVEN_PORT = 0x0018, "EVEN-PORT";
    /// RFC 8656 §18.8.
    REQUESTED_TRANSPORT = 0x0019, "REQUESTED-TRANSPORT";
    /// RFC 8656 §18.9.
    DONT_FRAGMENT = 0x001A, "DONT-FRAGMENT";
    /// RFC 7635 §6.2.
    ACCESS_TOKEN = 0x001B, "ACCESS-TOKEN";
    /// RFC 8489 §14.6.
    MESSAGE_INTEGRITY_SHA256 = 0x001C, "MESSAGE-INTEGRITY-SHA256";
    /// RFC 8489 §14.12.
    PASSWORD_ALGORITHM = 0x001D, "PASSWORD-ALGORITHM";
    /// RFC 8489 §14.4.
    USERHASH = 0x001E, "USERHASH";
    /// RFC 8489 §14.2.
    XOR_MAPPED_ADDRESS = 0x0020, "XOR-MAPPED-ADDRESS";
    /// Reserved; drafts of RFC 5766.
    TIMER_VAL = 0x0021, "TIMER-VAL";
    /// RFC 8656 §18.10.
    RESERVATION_TOKEN = 0x0022, "RESERVATION-TOKEN";
    /// RFC 8445 §16.1.
    PRIORITY = 0x0024, "PRIORITY";
    /// RFC 8445 §16.1.
    USE_CANDIDATE = 0x0025, "USE-CANDIDATE";
    /// RFC 5780 §7.6.
    PADDING = 0x0026, "PADDING";
    /// RFC 5780 §7.5.
    RESPONSE_PORT = 0x0027, "RESPONSE-PORT";
    /// RFC 6062 §6.2.1.
    CONNECTION_ID = 0x002A, "CONNECTION-ID";
    /// RFC 8656 §18.11.
    ADDITIONAL_ADDRESS_FAMILY = 0x8000, "ADDITIONAL-ADDRESS-FAMILY";
    /// RFC 8656 §18.12.
    ADDRESS_ERROR_CODE = 0x8001, "ADDRESS-ERROR-CODE";
    /// RFC 8489 §14.11.
    PASSWORD_ALGORITHMS = 0x8002, "PASSWORD-ALGORITHMS";
    /// RFC 8489 §14.16.
    ALTERNATE_DOMAIN = 0x8003, "ALTERNATE-DOMAIN";
    /// RFC 8656 §18.13.
    ICMP = 0x8004, "ICMP";
    /// RFC 8489 §14.14.
    SOFTWARE = 0x8022, "SOFTWARE";
    /// RFC 8489 §14.15.
    ALTERNATE_SERVER = 0x8023, "ALTERNATE-SERVER";
    /// RFC 7982 §3.1.
    TRANSACTION_TRANSMIT_COUNTER = 0x8025, "TRANSACTION_TRANSMIT_COUNTER";
    /// RFC 5780 §9.1, which does not say what is in it.
    CACHE_TIMEOUT = 0x8027, "CACHE-TIMEOUT";
    /// RFC 8489 §14.7.
    FINGERPRINT = 0x8028, "FINGERPRINT";
    /// RFC 8445 §16.1.
    ICE_CONTROLLED = 0x8029, "ICE-CONTROLLED";
    /// RFC 8445 §16.1.
    ICE_CONTROLLING = 0x802A, "ICE-CONTROLLING";
    /// RFC 5780 §7.3.
    RESPONSE_ORIGIN = 0x802B, "RESPONSE-ORIGIN";
    /// RFC 5780 §7.4.
    OTHER_ADDRESS = 0x802C, "OTHER-ADDRESS";
    /// RFC 6679 §7.2.2.
    ECN_CHECK_STUN = 0x802D, "ECN-CHECK STUN";
    /// RFC 7635 §6.1.
    THIRD_PARTY_AUTHORIZATION = 0x802E, "THIRD-PARTY-AUTHORIZATION";
    /// draft-ietf-tram-stun-origin, which was never finished; Chromium sent it.
    ORIGIN = 0x802F, "ORIGIN";
    /// RFC 8016 §3.3.
    MOBILITY_TICKET = 0x8030, "MOBILITY-TICKET";
    /// Expert review.
    CISCO_STUN_FLOWDATA = 0xC000, "CISCO-STUN-FLOWDATA";
    /// Expert review.
    ENF_FLOW_DESCRIPTION = 0xC001, "ENF-FLOW-DESCRIPTION";
    /// Expert review.
    ENF_NETWORK_STATUS = 0xC002, "ENF-NETWORK-STATUS";
    /// Expert review, as all GOOG ones; libwebrtc sends it.
    GOOG_NETWORK_INFO = 0xC057, "GOOG-NETWORK-INFO";
    /// libwebrtc.
    GOOG_LAST_ICE_CHECK_RECEIVED = 0xC058, "GOOG-LAST-ICE-CHECK-RECEIVED";
    /// libwebrtc.
    GOOG_MISC_INFO = 0xC059, "GOOG-MISC-INFO";
    /// libwebrtc.
    GOOG_OBSOLETE_1 = 0xC05A, "GOOG-OBSOLETE-1";
    /// libwebrtc.
    GOOG_CONNECTION_ID = 0xC05B, "GOOG-CONNECTION-ID";
    /// libwebrtc.
    GOOG_DELTA = 0xC05C, "GOOG-DELTA";
    /// libwebrtc.
    GOOG_DELTA_ACK = 0xC05D, "GOOG-DELTA-ACK";
    /// libwebrtc.
    GOOG_DELTA_SYNC_REQ = 0xC05E, "GOOG-DELTA-SYNC-REQ";
    /// libwebrtc.
    GOOG_MESSAGE_INTEGRITY_32 = 0xC060, "GOOG-MESSAGE-INTEGRITY-32";
    /// libwebrtc: the DTLS handshake inside ICE's checks.
    META_DTLS_IN_STUN = 0xC070, "META-DTLS-IN-STUN";
    /// libwebrtc.
    META_DTLS_IN_STUN_ACKNOWLEDGEMENT = 0xC071, "META-DTLS-IN-STUN-ACKNOWLEDGEMENT";
}

/// The attributes of RFC 8489 and RFC 8656: a message remembers where the first of each lies.
const UNDERSTOOD: [AttributeType; SLOTS] = [
    AttributeType::MAPPED_ADDRESS,
    AttributeType::USERNAME,
    AttributeType::MESSAGE_INTEGRITY,
    AttributeType::ERROR_CODE,
    AttributeType::UNKNOWN_ATTRIBUTES,
    AttributeType::CHANNEL_NUMBER,
    AttributeType::LIFETIME,
    AttributeType::XOR_PEER_ADDRESS,
    AttributeType::DATA,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::XOR_RELAYED_ADDRESS,
    AttributeType::REQUESTED_ADDRESS_FAMILY,
    AttributeType::EVEN_PORT,
    AttributeType::REQUESTED_TRANSPORT,
    AttributeType::DONT_FRAGMENT,
    AttributeType::MESSAGE_INTEGRITY_SHA256,
    AttributeType::PASSWORD_ALGORITHM,
    AttributeType::USERHASH,
    AttributeType::XOR_MAPPED_ADDRESS,
    AttributeType::RESERVATION_TOKEN,
    AttributeType::ADDITIONAL_ADDRESS_FAMILY,
    AttributeType::ADDRESS_ERROR_CODE,
    AttributeType::PASSWORD_ALGORITHMS,
    AttributeType::ALTERNATE_DOMAIN,
    AttributeType::ICMP,
    AttributeType::SOFTWARE,
    AttributeType::ALTERNATE_SERVER,
    AttributeType::FINGERPRINT,
];

/// How many attributes are understood.
pub(in crate::wire) const SLOTS: usize = 29;

/// All understood types lie in two runs of 64 numbers, so one small table finds their slots.
const RUN: u16 = 64;
const NO_SLOT: u8 = u8::MAX;

// Indices below are compile-time values: one out of bounds would not compile.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]
const SLOT_OF: [u8; 2 * RUN as usize] = {
    let mut table = [NO_SLOT; 2 * RUN as usize];
    let mut slot = 0;
    while slot < SLOTS {
        let number = UNDERSTOOD[slot].0;
        assert!(number & 0x7FFF < RUN);
        table[((number & 0x7FFF) | ((number >> 15) * RUN)) as usize] = slot as u8;
        slot += 1;
    }
    table
};

impl AttributeType {
    /// Its place in a message's index, if it is understood.
    #[inline]
    pub(in crate::wire) const fn slot(self) -> Option<usize> {
        if self.0 & 0x7FFF >= RUN {
            return None;
        }
        let index = (self.0 & (RUN - 1)) | (self.0 >> 15).wrapping_mul(RUN);
        // `index` is below 2 * RUN: the low six bits and one run.
        #[allow(clippy::indexing_slicing)]
        match SLOT_OF[index as usize] {
            NO_SLOT => None,
            slot => Some(slot as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_understood_type_has_its_own_slot() {
        for (slot, attribute) in UNDERSTOOD.iter().enumerate() {
            assert_eq!(attribute.slot(), Some(slot), "{attribute}");
        }
        let understood = (0..=u16::MAX).map(AttributeType).filter(|attribute| attribute.is_understood()).count();
        assert_eq!(understood, UNDERSTOOD.len());
    }

    /// RFC 8489 §18.3 and RFC 8656 §18, table 5; extensions are unknown (D-15).
    #[test]
    fn the_attributes_of_extensions_are_not_understood() {
        for attribute in [
            AttributeType::CONNECTION_ID,
            AttributeType::CHANGE_REQUEST,
            AttributeType::PADDING,
            AttributeType::RESPONSE_PORT,
            AttributeType::ACCESS_TOKEN,
            AttributeType::PRIORITY,
            AttributeType::USE_CANDIDATE,
            AttributeType::MOBILITY_TICKET,
            AttributeType::BANDWIDTH,
            AttributeType::TIMER_VAL,
            AttributeType::PASSWORD,
            AttributeType(0x0000),
            AttributeType(0x7FFF),
            AttributeType(0xFFFF),
        ] {
            assert!(!attribute.is_understood(), "{attribute}");
        }
    }

    /// RFC 8489 §14.
    #[test]
    fn the_upper_half_may_be_ignored() {
        assert!(AttributeType(0x0000).is_comprehension_required());
        assert!(AttributeType(0x7FFF).is_comprehension_required());
        assert!(!AttributeType(0x8000).is_comprehension_required());
        assert!(!AttributeType(0xFFFF).is_comprehension_required());
    }

    #[test]
    fn types_are_shown_by_name() {
        assert_eq!(AttributeType::XOR_PEER_ADDRESS.to_string(), "XOR-PEER-ADDRESS");
        assert_eq!(format!("{:?}", AttributeType(0x7FFF)), "attribute 0x7fff");
        assert!(AttributeType::REGISTERED.is_sorted());
        assert!(AttributeType::REGISTERED.iter().all(|attribute| attribute.name().is_some()));
    }
}
