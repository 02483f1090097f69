//! A STUN message as received: validated in one pass, decoded attribute by attribute when asked.

use std::fmt;
use std::ops::Range;

use super::attribute::{AttributeType, Decode, InvalidAttribute, SLOTS};
use super::fingerprint::{self, Fingerprint};
use super::header::{COOKIE_BYTES, Class, HEADER_LEN, Header, Method, TransactionId, split_message_type};
use super::integrity::{Integrity, IntegrityError, IntegrityKey};

/// The most attributes of a message; one with more is refused whole.
pub const MAX_ATTRIBUTES: usize = 64;

/// The most unknown required attributes that are listed.
pub const MAX_UNKNOWN: usize = 16;

/// Bytes of an attribute's type and length.
const ATTRIBUTE_HEADER_LEN: usize = 4;

/// A valid STUN message in a datagram, and an index of the attributes that count.
///
/// What counts (RFC 8489 §9, §14.5–§14.7): the first attribute of each type; behind MESSAGE-INTEGRITY only
/// MESSAGE-INTEGRITY-SHA256 and FINGERPRINT, behind MESSAGE-INTEGRITY-SHA256 only FINGERPRINT, behind FINGERPRINT
/// nothing. All else is, to every method but [`attributes`](Self::attributes), not there.
#[derive(Clone)]
pub struct Message<'a> {
    datagram: &'a [u8],
    header: &'a [u8; HEADER_LEN],
    /// Where the first integrity attribute or FINGERPRINT starts, or the message ends.
    open_end: usize,
    /// Where the first attribute of each understood type starts, in words of 4 bytes; 0 (the header) is nowhere.
    first: [u16; SLOTS],
    unknown: Unknown,
}

