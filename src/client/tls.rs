//! TLS as clients speak it: ring's cryptography, whose certificates are good, and what to do to look at bad ones.

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, WantsVerifier,
};

/// The protocol over TLS that asks for a relay (RFC 7443 §3).
pub const ALPN_TURN: &[u8] = b"stun.turn";

/// Where systems keep the authorities that they trust, in one file of PEM.
const STORES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What a configuration begins with: TLS 1.2 and 1.3.
///
/// # Errors
/// None that is known: the provider has suites for both.
pub fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions()
}

/// The authorities in `pem`, as far as they are understood; none if there is not one.
pub fn authorities(pem: &[u8]) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
    (!roots.is_empty()).then_some(roots)
}

/// The authorities that this host trusts, as PEM: `SSL_CERT_FILE`, or where systems keep them.
pub fn system_store() -> Option<Vec<u8>> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named.into_iter().chain(STORES.map(Into::into)).find_map(|path| fs::read(path).ok())
}

/// Goes on whatever certificate a server shows, of which `witness` is told. The server must have its key.
pub fn with_any_certificate(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    witness: Arc<impl Witness + 'static>,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = builder.crypto_provider().clone();
    builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate { provider, witness }))
}

/// Who is told of a server's certificate.
pub trait Witness: Debug + Send + Sync {
    /// What [`ServerCertVerifier::verify_server_cert`] is given.
    fn see(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    );
}

/// Nobody looks.
impl Witness for () {
    fn see(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: &ServerName<'_>, _: &[u8], _: UnixTime) {}
}

#[derive(Debug)]
struct AnyCertificate<W> {
    provider: Arc<CryptoProvider>,
    witness: Arc<W>,
}

impl<W: Witness> ServerCertVerifier for AnyCertificate<W> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.witness.see(end_entity, intermediates, server_name, ocsp_response, now);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_those_that_are_understood() {
        let key = rcgen::KeyPair::generate().unwrap();
        let good = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        let bad = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(authorities(format!("{bad}{good}").as_bytes()).map(|roots| roots.len()), Some(1));
        assert!(authorities(bad.as_bytes()).is_none() && authorities(b"").is_none());
    }
}
