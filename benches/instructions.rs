//! Instructions a relayed packet, counted by valgrind's callgrind: unlike nanoseconds they are the same on a busy
//! machine, so a change of a few per cent shows, and a case above its budget fails.
//!
//! The harness runs itself under callgrind once a case, and has it collect inside [`measured`] only. That needs no
//! crate and no runner of a version that matches, only `valgrind`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports")]

mod support;

use std::hint::black_box;
use std::process::{Command, ExitCode};

use support::{Allocation, Relay, channel_data, send_indication};
use turnkeep::relay::limits::MAX_REPLY;

/// Calls of a case, spread over all allocations.
const PACKETS: u32 = 10_000;
const ALLOCATIONS: [u32; 2] = [1, 10_000];

/// A packet in one direction.
struct Case {
    name: &'static str,
    /// The most instructions it may take, as counted by callgrind 3.19 with rustc 1.95, and a tenth more.
    budget: u32,
    work: fn(&mut Relay, &Allocation, &mut Packets),
}

const CASES: [Case; 5] = [
    // What the loop costs: taken off the others.
    Case { name: "nothing", budget: 0, work: |_, _, _| () },
    Case {
        name: "ChannelData, client to peer",
        budget: 380,
        work: |relay, allocation, packets| {
            black_box(relay.up(allocation.path, &packets.channel_data, &mut packets.reply));
        },
    },
    Case {
        name: "ChannelData, peer to client",
        budget: 210,
        work: |relay, allocation, _| {
            black_box(relay.down(allocation.relay, allocation.bound));
        },
    },
    Case {
        name: "Send indication, client to peer",
        budget: 860,
        work: |relay, allocation, packets| {
            black_box(relay.up(allocation.path, &packets.send, &mut packets.reply));
        },
    },
    Case {
        name: "Data indication, peer to client",
        budget: 510,
        work: |relay, allocation, _| {
            black_box(relay.down(allocation.relay, allocation.permitted));
        },
    },
];

/// What clients send, and where an answer would be written.
struct Packets {
    channel_data: Vec<u8>,
    send: Vec<u8>,
    reply: [u8; MAX_REPLY],
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, case, allocations] = &arguments[..]
        && flag == UNDER_CALLGRIND
    {
        run(case.parse().expect("a case"), allocations.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    match count_all() {
        Ok(counts) => report(&counts),
        Err(reason) => {
            eprintln!("instructions: not counted: {reason}");
            ExitCode::SUCCESS
        }
    }
}

const UNDER_CALLGRIND: &str = "--under-callgrind";

fn run(case: usize, allocations: u32) {
    let mut relay = Relay::with(allocations);
    let order: Vec<_> = relay.scattered().take(PACKETS as usize).copied().collect();
    let send = send_indication(order[0].permitted.0);
    let packets = &mut Packets { channel_data: channel_data(), send, reply: [0; MAX_REPLY] };
    measured(CASES[case].work, &mut relay, &order, packets);
}

/// What callgrind collects in.
#[inline(never)]
fn measured(
    work: fn(&mut Relay, &Allocation, &mut Packets),
    relay: &mut Relay,
    order: &[Allocation],
    packets: &mut Packets,
) {
    for allocation in order {
        work(relay, allocation, packets);
    }
}

/// Instructions a packet, for each case and each size of the table.
type Counts = Vec<[u32; ALLOCATIONS.len()]>;

fn count_all() -> Result<Counts, String> {
    let mut counts = Counts::new();
    for case in 0..CASES.len() {
        let [few, many] = ALLOCATIONS.map(|allocations| count(case, allocations));
        counts.push([few? / PACKETS, many? / PACKETS]);
    }
    Ok(counts)
}

fn count(case: usize, allocations: u32) -> Result<u32, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.args(["--collect-atstart=no", "--toggle-collect=*instructions*measured*"]);
    valgrind.arg(own).args([UNDER_CALLGRIND, &case.to_string(), &allocations.to_string()]);
    let output = valgrind.output().map_err(|error| format!("valgrind: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told.lines().find_map(|line| line.split_once("Collected : "));
    let collected = collected.and_then(|(_, count)| count.trim().parse().ok());
    collected.ok_or_else(|| format!("callgrind said: {told}"))
}

/// Prints a line for each case; fails if one is above its budget.
fn report(counts: &Counts) -> ExitCode {
    println!("{:<34} {:>12} {:>19} {:>8}", "instructions a packet", "1 allocation", "10,000 allocations", "budget");
    let mut code = ExitCode::SUCCESS;
    for (case, count) in CASES.iter().zip(counts) {
        let [few, many] = [0, 1].map(|size| count[size].saturating_sub(counts[0][size]));
        println!("{:<34} {few:>12} {many:>19} {:>8}", case.name, case.budget);
        if few.max(many) > case.budget {
            eprintln!("{} is above its budget", case.name);
            code = ExitCode::FAILURE;
        }
    }
    code
}
