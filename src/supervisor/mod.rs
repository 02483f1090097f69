//! Puts the floors together and runs them: policy and engine from a checked configuration, the audit trail, the log of
//! refusals, signals, and a clean end.
#![forbid(unsafe_code)]

mod certificates;
mod failure;
mod host;
mod pass_through;
mod pulse;
mod refusals;
mod report;
mod signals;
mod thrift;
mod try_out;
mod upkeep;
mod wall_clock;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, info, warn};

pub use failure::Failure;
pub use try_out::{SECRET_FILE, try_out};

use crate::config::{self, CertificateFiles, Config, Finding, Keys, Report, Scope, Severity, translate};
use crate::engine::{
    self, Clock, Engine, EngineConfig, Listening, PassThrough, Stopped, StreamListening, SystemEntropy, Tls,
};
use crate::policy::audit::{AuditHandle, AuditSettings, AuditSink, DEFAULT_QUEUE, Origin, Tick, Trouble};
use crate::policy::auth::Authenticator;
use crate::policy::limit::user::AllocationsByUser;
use crate::policy::peer::PeerPolicy;
use crate::policy::{LivePolicy, RelayPolicy};
use crate::relay::seam::{Entropy, EventSink};
use crate::relay::{Event, NonceKey, Server};
use crate::telemetry;
use certificates::LiveCertificates;
use host::Host;
use pass_through::{Backend, PassingOn};
use pulse::Pulse;
use refusals::{RefusalHandle, RefusalLog};
use report::Traffic;
use signals::{Signals, Told};
use upkeep::Upkeep;
use wall_clock::WallClock;

/// What is to be run: a configuration without errors, and what it names.
pub struct Plan {
    /// The configuration.
    pub config: Config,
    /// What credentials are judged by.
    pub keys: Keys,
    /// Where the audit trail goes; none if it is switched off.
    pub audit: Option<PathBuf>,
    /// What TLS clients are offered; none where nobody listens for them.
    pub tls: Option<Tls>,
    /// Where the certificates for it are.
    pub certificates: Vec<CertificateFiles>,
    /// What the check says beside errors.
    pub findings: Vec<Finding>,
    /// It ends with the terminal that it was started from.
    pub is_attended: bool,
}

impl Plan {
    /// Reads and checks the configuration at `file`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_file(file: &Path) -> Result<Self, Report> {
        let loaded = config::load(file)?;
        let report = config::check(&loaded, Scope::Host, Clock::start().now().unix_secs());
        if report.has_errors() {
            return Err(report.only(Severity::Error));
        }
        let keys = loaded.keys().map_err(|findings| Report::of(file, findings))?;
        let tls = loaded.tls(Clock::start().now().unix_secs()).map_err(|findings| Report::of(file, findings))?;
        let certificates = loaded.certificate_files();
        let audit = loaded.config.audit.enabled.then(|| loaded.resolve(&loaded.config.audit.path));
        let findings = report.findings().to_vec();
        Ok(Self { audit, keys, tls, certificates, findings, config: loaded.config, is_attended: false })
    }
}

/// A relay that is up.
pub struct Ready<'a> {
    /// What clients can reach.
    pub listening: &'a [Listening],
    /// The same by TCP.
    pub stream_listening: &'a [StreamListening],
    /// Who may use it.
    pub authenticator: &'a Authenticator,
}

