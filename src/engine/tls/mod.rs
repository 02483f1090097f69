//! TLS for clients (RFC 8489 §6.2.3, RFC 7443): what is offered, with which certificates, and the state of one
//! connection. Bytes come in and go out as arguments: rustls' connection without buffers is as sans-IO as the relay.
#![forbid(unsafe_code)]

mod certificates;
pub(super) mod handshakes;
mod session;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite};

pub(super) use certificates::fit;
pub use certificates::{Certificate, Certificates};
pub(super) use session::{Session, State};

/// What TLS clients are offered. Copies share their certificates, so that those can be replaced while it runs.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    /// How clients' certificates are looked at, in words.
    clients: &'static str,
}

/// Which cipher suites there are; all of them with forward secrecy and AEAD (BCP 195, D-17 of docs/conformance.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsProfile {
    /// TLS 1.3 and 1.2, with AES-128, AES-256 and ChaCha20.
    #[default]
    Modern,
    /// AES-256 alone.
    Aes256,
}

/// Whether clients show certificates of their own.
#[derive(Clone, Debug, Default)]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    None,
    /// Who shows one must show one that these have signed.
    Optional(Vec<CertificateDer<'static>>),
    /// Everybody must.
    Required(Vec<CertificateDer<'static>>),
}

impl ClientCertificates {
    fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Optional(_) => "optional",
            Self::Required(_) => "required",
        }
    }
}

/// Why TLS cannot be offered.
#[derive(Debug)]
pub struct TlsError(rustls::Error);

/// The protocols of RFC 7443. Who offers others alone is refused; browsers offer none, which is fine.
pub(super) const ALPN: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

impl Tls {
    /// Offers `profile` with `certificates`.
    ///
    /// # Errors
    /// The certificates that clients' ones are judged by are no such, or there are no random numbers.
    pub fn new(
        profile: TlsProfile,
        clients: &ClientCertificates,
        certificates: Vec<Certificate>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(provider(profile));
        let certificates = Arc::new(Certificates::new(certificates));
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(rustls::ALL_VERSIONS).map_err(TlsError)?;
        let verifier = |roots: &[CertificateDer<'static>], is_required: bool| {
            let mut store = RootCertStore::empty();
            roots.iter().try_for_each(|root| store.add(root.clone())).map_err(TlsError)?;
            let builder = WebPkiClientVerifier::builder_with_provider(store.into(), provider.clone());
            let builder = if is_required { builder } else { builder.allow_unauthenticated() };
            builder.build().map_err(|error| TlsError(rustls::Error::General(error.to_string())))
        };
        let builder = match clients {
            ClientCertificates::None => builder.with_no_client_auth(),
            ClientCertificates::Optional(roots) => builder.with_client_cert_verifier(verifier(roots, false)?),
            ClientCertificates::Required(roots) => builder.with_client_cert_verifier(verifier(roots, true)?),
        };
        let mut config = builder.with_cert_resolver(certificates.clone());
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        // what is sent early can be sent again by others. A-070: tickets need no memory here.
        config.max_early_data_size = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(TlsError)?;
        Ok(Self { config: Arc::new(config), certificates, clients: clients.name() })
    }

    /// Puts others in the place of its certificates. Connections that stand are not touched.
    pub fn replace(&self, certificates: Vec<Certificate>) {
        self.certificates.replace(certificates);
    }

    /// The state of a new connection.
    pub(super) fn session(&self) -> Option<Session> {
        Session::new(self.config.clone())
    }
}

/// The one place that chooses a provider of cryptography.
fn provider(profile: TlsProfile) -> CryptoProvider {
    let all = ring::default_provider();
    let is_aes256 = |suite: &SupportedCipherSuite| {
        use rustls::CipherSuite as Suite;
        matches!(
            suite.suite(),
            Suite::TLS13_AES_256_GCM_SHA384
                | Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
                | Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        )
    };
    match profile {
        TlsProfile::Modern => all,
        TlsProfile::Aes256 => {
            CryptoProvider { cipher_suites: all.cipher_suites.iter().copied().filter(is_aes256).collect(), ..all }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suites: Vec<_> = self.config.crypto_provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        let Self { certificates, clients, .. } = self;
        let mut shown = f.debug_struct("Tls");
        shown.field("suites", &suites).field("certificates", certificates).field("clients", clients).finish()
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for TlsError {}
