//! Certificates: read from their files, and looked at as an admin would with a day's time.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::schema::{self, CertificateSource, ClientCertificates, TlsProfile};
use super::value::UtcTime;
use super::{Finding, Loaded, Severity, guarded};
use crate::engine::{self, Certificate, Tls};

/// Where a certificate is, and the names that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// It and its chain.
    pub chain: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// As configured; none: those that it has.
    pub names: Vec<String>,
}

/// A certificate that can be shown.
#[derive(Clone, Debug)]
pub struct ReadCertificate {
    /// For the engine.
    pub certificate: Certificate,
    /// The names that it is shown for.
    pub names: Vec<String>,
    /// The file's chain, in DER: what tells it from another.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its last second, in seconds since 1970.
    pub not_after: u64,
    /// What is wrong with it, as half sentences.
    pub faults: Vec<Fault>,
}

/// What clients will dislike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// No client takes it: it must not replace a better one.
    pub is_grave: bool,
    /// Half a sentence, without a full stop.
    pub sentence: String,
}

/// Longer files hold something else.
const MAX_FILE: u64 = 1 << 20;
/// From when on an expiry is told of beforehand.
const SOON: u64 = 30 * 86_400;
const DAY: u64 = 86_400;
/// RSA keys below are refused by clients.
const RSA_BITS: usize = 2048;

impl Loaded {
    /// Where the certificates are.
    pub fn certificate_files(&self) -> Vec<CertificateFiles> {
        let files = |source: &CertificateSource| CertificateFiles {
            chain: self.resolve(&source.chain_file),
            key: self.resolve(&source.key_file),
            names: source.names.iter().map(|name| name.as_str().to_owned()).collect(),
        };
        self.config.tls.certificates.iter().map(files).collect()
    }

    /// What TLS clients are offered; none where nobody listens for them.
    ///
    /// # Errors
    /// What cannot be read or does not fit together.
    pub fn tls(&self, now_unix: u64) -> Result<Option<Tls>, Vec<Finding>> {
        if !self.config.listeners.iter().any(|listener| listener.transport.may_be_tls()) {
            return Ok(None);
        }
        let error = |path: &str, sentence| Finding::new(Severity::Error, &self.lines, path, sentence);
        let files = self.certificate_files();
        let (mut certificates, mut findings) = (Vec::new(), Vec::new());
        for (index, files) in files.iter().enumerate() {
            match files.read(now_unix) {
                Ok(read) => certificates.push(read.certificate),
                Err(why) => findings.push(error(&format!("tls.certificate.{index}.{}", why.key), why.sentence)),
            }
        }
        let clients = self.client_certificates().map_err(|why| vec![error("tls.client_ca_file", why)])?;
        if !findings.is_empty() {
            return Err(findings);
        }
        let profile = match self.config.tls.profile {
            TlsProfile::Modern => engine::TlsProfile::Modern,
            TlsProfile::Aes256 => engine::TlsProfile::Aes256,
        };
        let tls = Tls::new(profile, &clients, certificates);
        tls.map(Some).map_err(|bad| vec![error("tls.client_ca_file", bad.to_string())])
    }

    fn client_certificates(&self) -> Result<engine::ClientCertificates, String> {
        let schema::Tls { client_certificates, client_ca_file, .. } = &self.config.tls;
        let roots = || match client_ca_file {
            Some(file) => read_chain(&self.resolve(file)),
            None => Err("is missing: whose certificates shall clients show?".into()),
        };
        Ok(match client_certificates {
            ClientCertificates::None => engine::ClientCertificates::None,
            ClientCertificates::Optional => engine::ClientCertificates::Optional(roots()?),
            ClientCertificates::Required => engine::ClientCertificates::Required(roots()?),
        })
    }
}

/// Why a certificate cannot be shown: which of its keys is to blame, and half a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// `chain_file` or `key_file`.
    pub key: &'static str,
    /// Without a full stop.
    pub sentence: String,
}

impl CertificateFiles {
    /// Reads it, and looks at it.
    ///
    /// # Errors
    /// It cannot be shown at all.
    pub fn read(&self, now_unix: u64) -> Result<ReadCertificate, Unusable> {
        let blame = |key: &'static str| move |sentence: String| Unusable { key, sentence };
        let chain = read_chain(&self.chain).map_err(blame("chain_file"))?;
        let parsed = chain.iter().enumerate().map(|(index, der)| match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Ok(certificate),
            Err(error) => Err(format!("certificate {} of {}: {error}", index + 1, self.chain.display())),
        });
        let parsed = parsed.collect::<Result<Vec<_>, _>>().map_err(blame("chain_file"))?;
        let Some(own) = parsed.first() else {
            return Err(blame("chain_file")(format!("{} holds no certificate", self.chain.display())));
        };
        let has = names_of(own);
        let names = if self.names.is_empty() { has.clone() } else { self.names.clone() };
        let mut faults = faults(&parsed, now_unix);
        faults.extend(
            self.names.iter().filter(|name| !covers(&has, name)).map(|name| Fault {
                is_grave: true,
                sentence: format!("it is not for {name}, but for {}", listed(&has)),
            }),
        );
        let not_after = unix(own.validity().not_after.timestamp());
        let key = read_key(&self.key).map_err(blame("key_file"))?;
        let shown = (self.chain.display(), self.key.display());
        let certificate = Certificate::new(names.clone(), chain.clone(), key)
            .map_err(|error| blame("key_file")(format!("{} does not go with {}: {error}", shown.1, shown.0)))?;
        Ok(ReadCertificate { certificate, names, chain, not_after, faults })
    }
}

