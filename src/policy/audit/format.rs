//! How times and names are written.

use std::fmt::{self, Write};

use crate::calendar::Civil;
use crate::relay::Now;
use crate::relay::event::AllocationUuid;

/// RFC 3339, UTC, with nine decimals.
pub(super) struct Timestamp(pub(super) Now);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.unix_millis.min(LAST_MILLISECOND);
        let Civil { year, month, day, hour, minute, second } = Civil::from_unix_secs(millis / 1000);
        let fraction = millis % 1000;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}000000Z")
    }
}

/// 9999-12-31T23:59:59.999Z: RFC 3339 has no later year.
const LAST_MILLISECOND: u64 = 253_402_300_799_999;

/// 8-4-4-4-12 hexadecimal digits (RFC 9562 §4).
pub(super) struct Uuid<'a>(pub(super) &'a AllocationUuid);

impl fmt::Display for Uuid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (byte, index) in self.0.0.iter().zip(0_u8..) {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_char('-')?;
            }
            for digit in [byte >> 4, byte & 0xf] {
                f.write_char(char::from_digit(digit.into(), 16).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Instant;

    #[test]
    fn timestamps() {
        let at = |unix_millis| Timestamp(Now { instant: Instant::default(), unix_millis }).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(at(951_782_399_999), "2000-02-28T23:59:59.999000000Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(at(951_868_800_000), "2000-03-01T00:00:00.000000000Z");
        assert_eq!(at(1_795_285_900_412), "2026-11-21T18:31:40.412000000Z");
        assert_eq!(at(4_107_542_399_000), "2100-02-28T23:59:59.000000000Z");
        assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000000000Z");
        assert_eq!(at(u64::MAX), "9999-12-31T23:59:59.999000000Z");
    }

    #[test]
    fn uuids() {
        let uuid = AllocationUuid([
            1, 0x9a, 0xa7, 0xc2, 0x6b, 0x1e, 0x7c, 0xc4, 0x9a, 0x51, 0x0c, 0x7f, 0x1f, 0x6d, 0x3e, 0x10,
        ]);
        assert_eq!(Uuid(&uuid).to_string(), "019aa7c2-6b1e-7cc4-9a51-0c7f1f6d3e10");
    }
}
