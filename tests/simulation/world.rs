//! A run: the server, the network, all who live there, and the clock.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use turnkeep::engine::Rest;
use turnkeep::engine::sim::{
    Impairment, Nat, Network, Node, Opening, Output, Random, RelayAddresses, Schedule, TraceHash,
};
use turnkeep::relay::{ClientAddr, Family, Instant, ListenerId, Now, Path, Server, ServerAddr, Settings, Transport};

use crate::actor::{Act, Actor, Around, Board, Phase};
use crate::caller::Caller;
use crate::ledger::{Ledger, Stats};
use crate::mark::Partner;
use crate::peer::{Peer, Stranger};
use crate::plan::{Fault, Plan, SocketPlan, VillainPlan};
use crate::policy::SharedPolicy;
use crate::sans_io::{EPOCH, SERVER, SERVER_V6, settings};
use crate::speech::Identity;
use crate::villain::{Forger, Insider, Replayer};

const FIRST_PORT: u16 = 50_000;
/// What the kernel keeps for a server that does not read.
const SOCKET_QUEUE: usize = 256;
/// A run that has not ended by then never will.
const MOST_STEPS: u64 = 2_000_000;
/// Bounds the share of the one who has credentials and means ill.
const INSIDER: (&str, usize) = ("carol", 3);

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) trace: u64,
    pub(crate) steps: u64,
    pub(crate) stats: Stats,
    pub(crate) echoes: u64,
    /// Words without an echo, to partners who had answered before.
    pub(crate) lost_words: u64,
    /// Datagrams that a server which did not run left in its full queue.
    pub(crate) overflowed: u64,
}

enum Event {
    Arrive { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    Wake { actor: usize, word: u64 },
    Open(Opening),
    Deadline,
    Resume,
    Fault(Fault),
    Phase(Phase),
}

struct World {
    plan: Plan,
    settings: Settings,
    policy: SharedPolicy,
    node: Node<SharedPolicy, Random>,
    network: Network,
    schedule: Schedule<Event>,
    now: Instant,
    wall_offset_secs: i64,
    actors: Vec<Resident>,
    /// Who has an address; behind a NAT, the inner one.
    whose: BTreeMap<IpAddr, usize>,
    nats: Vec<Nat>,
    board: Board,
    ledger: Ledger,
    /// Of IPv4 and of IPv6.
    listeners: [SocketAddr; 2],
    relay_ips: [IpAddr; 2],
    sockets: SocketPlan,
    faults: Random,
    deadline: Option<Instant>,
    stalled_until: Option<Instant>,
    backlog: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    overflowed: u64,
    crashes: u64,
    trace: TraceHash,
    steps: u64,
    verbose: bool,
}

struct Resident {
    actor: Box<dyn Actor>,
    random: Random,
    nat: Option<usize>,
}

/// Runs a plan to its end, and holds every promise over it.
pub(crate) fn run(plan: Plan, verbose: bool) -> Report {
    let mut world = World::new(plan, verbose);
    world.populate();
    world.live();
    world.report()
}

impl World {
    fn new(plan: Plan, verbose: bool) -> Self {
        let seed = plan.seed;
        let settings =
            Settings { offer_sha256: plan.offer_sha256, strict_permissions: plan.strict_permissions, ..settings() };
        let policy = SharedPolicy::new(INSIDER);
        let server = Server::new(settings.clone(), policy.clone(), seed.stream("core"));
        let relay_ips = [Ipv4Addr::new(198, 51, 100, 1).into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()];
        let addresses =
            RelayAddresses { ips: relay_ips, ports: FIRST_PORT..=FIRST_PORT + plan.ports - 1, rest: Rest::default() };
        let listeners = [SERVER, SERVER_V6].map(|address| address.parse().unwrap());
        Self {
            ledger: Ledger::new(&settings, policy.clone()),
            node: Node::new(server, listeners.map(ServerAddr).to_vec(), addresses, seed.stream("ports")),
            network: Network::new(plan.impairment, seed.stream("network")),
            schedule: Schedule::default(),
            // The clock of a machine that has been up for a while.
            now: Instant::from_nanos(seed.stream("clock").within(1..=1 << 50)),
            wall_offset_secs: 0,
            actors: Vec::new(),
            whose: BTreeMap::new(),
            nats: Vec::new(),
            board: Board::default(),
            listeners,
            relay_ips,
            sockets: plan.sockets,
            faults: seed.stream("sockets"),
            deadline: None,
            stalled_until: None,
            backlog: VecDeque::new(),
            overflowed: 0,
            crashes: 0,
            trace: TraceHash::default(),
            steps: 0,
            settings,
            policy,
            plan,
            verbose,
        }
    }

