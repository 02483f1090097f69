//! TLS: whether what it needs is there, and what clients will say of it.

use super::Judge;
use crate::config::Loaded;
use crate::config::schema::ClientCertificates;

/// What the text alone tells.
pub(super) fn check(judge: &mut Judge<'_>) {
    let config = judge.config;
    let needs = config.listeners.iter().position(|listener| listener.transport.may_be_tls());
    match (needs, config.tls.certificates.is_empty()) {
        (Some(index), true) => judge.error(
            &format!("listener.{index}.transport"),
            format!(
                "\"{}\" needs a certificate: write [[tls.certificate]] with its chain_file and key_file",
                config.listeners[index].transport.name()
            ),
        ),
        (None, false) => {
            judge.warn("tls.certificate", "nobody is shown it: no listener has transport = \"tls\" or \"auto\"".into());
        }
        _ => {}
    }
    match (config.tls.client_certificates, &config.tls.client_ca_file) {
        (ClientCertificates::None, Some(_)) => judge.warn(
            "tls.client_ca_file",
            "has no effect: client_certificates is \"none\"; set it to \"required\"".into(),
        ),
        (ClientCertificates::Optional | ClientCertificates::Required, None) => judge.error(
            "tls.client_certificates",
            "needs client_ca_file: the authority whose certificates clients have".into(),
        ),
        _ => {}
    }
}

/// What the files tell.
pub(super) fn check_files(judge: &mut Judge<'_>, loaded: &Loaded, now_unix: u64) {
    for (index, files) in loaded.certificate_files().iter().enumerate() {
        let path = format!("tls.certificate.{index}");
        match files.read(now_unix) {
            Ok(read) => {
                for fault in read.faults {
                    judge.warn(&format!("{path}.chain_file"), fault.sentence);
                }
            }
            Err(why) => judge.error(&format!("{path}.{}", why.key), why.sentence),
        }
    }
    if judge.findings.iter().all(|finding| !finding.key.starts_with("tls"))
        && let Err(findings) = loaded.tls(now_unix)
    {
        judge.findings.extend(findings);
    }
}
