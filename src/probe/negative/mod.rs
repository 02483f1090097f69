//! What a server must refuse: logins that are none, peers behind its walls, what is not signed, and being a reflector.
//!
//! Nothing here leaves the server for somebody else: a permission for a peer sends no packet to it.

mod kinds;
mod logins;
mod peers;
mod quota;
mod reflection;
mod signing;

use super::client::{Client, Outcome, Session};
use super::login::{self, Allocation};
use super::report::{Step, Verdict};
use super::walk::{Log, Scene};
use crate::wire::Method;

/// Tries it, with the walk's client and what became of its allocation.
pub(super) fn run(scene: &Scene<'_>, log: &mut Log<'_>, client: &Client, walked: Option<&Allocation>) {
    if !scene.settings.tries_refusals(scene.server.ip()) {
        let what = "what must be refused is tried against servers elsewhere only with --negative=always";
        return log.refusal(Step::skipped("refusals", what));
    }
    logins::run(scene, log, client.session.as_ref(), walked.is_some());
    if walked.is_some() {
        signing::run(scene, log);
        peers::run(scene, log);
    }
    reflection::run(scene, log);
    if walked.is_some() {
        // Last, since limits by rate may remember it.
        quota::run(scene, log);
    }
}

/// An Allocate on a link of its own, after a challenge of its own, with credentials that `alter` has changed; with what
/// came of it the allocation, if there is one.
fn attempt(scene: &Scene<'_>, alter: &dyn Fn(Session) -> Session) -> Option<(Outcome, Client)> {
    let mut client = scene.connect().ok()?;
    let Outcome::Refused(refusal) = client.ask(Method::ALLOCATE, &login::allocate_body(scene)) else { return None };
    let session = Session::of_challenge(&refusal.answer, scene.login("refusals")?)?;
    client.session = Some(alter(session));
    // As it is: a stale nonce is not to be renewed.
    let request = super::client::compose(Method::ALLOCATE, &login::allocate_body(scene), client.session.as_ref(), true);
    let outcome = client.exchange(&request);
    Some((outcome, client))
}

/// Gives back what an attempt got.
fn undo(outcome: &Outcome, client: Client) {
    if let Outcome::Success(answer) = outcome
        && let Some(allocation) = login::allocation(answer)
    {
        login::give_back(Allocation { client: Some(client), ..allocation });
    }
}

/// The answers that say that credentials are not accepted (RFC 8489 §9.2.4, RFC 8656 §5; coturn has 437 for a realm).
/// Any other, such as that a quota is reached, leaves open whether they were looked at.
const NOT_YOU: [u16; 5] = [400, 401, 437, 438, 441];

/// The step of something that was not granted.
fn good(name: &'static str, tried: &str, outcome: &Outcome) -> Step {
    let step = match outcome {
        Outcome::Refused(refusal) if NOT_YOU.contains(&refusal.code) => {
            Step::ok(name, refusal.words()).took(refusal.answer.took)
        }
        Outcome::Refused(refusal) => {
            Step::untested(name, format!("refused for another reason: {}", refusal.words())).took(refusal.answer.took)
        }
        _ => Step::ok(name, "no answer"),
    };
    step.tried(tried)
}

/// The step of something that could not be tried.
fn not_tried(name: &'static str, tried: &str) -> Step {
    Step::new(name, Verdict::Untested, "the server gave no challenge or no allocation for it").tried(tried)
}
