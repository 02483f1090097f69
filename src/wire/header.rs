//! The STUN header (RFC 8489 §5): method, class, transaction id.

use std::fmt;

/// Bytes of a STUN header.
pub const HEADER_LEN: usize = 20;

/// The fixed second word of each message.
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// The cookie as it lies on the wire.
pub(super) const COOKIE_BYTES: [u8; 4] = MAGIC_COOKIE.to_be_bytes();

/// The largest value of the length field: 16 bits, and a multiple of 4.
pub(super) const MAX_BODY_LEN: usize = 65_532;

/// The 20 bytes before the attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What is asked for.
    pub method: Method,
    /// Request, indication or response.
    pub class: Class,
    /// Bytes behind the header; a multiple of 4 in a valid message.
    pub body_len: u16,
    /// Ties a response to its request.
    pub transaction_id: TransactionId,
}

impl Header {
    /// As it lies on the wire.
    #[inline]
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [type_hi, type_lo] = message_type(self.method, self.class).to_be_bytes();
        let [len_hi, len_lo] = self.body_len.to_be_bytes();
        let [c0, c1, c2, c3] = COOKIE_BYTES;
        let [t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11] = self.transaction_id.0;
        [type_hi, type_lo, len_hi, len_lo, c0, c1, c2, c3, t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11]
    }
}

/// 96 bits chosen by the client (RFC 8489 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub [u8; 12]);

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The two class bits (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// 0b00
    Request,
    /// 0b01: wants no answer.
    Indication,
    /// 0b10
    Success,
    /// 0b11
    Error,
}

impl Class {
    /// Where the class sits in the message type: C0 is bit 4, C1 bit 8.
    const fn bits(self) -> u16 {
        match self {
            Self::Request => 0x000,
            Self::Indication => 0x010,
            Self::Success => 0x100,
            Self::Error => 0x110,
        }
    }

    const fn of_message_type(message_type: u16) -> Self {
        match (message_type & 0x100 != 0, message_type & 0x010 != 0) {
            (false, false) => Self::Request,
            (false, true) => Self::Indication,
            (true, false) => Self::Success,
            (true, true) => Self::Error,
        }
    }

    /// The RFCs' word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Indication => "indication",
            Self::Success => "success response",
            Self::Error => "error response",
        }
    }
}

/// A STUN method: 12 bits (RFC 8489 §5, §18.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(u16);

macro_rules! methods {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal;)+) => {
        impl Method {
            $($(#[$doc])* pub const $constant: Self = Self($number);)+

            /// Every method of IANA's registry "STUN Methods", in order.
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

methods! {
    /// RFC 8489 §2.
    BINDING = 0x001, "Binding";
    /// RFC 8656 §7.
    ALLOCATE = 0x003, "Allocate";
    /// RFC 8656 §8.
    REFRESH = 0x004, "Refresh";
    /// RFC 8656 §11: an indication only.
    SEND = 0x006, "Send";
    /// RFC 8656 §11: an indication only.
    DATA = 0x007, "Data";
    /// RFC 8656 §10.
    CREATE_PERMISSION = 0x008, "CreatePermission";
    /// RFC 8656 §12.
    CHANNEL_BIND = 0x009, "ChannelBind";
    /// RFC 6062 §4.3.
    CONNECT = 0x00A, "Connect";
    /// RFC 6062 §4.3.
    CONNECTION_BIND = 0x00B, "ConnectionBind";
    /// RFC 6062 §4.4: an indication only.
    CONNECTION_ATTEMPT = 0x00C, "ConnectionAttempt";
    /// Registered by Google for libwebrtc.
    GOOG_PING = 0x080, "GOOG-PING";
}

impl Method {
    /// The method with this number, which has 12 bits.
    pub const fn new(number: u16) -> Option<Self> {
        if number <= 0x0FFF { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// M11–M7 move up past C1, M6–M4 past C0 (RFC 8489 §5, figure 3).
    const fn bits(self) -> u16 {
        (self.0 & 0xF80) << 2 | (self.0 & 0x070) << 1 | (self.0 & 0x00F)
    }

    const fn of_message_type(message_type: u16) -> Self {
        Self((message_type & 0x3E00) >> 2 | (message_type & 0x00E0) >> 1 | (message_type & 0x000F))
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "method 0x{:03x}", self.0),
        }
    }
}

/// The first 16 bits of a message; the top two are 0.
#[inline]
pub(super) const fn message_type(method: Method, class: Class) -> u16 {
    method.bits() | class.bits()
}

/// Takes a message type apart; the top two bits are not looked at.
#[inline]
pub(super) const fn split_message_type(message_type: u16) -> (Method, Class) {
    (Method::of_message_type(message_type), Class::of_message_type(message_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [Class; 4] = [Class::Request, Class::Indication, Class::Success, Class::Error];

    /// RFC 8489 §5: every method and class has its own type, with the top two bits clear, and comes back.
    #[test]
    fn message_types_round_trip() {
        let mut seen = std::collections::HashSet::new();
        for method in (0..=0xFFF).filter_map(Method::new) {
            for class in CLASSES {
                let bits = message_type(method, class);
                assert_eq!(bits & 0xC000, 0);
                assert_eq!(split_message_type(bits), (method, class));
                assert!(seen.insert(bits));
            }
        }
        assert_eq!(seen.len(), 0x4000);
    }

    #[test]
    fn message_types_are_the_published_ones() {
        for (method, class, bits) in [
            (Method::BINDING, Class::Request, 0x0001),
            (Method::BINDING, Class::Indication, 0x0011),
            (Method::BINDING, Class::Success, 0x0101),
            (Method::BINDING, Class::Error, 0x0111),
            (Method::ALLOCATE, Class::Request, 0x0003),
            (Method::ALLOCATE, Class::Error, 0x0113),
            (Method::SEND, Class::Indication, 0x0016),
            (Method::DATA, Class::Indication, 0x0017),
            (Method::CHANNEL_BIND, Class::Success, 0x0109),
            (Method::GOOG_PING, Class::Request, 0x0200),
        ] {
            assert_eq!(message_type(method, class), bits, "{method} {class:?}");
        }
    }

    #[test]
    fn a_method_has_twelve_bits() {
        assert_eq!(Method::new(0xFFF).map(Method::number), Some(0xFFF));
        assert_eq!(Method::new(0x1000), None);
    }

    #[test]
    fn methods_are_shown_by_name() {
        assert_eq!(Method::CHANNEL_BIND.to_string(), "ChannelBind");
        assert_eq!(Method(0x7F).to_string(), "method 0x07f");
        assert_eq!(format!("{:?}", Method::SEND), "Send");
        assert!(Method::REGISTERED.is_sorted());
        assert!(Method::REGISTERED.iter().all(|method| method.name().is_some()));
        assert_eq!(CLASSES.map(Class::name), ["request", "indication", "success response", "error response"]);
    }

    /// C-001: RFC 8489 §5.
    #[test]
    fn header_bytes() {
        let header = Header {
            method: Method::ALLOCATE,
            class: Class::Success,
            body_len: 0x1234,
            transaction_id: TransactionId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        };
        assert_eq!(
            header.to_bytes(),
            [0x01, 0x03, 0x12, 0x34, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        );
        assert_eq!(header.transaction_id.to_string(), "0102030405060708090a0b0c");
        assert_eq!(format!("{:?}", header.transaction_id), "0102030405060708090a0b0c");
    }
}