/// The certificates of a PEM file, in their order.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot read {shown}: {error}"))?;
    let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| format!("{shown} is no PEM file of certificates: {error:?}"))?;
    if chain.is_empty() { Err(format!("{shown} holds no certificate in PEM")) } else { Ok(chain) }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = guarded::read(path)?;
    let shown = path.display();
    // What stands in the file is not repeated.
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| format!("{shown} holds no private key in PEM"))
}

/// What is wrong with a chain, the server's own certificate first.
fn faults(chain: &[X509Certificate<'_>], now_unix: u64) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut find = |is_grave: bool, sentence: String| faults.push(Fault { is_grave, sentence });
    for (number, certificate) in (1..).zip(chain) {
        let which = if number == 1 { "it".to_owned() } else { format!("certificate {number} of its chain") };
        let [first, last] =
            [certificate.validity().not_before, certificate.validity().not_after].map(|time| unix(time.timestamp()));
        if last < now_unix {
            find(true, format!("{which} expired on {}", UtcTime::from_unix_secs(last)));
        } else if first > now_unix {
            find(true, format!("{which} is not valid before {}", UtcTime::from_unix_secs(first)));
        } else if last - now_unix < SOON {
            find(false, format!("{which} expires in {} days", (last - now_unix) / DAY));
        }
        if signs_with_sha1(certificate) {
            find(false, format!("{which} is signed with SHA-1, which clients refuse"));
        }
        if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
            && key.key_size() < RSA_BITS
        {
            find(false, format!("{which} has an RSA key of {} bits; clients want {RSA_BITS}", key.key_size()));
        }
    }
    for (number, pair) in (1..).zip(chain.windows(2)) {
        let [signed, signer] = pair else { continue };
        if signed.issuer().as_raw() != signer.subject().as_raw() {
            let sentence = format!(
                "certificate {} of the file is {}, and not the issuer of the one before it, {}; put them in order, \
                 the server's own first",
                number + 1,
                signer.subject(),
                signed.issuer()
            );
            find(false, sentence);
        } else if signed.verify_signature(Some(signer.public_key())).is_err() {
            find(false, format!("certificate {} of the file has not signed the one before it", number + 1));
        }
    }
    if let Some(own) = chain.first() {
        judge_own(own, chain.len(), &mut find);
    }
    faults
}

fn judge_own(own: &X509Certificate<'_>, chain: usize, find: &mut impl FnMut(bool, String)) {
    let signs_itself = own.issuer().as_raw() == own.subject().as_raw();
    if signs_itself {
        find(false, "it is signed by itself, which browsers refuse".into());
    } else if chain == 1 {
        let issuer = own.issuer();
        find(
            false,
            format!(
                "the file does not have its issuer, {issuer}: unless that is a root, clients that do not know it by \
                 chance refuse; take the file with the whole chain (fullchain.pem)"
            ),
        );
    }
    if names_of(own).is_empty() && addresses_of(own) == 0 {
        find(true, "it is for no name (subjectAltName), so no client takes it".into());
    }
    let usage = own.extended_key_usage().ok().flatten();
    if usage.is_some_and(|usage| !usage.value.server_auth && !usage.value.any) {
        find(true, "it is not for servers (extendedKeyUsage lacks serverAuth)".into());
    }
}

/// sha1WithRSAEncryption and ecdsa-with-SHA1; not of roots, whose signature nobody looks at.
fn signs_with_sha1(certificate: &X509Certificate<'_>) -> bool {
    let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
    let is_root = certificate.issuer().as_raw() == certificate.subject().as_raw();
    !is_root && matches!(algorithm.as_str(), "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1")
}

/// The DNS names of a certificate, in lower case.
fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let dns = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    dns.collect()
}

fn addresses_of(certificate: &X509Certificate<'_>) -> usize {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    names.filter(|name| matches!(name, GeneralName::IPAddress(_))).count()
}

/// Whether a certificate with these names is for `name`, be it by a wildcard.
fn covers(has: &[String], name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let below = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
    has.iter().any(|own| *own == name || Some(own) == below.as_ref())
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "no name at all".into() } else { names.join(", ") }
}

fn unix(timestamp: i64) -> u64 {
    u64::try_from(timestamp).unwrap_or(0)
}

#[cfg(test)]
mod tests;
