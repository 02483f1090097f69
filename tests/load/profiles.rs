//! Every profile, for a second, against the real relay.

use turnkeep::load::result::{Ended, LoadResult};

use crate::rig::{Rig, assert_flawless, direction};

const BRIEF: &str = "--duration 1s --warmup 200ms";

fn load(rig: &Rig, arguments: &str) -> LoadResult {
    let allocations = if arguments.contains("--allocations") { "" } else { "--allocations 10" };
    let result = rig.load(&format!("{BRIEF} {allocations} {arguments}"));
    assert_eq!(result.ended, Ended::Completed);
    assert!(result.errors.is_empty(), "{:?}", result.errors);
    result
}

#[test]
fn raw_packets_arrive_in_every_direction_and_framing() {
    let rig = Rig::new();
    for framing in ["channel", "send"] {
        for (path, directions) in
            [("up", &["up"][..]), ("down", &["down"]), ("both", &["up", "down"]), ("pair", &["pair"])]
        {
            let result = load(&rig, &format!("--rate 1000 --path {path} --framing {framing} --payload 201"));
            let traffic = result.traffic.as_ref().expect("packets were relayed");
            assert_eq!(traffic.directions.keys().collect::<Vec<_>>().len(), directions.len());
            for name in directions {
                assert_flawless(direction(&result, name));
            }
            assert_eq!(traffic.total.sent, 1000, "{path} {framing}");
            assert_eq!(traffic.series.len(), 1);
            let steps: Vec<_> = result.setup.steps.keys().map(String::as_str).collect();
            let expected = ["allocate", "challenge", "channel", "free", "permission", "total"];
            assert_eq!(
                steps,
                expected.into_iter().filter(|step| framing == "channel" || *step != "channel").collect::<Vec<_>>()
            );
            assert_eq!(result.setup.steps["free"].count, 10, "allocations are given back");
        }
    }
}

#[test]
fn bursts_leave_one_by_one_or_merged() {
    let rig = Rig::new();
    for merged in ["", "--merged"] {
        let result = load(&rig, &format!("--rate 800 --burst 8 --payload 1150 {merged}"));
        assert_flawless(direction(&result, "up"));
        assert_flawless(direction(&result, "down"));
        assert_eq!(result.plan.merged, !merged.is_empty());
    }
}

#[test]
fn calls_have_their_shapes() {
    let rig = Rig::new();
    // Packets/s of one direction of one call, and of its picture's frames.
    for (profile, per_s, frame) in
        [("audio", 50, 0), ("video-360p", 110, 2), ("video-720p", 230, 6), ("video-1080p", 380, 11), ("data", 100, 0)]
    {
        let result = load(&rig, &format!("--profile {profile} --allocations 2"));
        for name in ["up", "down"] {
            let count = direction(&result, name);
            assert_flawless(count);
            // One of the two sends a key frame in the first second: four times as many packets more.
            assert_eq!(count.sent, 2 * per_s + 4 * frame, "{profile}");
        }
    }
    let result = load(&rig, "--profile video-720p --allocations 2 --key-frames 500ms");
    assert_eq!(direction(&result, "up").sent, 2 * 230 + 4 * 4 * 6, "each sends two of them");
    let result = load(&rig, "--profile video-720p --allocations 2 --key-frames 0s");
    assert_eq!(direction(&result, "up").sent, 2 * 230);
}

#[test]
fn calls_cross_two_relayed_addresses() {
    let rig = Rig::new();
    let result = load(&rig, "--profile audio --path pair --allocations 4");
    assert_flawless(direction(&result, "pair"));
    assert_eq!(direction(&result, "pair").sent, 4 * 50);
}

#[test]
fn ramps_and_steps_change_the_rate() {
    let rig = Rig::new();
    let result = load(&rig, "--rate 1000 --ramp 1s");
    assert_eq!(direction(&result, "up").sent, 250, "half of the rate, of which half is up");
    let result = load(&rig, "--steps 200,400");
    let sent: Vec<_> = result.steps.iter().map(|step| step.count.sent).collect();
    assert_eq!(sent, [200, 400]);
}

