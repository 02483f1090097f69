//! The certificates that are shown, by the names that clients ask for (RFC 6066 §3).
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A certificate with its chain and key, and the names that it is shown for.
#[derive(Clone)]
pub struct Certificate {
    names: Vec<String>,
    key: Arc<CertifiedKey>,
}

impl Certificate {
    /// Shows `chain`, the certificate itself first, to who asks for one of `names`, of which one can begin with `*.`.
    ///
    /// # Errors
    /// The key is of no kind that TLS knows, or is not the certificate's.
    pub fn new(
        names: Vec<String>,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, super::TlsError> {
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(super::TlsError)?;
        let names = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Self { names, key: Arc::new(key) })
    }
}

/// How a name fits one of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Fit {
    Wildcard,
    Exact,
}

/// How well one of `names` fits `name`, which is in lower case as they are: exactly, by a wildcard, or not at all.
pub(in crate::engine) fn fit(names: &[String], name: &str) -> Option<Fit> {
    let is_below = |pattern: &str| {
        let (label, rest) = name.split_once('.').unwrap_or_default();
        !label.is_empty() && pattern.strip_prefix("*.").is_some_and(|suffix| suffix == rest)
    };
    match names.iter().any(|own| own == name) {
        true => Some(Fit::Exact),
        false => names.iter().any(|own| is_below(own)).then_some(Fit::Wildcard),
    }
}

/// All that are shown now. The first is for who asks for no name, or for one that no certificate has.
pub struct Certificates {
    all: RwLock<Arc<[Certificate]>>,
}

impl Certificates {
    pub(super) fn new(all: Vec<Certificate>) -> Self {
        Self { all: RwLock::new(all.into()) }
    }

    pub(super) fn replace(&self, all: Vec<Certificate>) {
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = all.into();
    }

    fn current(&self) -> Arc<[Certificate]> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let all = self.current();
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        // One name may have a certificate of each kind of key: the client takes the kinds that it knows.
        let can_sign = |one: &&Certificate| one.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let fitting = all.iter().filter(can_sign).filter_map(|one| Some((fit(&one.names, &name)?, one)));
        // Of equals the first in the configuration.
        let best = fitting.rev().max_by_key(|(fit, _)| *fit).map(|(_, one)| one);
        let chosen = best.or_else(|| all.iter().find(can_sign)).or(all.first())?;
        Some(chosen.key.clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.current().iter().map(|one| &one.names)).finish()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("names", &self.names).finish()
    }
}
