//! coturn's own client: each of its clients sends messages through the relay to a peer, which sends them back.
//! It asks for EVEN-PORT now and then, and picks channel numbers from all of RFC 5766's range, 0x4000 to 0x7FFF (§11).
//! Clients of more than one allocation and of both families: shapes.rs.

mod shapes;

use std::fmt;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::against_each_server;
use super::support::credential::{Credential, SECRET};
use super::support::program::{Program, find, say};
use super::support::server::{Make, Server, V4, V6, free_port};

against_each_server!(
    channels_v4,
    channels_v6,
    send_v4,
    send_v6,
    by_the_secret,
    wrong_password,
    nobody_echoes,
    tcp_channels_v4,
    tcp_channels_v6,
    tcp_send_v4,
    tcp_send_v6,
    tcp_wrong_password,
    tls_channels_v4,
    tls_channels_v6,
    tls_send_v4,
    tls_send_v6,
    a_hundred_clients_with_channels_v4;
    turnkeep only:
    a_hundred_clients_with_channels_v6,
    a_hundred_clients_with_send_v4,
    a_hundred_clients_with_send_v6,
    a_hundred_clients_with_channels_by_tcp_v4,
    a_hundred_clients_with_channels_by_tls_v4,
    tcp_on_the_tls_port,
);

/// The default is a small run, in seconds: every path, little load.
const SMALL: Run = Run {
    via: Via::Channels,
    by: By::Udp,
    ip: V4,
    clients: 4,
    messages: 50,
    login: Login::Minted,
    flags: ONE_ALLOCATION,
};
/// Without a second allocation for RTCP, which would need a reservation.
const ONE_ALLOCATION: &[&str] = &["-c"];
/// What a release must show.
const LARGE: Run = Run { clients: 100, messages: 1000, ..SMALL };

fn channels_v4(make: Make) {
    SMALL.loses_nothing(make);
}

fn channels_v6(make: Make) {
    Run { ip: V6, ..SMALL }.loses_nothing(make);
}

fn send_v4(make: Make) {
    Run { via: Via::Send, ..SMALL }.loses_nothing(make);
}

fn send_v6(make: Make) {
    Run { via: Via::Send, ip: V6, ..SMALL }.loses_nothing(make);
}

const TCP: Run = Run { by: By::Tcp, ..SMALL };

fn tcp_channels_v4(make: Make) {
    TCP.loses_nothing(make);
}

fn tcp_channels_v6(make: Make) {
    Run { ip: V6, ..TCP }.loses_nothing(make);
}

fn tcp_send_v4(make: Make) {
    Run { via: Via::Send, ..TCP }.loses_nothing(make);
}

fn tcp_send_v6(make: Make) {
    Run { via: Via::Send, ip: V6, ..TCP }.loses_nothing(make);
}

fn tcp_wrong_password(make: Make) {
    Run { login: Login::Forged, ..TCP }.gets_no_allocation(make);
}

const TLS: Run = Run { by: By::Tls, ..SMALL };

fn tls_channels_v4(make: Make) {
    TLS.loses_nothing(make);
}

fn tls_channels_v6(make: Make) {
    Run { ip: V6, ..TLS }.loses_nothing(make);
}

fn tls_send_v4(make: Make) {
    Run { via: Via::Send, ..TLS }.loses_nothing(make);
}

fn tls_send_v6(make: Make) {
    Run { via: Via::Send, ip: V6, ..TLS }.loses_nothing(make);
}

/// As libnice does wherever it is told that TLS is spoken.
fn tcp_on_the_tls_port(make: Make) {
    Run { by: By::TcpOnTlsPort, ..SMALL }.loses_nothing(make);
}

fn a_hundred_clients_with_channels_by_tls_v4(make: Make) {
    Run { by: By::Tls, ..LARGE }.loses_nothing(make);
}

fn a_hundred_clients_with_channels_by_tcp_v4(make: Make) {
    Run { by: By::Tcp, ..LARGE }.loses_nothing(make);
}

/// The client makes its own credentials: expiry a day ahead.
fn by_the_secret(make: Make) {
    Run { login: Login::Secret, ..SMALL }.loses_nothing(make);
}

fn a_hundred_clients_with_channels_v4(make: Make) {
    LARGE.loses_nothing(make);
}

fn a_hundred_clients_with_channels_v6(make: Make) {
    Run { ip: V6, ..LARGE }.loses_nothing(make);
}

