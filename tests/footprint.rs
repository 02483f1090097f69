//! What the real program takes: nothing for requests that nobody has proven, little for an allocation that idles.

#[path = "support/relay.rs"]
mod relay;
#[path = "sans_io/mod.rs"]
mod sans_io;
mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::Duration;

use relay::{Client, Relay};
use sans_io::Seeded;
use support::credential::Credential;
use support::program::{Program, say, wait_for};
use turnkeep::engine::raise_descriptor_limit;
use turnkeep::relay::seam::Entropy;
use turnkeep::wire::attribute::{Lifetime, RequestedTransport};
use turnkeep::wire::header::Method;

/// Requests of the flood; half as many go before the first look at the memory, so that buffers have their size.
const FLOOD: usize = 200_000;
/// Allocations that idle.
const IDLE: usize = 10_000;

/// neither memory nor more bytes than an answer needs for a flood of unproven requests.
#[test]
fn a_flood_of_unproven_requests_leaves_memory_as_it_was() {
    let relay = Relay::new();
    let program = relay.serve_until_ready("");
    let mut flood = Flood::new(&relay);
    flood.run(FLOOD / 2);
    let before = program.memory_kib();
    flood.run(FLOOD);
    let grown = program.memory_kib().saturating_sub(before);
    say(&format!(
        "{FLOOD} unproven requests: memory grew by {grown} KiB, the longest answer has {} bytes",
        flood.longest
    ));
    assert!(grown <= 256, "{grown} KiB for {FLOOD} requests");
    assert!(flood.answers > FLOOD / 4 && flood.longest <= 128, "{} answers, up to {}", flood.answers, flood.longest);

    let mut alice = Client::new(&relay, &Credential::of("alice"));
    assert_eq!(alice.allocate(), 0, "the relay still serves");
}

/// Sources that send what costs a careless server memory: Allocates, forged and without credentials, Bindings, noise.
struct Flood {
    sources: Vec<UdpSocket>,
    requests: Vec<Vec<u8>>,
    answers: usize,
    longest: usize,
}

impl Flood {
    fn new(relay: &Relay) -> Self {
        let source = |last: u8| {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 1, 1, last), 0)).expect("a loopback address");
            socket.connect((Ipv4Addr::LOCALHOST, relay.port)).expect("a loopback address");
            socket.set_nonblocking(true).expect("an option");
            socket
        };
        let mut forger = Client::new(relay, &Credential::forged("mallory")).voice;
        forger.nonce = b"obMatJos2gAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_vec();
        let mut noise = vec![0; 100];
        Seeded(1).fill(&mut noise);
        let udp = RequestedTransport::UDP;
        let requests = vec![
            forger.bare(Method::ALLOCATE, &[&udp]),
            forger.signed(Method::ALLOCATE, &[&udp]),
            forger.bare(Method::BINDING, &[]),
            noise,
        ];
        Self { sources: (1..=200).map(source).collect(), requests, answers: 0, longest: 0 }
    }

    /// Sends `count` requests, each round from every source, and takes in the answers.
    fn run(&mut self, count: usize) {
        for round in 0..count / self.sources.len() {
            for (index, source) in self.sources.iter().enumerate() {
                let request = &mut self.requests[(round + index) % 4];
                // Another transaction each time.
                request[8..16].copy_from_slice(&((round * self.sources.len() + index) as u64).to_be_bytes());
                source.send(request).expect("loopback takes it");
            }
            self.listen();
        }
    }

    /// Takes in the answers to one round: three requests of four have one. The sender waits for the server, so that the
    /// flood is worked off and not lost in front of it.
    fn listen(&mut self) {
        let wanted = self.answers + self.sources.len() / 4 * 3;
        let mut answer = [0; 1500];
        wait_for(Duration::from_secs(1), || {
            for source in &self.sources {
                while let Ok(len) = source.recv(&mut answer) {
                    self.answers += 1;
                    self.longest = self.longest.max(len);
                }
            }
            (self.answers >= wanted).then_some(())
        });
    }
}