/// How long workers have to close their allocations.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Runs the relay until it is told to stop. `ready` is called once it listens.
///
/// # Errors
/// Why it does not start, or did not end as it should. The log was not told.
pub fn run(plan: Plan, ready: impl FnOnce(Ready<'_>)) -> Result<(), Failure> {
    telemetry::start(&plan.config.log).map_err(Failure::Telemetry)?;
    prepare_process(&plan);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let within = runtime.enter();
    // From here on, so that nothing is missed while the rest starts: a signal that comes too early ends the relay as a
    // later one does.
    let (signals, host) = (Signals::listen(plan.is_attended).map_err(Failure::Runtime)?, Host::watch());
    let mut running = Running::start(plan)?;
    let pulse = Pulse::new(running.engine.news().clone()).map_err(Failure::Runtime)?;
    let watched = runtime.block_on(running.watch((signals, host, pulse), ready));
    drop(within);
    let ended = running.stop();
    watched.and(ended)
}

/// What is done to the process as a whole; nothing of it is worth not starting.
fn prepare_process(plan: &Plan) {
    for finding in &plan.findings {
        let Finding { severity, key, sentence, .. } = finding;
        match severity {
            Severity::Note => info!("{key}: {sentence}"),
            Severity::Warning | Severity::Error => warn!("{key}: {sentence}"),
        }
    }
    engine::keep_little_memory();
    if let Err(error) = engine::forbid_dumps() {
        warn!("core dumps cannot be forbidden ({error}): one would show secrets and traffic");
    }
    // A socket for each relayed port, and as many again in reserve for listeners, files and restarts.
    let relay = &plan.config.relay;
    let families = u64::try_from(relay.addresses.len()).unwrap_or(u64::MAX);
    let wanted = u64::from(relay.ports.count()).saturating_mul(families).saturating_mul(2);
    match engine::raise_descriptor_limit() {
        Ok(limit) if limit < wanted => warn!(
            limit,
            wanted,
            "too few open files are allowed for all relayed ports: set LimitNOFILE={wanted} in the unit, or ulimit -n"
        ),
        Ok(limit) => debug!(limit, "open files allowed"),
        Err(error) => warn!("the limit on open files cannot be raised: {error}"),
    }
}

/// A relay that runs.
struct Running {
    engine: Engine,
    workers: usize,
    policy: Arc<LivePolicy>,
    config: Config,
    certificates: Option<LiveCertificates>,
    own_addresses: Vec<IpAddr>,
    audit: Option<AuditSink>,
    refusals: RefusalLog,
    /// Passes on what is not ours, if anything is.
    passing_on: Option<PassingOn>,
    clock: Clock,
}

impl Running {
    fn start(plan: Plan) -> Result<Self, Failure> {
        let Plan { config, keys, audit, tls, certificates, .. } = plan;
        let mut entropy = SystemEntropy::new().ok_or(Failure::Entropy)?;
        let own_addresses = own_addresses().map_err(Failure::Interfaces)?;
        let policy = Arc::new(LivePolicy::new(policy(&config, keys, &own_addresses)?));
        let clock = Clock::start();
        let audit = audit.map(|path| start_audit(path, &config, &mut entropy, clock)).transpose()?;
        let refusals = RefusalLog::start().map_err(Failure::Thread)?;

        let mut nonce_key = [0; 32];
        entropy.fill(&mut nonce_key);
        let settings = translate::relay_settings(&config, NonceKey::new(nonce_key));
        let for_server = policy.clone();
        let server = move |_| Server::new(settings.clone(), for_server.clone(), entropy.clone());
        let tee = Tee { audit: audit.as_ref().map(AuditSink::handle), refusals: refusals.handle() };
        let live = tls.clone().map(|tls| LiveCertificates::new(tls, certificates, clock.now().unix_secs()));
        let certificates = live.transpose().map_err(Failure::Certificate)?;
        let (passing_on, pass_through) = start_passing_on(&config).map_err(Failure::Thread)?.unzip();
        let engine_config = EngineConfig { tls, pass_through, ..translate::engine_config(&config) };
        let engine = Engine::start(&engine_config, clock, server, move |_| tee.clone());
        let engine = match engine {
            Ok(engine) => engine,
            Err(error) => {
                // The trail says that this run ended; that it could not even do so is the smaller trouble.
                let _ = audit.map(|audit| audit.stop(clock.now()));
                return Err(Failure::Engine(error));
            }
        };
        let workers = engine.running();
        Ok(Self { engine, workers, policy, config, certificates, own_addresses, audit, refusals, passing_on, clock })
    }

    /// Reports that all is up, and waits until a signal ends it or it ends by itself.
    async fn watch(
        &mut self,
        (mut signals, mut host, mut pulse): (Signals, Host, Pulse),
        ready: impl FnOnce(Ready<'_>),
    ) -> Result<(), Failure> {
        host.watch_files(self.certificates.iter().flat_map(LiveCertificates::files));
        self.report();
        ready(Ready {
            listening: self.engine.listening(),
            stream_listening: self.engine.stream_listening(),
            authenticator: &self.policy.current().authenticator,
        });
        let (mut upkeep, mut wall_clock) = (Upkeep::default(), WallClock::new(self.clock.now()));
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Told::Stop(name) => {
                        info!("{name}: stopping");
                        return Ok(());
                    }
                    Told::Look(name) => {
                        warn!(
                            "{name}: looking at the certificates, and whether the audit file was moved away; the \
                             configuration is read at the start only, restart for a new one"
                        );
                        self.tick_audit(0);
                        self.follow_certificates();
                    }
                },
                () = host.files_changed() => self.follow_certificates(),
                () = host.addresses_changed() => self.follow_addresses(),
                () = host.clock_was_set() => self.follow_clock(&mut wall_clock),
                () = pulse.beat() => {
                    if self.engine.running() < self.workers {
                        return Err(Failure::WorkerDied);
                    }
                    pulse.go_on(self.look_after(&mut upkeep));
                }
            }
        }
    }

    /// Does what is due while anything goes on. Returns whether it does.
    fn look_after(&self, upkeep: &mut Upkeep) -> bool {
        let rate = &self.policy.current().allocation_rate;
        rate.forget_rested(self.clock.now().instant);
        let reserved = self.engine.release_reserved();
        upkeep.is_busy(self.engine.counters()) || rate.users() > 0 || reserved > 0
    }

    /// The trail tells of a jump.
    fn follow_clock(&self, wall_clock: &mut WallClock) {
        match wall_clock.step(self.clock.now()) {
            0 => {}
            step => self.tick_audit(step),
        }
    }

    /// New certificates are shown from now on.
    fn follow_certificates(&mut self) {
        let now = self.clock.now().unix_secs();
        self.certificates.iter_mut().for_each(|certificates| certificates.reload(now));
    }

    fn tick_audit(&self, clock_step_millis: i64) {
        let tick = Tick { at: self.clock.now(), clock_step_millis };
        self.audit.iter().for_each(|audit| audit.tick(tick));
    }

    /// What this host has gained is closed to clients at once, as what it had from the start is. Permissions
    /// that stand are not judged again: they end within five minutes unless the peer may still be reached.
    fn follow_addresses(&mut self) {
        let now = match own_addresses() {
            Ok(now) if now != self.own_addresses => now,
            _ => return,
        };
        let current = self.policy.current();
        match PeerPolicy::new(&translate::peer_settings(&self.config, &now)) {
            Ok(peers) => self.policy.replace(RelayPolicy {
                authenticator: current.authenticator.clone(),
                peers,
                allocations: current.allocations.clone(),
                allocation_rate: current.allocation_rate.clone(),
                drain: current.drain.clone(),
                max_allocations_per_user: current.max_allocations_per_user,
            }),
            // The rules were good at the start, and addresses of our own make none of them bad.
            Err(bad) => return error!("the addresses of this host have changed, and the peer rules with them: {bad}"),
        }
        info!(addresses = ?now, "the addresses of this host have changed; none of them is a peer");
        self.own_addresses = now;
    }

    fn report(&self) {
        report::listening(self.engine.listening(), self.engine.stream_listening());
        report::relaying(&self.config, &self.engine);
        report::passing_on(&self.config);
        let version = env!("CARGO_PKG_VERSION");
        info!(version, workers = self.workers, "ready");
    }

    /// Closes every allocation and completes the audit trail.
    fn stop(self) -> Result<(), Failure> {
        let Stopped { counters, late } = self.engine.stop(STOP_WITHIN);
        if late > 0 {
            error!("{late} workers did not stop in time: the last records of their allocations are missing");
        }
        self.passing_on.into_iter().for_each(PassingOn::stop);
        self.refusals.stop();
        if let Some(audit) = self.audit {
            audit.stop(self.clock.now()).map_err(Failure::AuditEnd)?;
        }
        report::relayed(&Traffic::of(&counters), "stopped");
        if late > 0 { Err(Failure::LateWorkers(late)) } else { Ok(()) }
    }
}

