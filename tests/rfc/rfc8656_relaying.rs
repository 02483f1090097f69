//! RFC 8656 §9 to §12: what is relayed, and what is not.

use super::sans_io::{Client, Output, World, channel_header};

const PEER: &str = "192.0.2.77:5000";

fn to_peer(payload: &[u8], from: std::net::SocketAddr) -> Vec<Output> {
    vec![Output::ToPeer { from, peer: PEER.parse().unwrap(), payload: payload.to_vec(), dont_fragment: false }]
}

/// C-183, C-191, C-217, C-223.
#[test]
fn data_flows_both_ways_by_indication_and_by_channel() {
    let (mut world, mut alice) = (World::default(), Client::alice());
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, PEER), 0);
    assert_eq!(alice.send(&mut world, PEER, b"hello"), to_peer(b"hello", relayed));
    let [Output::ToClient { bytes, .. }] = &world.peer_says(relayed, PEER.parse().unwrap(), b"there")[..] else {
        panic!("a Data indication");
    };
    assert_eq!(bytes[..2], [0x00, 0x17]);
    assert_eq!(bytes.len(), 36 + 8);

    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"hello"), to_peer(b"hello", relayed));
    let [Output::ToClient { bytes, .. }] = &world.peer_says(relayed, PEER.parse().unwrap(), b"there")[..] else {
        panic!("ChannelData");
    };
    assert_eq!(*bytes, [&channel_header(0x4000, 5)[..], b"there"].concat());
}
