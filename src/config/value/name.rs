//! Names that people give: each with the characters that every place it travels to can carry.

use std::borrow::Cow;
use std::fmt;

use super::{Text, text_value};
use crate::policy::auth::username;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident { allowed: $allowed:literal, valid: $valid:expr }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Text for $name {
            fn allowed() -> Cow<'static, str> {
                $allowed.into()
            }

            fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err("will not do".into()) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_value!($name);
    };
}

name_type! {
    /// The name of one relay of several.
    NodeName {
        allowed: "1 to 64 letters, digits, \".\", \"_\" or \"-\"",
        valid: |text| is_word(text, 64, b"._-")
    }
}

name_type! {
    /// The id of a secret or a rule. No dot: it separates the fields of a bound user name.
    Id {
        allowed: "1 to 32 letters, digits, \"_\" or \"-\"",
        valid: |text| is_word(text, 32, b"_-")
    }
}

name_type! {
    /// REALM (RFC 8489 §14.9): fewer than 128 characters. ASCII without the characters that need quoting or that
    /// separate the parts of a key, so that every client derives the same key.
    Realm {
        allowed: "1 to 127 printable ASCII characters without spaces, quotes, \"\\\" and \":\", best a domain name of \
                  yours such as \"example.org\"",
        valid: |text| (1..=127).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\:".contains(&byte))
    }
}

name_type! {
    /// A DNS name (RFC 1123), other scripts as A-labels (RFC 8489 §14.16).
    DomainName {
        allowed: "a domain name of up to 255 characters, such as \"relay-b.example.org\"",
        valid: |text| text.len() <= 255 && text.split('.').all(is_label)
    }
}

name_type! {
    /// A name that TLS clients ask for (RFC 6066 §3).
    ServerName {
        allowed: "a domain name in small letters, of which the first label can be \"*\", such as \"www.example.org\"",
        valid: |text| text.len() <= 255
            && text.bytes().all(|byte| !byte.is_ascii_uppercase())
            && text.strip_prefix("*.").unwrap_or(text).split('.').all(is_label)
    }
}

name_type! {
    /// A protocol by its name in ALPN (RFC 7301 §6).
    Protocol {
        allowed: "the name of a protocol: 1 to 255 printable ASCII characters without spaces, such as \"h2\"",
        valid: |text| (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

name_type! {
    /// The name of an environment variable.
    EnvName {
        allowed: "the name of an environment variable: up to 64 capital letters, digits and \"_\", such as \
                  \"TURNKEEP_SECRET\"",
        valid: |text| (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    }
}

impl Id {
    /// What a zone is called that nobody named.
    pub(in crate::config) fn default_zone() -> Self {
        Self("default".to_owned())
    }

    /// The rule that opens the loopback addresses of a family.
    pub(in crate::config) fn of_loopback(family: &str) -> Self {
        Self(format!("loopback-{family}"))
    }
}

impl Realm {
    /// That of a relay which nobody configured.
    pub(in crate::config) fn of_try_out() -> Self {
        Self("turnkeep.local".to_owned())
    }
}

/// One part of a domain name.
fn is_label(text: &str) -> bool {
    is_word(text, 63, b"-") && !text.starts_with('-') && !text.ends_with('-')
}

fn is_word(text: &str, max: usize, also: &[u8]) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
}

/// The character between the parts of an ephemeral user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separator(username::Separator);

impl Separator {
    /// What everybody uses.
    pub(in crate::config) const COLON: Self = Self(username::Separator::COLON);

    /// As policy has it.
    pub fn get(self) -> username::Separator {
        self.0
    }
}

impl Text for Separator {
    fn allowed() -> Cow<'static, str> {
        "one printable ASCII character that is no digit, such as \":\"".into()
    }

    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let mut characters = text.chars();
        match (characters.next().and_then(username::Separator::new), characters.next()) {
            (Some(separator), None) => Ok(Self(separator)),
            _ => Err("will not do".into()),
        }
    }
}

impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_char().fmt(f)
    }
}

text_value!(Separator);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_what_travels_everywhere() {
        assert!(NodeName::parse("relay-a.example.org").is_ok());
        assert!(Id::parse("k1").is_ok());
        assert!(Realm::parse("example.org").is_ok());
        assert!(EnvName::parse("TURNKEEP_SECRET").is_ok());
        assert_eq!(Separator::parse(":"), Ok(Separator::COLON));
    }

    #[test]
    fn refuse_the_rest() {
        assert!(ServerName::parse("*.example.org").is_ok() && Protocol::parse("http/1.1").is_ok());
        for text in ["", "*", "*.", "a.*.b", "WWW.example.org", "a b", "-a", ".a"] {
            assert!(ServerName::parse(text).is_err(), "server name {text:?}");
        }
        for text in ["", "a b", "a\n", "ä", "a\"", "a\0", &"x".repeat(129)] {
            assert!(NodeName::parse(text).is_err(), "node {text:?}");
            assert!(Id::parse(text).is_err(), "id {text:?}");
            assert!(Realm::parse(text).is_err(), "realm {text:?}");
            assert!(EnvName::parse(text).is_err(), "env {text:?}");
            assert!(Separator::parse(text).is_err(), "separator {text:?}");
        }
        assert!(Id::parse("k.1").is_err());
        assert!(Realm::parse("example.org:3478").is_err());
        assert!(Separator::parse("1").is_err());
    }
}
