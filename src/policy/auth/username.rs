//! The grammar of ephemeral user names: an expiry, a separator and whose credential it is.

use std::fmt;

use crate::relay::limits::MAX_USERNAME;
use crate::relay::reason::AuthReason;

/// How the user names of a zone are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grammar {
    /// What stands between the expiry and the user part.
    pub separator: Separator,
    /// Which of the two comes first.
    pub order: UsernameOrder,
}

impl Default for Grammar {
    fn default() -> Self {
        Self { separator: Separator::COLON, order: UsernameOrder::ExpiryFirst }
    }
}

/// One printable ASCII character that is no digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separator(u8);

impl Separator {
    /// What everybody uses.
    pub const COLON: Self = Self(b':');

    /// From a character; none if it cannot separate.
    pub fn new(character: char) -> Option<Self> {
        let byte = u8::try_from(character).ok()?;
        (byte.is_ascii_graphic() && !byte.is_ascii_digit()).then_some(Self(byte))
    }

    /// The character.
    pub fn as_char(self) -> char {
        char::from(self.0)
    }
}

/// Which sides of the separator the expiry may stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsernameOrder {
    /// `<expiry>:<user part>` only.
    ExpiryFirst,
    /// Also `<user part>:<expiry>`. What can be read both ways has its expiry in front.
    Any,
}

/// The longest user part, in bytes.
pub const MAX_USER_PART: usize = 255;

/// A user name taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Username<'a> {
    /// The whole of it.
    pub whole: &'a str,
    /// How it is laid out.
    pub layout: Layout,
    /// The timestamp.
    pub expiry: Expiry,
    /// Whose it is; all of it, further separators included.
    pub user_part: &'a str,
}

/// The layouts that are met in the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `<expiry>:<user part>`
    ExpiryThenUser,
    /// `<expiry>`
    ExpiryAlone,
    /// `<expiry>:`
    ExpiryThenNothing,
    /// `<user part>:<expiry>`
    UserThenExpiry,
}

/// A timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Seconds since 1970.
    Seconds(u64),
    /// 13 digits: milliseconds where seconds belong. As seconds they would mean a date 43,000 years ahead.
    Milliseconds(u64),
}

impl<'a> Username<'a> {
    /// Takes `bytes` apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(grammar: Grammar, bytes: &'a [u8]) -> Result<Self, GrammarError> {
        if bytes.len() > MAX_USERNAME {
            return Err(GrammarError::TooLong);
        }
        if !bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(GrammarError::NotPrintable);
        }
        let Ok(whole) = std::str::from_utf8(bytes) else { return Err(GrammarError::NotPrintable) };
        let username = Self::split(grammar, whole)?;
        if username.user_part.len() > MAX_USER_PART {
            return Err(GrammarError::TooLong);
        }
        Ok(username)
    }

    fn split(grammar: Grammar, whole: &'a str) -> Result<Self, GrammarError> {
        let separator = grammar.separator.as_char();
        let Some((head, rest)) = whole.split_once(separator) else {
            let expiry = Expiry::parse(whole).ok_or_else(|| GrammarError::of_head(whole))?;
            return Ok(Self { whole, layout: Layout::ExpiryAlone, expiry, user_part: "" });
        };
        if let Some(expiry) = Expiry::parse(head) {
            let layout = if rest.is_empty() { Layout::ExpiryThenNothing } else { Layout::ExpiryThenUser };
            return Ok(Self { whole, layout, expiry, user_part: rest });
        }
        let behind = whole.rsplit_once(separator).filter(|(user, _)| !user.is_empty());
        match behind.and_then(|(user, tail)| Some((user, Expiry::parse(tail)?))) {
            None => Err(GrammarError::of_head(head)),
            Some((user_part, expiry)) if grammar.order == UsernameOrder::Any => {
                Ok(Self { whole, layout: Layout::UserThenExpiry, expiry, user_part })
            }
            Some((_, expiry)) if expiry.is_plausible() => Err(GrammarError::WrongSide),
            Some(_) => Err(GrammarError::of_head(head)),
        }
    }
}

impl Expiry {
    /// Decimal digits without sign, blank or leading zero, as many as 64 bits always hold.
    fn parse(text: &str) -> Option<Self> {
        let digits = (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || (text.len() > 1 && text.starts_with('0')) {
            return None;
        }
        let number = text.parse().ok()?;
        Some(if text.len() == 13 { Self::Milliseconds(number) } else { Self::Seconds(number) })
    }

    /// Whether it looks like a time rather than a number that somebody has for a name: 2001 or later.
    fn is_plausible(self) -> bool {
        match self {
            Self::Seconds(seconds) => seconds >= 1_000_000_000,
            Self::Milliseconds(_) => true,
        }
    }
}

/// What is wrong with the form of a user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrammarError {
    /// Over [`MAX_USERNAME`] bytes, or a user part over [`MAX_USER_PART`].
    TooLong,
    /// A byte that is not printable ASCII.
    NotPrintable,
    /// Nothing that could be an expiry: probably a long-term user.
    NoTimestamp,
    /// It begins like a number and is none.
    BadTimestamp,
    /// The timestamp stands behind the separator.
    WrongSide,
}

impl GrammarError {
    fn of_head(head: &str) -> Self {
        match head.bytes().next() {
            Some(b'0'..=b'9' | b'+' | b'-' | b' ') | None => Self::BadTimestamp,
            Some(_) => Self::NoTimestamp,
        }
    }

