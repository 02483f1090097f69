//! How clients reach the server, and whom they trust.

use std::path::PathBuf;

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A connection each.
    Tcp,
    /// The same with TLS.
    Tls,
}

impl Transport {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// Whom clients over TLS trust.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// The name or address that the server's certificate must be for; a name is asked for as well (SNI).
    pub server_name: String,
    /// Authorities, as PEM; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// Whatever certificate the server shows is good.
    pub insecure: bool,
}
