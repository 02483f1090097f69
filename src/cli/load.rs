//! `turnkeep load`: measures a TURN server under load.

mod compare;
mod live;
mod report;

use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::out;
use crate::config::value::parse_period;
use crate::load::credential::Credentials;
use crate::load::report::html;
use crate::load::result::{Ended, LoadResult};
use crate::load::settings::{self, Framing, Limits, Profile, Settings};
use crate::load::summary::summary;
use crate::load::target::is_near;
use crate::load::threshold::Threshold;

/// Put a measured load on a TURN server, and say what became of every packet
///
/// Any server over UDP: turnkeep, coturn, pion and others. Packets leave by a schedule that waits for nobody, each with
/// a number and its time, and are counted where they arrive: loss, duplicates, order, misdelivery, latency from the
/// intended time on. Unless asked for more it takes 30 seconds, 10,000 packets/s in all and 100 allocations, and it
/// loads this host and private networks alone. Ctrl-C ends it with the result so far; allocations are given back.
#[derive(Debug, Args)]
#[command(after_help = LOAD_HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(disable_help_subcommand = true)]
pub(super) struct Load {
    #[command(subcommand)]
    command: Option<LoadCommand>,

    /// The server: an address or a name, with a port if it is not 3478
    #[arg(value_name = "HOST[:PORT]", required = true)]
    target: Option<String>,

    /// Log in as this user
    #[arg(long, value_name = "NAME", requires = "user_password", help_heading = "Credentials")]
    user: Option<String>,
    /// The user's password; others on this host can see it while the test runs
    #[arg(long, group = "user_password", help_heading = "Credentials")]
    password: Option<String>,
    /// A file with the user's password; - is standard input
    #[arg(long, value_name = "FILE", group = "user_password", help_heading = "Credentials")]
    password_file: Option<PathBuf>,
    /// The secret that ephemeral users are minted from, one for each client; visible as --password is
    #[arg(long, conflicts_with_all = ["user", "user_password"], help_heading = "Credentials")]
    secret: Option<String>,
    /// A file with that secret; - is standard input
    #[arg(long, value_name = "FILE", help_heading = "Credentials")]
    #[arg(conflicts_with_all = ["user", "user_password", "secret"])]
    secret_file: Option<PathBuf>,

    /// What is sent
    #[arg(long, value_enum, default_value = "raw", help_heading = "Load")]
    profile: ProfileName,
    /// From where to where
    #[arg(long, value_enum, default_value = "both", help_heading = "Load")]
    path: PathName,
    /// How clients frame what they send and get
    #[arg(long, value_enum, default_value = "channel", help_heading = "Load")]
    framing: FramingName,
    /// Allocations; of a churn, cycles at once; of a flood, sources [default: 100, of video fewer, of a flood 65,536]
    #[arg(long, value_name = "N", help_heading = "Load")]
    allocations: Option<u32>,
    /// Packets/s in all (raw), requests/s (flood) [default of both: 10k], or cycles/s (churn) [default: as many as go]
    #[arg(long, value_name = "N/S", value_parser = rate, help_heading = "Load")]
    rate: Option<f64>,
    /// Payload of a raw packet in bytes, 24 to 9000, of which 24 are the tester's own
    #[arg(long, value_name = "BYTES", default_value_t = 160, help_heading = "Load")]
    payload: u16,
    /// Raw packets that a flow sends at once
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    burst: u16,
    /// Send bursts, and take them, merged (UDP_SEGMENT, UDP_GRO), as a network card with offloads would
    #[arg(long, help_heading = "Load")]
    merged: bool,
    /// Measured time; with --steps of each, with --find-capacity of each probe [default: 30s; of a probe 5s]
    #[arg(long, value_name = "TIME", value_parser = period, help_heading = "Load")]
    duration: Option<Duration>,
    /// Traffic before it that is not measured
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = period, help_heading = "Load")]
    warmup: Duration,
    /// Let the rate rise from 0 for so long within the measured time
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = period, help_heading = "Load")]
    ramp: Duration,
    /// Rates to hold one after the other, such as 10k,20k,50k
    #[arg(long, value_name = "N/S,…", value_delimiter = ',', value_parser = rate, help_heading = "Load")]
    steps: Vec<f64>,
    /// Allocations begun per second
    #[arg(long, value_name = "N/S", default_value = "1000", value_parser = rate, help_heading = "Load")]
    setup_rate: f64,

    /// Search the highest rate within --max-loss and --max-p99, and confirm it
    #[arg(long, conflicts_with = "steps", help_heading = "Search")]
    find_capacity: bool,
    /// The most loss that passes
    #[arg(long, value_name = "SHARE", default_value = "0.1%", value_parser = share, help_heading = "Search")]
    max_loss: f64,
    /// The longest p99 of the latency that passes
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = period, help_heading = "Search")]
    max_p99: Duration,

    /// Fail if, such as loss>0.1%, p99>10ms, misdelivered>0, cpu>6us, setup>50ms (can be given several times)
    #[arg(long, value_name = "CONDITION", help_heading = "Result")]
    fail_if: Vec<Threshold>,
    /// Write the result as JSON; - is standard output, without the summary then
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    json: Option<PathBuf>,
    /// Write a report with plots: one HTML file that needs nothing else
    #[arg(long, value_name = "FILE.html", help_heading = "Result")]
    report: Option<PathBuf>,
    /// Do not show on standard error how it goes
    #[arg(short, long, help_heading = "Result")]
    quiet: bool,
    /// Processes of the server on this host: CPU time per packet, memory per allocation, context switches
    #[arg(long, value_name = "PID,…", value_delimiter = ',', help_heading = "Result")]
    server_pid: Vec<u32>,

    /// Where the peers are: an address of this host [default: addresses of 127.128.0.0/10 for a loopback server, else
    /// the one that the server is reached from]
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    peer: Option<IpAddr>,
    /// Addresses of this host that clients send from in turn
    #[arg(long, value_name = "ADDRESS,…", value_delimiter = ',', help_heading = "Network")]
    source: Vec<IpAddr>,
    /// The core to run on; give the server others
    #[arg(long, value_name = "N", help_heading = "Network")]
    cpu: Option<usize>,
    /// Load a server outside of loopback and private networks, with the consent of whoever runs it and its network
    #[arg(long, help_heading = "Network")]
    i_may_load_this_host: bool,
    /// Seed of the payloads
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Network")]
    seed: u64,
}

