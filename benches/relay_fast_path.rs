//! What the server costs a relayed packet: a datagram of 160 bytes to its verdict, without the engine's system calls.
//! Each packet is for another allocation than the one before.

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::{Relay, channel_data, send_indication};
use turnkeep::relay::limits::MAX_REPLY;

fn relayed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("relay_fast_path");
    group.throughput(Throughput::Elements(1));
    for allocations in [1, 1_000, 10_000] {
        let mut relay = Relay::with(allocations);
        let order: Vec<_> = relay.scattered().copied().take(allocations as usize).collect();
        let mut packets = order.iter().cycle();
        let mut next = || packets.next().expect("it cycles");
        let (data, reply) = (channel_data(), &mut [0; MAX_REPLY]);

        group.bench_function(BenchmarkId::new("ChannelData, client to peer", allocations), |bencher| {
            bencher.iter(|| relay.up(next().path, black_box(&data), reply));
        });
        group.bench_function(BenchmarkId::new("ChannelData, peer to client", allocations), |bencher| {
            bencher.iter(|| {
                let allocation = next();
                relay.down(black_box(allocation.relay), allocation.bound)
            });
        });
        let send = send_indication(order[0].permitted.0);
        group.bench_function(BenchmarkId::new("Send indication, client to peer", allocations), |bencher| {
            bencher.iter(|| relay.up(next().path, black_box(&send), reply));
        });
        group.bench_function(BenchmarkId::new("Data indication, peer to client", allocations), |bencher| {
            bencher.iter(|| {
                let allocation = next();
                relay.down(black_box(allocation.relay), allocation.permitted)
            });
        });
    }
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group!(name = benches; config = quick(); targets = relayed);
criterion_main!(benches);
