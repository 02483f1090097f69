//! The calendar, for whoever writes or reads a date: arithmetic alone, no clock.
#![forbid(unsafe_code)]

/// A point in time of the proleptic Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// From 1970 to 9999: RFC 3339 has no later one.
    pub year: u64,
    /// From 1.
    pub month: u64,
    /// From 1.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59: leap seconds are not in Unix time.
    pub second: u64,
}

const DAY: u64 = 86_400;
/// From 0000-03-01 to 1970-01-01, in days.
const EPOCH: u64 = 719_468;
/// 400 years.
const ERA: u64 = 146_097;
/// 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

impl Civil {
    /// The time `secs` seconds after 1970-01-01T00:00:00Z; of one later than the year 9999 its last second.
    ///
    /// Howard Hinnant, "chrono-compatible low-level date algorithms": years that begin in March put the leap day last.
    #[expect(clippy::arithmetic_side_effects, reason = "numbers are at most those of the year 9999")]
    pub const fn from_unix_secs(secs: u64) -> Self {
        let secs = if secs > LAST_SECOND { LAST_SECOND } else { secs };
        let (days, in_day) = (secs / DAY + EPOCH, secs % DAY);
        let (era, day) = (days / ERA, days % ERA);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let (hour, minute, second) = (in_day / 3600, in_day / 60 % 60, in_day % 60);
        Self { year: era * 400 + year + carry, month, day, hour, minute, second }
    }
}

/// Days from 1970-01-01 to a date; before it they are negative. A month or a day beyond the calendar's is not refused:
/// days are counted on.
#[expect(clippy::arithmetic_side_effects, reason = "a year is at most that of an i32")]
pub fn days_from_civil(year: i32, month: u8, day: u8) -> i64 {
    let (year, month, day) = (i64::from(year), i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_one_another() {
        let (mut year, mut month, mut day) = (1970_u64, 1_u64, 1_u64);
        for days in 0..200_000 {
            let found = Civil::from_unix_secs(days * DAY + DAY - 1);
            let expected = Civil { year, month, day, hour: 23, minute: 59, second: 59 };
            assert_eq!(found, expected);
            let date = (year.try_into().unwrap(), month.try_into().unwrap(), day.try_into().unwrap());
            assert_eq!(days_from_civil(date.0, date.1, date.2), i64::try_from(days).unwrap());
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
    fn there_is_no_later_year_than_9999() {
        let last = Civil { year: 9999, month: 12, day: 31, hour: 23, minute: 59, second: 59 };
        assert_eq!([LAST_SECOND, LAST_SECOND + 1, u64::MAX].map(Civil::from_unix_secs), [last; 3]);
    }

    #[test]
    fn before_1970_days_are_negative() {
        assert_eq!((days_from_civil(1969, 12, 31), days_from_civil(0, 3, 1)), (-1, -719_468));
    }
}