fn a_hundred_clients_with_send_v4(make: Make) {
    Run { via: Via::Send, ..LARGE }.loses_nothing(make);
}

fn a_hundred_clients_with_send_v6(make: Make) {
    Run { via: Via::Send, ip: V6, ..LARGE }.loses_nothing(make);
}

/// That the client gets in with the right password means something only if it does not with a wrong one.
fn wrong_password(make: Make) {
    Run { login: Login::Forged, ..SMALL }.gets_no_allocation(make);
}

/// That nothing is lost means something only if the totals show when everything is.
fn nobody_echoes(make: Make) {
    let Some(result) = Run { messages: 5, ..SMALL }.start(make, false) else { return };
    let totals = result.expect("totals, even if all is lost");
    assert_eq!((totals.sent, totals.received), (20, 0));
}

/// How messages go through the relay.
#[derive(Clone, Copy, Debug)]
enum Via {
    Channels,
    Send,
}

/// How the client reaches the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Udp,
    Tcp,
    Tls,
    TcpOnTlsPort,
}

/// Where the client's credentials come from.
#[derive(Clone, Copy, Debug)]
enum Login {
    Minted,
    Secret,
    Forged,
}

/// One run of the client.
#[derive(Clone, Copy, Debug)]
struct Run {
    via: Via,
    by: By,
    ip: IpAddr,
    clients: u64,
    messages: u64,
    login: Login,
    /// What allocations it has: flags of the client.
    flags: &'static [&'static str],
}

impl Run {
    const MESSAGE_BYTES: u64 = 170;

    fn loses_nothing(self, make: Make) {
        // This client takes all that a record of TLS holds for one message, and loses the others. turnkeep gives each a
        // record of its own; coturn lets those share one that leave together (18 of 200 were lost, however slowly they
        // came), so none of its clients gets more than one.
        if (make, self.by, self.messages > 1) == (Make::Coturn, By::Tls, true) {
            return Self { clients: 20, messages: 1, ..self }.loses_nothing(make);
        }
        // Two of the large ones at a time overload the machine. (Between processes nextest.toml sees to it.)
        static LARGE_RUNS: Mutex<()> = Mutex::new(());
        let _one_at_a_time = (self.clients >= LARGE.clients).then(|| LARGE_RUNS.lock());
        let Some(result) = self.start(make, true) else { return };
        let totals = result.unwrap_or_else(|output| panic!("no totals in:\n{output}"));
        say(&format!("{make:?}, {self}: {totals}"));
        let all = self.clients * self.messages;
        let expected = Totals {
            sent: all,
            received: all,
            bytes_sent: all * Self::MESSAGE_BYTES,
            bytes_received: all * Self::MESSAGE_BYTES,
        };
        assert_eq!(totals, expected);
    }

    fn gets_no_allocation(self, make: Make) {
        let Some(result) = self.start(make, true) else { return };
        let error = result.expect_err("no allocation with a forged password");
        assert!(error.contains("Cannot complete Allocation"), "{error}");
    }

    /// The totals or, if there are none, all that the client said; nothing if a program is missing.
    fn start(self, make: Make, with_peer: bool) -> Option<Result<Totals, String>> {
        find("turnutils_uclient")?;
        self.start_on(&Server::start(make)?, with_peer)
    }

    fn start_on(self, server: &Server, with_peer: bool) -> Option<Result<Totals, String>> {
        let uclient = find("turnutils_uclient")?;
        let echo = with_peer.then(|| Echo::at(self.ip));
        let peer_port = echo.as_ref().map_or_else(free_port, |echo| echo.port);
        let mut command = self.command(uclient.as_os_str(), server, peer_port);
        command.current_dir(server.directory());
        let finished = Program::start(command, server.directory()).finish(Duration::from_secs(120));
        for (port, dropped) in overflowed_sockets() {
            say(&format!("the socket on port {port} overflowed: {dropped} datagrams dropped by the kernel"));
        }
        // The exit code says nothing: it is 0 when every message is lost.
        Some(Totals::parse(&finished.output).ok_or(finished.output))
    }

