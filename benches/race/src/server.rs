//! The servers that race, each with the settings that it races with.

mod config;

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use self::config::{coturn_config, turn_server_config, turnkeep_config};
use crate::case::{Case, Group, Kind, Transport};

pub(crate) const USER: &str = "race";
pub(crate) const PASSWORD: &str = "race-password";
pub(crate) const REALM: &str = "race.example";

/// Where clients come in.
const LISTEN_IP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// Where relayed addresses live: an address of their own, so that they and the load generator's sockets stay out of
/// each other's way.
const RELAY_IP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Of relayed addresses, for those that can be told.
const RELAY_PORTS: (u16, u16) = (10_000, 65_535);

/// Someone who races.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// What `--servers` selects and records name.
    pub(crate) name: String,
    pub(crate) kind: ServerKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerKind {
    /// This build of turnkeep, or another.
    Turnkeep {
        program: PathBuf,
        workers: usize,
    },
    Coturn {
        threads: usize,
    },
    TurnCrate,
    Pion,
    TurnServer,
    /// The floor: race-forwarder with these arguments.
    Forwarder(&'static [&'static str]),
}

/// What the servers are started from.
pub(crate) struct Programs {
    pub(crate) turnkeep: PathBuf,
    /// The load generator: a turnkeep as well, the same for every server.
    pub(crate) generator: PathBuf,
    /// Where `race-forwarder`, `race-turn-crate`, `pion` and `turn-server` are.
    pub(crate) directory: PathBuf,
    /// Where servers may write: configuration, audit trail.
    pub(crate) scratch: PathBuf,
}

impl Server {
    /// Those that race unless others are asked for.
    pub(crate) fn field(programs: &Programs) -> Vec<Self> {
        let turnkeep = |workers| ServerKind::Turnkeep { program: programs.turnkeep.clone(), workers };
        [
            ("turnkeep", turnkeep(1)),
            ("turnkeep-two", turnkeep(2)),
            ("coturn", ServerKind::Coturn { threads: 1 }),
            ("coturn-single", ServerKind::Coturn { threads: 0 }),
            ("coturn-two", ServerKind::Coturn { threads: 2 }),
            ("turn-crate", ServerKind::TurnCrate),
            ("pion", ServerKind::Pion),
            ("turn-server", ServerKind::TurnServer),
            ("forwarder", ServerKind::Forwarder(&["batched", "150"])),
            ("forwarder-merged", ServerKind::Forwarder(&["merged", "150"])),
            ("forwarder-switch", ServerKind::Forwarder(&["batched", "150", "switch"])),
        ]
        .map(|(name, kind)| Self { name: name.into(), kind })
        .into()
    }

    /// Those that race only when they are named: the floor with other strategies.
    pub(crate) fn reserves() -> Vec<Self> {
        [
            ("forwarder-single", &["single"] as &[_]),
            ("forwarder-single-window", &["single", "150"]),
            ("forwarder-batched", &["batched"]),
            ("forwarder-merged-no-window", &["merged"]),
            ("forwarder-connected", &["connected", "150"]),
            ("forwarder-uring", &["uring", "150"]),
        ]
        .map(|(name, arguments)| Self { name: name.into(), kind: ServerKind::Forwarder(arguments) })
        .into()
    }

    /// Whether it can run the case, and has something to say there.
    pub(crate) fn runs(&self, case: &Case) -> bool {
        match self.kind {
            ServerKind::Turnkeep { workers: 1, .. } | ServerKind::Coturn { threads: 1 } => return true,
            // Whether the threads that it has beside the one for packets are to its disadvantage.
            ServerKind::Coturn { threads: 0 } => {
                return case.name.contains("-160-1000-") || case.group == Group::Cycles;
            }
            ServerKind::Turnkeep { .. } | ServerKind::Coturn { .. } => return case.group == Group::Workers,
            _ => {}
        }
        // The others are built here without streams, or have none.
        if case.group == Group::Workers || case.transport != Transport::Udp {
            return false;
        }
        let relays = matches!(case.kind, Kind::Rate(_) | Kind::Capacity(_));
        match &self.kind {
            // Its relayed addresses exist inside it alone: its clients get permissions for each other and nobody else.
            ServerKind::TurnServer => matches!(case.group, Group::Pair | Group::Idle),
            ServerKind::Forwarder(arguments) if arguments.contains(&"switch") => case.group == Group::Pair,
            ServerKind::Forwarder(arguments) if arguments.contains(&"merged") => case.group == Group::Bursts,
            ServerKind::Forwarder(_) => relays,
            _ => true,
        }
    }

