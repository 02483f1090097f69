//! May a peer be reached? Asked on CreatePermission and ChannelBind, never for a packet.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use turnkeep::policy::peer::canonical::Embeddings;
use turnkeep::policy::peer::prefix_table::PrefixTable;
use turnkeep::policy::peer::{OwnHost, PeerPolicy, PeerRule, PeerSettings};
use turnkeep::relay::PeerAddr;

/// What is asked: an ordinary host, one that a rule denies, a private one, and IPv4 in the clothes of IPv6.
const PEERS: [(&str, &str); 5] = [
    ("ordinary", "203.0.114.9:5000"),
    ("ordinary, IPv6", "[2600:1234::9]:5000"),
    ("denied by a rule", "20.0.0.9:5000"),
    ("private", "10.1.2.3:5000"),
    ("private, mapped", "[::ffff:10.1.2.3]:5000"),
];

fn judge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge a peer");
    for rules in [0, 100, 10_000] {
        let policy = PeerPolicy::new(&settings(rules)).expect("distinct rules");
        for (name, peer) in PEERS {
            let peer = PeerAddr(peer.parse::<SocketAddr>().expect("written above"));
            let allowed = policy.judge(peer).is_ok();
            assert_eq!(allowed, name.starts_with("ordinary") || rules == 0 && name == "denied by a rule");
            group.bench_function(BenchmarkId::new(name, format!("{rules} rules")), |bencher| {
                bencher.iter(|| policy.judge(black_box(peer)).is_ok());
            });
        }
    }
    group.finish();
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look an address up");
    for prefixes in [10, 1_000, 100_000] {
        let table = PrefixTable::new((0..prefixes).map(|index| (net(index), index)));
        let v4 = IpAddr::from(Ipv4Addr::from_bits(0x1400_0009));
        let v6 = IpAddr::from(Ipv6Addr::from_bits(0x2600_0000_0000_0000 << 64 | 9));
        for (name, ip) in [("IPv4", v4), ("IPv6", v6)] {
            assert!(table.lookup(ip).is_some());
            group.bench_function(BenchmarkId::new(name, format!("{prefixes} prefixes")), |bencher| {
                bencher.iter(|| table.lookup(black_box(ip)).map(|entry| entry.value));
            });
        }
    }
    group.finish();
}

/// Deny rules all over the place; 20.0.0.0/28 is the first.
fn settings(rules: u32) -> PeerSettings {
    let deny = (0..rules).map(|index| PeerRule { id: format!("rule.{index}"), range: net(index) });
    PeerSettings {
        allow: Vec::new(),
        deny: deny.collect(),
        lab: false,
        embeddings: Embeddings::default(),
        own: OwnHost {
            addresses: vec![IpAddr::from([198, 51, 100, 1])],
            listener_ports: vec![3478],
            relay_addresses: vec![IpAddr::from([198, 51, 100, 1])],
            relayed_ports: 49_152..=65_535,
            relay_to_relay: true,
        },
        backends: vec![IpAddr::from([198, 51, 100, 2])],
        min_port: 1024,
        deny_ports: Vec::new(),
    }
}

/// Prefixes apart from each other, three of IPv4 to one of IPv6.
fn net(index: u32) -> IpNet {
    if index % 4 == 3 || index == 1 {
        let ip = Ipv6Addr::from_bits((0x2600_0000 + u128::from(index / 4)) << 96);
        IpNet::V6(Ipv6Net::new(ip, 48).expect("at most 128"))
    } else {
        IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(0x1400_0000 + index * 32), 28).expect("at most 32"))
    }
}

fn quick() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1))
}

criterion_group!(name = benches; config = quick(); targets = judge, lookup);
criterion_main!(benches);
