//! How many allocations one user may have.

use super::super::client::{Outcome, Session};
use super::super::login::{self, Allocation};
use super::super::report::{Step, Verdict};
use super::super::walk::{Log, Scene};
use crate::wire::Method;

const NAME: &str = "quota";
/// Allocations that are tried at a time: a browser takes 6 to 12.
const MOST: usize = 16;

/// Allocates until it is refused, gives all back, and says how many there were.
pub(super) fn run(scene: &Scene<'_>, log: &mut Log<'_>) {
    let tried = format!("up to {MOST} allocations of one user at a time");
    let (mut held, mut refused) = (Vec::new(), None);
    while held.len() < MOST && refused.is_none() {
        match one_more(scene) {
            Some(Ok(allocation)) => held.push(allocation),
            Some(Err(words)) => refused = Some(words),
            None => break,
        }
    }
    let count = held.len();
    held.into_iter().for_each(login::give_back);
    let step = match refused {
        Some(words) if count == 0 => Step::untested(NAME, format!("the first one is refused: {words}"))
            .why("limits by user or address may be used up by this probe, or by others")
            .cure("probe again in some minutes"),
        Some(words) if count < 6 => Step::new(NAME, Verdict::Warning, format!("{count}, then {words}"))
            .why("a browser makes one allocation for each interface, address family and URI: 6 to 12")
            .cure("coturn: a higher `user-quota`; turnkeep: limits.allocations_per_user"),
        Some(words) => Step::ok(NAME, format!("{count}, then {words}")),
        None if count == MOST => Step::new(NAME, Verdict::Note, format!("{MOST} are granted: no limit is to be seen"))
            .why("one leaked credential can take all relayed ports")
            .cure("coturn: `user-quota`; turnkeep: limits.allocations_per_user"),
        None => Step::untested(NAME, format!("{count}, then no answer")),
    };
    log.refusal(step.tried(tried));
}

/// Another allocation of the same user; why not, or nothing where there is no answer.
fn one_more(scene: &Scene<'_>) -> Option<Result<Allocation, String>> {
    let mut client = scene.connect().ok()?;
    if let Outcome::Refused(refusal) = client.ask(Method::ALLOCATE, &login::allocate_body(scene)) {
        client.session = Session::of_challenge(&refusal.answer, scene.login("quota")?);
    }
    match client.ask_signed(Method::ALLOCATE, &login::allocate_body(scene)) {
        Outcome::Success(answer) => Some(Ok(Allocation { client: Some(client), ..login::allocation(&answer)? })),
        Outcome::Refused(refusal) => Some(Err(refusal.words())),
        Outcome::Silence | Outcome::Broken(_) => None,
    }
}
