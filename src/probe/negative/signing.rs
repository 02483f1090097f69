//! What no password vouches for: attributes behind MESSAGE-INTEGRITY, changed requests, peers without a permission.

use std::time::{Duration, Instant};

use super::super::client::{Client, NOTHING, Outcome, compose};
use super::super::far::{Far, Peer};
use super::super::login::{give_back, quietly};
use super::super::report::Step;
use super::super::walk::{Log, Scene};
use super::{good, not_tried};
use crate::wire::attribute::Lifetime;
use crate::wire::{AttributeType, Method};

/// How long nothing must come.
const SILENCE: Duration = Duration::from_millis(400);
/// What a changed request asks for, to be known again in the answer.
const ODD_SECS: u32 = 999;
/// RFC 8489 §14.7.
const FINGERPRINT_XOR: u32 = 0x5354_554E;

/// Tries it on an allocation of its own.
pub(super) fn run(scene: &Scene<'_>, log: &mut Log<'_>) {
    let Some(mut allocation) = quietly(scene, "signing") else {
        return log.refusal(not_tried("behind-integrity", "requests on an allocation"));
    };
    let relayed = allocation.relayed;
    if let Some(client) = &mut allocation.client {
        unsigned(log, client);
        changed(log, client);
        unpermitted(scene, log, client, relayed);
        // Last: where it is believed the allocation is gone.
        behind_integrity(log, client);
    }
    give_back(allocation);
}

fn unsigned(log: &mut Log<'_>, client: &mut Client) {
    const NAME: &str = "unsigned";
    const TRIED: &str = "Refresh of an allocation without credentials";
    // Asks for what it has: nothing is lost where it is granted.
    let outcome = client.ask(Method::REFRESH, NOTHING);
    log.refusal(match &outcome {
        Outcome::Success(_) if client.session.is_some() => Step::fault(NAME, "granted")
            .tried(TRIED)
            .why("whoever can send in a client's name can end its calls (RFC 8656 §5)")
            .cure("update the server; coturn: no `no-auth`"),
        Outcome::Success(_) => Step::skipped(NAME, "the server asks for no credentials at all").tried(TRIED),
        other => good(NAME, TRIED, other),
    });
}

/// A signed request of which a byte is changed on the way.
fn changed(log: &mut Log<'_>, client: &mut Client) {
    const NAME: &str = "changed-request";
    const TRIED: &str = "Refresh that was changed after it was signed";
    if client.session.is_none() {
        return log.refusal(Step::skipped(NAME, "the server asks for no credentials at all").tried(TRIED));
    }
    let mut request = compose(Method::REFRESH, &|to| to.put(&Lifetime(600)), client.session.as_ref(), false);
    // LIFETIME comes first: its value is behind the header of the message and its own.
    if let Some(value) = request.get_mut(24..28) {
        value.copy_from_slice(&ODD_SECS.to_be_bytes());
    }
    let outcome = client.exchange(&request);
    log.refusal(match &outcome {
        Outcome::Success(_) => Step::fault(NAME, "granted")
            .tried(TRIED)
            .why("MESSAGE-INTEGRITY is not checked: anybody on the way can change requests (RFC 8489 §9.2.4)")
            .cure("update the server"),
        other => good(NAME, TRIED, other),
    });
}

/// LIFETIME 0 appended behind the signature, by whoever is on the way (RFC 8489 §14.5: it is to be ignored).
fn behind_integrity(log: &mut Log<'_>, client: &mut Client) {
    const NAME: &str = "behind-integrity";
    const TRIED: &str = "a signed Refresh with LIFETIME 0 appended behind MESSAGE-INTEGRITY";
    if client.session.is_none() {
        return log.refusal(Step::skipped(NAME, "the server asks for no credentials at all").tried(TRIED));
    }
    let mut ended = false;
    let mut last = Outcome::Silence;
    for fingerprint in [false, true] {
        let mut request = compose(Method::REFRESH, NOTHING, client.session.as_ref(), false);
        append(&mut request, AttributeType::LIFETIME, &[0; 4]);
        if fingerprint {
            append_fingerprint(&mut request);
        }
        last = client.exchange(&request);
        if let Outcome::Success(answer) = &last {
            ended |= answer.get() == Some(Lifetime(0));
        }
    }
    log.refusal(match &last {
        _ if ended => Step::fault(NAME, "it is obeyed: the allocation is ended")
            .tried(TRIED)
            .why("whoever is on the way can append what he likes to a client's request: end its call, or add a peer")
            .cure("update the server: newer versions of coturn ignore such attributes, and turnkeep does"),
        Outcome::Success(answer) => Step::ok(NAME, "ignored").took(answer.took).tried(TRIED),
        other => good(NAME, TRIED, other),
    });
}

/// Data from a peer for which there is no permission (RFC 8656 §9).
fn unpermitted(scene: &Scene<'_>, log: &mut Log<'_>, client: &mut Client, relayed: std::net::SocketAddr) {
    const NAME: &str = "unpermitted-peer";
    const TRIED: &str = "a packet to the relayed address from a peer without a permission";
    let sent = Peer::open(scene, relayed).and_then(|mut peer| peer.send(b"let me in", relayed));
    if let Err(error) = sent {
        let why = format!("nothing can be sent there: {}", super::super::reach::words(&error));
        return log.refusal(Step::skipped(NAME, why).tried(TRIED));
    }
    let came = client.data(Instant::now() + SILENCE).ok().flatten();
    log.refusal(match came {
        None => Step::ok(NAME, "nothing comes through").tried(TRIED),
        Some(_) => Step::fault(NAME, "it is delivered to the client")
            .tried(TRIED)
            .why("permissions are switched off: anybody can send to every client")
            .cure("coturn: no `server-relay`"),
    });
}

/// Appends an attribute to a finished message; its length must be a multiple of 4.
fn append(message: &mut Vec<u8>, attribute: AttributeType, value: &[u8]) {
    message.extend(attribute.0.to_be_bytes());
    message.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
    message.extend(value);
    let len = message.len();
    set_length(message, len);
}

fn append_fingerprint(message: &mut Vec<u8>) {
    // The CRC sees the final length (RFC 8489 §14.7).
    let len = message.len() + 8;
    set_length(message, len);
    let crc = crc32fast::hash(message) ^ FINGERPRINT_XOR;
    append(message, AttributeType::FINGERPRINT, &crc.to_be_bytes());
}

fn set_length(message: &mut [u8], len: usize) {
    let body = u16::try_from(len.saturating_sub(20)).unwrap_or(u16::MAX);
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&body.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Fingerprint, Message};

    #[test]
    fn what_is_appended_is_well_formed_and_does_not_count() {
        let mut request = compose(Method::REFRESH, NOTHING, None, false);
        append(&mut request, AttributeType::MESSAGE_INTEGRITY, &[7; 20]);
        append(&mut request, AttributeType::LIFETIME, &[0; 4]);
        append_fingerprint(&mut request);
        let message = Message::parse(&request).expect("a message");
        assert_eq!(message.fingerprint(), Fingerprint::Valid);
        assert_eq!(message.attributes().count(), 3);
        assert_eq!(message.get::<Lifetime>(), Ok(None));
    }
}