    /// What it is, for the table of versions and settings.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            ServerKind::Turnkeep { workers: 1, .. } => "`workers = 1`, audit trail on (its default; the others keep \
                 none), `log.level = \"error\"`, ports rest for no time, limits out of the way"
                .into(),
            ServerKind::Turnkeep { workers, .. } => format!("the same with `workers = {workers}`"),
            ServerKind::Coturn { threads: 1 } => {
                "`-m 1` (one thread for packets), no transport but the case's, no log, no CLI, quotas 0; its socket \
                 buffers cannot be set"
                    .into()
            }
            ServerKind::Coturn { threads: 0 } => {
                "the same with `-m 0`, all in one thread: a control, whether `-m 1` is \
                 fair to it"
                    .into()
            }
            ServerKind::Coturn { threads } => format!("the same with `-m {threads}`"),
            ServerKind::TurnCrate => "Tokio's current-thread runtime, 4 MiB asked for the listener's buffer".into(),
            ServerKind::Pion => "GOMAXPROCS=1, 4 MiB asked for the listener's buffer, no log".into(),
            ServerKind::TurnServer => "`max-threads = 1`, UDP only, no log, no API; relays only between its own \
                 clients, through ports that exist inside it alone"
                .into(),
            ServerKind::Forwarder(arguments) => {
                let how = match arguments.first() {
                    Some(&"batched") => "recvmmsg and sendmmsg",
                    Some(&"connected") => "recvmmsg and sendmmsg, a connected socket for each peer",
                    Some(&"uring") => "io_uring, multishot receive, one system call a turn",
                    Some(&"merged") => "the same with UDP_GRO and UDP_SEGMENT",
                    _ => "recvfrom and sendto",
                };
                let window =
                    if arguments.contains(&"150") { ", gathering for 150 µs under load as turnkeep does" } else { "" };
                let switch = if arguments.contains(&"switch") { ", its own clients switched inside" } else { "" };
                format!("receives and sends, nothing else: {how}{window}{switch}")
            }
        }
    }

    /// The file that runs.
    pub(crate) fn program(&self, programs: &Programs) -> PathBuf {
        match &self.kind {
            ServerKind::Turnkeep { program, .. } => program.clone(),
            ServerKind::Coturn { .. } => find("turnserver").unwrap_or_else(|| "turnserver".into()),
            ServerKind::TurnCrate => programs.directory.join("race-turn-crate"),
            ServerKind::Pion => programs.directory.join("pion"),
            ServerKind::TurnServer => programs.directory.join("turn-server"),
            ServerKind::Forwarder(_) => programs.directory.join("race-forwarder"),
        }
    }

    /// Its place among all that can race: a build stands behind the turnkeep that it is compared with.
    pub(crate) fn rank(programs: &Programs, name: &str) -> usize {
        let all = Self::field(programs).into_iter().chain(Self::reserves()).position(|server| server.name == name);
        all.map_or(1, |place| 2 * place)
    }

    /// Starts it on `cpus` (as taskset takes them), and returns when it answers a Binding request.
    pub(crate) fn start(&self, programs: &Programs, cpus: &str, transport: Transport) -> io::Result<Running> {
        let port = free_port()?;
        let mut command = Command::new("taskset");
        command.args(["-c", cpus]).arg(self.program(programs));
        self.add_arguments(&mut command, programs, port, transport)?;
        let errors = programs.scratch.join("server.log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&errors)?);
        let mut running = Running { child: command.spawn()?, port, transport };
        match running.wait_until_ready() {
            Ok(()) => Ok(running),
            Err(error) => {
                let said = fs::read_to_string(errors).unwrap_or_default();
                let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
                Err(io::Error::new(error.kind(), format!("{} does not start: {error}; {last}", self.name)))
            }
        }
    }

    fn add_arguments(
        &self,
        command: &mut Command,
        programs: &Programs,
        port: u16,
        transport: Transport,
    ) -> io::Result<()> {
        let listen = format!("{LISTEN_IP}:{port}");
        let positional = [listen.clone(), RELAY_IP.to_string(), REALM.into(), USER.into(), PASSWORD.into()];
        match &self.kind {
            ServerKind::Turnkeep { workers, .. } => {
                let config = turnkeep_config(&programs.scratch, port, *workers, transport)?;
                command.arg("serve").arg("--config").arg(config);
            }
            ServerKind::Coturn { threads } => {
                let config = coturn_config(&programs.scratch, port, *threads, transport)?;
                command.arg("-c").arg(config);
            }
            ServerKind::TurnServer => {
                let config = turn_server_config(&programs.scratch, &listen)?;
                command.arg("--config").arg(config);
            }
            ServerKind::TurnCrate => {
                command.args(positional);
            }
            ServerKind::Pion => {
                command.args(positional).env("GOMAXPROCS", "1");
            }
            ServerKind::Forwarder(arguments) => {
                command.args(positional).args(*arguments);
            }
        }
        Ok(())
    }
}