// A message is built for each packet: keep it within two cache lines.
const _: () = assert!(size_of::<Message<'_>>() <= 128);

impl<'a> Message<'a> {
    /// Reads a datagram, which must hold one message and nothing else (RFC 8489 §6.3).
    ///
    /// # Errors
    /// See [`ParseError`]. Unknown attributes and bad values are none: ask [`unknown_required`](Self::unknown_required)
    /// and [`get`](Self::get).
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let Some((header, body)) = datagram.split_first_chunk::<HEADER_LEN>() else {
            return Err(ParseError::TooShort);
        };
        let [t0, _, l0, l1, c0, c1, c2, c3, ..] = *header;
        if t0 & 0xC0 != 0 {
            return Err(ParseError::NotStun);
        }
        if [c0, c1, c2, c3] != COOKIE_BYTES {
            return Err(ParseError::BadCookie);
        }
        if usize::from(u16::from_be_bytes([l0, l1])) != body.len() || !body.len().is_multiple_of(4) {
            return Err(ParseError::BadLength);
        }
        let open_end = datagram.len();
        let mut message = Self { datagram, header, open_end, first: [0; SLOTS], unknown: Unknown::NONE };
        message.index(body)?;
        Ok(message)
    }

    /// The one pass over the attributes.
    #[inline]
    fn index(&mut self, body: &[u8]) -> Result<(), ParseError> {
        let mut scope = Scope::Open;
        let mut offset = HEADER_LEN;
        let mut rest = body;
        let mut count: usize = 0;
        // `body` is whole words, and so is what follows each attribute: a rest shorter than a header is an empty one.
        while let Some((&[t0, t1, l0, l1], tail)) = rest.split_first_chunk() {
            count = count.saturating_add(1);
            if count > MAX_ATTRIBUTES {
                return Err(ParseError::TooManyAttributes);
            }
            let padded_len = usize::from(u16::from_be_bytes([l0, l1])).next_multiple_of(4);
            let Some(next) = tail.get(padded_len..) else {
                return Err(ParseError::AttributeOverrun);
            };
            let attribute = AttributeType(u16::from_be_bytes([t0, t1]));
            if scope.admits(attribute) {
                let wider = scope;
                scope = scope.behind(attribute);
                if wider == Scope::Open && scope != Scope::Open {
                    self.open_end = offset;
                }
                self.note(attribute, offset);
            }
            offset = offset.saturating_add(ATTRIBUTE_HEADER_LEN).saturating_add(padded_len);
            rest = next;
        }
        Ok(())
    }

    /// Remembers an attribute that counts.
    #[inline]
    fn note(&mut self, attribute: AttributeType, offset: usize) {
        match attribute.slot().and_then(|slot| self.first.get_mut(slot)) {
            // Below 65,556 / 4.
            Some(first @ 0) => *first = u16::try_from(offset >> 2).unwrap_or_default(),
            Some(_) => {}
            None if attribute.is_comprehension_required() => self.unknown.add(attribute),
            None => {}
        }
    }

    /// Request, indication or response.
    #[inline]
    pub fn class(&self) -> Class {
        self.message_type().1
    }

    /// What is asked for.
    #[inline]
    pub fn method(&self) -> Method {
        self.message_type().0
    }

    #[inline]
    fn message_type(&self) -> (Method, Class) {
        let [t0, t1, ..] = *self.header;
        split_message_type(u16::from_be_bytes([t0, t1]))
    }

    /// Ties the answer to the request.
    #[inline]
    pub fn transaction_id(&self) -> TransactionId {
        let [_, _, _, _, _, _, _, _, id @ ..] = *self.header;
        TransactionId(id)
    }

    /// The datagram.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.datagram
    }

    /// The first attribute of this type; a duplicate has no effect (RFC 8489 §14), not even when the first is invalid.
    ///
    /// # Errors
    /// It is there, but its value is none that the RFC allows.
    #[inline]
    pub fn get<T: Decode<'a>>(&self) -> Result<Option<T>, InvalidAttribute> {
        let Some(range) = self.range_of(T::TYPE) else {
            return Ok(None);
        };
        self.decode(range).map(Some)
    }

    /// Every attribute of this type, in order, for the types that may repeat (XOR-PEER-ADDRESS, RFC 8656 §10.1).
    pub fn all<T: Decode<'a>>(&self) -> impl Iterator<Item = Result<T, InvalidAttribute>> {
        self.open_attributes().filter(|(attribute, _)| *attribute == T::TYPE).map(|(_, range)| self.decode(range))
    }

    #[inline]
    fn decode<T: Decode<'a>>(&self, range: Range<usize>) -> Result<T, InvalidAttribute> {
        let value = self.datagram.get(range).ok_or(InvalidAttribute(T::TYPE))?;
        T::decode(value, &self.transaction_id()).ok_or(InvalidAttribute(T::TYPE))
    }

    /// Whether there is an attribute of this type, valid or not.
    #[inline]
    pub fn has(&self, attribute: AttributeType) -> bool {
        self.range_of(attribute).is_some()
    }

    /// Where the value of the first attribute of this type lies in the datagram, padding excluded: a DATA is forwarded
    /// from there. An attribute that is not understood is searched for, the others are looked up.
    #[inline]
    pub fn range_of(&self, attribute: AttributeType) -> Option<Range<usize>> {
        let Some(slot) = attribute.slot() else {
            return self.open_attributes().find(|(found, _)| *found == attribute).map(|(_, range)| range);
        };
        match self.first.get(slot)? {
            0 => None,
            words => attribute_at(self.datagram, usize::from(*words) << 2).map(|(_, range)| range),
        }
    }

    /// The required attributes that are not understood, each once, the first 16 of them. A request gets a 420 for them
    /// once it is authenticated, an indication is dropped (RFC 8489 §6.3.1, §6.3.2).
    #[inline]
    pub fn unknown_required(&self) -> &[AttributeType] {
        self.unknown.as_slice()
    }

    /// Checks FINGERPRINT (RFC 8489 §14.7); the CRC is computed here, not in `parse`.
    pub fn fingerprint(&self) -> Fingerprint {
        let Some(range) = self.range_of(AttributeType::FINGERPRINT) else {
            return Fingerprint::Absent;
        };
        let is_last = range.end == self.datagram.len();
        let before = self.datagram.get(..range.start.saturating_sub(ATTRIBUTE_HEADER_LEN)).unwrap_or_default();
        if is_last && self.datagram.get(range) == Some(&fingerprint::value(before)) {
            Fingerprint::Valid
        } else {
            Fingerprint::Invalid
        }
    }

    /// Which integrity attribute decides: MESSAGE-INTEGRITY-SHA256 if it is there, whatever MESSAGE-INTEGRITY says
    /// (RFC 8489 §9.2.4), else MESSAGE-INTEGRITY.
    #[inline]
    pub fn integrity(&self) -> Option<Integrity> {
        [Integrity::Sha256, Integrity::Sha1].into_iter().find(|integrity| self.has(integrity.attribute_type()))
    }

    /// Checks the integrity attribute that decides, in constant time.
    ///
    /// MESSAGE-INTEGRITY must be 20 bytes, MESSAGE-INTEGRITY-SHA256 32: a usage may allow the latter to be truncated
    /// (RFC 8489 §14.6), TURN does not.
    ///
    /// # Errors
    /// There is none, it has a wrong length, or it does not match; a key for the other attribute never matches.
    pub fn verify_integrity(&self, key: &IntegrityKey) -> Result<(), IntegrityError> {
        let integrity = self.integrity().ok_or(IntegrityError::Missing)?;
        let range = self.range_of(integrity.attribute_type()).ok_or(IntegrityError::Missing)?;
        if range.len() != integrity.len() {
            return Err(IntegrityError::BadLength);
        }
        // The HMAC sees a message that ends with this attribute (RFC 8489 §14.5). It ends within the datagram's own
        // length.
        let body_len = u16::try_from(range.end.saturating_sub(HEADER_LEN)).unwrap_or_default();
        let (method, class) = self.message_type();
        let header = Header { method, class, body_len, transaction_id: self.transaction_id() }.to_bytes();
        let before = self.datagram.get(HEADER_LEN..range.start.saturating_sub(ATTRIBUTE_HEADER_LEN));
        let value = self.datagram.get(range);
        match (before, value) {
            (Some(before), Some(value)) if key.integrity() == integrity && key.verify(&header, before, value) => Ok(()),
            _ => Err(IntegrityError::Mismatch),
        }
    }

    /// Every attribute as it lies in the datagram, type and range of the value, with those that do not count.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { bytes: self.datagram, offset: HEADER_LEN }
    }

    /// Those before the first integrity attribute or FINGERPRINT.
    fn open_attributes(&self) -> Attributes<'a> {
        Attributes { bytes: self.datagram.get(..self.open_end).unwrap_or_default(), offset: HEADER_LEN }
    }
}

