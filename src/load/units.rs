//! Figures as people read them: with units, thousands apart, and no more digits than were measured.

use crate::calendar::Civil;

/// A time in microseconds: `4.20 µs`, `41.5 µs`, `310 µs`, `1.10 ms`, `2.00 s`.
pub(super) fn micros(micros: f64) -> String {
    match micros {
        ..999.5 => format!("{} µs", three(micros)),
        ..999_500.0 => format!("{} ms", three(micros / 1e3)),
        _ => format!("{} s", three(micros / 1e6)),
    }
}

/// A time in seconds: `0.12 s`, `30 s`, `10 min`, `1.5 h`.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        ..1.0 => micros(seconds * 1e6),
        ..180.0 => format!("{} s", short(seconds)),
        ..10_800.0 => format!("{} min", short(seconds / 60.0)),
        _ => format!("{} h", short(seconds / 3600.0)),
    }
}

/// `299,970`.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number that may have a fraction: `9,999`, `12.5`, `0.25`.
pub(super) fn number(value: f64) -> String {
    if value.abs() < 100.0 { short(value) } else { count(value.round().max(0.0) as u64) }
}

/// A number on an axis: `0`, `500`, `10k`, `1.5M`.
pub(super) fn brief(value: f64) -> String {
    match value.abs() {
        ..1e3 => short(value),
        ..1e6 => format!("{}k", short(value / 1e3)),
        _ => format!("{}M", short(value / 1e6)),
    }
}

/// A share between 0 and 1: `0 %`, `0.01 %`, `12.5 %`; what is not 0 does not look like it.
pub(super) fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let text = match percent {
        0.0 => "0".to_owned(),
        ..0.0001 => return "< 0.0001 %".to_owned(),
        ..1.0 => trimmed(format!("{percent:.4}")),
        ..10.0 => trimmed(format!("{percent:.2}")),
        _ => trimmed(format!("{percent:.1}")),
    };
    format!("{text} %")
}

/// `12.8 Mbit/s`.
pub(super) fn bits_per_s(bits: f64) -> String {
    match bits {
        ..1e6 => format!("{} kbit/s", three(bits / 1e3)),
        ..1e9 => format!("{} Mbit/s", three(bits / 1e6)),
        _ => format!("{} Gbit/s", three(bits / 1e9)),
    }
}

/// `640 bytes`, `22.5 KiB`, `21.3 MiB`, `8.00 GiB`.
pub(super) fn bytes(bytes: f64) -> String {
    const STEP: f64 = 1024.0;
    match bytes {
        ..STEP => format!("{bytes:.0} bytes"),
        _ if bytes < STEP * STEP => format!("{} KiB", three(bytes / STEP)),
        _ if bytes < STEP * STEP * STEP => format!("{} MiB", three(bytes / STEP / STEP)),
        _ => format!("{} GiB", three(bytes / STEP / STEP / STEP)),
    }
}

/// A time of day, in milliseconds since 1970: `2026-11-21 18:31:40 UTC`.
pub(super) fn utc(unix_ms: u64) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::from_unix_secs(unix_ms / 1000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Three significant digits, as many as a histogram has.
fn three(value: f64) -> String {
    match value {
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// At most two digits behind the point, and none that say nothing.
pub(super) fn short(value: f64) -> String {
    trimmed(format!("{value:.2}"))
}

fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_carry_units_and_three_digits() {
        assert_eq!(
            [4.2, 41.53, 310.0, 999.7, 1100.0].map(micros),
            ["4.20 µs", "41.5 µs", "310 µs", "1.00 ms", "1.10 ms"]
        );
        assert_eq!([0.5, 30.0, 600.0, 86_400.0].map(seconds), ["500 ms", "30 s", "10 min", "24 h"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 500.0, 10_000.0, 1_500_000.0].map(brief), ["0", "500", "10k", "1.5M"]);
        assert_eq!([0.0, 1e-9, 0.0001, 0.125, 1.0].map(percent), ["0 %", "< 0.0001 %", "0.01 %", "12.5 %", "100 %"]);
        assert_eq!([640.0, 23_000.0, 2e10].map(bytes), ["640 bytes", "22.5 KiB", "18.6 GiB"]);
        assert_eq!([64e3, 12_798_720.0].map(bits_per_s), ["64.0 kbit/s", "12.8 Mbit/s"]);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_399_000), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_285_900_000), "2026-11-21 18:31:40 UTC");
    }
}
