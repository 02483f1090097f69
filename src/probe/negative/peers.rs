//! Peers behind the server's walls: a permission or a channel for one of them makes the server a way in.

use std::net::{IpAddr, SocketAddr};

use super::super::client::{Client, Outcome, Session};
use super::super::login::{self, Allocation};
use super::super::report::Step;
use super::super::walk::{Log, Scene};
use super::kinds::{DENIED, KINDS, Kind};
use super::not_tried;
use crate::wire::attribute::{
    ChannelNumberAttribute, FAMILY_V4, FAMILY_V6, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
};
use crate::wire::{ChannelNumber, Method};

/// Any port: none is ever sent to.
const PORT: u16 = 9;

/// Asks for permissions and channels for all of them.
pub(super) fn run(scene: &Scene<'_>, log: &mut Log<'_>) {
    let mut ways = [Way::open(scene, FAMILY_V4), Way::open(scene, FAMILY_V6)];
    for kind in KINDS {
        log.refusal(ask(scene, &mut ways, &kind, kind.peers));
    }
    let own = [scene.server.ip().to_canonical()];
    log.refusal(ask(scene, &mut ways, &SERVER, &own));
    ways.into_iter().flatten().for_each(Way::close);
}

/// The server itself, whose address is not known beforehand.
const SERVER: Kind = Kind {
    name: "peer-server",
    what: "the server's own address",
    peers: &[],
    why: "clients reach what listens on the server's host, past the firewall in front of it",
    cures: &["coturn: `denied-peer-ip` with each of the host's addresses", DENIED],
};

fn ask(scene: &Scene<'_>, [v4, v6]: &mut [Option<Way>; 2], kind: &Kind, peers: &[IpAddr]) -> Step {
    let mut found = Found::default();
    for peer in peers.iter().filter(|peer| !scene.settings.is_meant(**peer)) {
        let Some(way) = (if peer.is_ipv4() { &mut *v4 } else { &mut *v6 }) else {
            found.no_way = true;
            continue;
        };
        match way.reaches(SocketAddr::new(*peer, PORT)) {
            Reached::No => found.refused += 1,
            Reached::By(method) => found.granted.push(format!("{peer} ({method})")),
            Reached::Unknown => found.silent += 1,
        }
    }
    judge(kind, &found)
}

/// What became of the peers of a kind.
#[derive(Default)]
struct Found {
    granted: Vec<String>,
    refused: u32,
    silent: u32,
    no_way: bool,
}

fn judge(kind: &Kind, Found { granted, refused, silent, no_way }: &Found) -> Step {
    let Kind { name, what, why, cures, .. } = kind;
    let tried = format!("CreatePermission and ChannelBind for {what}");
    if !granted.is_empty() {
        let step = Step::fault(name, format!("granted: {}", granted.join(", "))).tried(tried).why(*why);
        return cures.iter().fold(step, |step, cure| step.cure(*cure));
    }
    match (refused, silent) {
        (0, 0) if *no_way => Step::skipped(name, "there are no relayed addresses of that family").tried(tried),
        (0, 0) => Step::skipped(name, "named by --may-reach").tried(tried),
        (_, 0) => Step::ok(name, format!("{what}: refused")).tried(tried),
        _ => not_tried(name, &tried),
    }
}

/// An allocation to ask with.
struct Way {
    allocation: Allocation,
    next_channel: u16,
}

enum Reached {
    No,
    By(&'static str),
    Unknown,
}

impl Way {
    /// An allocation of that family; none if the server has no such addresses.
    fn open(scene: &Scene<'_>, family: u8) -> Option<Self> {
        let mut client = scene.connect().ok()?;
        let family = RequestedAddressFamily(family);
        if let Outcome::Refused(refusal) = client.ask(Method::ALLOCATE, &|writer| writer.put(&RequestedTransport::UDP))
        {
            client.session = Session::of_challenge(&refusal.answer, scene.login("peers")?);
        }
        let outcome = client.ask_signed(Method::ALLOCATE, &|writer| {
            writer.put(&RequestedTransport::UDP)?;
            writer.put(&family)
        });
        let Outcome::Success(answer) = outcome else { return None };
        let allocation = Allocation { client: Some(client), ..login::allocation(&answer)? };
        Some(Self { allocation, next_channel: ChannelNumber::MIN.get() })
    }

    /// Whether it gets a permission for `peer` or, failing that, a channel: where one path is guarded the other may not
    /// be.
    fn reaches(&mut self, peer: SocketAddr) -> Reached {
        let Some(client) = &mut self.allocation.client else { return Reached::Unknown };
        match client.ask_signed(Method::CREATE_PERMISSION, &|writer| writer.put(&XorPeerAddress(peer))) {
            Outcome::Success(_) => return Reached::By("permission"),
            Outcome::Refused(_) => {}
            Outcome::Silence | Outcome::Broken(_) => return Reached::Unknown,
        }
        let number = ChannelNumberAttribute(self.next_channel);
        let bound = Self::bind(client, number, peer);
        if matches!(bound, Outcome::Success(_)) {
            self.next_channel += 1;
            return Reached::By("channel");
        }
        Reached::No
    }

    fn bind(client: &mut Client, number: ChannelNumberAttribute, peer: SocketAddr) -> Outcome {
        client.ask_signed(Method::CHANNEL_BIND, &|writer| {
            writer.put(&number)?;
            writer.put(&XorPeerAddress(peer))
        })
    }

    fn close(self) {
        login::give_back(self.allocation);
    }
}
