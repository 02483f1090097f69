//! What the model found, one test each.

use std::time::Duration;

use turnkeep::wire::attribute::RequestedTransport;
use turnkeep::wire::header::Method;

use crate::sans_io::{BRIEF_UNTIL, Client, EPOCH, World, code};

const ADDRESS: &str = "203.0.113.5:40000";

/// An expired credential made a new allocation in the second between the end of its old one and the timer.
#[test]
fn an_expired_credential_makes_nothing_new_on_an_allocation_that_has_just_ended() {
    let (mut world, mut brief) = (World::default(), Client::new("brief", ADDRESS));
    brief.allocate(&mut world);
    let lifetime = 600;
    assert!(EPOCH + lifetime > BRIEF_UNTIL, "the credential ends before the allocation");
    let until_the_end = Duration::from_secs(lifetime);
    world.advance(until_the_end);
    assert_eq!(world.server.allocations(), 1, "the timer comes within the next second");
    let answer = brief.ask(&mut world, Method::ALLOCATE, &[&RequestedTransport(17)]);
    assert_eq!(code(&answer), 401);
}
