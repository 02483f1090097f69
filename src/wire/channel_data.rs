//! ChannelData (RFC 8656 §12.4): four bytes of header, then the payload.

use std::fmt;
use std::ops::Range;

/// A channel number that can be bound: 0x4000 to 0x4FFF (RFC 8656 §12), or what else [`ChannelNumbers`] says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The lowest.
    pub const MIN: Self = Self(0x4000);
    /// The highest.
    pub const MAX: Self = Self(0x4FFF);

    /// The channel with this number, if it is one.
    #[inline]
    pub const fn new(number: u16) -> Option<Self> {
        if number >= Self::MIN.0 && number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for ChannelNumber {
    type Error = ChannelDataError;

    fn try_from(number: u16) -> Result<Self, Self::Error> {
        Self::new(number).ok_or(ChannelDataError::BadNumber)
    }
}

impl fmt::Debug for ChannelNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04x}", self.0)
    }
}

/// Which channel numbers there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelNumbers {
    /// 0x4000 to 0x4FFF, which leave room for other protocols on the port (RFC 8656 §12, RFC 7983).
    #[default]
    Rfc8656,
    /// 0x4000 to 0x7FFF, which older clients may take theirs from (RFC 5766 §11). RFC 8656 §12 says that the ranges do
    /// not go together.
    Rfc5766,
}

impl ChannelNumbers {
    /// The channel with this number, if it is one.
    #[inline]
    pub const fn find(self, number: u16) -> Option<ChannelNumber> {
        match (self, number) {
            (Self::Rfc5766, 0x5000..=0x7FFF) => Some(ChannelNumber(number)),
            _ => ChannelNumber::new(number),
        }
    }
}

/// Bytes before the payload.
pub const CHANNEL_HEADER_LEN: usize = 4;

/// The header that goes before a payload of `len` bytes. Over UDP nothing need follow it; over a stream it is padded to
/// a multiple of 4 with bytes that `len` does not count (RFC 8656 §12.5).
#[inline]
pub const fn header(number: ChannelNumber, len: u16) -> [u8; CHANNEL_HEADER_LEN] {
    let [n0, n1] = number.0.to_be_bytes();
    let [l0, l1] = len.to_be_bytes();
    [n0, n1, l0, l1]
}

/// A ChannelData message in a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelData {
    /// On which channel.
    pub number: ChannelNumber,
    /// Which bytes of the datagram are the payload; can be none.
    pub payload: Range<usize>,
}

impl ChannelData {
    /// Reads a datagram. Bytes behind the length are ignored: they may be padding (RFC 8656 §12.6).
    ///
    /// # Errors
    /// See [`ChannelDataError`].
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<Self, ChannelDataError> {
        Self::parse_among(ChannelNumbers::Rfc8656, datagram)
    }

    /// The same, with channel numbers of that range.
    ///
    /// # Errors
    /// See [`ChannelDataError`].
    #[inline]
    pub fn parse_among(numbers: ChannelNumbers, datagram: &[u8]) -> Result<Self, ChannelDataError> {
        let Some((&[n0, n1, l0, l1], rest)) = datagram.split_first_chunk() else {
            return Err(ChannelDataError::TooShort);
        };
        let Some(number) = numbers.find(u16::from_be_bytes([n0, n1])) else {
            return Err(ChannelDataError::BadNumber);
        };
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if len > rest.len() {
            return Err(ChannelDataError::Truncated);
        }
        Ok(Self { number, payload: CHANNEL_HEADER_LEN..CHANNEL_HEADER_LEN.saturating_add(len) })
    }
}

/// Why a datagram is no ChannelData message: it is silently discarded (RFC 8656 §12.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelDataError {
    /// Fewer bytes than a header has.
    TooShort,
    /// Not a channel number of the range.
    BadNumber,
    /// The length says more than the datagram holds.
    Truncated,
}

impl fmt::Display for ChannelDataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "shorter than a ChannelData header",
            Self::BadNumber => "not a channel number",
            Self::Truncated => "the length runs past the end of the datagram",
        })
    }
}

impl std::error::Error for ChannelDataError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5766 §11.
    #[test]
    fn the_older_range_is_wider_by_three_quarters() {
        let [old, new] = [ChannelNumbers::Rfc5766, ChannelNumbers::Rfc8656];
        for number in 0..=u16::MAX {
            assert_eq!(old.find(number).is_some(), (0x4000..0x8000).contains(&number), "{number:#x}");
            assert_eq!(new.find(number), ChannelNumber::new(number), "{number:#x}");
        }
        let datagram = [0x7F, 0xFF, 0, 1, b'x'];
        let data = ChannelData::parse_among(old, &datagram).unwrap();
        assert_eq!((data.number.get(), data.payload), (0x7FFF, 4..5));
        assert_eq!(ChannelData::parse(&datagram), Err(ChannelDataError::BadNumber));
    }

    const NUMBER: ChannelNumber = ChannelNumber(0x4001);

    /// C-201, C-219: RFC 8656 §12; one range for binding and for data.
    #[test]
    fn channel_numbers_are_4000_to_4fff() {
        for number in 0..=u16::MAX {
            let valid = (0x4000..=0x4FFF).contains(&number);
            assert_eq!(ChannelNumber::new(number).map(ChannelNumber::get), valid.then_some(number));
            let [hi, lo] = number.to_be_bytes();
            assert_eq!(ChannelData::parse(&[hi, lo, 0, 0]).is_ok(), valid);
        }
        assert_eq!(ChannelNumber::try_from(0x5000), Err(ChannelDataError::BadNumber));
        assert_eq!(ChannelNumber::try_from(0x4FFF), Ok(ChannelNumber::MAX));
        assert_eq!(format!("{:?}", ChannelNumber::MIN), "0x4000");
    }

    /// C-217, C-220, C-221, C-222: RFC 8656 §12.6.
    #[test]
    fn the_length_decides() {
        let parse = |datagram: &[u8]| ChannelData::parse(datagram).map(|data| data.payload);
        assert_eq!(parse(b"\x40\x01\0\x03abc"), Ok(4..7));
        assert_eq!(parse(b"\x40\x01\0\x03abc\0"), Ok(4..7), "padding");
        assert_eq!(parse(b"\x40\x01\0\x03abcdefgh"), Ok(4..7), "more than padding");
        assert_eq!(parse(b"\x40\x01\0\0"), Ok(4..4));
        assert_eq!(parse(b"\x40\x01\0\x03ab"), Err(ChannelDataError::Truncated));
        assert_eq!(parse(b"\x40\x01\xFF\xFFab"), Err(ChannelDataError::Truncated));
        for short in 0..4 {
            assert_eq!(parse(&b"\x40\x01\0\0"[..short]), Err(ChannelDataError::TooShort));
        }
    }

    /// C-223, C-224.
    #[test]
    fn a_header_is_read_back() {
        for len in [0, 1, 160, u16::MAX] {
            let datagram = [&header(NUMBER, len)[..], &vec![0; usize::from(len)]].concat();
            let expected = ChannelData { number: NUMBER, payload: 4..4 + usize::from(len) };
            assert_eq!(ChannelData::parse(&datagram), Ok(expected));
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for error in [ChannelDataError::TooShort, ChannelDataError::BadNumber, ChannelDataError::Truncated] {
            assert!(!error.to_string().is_empty());
        }
    }
}
