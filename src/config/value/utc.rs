//! Points in time, as TOML has them.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use toml::value::{Datetime, Offset};

use crate::calendar::{Civil, days_from_civil};

/// A point in time, in whole seconds since 1970-01-01T00:00:00Z; written as a TOML offset date-time (RFC 3339).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UtcTime(u64);

const ALLOWED: &str = "a date with time and offset, without quotes, such as 2027-03-31T00:00:00Z";

impl UtcTime {
    /// From seconds since 1970.
    pub const fn from_unix_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Seconds since 1970.
    pub const fn unix_secs(self) -> u64 {
        self.0
    }

    fn from_toml(datetime: Datetime) -> Option<Self> {
        let (date, time, offset) = (datetime.date?, datetime.time?, datetime.offset?);
        let offset_minutes = match offset {
            Offset::Z => 0,
            Offset::Custom { minutes } => i64::from(minutes),
        };
        let days = days_from_civil(date.year.into(), date.month, date.day);
        let minutes = i64::from(time.hour) * 60 + i64::from(time.minute) - offset_minutes;
        let secs = days * 86_400 + minutes * 60 + i64::from(time.second.unwrap_or(0));
        u64::try_from(secs).ok().map(Self)
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = Civil::from_unix_secs(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UtcVisitor)
    }
}

struct UtcVisitor;

impl<'de> Visitor<'de> for UtcVisitor {
    type Value = UtcTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALLOWED)
    }

    // TOML's date-times arrive as a map with one key of the toml crate's own.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UtcTime, A::Error> {
        let datetime = Datetime::deserialize(MapAccessDeserializer::new(map))?;
        UtcTime::from_toml(datetime)
            .ok_or_else(|| Error::custom(format_args!("{datetime} will not do; allowed is {ALLOWED}")))
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for UtcTime {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UtcTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "title": ALLOWED })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Doc {
        at: UtcTime,
    }

    fn read(text: &str) -> Result<u64, String> {
        toml::from_str::<Doc>(&format!("at = {text}")).map(|doc| doc.at.unix_secs()).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn reads_offset_date_times() {
        assert_eq!(read("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(read("2026-11-21T18:31:40Z"), Ok(1_795_285_900));
        assert_eq!(read("2026-11-21T19:31:40+01:00"), Ok(1_795_285_900));
        assert_eq!(read("2000-02-29T23:59:59Z"), Ok(951_868_799));
    }

    #[test]
    fn refuses_what_leaves_the_hour_open() {
        for text in [
            "2026-11-21",
            "2026-11-21T18:31:40",
            "18:31:40",
            "\"2026-11-21T18:31:40Z\"",
            "1795285900",
            "1969-12-31T23:59:59Z",
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(ALLOWED), "{error}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for secs in (0..5_000_000_000).step_by(86_400 * 13 + 4321) {
            let text = UtcTime(secs).to_string();
            assert_eq!(read(&text), Ok(secs), "{text}");
        }
    }
}
