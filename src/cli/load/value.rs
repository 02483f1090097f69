//! Values with units.

use std::time::Duration;

use crate::config::value::parse_period;

/// A whole number that `rate` would take, up to `N`.
fn whole<const MOST: u32>(text: &str) -> Result<u32, String> {
    let value = rate(text).map_err(|_| "write it like 100, 10k or 1M".to_owned())?;
    let is_whole = value.fract() == 0.0 && value <= f64::from(MOST);
    // It fits, then.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, above 0 and at most MOST"
    )]
    let whole = value as u32;
    is_whole.then_some(whole).ok_or_else(|| format!("it must be a whole number from 1 to {MOST}"))
}

/// `100` or `10k`.
pub(super) fn count(text: &str) -> Result<u32, String> {
    whole::<{ u32::MAX }>(text)
}

/// The same of what is counted in 16 bits.
pub(super) fn small_count(text: &str) -> Result<u16, String> {
    whole::<65_535>(text).map(|count| u16::try_from(count).unwrap_or(u16::MAX))
}

/// `50000` or `50k`.
pub(in crate::cli) fn rate(text: &str) -> Result<f64, String> {
    let (digits, scale) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => (text.strip_suffix('M').unwrap_or(text), if text.ends_with('M') { 1e6 } else { 1.0 }),
    };
    let value = digits.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
    value.map(|value| value * scale).ok_or_else(|| "it must be above 0, and be written like 500, 50k or 1.5M".into())
}

/// How much is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// So much each second.
    PerS(f64),
    /// As much as goes.
    Max,
}

impl Pace {
    pub(super) fn per_s(self) -> Option<f64> {
        match self {
            Self::PerS(rate) => Some(rate),
            Self::Max => None,
        }
    }
}

/// `500`, `50k`, or `max`.
pub(super) fn pace(text: &str) -> Result<Pace, String> {
    match text {
        "max" => Ok(Pace::Max),
        _ => rate(text).map(Pace::PerS).map_err(|mend| format!("{mend}, or max")),
    }
}

/// `0.1%`.
pub(in crate::cli) fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|digits| digits.trim().parse::<f64>().ok());
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent.map(|percent| percent / 100.0).ok_or_else(|| "it must be from 0% to 100%, and be written like 0.1%".into())
}

/// `500us`, `10ms`, or what the configuration takes: `30s`, `10m`.
pub(super) fn period(text: &str) -> Result<Duration, String> {
    let scaled = |suffix: &str, scale: f64| {
        let value: f64 = text.strip_suffix(suffix)?.trim().parse().ok()?;
        Duration::try_from_secs_f64(value * scale).ok()
    };
    let found = scaled("us", 1e-6).or_else(|| scaled("ms", 1e-3)).or_else(|| scaled("s", 1.0));
    let mend = if text.starts_with('-') { "a time is not negative; write it" } else { "write it" };
    found.or_else(|| parse_period(text)).ok_or_else(|| format!("{mend} like 500us, 10ms, 30s or 10m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        assert_eq!([rate("500"), rate("50k"), rate("1.5M")], [Ok(500.0), Ok(50_000.0), Ok(1_500_000.0)]);
        assert_eq!([pace("50k"), pace("max")], [Ok(Pace::PerS(50_000.0)), Ok(Pace::Max)]);
        assert!(pace("most").is_err_and(|mend| mend.ends_with("or max")));
        assert!(rate("0").is_err() && rate("k").is_err() && rate("-5").is_err() && rate("inf").is_err());
        assert_eq!(share("0.1%").map(|share| (share * 1e6).round()), Ok(1000.0));
        assert_eq!([count("10k"), count("7"), count("1.5M")], [Ok(10_000), Ok(7), Ok(1_500_000)]);
        assert!(count("1.5").is_err_and(|error| error.contains("whole number from 1 to 4294967295")));
        assert!(count("-3").is_err() && small_count("70k").is_err_and(|error| error.contains("65535")));
        assert!(period("-5s").is_err_and(|error| error.contains("not negative")));
        assert!(share("0.1").is_err() && share("101%").is_err());
        assert_eq!(period("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(period("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(period("2m"), Ok(Duration::from_mins(2)));
        assert!(period("10").is_err() && period("-1s").is_err());
    }
}
