//! Traffic that must not cross: loops, and one user's data at another's.

use std::net::SocketAddr;

use turnkeep::relay::DropReason;

use super::sans_io::{Client, Output, World};

const PEER: &str = "192.0.2.77:5000";

/// Carries a datagram on while it goes from one relayed address to another; returns what reaches a client, and how many
/// hops it took.
fn deliver(world: &mut World, outputs: Vec<Output>) -> (Vec<(SocketAddr, Vec<u8>)>, usize) {
    let (mut delivered, mut hops, mut queue) = (Vec::new(), 0, outputs);
    while let Some(output) = queue.pop() {
        match output {
            Output::ToClient { client, bytes } => delivered.push((client, bytes)),
            Output::ToPeer { from, peer, payload, .. } => {
                hops += 1;
                assert!(hops < 100, "a loop");
                queue.extend(world.peer_says(peer, from, &payload));
            }
        }
    }
    (delivered, hops)
}

/// A-015, RFC 8656 §21.1.7: two allocations bound to each other's relayed addresses: one datagram is delivered once,
/// and nothing follows it, even if a client has itself for a peer.
#[test]
fn no_packet_leaves_without_one_that_caused_it() {
    let (mut world, mut alice, mut bob) = (World::default(), Client::alice(), Client::bob());
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    assert_eq!(alice.bind(&mut world, 0x4000, &b.to_string()), 0);
    assert_eq!(bob.bind(&mut world, 0x4001, &a.to_string()), 0);
    assert_eq!(alice.bind(&mut world, 0x4002, &a.to_string()), 0);
    for (number, sender, receiver) in [(0x4000, &alice, &bob), (0x4001, &bob, &alice), (0x4002, &alice, &alice)] {
        let outputs = sender.clone().channel_data(&mut world, number, b"ping");
        let (delivered, hops) = deliver(&mut world, outputs);
        assert_eq!(hops, 1);
        assert_eq!(delivered.iter().map(|(client, _)| *client).collect::<Vec<_>>(), [receiver.path.client.0]);
        assert!(delivered[0].1.ends_with(b"ping"));
    }
    world.assert_alive();
}

/// A-033, RFC 8656 §9: what one client sends to another's relayed address arrives only with the other's permission.
#[test]
fn relayed_addresses_are_peers_like_others() {
    let (mut world, mut alice, mut bob) = (World::default(), Client::alice(), Client::bob());
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    assert_eq!(alice.permit(&mut world, &b.to_string()), 0);
    let outputs = alice.send(&mut world, &b.to_string(), b"unasked");
    assert_eq!(deliver(&mut world, outputs), (vec![], 1));
    assert_eq!(world.drops, [DropReason::NoPermission]);
    assert_eq!(bob.permit(&mut world, &a.to_string()), 0);
    let outputs = alice.send(&mut world, &b.to_string(), b"asked");
    assert_eq!(deliver(&mut world, outputs).0.len(), 1);
    world.assert_alive();
}

/// C-172, C-214, RFC 8656 §5, RFC 8656 §9: a hundred clients with the same peer and the same channel number: each hears
/// what was sent to its own relayed address, and only that (the world compares whole paths).
#[test]
fn nobody_hears_what_was_sent_to_others() {
    let (mut world, mut clients) = (World::default(), Vec::new());
    for index in 0..100_u16 {
        let address = format!("203.0.113.{}:{}", index % 10 + 1, 40_000 + index);
        let mut client = Client::new(["alice", "bob", "carol"][usize::from(index) % 3], &address);
        let relayed = client.allocate(&mut world);
        assert_eq!(client.bind(&mut world, 0x4000, PEER), 0);
        clients.push((client, relayed));
    }
    for (index, (client, relayed)) in clients.iter_mut().enumerate() {
        let mark = format!("for {index} alone");
        let heard = world.peer_says(*relayed, PEER.parse().unwrap(), mark.as_bytes());
        assert!(matches!(&heard[..], [Output::ToClient { client: heard_by, bytes }]
            if *heard_by == client.path.client.0 && bytes.ends_with(mark.as_bytes())));
        let sent = client.channel_data(&mut world, 0x4000, mark.as_bytes());
        assert!(matches!(&sent[..], [Output::ToPeer { from, .. }] if from == relayed));
    }
    for (client, _) in clients.iter_mut().step_by(2) {
        assert_eq!(client.refresh(&mut world, 0), 0);
    }
    for (index, (_, relayed)) in clients.iter().enumerate() {
        let heard = world.peer_says(*relayed, PEER.parse().unwrap(), b"x");
        assert_eq!(heard.len(), index % 2);
    }
    world.advance_secs(601);
    world.assert_alive();
}