/// A server that answers. Dropping it ends it.
pub(crate) struct Running {
    child: Child,
    port: u16,
    transport: Transport,
}

/// Where it speaks TLS, if it answers everything else at `port`.
fn tls_port(port: u16) -> u16 {
    port + 1
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> String {
        match self.transport {
            Transport::Udp | Transport::Tcp => format!("{LISTEN_IP}:{}", self.port),
            Transport::Tls(_) => format!("{LISTEN_IP}:{}", tls_port(self.port)),
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_died(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        // A Binding request (RFC 8489 §5) with a transaction id of no meaning.
        let request = b"\x00\x01\x00\x00\x21\x12\xa4\x42turnkeeprace";
        let socket = UdpSocket::bind((LISTEN_IP, 0))?;
        socket.connect((LISTEN_IP, self.port))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.has_died() {
                return Err(io::Error::other("it ended"));
            }
            // Until it listens, the kernel refuses.
            let _ = socket.send(request);
            match socket.recv(&mut [0; 1500]) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(_) => {}
            }
        }
        Err(io::Error::new(ErrorKind::TimedOut, "no answer within 10 s"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is ours, and has nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody has, outside the relayed ones and those that the system hands out by itself.
fn free_port() -> io::Result<u16> {
    (3478..RELAY_PORTS.0)
        .find(|port| {
            UdpSocket::bind((LISTEN_IP, *port)).is_ok()
                && [*port, tls_port(*port)].iter().all(|port| TcpListener::bind((LISTEN_IP, *port)).is_ok())
        })
        .ok_or_else(|| io::Error::new(ErrorKind::AddrInUse, "no free port"))
}

/// A program on the PATH, or where Debian keeps those of administrators.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/bin")])
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Programs {
        let [turnkeep, generator] = ["turnkeep"; 2].map(PathBuf::from);
        Programs { turnkeep, generator, directory: "tools".into(), scratch: "scratch".into() }
    }

    fn who_runs(case: &str) -> Vec<String> {
        let case = Case::select(&[case.into()]).unwrap().remove(0);
        Server::field(&programs()).into_iter().filter(|server| server.runs(&case)).map(|server| server.name).collect()
    }

    #[test]
    fn who_cannot_is_not_asked() {
        assert_eq!(who_runs("up-160-100-50k"), ["turnkeep", "coturn", "turn-crate", "pion", "forwarder"]);
        assert!(who_runs("pair").contains(&"turn-server".to_owned()));
        assert!(who_runs("pair").contains(&"forwarder-switch".to_owned()));
        assert!(who_runs("burst-up-merged").contains(&"forwarder-merged".to_owned()));
        assert_eq!(who_runs("tls-up"), ["turnkeep", "coturn"]);
        assert_eq!(who_runs("cycles"), ["turnkeep", "coturn", "coturn-single", "turn-crate", "pion"]);
        assert_eq!(who_runs("workers-up"), ["turnkeep", "turnkeep-two", "coturn", "coturn-two"]);
    }

    #[test]
    fn every_server_says_how_it_is_set() {
        let all = Server::field(&programs()).into_iter().chain(Server::reserves());
        assert!(all.into_iter().all(|server| !server.describe().is_empty()));
    }
}
