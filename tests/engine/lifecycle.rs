//! Starting, stopping, breaking, and what can be seen from outside.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use turnkeep::engine::{Clock, Engine, EngineConfig, PortUsage, SystemEntropy};
use turnkeep::relay::seam::EventSink;
use turnkeep::relay::{CloseReason, DropReason, Event, Family, Server};

use crate::harness::{Client, listening, loopback, loopback_with_ports, next, peer, start, try_start};
use crate::sans_io::{TestPolicy, settings};

fn with_workers(count: usize, config: EngineConfig) -> EngineConfig {
    EngineConfig { workers: NonZeroUsize::new(count), ..config }
}

#[test]
fn stop_closes_every_allocation_with_its_event_and_frees_the_ports() {
    let config = with_workers(2, loopback());
    let relay = start(&config);
    let mut clients: Vec<Client> = (0..20).map(|index| Client::of(relay.address(index % 2))).collect();
    let relayed: HashSet<_> = clients.iter_mut().map(Client::allocate).collect();
    assert_eq!(relay.engine.running(), 2);
    assert_eq!(relay.engine.ports(Family::V4).unwrap().used, 10);
    let address = relay.address(0);

    let events = relay.stop();
    let closed: HashSet<_> = events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Closed { allocation, reason: CloseReason::Shutdown, .. } => Some(allocation.relayed.0),
            _ => None,
        })
        .collect();
    assert_eq!(closed, relayed);
    for port in relayed.iter().chain([&address]) {
        UdpSocket::bind(port).expect("the port is free again");
    }
}

#[test]
fn a_sink_that_blocks_delays_a_stop_no_longer_than_it_may() {
    struct Blocked(Receiver<()>);
    impl EventSink for Blocked {
        fn record(&mut self, _: Event) {
            let _ = self.0.recv();
        }
    }
    let (release, blocked) = channel();
    let blocked = Mutex::new(Some(blocked));
    let policy = TestPolicy::new(1);
    let server = move |_| Server::new(settings(), policy.clone(), SystemEntropy::new().unwrap());
    let sink = move |_| Blocked(blocked.lock().unwrap().take().expect("one worker, one sink"));
    let engine = Engine::start(&loopback(), Clock::start(), server, sink).unwrap();
    Client::of(engine.listening()[0].address).knock();
    let begun = Instant::now();
    while engine.ports(Family::V4).unwrap().used == 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "the sink is about to block");
        std::thread::yield_now();
    }
    let begun = Instant::now();
    assert_eq!(engine.stop(Duration::from_millis(50)).late, 1);
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(release);
}

#[test]
fn the_record_of_an_allocation_comes_before_its_answer() {
    let relay = start(&loopback());
    let relayed = Client::of(relay.address(0)).allocate();
    let opened = relay.events().iter().any(|(_, event)| match event {
        Event::Opened { allocation, .. } => allocation.relayed.0 == relayed,
        _ => false,
    });
    assert!(opened, "recorded by the time the client knows");
}

///
#[test]
fn a_second_start_fails_and_the_first_loses_nothing() {
    let first = start(&with_workers(2, loopback()));
    let mut config = with_workers(2, loopback());
    config.listen = vec![first.address(0)];
    let error = try_start(&config).err().unwrap().to_string();
    assert!(error.starts_with(&format!("cannot listen on {}: the address is in use", first.address(0))), "{error}");
    for _ in 0..32 {
        let mut client = Client::of(first.address(0));
        assert_eq!(client.mapped_address(), client.socket.local_addr().unwrap());
    }
}

#[test]
fn two_workers_share_the_clients_and_keep_them_apart() {
    let relay = start(&with_workers(2, loopback()));
    let peer = peer(relay.address(0));
    let mut clients: Vec<Client> = (0..32).map(|_| Client::of(relay.address(0))).collect();
    let relayed: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            let relayed = client.allocate();
            client.bind(0x4001, peer.local_addr().unwrap());
            relayed
        })
        .collect();
    relay.until(|workers| workers.iter().map(|worker| worker.relays_open).sum::<usize>() == 32);
    assert!(relay.engine.counters().iter().all(|worker| worker.relays_open > 0), "both have some");
    for (client, relayed) in clients.iter().zip(&relayed) {
        client.send_channel(0x4001, b"up");
        assert_eq!(next(&peer), (b"up".to_vec(), *relayed));
        peer.send_to(b"down", relayed).unwrap();
        assert_eq!(client.hear_channel(), (0x4001, b"down".to_vec()));
    }
}