    /// The reason that the audit trail has for it.
    pub fn reason(self) -> AuthReason {
        match self {
            Self::TooLong | Self::NotPrintable | Self::BadTimestamp => AuthReason::BadUsername,
            Self::NoTimestamp => AuthReason::UnknownUser,
            Self::WrongSide => AuthReason::TimestampOnWrongSide,
        }
    }
}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {MAX_USERNAME} bytes, or its user part than {MAX_USER_PART}"),
            Self::NotPrintable => f.write_str("it has bytes that are not printable ASCII"),
            Self::NoTimestamp => f.write_str("it has no expiry in front"),
            Self::BadTimestamp => f.write_str("its expiry is not a plain decimal number"),
            Self::WrongSide => f.write_str("the timestamp is on the wrong side: the expiry belongs in front"),
        }
    }
}

impl std::error::Error for GrammarError {}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Grammar = Grammar { separator: Separator::COLON, order: UsernameOrder::Any };

    fn parse(grammar: Grammar, text: &str) -> Result<(Layout, Expiry, String), GrammarError> {
        let username = Username::parse(grammar, text.as_bytes())?;
        Ok((username.layout, username.expiry, username.user_part.to_owned()))
    }

    fn good(layout: Layout, expiry: u64, user: &str) -> Result<(Layout, Expiry, String), GrammarError> {
        Ok((layout, Expiry::Seconds(expiry), user.to_owned()))
    }

    #[test]
    fn d_39_the_layouts_of_the_field() {
        let first = |text| parse(Grammar::default(), text);
        assert_eq!(first("1795285900:u-7f3a9c"), good(Layout::ExpiryThenUser, 1_795_285_900, "u-7f3a9c"));
        let synapse = good(Layout::ExpiryThenUser, 1_795_285_900, "@alice:example.org");
        assert_eq!(first("1795285900:@alice:example.org"), synapse);
        assert_eq!(first("1795285900"), good(Layout::ExpiryAlone, 1_795_285_900, ""));
        assert_eq!(first("1795285900:"), good(Layout::ExpiryThenNothing, 1_795_285_900, ""));
        assert_eq!(first("u-7f3a9c:1795285900"), Err(GrammarError::WrongSide));
        assert_eq!(
            first("1795285900123:u"),
            Ok((Layout::ExpiryThenUser, Expiry::Milliseconds(1_795_285_900_123), "u".into()))
        );
        assert_eq!(first("0:alice"), good(Layout::ExpiryThenUser, 0, "alice"));
    }

    #[test]
    fn the_expiry_may_stand_behind_where_the_zone_says_so() {
        let any = |text| parse(ANY, text);
        assert_eq!(any("u-7f3a9c:1795285900"), good(Layout::UserThenExpiry, 1_795_285_900, "u-7f3a9c"));
        assert_eq!(any("a:b:1795285900"), good(Layout::UserThenExpiry, 1_795_285_900, "a:b"));
        assert_eq!(any("1795285900:u"), good(Layout::ExpiryThenUser, 1_795_285_900, "u"));
        assert_eq!(any("17:1795285900"), good(Layout::ExpiryThenUser, 17, "1795285900"));
        assert_eq!(any(":1795285900"), Err(GrammarError::BadTimestamp));
        assert_eq!(any("alice"), Err(GrammarError::NoTimestamp));
    }

    #[test]
    fn another_separator_replaces_the_colon() {
        let grammar = Grammar { separator: Separator::new('.').unwrap(), ..Grammar::default() };
        assert_eq!(parse(grammar, "1795285900.a:b.c"), good(Layout::ExpiryThenUser, 1_795_285_900, "a:b.c"));
        assert_eq!(parse(grammar, "1795285900:u"), Err(GrammarError::BadTimestamp));
        for bad in ['0', '9', ' ', '\n', 'ä', '\0'] {
            assert_eq!(Separator::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn d_39_anything_else_is_refused() {
        let first = |text: &str| parse(Grammar::default(), text).unwrap_err();
        for bad in [
            "",
            ":",
            ":u",
            " 1795285900:u",
            "1795285900 :u",
            "+1795285900:u",
            "-1:u",
            "0x6b:u",
            "1e9:u",
            "1.5:u",
            "01795285900:u",
            "00:u",
            "12345678901234567890:u",
            "1795285900u",
        ] {
            assert_eq!(first(bad), GrammarError::BadTimestamp, "{bad}");
        }
        for unknown in ["alice", "alice:bob", "alice:42", "tk1.k1.zclinic.u.x"] {
            assert_eq!(first(unknown), GrammarError::NoTimestamp, "{unknown}");
        }
    }

    #[test]
    fn d_39_bytes_and_lengths() {
        let parse = |bytes: &[u8]| Username::parse(Grammar::default(), bytes).map(|username| username.user_part.len());
        for byte in 0..=255_u8 {
            let bytes = [b"1795285900:a", &[byte][..], b"z"].concat();
            assert_eq!(parse(&bytes).is_ok(), (0x20..=0x7e).contains(&byte), "{byte:#x}");
        }
        let long = |user: usize| [b"1795285900:", "u".repeat(user).as_bytes()].concat();
        assert_eq!(parse(&long(255)), Ok(255));
        assert_eq!(parse(&long(256)), Err(GrammarError::TooLong));
        assert_eq!(parse(&long(800)), Err(GrammarError::TooLong));
    }
}
