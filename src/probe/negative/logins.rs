//! Logins that are none.

use super::super::client::{Outcome, Session, fresh_word};
use super::super::login::{self, quietly};
use super::super::report::{Step, Verdict};
use super::super::walk::{Log, Scene, now_unix};
use super::{attempt, good, not_tried, undo};
use crate::client::credential::{Login, TTL};
use crate::wire::Method;
use crate::wire::attribute::Lifetime;

/// A login that must not be accepted.
struct Bad<'a> {
    name: &'static str,
    tried: &'static str,
    alter: Box<dyn Fn(Session) -> Session + 'a>,
    why: &'static str,
    cure: &'static str,
}

/// Ten years, in seconds.
const FAR: u64 = 10 * 365 * 86_400;

/// Tries them. `walked` is the session of the walk, which the nonce is borrowed from; where that was `granted` no
/// allocation, a right login is not known.
pub(super) fn run(scene: &Scene<'_>, log: &mut Log<'_>, walked: Option<&Session>, granted: bool) {
    no_credentials(scene, log);
    let Some(session) = walked.filter(|_| scene.settings.credentials.is_some()) else {
        return;
    };
    for bad in logins(scene, session) {
        let Some((outcome, client)) = attempt(scene, &*bad.alter) else {
            log.refusal(not_tried(bad.name, bad.tried));
            continue;
        };
        log.refusal(match &outcome {
            Outcome::Success(answer) => Step::fault(bad.name, "an allocation is granted")
                .took(answer.took)
                .tried(bad.tried)
                .why(bad.why)
                .cure(bad.cure),
            other => good(bad.name, bad.tried, other),
        });
        undo(&outcome, client);
    }
    if !granted {
        return;
    }
    borrowed_nonce(scene, log, session);
    if scene.settings.credentials.as_ref().is_some_and(|credentials| credentials.secret().is_some()) {
        far_expiry(scene, log);
        other_user(scene, log);
    }
}

fn no_credentials(scene: &Scene<'_>, log: &mut Log<'_>) {
    const NAME: &str = "no-credentials";
    const TRIED: &str = "Allocate without credentials";
    let Ok(mut client) = scene.connect() else {
        return log.refusal(not_tried(NAME, TRIED));
    };
    let outcome = client.ask(Method::ALLOCATE, &login::allocate_body(scene));
    log.refusal(match &outcome {
        Outcome::Success(_) => Step::fault(NAME, "an allocation is granted")
            .tried(TRIED)
            .why("an open relay: anybody sends and receives in this server's name (RFC 8656 §21.1.1)")
            .cure("coturn: take out `no-auth`; set `use-auth-secret` or `lt-cred-mech`; turnkeep has no such mode"),
        other => good(NAME, TRIED, other),
    });
    undo(&outcome, client);
}

fn logins<'a>(scene: &'a Scene<'_>, session: &'a Session) -> Vec<Bad<'a>> {
    const NO_CHECK: &str = "the server does not check passwords: whoever knows or guesses a user name gets in";
    const SET_AUTH: &str = "coturn: no `no-auth`, and either `use-auth-secret` or `lt-cred-mech`";
    let mut bad = vec![
        Bad {
            name: "wrong-password",
            tried: "Allocate with a wrong password",
            alter: Box::new(|session| {
                let username = session.login.username.clone();
                session.with_login(Login { username, password: fresh_word().into() })
            }),
            why: NO_CHECK,
            cure: SET_AUTH,
        },
        Bad {
            name: "unknown-user",
            tried: "Allocate as a user whom the server cannot know",
            alter: Box::new(|session| {
                let (secret, name) = (fresh_word(), format!("probe-{}", fresh_word()));
                session.with_login(Login::ephemeral(secret.as_bytes(), now_unix() + TTL.as_secs(), &name))
            }),
            why: NO_CHECK,
            cure: SET_AUTH,
        },
        Bad {
            name: "wrong-realm",
            tried: "Allocate with credentials for another realm",
            alter: Box::new(|session| session.with_realm(b"elsewhere.invalid")),
            why: "the server takes the client's word for the realm: a user of one tenant is one of all",
            cure: "update the server: a realm that it did not ask with is none",
        },
        Bad {
            name: "made-up-nonce",
            tried: "Allocate with a nonce that the server never gave",
            alter: Box::new(|session| {
                let nonce = fresh_word();
                session.with_nonce(nonce.as_bytes())
            }),
            why: "nonces are not checked: a recorded request can be sent again for ever (RFC 8489 §9.2.4)",
            cure: "update the server: it must answer 438",
        },
    ];
    if let Some(secret) = scene.settings.credentials.as_ref().and_then(|credentials| credentials.secret()) {
        let username = &session.login.username;
        debug_assert!(!username.is_empty());
        bad.push(Bad {
            name: "expired",
            tried: "Allocate with a credential that expired an hour ago",
            alter: Box::new(|session| {
                session.with_login(Login::ephemeral(secret, now_unix() - TTL.as_secs(), "probe-refusals"))
            }),
            why: "expiry is not checked: a leaked credential works for ever",
            cure: "set the server's clock; coturn: `use-auth-secret`, not the secret as a fixed password",
        });
    }
    bad
}

