//! TLS as the load tester's clients speak it: full handshakes, ALPN `stun.turn` (RFC 7443), ring's cryptography.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::load::settings::TlsSettings;

/// Where Debian, and what is made of it, keeps the authorities that the system trusts.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
const ALPN: &[u8] = b"stun.turn";

/// What all clients' connections begin with.
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// # Errors
    /// A sentence: no authorities to trust, a name that is none.
    pub(super) fn new(settings: &TlsSettings) -> Result<Self, String> {
        let name = ServerName::try_from(settings.server_name.clone())
            .map_err(|_| format!("\"{}\" is no server's name", settings.server_name))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| format!("cannot speak TLS: {error}"))?;
        let builder = if settings.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            let file = settings.ca_file.as_deref().unwrap_or(Path::new(SYSTEM_ROOTS));
            builder.with_root_certificates(roots(file)?)
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A handshake that another one has paid for would say little of what new clients cost.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), name })
    }

    /// A client's part of a connection that is to be made.
    pub(super) fn connection(&self) -> Result<ClientConnection, Error> {
        let mut connection = ClientConnection::new(self.config.clone(), self.name.clone())?;
        // It is bounded where it is filled.
        connection.set_buffer_limit(None);
        Ok(connection)
    }
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("cannot read the authorities in {}: {error}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| cannot(&error))? {
        // The system's may hold some that are not understood; those that are given are meant.
        let _ = roots.add(certificate.map_err(|error| cannot(&error))?);
    }
    if roots.is_empty() { Err(cannot(&"there is none")) } else { Ok(roots) }
}

/// Trusts whoever has the key of the certificate that it shows: for servers under test.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