/// At most 2 KiB of user-space memory for an allocation that idles, and none once it has ended.
#[test]
fn an_idle_allocation_is_small() {
    let relay = Relay::new()
        .replaced("allocations_per_user = 1", "allocations_per_user = 100000")
        .replaced("ports = '", "ports = '33000-65535' # '");
    let program = relay.serve_until_ready("");
    let credential = Credential::of("alice");
    allocate(&relay, &credential, IDLE / 10);
    let before = program.memory_kib();
    allocate(&relay, &credential, IDLE);
    let each = (program.memory_kib().saturating_sub(before) * 1024) as f64 / IDLE as f64;
    say(&format!("{IDLE} idle allocations: {each:.0} bytes of memory each"));
    assert!(each <= 2048.0, "{each} bytes");
    stops(program);
}

/// What a crowd of allocations took goes back to the system within seconds of its leaving.
#[test]
fn memory_goes_back_when_a_crowd_has_left() {
    raise_descriptor_limit().expect("a limit for each client");
    let relay = Relay::new()
        .replaced("allocations_per_user = 1", "allocations_per_user = 100000")
        .replaced("ports = '", "ports = '33000-65535' # '");
    let program = relay.serve_until_ready("");
    let credential = Credential::of("alice");
    let end = |client: &mut Client| assert_eq!(client.ask(Method::REFRESH, &[&Lifetime(0)]), 0);
    // So that what the first client makes the program set up for good is no part of it. It stays open: its port is
    // not for one of the crowd, which would find the 5-tuple still resting.
    let mut first = client(&relay, &credential);
    end(&mut first);
    let before = program.memory_kib();

    let mut crowd: Vec<Client> = (0..IDLE).map(|_| client(&relay, &credential)).collect();
    let grown = program.memory_kib().saturating_sub(before);
    assert!(grown > 4096, "{grown} KiB are too few to judge by");
    crowd.iter_mut().for_each(end);
    let stays = || program.memory_kib().saturating_sub(before) * 100 / grown;
    let at_once = stays();
    wait_for(Duration::from_secs(10), || (stays() <= 15).then_some(()));
    say(&format!(
        "{IDLE} allocations: {grown} KiB, of which {at_once} % stay at once, and {} % after seconds",
        stays()
    ));
    assert!(stays() <= 15, "{} % of {grown} KiB", stays());
    stops(program);
}

/// A client with an allocation, from an address that no relayed one is on.
fn client(relay: &Relay, credential: &Credential) -> Client {
    let mut client = Client::at(Ipv4Addr::new(127, 0, 0, 2), relay, credential);
    client.socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a positive time");
    assert_eq!(client.allocate(), 0);
    client
}

/// Makes allocations from addresses that no relayed one is on; their clients go away, they stay.
fn allocate(relay: &Relay, credential: &Credential, count: usize) {
    (0..count).for_each(|_| drop(client(relay, credential)));
}

/// A relay on which nothing goes on sleeps, all of it: no thread asks now and then whether there is something to do.
#[test]
fn an_idle_relay_sleeps() {
    const QUIET: Duration = Duration::from_secs(3);
    let relay = Relay::new().replaced("workers = 1", "workers = 2");
    let program = relay.serve_until_ready("");
    let mut alice = Client::new(&relay, &Credential::of("alice"));
    assert_eq!(alice.allocate(), 0);
    assert_eq!(alice.ask(Method::REFRESH, &[&Lifetime(0)]), 0);

    // The worker publishes, the writer writes, the user's share of allocations fills up; then nothing is left to do.
    let quiet = wait_for(10 * QUIET, || {
        let before = program.sleeps();
        thread::sleep(QUIET);
        let woken = program.sleeps().into_iter().map(|(name, count)| (before.get(&name).copied(), name, count));
        let woken: Vec<_> = woken.filter(|(before, _, count)| *before != Some(*count)).collect();
        say(&format!("woken within {QUIET:?}: {woken:?}"));
        woken.is_empty().then_some(())
    });
    assert!(quiet.is_some(), "something wakes up again and again");

    let threads = program.sleeps();
    assert!(threads.keys().filter(|name| name.starts_with("turnkeep-")).count() == 2, "{threads:?}");
    assert_eq!(Client::new(&relay, &Credential::of("bob")).allocate(), 0, "it wakes up");
    stops(program);
}

fn stops(mut program: Program) {
    assert_eq!(program.stop().and_then(|status| status.code()), Some(0), "{}", program.output());
}
