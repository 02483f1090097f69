//! ChannelData (RFC 8656 §12.4): what is accepted, and as what.

use turnkeep::wire::channel_data::{self, ChannelData, ChannelDataError, ChannelNumber, ChannelNumbers};
use turnkeep::wire::{Kind, classify};

/// Reads a datagram as ChannelData, compares with the plainest reading of the RFC, and writes it again.
pub fn run(datagram: &[u8]) {
    for (numbers, highest) in [(ChannelNumbers::Rfc8656, 0x4FFF), (ChannelNumbers::Rfc5766, 0x7FFF)] {
        let parsed = ChannelData::parse_among(numbers, datagram);
        assert_eq!(parsed, plain(datagram, numbers, highest));
        if let Ok(data) = parsed {
            check(datagram, numbers, data);
        }
    }
    assert_eq!(ChannelData::parse(datagram), ChannelData::parse_among(ChannelNumbers::Rfc8656, datagram));
}

fn check(datagram: &[u8], numbers: ChannelNumbers, ChannelData { number, payload }: ChannelData) {
    let is_of_rfc_8656 = number <= ChannelNumber::MAX;
    assert_eq!(classify(datagram), if is_of_rfc_8656 { Kind::ChannelData } else { Kind::Other });
    assert_eq!(ChannelNumber::new(number.get()), is_of_rfc_8656.then_some(number));
    let payload = &datagram[payload];
    let len = u16::try_from(payload.len()).expect("as the length field says");
    let written = [&channel_data::header(number, len), payload].concat();
    assert_eq!(written, datagram[..written.len()]);
    let again = ChannelData::parse_among(numbers, &written);
    assert_eq!(again, ChannelData::parse_among(numbers, datagram), "what follows is padding");
}

/// RFC 8656 §12.4 and §12.6, word for word.
fn plain(datagram: &[u8], numbers: ChannelNumbers, highest: u16) -> Result<ChannelData, ChannelDataError> {
    if datagram.len() < 4 {
        return Err(ChannelDataError::TooShort);
    }
    let number = u16::from(datagram[0]) * 256 + u16::from(datagram[1]);
    if !(0x4000..=highest).contains(&number) {
        return Err(ChannelDataError::BadNumber);
    }
    let len = usize::from(datagram[2]) * 256 + usize::from(datagram[3]);
    if datagram.len() - 4 < len {
        return Err(ChannelDataError::Truncated);
    }
    let number = numbers.find(number).expect("in range");
    Ok(ChannelData { number, payload: 4..4 + len })
}
