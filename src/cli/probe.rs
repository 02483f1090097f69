//! `turnkeep probe`: checks a TURN server from end to end.

mod own;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use own::Own;

use super::load::read_secret;
use super::out;
use crate::client::Credentials;
use crate::client::uri::Uri;
use crate::config::value::{UtcTime, parse_period};
use crate::probe::{self, Negative, Report, Settings, Trust};

/// Check a TURN server from end to end, and say in plain words what fails and what cures it
///
/// Any server, over UDP, TCP and TLS: turnkeep, coturn, pion and others. For each URI and each address of its host it
/// does what a client does, up to an echo through the relay, and then tries what a server must refuse. That is tried
/// against servers on this host and in private networks; against others with --negative=always, and with the consent of
/// whoever runs them.
#[derive(Debug, Args)]
#[command(after_help = PROBE_HELP)]
pub(super) struct Probe {
    // Brackets would be links in a doc comment.
    #[arg(value_name = "URI", required_unless_present = "config", help = URIS)]
    targets: Vec<Uri>,
    /// A turnkeep's configuration on its own host: probes its listeners for UDP and TCP, with its first secret, and
    /// takes the peers that it allows for meant
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Log in as this user
    #[arg(long, value_name = "NAME", requires = "user_password", help_heading = "Credentials")]
    user: Option<String>,
    /// The user's password; others on this host can see it while the probe runs
    #[arg(long, group = "user_password", help_heading = "Credentials")]
    password: Option<String>,
    /// A file with the user's password; - is standard input
    #[arg(long, value_name = "FILE", group = "user_password", help_heading = "Credentials")]
    password_file: Option<PathBuf>,
    /// The secret that ephemeral users are minted from; visible as --password is
    #[arg(long, conflicts_with_all = ["user", "user_password"], help_heading = "Credentials")]
    secret: Option<String>,
    /// A file with that secret; - is standard input
    #[arg(long, value_name = "FILE", help_heading = "Credentials")]
    #[arg(conflicts_with_all = ["user", "user_password", "secret"])]
    secret_file: Option<PathBuf>,

    /// Authorities whose certificates are good, in PEM, in place of this host's
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    ca: Option<PathBuf>,
    /// Go on after a bad certificate; it stays a fault
    #[arg(long, help_heading = "TLS")]
    insecure: bool,

    /// Try what a server must refuse: against near servers, always, or never
    #[arg(long, value_name = "WHEN", default_value = "near", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "always", help_heading = "What is tried")]
    negative: When,
    /// Peers that clients are meant to reach: that they can is no fault (can be given several times)
    #[arg(long, value_name = "CIDR", value_parser = range, help_heading = "What is tried")]
    may_reach: Vec<IpNet>,
    /// What relayed addresses should be
    #[arg(long, value_name = "ADDRESS", help_heading = "What is tried")]
    expect_relayed: Option<IpAddr>,
    /// Where the probe's own peer is: an address of this host [default: the one on the way to relayed addresses]
    #[arg(long, value_name = "ADDRESS", help_heading = "What is tried")]
    peer: Option<IpAddr>,
    /// How long an answer is waited for
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = patience, help_heading = "What is tried")]
    timeout: Duration,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

const URIS: &str = "What clients are told: turn:HOST[:PORT][?transport=udp|tcp], turns:HOST[:PORT], stun:, stuns:";

const PROBE_HELP: &str = "\
Without credentials it goes as far as the challenge. Names are looked up as browsers do it: A and AAAA, no SRV.

Examples:
  turnkeep probe turn:turn.example.org turns:turn.example.org:443 --secret-file secret
  turnkeep probe turn:127.0.0.1 --secret-file secret --may-reach 127.0.0.0/8
  turnkeep probe --config /etc/turnkeep/turnkeep.toml
  turnkeep probe turns:192.0.2.7 --user alice --password-file - --ca ca.pem --negative=always --json

Exit codes:
  0  all well, warnings apart
  1  a fault was found
  2  the arguments were not understood
  3  no fault was found, but something could not be tested";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum When {
    /// Against servers on this host and in private networks
    Near,
    /// Against every server
    Always,
    /// Not at all
    Never,
}

/// The exit code where something could not be tested.
const UNTESTED: u8 = 3;

impl Probe {
    pub(super) fn run(self) -> ExitCode {
        let own = match self.config.as_deref().map(|file| Own::read(file, super::now_unix())).transpose() {
            Ok(own) => own,
            Err(lines) => return out::fail(lines.trim_end()),
        };
        let settings = match self.settings(own) {
            Ok(settings) => settings,
            Err(sentence) => return out::fail(sentence),
        };
        let (json, mut last, mut can_print) = (self.json, None, true);
        let mut show = |text: &str| {
            can_print = can_print && (json || out::print(text) == ExitCode::SUCCESS);
        };
        show(&probe::heading(&UtcTime::from_unix_secs(super::now_unix()).to_string()));
        let report = probe::run(&settings, &mut |event| show(&probe::line(event, &mut last)));
        show(&probe::summary(&report.summary));
        if json {
            can_print = match serde_json::to_string_pretty(&report) {
                Ok(text) => out::print(&(text + "\n")) == ExitCode::SUCCESS,
                Err(error) => return out::fail(format_args!("cannot write the report: {error}")),
            };
        }
        if can_print { exit_code(&report) } else { ExitCode::FAILURE }
    }

    fn settings(&self, own: Option<Own>) -> Result<Settings, String> {
        let own = own.unwrap_or_default();
        let authorities = self
            .ca
            .as_ref()
            .map(|file| fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display())));
        Ok(Settings {
            credentials: self.credentials()?.or(own.credentials),
            trust: Trust { authorities: authorities.transpose()?, insecure: self.insecure },
            patience: self.timeout,
            negative: match self.negative {
                When::Near => Negative::Near,
                When::Always => Negative::Always,
                When::Never => Negative::Never,
            },
            may_reach: [&self.may_reach[..], &own.may_reach].concat(),
            expect_relayed: self.expect_relayed,
            peer: self.peer,
            ..Settings::new(if self.targets.is_empty() { own.targets } else { self.targets.clone() })
        })
    }

    fn credentials(&self) -> Result<Option<Credentials>, String> {
        if let Some(secret) = given(self.secret.as_deref(), self.secret_file.as_deref())? {
            return Ok(Some(Credentials::Secret(secret.into_bytes().into())));
        }
        let password = given(self.password.as_deref(), self.password_file.as_deref())?;
        Ok(self
            .user
            .clone()
            .zip(password)
            .map(|(name, password)| Credentials::User { name, password: password.into() }))
    }
}

fn exit_code(report: &Report) -> ExitCode {
    match (report.summary.faults, report.summary.untested) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(UNTESTED),
        _ => ExitCode::FAILURE,
    }
}

/// What was given on the command line, or what a file says without the line's end.
fn given(text: Option<&str>, file: Option<&Path>) -> Result<Option<String>, String> {
    file.map_or_else(|| Ok(text.map(str::to_owned)), |file| read_secret(file).map(Some))
}

/// `10.0.0.0/8`, or one address.
fn range(text: &str) -> Result<IpNet, String> {
    let found = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    found.ok_or_else(|| "write it like 10.0.0.0/8 or 192.0.2.7".into())
}

fn patience(text: &str) -> Result<Duration, String> {
    let is_sane = |time: &Duration| (Duration::from_millis(100)..=Duration::from_mins(1)).contains(time);
    parse_period(text).filter(is_sane).ok_or_else(|| "write it like 500ms or 3s, from 100ms to 1m".into())
}
