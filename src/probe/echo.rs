//! The steps through the relay: permission, Send and Data indications, a channel, sizes, round trips.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::cause;
use super::client::{By, Client, Outcome, fresh_word};
use super::far::{Far, Peer, Twin};
use super::login::{Allocation, failed};
use super::reach::words;
use super::report::{Step, Verdict};
use super::walk::{Log, Scene};
use crate::wire::attribute::{ChannelNumberAttribute, XorPeerAddress};
use crate::wire::{ChannelNumber, Method};

/// Payloads that are sent through: what an IPv6 path must carry, what media uses, what Ethernet carries. With the 4
/// bytes of ChannelData 1468 just fills an Ethernet frame over IPv4; 1472 is fragmented.
const SIZES: [usize; 8] = [500, 1000, 1200, 1280, 1372, 1440, 1468, 1472];
/// WebRTC's packets are not longer.
const MEDIA_SIZE: usize = 1200;
/// Payload of the other packets.
const SMALL: usize = 100;
const ROUNDS: usize = 10;
/// A packet is sent so often before it is lost.
const TRIES: usize = 2;
/// How long a packet is waited for; with twice its round trip, if that is longer.
const PACKET_PATIENCE: Duration = Duration::from_millis(700);

/// The steps from "permission" to "round-trip". Leaves the allocation as it is.
pub(super) fn relay(scene: &Scene<'_>, log: &mut Log<'_>, allocation: &mut Allocation) {
    let relayed = allocation.relayed;
    let Some(client) = &mut allocation.client else { return };
    let first = match Peer::open(scene, relayed) {
        Ok(peer) => through_peer(log, client, relayed, peer),
        Err(error) => Err(Why::NoPeer(words(&error))),
    };
    let why = match first {
        Ok(mut peer) => return further(log, client, relayed, &mut peer),
        Err(Why::Told) => return,
        Err(why) => why,
    };
    let Some(mut twin) = Twin::open(scene, relayed) else {
        return log.step(why.without_second_way());
    };
    if through_twin(log, client, relayed, &mut twin, &why) {
        further(log, client, relayed, &mut twin);
    }
    twin.close();
}

/// Why the first way, through a peer of our own, is not gone to its end.
enum Why {
    /// It was, and the fault is told.
    Told,
    /// There is no such peer.
    NoPeer(String),
    /// The server refuses it: (the address, in what words).
    Refused(SocketAddr, String),
    /// Nothing came through: the step that says so.
    Nothing(Box<Step>),
}

impl Why {
    fn without_second_way(self) -> Step {
        const GIVE: &str = "give --peer ADDRESS: an address of this host that the server lets clients reach";
        match self {
            Self::Nothing(step) => *step,
            Self::NoPeer(why) => Step::untested("permission", format!("this host cannot be a peer: {why}")).cure(GIVE),
            Self::Told => Step::untested("permission", "no way through the relay"),
            Self::Refused(peer, code) => {
                let said = format!("peer {peer} is refused: {code}; a second allocation on the server is, too");
                Step::untested("permission", said)
                    .why("a server that refuses addresses of its own network is right to; relaying stays untested")
                    .cure(GIVE)
                    .cure(
                        "coturn: `denied-peer-ip`, `allowed-peer-ip`; turnkeep: [[peers.allow]], peers.relay_to_relay",
                    )
            }
        }
    }
}

