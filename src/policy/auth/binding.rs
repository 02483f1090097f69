//! What a credential can be bound to: the `tk1.` form of the user part, signed by the same HMAC as all of USERNAME.

use std::fmt;
use std::num::NonZeroU32;

/// A user part of the form
///
/// ```text
/// tk1.k<key id>.z<zone>[.p<peer zone>]*[.s<session>][.n<max allocations>].u.<user id>
/// ```
///
/// in the characters `A`–`Z`, `a`–`z`, `0`–`9`, `.`, `_` and `-`. A field cannot hold a dot; the user id, which comes
/// last, can. Fields stand in this order, so each binding has one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The id of the secret that signs the credential.
    pub key_id: String,
    /// The zone that the client comes in by.
    pub zone: String,
    /// The zones that its peers must be in; any that the zone may reach if empty.
    pub peer_zones: Vec<String>,
    /// The session that it takes part in.
    pub session: Option<String>,
    /// The most allocations that its user may have.
    pub max_allocations: Option<NonZeroU32>,
    /// Whose it is.
    pub user_id: String,
}

const PREFIX: &str = "tk1.";

impl Binding {
    /// Whether `user_part` has, or pretends to have, this form.
    pub fn is_claimed_by(user_part: &str) -> bool {
        user_part.starts_with(PREFIX)
    }

    /// Takes a user part apart; none if it is a plain one.
    ///
    /// # Errors
    /// It begins like a binding and is none: never taken for a plain user part, which would widen it.
    pub fn parse(user_part: &str) -> Option<Result<Self, BadBinding>> {
        user_part.strip_prefix(PREFIX).map(Self::parse_fields)
    }

    fn parse_fields(text: &str) -> Result<Self, BadBinding> {
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
            return Err(BadBinding::Character);
        }
        let mut fields = Fields { rest: text };
        let binding = Self {
            key_id: fields.take('k').ok_or_else(|| fields.missing('k'))??,
            zone: fields.take('z').ok_or_else(|| fields.missing('z'))??,
            peer_zones: std::iter::from_fn(|| fields.take('p')).collect::<Result<_, _>>()?,
            session: fields.take('s').transpose()?,
            max_allocations: fields.take('n').transpose()?.map(|text| number(&text)).transpose()?,
            user_id: fields.rest.strip_prefix("u.").ok_or_else(|| fields.missing('u'))?.to_owned(),
        };
        if binding.user_id.is_empty() {
            return Err(BadBinding::Empty('u'));
        }
        Ok(binding)
    }
}

impl fmt::Display for Binding {
    /// The user part. It reads back as the same binding if every field has the characters it may have.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}k{}.z{}", self.key_id, self.zone)?;
        self.peer_zones.iter().try_for_each(|zone| write!(f, ".p{zone}"))?;
        self.session.iter().try_for_each(|session| write!(f, ".s{session}"))?;
        self.max_allocations.iter().try_for_each(|most| write!(f, ".n{most}"))?;
        write!(f, ".u.{}", self.user_id)
    }
}

/// What is left of a text of fields.
struct Fields<'a> {
    rest: &'a str,
}

impl Fields<'_> {
    /// The next field's value, if the field is a `letter`.
    fn take(&mut self, letter: char) -> Option<Result<String, BadBinding>> {
        let (value, rest) = self.rest.strip_prefix(letter)?.split_once('.')?;
        self.rest = rest;
        Some(if value.is_empty() { Err(BadBinding::Empty(letter)) } else { Ok(value.to_owned()) })
    }

    /// Why the field that comes next is not the `wanted` one.
    fn missing(&self, wanted: char) -> BadBinding {
        match self.rest.chars().next() {
            Some(found @ ('k' | 'z' | 'p' | 's' | 'n')) if self.rest.contains('.') => BadBinding::OutOfPlace(found),
            Some(found) if found != wanted && self.rest.contains('.') => BadBinding::Unknown(found),
            _ => BadBinding::Missing(wanted),
        }
    }
}

/// Decimal digits without a leading zero: one number has one spelling.
fn number(text: &str) -> Result<NonZeroU32, BadBinding> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten().ok_or(BadBinding::Number)
}

/// Why a user part that begins with `tk1.` is no binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBinding {
    /// A character outside of the set.
    Character,
    /// The field with this letter is not there.
    Missing(char),
    /// The field with this letter has no value.
    Empty(char),
    /// The field with this letter stands twice, or in a wrong place.
    OutOfPlace(char),
    /// Nobody knows this letter here: a later version's binding, which we cannot enforce.
    Unknown(char),
    /// `n` is not a number from 1 to 2³² − 1.
    Number,
}