    /// Both clocks: the wall's can be set, the monotonic one never.
    fn now(&self) -> Now {
        let millis = EPOCH * 1000 + self.now.as_nanos() / 1_000_000;
        Now { instant: self.now, unix_millis: millis.saturating_add_signed(self.wall_offset_secs * 1000) }
    }

    fn populate(&mut self) {
        let start = self.now;
        let peers: Vec<[SocketAddr; 2]> = (0..self.plan.peers).map(peer_addresses).collect();
        for number in 0..self.plan.peers {
            let actor = self.settle(Box::new(Peer { number }), None, "peer");
            for address in peers[usize::from(number)] {
                self.whose.insert(address.ip(), actor);
            }
        }
        for (number, caller) in (0..).zip(self.plan.callers.clone()) {
            let partner = u16::try_from(usize::from(number) % peers.len()).unwrap();
            let address = peers[usize::from(partner)][usize::from(caller.style.family - 1)];
            let mut partners = vec![(Partner::Peer(partner), Some(address))];
            if caller.style.both {
                partners.push((Partner::Peer(partner), Some(peers[usize::from(partner)][1])));
            }
            partners.extend(caller.pair.map(|pair| (Partner::Caller(pair), None)));
            let home = caller_address(number, caller.v6, caller.nat.is_some());
            let server = if caller.v6 { SERVER_V6 } else { SERVER }.parse().unwrap();
            let nat = caller.nat.map(|(mapping, filtering)| {
                let public = Ipv4Addr::new(203, 0, 113, 100 + u8::try_from(number).unwrap());
                let timeout = Duration::from_secs(130);
                let mut random = self.plan.seed.stream(&format!("nat {number}"));
                self.nats.push(Nat::new(public.into(), mapping, filtering, timeout, &mut random));
                self.nats.len() - 1
            });
            // A credential of one's own for each, of two people.
            let user = format!("{number}:{}", if number % 2 == 0 { "alice" } else { "bob" });
            let actor = Caller::new(number, &user, caller.style, home, server, &partners);
            let actor = self.settle(Box::new(actor), nat, &format!("caller {number}"));
            self.whose.insert(home.ip(), actor);
            self.schedule.put(start.after(caller.begins), Event::Wake { actor, word: Caller::BEGIN });
        }
        for (number, villain) in (0..).zip(self.plan.villains.clone()) {
            self.settle_villain(number, villain, &peers);
        }
        for (at, fault) in self.plan.faults.clone() {
            self.schedule.put(start.after(at), Event::Fault(fault));
        }
        let (storm, calm) = (self.plan.storm, self.plan.calm);
        self.schedule.put(start.after(storm), Event::Phase(Phase::Calm));
        self.schedule.put(start.after(storm + calm), Event::Phase(Phase::Leaving));
    }

    fn settle(&mut self, actor: Box<dyn Actor>, nat: Option<usize>, name: &str) -> usize {
        self.actors.push(Resident { actor, random: self.plan.seed.stream(name), nat });
        self.actors.len() - 1
    }

    fn settle_villain(&mut self, number: u8, villain: VillainPlan, peers: &[[SocketAddr; 2]]) {
        let every =
            self.plan.seed.stream(&format!("every {number}")).time(Duration::from_millis(500), Duration::from_secs(10));
        let server: SocketAddr = SERVER.parse().unwrap();
        let home = SocketAddr::from(([192, 0, 2, 200 + number], 6000));
        // Two that nobody may reach, and one of which only high ports.
        let forbidden = ["10.66.0.1:5000", "[2001:db8:66::1]:5000", "10.67.0.1:5000"].map(|peer| peer.parse().unwrap());
        let peers = peers.iter().flatten().copied().chain(forbidden).chain([server, home]).collect();
        let actor: Box<dyn Actor> = match villain {
            VillainPlan::Stranger => {
                let first = SocketAddr::from(([198, 51, 100, 1], FIRST_PORT));
                Box::new(Stranger { address: home, first, ports: self.plan.ports, every })
            }
            VillainPlan::Forger => Box::new(Forger { server, peers, every }),
            VillainPlan::Replayer => Box::new(Replayer { home, server, every }),
            VillainPlan::Insider => {
                let homes: Vec<_> = (0..4).map(|port| SocketAddr::new(home.ip(), 6000 + port)).collect();
                let mut identity = Identity::of(&format!("{number}:{}", INSIDER.0));
                identity.modern = self.plan.offer_sha256;
                let nonces = vec![Vec::new(); homes.len()];
                Box::new(Insider { homes, server, identity, peers, every, nonces })
            }
        };
        let actor = self.settle(actor, None, &format!("villain {number}"));
        self.whose.insert(home.ip(), actor);
        self.schedule.put(self.now, Event::Wake { actor, word: 0 });
    }

