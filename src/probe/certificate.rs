//! What a certificate says of itself: subject, issuer, and until when it is good (RFC 5280 §4.1). Whether that is true
//! is rustls' question.

use crate::calendar::{Civil, days_from_civil};

/// What is told of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The subject's common name, or its organisation.
    pub(super) subject: String,
    /// The issuer's.
    pub(super) issuer: String,
    /// Both names are the same.
    pub(super) is_self_issued: bool,
    /// When it ends, in seconds since 1970.
    pub(super) not_after: i64,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const EXPLICIT_0: u8 = 0xA0;
/// 2.5.4.3 and 2.5.4.10 (RFC 5280 appendix A.1).
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0A];

impl Certificate {
    /// Reads DER; none if it is not a certificate.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (certificate, _) = Der(der).expect(SEQUENCE)?;
        let (body, _) = certificate.expect(SEQUENCE)?;
        let after_version = body.expect(EXPLICIT_0).map_or(body, |(_, rest)| rest);
        let (_, _, rest) = after_version.next()?; // serialNumber
        let (_, rest) = rest.expect(SEQUENCE)?; // signature
        let (issuer, rest) = rest.expect(SEQUENCE)?;
        let (validity, rest) = rest.expect(SEQUENCE)?;
        let (subject, _) = rest.expect(SEQUENCE)?;
        let (_, _, until) = validity.next()?;
        let (kind, not_after, _) = until.next()?;
        Some(Self {
            subject: display_name(subject),
            issuer: display_name(issuer),
            is_self_issued: subject.0 == issuer.0,
            not_after: read_time(kind, not_after.0)?,
        })
    }
}

/// A run of DER values.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Tag and content of the first value, and what follows it.
    fn next(self) -> Option<(u8, Self, Self)> {
        let (&[tag, len], rest) = self.0.split_first_chunk()?;
        let (len, rest) = match len {
            0..=0x7F => (usize::from(len), rest),
            0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
            0x82 => {
                let (len, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*len)), rest)
            }
            // A certificate of 64 KiB is none that a handshake carries.
            _ => return None,
        };
        Some((tag, Self(rest.get(..len)?), Self(rest.get(len..)?)))
    }

    /// The same, if the tag is that one.
    fn expect(self, wanted: u8) -> Option<(Self, Self)> {
        self.next().filter(|(tag, ..)| *tag == wanted).map(|(_, content, rest)| (content, rest))
    }

    fn iter(self) -> impl Iterator<Item = (u8, Self)> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let (tag, content, next) = rest.next()?;
            rest = next;
            Some((tag, content))
        })
    }
}

/// The common name of a Name, else its organisation.
fn display_name(name: Der<'_>) -> String {
    let attribute = |wanted: &[u8]| {
        let sets = name.iter().filter(|(tag, _)| *tag == SET).flat_map(|(_, set)| set.iter());
        let mut values = sets.filter_map(|(_, pair)| {
            let (id, rest) = pair.expect(OBJECT_ID)?;
            let (_, value, _) = rest.next()?;
            (id.0 == wanted).then(|| String::from_utf8_lossy(value.0).escape_debug().to_string())
        });
        values.next()
    };
    attribute(COMMON_NAME).or_else(|| attribute(ORGANIZATION)).unwrap_or_else(|| "without a name".into())
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5) as seconds since 1970.
fn read_time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let (year, rest): (i32, _) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let year: i32 = text[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let two = |at: usize| rest[at..at + 2].parse::<u8>().ok();
    let (month, day) = (two(0)?, two(2)?);
    let seconds = i64::from(two(4)?) * 3600 + i64::from(two(6)?) * 60 + i64::from(two(8)?);
    (1..=12).contains(&month).then(|| days_from_civil(year, month, day) * 86_400 + seconds)
}

/// `2026-11-22`.
pub(super) fn date(unix: i64) -> String {
    let Civil { year, month, day, .. } = Civil::from_unix_secs(unix.max(0).cast_unsigned());
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // `date -u -d 2026-11-22 +%s` and the like.
        for (text, unix) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2026-11-22", 1_795_305_600),
            ("2100-03-01", 4_107_542_400),
        ] {
            assert_eq!(date(unix), text);
            assert_eq!(date(unix + 86_399), text);
        }
        assert_eq!(read_time(UTC_TIME, b"261122010203Z"), Some(1_795_305_600 + 3723));
        assert_eq!(read_time(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(read_time(GENERALIZED_TIME, b"21000301000000Z"), Some(4_107_542_400));
        assert_eq!(read_time(GENERALIZED_TIME, b"21001301000000Z"), None);
        assert_eq!(read_time(UTC_TIME, b"2611220102Z"), None);
    }

    #[test]
    fn a_certificate_is_read() {
        let mut parameters = rcgen::CertificateParams::new(["turn.example".to_owned()]).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "turn.example");
        parameters.not_after = rcgen::date_time_ymd(2030, 5, 6);
        let key = rcgen::KeyPair::generate().unwrap();
        let der = parameters.self_signed(&key).unwrap().der().to_vec();
        let read = Certificate::read(&der).unwrap();
        assert_eq!((read.subject.as_str(), read.issuer.as_str()), ("turn.example", "turn.example"));
        assert_eq!((date(read.not_after).as_str(), read.is_self_issued), ("2030-05-06", true));
        for cut in 0..der.len() {
            // Whatever is missing, nothing panics.
            let _ = Certificate::read(&der[..cut]);
        }
    }
}
