//! What `turnkeep load` is told.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::compare::Compare;
use super::names::{FramingName, PathName, ProfileName, TransportName};
use super::report::Report;
use super::value::{Pace, count, pace, period, rate, share, small_count};
use crate::load::threshold::Threshold;

/// Put a measured load on a TURN server, and say what became of every packet
///
/// Any server over UDP, TCP or TLS: turnkeep, coturn, pion and others. Packets leave by a schedule that waits for
/// nobody, each with a number and its time, and are counted where they arrive: loss, duplicates, order, misdelivery,
/// latency from the intended time on. Unless asked for more it takes 30 seconds, 10,000 packets/s or 1,000 cycles/s in
/// all and 100 allocations, and it loads this host and private networks alone. Ctrl-C ends it with the result so far;
/// allocations are given back.
#[derive(Debug, Args)]
#[command(after_help = LOAD_HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(disable_help_subcommand = true)]
pub(in crate::cli) struct Load {
    #[command(subcommand)]
    pub(super) command: Option<LoadCommand>,

    /// The server: an address or a name, with a port if it is not 3478 (over TLS 5349), or a URI such as
    /// turns:turn.example.org
    #[arg(value_name = "HOST[:PORT]|URI", required = true)]
    pub(super) target: Option<String>,

    /// Log in as this user
    #[arg(long, value_name = "NAME", requires = "user_password", help_heading = "Credentials")]
    pub(super) user: Option<String>,
    /// The user's password; others on this host can see it while the test runs
    #[arg(long, group = "user_password", help_heading = "Credentials")]
    pub(super) password: Option<String>,
    /// A file with the user's password; - is standard input
    #[arg(long, value_name = "FILE", group = "user_password", help_heading = "Credentials")]
    pub(super) password_file: Option<PathBuf>,
    /// The secret that ephemeral users are minted from, one for each client; visible as --password is
    #[arg(long, conflicts_with_all = ["user", "user_password"], help_heading = "Credentials")]
    pub(super) secret: Option<String>,
    /// A file with that secret; - is standard input
    #[arg(long, value_name = "FILE", help_heading = "Credentials")]
    #[arg(conflicts_with_all = ["user", "user_password", "secret"])]
    pub(super) secret_file: Option<PathBuf>,

