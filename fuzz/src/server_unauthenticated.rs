//! The server under whatever comes from clients that know no password and from peers that nobody asked for: it answers
//! shortly, relays nothing and remembers nothing.

use std::net::SocketAddr;
use std::time::Duration;

use turnkeep::relay::{
    Command, DropReason, Families, PeerAddr, PeerVerdict, RelayFailure, RelayId, RelayedAddr, Settings,
};
use turnkeep::wire::attribute::{AttributeType, Nonce, Raw, Realm, RequestedTransport, Username};
use turnkeep::wire::channel_data::ChannelNumbers;
use turnkeep::wire::header::TransactionId;
use turnkeep::wire::{Class, MessageWriter, Method};

use super::answer::Answer;
use super::input::Input;
use super::message::ENDINGS;
use super::sans_io::{Client, Output, REALM, World, settings};

/// More steps find nothing that fewer do not: there is no state.
const MAX_STEPS: usize = 64;

/// Plays the input.
pub fn run(input: &[u8]) {
    let mut siege = Siege::new(&mut Input::new(input));
    let mut input = Input::new(input.get(1..).unwrap_or_default());
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        siege.step(&mut input);
        siege.check();
    }
}

/// Two of one host, one of another, one of IPv6, one from port 0, and one from a transition mechanism.
pub(super) const CLIENTS: [&str; 6] = [
    "203.0.113.5:40000",
    "203.0.113.5:40001",
    "203.0.113.6:40000",
    "[2001:db8:5::5]:40000",
    "203.0.113.7:0",
    "[2002:cb00:7105::5]:40000",
];

struct Siege {
    world: World,
    clients: Vec<Client>,
    /// Datagrams that the server was handed.
    received: u64,
    replied: u64,
}

impl Siege {
    fn new(input: &mut Input<'_>) -> Self {
        let world = World::new(chosen_settings(input.u8()));
        let clients = CLIENTS.map(|address| Client::new("alice", address)).into();
        Self { world, clients, received: 0, replied: 0 }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 8 {
            0 => self.world.advance(Duration::from_millis(u64::from(input.u16()) * 16)),
            1 => self.turn_wall_clock(input.u32()),
            2 => self.peer_datagram(input),
            3 => self.engine_word(input),
            4 => {
                let client = self.client(input);
                let forged = self.forge(client, input);
                self.client_datagram(client, &forged);
            }
            _ => {
                let client = self.client(input);
                let len = usize::from(input.u8()) * 2;
                self.client_datagram(client, input.take(len));
            }
        }
    }

    fn client(&self, input: &mut Input<'_>) -> usize {
        usize::from(input.u8()) % self.clients.len()
    }

    /// The wall clock jumps; the monotonic one never does.
    fn turn_wall_clock(&mut self, seconds: u32) {
        self.world.now.unix_millis = u64::from(seconds) * 1000;
    }

    fn client_datagram(&mut self, client: usize, datagram: &[u8]) {
        self.received += 1;
        let path = self.clients[client].path;
        for output in self.world.client_says(path, datagram) {
            let Output::ToClient { client: to, bytes } = output else { panic!("relayed to a peer: {output:?}") };
            assert_eq!(to, path.client.0);
            let answer = Answer::read(&bytes);
            assert!(!answer.is_signed(), "{} for someone unknown", answer.code);
            self.replied += 1;
            if let Some(nonce) = answer.nonce() {
                self.clients[client].nonce = nonce.to_vec();
            }
        }
    }

    /// All that can be had without the password is right, so that the server goes as far as it can.
    fn forge(&self, client: usize, input: &mut Input<'_>) -> Vec<u8> {
        let methods = [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND];
        let mut out = [0; 1024];
        let id = TransactionId([input.u8(); 12]);
        let mut writer = MessageWriter::new(&mut out, input.pick(&methods), Class::Request, id).expect("there is room");
        let username = input.pick(&["alice", "old", "mallory", ""]);
        let extra = usize::from(input.u8() % 64);
        let written = writer
            .put(&RequestedTransport::UDP)
            .and_then(|()| writer.put(&Username(username.as_bytes())))
            .and_then(|()| writer.put(&Realm(REALM.as_bytes())))
            .and_then(|()| writer.put(&Nonce(&self.clients[client].nonce)))
            .and_then(|()| writer.put(&Raw(AttributeType(input.u16()), input.take(extra))))
            .and_then(|()| writer.put(&Raw(input.pick(&ENDINGS), input.take(32))));
        written.expect("there is room");
        let len = writer.finish();
        out[..len].to_vec()
    }

    fn peer_datagram(&mut self, input: &mut Input<'_>) {
        self.received += 1;
        let relay = RelayId { slot: input.u32(), generation: u32::from(input.u8()) };
        let peer = PeerAddr(SocketAddr::from((input.u32().to_be_bytes(), input.u16())));
        let verdict = self.world.server.on_peer_datagram(self.world.now.instant, relay, peer, input.u16().into());
        assert_eq!(verdict, PeerVerdict::Drop(DropReason::NoAllocation));
        self.world.drops.push(DropReason::NoAllocation);
    }

    /// The engine reports on a socket that nobody waits for (any more): it is to close it.
    fn engine_word(&mut self, input: &mut Input<'_>) {
        let relay = RelayId { slot: u32::from(input.u8()), generation: u32::from(input.u8()) };
        if input.happens(128) {
            let failures = [RelayFailure::PortsExhausted, RelayFailure::DescriptorsExhausted, RelayFailure::Refused];
            self.world.server.on_relay_failed(self.world.now, relay, input.pick(&failures));
            assert!(self.world.server.next_command().is_none());
        } else {
            let relayed = RelayedAddr(SocketAddr::from(([198, 51, 100, 1], input.u16())));
            self.world.server.on_relay_opened(self.world.now, relay, relayed);
            let closes = |command| matches!(command, Command::CloseRelay { relay: closed } if closed == relay);
            assert!(self.world.server.next_command().is_some_and(closes));
            assert!(self.world.server.next_command().is_none());
        }
    }

    /// Nothing is kept, everything is counted.
    fn check(&mut self) {
        let server = &self.world.server;
        assert_eq!(server.allocations(), 0);
        assert_eq!(server.next_deadline(), None);
        assert_eq!(self.world.policy.held(), 0);
        assert!(self.world.relays.is_empty());
        let counters = server.counters();
        assert_eq!((counters.packets_to_peers, counters.bytes_to_peers), (0, 0));
        assert_eq!((counters.packets_to_clients, counters.bytes_to_clients), (0, 0));
        assert_eq!(counters.replies, self.replied);
        assert_eq!(counters.dropped_in_all(), self.world.drops.len() as u64);
        assert_eq!(counters.replies + counters.pending + counters.dropped_in_all(), self.received);
    }
}

/// Settings by one byte.
pub(super) fn chosen_settings(byte: u8) -> Settings {
    let bit = |index: u8| byte & 1 << index != 0;
    let lifetime = [3600, 600, 1200, 3600][usize::from(byte >> 4 & 3)];
    Settings {
        offer_sha256: !bit(0),
        strict_permissions: bit(1),
        channel_numbers: if bit(3) { ChannelNumbers::Rfc5766 } else { ChannelNumbers::Rfc8656 },
        families: Families { v4: true, v6: !bit(2) },
        max_lifetime: Duration::from_secs(lifetime),
        ..settings()
    }
}
