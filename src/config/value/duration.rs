//! Lengths of time, written as people say them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::{Text, text_value};

/// A length of time from `MIN` to `MAX` seconds, in whole milliseconds: `"2s"`, `"10m"`, `"1h30m"`, `"24h"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period<const MIN: u64, const MAX: u64>(Duration);

/// The units, longest first, and what each is in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl<const MIN: u64, const MAX: u64> Period<MIN, MAX> {
    /// A default, known to be within its limits when it is compiled.
    pub(in crate::config) const fn of_secs(secs: u64) -> Self {
        assert!(MIN <= secs && secs <= MAX);
        Self(Duration::from_secs(secs))
    }

    /// As the standard library has it.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> Text for Period<MIN, MAX> {
    fn allowed() -> Cow<'static, str> {
        let (min, max) = (Spelled(Duration::from_secs(MIN)), Spelled(Duration::from_secs(MAX)));
        format!("a time from \"{min}\" to \"{max}\", in d, h, m, s or ms").into()
    }

    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let Some(duration) = parse_period(text) else { return Err("is no length of time".into()) };
        if duration < Duration::from_secs(MIN) {
            return Err("is too short".into());
        }
        if duration > Duration::from_secs(MAX) {
            return Err("is too long".into());
        }
        Ok(Self(duration))
    }
}

impl<const MIN: u64, const MAX: u64> fmt::Display for Period<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Spelled(self.0).fmt(f)
    }
}

text_value!([const MIN: u64, const MAX: u64] Period<MIN, MAX>);

/// The length of time that `text` names: numbers with units, the longer units first, none twice.
pub fn parse_period(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let (_, millis) = units.by_ref().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*millis)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(Duration::from_millis(total))
}

/// A length of time as it is written in the configuration: whole milliseconds, in the fewest units.
pub struct Spelled(pub Duration);

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in UNITS {
            let count = rest / u128::from(millis);
            // "24h" reads better than "1d" where a limit on calls is meant; two days and more are days.
            if count == 0 || (unit == "d" && (count == 1 || !rest.is_multiple_of(millis.into()))) {
                continue;
            }
            write!(f, "{count}{unit}")?;
            rest %= u128::from(millis);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Hour = Period<1, 3600>;

    #[test]
    fn reads_what_it_writes() {
        for (text, millis) in [
            ("500ms", 500),
            ("2s", 2000),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_period(text), Some(Duration::from_millis(millis)), "{text}");
            let spelled = Spelled(Duration::from_millis(millis)).to_string();
            assert_eq!(parse_period(&spelled), Some(Duration::from_millis(millis)), "{spelled}");
        }
        assert_eq!(Spelled(Duration::from_secs(86_400)).to_string(), "24h");
        assert_eq!(Spelled(Duration::from_secs(90)).to_string(), "1m30s");
    }

    #[test]
    fn refuses_what_is_no_length_of_time() {
        for text in ["", "10", "m", "1.5h", "-1s", "1 h", "1h1h", "1m1h", "1y", "1H", "99999999999999999999s", "1s "] {
            assert_eq!(parse_period(text), None, "{text:?}");
        }
        // As many days as fit into 64 bits of days do not fit into 64 bits of milliseconds.
        assert_eq!(parse_period(&format!("{}d", u64::MAX)), None);
    }

    #[test]
    fn keeps_its_limits() {
        assert_eq!(Hour::parse("1h").map(Hour::get), Ok(Duration::from_secs(3600)));
        assert_eq!(Hour::parse("3601s"), Err("is too long".into()));
        assert_eq!(Hour::parse("999ms"), Err("is too short".into()));
        assert_eq!(Hour::allowed(), "a time from \"1s\" to \"1h\", in d, h, m, s or ms");
    }
}
