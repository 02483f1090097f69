//! `turnkeep serve`: runs a relay.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{now_unix, out};
use crate::config::schema::{Log, LogFormat};
use crate::policy::auth::mint::{Credential, MintRequest, Owner};
use crate::supervisor::{self, Failure, Plan, Ready};

/// Run a relay until SIGINT or SIGTERM
///
/// Without a configuration it is a try-out: a relay on the loopback addresses that this machine alone can reach, with a
/// fresh secret. It prints a credential and how to use it.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self) -> ExitCode {
        match self.config {
            Some(file) => serve(&file),
            None => try_out(),
        }
    }
}

fn serve(file: &Path) -> ExitCode {
    let plan = match Plan::from_file(file) {
        Ok(plan) => plan,
        Err(report) => {
            out::complain(&report);
            return ExitCode::FAILURE;
        }
    };
    let log = plan.config.log;
    conclude(supervisor::run(plan, |_| {}), log)
}

fn try_out() -> ExitCode {
    let plan = match supervisor::try_out() {
        Ok(plan) => plan,
        Err(failure) => return out::fail(failure),
    };
    let (log, audit) = (plan.config.log, plan.audit.clone());
    let mut was_up = false;
    let ended = supervisor::run(plan, |relay| {
        was_up = true;
        welcome(&relay, audit.as_deref());
    });
    if let Some(secret) = secret_file(audit.as_deref()) {
        // It is good for nothing any more.
        let _ = std::fs::remove_file(secret);
    }
    if let Some(directory) = audit.as_deref().and_then(Path::parent).filter(|_| !was_up) {
        // Nobody was told of it, and what stands in it is that nothing happened.
        let _ = std::fs::remove_dir_all(directory);
    }
    conclude(ended, log)
}

fn conclude(ended: Result<(), Failure>, log: Log) -> ExitCode {
    match (ended, log.format) {
        (Ok(()), _) => ExitCode::SUCCESS,
        (Err(failure @ Failure::Telemetry(_)), _) | (Err(failure), LogFormat::Human) => out::fail(failure),
        // Whoever reads the log by program finds it there.
        (Err(failure), LogFormat::Json) => {
            tracing::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Where the try-out's secret is, beside its audit file.
fn secret_file(audit: Option<&Path>) -> Option<PathBuf> {
    audit.and_then(Path::parent).map(|directory| directory.join(supervisor::SECRET_FILE))
}

/// A day, like most issuers give.
const TTL: Duration = Duration::from_secs(24 * 3600);

/// Prints how the try-out is used.
fn welcome(relay: &Ready<'_>, audit: Option<&Path>) {
    let request = MintRequest { owner: Owner::User("try-out"), ttl: TTL, key_id: None };
    match relay.authenticator.ephemeral.mint(now_unix(), &request) {
        // Where standard output is closed the relay runs all the same.
        Ok(credential) => drop(out::print(&instructions(relay, &credential, audit))),
        Err(error) => drop(out::fail(error)),
    }
}

fn instructions(relay: &Ready<'_>, credential: &Credential, audit: Option<&Path>) -> String {
    let (username, password) = (&credential.username, credential.password.as_str());
    let by_udp = relay.listening.iter().map(|at| format!("turn:{}?transport=udp", at.address));
    let by_tcp = relay.stream_listening.iter().map(|at| format!("turn:{}?transport=tcp", at.address));
    let urls: Vec<String> = by_udp.chain(by_tcp).collect();
    let ice_servers = serde_json::json!({
        "iceServers": [{ "urls": urls, "username": username, "credential": password }]
    });
    let host = relay.listening.first().map(|first| first.address.ip().to_string()).unwrap_or_default();
    let secret = secret_file(audit).map(|path| path.display().to_string()).unwrap_or_default();
    let audit = audit.map(|path| path.display().to_string()).unwrap_or_default();
    format!(
        "\
turnkeep relays on this machine, for this machine alone, until Ctrl-C.

For RTCPeerConnection, with iceTransportPolicy \"relay\" to see that it is used:

{ice_servers:#}

Or with coturn's client, two clients through the relay to each other (Debian: apt install coturn):

    turnutils_uclient -y -c -s -u {username} -w {password} {host}

With -t behind its name it goes by TCP. Or with the load tester, in another terminal:

    turnkeep load {host} --secret-file {secret}

It is for trying out, and not fit for anything else: nobody on another machine can reach it, it relays to loopback
addresses, which a real relay must never do, and its secret is gone when it stops. Its audit trail:

    {audit}

To go on with a relay of your own:

    turnkeep config reference > turnkeep.toml
    turnkeep check turnkeep.toml
    turnkeep serve --config turnkeep.toml

"
    )
}
