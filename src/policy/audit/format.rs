//! How times and names are written.

use std::fmt::{self, Write};

use crate::relay::Now;
use crate::relay::event::AllocationUuid;

/// RFC 3339, UTC, with nine decimals.
pub(super) struct Timestamp(pub(super) Now);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.unix_millis.min(LAST_MILLISECOND);
        let (days, in_day) = (millis / DAY, millis % DAY);
        let (year, month, day) = civil_from_days(days);
        let (seconds, fraction) = (in_day / 1000, in_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}000000Z")
    }
}

/// A day in milliseconds.
const DAY: u64 = 86_400_000;

/// 9999-12-31T23:59:59.999Z: RFC 3339 has no later year.
const LAST_MILLISECOND: u64 = 253_402_300_799_999;

/// Year, month and day of the proleptic Gregorian calendar, from days since 1970-01-01. Howard Hinnant,
/// "chrono-compatible low-level date algorithms": years that begin in March put the leap day last, 400 of them are an
/// era of 146,097 days.
#[expect(clippy::arithmetic_side_effects, reason = "days are at most those of the year 9999")]
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let since_march_0000 = days + 719_468;
    let (era, day_of_era) = (since_march_0000 / 146_097, since_march_0000 % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// 8-4-4-4-12 hexadecimal digits (RFC 9562 §4).
pub(super) struct Uuid<'a>(pub(super) &'a AllocationUuid);

impl fmt::Display for Uuid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (byte, index) in self.0.0.iter().zip(0_u8..) {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_char('-')?;
            }
            write!(f, "{byte:02x}")?;
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
    fn days_follow_one_another() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..200_000 {
            assert_eq!(civil_from_days(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn uuids() {
        let uuid = AllocationUuid([
            1, 0x9a, 0xa7, 0xc2, 0x6b, 0x1e, 0x7c, 0xc4, 0x9a, 0x51, 0x0c, 0x7f, 0x1f, 0x6d, 0x3e, 0x10,
        ]);
        assert_eq!(Uuid(&uuid).to_string(), "019aa7c2-6b1e-7cc4-9a51-0c7f1f6d3e10");
    }
}