    fn live(&mut self) {
        while let Some((at, event)) = self.schedule.take() {
            assert!(at >= self.now, "time goes one way");
            self.now = at;
            self.steps += 1;
            assert!(self.steps < MOST_STEPS, "it does not end");
            self.happen(event);
            if self.steps.is_multiple_of(256) {
                self.take_stock();
            }
        }
        self.take_stock();
    }

    fn happen(&mut self, event: Event) {
        self.note(&event);
        match event {
            Event::Arrive { from, to, bytes } => self.arrive(from, to, bytes),
            Event::Wake { actor, word } => self.with_actor(actor, |actor, around| actor.wake(around, word)),
            Event::Open(opening) => self.open(opening),
            Event::Deadline => {
                self.deadline = None;
                if self.stalled_until.is_none() {
                    let outputs = self.node.on_deadline(self.now());
                    self.carry_out(outputs);
                }
            }
            Event::Resume => self.resume(),
            Event::Fault(fault) => self.fault(fault),
            Event::Phase(phase) => self.enter(phase),
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if self.is_server(to.ip()) {
            return self.reach_server(from, to, bytes);
        }
        let mut to = to;
        if let Some(nat) = self.nats.iter_mut().find(|nat| nat.public() == to.ip()) {
            let Some(inside) = nat.inward(self.now, from, to.port()) else { return };
            to = inside;
        }
        if let Some(actor) = self.whose.get(&to.ip()).copied() {
            self.with_actor(actor, |actor, around| actor.hear(around, from, to, &bytes));
        }
    }

    fn is_server(&self, ip: IpAddr) -> bool {
        self.relay_ips.contains(&ip) || self.listeners.iter().any(|listener| listener.ip() == ip)
    }

    fn reach_server(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if self.stalled_until.is_some() {
            if self.backlog.len() < SOCKET_QUEUE {
                self.backlog.push_back((from, to, bytes));
            } else {
                self.overflowed += 1;
            }
            return;
        }
        if self.listeners.contains(&to) {
            let listener = ListenerId(u16::from(to.is_ipv6()));
            let (client, server) = (ClientAddr(from), ServerAddr(to));
            self.ledger.client_says(Path { client, server, transport: Transport::Udp, listener }, &bytes);
            self.overhear(&bytes);
        }
        let outputs = self.node.on_datagram(self.now(), from, to, &bytes);
        self.carry_out(outputs);
    }

    /// The last few things that clients sent.
    fn overhear(&mut self, bytes: &[u8]) {
        if self.board.overheard.len() >= 32 {
            self.board.overheard.remove(0);
        }
        self.board.overheard.push(bytes.to_vec());
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        let mut outputs = VecDeque::from(outputs);
        while let Some(output) = outputs.pop_front() {
            self.note_output(&output);
            self.ledger.output(self.now, &output);
            match output {
                Output::ToClient { path, bytes, .. } => self.send(path.server.0, path.client.0, bytes),
                Output::ToPeer { from, peer, bytes, .. } => self.send(from.0, peer.0, bytes),
                Output::Open(opening) => self.plan_opening(opening),
                Output::Audit(_) | Output::Close(_) | Output::Dropped(_) => {}
            }
        }
        self.board.tuples.clear();
        self.board.tuples.extend(self.ledger.tuples());
        if let Some(due) = self.node.next_deadline()
            && self.deadline.is_none_or(|planned| due < planned)
        {
            let due = due.max(self.now);
            self.deadline = Some(due);
            self.schedule.put(due, Event::Deadline);
        }
    }

    /// A relay socket is opened soon, later or not at all.
    fn plan_opening(&mut self, opening: Opening) {
        let SocketPlan { late, late_by, .. } = self.sockets;
        let wait = if self.faults.chance(late) { self.faults.time(Duration::ZERO, late_by) } else { Duration::ZERO };
        self.schedule.put(self.now.after(wait), Event::Open(opening));
    }

    fn open(&mut self, opening: Opening) {
        let now = self.now();
        let outputs = if self.faults.chance(self.sockets.fail) {
            self.node.refuse_relay(now, &opening, SocketPlan::failure(&mut self.faults))
        } else {
            self.node.open_relay(now, opening)
        };
        self.carry_out(outputs);
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        for at in self.network.carry(self.now, from, to, bytes.len()).0.into_iter().flatten() {
            self.schedule.put(at, Event::Arrive { from, to, bytes: bytes.clone() });
        }
    }

    fn with_actor(&mut self, index: usize, act: impl FnOnce(&mut dyn Actor, &mut Around<'_>)) {
        let resident = &mut self.actors[index];
        let mut around =
            Around { now: self.now, random: &mut resident.random, board: &mut self.board, acts: Vec::new() };
        act(&mut *resident.actor, &mut around);
        let (acts, nat) = (around.acts, resident.nat);
        for act in acts {
            match act {
                Act::Send { from, to, bytes } => {
                    let from = nat.map_or(from, |nat| self.nats[nat].outward(self.now, from, to));
                    self.send(from, to, bytes);
                }
                Act::Forge { from, to, bytes } => self.send(from, to, bytes),
                Act::Wake { at, word } => self.schedule.put(at, Event::Wake { actor: index, word }),
            }
        }
    }

    fn fault(&mut self, fault: Fault) {
        if self.board.phase > Phase::Storm {
            return;
        }
        match fault {
            Fault::Cut { caller, outward, lasts } => {
                let plan = &self.plan.callers[usize::from(caller)];
                let home = caller_address(caller, plan.v6, plan.nat.is_some()).ip();
                let outside = self.nat_of(caller).map_or(home, |nat| self.nats[nat].public());
                let server = if plan.v6 { SERVER_V6 } else { SERVER }.parse::<SocketAddr>().unwrap().ip();
                let (from, to) = if outward { (outside, server) } else { (server, outside) };
                self.network.cut(from, to, self.now.after(lasts));
            }
            Fault::Rebind { caller } => {
                if let Some(nat) = self.nat_of(caller) {
                    self.nats[nat].rebind();
                }
            }
            Fault::WallClock { seconds } => self.wall_offset_secs += seconds,
            Fault::Stall { lasts } => {
                let until = self.now.after(lasts);
                if self.stalled_until.is_none() {
                    self.stalled_until = Some(until);
                    self.schedule.put(until, Event::Resume);
                }
            }
            Fault::Crash => self.crash(),
        }
    }

    fn nat_of(&self, caller: u16) -> Option<usize> {
        self.actors[usize::from(self.plan.peers + caller)].nat
    }

    /// The server runs again, and finds what has queued up.
    fn resume(&mut self) {
        self.stalled_until = None;
        for (from, to, bytes) in std::mem::take(&mut self.backlog) {
            self.reach_server(from, to, bytes);
        }
        let outputs = self.node.on_deadline(self.now());
        self.carry_out(outputs);
    }

    fn crash(&mut self) {
        self.crashes += 1;
        let entropy = self.plan.seed.stream(&format!("core {}", self.crashes));
        let server = Server::new(self.settings.clone(), self.policy.clone(), entropy);
        self.node.crash(self.now(), server);
        self.ledger.crashed();
        // What the old process was about to do.
        self.forget_openings();
    }

    /// Sockets that the old process was opening are nobody's.
    fn forget_openings(&mut self) {
        let mut kept = Schedule::default();
        while let Some((at, event)) = self.schedule.take() {
            if !matches!(event, Event::Open(_)) {
                kept.put(at, event);
            }
        }
        self.schedule = kept;
    }

    fn enter(&mut self, phase: Phase) {
        self.board.phase = phase;
        match phase {
            Phase::Storm => {}
            Phase::Calm => {
                self.network.heal();
                self.network.impairment.latency = self.network.impairment.latency.min(Impairment::NONE.latency);
                self.sockets = SocketPlan { fail: 0, late: 0, late_by: Duration::ZERO };
                if self.stalled_until.is_some() {
                    self.resume();
                }
            }
            Phase::Leaving => {
                let now = self.now;
                let complaints: Vec<_> = self.actors.iter().filter_map(|one| one.actor.complaint(now)).collect();
                assert!(complaints.is_empty(), "P8: not well after the calm: {complaints:?}");
            }
        }
    }

    /// Holds counters and tables against what was seen.
    fn take_stock(&mut self) {
        let (sockets, server) = (self.node.open().count(), self.node.server());
        self.ledger.balance(server.counters(), self.node.heard(), sockets, server.allocations());
        let now = self.now();
        let mut used = 0;
        for family in [Family::V4, Family::V6] {
            let usage = self.node.ports(family, now);
            assert_eq!(usage.used + usage.free + usage.resting, usize::from(self.plan.ports), "P6: {usage:?}");
            used += usage.used;
        }
        assert_eq!(used, sockets, "P6: a port for each socket");
    }

    fn report(&mut self) -> Report {
        let gone = self.actors.iter().all(|one| one.actor.is_gone());
        assert!(gone, "P6: everybody has left");
        self.ledger.close_books();
        let server = self.node.server();
        assert_eq!((server.allocations(), server.next_deadline()), (0, None), "P6: the core is empty");
        assert_eq!(self.node.open().count(), 0, "P6: no socket is left");
        assert_eq!(self.policy.held(), 0, "P6: nobody's share is held");
        let (trace, steps, stats) = (self.trace.value(), self.steps, self.ledger.stats);
        let Board { said, echoes, .. } = self.board;
        Report { trace, steps, stats, echoes, lost_words: said.saturating_sub(echoes), overflowed: self.overflowed }
    }

    fn note(&mut self, event: &Event) {
        self.trace.note(&self.now.as_nanos().to_be_bytes());
        if let Event::Arrive { bytes, .. } = event {
            self.trace.note(bytes);
        }
        self.tell(|| match event {
            Event::Arrive { from, to, bytes } => format!("{from} > {to}: {}", summary(bytes)),
            Event::Wake { actor, word } => format!("wake {actor} {word:#x}"),
            Event::Open(opening) => format!("open {opening:?}"),
            Event::Deadline => "deadline".into(),
            Event::Resume => "resume".into(),
            Event::Fault(fault) => format!("fault {fault:?}"),
            Event::Phase(phase) => format!("phase {phase:?}"),
        });
    }

    fn note_output(&mut self, output: &Output) {
        match output {
            Output::ToClient { bytes, .. } | Output::ToPeer { bytes, .. } => self.trace.note(bytes),
            other => self.trace.note(format!("{other:?}").as_bytes()),
        }
        self.tell(|| match output {
            Output::ToClient { path, bytes, .. } => format!("  to client {}: {}", path.client, summary(bytes)),
            Output::ToPeer { from, peer, bytes, .. } => format!("  {from} to peer {peer}: {}", summary(bytes)),
            other => format!("  {other:?}"),
        });
    }

    #[allow(clippy::print_stdout, reason = "a replay is read")]
    fn tell(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:>14.6} {}", self.now.as_nanos() as f64 / 1e9, what());
        }
    }
}

fn summary(bytes: &[u8]) -> String {
    let front: String = bytes.iter().take(24).map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes {front}", bytes.len())
}

/// IPv4 and IPv6.
fn peer_addresses(number: u16) -> [SocketAddr; 2] {
    let v4 = Ipv4Addr::new(192, 0, 2, 100 + u8::try_from(number).unwrap());
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 1 + number);
    [SocketAddr::new(v4.into(), 5000), SocketAddr::new(v6.into(), 5000)]
}

fn caller_address(number: u16, v6: bool, behind_nat: bool) -> SocketAddr {
    let small = u8::try_from(number).unwrap();
    let ip: IpAddr = match (v6, behind_nat) {
        (true, _) => Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 1 + number).into(),
        (false, true) => Ipv4Addr::new(10, 1, small, 2).into(),
        (false, false) => Ipv4Addr::new(203, 0, 113, 10 + small).into(),
    };
    SocketAddr::new(ip, 10_000)
}
