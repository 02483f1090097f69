//! Where messages begin and end in a stream of bytes (RFC 8489 §6.2.2, RFC 8656 §12.5): a STUN message is as long as
//! its header says, ChannelData is padded to a multiple of four.
//!
//! What begins as neither is an error that nothing can mend: to look for the next beginning would be to guess, and an
//! attacker would choose what is found (D-12 of docs/conformance.md).

use std::fmt;

use super::channel_data::{CHANNEL_HEADER_LEN, ChannelNumbers};
use super::demux::{self, Kind};
use super::header::{COOKIE_BYTES, HEADER_LEN};

/// The longest message of a stream, in bytes: a STUN header and the longest body that is a multiple of four.
pub const MAX_FRAME: usize = 65_552;

const _: () = assert!(MAX_FRAME == HEADER_LEN + super::header::MAX_BODY_LEN);
const _: () = assert!(MAX_FRAME >= CHANNEL_HEADER_LEN + (u16::MAX as usize).next_multiple_of(4));

/// What stands at the beginning of a stream, or at the end of the last message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first so many bytes are one message, the padding of ChannelData included; at most [`MAX_FRAME`].
    Whole(usize),
    /// A message that is not all there. Nothing more can be said before there are so many bytes in all, which is the
    /// length of the message once its header is there.
    Partial {
        /// More than there are, and at most [`MAX_FRAME`].
        needed: usize,
    },
}

/// The stream does not go on with STUN or ChannelData: it must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfFrame;

/// Looks at the first message in `bytes`, which may be longer than it or not hold all of it.
///
/// # Errors
/// They begin as no message does: with another first byte, with a channel number out of range, or as a STUN message
/// whose length is no multiple of four or that lacks the magic cookie (RFC 8489 §5). What is wrong further inside is
/// not looked at: such a message is discarded, and the stream goes on.
#[inline]
pub fn frame(numbers: ChannelNumbers, bytes: &[u8]) -> Result<Frame, OutOfFrame> {
    if bytes.is_empty() {
        return Ok(Frame::Partial { needed: CHANNEL_HEADER_LEN });
    }
    match demux::classify(bytes) {
        Kind::Stun => stun(bytes),
        Kind::ChannelData => channel_data(bytes),
        Kind::Other if numbers == ChannelNumbers::Rfc5766 && matches!(bytes.first(), Some(0x50..=0x7F)) => {
            channel_data(bytes)
        }
        Kind::Dtls | Kind::Other => Err(OutOfFrame),
    }
}

fn stun(bytes: &[u8]) -> Result<Frame, OutOfFrame> {
    let Some((&[_, _, l0, l1], rest)) = bytes.split_first_chunk() else {
        return Ok(Frame::Partial { needed: CHANNEL_HEADER_LEN });
    };
    let body_len = usize::from(u16::from_be_bytes([l0, l1]));
    let is_cookie = rest.iter().zip(COOKIE_BYTES).all(|(byte, expected)| *byte == expected);
    if !body_len.is_multiple_of(4) || !is_cookie {
        return Err(OutOfFrame);
    }
    Ok(of_length(HEADER_LEN.saturating_add(body_len), bytes))
}

fn channel_data(bytes: &[u8]) -> Result<Frame, OutOfFrame> {
    let Some((&[_, _, l0, l1], _)) = bytes.split_first_chunk() else {
        return Ok(Frame::Partial { needed: CHANNEL_HEADER_LEN });
    };
    // The length counts the payload alone (RFC 8656 §12.5).
    let padded = usize::from(u16::from_be_bytes([l0, l1])).next_multiple_of(4);
    Ok(of_length(CHANNEL_HEADER_LEN.saturating_add(padded), bytes))
}

fn of_length(len: usize, bytes: &[u8]) -> Frame {
    if bytes.len() >= len { Frame::Whole(len) } else { Frame::Partial { needed: len } }
}

impl fmt::Display for OutOfFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither STUN nor ChannelData")
    }
}

impl std::error::Error for OutOfFrame {}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: ChannelNumbers = ChannelNumbers::Rfc8656;

    fn stun_of(body_len: u16) -> Vec<u8> {
        let mut bytes = vec![0, 1];
        bytes.extend(body_len.to_be_bytes());
        bytes.extend(COOKIE_BYTES);
        bytes.resize(HEADER_LEN + usize::from(body_len), 7);
        bytes
    }

    /// D-12: the first byte decides, before a second one has come.
    #[test]
    fn every_first_byte_begins_a_message_or_ends_the_stream() {
        for byte in 0..=u8::MAX {
            let [new, old] = [NEW, ChannelNumbers::Rfc5766].map(|numbers| frame(numbers, &[byte]).is_ok());
            assert_eq!(new, matches!(byte, 0..=3 | 0x40..=0x4F), "{byte:#x}");
            assert_eq!(old, matches!(byte, 0..=3 | 0x40..=0x7F), "{byte:#x}");
        }
    }

    #[test]
    fn a_message_is_as_long_as_its_header_says() {
        for body in [0, 4, 0x7FFC, 0xFFF0, 0xFFFC] {
            let whole = stun_of(body);
            let mut more = whole.clone();
            more.extend(b"\x40\0\0\0");
            assert_eq!(frame(NEW, &more), Ok(Frame::Whole(whole.len())));
            assert_eq!(frame(NEW, &whole), Ok(Frame::Whole(whole.len())));
            assert_eq!(frame(NEW, &whole[..whole.len() - 1]), Ok(Frame::Partial { needed: whole.len() }));
        }
        for (len, padded) in [(0, 0), (1, 4), (4, 4), (5, 8), (0xFFFD, 0x1_0000), (0xFFFF, 0x1_0000)] {
            let mut bytes = vec![0x40, 0];
            bytes.extend(u16::to_be_bytes(len));
            assert_eq!(frame(NEW, &bytes).unwrap(), of_length(4 + padded, &bytes), "{len}");
            bytes.resize(4 + padded + 9, 0);
            assert_eq!(frame(NEW, &bytes), Ok(Frame::Whole(4 + padded)), "{len}");
        }
    }

    #[test]
    fn what_is_needed_is_never_more_than_the_longest_message() {
        let shorts: [&[u8]; 6] = [b"", b"\0", b"\0\x01", b"\0\x01\xFF", b"\0\x01\xFF\xFC", b"\x40\0\xFF\xFF"];
        for bytes in shorts {
            let Ok(Frame::Partial { needed }) = frame(NEW, bytes) else { panic!("{bytes:?}") };
            assert!(needed > bytes.len() && needed <= MAX_FRAME, "{bytes:?}: {needed}");
        }
    }

    /// RFC 8489 §5: what lacks the cookie or is no multiple of four is not STUN, and so the stream has lost its frame.
    #[test]
    fn what_cannot_be_stun_ends_the_stream_as_soon_as_it_shows() {
        assert_eq!(frame(NEW, b"\0\x01\0\x03"), Err(OutOfFrame));
        assert_eq!(frame(NEW, b"\0\x01\0\x04\x21\x12\xA4"), Ok(Frame::Partial { needed: 24 }));
        assert_eq!(frame(NEW, b"\0\x01\0\x04\x21\x12\xA5"), Err(OutOfFrame));
        assert!(!OutOfFrame.to_string().is_empty());
    }
}
