//! The framing of streams (RFC 8489 §6.2.2, RFC 8656 §12.5): the same messages, wherever a stream is cut.

use turnkeep::wire::channel_data::ChannelNumbers;
use turnkeep::wire::framer::{Frame, MAX_FRAME, frame};

use super::input::Input;

/// What a stream turned out to be: the lengths of its messages, and whether something else came behind them.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    messages: Vec<usize>,
    is_broken: bool,
}

/// Cuts a stream into messages as the plainest reading of the RFCs does, and as it comes in pieces.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let (numbers, highest) = input.pick(&[(ChannelNumbers::Rfc8656, 0x4F), (ChannelNumbers::Rfc5766, 0x7F)]);
    let pieces = usize::from(input.u8()) % 16;
    let pieces: Vec<usize> = (0..pieces).map(|_| 1 + usize::from(input.u8())).collect();
    let stream = long(input.take(usize::MAX));
    let expected = plain(&stream, highest);
    assert_eq!(at_once(numbers, &stream), expected);
    assert_eq!(in_pieces(numbers, &stream, &pieces), expected, "{pieces:?}");
    // And byte by byte, unless it takes too long.
    if stream.len() <= 512 {
        assert_eq!(in_pieces(numbers, &stream, &[1]), expected);
    }
}

/// Two bytes of 0xFE and one more stand for so many kilobytes: without it no input would hold a long message.
fn long(bytes: &[u8]) -> Vec<u8> {
    let (mut rest, mut stream) = (bytes, Vec::new());
    while let Some((first, behind)) = rest.split_first() {
        match (rest, stream.len() < 3 * MAX_FRAME) {
            ([0xFE, 0xFE, many, behind @ ..], true) => {
                stream.resize(stream.len() + 1024 * usize::from(*many % 65), 0);
                rest = behind;
            }
            _ => {
                stream.push(*first);
                rest = behind;
            }
        }
    }
    stream
}

fn at_once(numbers: ChannelNumbers, stream: &[u8]) -> Cut {
    let (mut rest, mut messages) = (stream, Vec::new());
    loop {
        match frame(numbers, rest) {
            Ok(Frame::Whole(len)) => {
                assert!((4..=MAX_FRAME).contains(&len));
                messages.push(len);
                rest = &rest[len..];
            }
            Ok(Frame::Partial { needed }) => {
                assert!((rest.len() + 1..=MAX_FRAME).contains(&needed));
                return Cut { messages, is_broken: false };
            }
            Err(_) => return Cut { messages, is_broken: true },
        }
    }
}

/// As a connection brings it: a message that is not all there is kept, and of what comes next no more than it needs.
fn in_pieces(numbers: ChannelNumbers, stream: &[u8], pieces: &[usize]) -> Cut {
    let (mut kept, mut messages) = (Vec::new(), Vec::new());
    let mut rest = stream;
    let mut sizes = pieces.iter().copied().cycle();
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).min(rest.len());
        let (mut piece, behind) = rest.split_at(size);
        rest = behind;
        while !piece.is_empty() {
            let needed = match frame(numbers, &kept) {
                Ok(Frame::Partial { needed }) => needed - kept.len(),
                other => panic!("what is kept is a beginning: {other:?}"),
            };
            let (taken, left) = piece.split_at(needed.min(piece.len()));
            kept.extend_from_slice(taken);
            piece = left;
            match frame(numbers, &kept) {
                Ok(Frame::Whole(len)) => {
                    assert_eq!(len, kept.len(), "nothing of the next message was taken");
                    messages.push(len);
                    kept.clear();
                }
                Ok(Frame::Partial { .. }) => {}
                Err(_) => return Cut { messages, is_broken: true },
            }
        }
    }
    Cut { messages, is_broken: false }
}

/// Word for word.
fn plain(stream: &[u8], highest: u8) -> Cut {
    let (mut at, mut messages) = (0, Vec::new());
    while let Some(&first) = stream.get(at) {
        let byte = |offset: usize| stream.get(at + offset).copied();
        let is_stun = first < 4;
        if !is_stun && !(0x40..=highest).contains(&first) {
            return Cut { messages, is_broken: true };
        }
        // RFC 8489 §5: a multiple of four, and the cookie, as far as either has come.
        let is_wrong = byte(3).is_some_and(|low| low % 4 != 0)
            || (0..4).any(|index| {
                byte(4 + index).is_some_and(|b| b != [0x21, 0x12, 0xA4, 0x42][index]) && byte(3).is_some()
            });
        if is_stun && is_wrong {
            return Cut { messages, is_broken: true };
        }
        let (Some(high), Some(low)) = (byte(2), byte(3)) else { break };
        let body = usize::from(high) * 256 + usize::from(low);
        let len = if is_stun { 20 + body } else { 4 + body.div_ceil(4) * 4 };
        if stream.len() < at + len {
            break;
        }
        messages.push(len);
        at += len;
    }
    Cut { messages, is_broken: false }
}
