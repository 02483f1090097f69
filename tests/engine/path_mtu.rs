//! What is too large for the path to a peer: the client that asked for DONT-FRAGMENT hears of it (RFC 8656 §11.5, §14,
//! §15), for others it is fragmented. The peer is behind a router whose second link takes less than the first.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;

use turnkeep::engine::{EngineConfig, RelayConfig, StreamKind, StreamListen};
use turnkeep::wire::attribute::DontFragment;

use crate::harness::{Client, Relay, Talk, is_quiet, next, socket, start};
use crate::icmp::heard;
use crate::namespace::ip;

/// Bytes of an IP packet on the link to the peer, and to the router.
const NARROW: u16 = 1280;
const WIDE: u16 = 1500;
/// A payload for the wide link alone, and one for both.
const LARGE: [u8; 1400] = [7; 1400];
const SMALL: [u8; 1200] = [8; 1200];

const RELAY: [&str; 2] = ["10.9.1.1", "fd09:1::1"];
const ROUTER: [[&str; 2]; 2] = [["10.9.1.2", "fd09:1::2"], ["10.9.2.2", "fd09:2::2"]];
const PEER: [&str; 2] = ["10.9.2.1", "fd09:2::1"];

/// C-194, C-233: DF is set, the router refuses the packet, the client hears the MTU; without DF the router cuts it.
#[test]
fn a_client_by_udp_probes_the_path() {
    let Some(path) = Path::prepare() else { return };
    let relay = path.relay();
    let client = path.hosts[0].run(|| Client::of(relay.address(0)));
    path.probe_v4(client);
}

/// C-235: the same for one that comes by TCP.
#[test]
fn a_client_by_tcp_probes_the_path() {
    let Some(path) = Path::prepare() else { return };
    let relay = path.relay();
    let client = path.hosts[0].run(|| Client::by_tcp(relay.stream_address(0)));
    path.probe_v4(client);
}

/// C-194, C-235: routers cut no IPv6 packet, so all who send too much hear of it. From then on the host cuts what may
/// be cut, and tells at once of what may not.
#[test]
fn a_client_by_tcp_probes_the_path_of_ipv6() {
    let Some(path) = Path::prepare() else { return };
    let relay = path.relay();
    let mut client = path.hosts[0].run(|| Client::by_tcp(relay.stream_address(1)));
    let (peer, to) = path.peer(1);
    let relayed = client.allocate();
    client.permit(to);
    let too_big = (2, 0, u32::from(NARROW));
    // The router tells, and then the host knows.
    for _ in 0..3 {
        client.send(to, &LARGE, &[&DontFragment]);
        assert_eq!(told(&client, to), too_big);
    }
    client.send(to, &SMALL, &[&DontFragment]);
    assert_eq!(next(&peer), (SMALL.to_vec(), relayed));
    client.send(to, &LARGE, &[]);
    assert_eq!(next(&peer), (LARGE.to_vec(), relayed), "it comes in fragments");
    client.send(to, &LARGE, &[&DontFragment]);
    assert_eq!(told(&client, to), too_big);
    assert!(is_quiet(&peer));
}

/// C-238: over IPv6 the attribute means nothing in a datagram.
#[test]
fn a_client_by_udp_cannot_probe_the_path_of_ipv6() {
    let Some(path) = Path::prepare() else { return };
    let relay = path.relay();
    let mut client = path.hosts[0].run(|| Client::of(relay.address(1)));
    let (peer, to) = path.peer(1);
    let relayed = client.allocate();
    client.permit(to);
    client.send(to, &LARGE, &[&DontFragment]);
    assert_eq!(told(&client, to), (2, 0, u32::from(NARROW)), "the first was too large for the router");
    client.send(to, &LARGE, &[&DontFragment]);
    assert_eq!(next(&peer), (LARGE.to_vec(), relayed), "the next come in fragments");
}

/// C-242, D-42: the host's own link refuses what is too large as the next router would.
#[test]
fn a_narrow_link_of_the_hosts_own_is_told_as_a_routers() {
    let Some(path) = Path::prepare() else { return };
    path.hosts[0].run(|| ip(&["link", "set", "wide0", "mtu", &NARROW.to_string()])).expect("a link");
    let relay = path.relay();
    let client = path.hosts[0].run(|| Client::of(relay.address(0)));
    path.probe_v4(client);
}

/// Type, code and error data of the ICMP error about what was sent `to` the peer.
fn told<T: Talk>(client: &Client<T>, to: SocketAddr) -> (u8, u8, u32) {
    let (about, icmp) = heard(client);
    assert_eq!(about, to);
    (icmp.icmp_type, icmp.code, u32::from_be_bytes(icmp.error_data))
}

