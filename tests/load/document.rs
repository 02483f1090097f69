//! The JSON document that a load test leaves: other programs read it, so it changes in the open.

use std::collections::BTreeMap;

use turnkeep::load::result::*;

use crate::golden::assert_golden;

#[test]
fn the_document_is_as_it_was() {
    let sample = sample();
    let json = serde_json::to_string_pretty(&sample).expect("it has string keys alone") + "\n";
    assert_golden("tests/golden/load/result.json", &json);
    let read: LoadResult = serde_json::from_str(&json).expect("what is written can be read");
    assert_eq!(read, sample);
}

/// Every field filled in, every list with an entry.
pub(crate) fn sample() -> LoadResult {
    let count = Count {
        duration_s: 30.0,
        flows: 200,
        scheduled: Some(300_000),
        sent: 300_000,
        not_sent: 0,
        held_up: Some(0),
        received: 299_970,
        lost: 30,
        loss: 0.0001,
        duplicates: 1,
        reordered: 2,
        misdelivered: 0,
        corrupted: 0,
        sent_per_s: 10_000.0,
        received_per_s: 9_999.0,
        goodput_bits_per_s: 12_798_720.0,
        latency: latency(299_970, 41.5),
    };
    let second = Second {
        at_s: 0,
        sent: 10_000,
        arrived: 9_999,
        received: 9_990,
        received_bytes: 1_598_400,
        p50_us: 40.0,
        p99_us: 90.0,
        max_us: 310.0,
        server_cpu: Some(0.07),
    };
    let step = Step {
        rate_per_s: 10_000.0,
        passed: Some(true),
        generator_limited: false,
        count: count.clone(),
        lateness: Some(latency(300_000, 3.0)),
        server_cpu_share: Some(0.0625),
        server_cpu_ns_per_packet: Some(6250.0),
    };
    LoadResult {
        format: FORMAT,
        tool: Tool { name: "turnkeep".into(), version: "0.1.0".into(), build: "release".into() },
        command: ["turnkeep", "load", "127.0.0.1:3478", "--user", "u", "--password", "***"].map(str::to_owned).into(),
        started_unix_ms: 1_795_285_900_000,
        ended: Ended::Completed,
        host: Host {
            kernel: "6.18.0".into(),
            cpu_model: "A processor".into(),
            cores: 2,
            memory_bytes: 8 << 30,
            is_virtual: true,
            cpu_governor: String::new(),
            sysctls: BTreeMap::from([("net.core.rmem_max".into(), "212992".into())]),
        },
        plan: PlanFacts {
            target: "127.0.0.1:3478".into(),
            profile: "raw".into(),
            path: "both".into(),
            framing: "channel".into(),
            allocations: 100,
            rate_per_s: 10_000.0,
            payload_bytes: 160,
            burst: 1,
            merged: false,
            duration_s: 30.0,
            warmup_s: 1.0,
            ramp_s: 0.0,
            growth_s: Some(0.0),
            key_frames_s: Some(10.0),
            seed: 1,
        },
        transport: TransportFacts {
            protocol: "udp".into(),
            tls: None,
            clients: "shared".into(),
            peers: "shared".into(),
            client_sockets: 1,
            peer_sockets: 1,
            receive_buffer_bytes: 33_554_432,
        },
        setup: Setup {
            took_part: Some(100),
            attempted: 100,
            succeeded: 100,
            failed: 0,
            retransmissions: 0,
            duration_s: 0.1,
            steps: ["challenge", "allocate", "permission", "channel", "total"]
                .map(|step| (step.to_owned(), latency(100, 80.0)))
                .into(),
        },
        traffic: Some(Traffic {
            total: count.clone(),
            directions: BTreeMap::from([("up".into(), count.clone())]),
            series: vec![second],
            stages: vec![Stage {
                from_s: 0.0,
                to_s: 3.0,
                sent: 30_000,
                arrived: 29_997,
                loss: 0.0001,
                latency: latency(29_997, 41.5),
            }],
        }),
        steps: vec![step],
        capacity: Some(Capacity {
            rate_per_s: 280_000.0,
            failed_rate_per_s: Some(290_000.0),
            max_loss: 0.001,
            max_p99_us: 10_000.0,
            confirmed: true,
            generator_limited: false,
        }),
        churn: Some(Churn {
            closed_loop: true,
            duration_s: 30.0,
            scheduled: Some(210_010),
            not_begun: Some(10),
            begun: 210_000,
            completed: 209_990,
            failed: 0,
            unfinished: Some(10),
            cycles_per_s: 6_999.7,
            cycle: latency(209_990, 900.0),
            series: vec![7000],
            server_cpu_ns_per_cycle: Some(131_000.0),
        }),
        flood: Some(Flood {
            duration_s: 30.0,
            scheduled: Some(300_000),
            requests: 300_000,
            answers: 299_000,
            requests_per_s: 10_000.0,
            amplification: 2.9,
            latency: latency(299_000, 60.0),
            server_cpu_ns_per_request: Some(4000.0),
        }),
        server: Some(Server {
            pids: vec![4711],
            names: vec!["turnserver".into()],
            cpu_source: "schedstat".into(),
            cpu_s: 1.9,
            cpu_share: 0.063,
            cpu_ns_per_packet: Some(6333.9),
            voluntary_switches: 290_000,
            involuntary_switches: 12,
            memory: ServerMemory {
                source: "pss".into(),
                before_bytes: 20_000_000,
                allocated_bytes: 22_300_000,
                loaded_bytes: 22_400_000,
                freed_bytes: 21_000_000,
                per_allocation_bytes: Some(23_000.0),
                kernel: Some(KernelMemory {
                    slab_before_bytes: 900_000_000,
                    slab_allocated_bytes: 900_190_000,
                    slab_freed_bytes: 900_010_000,
                    udp_sockets_before: 3,
                    udp_sockets_allocated: 103,
                    slab_per_allocation_bytes: Some(1900.0),
                }),
            },
        }),
        generator: Generator {
            cpu: Some(1),
            polling: Some("busy".into()),
            lateness: latency(300_000, 3.0),
            cpu_share: 0.99,
            busy_share: 0.12,
            receive_drops: 0,
            strays: 0,
            was_limit: false,
            remarks: vec!["A remark.".into()],
        },
        kernel: KernelCounters { udp_receive_buffer_errors: 0, udp_send_buffer_errors: 0, backlog_drops: 0 },
        errors: BTreeMap::from([("allocate 486".into(), 1)]),
        findings: vec!["Nothing arrived after 1.6 s.".into()],
        thresholds: vec![Judged { condition: "loss>0.1%".into(), measured: Some(0.01), place: None, failed: false }],
    }
}

fn latency(count: u64, p50_us: f64) -> Latency {
    Latency {
        count,
        min_us: 11.0,
        mean_us: 44.0,
        p50_us,
        p90_us: 60.0,
        p99_us: 90.0,
        p99_9_us: 300.0,
        p99_99_us: 900.0,
        max_us: 1100.0,
        curve: vec![[0.5, p50_us], [1.0, 1100.0]],
    }
}
