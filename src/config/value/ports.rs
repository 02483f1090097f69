//! Ports and runs of ports.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use super::number::Whole;
use super::{Text, text_value};

/// The ports that relayed addresses live on, first and last included: `"49152-65535"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Below it are the system ports (RFC 6335 §6), which no relayed address should ever have.
const FIRST_USER_PORT: u16 = 1024;

impl PortRange {
    /// The dynamic ports (RFC 6335 §6), which RFC 8656 §7.2 recommends.
    pub(in crate::config) const DYNAMIC: Self = Self::of(49_152, 65_535);

    /// A range that is known to be one when it is compiled.
    pub(in crate::config) const fn of(first: u16, last: u16) -> Self {
        assert!(FIRST_USER_PORT <= first && first <= last);
        Self { first, last }
    }

    /// First and last.
    pub fn get(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// How many there are: 1 to 64,512.
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }
}

impl Text for PortRange {
    fn allowed() -> Cow<'static, str> {
        "two ports from 1024 to 65535 joined by \"-\", the lower first, such as \"49152-65535\"".into()
    }

    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let Some((first, last)) = parse_run(text) else { return Err("is no range of ports".into()) };
        if first < FIRST_USER_PORT {
            return Err(format!("starts at {first}, which is a system port").into());
        }
        if first > last {
            return Err("runs backwards".into());
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

text_value!(PortRange);

/// A port, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port(u16);

impl Port {
    /// The lowest.
    pub(in crate::config) const FIRST: Self = Self(1);

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Whole::<1, 65_535>::deserialize(deserializer)?.get();
        u16::try_from(number).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0)
    }
}

impl JsonSchema for Port {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Whole::<1, 65_535>::json_schema(generator)
    }
}

/// One port or a run of ports of peers: `25` or `"6660-6669"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSet {
    first: u16,
    last: u16,
}

const PORT_SET_ALLOWED: &str = "a port from 1 to 65535, such as 25, or two joined by \"-\", such as \"6660-6669\"";

impl PortSet {
    /// First and last.
    pub fn get(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl<'de> Deserialize<'de> for PortSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortSetVisitor)
    }
}

impl Serialize for PortSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.first == self.last {
            return serializer.serialize_u16(self.first);
        }
        serializer.collect_str(&format_args!("{}-{}", self.first, self.last))
    }
}

impl JsonSchema for PortSet {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PortSet".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": PORT_SET_ALLOWED,
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": 65_535 },
                { "type": "string", "pattern": "^[0-9]+-[0-9]+$" },
            ],
        })
    }
}

struct PortSetVisitor;

impl Visitor<'_> for PortSetVisitor {
    type Value = PortSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PORT_SET_ALLOWED)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<PortSet, E> {
        match u16::try_from(value) {
            Ok(port @ 1..) => Ok(PortSet { first: port, last: port }),
            _ => Err(E::custom(format_args!("{value} is no port; allowed is {PORT_SET_ALLOWED}"))),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PortSet, E> {
        match parse_run(text) {
            Some((first @ 1.., last)) if first <= last => Ok(PortSet { first, last }),
            _ => Err(E::custom(format_args!("{} names no ports; allowed is {PORT_SET_ALLOWED}", super::quote(text)))),
        }
    }
}

fn parse_run(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    Some((parse_port(first)?, parse_port(last)?))
}

/// Digits alone: `u16::from_str` would take a "+".
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error as ValueError, I64Deserializer, StrDeserializer};

    use super::*;

    #[test]
    fn a_relay_range_is_two_user_ports_in_order() {
        let range = PortRange::parse("49152-65535").expect("a range");
        assert_eq!((range, range.count()), (PortRange::DYNAMIC, 16_384));
        assert_eq!(PortRange::parse("5000-5000").map(PortRange::count), Ok(1));
        for text in
            ["", "-", "5000", "5000-", "5000-65536", "5000-+6000", "5000 - 6000", "-1-5", "5000-6000-7000", "0-9"]
        {
            assert!(PortRange::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(PortRange::parse("6000-5000"), Err("runs backwards".into()));
        assert_eq!(PortRange::parse("80-5000"), Err("starts at 80, which is a system port".into()));
    }

    #[test]
    fn peers_ports_are_one_or_a_run() {
        let number = |value| PortSet::deserialize(I64Deserializer::<ValueError>::new(value)).map(PortSet::get);
        let text = |text| PortSet::deserialize(StrDeserializer::<ValueError>::new(text)).map(PortSet::get);
        assert_eq!(number(25), Ok(25..=25));
        assert_eq!(text("6660-6669"), Ok(6660..=6669));
        for value in [0, -1, 65_536] {
            assert!(number(value).is_err(), "{value}");
        }
        for bad in ["25", "0-25", "9-8", "1-65536", "a-b", ""] {
            assert!(text(bad).is_err(), "{bad:?}");
        }
    }
}
