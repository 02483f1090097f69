//! The order of a probe: each URI, each of its addresses, each step.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::client::Client;
use super::link::Tally;
use super::login;
use super::report::{Path, Report, Section, Step, Summary, Target};
use super::resolve::resolve;
use super::settings::Settings;
use super::{echo, independent, negative, reach};
use crate::client::credential::Login;
use crate::client::uri::{Service, Uri};

/// What a probe tells while it is under way, in the order of the report.
#[derive(Debug)]
pub enum Event<'a> {
    /// A URI, whose addresses were looked up.
    Target(&'a Uri, &'a Step),
    /// One of its addresses.
    Path(&'a Uri, SocketAddr),
    /// A step is done.
    Step(Section, &'a Step),
}

/// Probes what `settings` say and tells `observer` how it goes.
pub fn run(settings: &Settings, observer: &mut dyn FnMut(&Event<'_>)) -> Report {
    let tally = Rc::new(Tally::default());
    let begun_unix = now_unix();
    let targets = settings.targets.iter().map(|uri| target(settings, uri, &tally, observer)).collect::<Vec<_>>();
    let mut summary = Summary { packets_sent: tally.packets(), bytes_sent: tally.bytes(), ..Summary::default() };
    for target in &targets {
        let steps = target.paths.iter().flat_map(|path| path.steps.iter().chain(&path.refusals));
        [&target.name].into_iter().chain(steps).for_each(|step| summary.count(step));
    }
    Report { turnkeep: env!("CARGO_PKG_VERSION"), begun_unix, targets, summary }
}

fn target(settings: &Settings, uri: &Uri, tally: &Rc<Tally>, observer: &mut dyn FnMut(&Event<'_>)) -> Target {
    let (name, addresses) = resolve(uri);
    observer(&Event::Target(uri, &name));
    let mut path = |server: SocketAddr| {
        observer(&Event::Path(uri, server));
        let scene = Scene { settings, uri, server, tally: tally.clone() };
        let mut log = Log { steps: Vec::new(), refusals: Vec::new(), observer };
        walk(&scene, &mut log);
        Path { address: server, transport: uri.transport, steps: log.steps, refusals: log.refusals }
    };
    let paths = addresses.into_iter().map(&mut path).collect();
    Target { uri: uri.clone(), name, paths }
}

/// One address: as far as it goes, then what must be refused.
fn walk(scene: &Scene<'_>, log: &mut Log<'_>) {
    let Some(mut client) = reach::reach(scene, log) else {
        return;
    };
    if scene.uri.service == Service::Stun {
        return;
    }
    let Some(mut allocation) = login::login(scene, log, &mut client) else {
        return negative::run(scene, log, &client, None);
    };
    allocation.client = Some(client);
    echo::relay(scene, log, &mut allocation);
    login::refresh(log, &mut allocation);
    login::release(log, &mut allocation);
    independent::walk(scene, log);
    if let Some(client) = &allocation.client {
        negative::run(scene, log, client, Some(&allocation));
    }
}

/// Where a walk takes place.
pub(super) struct Scene<'a> {
    pub(super) settings: &'a Settings,
    pub(super) uri: &'a Uri,
    pub(super) server: SocketAddr,
    pub(super) tally: Rc<Tally>,
}

impl Scene<'_> {
    /// Another client of the server, on a link of its own.
    pub(super) fn connect(&self) -> io::Result<Client> {
        Ok(Client::new(reach::open(self)?, self.settings.patience))
    }

    /// The login for a part of the probe; none without credentials.
    pub(super) fn login(&self, part: &str) -> Option<Login> {
        Some(self.settings.credentials.as_ref()?.login(&format!("probe-{part}"), now_unix()))
    }
}

/// Steps as they are done.
pub(super) struct Log<'a> {
    steps: Vec<Step>,
    refusals: Vec<Step>,
    observer: &'a mut dyn FnMut(&Event<'_>),
}

impl Log<'_> {
    /// Something that a client does.
    pub(super) fn step(&mut self, step: Step) {
        (self.observer)(&Event::Step(Section::Walk, &step));
        self.steps.push(step);
    }

    /// Something that a server must refuse.
    pub(super) fn refusal(&mut self, step: Step) {
        (self.observer)(&Event::Step(Section::Refusals, &step));
        self.refusals.push(step);
    }
}

/// The wall clock, in seconds since 1970.
pub(super) fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
