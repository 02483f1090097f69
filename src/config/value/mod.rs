//! The types of single values: what may be written, and the sentence that says so when something else was.
//!
//! Each type carries its own limits, so a value that is out of range never gets past the parser, and the error, the
//! reference and the JSON Schema tell the same limits.

mod duration;
mod name;
mod net;
mod number;
mod ports;
mod utc;

pub use duration::{Period, Spelled, parse_period};
pub use name::{DomainName, EnvName, Id, NodeName, Protocol, Realm, Separator, ServerName};
pub use net::{AlternateServer, BackendAddress, Cidr, HostIp, ListenAddress, Nat64Prefix};
pub use number::{Dscp, Whole};
pub use ports::{Port, PortRange, PortSet};
pub use utc::UtcTime;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, Visitor};

/// A value that is written as a TOML string.
pub(super) trait Text: Sized {
    /// What may be written, with an example: the end of the sentence "allowed is …".
    fn allowed() -> Cow<'static, str>;

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, as half a sentence.
    fn parse(text: &str) -> Result<Self, Cow<'static, str>>;
}

/// Deserialises a [`Text`]; the error quotes what was written and says what is allowed.
pub(super) fn deserialize_text<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(TextVisitor(PhantomData))
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&T::allowed())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::parse(text).map_err(|why| E::custom(format_args!("{} {why}; allowed is {}", quote(text), T::allowed())))
    }
}

/// The serde and schemars sides of a [`Text`] that has `Display`; generic parameters come first, in brackets.
macro_rules! text_value {
    ([$($generics:tt)*] $type:ty) => {
        impl<'de, $($generics)*> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::value::deserialize_text(deserializer)
            }
        }

        impl<$($generics)*> serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<$($generics)*> schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let allowed = <$type as $crate::config::value::Text>::allowed();
                schemars::json_schema!({ "type": "string", "title": allowed })
            }
        }
    };
    ($type:ty) => {
        text_value!([] $type);
    };
}
use text_value;

/// Whether `text` may be a secret that somebody put in the place of its file's name: as hexadecimal digits or base64,
/// with as many characters as 16 bytes have at least, and without what paths and names have.
pub(super) fn looks_like_a_secret(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().any(is);
    let is_path = has(|byte| *byte == b'/') && !text.ends_with('=');
    text.len() >= 32 && text.bytes().all(is_base64) && has(u8::is_ascii_digit) && !is_path
}

/// `text` as an error quotes it: escaped, cut where it is long, and not at all where it may be a secret.
pub(super) fn quote(text: &str) -> String {
    const SHOWN: usize = 60;
    if looks_like_a_secret(text) {
        return format!("what stands here ({} characters, perhaps a secret, so not shown)", text.len());
    }
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} (cut)", text.get(..end).unwrap_or_default()),
    }
}
