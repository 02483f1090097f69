//! Certificates for the servers, made anew for each race by openssl(1), which every server's library reads.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::case::Key;

/// A certificate and its key, both PEM.
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// The one of this kind in `scratch`, which is made if it is not there.
    pub(crate) fn of(scratch: &Path, kind: Key) -> io::Result<Self> {
        let file = |what: &str| scratch.join(format!("{}-{what}.pem", kind.name()));
        let certificate = Self { chain: file("certificate"), key: file("key") };
        if !(certificate.chain.exists() && certificate.key.exists()) {
            certificate.make(kind)?;
        }
        Ok(certificate)
    }

    fn make(&self, kind: Key) -> io::Result<()> {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=race.example"]);
        command.args(["-addext", "subjectAltName=DNS:race.example,IP:127.0.0.1"]);
        match kind {
            Key::Rsa => command.args(["-newkey", "rsa:2048"]),
            Key::Ecdsa => command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        };
        command.arg("-keyout").arg(&self.key).arg("-out").arg(&self.chain);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("openssl makes no certificate: {status}")));
        }
        // turnkeep takes no key that others can read.
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&self.key, std::fs::Permissions::from_mode(0o600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_can_be_made_and_are_kept() {
        let scratch = std::env::temp_dir().join(format!("turnkeep-race-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        for kind in Key::ALL {
            let certificate = Certificate::of(&scratch, kind).unwrap();
            let first = std::fs::read(&certificate.chain).unwrap();
            assert!(first.starts_with(b"-----BEGIN CERTIFICATE-----"));
            Certificate::of(&scratch, kind).unwrap();
            assert_eq!(std::fs::read(&certificate.chain).unwrap(), first);
        }
        std::fs::remove_dir_all(&scratch).unwrap();
    }
}