/// "permission" and "send" with a peer of our own.
fn through_peer(log: &mut Log<'_>, client: &mut Client, relayed: SocketAddr, mut peer: Peer) -> Result<Peer, Why> {
    let address = peer.address();
    match client.ask_signed(Method::CREATE_PERMISSION, &|writer| writer.put(&XorPeerAddress(address))) {
        Outcome::Success(answer) => log.step(Step::ok("permission", format!("for {}", peer.words())).took(answer.took)),
        Outcome::Refused(refusal) if refusal.code == 403 => return Err(Why::Refused(address, refusal.words())),
        other => {
            log.step(failed("permission", &other).cure("look at the server's log"));
            return Err(Why::Told);
        }
    }
    if peer.is_behind_nat() {
        // Opens our own NAT for what comes from the relayed address.
        let _ = peer.send(b"open", relayed);
    }
    let trip = Trip::indication(client, relayed, &mut peer);
    let (step, goes_on) = judge(&trip, relayed, &peer);
    if trip.out.is_none() && trip.back.is_none() {
        return Err(Why::Nothing(Box::new(step)));
    }
    log.step(step);
    if goes_on { Ok(peer) } else { Err(Why::Told) }
}

/// "permission" and "send" with a second allocation.
fn through_twin(log: &mut Log<'_>, client: &mut Client, relayed: SocketAddr, twin: &mut Twin, why: &Why) -> bool {
    let address = twin.address();
    let outcome = client.ask_signed(Method::CREATE_PERMISSION, &|writer| writer.put(&XorPeerAddress(address)));
    let reason = match why {
        Why::Refused(peer, code) => format!("own peer {peer} is refused ({code})"),
        Why::NoPeer(error) => format!("this host cannot be a peer ({error})"),
        Why::Nothing(_) | Why::Told => "nothing comes through to a peer of our own".to_owned(),
    };
    match outcome {
        Outcome::Success(answer) => {
            let said = format!("for {}, since {reason}", twin.words());
            log.step(Step::ok("permission", said).at_least(Verdict::Note).took(answer.took));
        }
        _ => {
            let said = format!("{reason}, and so is {}", twin.words());
            log.step(Step::untested("permission", said).cure("give --peer ADDRESS: an address that clients may reach"));
            return false;
        }
    }
    let trip = Trip::indication(client, relayed, twin);
    if let Why::Nothing(step) = why {
        let within = if trip.is_whole() { "; between two of the server's own allocations it does" } else { "" };
        log.step(Step { found: format!("{}{within}", step.found), ..Step::clone(step) });
        return trip.is_whole();
    }
    let (step, goes_on) = judge(&trip, relayed, twin);
    log.step(step);
    goes_on
}

/// The rest, with a far end that is reached.
fn further(log: &mut Log<'_>, client: &mut Client, relayed: SocketAddr, far: &mut dyn Far) {
    let channel = ChannelNumber::MIN;
    let peer = far.address();
    let bound = client.ask_signed(Method::CHANNEL_BIND, &|writer| {
        writer.put(&ChannelNumberAttribute(channel.get()))?;
        writer.put(&XorPeerAddress(peer))
    });
    match bound {
        Outcome::Success(answer) => {
            log.step(Step::ok("channel-bind", format!("channel {:#06x} for {peer}", channel.get())).took(answer.took));
        }
        other => {
            let step = failed("channel-bind", &other).why("browsers use channels for all media");
            return log.step(step.cure("look at the server's log"));
        }
    }
    let trip = Trip::channel(client, relayed, far, channel, SMALL);
    let step = match (trip.out, trip.back) {
        (Some((out, _)), Some(back)) => Step::ok("channel", "ChannelData goes out and comes back").took(out + back),
        (None, _) => Step::fault("channel", "ChannelData does not reach the peer, Send indications do"),
        (_, None) => Step::fault("channel", "the peer's answer does not come back as ChannelData")
            .why("with a bound channel the server uses it (RFC 8656 §12.7)"),
    };
    let goes_on = step.verdict == Verdict::Ok;
    log.step(step);
    if goes_on {
        log.step(sizes(client, relayed, far, channel));
        log.step(round_trips(client, relayed, far, channel));
    }
}

/// What became of a packet there and its echo back.
#[derive(Clone, Copy, Debug, Default)]
struct Trip {
    /// How long it took to the far end, and from where it came.
    out: Option<(Duration, SocketAddr)>,
    /// How long the echo took to the client.
    back: Option<Duration>,
    /// The echo came only when it was sent to where the packet had come from.
    detour: bool,
}

