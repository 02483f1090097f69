//! What a certificate says of itself: subject, issuer, and until when it is good (RFC 5280 §4.1). Whether that is true
//! is rustls' question.

use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use crate::calendar::Civil;

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

impl Certificate {
    /// Reads DER; none if it is not a certificate.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        let (subject, issuer) = (read.subject(), read.issuer());
        Some(Self {
            subject: display_name(subject),
            issuer: display_name(issuer),
            is_self_issued: subject.as_raw() == issuer.as_raw(),
            not_after: read.validity().not_after.timestamp(),
        })
    }
}

/// The common name, else the organisation. Whatever it is written in, nothing in it controls a terminal.
fn display_name(name: &X509Name<'_>) -> String {
    let attribute = name.iter_common_name().chain(name.iter_organization()).next();
    let text = attribute.map(|attribute| String::from_utf8_lossy(attribute.as_slice()).escape_debug().to_string());
    text.unwrap_or_else(|| "without a name".into())
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
        assert_eq!(Certificate::read(&der[1..]), None);
    }

    #[test]
    fn a_name_that_has_no_common_one_is_its_organisation() {
        let read = |kind, text: &str| {
            let mut parameters = rcgen::CertificateParams::default();
            parameters.distinguished_name = rcgen::DistinguishedName::new();
            parameters.distinguished_name.push(kind, text);
            let key = rcgen::KeyPair::generate().unwrap();
            Certificate::read(parameters.self_signed(&key).unwrap().der()).unwrap().subject
        };
        assert_eq!(read(rcgen::DnType::OrganizationName, "Clinic"), "Clinic");
        assert_eq!(read(rcgen::DnType::CountryName, "CH"), "without a name");
        assert_eq!(read(rcgen::DnType::CommonName, "a\u{1b}[2Jb"), "a\\u{1b}[2Jb", "it controls no terminal");
    }
}
