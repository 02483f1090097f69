//! The judge notices: each promise broken once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use turnkeep::relay::event::AllocationRecord;
use turnkeep::relay::seam::UserId;
use turnkeep::relay::{ClientAddr, CloseReason, ListenerId, Now, ServerAddr, Transport};
use turnkeep::wire::header::TransactionId;
use turnkeep::wire::writer::MessageWriter;

use super::*;
use crate::sans_io::{SERVER, settings};
use crate::speech::{self, Wish};

const RELAYED: &str = "198.51.100.1:50000";
const PEER: &str = "192.0.2.100:5000";
const ID: [u8; 12] = [7; 12];

struct Scene {
    ledger: Ledger,
    path: Path,
    alice: speech::Identity,
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn at(second: u64) -> Instant {
    Instant::from_nanos(second * 1_000_000_000)
}

impl Scene {
    /// Alice has an allocation.
    fn new() -> Self {
        let policy = SharedPolicy::new(("carol", 1));
        let path = Path {
            client: ClientAddr(address("203.0.113.5:40000")),
            server: ServerAddr(address(SERVER)),
            transport: Transport::Udp,
            listener: ListenerId(0),
        };
        let mut alice = speech::Identity::of("alice");
        alice.nonce = b"a nonce".to_vec();
        let mut scene = Self { ledger: Ledger::new(&settings(), policy), path, alice };
        let (at, lifetime) = (Now::default(), Duration::from_secs(600));
        scene.record(Event::Opened { at, allocation: scene.allocation(), lifetime });
        scene
    }

    fn allocation(&self) -> AllocationRecord {
        AllocationRecord {
            uuid: AllocationUuid([1; 16]),
            who: Identity { user: UserId("alice".into()), key_id: None, expires_unix: None, max_allocations: None },
            path: self.path,
            relayed: RelayedAddr(address(RELAYED)),
            also: None,
            opened: Now::default(),
        }
    }

    fn record(&mut self, event: Event) {
        self.ledger.output(at(0), &Output::Audit(Box::new(event)));
    }

    fn closed(&mut self, totals: Totals) {
        let (at, reason) = (Now::default(), CloseReason::Expired);
        self.record(Event::Closed { at, allocation: self.allocation(), reason, totals });
    }

    /// Alice asks, and the server grants it.
    fn grant(&mut self, wish: &Wish) {
        self.ledger.client_says(self.path, &wish.request(ID, &self.alice, false));
        self.answer(wish);
    }

    fn answer(&mut self, wish: &Wish) {
        let mut bytes = vec![0; 500];
        let mut writer = MessageWriter::new(&mut bytes, wish.method(), Class::Success, TransactionId(ID)).unwrap();
        writer.integrity(&self.alice.key()).unwrap();
        let len = writer.finish();
        bytes.truncate(len);
        self.ledger.output(at(0), &Output::ToClient { path: self.path, bytes, relayed: None });
    }

    fn sends_to_peer(&mut self, second: u64, peer: &str) {
        let (from, peer) = (RelayedAddr(address(RELAYED)), PeerAddr(address(peer)));
        self.ledger.output(at(second), &Output::ToPeer { from, peer, bytes: vec![0; 10], dont_fragment: false });
    }

    fn sends_to_client(&mut self, second: u64, path: Path, front: &[u8]) {
        let relayed = Some((RelayedAddr(address(RELAYED)), PeerAddr(address(PEER))));
        let bytes = [front, b"ten bytes!"].concat();
        self.ledger.output(at(second), &Output::ToClient { path, bytes, relayed });
    }
}

#[track_caller]
fn is_noticed(promise: &str, scene: &mut Scene, what: impl FnOnce(&mut Scene)) {
    let panic = catch_unwind(AssertUnwindSafe(|| what(scene))).expect_err("nobody noticed");
    let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    let message = panic.downcast_ref::<&str>().map_or(message, |text| (*text).to_owned());
    assert!(message.contains(promise), "{message}");
}

#[test]
fn what_is_permitted_passes() {
    let mut scene = Scene::new();
    scene.grant(&Wish::Permit(vec![address(PEER)]));
    scene.sends_to_peer(299, PEER);
    scene.sends_to_peer(299, "192.0.2.100:6000");
    scene.grant(&Wish::Bind { channel: 0x4000, peer: address(PEER) });
    scene.sends_to_client(299, scene.path, &[0x40, 0, 0, 10]);
    scene.sends_to_peer(599, PEER);
    let totals =
        Totals { packets_to_peers: 3, bytes_to_peers: 30, packets_to_client: 1, bytes_to_client: 10, dropped: 9 };
    scene.closed(totals);
    scene.ledger.close_books();
}

#[test]
fn what_is_not_permitted_is_noticed() {
    let mut scene = Scene::new();
    is_noticed("P2", &mut scene, |scene| scene.sends_to_peer(0, PEER));
    scene.grant(&Wish::Permit(vec![address(PEER), address("10.66.0.1:5000")]));
    is_noticed("P2", &mut scene, |scene| scene.sends_to_peer(0, "192.0.2.101:5000"));
    is_noticed("P2: policy", &mut scene, |scene| scene.sends_to_peer(0, "10.66.0.1:5000"));
    is_noticed("P2", &mut scene, |scene| scene.sends_to_peer(300, PEER));
    let path = scene.path;
    is_noticed("P2", &mut scene, |scene| scene.sends_to_client(300, path, &[0x40, 0, 0, 10]));
    is_noticed("P1", &mut scene, |scene| scene.sends_to_client(0, path, &[0x40, 0, 0, 10]));
    let other = Path { client: ClientAddr(address("203.0.113.6:40000")), ..path };
    is_noticed("P1", &mut scene, |scene| scene.sends_to_client(0, other, &[0x40, 0, 0, 10]));
}

#[test]
fn false_books_are_noticed() {
    let mut scene = Scene::new();
    is_noticed("P4", &mut scene, |scene| scene.ledger.close_books());
    is_noticed("P1", &mut scene, |scene| {
        let (at, lifetime) = (Now::default(), Duration::from_secs(600));
        let allocation = AllocationRecord { uuid: AllocationUuid([2; 16]), ..scene.allocation() };
        scene.record(Event::Opened { at, allocation, lifetime });
    });
    let mut scene = Scene::new();
    is_noticed("P4", &mut scene, |scene| scene.closed(Totals { packets_to_peers: 1, ..Totals::default() }));
    let mut scene = Scene::new();
    scene.closed(Totals::default());
    is_noticed("P4", &mut scene, |scene| scene.closed(Totals::default()));
    is_noticed("P4", &mut scene, |scene| scene.grant(&Wish::Permit(vec![address(PEER)])));
    is_noticed("nobody", &mut scene, |scene| scene.answer(&Wish::Permit(vec![address(PEER)])));
    is_noticed("P3", &mut scene, |scene| scene.ledger.balance(&Counters::default(), 1, 0, 0));
    is_noticed("P6", &mut scene, |scene| scene.ledger.balance(&Counters::default(), 0, 1, 0));
}