    /// What is sent
    #[arg(long, value_enum, default_value = "raw", help_heading = "Load")]
    pub(super) profile: ProfileName,
    /// From where to where
    #[arg(long, value_enum, default_value = "both", help_heading = "Load")]
    pub(super) path: PathName,
    /// How clients frame what they send and get
    #[arg(long, value_enum, default_value = "channel", help_heading = "Load")]
    pub(super) framing: FramingName,
    /// Allocations; of a churn or of connect, cycles at once; of a flood, sources [default: 100, of video fewer, of a
    /// flood 65,536]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Load")]
    pub(super) allocations: Option<u32>,
    /// Packets/s in all (raw), requests/s (flood) [default of both: 10k], or cycles/s (churn, connect) [default: 1k];
    /// max: each cycle begins as soon as another has ended
    #[arg(long, value_name = "N/S", value_parser = pace, help_heading = "Load")]
    pub(super) rate: Option<Pace>,
    /// Payload of a raw packet in bytes, 24 to 9000, of which 24 are the tester's own
    #[arg(long, value_name = "BYTES", default_value = "160", value_parser = small_count, help_heading = "Load")]
    pub(super) payload: u16,
    /// Raw packets that a flow sends at once
    #[arg(long, value_name = "N", default_value = "1", value_parser = small_count, help_heading = "Load")]
    pub(super) burst: u16,
    /// Send bursts, and take them, merged (UDP_SEGMENT, UDP_GRO), as a network card with offloads would
    #[arg(long, help_heading = "Load")]
    pub(super) merged: bool,
    /// Measured time; with --steps of each, with --find-capacity of each probe [default: 30s; of a probe 5s]
    #[arg(long, value_name = "TIME", value_parser = period, help_heading = "Load")]
    #[arg(allow_hyphen_values = true)]
    pub(super) duration: Option<Duration>,
    /// Traffic before it that is not measured
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = period, help_heading = "Load")]
    #[arg(allow_hyphen_values = true)]
    pub(super) warmup: Duration,
    /// Let the rate rise from 0 for so long within the measured time
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = period, help_heading = "Load")]
    #[arg(allow_hyphen_values = true)]
    pub(super) ramp: Duration,
    /// Let the allocations come into being one by one over so long while traffic flows, within the measured time
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = period, help_heading = "Load")]
    #[arg(allow_hyphen_values = true)]
    pub(super) grow: Duration,
    /// From one key frame of a video to the next, each with five times the packets; 0s: none
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = period, help_heading = "Load")]
    #[arg(allow_hyphen_values = true)]
    pub(super) key_frames: Duration,
    /// Rates to hold one after the other, such as 10k,20k,50k
    #[arg(long, value_name = "N/S,…", value_delimiter = ',', value_parser = rate, help_heading = "Load")]
    pub(super) steps: Vec<f64>,
    /// Allocations begun per second
    #[arg(long, value_name = "N/S", default_value = "1000", value_parser = rate, help_heading = "Load")]
    pub(super) setup_rate: f64,

    /// Search the highest rate within --max-loss and --max-p99, and confirm it
    #[arg(long, conflicts_with = "steps", help_heading = "Search")]
    pub(super) find_capacity: bool,
    /// The most loss that passes
    #[arg(long, value_name = "SHARE", default_value = "0.1%", value_parser = share, help_heading = "Search")]
    pub(super) max_loss: f64,
    /// The longest p99 of the latency that passes
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = period, help_heading = "Search")]
    #[arg(allow_hyphen_values = true)]
    pub(super) max_p99: Duration,

    /// Fail if, such as loss>0.1%, p99>10ms, misdelivered>0, cpu>6us, setup>50ms (can be given several times)
    #[arg(long, value_name = "CONDITION", help_heading = "Result")]
    pub(super) fail_if: Vec<Threshold>,
    /// Write the result as JSON; - is standard output, without the summary then
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    pub(super) json: Option<PathBuf>,
    /// Write a report with plots: one HTML file that needs nothing else; - is standard output
    #[arg(long, value_name = "FILE.html", help_heading = "Result")]
    pub(super) report: Option<PathBuf>,
    /// Do not show on standard error how it goes
    #[arg(short, long, help_heading = "Result")]
    pub(super) quiet: bool,
    /// Processes of the server on this host: CPU time per packet, memory per allocation, context switches
    #[arg(long, value_name = "PID,…", value_delimiter = ',', help_heading = "Result")]
    pub(super) server_pid: Vec<u32>,

    /// How clients reach the server [default: udp, or what the URI says]
    #[arg(long, value_enum, help_heading = "Network")]
    pub(super) transport: Option<TransportName>,
    /// Authorities, as PEM, that the server's certificate must come from [default: the system's]
    #[arg(long = "ca", value_name = "FILE.pem", help_heading = "Network")]
    pub(super) ca_file: Option<PathBuf>,
    /// The name that the certificate must be for, and that is asked for [default: the server's as it is given]
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub(super) server_name: Option<String>,
    /// Take whatever certificate the server shows: for test certificates
    #[arg(long, conflicts_with = "ca_file", help_heading = "Network")]
    pub(super) insecure: bool,
    /// Where the peers are: an address of this host [default: addresses of 127.128.0.0/10 for a loopback server, else
    /// the one that the server is reached from]
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(super) peer: Option<IpAddr>,
    /// Addresses of this host that clients send from in turn
    #[arg(long, value_name = "ADDRESS,…", value_delimiter = ',', help_heading = "Network")]
    pub(super) source: Vec<IpAddr>,
    /// The core to run on; give the server others
    #[arg(long, value_name = "N", help_heading = "Network")]
    pub(super) cpu: Option<usize>,
    /// Load a server outside of loopback and private networks, with the consent of whoever runs it and its network
    #[arg(long, help_heading = "Network")]
    pub(super) i_may_load_this_host: bool,
    /// Seed of the payloads
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Network")]
    pub(super) seed: u64,
}

const LOAD_HELP: &str = "\
The server must let clients reach the peers. For a test on one machine: coturn with --allow-loopback-peers; turnkeep
with `lab = true` and a rule for 127.0.0.0/8, or its try-out.

Examples:
  turnkeep load 127.0.0.1 --secret-file secret --profile audio
  turnkeep load 127.0.0.1 --secret-file secret --path up --allocations 1000 --rate 50k --server-pid 4711 --cpu 1
  turnkeep load 127.0.0.1 --secret-file secret --find-capacity --allocations 1000 --json capacity.json
  turnkeep load 127.0.0.1 --secret-file secret --profile churn --duration 10s --report churn.html
  turnkeep load turns:127.0.0.1 --insecure --secret-file secret --profile connect --duration 10s

Conditions of --fail-if: loss, not-sent (of what was due), duplicates, reordered, cpu-share (in %); p50, p90, p99,
p99.9, p99.99, max, setup, cpu, lateness (times: ns, us, ms, s); misdelivered, corrupted, setup-failed, errors, memory
(bytes per allocation), rate (numbers). One that was not measured fails. With --steps each step is judged; with --ramp
and --grow loss and latency in each tenth of the time.

Exit codes:
  0  done
  1  not done, or no allocation came into being; standard error says why
  2  the arguments were not understood
  3  a condition of --fail-if holds
  4  stopped by a signal: the result is what was measured until then, and its conditions do not count";

/// What is done with results.
#[derive(Debug, Subcommand)]
pub(super) enum LoadCommand {
    Report(Report),
    Compare(Compare),
}