const LOAD_HELP: &str = "\
The server must let clients reach the peers. For a test on one machine: coturn with --allow-loopback-peers; turnkeep
with `lab = true` and a rule for 127.0.0.0/8, or its try-out.

Examples:
  turnkeep load 127.0.0.1 --secret-file secret --profile audio
  turnkeep load 127.0.0.1 --secret-file secret --path up --allocations 1000 --rate 50k --server-pid 4711 --cpu 1
  turnkeep load 127.0.0.1 --secret-file secret --find-capacity --allocations 1000 --json capacity.json
  turnkeep load 127.0.0.1 --secret-file secret --profile churn --duration 10s --report churn.html

Conditions of --fail-if: loss, duplicates, reordered, cpu-share (in %); p50, p90, p99, p99.9, p99.99, max, setup, cpu,
lateness (times: ns, us, ms, s); misdelivered, corrupted, setup-failed, errors, memory (bytes per allocation), rate
(numbers). One that was not measured fails.

Exit codes:
  0  done
  1  not done, or no allocation came into being; standard error says why
  2  the arguments were not understood
  3  a condition of --fail-if holds";

/// What is done with results.
#[derive(Debug, Subcommand)]
enum LoadCommand {
    Report(report::Report),
    Compare(compare::Compare),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileName {
    /// Equal packets at a rate
    Raw,
    /// A call's voice: Opus, a packet every 20 ms
    Audio,
    /// Voice and 30 frames/s of 2 packets, 0.5 Mbit/s
    #[value(name = "video-360p")]
    Video360,
    /// Voice and 30 frames/s of 6 packets, 1.5 Mbit/s
    #[value(name = "video-720p")]
    Video720,
    /// Voice and 30 frames/s of 11 packets, 3 Mbit/s
    #[value(name = "video-1080p")]
    Video1080,
    /// A data channel: 4 packets every 40 ms, 0.9 Mbit/s
    Data,
    /// Cycles of allocation: challenge, allocate, permission, channel, free
    Churn,
    /// Allocations that carry nothing
    Idle,
    /// Allocate requests without credentials, from many sources
    Flood,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PathName {
    /// Client to peer
    Up,
    /// Peer to client
    Down,
    /// Up and down
    Both,
    /// From one client's relayed address to another's, in pairs
    Pair,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FramingName {
    /// ChannelData
    Channel,
    /// Send and Data indications
    Send,
}

/// The exit code when a condition holds.
const CONDITION_HOLDS: u8 = 3;
/// As RFC 8656 §6 says.
const PORT: u16 = 3478;

impl Load {
    pub(super) fn run(self) -> ExitCode {
        match &self.command {
            None => self.measure(),
            Some(LoadCommand::Report(report)) => report.run(),
            Some(LoadCommand::Compare(compare)) => compare.run(),
        }
    }

    fn measure(&self) -> ExitCode {
        let settings = match self.settings() {
            Ok(settings) => settings,
            Err(sentence) => return out::fail(sentence),
        };
        let stop = match stop_on_signal() {
            Ok(stop) => stop,
            Err(error) => return out::fail(format_args!("cannot wait for signals: {error}")),
        };
        let mut view = live::View::open(self.quiet);
        let measured = crate::load::run(&settings, &stop, &mut |progress| view.note(progress));
        view.close();
        match measured {
            Ok(result) => self.conclude(&result),
            Err(sentence) => out::fail(sentence),
        }
    }

    fn conclude(&self, result: &LoadResult) -> ExitCode {
        let json = match serde_json::to_string_pretty(result) {
            Ok(json) => json + "\n",
            Err(error) => return out::fail(format_args!("cannot write the result: {error}")),
        };
        let printed = match &self.json {
            Some(file) if is_dash(file) => out::print(&json),
            Some(file) => match fs::write(file, json) {
                Ok(()) => out::print(&summary(result)),
                Err(error) => return out::fail(format_args!("cannot write {}: {error}", file.display())),
            },
            None => out::print(&summary(result)),
        };
        if let Some(file) = &self.report
            && let Err(error) = fs::write(file, html(result))
        {
            return out::fail(format_args!("cannot write {}: {error}", file.display()));
        }
        if result.ended == Ended::SetupFailed {
            let errors: Vec<_> = result.errors.iter().map(|(what, count)| format!("{what} ({count} times)")).collect();
            return out::fail(format_args!("no allocation came into being: {}", errors.join(", ")));
        }
        if result.thresholds.iter().any(|judged| judged.failed) {
            return ExitCode::from(CONDITION_HOLDS);
        }
        printed
    }

    fn settings(&self) -> Result<Settings, String> {
        let target = resolve(self.target.as_deref().unwrap_or_default())?;
        if !is_near(target) && !self.i_may_load_this_host {
            return Err(format!(
                "{target} is neither this host nor in a private network; whoever may load it says \
                 --i-may-load-this-host"
            ));
        }
        let duration = Duration::from_secs(if self.find_capacity { 5 } else { 30 });
        Ok(Settings {
            profile: self.profile.into(),
            path: self.path.into(),
            framing: self.framing.into(),
            allocations: self.allocations,
            rate: self.rate,
            payload: self.payload,
            burst: self.burst,
            merged: self.merged,
            duration: self.duration.unwrap_or(duration),
            warmup: self.warmup,
            ramp: self.ramp,
            steps: self.steps.clone(),
            search: self.find_capacity.then_some(Limits { max_loss: self.max_loss, max_p99: self.max_p99 }),
            setup_rate: self.setup_rate,
            peer: self.peer,
            sources: self.source.clone(),
            server_pids: self.server_pid.clone(),
            cpu: self.cpu,
            seed: self.seed,
            fail_if: self.fail_if.clone(),
            command: redacted(std::env::args()),
            ..Settings::new(target, self.credentials()?)
        })
    }

    fn credentials(&self) -> Result<Credentials, String> {
        let secret = match (&self.secret, &self.secret_file) {
            (Some(secret), _) => Some(secret.clone()),
            (None, Some(file)) => Some(read_secret(file)?),
            (None, None) => None,
        };
        if let Some(secret) = secret {
            return Ok(Credentials::Secret(secret.into_bytes().into()));
        }
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(file)) => Some(read_secret(file)?),
            (None, None) => None,
        };
        match (&self.user, password) {
            (Some(name), Some(password)) => Ok(Credentials::User { name: name.clone(), password: password.into() }),
            // A flood has no credentials, and that is its point.
            _ if matches!(self.profile, ProfileName::Flood) => {
                Ok(Credentials::User { name: "nobody".into(), password: String::new().into() })
            }
            _ => Err("the clients need credentials: give --secret-file, or --user and --password-file".into()),
        }
    }
}

/// The first address of `target`; IPv4 before IPv6 where a name has both.
fn resolve(target: &str) -> Result<SocketAddr, String> {
    if let Ok(ip) = target.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, PORT));
    }
    let with_port = if target.contains(':') { target.to_owned() } else { format!("{target}:{PORT}") };
    let mut found: Vec<_> = match with_port.to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => return Err(format!("\"{target}\" is no server's address: {error}")),
    };
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| format!("\"{target}\" has no address"))
}