/// Shows no value of an attribute: there are user names and payloads among them.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("method", &self.method())
            .field("class", &self.class())
            .field("transaction_id", &self.transaction_id())
            .field("attributes", &self.attributes())
            .finish()
    }
}

/// Why a datagram is no STUN message: it is silently discarded (RFC 8489 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// Fewer bytes than a header has.
    TooShort,
    /// The top two bits are not 0 (RFC 8489 §5).
    NotStun,
    /// The second word is not the magic cookie; RFC 3489's messages have none.
    BadCookie,
    /// The length field is not the number of bytes that follow the header, or no multiple of 4.
    BadLength,
    /// An attribute runs past the end.
    AttributeOverrun,
    /// More than [`MAX_ATTRIBUTES`].
    TooManyAttributes,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "shorter than a STUN header",
            Self::NotStun => "the top two bits are not 0",
            Self::BadCookie => "no magic cookie",
            Self::BadLength => "the length field is not the datagram's",
            Self::AttributeOverrun => "an attribute runs past the end",
            Self::TooManyAttributes => "too many attributes",
        })
    }
}

impl std::error::Error for ParseError {}

/// Walks over attributes: type and range of the value.
#[derive(Clone)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Iterator for Attributes<'_> {
    type Item = (AttributeType, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let (attribute, value) = attribute_at(self.bytes, self.offset)?;
        self.offset = value.end.next_multiple_of(4);
        Some((attribute, value))
    }
}

impl fmt::Debug for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone().map(|(attribute, value)| (attribute, value.len()))).finish()
    }
}

/// The attribute whose header is at `offset`. Offsets are multiples of 4 in the datagram, so padding ends at one too.
#[inline]
fn attribute_at(bytes: &[u8], offset: usize) -> Option<(AttributeType, Range<usize>)> {
    let &[t0, t1, l0, l1] = bytes.get(offset..)?.first_chunk()?;
    let start = offset.saturating_add(ATTRIBUTE_HEADER_LEN);
    let end = start.saturating_add(usize::from(u16::from_be_bytes([l0, l1])));
    Some((AttributeType(u16::from_be_bytes([t0, t1])), start..end))
}

/// How far the walk has come past integrity and FINGERPRINT, and so what still counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Open,
    BehindSha1,
    BehindSha256,
    BehindFingerprint,
}

impl Scope {
    #[inline]
    fn admits(self, attribute: AttributeType) -> bool {
        match self {
            Self::Open => true,
            Self::BehindSha1 => {
                matches!(attribute, AttributeType::MESSAGE_INTEGRITY_SHA256 | AttributeType::FINGERPRINT)
            }
            Self::BehindSha256 => attribute == AttributeType::FINGERPRINT,
            Self::BehindFingerprint => false,
        }
    }

    #[inline]
    fn behind(self, attribute: AttributeType) -> Self {
        match attribute {
            AttributeType::MESSAGE_INTEGRITY => Self::BehindSha1,
            AttributeType::MESSAGE_INTEGRITY_SHA256 => Self::BehindSha256,
            AttributeType::FINGERPRINT => Self::BehindFingerprint,
            _ => self,
        }
    }
}

/// A list of bounded length.
#[derive(Clone)]
struct Unknown {
    types: [AttributeType; MAX_UNKNOWN],
    len: u8,
}

impl Unknown {
    const NONE: Self = Self { types: [AttributeType(0); MAX_UNKNOWN], len: 0 };

    fn as_slice(&self) -> &[AttributeType] {
        self.types.get(..usize::from(self.len)).unwrap_or_default()
    }

    #[cold]
    fn add(&mut self, attribute: AttributeType) {
        if self.as_slice().contains(&attribute) {
            return;
        }
        if let Some(free) = self.types.get_mut(usize::from(self.len)) {
            *free = attribute;
            self.len = self.len.saturating_add(1);
        }
    }
}