/// The relay's host, the router and the peer's host.
struct Path {
    hosts: [Namespace; 3],
}

impl Path {
    /// Nothing where there are no namespaces to be had.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn prepare() -> Option<Self> {
        Self::build().inspect_err(|error| eprintln!("skipped: no network namespace: {error}")).ok()
    }

    fn build() -> io::Result<Self> {
        let hosts = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
        let [relay, router, peer] = &hosts;
        router.run(|| {
            for (link, host, mtu, addresses) in [("wide", relay, WIDE, ROUTER[0]), ("narrow", peer, NARROW, ROUTER[1])]
            {
                let [near, far] = [format!("{link}1"), format!("{link}0")];
                ip(&["link", "add", &near, "type", "veth", "peer", "name", &far])?;
                ip(&["link", "set", &far, "netns", &host.name()])?;
                attach(&near, mtu, addresses)?;
            }
            fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
        })?;
        relay.run(|| attach("wide0", WIDE, RELAY).and_then(|()| route(ROUTER[0])))?;
        peer.run(|| attach("narrow0", NARROW, PEER).and_then(|()| route(ROUTER[1])))?;
        Ok(Self { hosts })
    }

    /// One that listens and relays at the addresses of its host, by UDP and TCP.
    fn relay(&self) -> Relay {
        let at = RELAY.map(|text| text.parse::<IpAddr>().expect("an address"));
        let address = |ip| SocketAddr::new(ip, 0);
        let plain = |ip| StreamListen { address: address(ip), kind: StreamKind::Plain };
        let config = EngineConfig {
            workers: NonZeroUsize::new(1),
            relay_v4: Some(RelayConfig::at(RELAY[0].parse().expect("an address"))),
            relay_v6: Some(RelayConfig::at(RELAY[1].parse().expect("an address"))),
            streams: at.map(plain).to_vec(),
            ..EngineConfig::new(at.map(address).to_vec())
        };
        self.hosts[0].run(|| start(&config))
    }

    /// A socket of the peer, and its address.
    fn peer(&self, family: usize) -> (UdpSocket, SocketAddr) {
        let peer = self.hosts[2].run(|| socket(PEER[family].parse().expect("an address")));
        let address = peer.local_addr().expect("it is bound");
        (peer, address)
    }

    fn probe_v4<T: Talk>(&self, mut client: Client<T>) {
        let (peer, to) = self.peer(0);
        let relayed = client.allocate();
        client.permit(to);
        for _ in 0..2 {
            client.send(to, &LARGE, &[&DontFragment]);
            assert_eq!(told(&client, to), (3, 4, u32::from(NARROW)));
            client.send(to, &SMALL, &[&DontFragment]);
            assert_eq!(next(&peer), (SMALL.to_vec(), relayed), "and not the large one");
            client.send(to, &LARGE, &[]);
            assert_eq!(next(&peer), (LARGE.to_vec(), relayed), "it comes in fragments");
        }
    }
}

/// Sets a link up, with its addresses of both families.
fn attach(link: &str, mtu: u16, [v4, v6]: [&str; 2]) -> io::Result<()> {
    ip(&["link", "set", link, "mtu", &mtu.to_string(), "up"])?;
    ip(&["address", "add", &format!("{v4}/24"), "dev", link])?;
    ip(&["address", "add", &format!("{v6}/64"), "dev", link, "nodad"])
}

fn route([v4, v6]: [&str; 2]) -> io::Result<()> {
    ip(&["route", "add", "default", "via", v4])?;
    ip(&["-6", "route", "add", "default", "via", v6])
}

/// A network namespace that stands as long as this does.
struct Namespace(File);

impl Namespace {
    /// A new one, whose loopback device is up. Takes CAP_SYS_ADMIN.
    fn new() -> io::Result<Self> {
        let opened = || {
            // SAFETY: takes flags only, and concerns this thread and what it starts from now on.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            ip(&["link", "set", "lo", "up"])?;
            File::open("/proc/thread-self/ns/net").map(Self)
        };
        std::thread::spawn(opened).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs `task` on a thread inside; what it opens, and the threads that it starts, stay there.
    fn run<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            // SAFETY: takes an open descriptor and flags, and concerns this thread and what it starts from now on.
            let entered = unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(entered, 0, "{}", io::Error::last_os_error());
            task()
        };
        let joined = std::thread::scope(|scope| scope.spawn(inside).join());
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// What `ip link` calls it.
    fn name(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}
