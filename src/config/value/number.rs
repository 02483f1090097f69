//! Numbers with limits.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// A whole number from `MIN` to `MAX`; what lies outside is refused, never wrapped or cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whole<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Whole<MIN, MAX> {
    /// A default, known to be within its limits when it is compiled.
    pub(in crate::config) const fn of(value: u32) -> Self {
        assert!(MIN <= value && value <= MAX);
        Self(value)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Display for Whole<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor { min: MIN, max: MAX }).map(Self)
    }
}

impl<const MIN: u32, const MAX: u32> Serialize for Whole<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Whole<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Whole_{MIN}_to_{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer", "minimum": MIN, "maximum": MAX,
            "title": format!("a whole number from {MIN} to {MAX}"),
        })
    }
}

pub(super) struct WholeVisitor {
    pub(super) min: u32,
    pub(super) max: u32,
}

impl Visitor<'_> for WholeVisitor {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", self.min, self.max)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u32, E> {
        match u32::try_from(value) {
            Ok(small) if (self.min..=self.max).contains(&small) => Ok(small),
            _ => Err(out_of_range(value, &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u32, E> {
        Err(out_of_range(value, &self))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<u32, E> {
        Err(out_of_range(value, &self))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<u32, E> {
        Err(out_of_range(value, &self))
    }
}

fn out_of_range<E: Error>(value: impl fmt::Display, visitor: &WholeVisitor) -> E {
    E::custom(format_args!("{value} is out of range; allowed is {}", visitor as &dyn serde::de::Expected))
}

/// What is done with the DSCP of relayed packets (RFC 8656 §14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dscp {
    /// Carry each packet's own across: the RFC's preferred behaviour.
    Copy,
    /// Put this value on every packet, 0 to 63 (RFC 2474 §3).
    Fixed(u8),
}

const DSCP_ALLOWED: &str = "\"copy\" or a whole number from 0 to 63";

impl<'de> Deserialize<'de> for Dscp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DscpVisitor)
    }
}

impl Serialize for Dscp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Copy => serializer.serialize_str("copy"),
            Self::Fixed(value) => serializer.serialize_u8(*value),
        }
    }
}

impl JsonSchema for Dscp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Dscp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": DSCP_ALLOWED,
            "anyOf": [{ "const": "copy" }, { "type": "integer", "minimum": 0, "maximum": 63 }],
        })
    }
}

struct DscpVisitor;

impl Visitor<'_> for DscpVisitor {
    type Value = Dscp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DSCP_ALLOWED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Dscp, E> {
        match text {
            "copy" => Ok(Dscp::Copy),
            _ => Err(E::custom(format_args!("{} will not do; allowed is {DSCP_ALLOWED}", super::quote(text)))),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Dscp, E> {
        match u8::try_from(value) {
            Ok(value @ 0..=63) => Ok(Dscp::Fixed(value)),
            _ => Err(E::custom(format_args!("{value} is out of range; allowed is {DSCP_ALLOWED}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error as ValueError, I64Deserializer, I128Deserializer, StrDeserializer, U64Deserializer};

    use super::*;

    type Port = Whole<1, 65_535>;

    fn port(value: i64) -> Result<u32, String> {
        Port::deserialize(I64Deserializer::<ValueError>::new(value)).map(Port::get).map_err(|error| error.to_string())
    }

    #[test]
    fn never_wraps() {
        assert_eq!(port(3478), Ok(3478));
        for value in [0, -1, 65_536, i64::MAX, i64::MIN, (1 << 32) + 3478] {
            let expected = format!("{value} is out of range; allowed is a whole number from 1 to 65535");
            assert_eq!(port(value), Err(expected));
        }
        assert!(Port::deserialize(U64Deserializer::<ValueError>::new(u64::MAX)).is_err());
        assert!(Port::deserialize(I128Deserializer::<ValueError>::new(i128::MAX)).is_err());
    }

    #[test]
    fn dscp_is_copied_or_fixed() {
        let fixed = |value| Dscp::deserialize(I64Deserializer::<ValueError>::new(value));
        let named = |text| Dscp::deserialize(StrDeserializer::<ValueError>::new(text));
        assert_eq!(named("copy"), Ok(Dscp::Copy));
        assert_eq!(fixed(46), Ok(Dscp::Fixed(46)));
        assert_eq!(fixed(64).map_err(|e| e.to_string()), Err(format!("64 is out of range; allowed is {DSCP_ALLOWED}")));
        assert!(fixed(-1).is_err());
        assert!(named("EF").is_err());
    }
}
