//! TLS to a server: the handshake is finished whatever the certificate says, so that more can be told of it, and the
//! certificate judged apart. A caller that must not go on after a bad one does not.

use std::fmt::Write as _;
use std::io;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConnection, Error, StreamOwned};

use super::certificate::{Certificate, date};
use super::settings::Trust;
use crate::client::tls::{self, ALPN_TURN, Witness};
use crate::client::uri::{Host, Service};

/// A certificate that ends sooner is told of.
const SOON: Duration = Duration::from_hours(14 * 24);
/// A TLS stream.
pub(super) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// What a handshake showed.
pub(super) struct Facts {
    /// `TLS 1.3, AES-256-GCM…`, ALPN, whose certificate and until when.
    pub(super) said: String,
    /// Why the certificate is not good for this name, and what cures that.
    pub(super) bad: Option<(String, Vec<String>)>,
    /// The certificate ends soon.
    pub(super) ends_soon: Option<String>,
}

/// How a handshake failed.
pub(super) enum Failure {
    /// The other side speaks something else, or refused.
    Tls(Error),
    /// The connection broke, or nothing came.
    Io(io::Error),
    /// Our own part of it could not be set up.
    Setup(String),
}

/// Shakes hands with `host` over `socket`; with `alpn` the protocol of RFC 7443 is offered.
pub(super) fn connect(
    mut socket: TcpStream,
    host: &Host,
    service: Service,
    trust: &Trust,
    alpn: bool,
) -> Result<(TlsStream, Facts), Failure> {
    let builder = tls::builder().map_err(Failure::Tls)?;
    let judge = Arc::new(Judge::new(trust, builder.crypto_provider()).map_err(Failure::Setup)?);
    let name = match host {
        Host::Address(ip) => ServerName::from(*ip),
        Host::Name(name) => {
            let name = name.trim_end_matches('.').to_owned();
            ServerName::try_from(name).map_err(|error| Failure::Setup(error.to_string()))?
        }
    };
    let mut config = tls::with_any_certificate(builder, judge.clone()).with_no_client_auth();
    if alpn {
        // RFC 7443 §3.
        let protocol: &[u8] = if service == Service::Turn { ALPN_TURN } else { b"stun.nat-discovery" };
        config.alpn_protocols = vec![protocol.to_vec()];
    }
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(Failure::Tls)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).map_err(Failure::of)?;
    }
    let facts = facts(&connection, &judge, host);
    Ok((StreamOwned::new(connection, socket), facts))
}

impl Failure {
    /// rustls hands its errors through `io::Error`.
    fn of(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(tls) => Self::Tls(tls.clone()),
            None => Self::Io(error),
        }
    }
}

fn facts(connection: &ClientConnection, judge: &Judge, host: &Host) -> Facts {
    let seen = judge.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let certificate = seen.chain.first().and_then(|der| Certificate::read(der)).unwrap_or_default();
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let mut said = version.to_owned();
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    // Writing to a string does not fail.
    let _ = write!(said, ", {}", cipher.unwrap_or("a cipher without a name"));
    let _ = match connection.alpn_protocol() {
        Some(protocol) => write!(said, ", ALPN {}", String::from_utf8_lossy(protocol).escape_debug()),
        None => write!(said, ", no ALPN"),
    };
    let (subject, issuer) = (&certificate.subject, &certificate.issuer);
    let count = seen.chain.len();
    let _ = write!(said, "; certificate of {subject}, issued by {issuer}, until {}", date(certificate.not_after));
    if count > 1 {
        let _ = write!(said, ", {count} in the chain");
    }
    let left = certificate.not_after - now_unix();
    let ends_soon = (seen.verdict.is_ok() && left < SOON.as_secs().cast_signed())
        .then(|| format!("the certificate ends in {} days", left.max(0) / 86_400));
    let bad = seen.verdict.as_ref().err().map(|error| explain(error, &certificate, count, host));
    Facts { said, bad, ends_soon }
}

fn now_unix() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
}

/// Why a certificate is refused, and what cures that.
fn explain(error: &Error, certificate: &Certificate, count: usize, host: &Host) -> (String, Vec<String>) {
    const RENEW: &str = "renew it; coturn reads the files of `cert` and `pkey` again on SIGUSR2 or a restart";
    const CHAIN: &str = "serve the whole chain (fullchain.pem), the server's own certificate first: coturn's `cert`";
    let issuer = &certificate.issuer;
    let authority =
        format!("if \"{issuer}\" is an authority of your own: give it with --ca, and install it on clients");
    let day = date(certificate.not_after);
    let Error::InvalidCertificate(error) = error else {
        return (format!("the certificate is refused: {error}"), vec![CHAIN.into()]);
    };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            format!("the certificate expired on {day}"),
            vec![RENEW.into(), "if not: this host's clock is wrong".into()],
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("the certificate is not valid yet".into(), vec!["set the clock, of this host or of the issuer".into()])
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let presented = match error {
                CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
                    presented.join(", ")
                }
                _ => format!("{} (as common name, which counts for nothing)", certificate.subject),
            };
            let cure = format!("use a name of the certificate in the URI, or get one that has {host} among its names");
            (format!("the certificate is not for {host} but for: {presented}"), vec![cure])
        }
        CertificateError::UnknownIssuer if certificate.is_self_issued => (
            format!("the certificate is self-signed, by \"{issuer}\""),
            vec![authority, "get one from an authority".into()],
        ),
        CertificateError::UnknownIssuer if count < 2 => (
            format!("the server sends its certificate alone, and \"{issuer}\", who issued it, is no known authority"),
            vec![CHAIN.into(), authority],
        ),
        CertificateError::UnknownIssuer => (
            format!("the chain, issued by \"{issuer}\", leads to no known authority"),
            vec![authority, "a proxy that opens TLS shows such a certificate: ask the network's operator".into()],
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            ("the certificate is not for servers".into(), vec!["get one with the purpose serverAuth".into()])
        }
        CertificateError::Revoked => ("the certificate is revoked".into(), vec![RENEW.into()]),
        // webpki's "CaUsedAsEndEntity": what `openssl req -x509` makes.
        CertificateError::Other(_) if certificate.is_self_issued => {
            let why =
                format!("the certificate is self-signed, by \"{issuer}\", and marked as an authority's (CA:TRUE)");
            let leaf = "make it with basicConstraints CA:FALSE, and give it with --ca";
            (why, vec!["get one from an authority".into(), leaf.into()])
        }
        other => (format!("the certificate is refused: {other}"), vec![CHAIN.into()]),
    }
}

/// Remembers what a certificate is worth.
#[derive(Debug)]
struct Judge {
    verifier: Arc<WebPkiServerVerifier>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    chain: Vec<Vec<u8>>,
    verdict: Result<(), Error>,
}

impl Judge {
    fn new(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let roots = match &trust.authorities {
            Some(pem) => tls::authorities(pem).ok_or("there is no certificate in what --ca names")?,
            None => {
                let pem = tls::system_store();
                let roots = pem.and_then(|pem| tls::authorities(&pem));
                roots.ok_or("this host has no store of authorities; give one with --ca")?
            }
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build();
        let verifier = verifier.map_err(|error| format!("no certificate can be judged: {error}"))?;
        Ok(Self { verifier, seen: Mutex::new(Seen { chain: Vec::new(), verdict: Ok(()) }) })
    }
}

impl Witness for Judge {
    fn see(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) {
        let verdict = self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let chain = [end_entity].into_iter().chain(intermediates).map(|certificate| certificate.to_vec()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen { chain, verdict: verdict.map(drop) };
    }
}
