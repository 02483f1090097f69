//! RFC 8656 §11.5: ICMP errors about what was sent to peers.

use std::time::Duration;

use turnkeep::relay::{DropReason, Family};
use turnkeep::wire::attribute::Icmp;

use super::sans_io::{Client, World};

const PEERS: [(Family, &str, &str); 2] =
    [(Family::V4, "192.0.2.77:5000", "192.0.2.77:0"), (Family::V6, "[2001:db8:7::77]:5000", "[2001:db8:7::77]:0")];

fn error(icmp_type: u8, code: u8) -> Icmp {
    Icmp { icmp_type, code, error_data: 1280_u32.to_be_bytes() }
}

/// C-194, C-195, C-196, C-197, C-198, RFC 8656 §11.5, RFC 8656 §12.5, RFC 8656 §18.13: of the types that are to be
/// told, whatever their code, the client hears by a Data indication with XOR-PEER-ADDRESS and ICMP alone, also of a
/// peer that has a channel, and with port 0 where none is known; the MTU where it says one (the judge looks at each
/// byte).
#[test]
fn the_client_hears_of_the_error() {
    for (family, peer, without_port) in PEERS {
        let types: &[u8] = if family == Family::V4 { &[3, 11] } else { &[1, 2, 3] };
        for mut alice in Client::each() {
            let mut world = World::default();
            let relayed = alice.allocate_in(&mut world, family);
            assert_eq!(alice.permit(&mut world, peer), 0);
            for with_channel in [false, true] {
                if with_channel {
                    assert_eq!(alice.bind(&mut world, 0x4000, peer), 0);
                }
                for icmp_type in types {
                    for code in [0, 1, 4, 255] {
                        for about in [peer, without_port] {
                            let outputs = world.icmp_says(relayed, about.parse().unwrap(), error(*icmp_type, code));
                            assert_eq!(outputs.len(), 1, "{about}: {icmp_type}, {code}");
                            world.advance(Duration::from_millis(100));
                        }
                    }
                }
            }
        }
    }
}

/// C-194, C-196, RFC 8656 §11.5: of other types it does not hear, nor about an address without a live permission.
#[test]
fn of_others_it_does_not() {
    for (family, peer, _) in PEERS {
        let told: &[u8] = if family == Family::V4 { &[3, 11] } else { &[1, 2, 3] };
        let mut world = World::default();
        let mut alice = Client::alice();
        let relayed = alice.allocate_in(&mut world, family);
        let peer_address = peer.parse().unwrap();
        assert_eq!(world.icmp_says(relayed, peer_address, error(told[0], 1)), []);
        assert_eq!(world.drops.pop(), Some(DropReason::NoPermission));
        alice.permit(&mut world, peer);
        for icmp_type in (0..=127).filter(|icmp_type| !told.contains(icmp_type)) {
            assert_eq!(world.icmp_says(relayed, peer_address, error(icmp_type, 1)), []);
            assert_eq!(world.drops.pop(), Some(DropReason::IcmpType));
        }
        world.advance_secs(301);
        assert_eq!(world.icmp_says(relayed, peer_address, error(told[0], 1)), []);
        assert_eq!(world.drops.pop(), Some(DropReason::NoPermission));
    }
}

/// C-199, RFC 8656 §11.5: nothing ends for it; and a flood of them is a few indications a second (D-42).
#[test]
fn a_flood_of_errors_ends_nothing_and_floods_nobody() {
    for (family, peer, _) in PEERS {
        let (mut world, mut alice) = (World::default(), Client::alice());
        let relayed = alice.allocate_in(&mut world, family);
        alice.permit(&mut world, peer);
        let mut told = 0;
        for _ in 0..1000 {
            told += world.icmp_says(relayed, peer.parse().unwrap(), error(3, 1)).len();
            world.advance(Duration::from_millis(1));
        }
        assert!((10..=15).contains(&told), "{told} in a second");
        assert_eq!(world.drops.iter().filter(|reason| **reason == DropReason::IcmpRate).count(), 1000 - told);
        assert_eq!(alice.send(&mut world, peer, b"out").len(), 1);
        assert_eq!(world.peer_says(relayed, peer.parse().unwrap(), b"back").len(), 1);
        assert_eq!((world.server.allocations(), world.relays.len()), (1, 1));
    }
}
