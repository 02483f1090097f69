//! Secrets and users: read from where the configuration says, since they never stand in it.

use zeroize::Zeroizing;

use super::schema::{HmacHash, SecretSource};
use super::{Finding, Loaded, Severity, guarded, value};
use crate::policy::auth::secret::{PasswordHash, Secret, SecretId, Secrets};
use crate::policy::auth::static_users::StaticUsers;

/// What credentials are judged by. It has no way to be shown.
pub struct Keys {
    /// What ephemeral credentials are signed with.
    pub secrets: Secrets,
    /// Who has a password that stays.
    pub users: StaticUsers,
}

impl Loaded {
    /// Reads all secrets and users.
    ///
    /// # Errors
    /// What is wrong with each that cannot be used.
    pub fn keys(&self) -> Result<Keys, Vec<Finding>> {
        let mut findings = Vec::new();
        let mut note = |(path, sentence): (String, String)| findings.push(self.finding(&path, sentence));
        let sources = self.config.credentials.secrets.iter().enumerate();
        let secrets: Vec<Secret> = sources
            .filter_map(|(index, source)| self.secret(index, source).map_err(&mut note).ok().flatten())
            .collect();
        let secrets = Secrets::new(secrets).map_err(|bad| note(("credentials.secret".into(), unstopped(bad)))).ok();
        let users = self.users().map_err(|sentence| note(("credentials.users_file".into(), sentence))).ok();
        match (secrets, users) {
            (Some(secrets), Some(users)) if findings.is_empty() => Ok(Keys { secrets, users }),
            _ => Err(findings),
        }
    }

    /// One secret; none where the configuration does not say where it is, which [`super::check()`] complains about. On
    /// failure the key that is to blame, and why.
    fn secret(&self, index: usize, source: &SecretSource) -> Result<Option<Secret>, (String, String)> {
        let blame = |key: &str| format!("credentials.secret.{index}.{key}");
        let itself = source.file.as_deref().filter(|path| path.to_str().is_some_and(value::looks_like_a_secret));
        if itself.is_some_and(|path| !self.resolve(path).exists()) {
            let sentence = "this looks like the secret itself, which never stands here; write it to a file that nobody \
                            else can read, and give the file's name";
            return Err((blame("file"), sentence.to_owned()));
        }
        let (key, line) = match (&source.file, &source.env) {
            (Some(path), None) => (blame("file"), guarded::line_of_file(&self.resolve(path))),
            (None, Some(name)) => (blame("env"), guarded::line_of_variable(name)),
            _ => return Ok(None),
        };
        let bytes = line.map_err(|sentence| (key.clone(), sentence))?;
        let Some(id) = SecretId::new(source.id.as_str()) else { return Ok(None) };
        let made = if self.config.lab { Secret::for_lab(id, bytes) } else { Secret::new(id, bytes) };
        let secret = made.map_err(|weak| (key, unstopped(weak)))?.with_hash(match self.config.credentials.hmac {
            HmacHash::Sha1 => PasswordHash::Sha1,
            HmacHash::Sha256 => PasswordHash::Sha256,
        });
        Ok(Some(match source.not_after {
            Some(end) => secret.with_not_after(end.unix_secs()),
            None => secret,
        }))
    }

    fn users(&self) -> Result<StaticUsers, String> {
        let Some(path) = &self.config.credentials.users_file else { return Ok(StaticUsers::none()) };
        let path = self.resolve(path);
        let mut bytes = guarded::read(&path)?;
        let text = String::from_utf8(std::mem::take(&mut bytes)).map(Zeroizing::new);
        let text = text.map_err(|_| format!("{} is not UTF-8", path.display()))?;
        StaticUsers::parse(self.config.realm.as_str(), &text)
            .map_err(|bad| format!("{}: {}", path.display(), unstopped(bad)))
    }

    fn finding(&self, path: &str, sentence: String) -> Finding {
        Finding::new(Severity::Error, &self.lines, path, sentence)
    }
}