/// The addresses of all interfaces, each once and in order.
fn own_addresses() -> std::io::Result<Vec<IpAddr>> {
    let mut addresses = engine::local_addresses()?;
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

fn policy(config: &Config, keys: Keys, own_addresses: &[IpAddr]) -> Result<RelayPolicy, Failure> {
    Ok(RelayPolicy {
        authenticator: Arc::new(translate::authenticator(config, keys)),
        peers: PeerPolicy::new(&translate::peer_settings(config, own_addresses)).map_err(Failure::Peers)?,
        allocations: AllocationsByUser::default(),
        allocation_rate: translate::allocation_rate(config),
        drain: translate::drain(config),
        max_allocations_per_user: config.limits.allocations_per_user.get(),
    })
}

/// Whoever takes what is not ours, and what the engine is told of it; none where everything is.
fn start_passing_on(config: &Config) -> std::io::Result<Option<(PassingOn, PassThrough)>> {
    let all = &config.pass_through;
    if all.is_empty() {
        return Ok(None);
    }
    let backends = all.iter().map(|pass| Backend { to: pass.to.get(), proxy_header: pass.proxy_header }).collect();
    let idle = config.streams.passed_through_idle_timeout.get();
    let (passing_on, hand_over) = PassingOn::start(backends, idle)?;
    Ok(Some((passing_on, PassThrough { ways: translate::ways(config), hand_over })))
}

fn start_audit(
    path: PathBuf,
    config: &Config,
    entropy: &mut SystemEntropy,
    clock: Clock,
) -> Result<AuditSink, Failure> {
    let mut boot_id = [0; 16];
    entropy.fill(&mut boot_id);
    let host = engine::host_name().unwrap_or_else(|_| "unknown".to_owned());
    let origin =
        Origin { node: translate::node_name(config, &host), boot_id: format!("{:032x}", u128::from_be_bytes(boot_id)) };
    let settings = AuditSettings { path, origin, queue: DEFAULT_QUEUE };
    AuditSink::start(&settings, clock.now(), log_trouble).map_err(Failure::Audit)
}

fn log_trouble(trouble: Trouble) {
    match trouble {
        Trouble::WriteFailed(why) => error!("the audit file takes no more records: {why}"),
        Trouble::Recovered => warn!("the audit file takes records again"),
        Trouble::Moved { was_deleted: false } => info!("the audit file was moved away: records go to a new one"),
        Trouble::Moved { was_deleted: true } => {
            error!("the audit file was deleted, and its records with it: records go to a new one");
        }
        Trouble::Astray(why) => {
            error!(
                "the audit file was moved away or deleted, and records still go to the old one, wherever it is: {why}"
            );
        }
        Trouble::Lost { count } => error!(count, "audit events were lost: the file could not be written fast enough"),
    }
}

/// Hands every event to the audit trail, and to the log what an admin should see.
#[derive(Clone)]
struct Tee {
    audit: Option<AuditHandle>,
    refusals: RefusalHandle,
}

impl EventSink for Tee {
    fn record(&mut self, event: Event) {
        self.refusals.see(&event);
        if let Some(audit) = &mut self.audit {
            audit.record(event);
        }
    }
}
