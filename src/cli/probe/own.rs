//! What a probe of our own relay takes from its configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::cli::load::read_secret;
use crate::client::Credentials;
use crate::client::uri::Uri;
use crate::config::schema::{HmacHash, SecretSource};
use crate::config::value::UtcTime;
use crate::config::{self, Loaded};

/// What a configuration says of itself.
#[derive(Default)]
pub(super) struct Own {
    /// Its listeners, those of every address at the loopback one.
    pub(super) targets: Vec<Uri>,
    /// Its first secret that has not ended.
    pub(super) credentials: Option<Credentials>,
    /// Whom it lets clients reach on purpose.
    pub(super) may_reach: Vec<IpNet>,
}

impl Own {
    /// Reads the configuration `file` and the secret that it names.
    ///
    /// # Errors
    /// Why that cannot be done, as lines to print.
    pub(super) fn read(file: &Path, now_unix: u64) -> Result<Self, String> {
        let loaded = config::load(file).map_err(|report| report.to_string())?;
        let targets = loaded.config.listeners.iter().filter_map(|listener| {
            let transport = listener.transport.name();
            // A listener for TLS does not say which names its clients use.
            let is_plain = matches!(transport, "udp" | "tcp");
            let uri = format!("turn:{}?transport={transport}", reachable(listener.address.get()));
            uri.parse().ok().filter(|_| is_plain)
        });
        Ok(Self {
            targets: targets.collect(),
            credentials: credentials(&loaded, now_unix)?,
            may_reach: loaded.config.peers.allowed.iter().map(|rule| rule.cidr.get()).collect(),
        })
    }
}

/// Where a listener is reached from its own host.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn credentials(loaded: &Loaded, now_unix: u64) -> Result<Option<Credentials>, String> {
    let credentials = &loaded.config.credentials;
    let lives = |source: &&SecretSource| source.not_after.is_none_or(|end: UtcTime| end.unix_secs() > now_unix);
    let Some(source) = credentials.secrets.iter().find(lives) else {
        return Ok(None);
    };
    if credentials.hmac != HmacHash::Sha1 {
        let mint = "make a credential with `turnkeep credential mint`, and give it with --user and --password-file";
        return Err(format!("the configuration has another HMAC than the probe: {mint}"));
    }
    let secret = match (&source.file, &source.env) {
        (Some(path), _) => read_secret(&loaded.resolve(path))?,
        (None, Some(name)) => std::env::var(name.as_str())
            .map_err(|_| format!("the environment has no {}, which holds the secret", name.as_str()))?,
        (None, None) => return Ok(None),
    };
    Ok(Some(Credentials::Secret(Zeroizing::new(secret.into_bytes()))))
}