    fn command(self, uclient: &std::ffi::OsStr, server: &Server, peer_port: u16) -> Command {
        let mut command = Command::new(uclient);
        let ip = self.ip.to_string();
        command.args(self.flags).args(["-z", "5", "-L", &ip, "-e", &ip]);
        command.arg(if self.ip == V4 { "-X" } else { "-x" });
        if matches!(self.via, Via::Send) {
            command.arg("-s");
        }
        let server = match self.by {
            By::Udp | By::Tcp => server.address(self.ip),
            By::Tls | By::TcpOnTlsPort => server.tls_address(self.ip),
        };
        command.args(match self.by {
            By::Udp => &[][..],
            By::Tcp | By::TcpOnTlsPort => &["-t"],
            By::Tls => &["-t", "-S"],
        });
        let numbers = [
            ("-p", u64::from(server.port())),
            ("-r", u64::from(peer_port)),
            ("-m", self.clients),
            ("-n", self.messages),
            ("-l", Self::MESSAGE_BYTES),
        ];
        for (option, number) in numbers {
            command.arg(option).arg(number.to_string());
        }
        let credential = match self.login {
            Login::Secret => {
                command.args(["-u", "uclient", "-W", SECRET]).arg(ip);
                return command;
            }
            Login::Minted => Credential::of("uclient"),
            Login::Forged => Credential::forged("uclient"),
        };
        command.args(["-u", &credential.username, "-w", &credential.password]).arg(ip);
        command
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { via, by, ip, clients, messages, login, flags } = self;
        let flags = flags.join(" ");
        write!(f, "{via:?} by {by:?} on {ip}, {flags}, {clients} clients of {messages} messages, password {login:?}")
    }
}

/// The peer: sends back what it gets, at the next port too, where its RTCP would be. Unlike `turnutils_peer` it has a
/// buffer for what comes in a fifth of a second; that one loses packets whenever it does not get the processor for
/// 14 ms, 2,387 of 100,000 in a run by TCP.
struct Echo {
    port: u16,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    /// What the system allows may be less (net.core.rmem_max).
    const BUFFER_BYTES: usize = 4 << 20;
    /// How soon it hears that it is over.
    const TICK: Duration = Duration::from_millis(100);

    fn at(ip: IpAddr) -> Self {
        let port = free_port();
        let is_over = Arc::new(AtomicBool::new(false));
        let threads = [port, port + 1].map(|port| {
            let socket = UdpSocket::bind((ip, port)).expect("a free port");
            socket2::SockRef::from(&socket).set_recv_buffer_size(Self::BUFFER_BYTES).expect("an option");
            socket.set_read_timeout(Some(Self::TICK)).expect("an option");
            let over = is_over.clone();
            thread::spawn(move || Self::send_back(&socket, &over))
        });
        Self { port, is_over, threads: threads.into() }
    }

    fn send_back(socket: &UdpSocket, over: &AtomicBool) {
        let mut bytes = [0; 2048];
        while !over.load(Ordering::Relaxed) {
            if let Ok((len, from)) = socket.recv_from(&mut bytes) {
                let _ = socket.send_to(&bytes[..len], from);
            }
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// The UDP sockets, by port, whose reader was too slow for the kernel's buffer: whose loss it was.
fn overflowed_sockets() -> Vec<(u16, u64)> {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let row = |line: &str| {
        let mut fields = line.split_whitespace();
        let (_, port) = fields.nth(1)?.rsplit_once(':')?;
        let drops = fields.last()?.parse().ok()?;
        Some((u16::from_str_radix(port, 16).ok()?, drops))
    };
    tables.iter().flat_map(|table| table.lines().filter_map(row)).filter(|&(_, drops)| drops > 0).collect()
}

/// What the client counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Totals {
    sent: u64,
    received: u64,
    bytes_sent: u64,
    bytes_received: u64,
}

impl Totals {
    /// From the lines that it ends with, if it came that far: the last `tot_send_msgs=40`, `tot_recv_bytes ~ 8000` and
    /// so on.
    fn parse(output: &str) -> Option<Self> {
        let last = |name: &str| {
            let (_, rest) = output.rsplit_once(name)?;
            let number = rest.trim_start_matches(['=', '~', ' ']).split(|c: char| !c.is_ascii_digit()).next()?;
            number.parse().ok()
        };
        output.contains("Total lost packets").then_some(())?;
        Some(Self {
            sent: last("tot_send_msgs")?,
            received: last("tot_recv_msgs")?,
            bytes_sent: last("tot_send_bytes")?,
            bytes_received: last("tot_recv_bytes")?,
        })
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.sent.saturating_sub(self.received);
        write!(f, "{} messages sent, {} received, {lost} lost", self.sent, self.received)
    }
}