impl fmt::Display for BadBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character => f.write_str("the binding has a character other than letters, digits, '.', '_' and '-'"),
            Self::Missing(letter) => write!(f, "the binding has no field {letter:?}"),
            Self::Empty(letter) => write!(f, "the binding's field {letter:?} is empty"),
            Self::OutOfPlace(letter) => write!(f, "the binding's field {letter:?} stands twice or in a wrong place"),
            Self::Unknown(letter) => write!(f, "the binding has a field {letter:?} that this version does not know"),
            Self::Number => f.write_str("the binding's field 'n' is not a number from 1 on"),
        }
    }
}

impl std::error::Error for BadBinding {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_fields_are_read() {
        let text = "tk1.k2.zclinic.plab.pward-3.s9f2c.n2.u.7f3a9c.x";
        let binding = Binding::parse(text).unwrap().unwrap();
        assert_eq!(
            binding,
            Binding {
                key_id: "2".into(),
                zone: "clinic".into(),
                peer_zones: vec!["lab".into(), "ward-3".into()],
                session: Some("9f2c".into()),
                max_allocations: NonZeroU32::new(2),
                user_id: "7f3a9c.x".into(),
            }
        );
        assert_eq!(binding.to_string(), text);
    }

    #[test]
    fn plain_user_parts_are_none() {
        for plain in ["", "alice", "tk1", "tk2.k1.zx.u.a", "TK1.k1.zx.u.a", " tk1.k1.zx.u.a"] {
            assert_eq!(Binding::parse(plain), None, "{plain}");
        }
    }

    #[test]
    fn what_is_twice_unknown_empty_or_missing_is_refused() {
        for (text, error) in [
            ("tk1.", BadBinding::Missing('k')),
            ("tk1.k1", BadBinding::Missing('k')),
            ("tk1.k1.", BadBinding::Missing('z')),
            ("tk1.zx.u.a", BadBinding::OutOfPlace('z')),
            ("tk1.k1.u.a", BadBinding::Unknown('u')),
            ("tk1.k1.k2.zx.u.a", BadBinding::OutOfPlace('k')),
            ("tk1.k1.zx.zy.u.a", BadBinding::OutOfPlace('z')),
            ("tk1.k1.zx.sa.sb.u.a", BadBinding::OutOfPlace('s')),
            ("tk1.k1.zx.n1.n2.u.a", BadBinding::OutOfPlace('n')),
            ("tk1.k1.zx.n1.sa.u.a", BadBinding::OutOfPlace('s')),
            ("tk1.k1.zx.sa.pb.u.a", BadBinding::OutOfPlace('p')),
            ("tk1.k1.zx.q7.u.a", BadBinding::Unknown('q')),
            ("tk1.k1.zx", BadBinding::Missing('z')),
            ("tk1.k1.zx.", BadBinding::Missing('u')),
            ("tk1.k1.zx.u", BadBinding::Missing('u')),
            ("tk1.k1.zx.u.", BadBinding::Empty('u')),
            ("tk1.k.zx.u.a", BadBinding::Empty('k')),
            ("tk1.k1.z.u.a", BadBinding::Empty('z')),
            ("tk1.k1.zx.p.u.a", BadBinding::Empty('p')),
            ("tk1.k1.zx.n0.u.a", BadBinding::Number),
            ("tk1.k1.zx.n01.u.a", BadBinding::Number),
            ("tk1.k1.zx.n-1.u.a", BadBinding::Number),
            ("tk1.k1.zx.n4294967296.u.a", BadBinding::Number),
            ("tk1.k1.zx.u.a b", BadBinding::Character),
            ("tk1.k1.zx.u.a:b", BadBinding::Character),
            ("tk1.k1.zx.u.ä", BadBinding::Character),
        ] {
            assert_eq!(Binding::parse(text), Some(Err(error)), "{text}");
        }
    }

    fn field() -> impl Strategy<Value = String> {
        "[A-Za-z0-9_-]{1,12}"
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            key_id in field(), zone in field(), peer_zones in prop::collection::vec(field(), 0..4),
            session in prop::option::of(field()), most in prop::option::of(1_u32..), user_id in "[A-Za-z0-9._-]{1,40}",
        ) {
            let max_allocations = most.and_then(NonZeroU32::new);
            let binding = Binding { key_id, zone, peer_zones, session, max_allocations, user_id };
            prop_assert_eq!(Binding::parse(&binding.to_string()), Some(Ok(binding)));
        }

        #[test]
        fn what_reads_has_one_spelling(text in "tk1\\.([kzpsnuq][a-z0-9]{0,2}\\.){0,6}u\\.[a-z.]{0,5}") {
            if let Some(Ok(binding)) = Binding::parse(&text) {
                prop_assert_eq!(binding.to_string(), text);
            }
        }
    }
}
