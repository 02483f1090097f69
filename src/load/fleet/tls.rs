//! TLS as the load tester's clients speak it: full handshakes, ALPN `stun.turn` (RFC 7443).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error, RootCertStore};

use crate::client::tls::{self, ALPN_TURN};
use crate::load::settings::TlsSettings;

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
        let builder = tls::builder().map_err(|error| format!("cannot speak TLS: {error}"))?;
        let builder = if settings.insecure {
            tls::with_any_certificate(builder, Arc::new(()))
        } else {
            builder.with_root_certificates(roots(settings.ca_file.as_deref())?)
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![ALPN_TURN.to_vec()];
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

/// The authorities in `file`, or those that this host trusts.
fn roots(file: Option<&Path>) -> Result<RootCertStore, String> {
    let (pem, place) = match file {
        Some(file) => (fs::read(file).map_err(|error| error.to_string()), file.display().to_string()),
        None => (tls::system_store().ok_or_else(|| "it has none".to_owned()), "this host's store".to_owned()),
    };
    let roots = pem.and_then(|pem| tls::authorities(&pem).ok_or_else(|| "there is none".to_owned()));
    roots.map_err(|error| format!("cannot read the authorities in {place}: {error}; give others with --ca"))
}
