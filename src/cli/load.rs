//! `turnkeep load`: measures a TURN server under load.

mod arguments;
mod compare;
mod live;
mod names;
mod output;
mod report;
mod target;
mod value;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(super) use arguments::Load;
use arguments::LoadCommand;
use names::ProfileName;
use output::Outputs;
use target::{Target, resolve};
use value::Pace;
pub(super) use value::{rate, share};

use super::out;
use crate::client::Credentials;
use crate::load::answer::in_words;
use crate::load::result::{Ended, LoadResult};
use crate::load::settings::{Limits, Settings, TlsSettings, Transport};
use crate::load::summary::summary;
use crate::load::target::is_near;

/// The limits of a search, unless others are asked for.
const MAX_LOSS: f64 = 0.001;
const MAX_P99: Duration = Duration::from_millis(10);
/// The exit code when a condition holds.
const CONDITION_HOLDS: u8 = 3;
/// The exit code when a signal stopped it: whatever its conditions say, they were not judged on the whole.
const INTERRUPTED: u8 = 4;

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
            Err(sentence) => return out::refuse(sentence),
        };
        // Before the run: what cannot be written shall not cost it.
        let outputs = match Outputs::check(self.json.as_deref(), self.report.as_deref()) {
            Ok(outputs) => outputs,
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
            Ok(result) => conclude(&outputs, &result),
            Err(sentence) => out::fail(sentence),
        }
    }

    fn settings(&self) -> Result<Settings, String> {
        let Target { address: target, transport, host } =
            resolve(self.target.as_deref().unwrap_or_default(), self.transport.map(Transport::from))?;
        if !is_near(target) && !self.i_may_load_this_host {
            return Err(format!(
                "{target} is neither this host nor in a private network; whoever may load it says \
                 --i-may-load-this-host"
            ));
        }
        let duration = Duration::from_secs(if self.find_capacity { 5 } else { 30 });
        let tls = TlsSettings {
            server_name: self.server_name.clone().unwrap_or(host),
            ca_file: self.ca_file.clone(),
            insecure: self.insecure,
        };
        if !self.find_capacity && (self.max_loss, self.max_p99) != (MAX_LOSS, MAX_P99) {
            return Err("--max-loss and --max-p99 are limits of a search: give --find-capacity, or --fail-if".into());
        }
        let settings = Settings {
            transport,
            tls,
            profile: self.profile.into(),
            path: self.path.into(),
            framing: self.framing.into(),
            allocations: self.allocations,
            rate: self.rate.and_then(Pace::per_s),
            closed_loop: self.rate == Some(Pace::Max),
            payload: self.payload,
            burst: self.burst,
            merged: self.merged,
            duration: self.duration.unwrap_or(duration),
            warmup: self.warmup,
            ramp: self.ramp,
            growth: self.grow,
            key_frames: self.key_frames,
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
        };
        settings.check().map(|()| settings)
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
            // A flood has no credentials, and that is its point; a Binding needs none.
            _ if matches!(self.profile, ProfileName::Flood | ProfileName::Connect) => {
                Ok(Credentials::User { name: "nobody".into(), password: String::new().into() })
            }
            _ => Err("the clients need credentials: give --secret-file, or --user and --password-file".into()),
        }
    }
}

fn conclude(outputs: &Outputs, result: &LoadResult) -> ExitCode {
    // One document on standard output is not mixed with another.
    let mut ended = match outputs.take_standard_output() {
        true => ExitCode::SUCCESS,
        false => out::print(&summary(result)),
    };
    for sentence in outputs.write(result) {
        ended = out::fail(sentence);
    }
    if result.ended == Ended::SetupFailed {
        let errors: Vec<_> = result.errors.iter().map(|(what, count)| in_words(what, *count)).collect();
        return out::fail(format_args!("no allocation came into being: {}", errors.join("; ")));
    }
    if ended == ExitCode::SUCCESS && result.ended == Ended::Interrupted {
        return ExitCode::from(INTERRUPTED);
    }
    if ended == ExitCode::SUCCESS && result.thresholds.iter().any(|judged| judged.failed) {
        return ExitCode::from(CONDITION_HOLDS);
    }
    ended
}

/// What a file says, without the line's end.
pub(super) fn read_secret(file: &Path) -> Result<String, String> {
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
                    std::process::exit(INTERRUPTED.into());
                }
            }
        });
    })?;
    Ok(stop)
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
}