/// What a file says, without the line's end.
fn read_secret(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = if is_dash(file) {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(file).map(|read| text = read)
    };
    read.map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

fn is_dash(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// The command line with what follows `--password` and `--secret` replaced.
fn redacted(arguments: impl Iterator<Item = String>) -> Vec<String> {
    const SECRETS: [&str; 2] = ["--password", "--secret"];
    let mut is_secret = false;
    let redact = |argument: String| {
        let hides = std::mem::replace(&mut is_secret, SECRETS.contains(&argument.as_str()));
        match SECRETS.iter().find(|option| argument.strip_prefix(*option).is_some_and(|rest| rest.starts_with('='))) {
            _ if hides => "***".to_owned(),
            Some(option) => format!("{option}=***"),
            None => argument,
        }
    };
    arguments.map(redact).collect()
}

/// A flag that the first SIGINT or SIGTERM sets; the second ends the process at once.
fn stop_on_signal() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if flag.swap(true, Ordering::Relaxed) {
                    std::process::exit(1);
                }
            }
        });
    })?;
    Ok(stop)
}

/// `50000` or `50k`.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let (digits, scale) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => (text.strip_suffix('M').unwrap_or(text), if text.ends_with('M') { 1e6 } else { 1.0 }),
    };
    let value = digits.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
    value.map(|value| value * scale).ok_or_else(|| "write it like 500, 50k or 1.5M".into())
}