#[test]
fn a_full_port_range_is_a_508_until_a_port_is_free() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let relay = start(&loopback_with_ports(port..=port));
    let (mut first, mut second) = (Client::of(relay.address(0)), Client::named("bob", relay.address(0)));
    assert_eq!(first.allocate().port(), port);
    assert_eq!(second.try_allocate(&[]), Err(508));
    assert_eq!(relay.engine.ports(Family::V4), Some(PortUsage { used: 1, ..PortUsage::default() }));
    assert_eq!(first.refresh(0), 0);
    assert_eq!(second.allocate().port(), port);
}

///
#[test]
fn a_panic_costs_one_worker_its_clients_and_nobody_else_anything() {
    let relay = start(&with_workers(2, loopback()));
    let mut clients: Vec<Client> = (0..32).map(|_| Client::of(relay.address(0))).collect();
    for client in &mut clients {
        client.allocate();
    }
    Client::named("carol", relay.address(0)).knock();
    relay.until(|workers| workers.iter().map(|worker| worker.engine.panics).sum::<u64>() == 1);

    let broken = relay.engine.counters().iter().position(|worker| worker.engine.panics == 1).unwrap();
    let events = relay.events();
    let clients_of = |wanted: bool| {
        let opened = events.iter().filter_map(move |(worker, event)| match event {
            Event::Opened { allocation, .. } if (*worker == broken) == wanted => Some(allocation.path.client.0),
            _ => None,
        });
        opened.collect::<HashSet<_>>()
    };
    let closed: HashSet<_> = events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Closed { allocation, .. } => Some(allocation.path.client.0),
            _ => None,
        })
        .collect();
    assert_eq!(closed, clients_of(true), "recorded as closed, and no others");
    let (lost, kept) = (clients_of(true), clients_of(false));
    assert!(!lost.is_empty() && !kept.is_empty());
    for client in &mut clients {
        let expected = if kept.contains(&client.socket.local_addr().unwrap()) { 0 } else { 437 };
        assert_eq!(client.refresh(600), expected);
        if expected != 0 {
            client.allocate();
        }
    }
    assert_eq!(relay.engine.running(), 2);
}

///
#[test]
fn counters_are_live_and_never_fall() {
    let relay = start(&loopback());
    let (mut client, peer) = (Client::of(relay.address(0)), peer(relay.address(0)));
    let relayed = client.allocate();
    client.bind(0x4001, peer.local_addr().unwrap());
    for round in 1..=3 {
        for _ in 0..10 {
            client.send_channel(0x4001, b"up");
            next(&peer);
            peer.send_to(b"down", relayed).unwrap();
            client.hear_channel();
        }
        relay.until(|workers| workers[0].relay.packets_to_peers == 10 * round);
        relay.until(|workers| workers[0].engine.from_peers.received == 10 * round);
    }
    Client::named("carol", relay.address(0)).knock();
    relay.until(|workers| workers[0].engine.panics == 1);
    relay.until(|workers| workers[0].relay.packets_to_clients == 30 && workers[0].relays_open == 0);
}

///
#[test]
fn a_flood_at_relayed_ports_starves_neither_requests_nor_other_relays() {
    // Once at one port, and once at more ports than a turn serves.
    for victims in [1, 80] {
        let relay = start(&loopback());
        let mut client = Client::named("bob", relay.address(0));
        let victims: Vec<Client> = (0..victims).map(|_| Client::of(relay.address(0))).collect();
        let flooded: Vec<_> = victims.into_iter().map(|mut victim| victim.allocate()).collect();
        let (relayed, peer) = (client.allocate(), peer(relay.address(0)));
        client.bind(0x4001, peer.local_addr().unwrap());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
                for port in flooded.iter().cycle().take_while(|_| !over.load(Ordering::Relaxed)) {
                    stranger.send_to(&[0; 100], port).unwrap();
                }
            });
            // Every exchange must succeed: each waits seconds for its answer, and none may be lost.
            let dropped = || relay.engine.counters()[0].relay.dropped(DropReason::NoPermission);
            for _ in (0..).take_while(|&round| round < 100 || dropped() < 10_000) {
                client.mapped_address();
                peer.send_to(b"media", relayed).unwrap();
                assert_eq!(client.hear_channel(), (0x4001, b"media".to_vec()));
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn an_engine_that_is_dropped_has_stopped() {
    let relay = start(&listening(&["127.0.0.1:0"]));
    let address = relay.address(0);
    drop(relay);
    UdpSocket::bind(address).expect("the port is free again");
}