/// Findings go on behind their sentence, so it has no full stop.
fn unstopped(sentence: impl std::fmt::Display) -> String {
    let sentence = sentence.to_string();
    sentence.strip_suffix('.').map(str::to_owned).unwrap_or(sentence)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    const ONE: &str = "8f3b1c5e9d2a7f604b6c8e1d3f5a7092";
    const OTHER: &str = "06d1f8b25c9e47a3b8d2e6f1047a9c35";

    /// A configuration in `directory` with the files k1 and k2 beside it.
    fn relay(directory: &Path, top: &str, contents: [&str; 2]) -> Loaded {
        for (name, content) in ["k1", "k2"].into_iter().zip(contents) {
            write(&directory.join(name), content, 0o600);
        }
        let secret = |id: &str| format!("[[credentials.secret]]\nid = '{id}'\nfile = '{id}'\n");
        let text = format!("{top}realm = 'example.org'\nlistener = []\n{}{}", secret("k1"), secret("k2"));
        let file = directory.join("turnkeep.toml");
        fs::write(&file, text).expect("a configuration");
        super::super::load(&file).unwrap_or_else(|report| panic!("{report}"))
    }

    fn write(path: &Path, content: &str, mode: u32) {
        fs::write(path, content).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    fn faults(loaded: &Loaded) -> Vec<String> {
        loaded.keys().err().into_iter().flatten().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn reads_secrets_in_their_order() {
        let directory = tempfile::tempdir().expect("a directory");
        let keys = relay(directory.path(), "", [ONE, OTHER]).keys().unwrap_or_else(|found| panic!("{found:?}"));
        assert_eq!(keys.secrets.iter().map(|secret| secret.id().as_str()).collect::<Vec<_>>(), ["k1", "k2"]);
    }

    #[test]
    fn a_106_every_weak_secret_is_named_and_none_is_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        let found = faults(&relay(directory.path(), "", ["changeme", "12345678"]));
        assert_eq!(
            found,
            [
                "error: credentials.secret.file: Secret k1 is a well-known placeholder; make one with `openssl rand \
                 -hex 32`",
                "error: credentials.secret.file: Secret k2 has 8 bytes, fewer than 32; make one with `openssl rand \
                 -hex 32`",
            ]
        );
    }

    #[test]
    fn a_secret_in_the_place_of_its_file_is_not_repeated() {
        let directory = tempfile::tempdir().expect("a directory");
        for secret in [
            &[ONE, OTHER].concat(),
            ONE,
            "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
            "k9/vEjRWeJCrze8SNFZ4kKvN7xI0Vni+q83vEjRWeJA=",
        ] {
            for key in ["file", "env"] {
                let text =
                    format!("realm = 'a'\nlistener = []\n[[credentials.secret]]\nid = 'k1'\n{key} = '{secret}'\n");
                let file = directory.path().join("turnkeep.toml");
                fs::write(&file, text).expect("a configuration");
                let found = match super::super::load(&file) {
                    Ok(loaded) => faults(&loaded).concat(),
                    Err(report) => report.to_string(),
                };
                assert!(found.contains("secret") && !found.contains(&secret[..8]), "{found}");
            }
        }
    }

    #[test]
    fn a_laboratory_takes_short_secrets_but_not_empty_ones() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(faults(&relay(directory.path(), "lab = true\n", ["north", "south"])), [""; 0]);
        assert!(faults(&relay(directory.path(), "lab = true\n", ["north", "\n"]))[0].contains("Secret k2 is empty"));
    }

    #[test]
    fn a_rotation_needs_a_new_secret() {
        let directory = tempfile::tempdir().expect("a directory");
        let found = faults(&relay(directory.path(), "", [ONE, ONE]));
        assert!(found[0].starts_with("error: credentials.secret: Secrets k1 and k2 are the same"), "{found:?}");
    }

    #[test]
    fn users_are_read_from_a_closed_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let with_users = |content: &str, mode| {
            write(&directory.path().join("users"), content, mode);
            let mut loaded = relay(directory.path(), "lab = true\n", [ONE, OTHER]);
            loaded.config.credentials.users_file = Some("users".into());
            loaded
        };
        let keys = with_users("# lab\nalice:open\n", 0o600).keys().unwrap_or_else(|found| panic!("{found:?}"));
        assert_eq!(keys.users.len(), 1);
        assert!(faults(&with_users("alice:open\n", 0o644))[0].contains("is open to everybody"));
        let bad = faults(&with_users("alice:open\nbob\n", 0o600));
        assert!(bad[0].contains("Line 2 of the user file has no colon") && bad[0].contains("users_file"), "{bad:?}");
    }
}
