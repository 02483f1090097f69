//! What runs without a configuration: a relay that this machine alone can reach, to try it out.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Failure, Plan};
use crate::config::{Config, Keys};
use crate::engine::SystemEntropy;
use crate::policy::auth::secret::{Secret, SecretId, Secrets};
use crate::policy::auth::static_users::StaticUsers;
use crate::relay::seam::Entropy;

/// The port that everybody knows (RFC 8656 §6).
const PORT: u16 = 3478;

/// The name of the file, beside the audit file, that holds the secret while the try-out runs: for the load tester.
pub const SECRET_FILE: &str = "secret";

/// A relay on the loopback addresses, with a secret that nobody knows and an audit file in a directory of its own.
///
/// # Errors
/// There are no random numbers, or no place for the audit file.
pub fn try_out() -> Result<Plan, Failure> {
    let mut entropy = SystemEntropy::new().ok_or(Failure::Entropy)?;
    let loopback = loopback_addresses();
    let listeners: Vec<SocketAddr> = loopback.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect();
    let config = Config::for_loopback(&listeners, &loopback);
    let (text, secrets) = fresh_secrets(&mut entropy);
    let keys = Keys { secrets, users: StaticUsers::none() };
    let directory = private_directory(&mut entropy).map_err(|e| Failure::Directory(std::env::temp_dir(), e))?;
    write_secret(&directory.join(SECRET_FILE), &text).map_err(|error| Failure::Directory(directory.clone(), error))?;
    let audit = directory.join("audit.jsonl");
    Ok(Plan {
        config,
        keys,
        audit: Some(audit),
        tls: None,
        certificates: Vec::new(),
        findings: Vec::new(),
        is_attended: true,
    })
}

/// `127.0.0.1`, and `::1` where the host has IPv6.
fn loopback_addresses() -> Vec<IpAddr> {
    let v6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok().then_some(IpAddr::V6(Ipv6Addr::LOCALHOST));
    [IpAddr::V4(Ipv4Addr::LOCALHOST)].into_iter().chain(v6).collect()
}

/// One secret of 256 random bits, as text and as the relay takes it.
fn fresh_secrets(entropy: &mut SystemEntropy) -> (Zeroizing<String>, Secrets) {
    let (text, secret) = loop {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(bytes.as_mut());
        let mut text = Zeroizing::new(String::with_capacity(64));
        for byte in bytes.iter() {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        let as_bytes = Zeroizing::new(text.as_bytes().to_vec());
        // Of random bytes, one draw in more than 10^30 is refused as too monotonous.
        if let Some(secret) = SecretId::new("try-out").and_then(|id| Secret::new(id, as_bytes).ok()) {
            break (text, secret);
        }
    };
    // One secret is neither too many nor the same as another.
    (text, Secrets::new(vec![secret]).unwrap_or_else(|bad| unreachable!("{bad}")))
}

/// A file that nobody else can read.
fn write_secret(file: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

/// A new directory that only we can look into.
fn private_directory(entropy: &mut SystemEntropy) -> io::Result<PathBuf> {
    let mut name = [0; 8];
    entropy.fill(&mut name);
    let directory = std::env::temp_dir().join(format!("turnkeep-{:016x}", u64::from_be_bytes(name)));
    DirBuilder::new().mode(0o700).create(&directory)?;
    Ok(directory)
}