impl Trip {
    fn is_whole(&self) -> bool {
        self.out.is_some() && self.back.is_some()
    }

    fn indication(client: &mut Client, relayed: SocketAddr, far: &mut dyn Far) -> Self {
        Self::go(client, relayed, far, None, SMALL)
    }

    fn channel(
        client: &mut Client,
        relayed: SocketAddr,
        far: &mut dyn Far,
        channel: ChannelNumber,
        len: usize,
    ) -> Self {
        Self::go(client, relayed, far, Some(channel), len)
    }

    /// There and back, each way tried twice.
    fn go(
        client: &mut Client,
        relayed: SocketAddr,
        far: &mut dyn Far,
        channel: Option<ChannelNumber>,
        len: usize,
    ) -> Self {
        let mut trip = Self::default();
        for _ in 0..TRIES {
            trip.out = trip.out.or_else(|| there(client, far, channel, len).ok().flatten());
            if trip.out.is_some() {
                break;
            }
        }
        for _ in 0..TRIES {
            trip.back = trip.back.or_else(|| back(client, far, relayed, channel, len).ok().flatten());
            if trip.back.is_some() {
                return trip;
            }
        }
        // Does the way that the packet came from lead back?
        if let Some((_, from)) = trip.out.filter(|(_, from)| *from != relayed) {
            trip.detour = (0..TRIES).any(|_| back(client, far, from, channel, len).is_ok_and(|took| took.is_some()));
        }
        trip
    }
}

/// Sends a packet to the far end.
fn there(
    client: &mut Client,
    far: &mut dyn Far,
    channel: Option<ChannelNumber>,
    len: usize,
) -> io::Result<Option<(Duration, SocketAddr)>> {
    let payload = fresh_payload(len);
    let begun = Instant::now();
    match channel {
        Some(channel) => client.send_on(channel, &payload)?,
        None => client.send_to(far.address(), &payload)?,
    }
    let deadline = begun + PACKET_PATIENCE;
    while let Some((came, from)) = far.receive(deadline)? {
        if came == payload {
            return Ok(Some((begun.elapsed(), from)));
        }
    }
    Ok(None)
}

/// Sends a packet from the far end to the client.
fn back(
    client: &mut Client,
    far: &mut dyn Far,
    to: SocketAddr,
    channel: Option<ChannelNumber>,
    len: usize,
) -> io::Result<Option<Duration>> {
    let payload = fresh_payload(len);
    let begun = Instant::now();
    client.drain();
    far.send(&payload, to)?;
    let deadline = begun + PACKET_PATIENCE;
    while let Some(delivery) = client.data(deadline)? {
        let is_framed_right = match delivery.by {
            By::Indication(_) => channel.is_none(),
            By::Channel(number) => channel.is_some_and(|channel| channel.get() == number),
        };
        if delivery.payload == payload && is_framed_right {
            return Ok(Some(begun.elapsed()));
        }
    }
    Ok(None)
}

/// Bytes that nobody has sent before.
fn fresh_payload(len: usize) -> Vec<u8> {
    fresh_word().bytes().cycle().take(len).collect()
}