/// A nonce that was given to another client.
fn borrowed_nonce(scene: &Scene<'_>, log: &mut Log<'_>, session: &Session) {
    const NAME: &str = "borrowed-nonce";
    const TRIED: &str = "Allocate with right credentials and the nonce of another client";
    let Some((outcome, client)) = attempt(scene, &|own| own.with_nonce(&session.nonce)) else {
        return log.refusal(not_tried(NAME, TRIED));
    };
    log.refusal(match &outcome {
        Outcome::Success(_) => Step::new(NAME, Verdict::Warning, "an allocation is granted")
            .tried(TRIED)
            .why("what somebody recorded can be sent again from elsewhere (RFC 8489 §9.2.4: a nonce for each client)")
            .cure("update the server; where nonces are shared between servers, bind them to the client's address"),
        other => good(NAME, TRIED, other),
    });
    undo(&outcome, client);
}

/// A credential for ten years: no server must refuse it, and it is good to know.
fn far_expiry(scene: &Scene<'_>, log: &mut Log<'_>) {
    const NAME: &str = "far-expiry";
    const TRIED: &str = "Allocate with a credential for ten years";
    let Some(secret) = scene.settings.credentials.as_ref().and_then(|credentials| credentials.secret()) else { return };
    let far = Login::ephemeral(secret, now_unix() + FAR, "probe-refusals");
    let Some((outcome, client)) = attempt(scene, &|session| session.with_login(far.clone())) else {
        return log.refusal(not_tried(NAME, TRIED));
    };
    log.refusal(match &outcome {
        Outcome::Success(_) => Step::new(NAME, Verdict::Note, "an allocation is granted: there is no longest lifetime")
            .tried(TRIED)
            .why("an issuer that writes milliseconds, or is abused once, makes credentials that never end")
            .cure("turnkeep: credentials.max_ttl; coturn has no such limit: change the secret now and then"),
        other => good(NAME, TRIED, other),
    });
    undo(&outcome, client);
}

/// A request on an allocation by somebody else (RFC 8656 §5).
fn other_user(scene: &Scene<'_>, log: &mut Log<'_>) {
    const NAME: &str = "other-user";
    const TRIED: &str = "Refresh of an allocation with the credentials of another user";
    let (Some(mut allocation), Some(other)) = (quietly(scene, "owner"), scene.login("other")) else {
        return log.refusal(not_tried(NAME, TRIED));
    };
    let Some(client) = &mut allocation.client else { return };
    let own = client.session.clone();
    client.session = own.as_ref().map(|session| session.with_login(other));
    let outcome = client.ask_signed(Method::REFRESH, &|writer| writer.put(&Lifetime(600)));
    log.refusal(match &outcome {
        Outcome::Success(_) => Step::fault(NAME, "granted")
            .tried(TRIED)
            .why("whoever shares an address with a client, as behind a NAT, can end its calls (RFC 8656 §5: 441)")
            .cure("update the server"),
        other => good(NAME, TRIED, other),
    });
    client.session = own;
    login::give_back(allocation);
}