/// `0.1%`.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|digits| digits.trim().parse::<f64>().ok());
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent.map(|percent| percent / 100.0).ok_or_else(|| "write it like 0.1%".into())
}

/// `500us`, `10ms`, or what the configuration takes: `30s`, `10m`.
fn period(text: &str) -> Result<Duration, String> {
    let scaled = |suffix: &str, scale: f64| {
        let value: f64 = text.strip_suffix(suffix)?.trim().parse().ok()?;
        Duration::try_from_secs_f64(value * scale).ok()
    };
    let found = scaled("us", 1e-6).or_else(|| scaled("ms", 1e-3)).or_else(|| scaled("s", 1.0));
    found.or_else(|| parse_period(text)).ok_or_else(|| "write it like 500us, 10ms, 30s or 10m".into())
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Raw => Self::Raw,
            ProfileName::Audio => Self::Audio,
            ProfileName::Video360 => Self::Video360,
            ProfileName::Video720 => Self::Video720,
            ProfileName::Video1080 => Self::Video1080,
            ProfileName::Data => Self::Data,
            ProfileName::Churn => Self::Churn,
            ProfileName::Idle => Self::Idle,
            ProfileName::Flood => Self::Flood,
        }
    }
}

impl From<PathName> for settings::Path {
    fn from(name: PathName) -> Self {
        match name {
            PathName::Up => Self::Up,
            PathName::Down => Self::Down,
            PathName::Both => Self::Both,
            PathName::Pair => Self::Pair,
        }
    }
}

impl From<FramingName> for Framing {
    fn from(name: FramingName) -> Self {
        match name {
            FramingName::Channel => Self::Channel,
            FramingName::Send => Self::Send,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_leave_no_trace_in_the_record() {
        let line = "turnkeep load h --secret s3cr3t --user u --password=pass --password pw --secret-file f --secret=x";
        let shown = redacted(line.split(' ').map(str::to_owned)).join(" ");
        assert_eq!(
            shown,
            "turnkeep load h --secret *** --user u --password=*** --password *** --secret-file f --secret=***"
        );
    }

    #[test]
    fn numbers_have_units() {
        assert_eq!([rate("500"), rate("50k"), rate("1.5M")], [Ok(500.0), Ok(50_000.0), Ok(1_500_000.0)]);
        assert!(rate("0").is_err() && rate("k").is_err() && rate("-5").is_err() && rate("inf").is_err());
        assert_eq!(share("0.1%").map(|share| (share * 1e6).round()), Ok(1000.0));
        assert!(share("0.1").is_err() && share("101%").is_err());
        assert_eq!(period("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(period("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(period("2m"), Ok(Duration::from_mins(2)));
        assert!(period("10").is_err() && period("-1s").is_err());
    }

    #[test]
    fn a_target_has_a_port() {
        assert_eq!(resolve("127.0.0.1"), Ok("127.0.0.1:3478".parse().unwrap()));
        assert_eq!(resolve("127.0.0.1:99"), Ok("127.0.0.1:99".parse().unwrap()));
        assert_eq!(resolve("[::1]"), Ok("[::1]:3478".parse().unwrap()));
        assert_eq!(resolve("::1"), Ok("[::1]:3478".parse().unwrap()));
        assert_eq!(resolve("[::1]:99"), Ok("[::1]:99".parse().unwrap()));
        assert!(resolve("127.0.0.1:x").is_err());
    }
}
