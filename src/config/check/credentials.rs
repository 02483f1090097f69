//! Who may use the relay.

use super::{Judge, repeats};
use crate::config::schema::{Legacy, SecretSource};

pub(super) fn check(judge: &mut Judge<'_>, now_unix: u64) {
    let credentials = &judge.config.credentials;
    if credentials.secrets.is_empty() && credentials.users_file.is_none() {
        judge.error("credentials", "no secret: nobody could use the relay; write [[credentials.secret]]".into());
    }
    let ids: Vec<&str> = credentials.secrets.iter().map(|secret| secret.id.as_str()).collect();
    for (index, earlier) in repeats(&ids) {
        let place = judge.place(&format!("credentials.secret.{earlier}.id"));
        judge.error(&format!("credentials.secret.{index}.id"), format!("{:?} is taken, at {place}", ids[index]));
    }
    for (index, secret) in credentials.secrets.iter().enumerate() {
        check_source(judge, index, secret);
    }
    check_not_after(judge, now_unix);
    check_algorithms(judge);
    if credentials.users_file.is_some() && !judge.config.lab {
        let sentence = "fixed passwords neither expire nor name one person; they are for labs (lab = true)";
        judge.warn("credentials.users_file", sentence.into());
    }
}

/// RFC 8489: what is offered must be something that a user can have.
fn check_algorithms(judge: &mut Judge<'_>) {
    let credentials = &judge.config.credentials;
    let denies = |own: Option<Legacy>| own.unwrap_or(credentials.legacy) == Legacy::Deny;
    if !credentials.offer_sha256 && judge.config.listeners.iter().any(|listener| denies(listener.legacy)) {
        let sentence = "nobody could get in where MD5 and SHA-1 are denied and SHA-256 is not offered; offer it";
        judge.error("credentials.offer_sha256", sentence.into());
    }
    if credentials.offer_userhash && !credentials.secrets.is_empty() {
        let sentence =
            "nobody can find the user name of an ephemeral credential by its hash; with secrets leave it off";
        judge.error("credentials.offer_userhash", sentence.into());
    }
}

fn check_source(judge: &mut Judge<'_>, index: usize, secret: &SecretSource) {
    let sentence = match (&secret.file, &secret.env) {
        (None, None) => "names no source; give it a file or an env",
        (Some(file), None) if file.as_os_str().is_empty() => "has an empty file; name one that holds it",
        (Some(_), Some(_)) => "names two sources; give it a file or an env, not both",
        _ => return,
    };
    judge.error(&format!("credentials.secret.{index}"), format!("secret {:?} {sentence}", secret.id.as_str()));
}

fn check_not_after(judge: &mut Judge<'_>, now_unix: u64) {
    let credentials = &judge.config.credentials;
    let is_past = |secret: &&SecretSource| secret.not_after.is_some_and(|end| end.unix_secs() <= now_unix);
    let all_past = credentials.secrets.iter().filter(is_past).count() == credentials.secrets.len();
    for (index, secret) in credentials.secrets.iter().enumerate().filter(|(_, secret)| is_past(secret)) {
        let path = format!("credentials.secret.{index}.not_after");
        let sentence = format!("secret {:?} ended and is refused; take it out", secret.id.as_str());
        if all_past && credentials.users_file.is_none() {
            judge.error(&path, format!("{sentence}, and put a new one in: no other is left"));
        } else {
            judge.warn(&path, sentence);
        }
    }
}