#[test]
fn allocations_come_into_being_under_traffic() {
    let rig = Rig::new();
    for path in ["both", "pair"] {
        let result = load(&rig, &format!("--rate 1000 --grow 500ms --path {path} --allocations 10"));
        assert_eq!((result.setup.attempted, result.setup.succeeded), (10, 10));
        let traffic = result.traffic.as_ref().expect("packets were relayed");
        traffic.directions.values().for_each(assert_flawless);
        // All from 250 ms to 750 ms on, pairs together.
        assert!((540..=560).contains(&traffic.total.sent), "{path}: {}", traffic.total.sent);
    }
    let result = load(&rig, "--profile idle --grow 500ms");
    assert_eq!((result.setup.succeeded, result.setup.steps["free"].count), (10, 10));
}

#[test]
fn a_search_ends_with_a_rate() {
    let rig = Rig::new();
    let limits = "--max-loss 100% --max-p99 10s";
    let result =
        rig.load(&format!("--find-capacity --duration 100ms --warmup 0s --allocations 10 --rate 500 {limits}"));
    let capacity = result.capacity.expect("a search has an outcome");
    assert!(
        !result.steps.is_empty() && result.steps.iter().all(|step| step.passed.is_some() != step.generator_limited)
    );
    // A machine that is busy with other things may not even pass the first rate.
    assert!(capacity.rate_per_s > 0.0 || capacity.generator_limited, "{capacity:?}");
}

#[test]
fn a_churn_makes_and_frees_allocations() {
    let rig = Rig::new();
    let result = load(&rig, "--profile churn --rate max");
    let churn = result.churn.expect("cycles were made");
    assert!(churn.closed_loop && churn.completed > 10 && churn.failed == 0, "{churn:?}");
    assert_eq!((churn.begun, result.setup.steps["free"].count), (churn.completed, churn.completed));
    assert_eq!(result.setup.steps["challenge"].count, churn.completed, "each cycle begins from nothing");

    assert_eq!(result.plan.rate_per_s, 0.0);

    let result = load(&rig, "--profile churn --rate 50");
    let churn = result.churn.expect("cycles were made");
    assert_eq!((churn.closed_loop, churn.begun, churn.failed), (false, 50, 0));

    let result = load(&rig, "--profile churn");
    assert_eq!(result.churn.and_then(|churn| churn.scheduled), Some(1000), "it is bounded unless more is asked for");
    let output = rig.run(&rig.target(), "--rate max");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cycles alone"));
}

/// Four clients that rest for 100 ms begin about 24 cycles in 500 ms; without a rest it would be thousands.
#[test]
fn clients_rest_where_nothing_is_left() {
    let rig = Rig::with_one_port();
    rig.run(&rig.target(), "--profile churn --rate max --allocations 4 --duration 500ms");
    let churn = rig.result().churn.expect("cycles were begun");
    assert!((4..=30).contains(&churn.begun) && churn.failed > 3, "{churn:?}");
}

#[test]
fn idle_allocations_are_held_and_given_back() {
    let rig = Rig::new();
    let result = load(&rig, "--profile idle");
    assert_eq!((result.setup.succeeded, result.setup.steps["free"].count), (10, 10));
    assert!(result.traffic.is_none());
}

#[test]
fn a_flood_is_answered_and_proves_nothing() {
    let rig = Rig::new();
    let result = load(&rig, "--profile flood --rate 1000");
    let flood = result.flood.expect("requests were sent");
    assert_eq!(flood.requests, 1000);
    assert!(flood.answers > 0 && flood.answers <= flood.requests && flood.amplification > 1.0, "{flood:?}");
}

#[test]
fn the_server_is_watched() {
    let rig = Rig::new();
    let result = load(&rig, &format!("--rate 2000 --server-pid {}", rig.program.id()));
    let server = result.server.expect("its process id was given");
    assert_eq!(server.names, ["turnkeep"]);
    assert!(server.cpu_ns_per_packet.is_some_and(|cpu| cpu > 100.0), "{server:?}");
    assert!(server.voluntary_switches > 0 && server.memory.before_bytes > 1 << 20, "{server:?}");
    assert!(result.traffic.is_some_and(|traffic| traffic.series.iter().all(|second| second.server_cpu.is_some())));
}

/// RFC 8656 knows nothing of families: a socket for each client, where addresses of one loopback are few.
#[test]
fn a_socket_for_each_client_does_as_well() {
    let rig = Rig::new();
    let result = load(&rig, "--rate 1000 --source 127.0.0.1 --peer 127.0.0.1");
    assert_eq!((result.transport.clients.as_str(), result.transport.peers.as_str()), ("each", "sockets"));
    assert_flawless(direction(&result, "up"));
    assert_flawless(direction(&result, "down"));
}