/// The step "send", and whether to go on.
fn judge(trip: &Trip, relayed: SocketAddr, far: &dyn Far) -> (Step, bool) {
    let far = far.words();
    match *trip {
        Trip { out: Some((out, from)), back: Some(back), .. } if from == relayed => {
            let said = format!("there and back by Send and Data indications, {far}");
            (Step::ok("send", said).took(out + back), true)
        }
        Trip { out: Some((out, from)), back: Some(back), .. } => {
            let said = format!("there and back, but packets come from {from}, not from {relayed}, {far}");
            let step = Step::new("send", Verdict::Warning, said).took(out + back);
            let why = "a peer whose NAT lets in only whom it has sent to drops them";
            (step.why(why).cure("let the server, or its NAT, send from the address that it advertises"), true)
        }
        Trip { out: Some((_, from)), detour: true, .. } => {
            let said = format!("packets come from {from}, and what is sent to {relayed} does not arrive");
            let why = format!("the relayed address that the server tells is wrong: sent to {from}, it does arrive");
            let step = Step::fault("send", said).why(why);
            (cause::CURES_OF_RELAYED.into_iter().fold(step, Step::cure), false)
        }
        Trip { out: Some((_, from)), back: None, .. } => {
            let said = format!("packets reach the peer, from {from}; what it sends to {relayed} does not arrive");
            let step = Step::fault("send", said).why("the way to the relayed address is blocked, or it is wrong");
            let step = step.cure(cause::CURE_OF_RELAY_RANGE);
            (cause::CURES_OF_RELAYED.into_iter().fold(step, Step::cure), false)
        }
        Trip { out: None, back: Some(_), .. } => {
            let said = format!("what {far} sends arrives, what is sent to it does not");
            let step = Step::fault("send", said).why("the server's host may not send to peers, or we may not hear it");
            (step.cure("allow UDP from the relay range outwards in the server's firewalls"), false)
        }
        Trip { out: None, back: None, .. } => {
            let said = format!("nothing comes through the relay, in neither direction, {far}");
            let step = Step::fault("send", said).why("UDP to and from relayed addresses is dropped on the way");
            let step = step.cure(cause::CURE_OF_RELAY_RANGE).cure(cause::CURES_OF_RELAYED[0]);
            (step.cure("if it is this host's firewall that drops UDP: probe from elsewhere, or give --peer"), false)
        }
    }
}

/// The step "sizes".
fn sizes(client: &mut Client, relayed: SocketAddr, far: &mut dyn Far, channel: ChannelNumber) -> Step {
    let begun = Instant::now();
    let lost: Vec<usize> =
        SIZES.into_iter().filter(|&len| !Trip::channel(client, relayed, far, channel, len).is_whole()).collect();
    let took = begun.elapsed();
    let list = |sizes: &[usize]| sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let Some(&first) = lost.first() else {
        return Step::ok("sizes", format!("{} bytes go there and back", list(&SIZES))).took(took);
    };
    let verdict = if first <= MEDIA_SIZE { Verdict::Fault } else { Verdict::Warning };
    Step::new("sizes", verdict, format!("lost: {} bytes of payload; shorter ones arrive", list(&lost)))
        .took(took)
        .why("a link on the way carries less than 1500 bytes, and fragments, or the ICMP that would tell, are dropped")
        .cure("let ICMP \"fragmentation needed\" and \"packet too big\" pass, and fragments of UDP")
        .cure("tunnels and VPNs: lower the MTU of the hosts, or the packet size of the clients")
}

/// The step "round-trip".
fn round_trips(client: &mut Client, relayed: SocketAddr, far: &mut dyn Far, channel: ChannelNumber) -> Step {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let out = there(client, far, Some(channel), SMALL).ok().flatten();
        let back = out.and_then(|_| back(client, far, relayed, Some(channel), SMALL).ok().flatten());
        times.extend(out.zip(back).map(|((out, _), back)| out + back));
    }
    times.sort_unstable();
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let (Some(&least), Some(&most)) = (times.first(), times.last()) else {
        return Step::fault("round-trip", format!("{ROUNDS} of {ROUNDS} echoes are lost"));
    };
    let median = times[times.len() / 2];
    let said = format!("{} in the median of {}, {} to {}", millis(median), times.len(), millis(least), millis(most));
    match ROUNDS - times.len() {
        0 => Step::ok("round-trip", said),
        lost => Step::new("round-trip", Verdict::Warning, format!("{said}; {lost} of {ROUNDS} lost"))
            .why("media suffers from loss above 1 %")
            .cure("look for full links, and for limits per session: coturn `max-bps`"),
    }
}
