//! A TURN server on loopback addresses: ours, or Debian's coturn as the control that shows that a test can pass and
//! fail on something else than our own mistakes.

use std::env;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PublicKeyData,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::credential::SECRET;
use super::program::{Program, find, wait_for};

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Turnkeep,
    Coturn,
}

/// A running server. It listens on 127.0.0.1 and ::1 and relays from both; loopback peers are allowed.
pub(crate) struct Server {
    make: Make,
    port: u16,
    program: Program,
    directory: TempDir,
}

pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// Where relayed addresses live: below the ports that the system gives to clients.
const RELAY_PORTS: (u16, u16) = (10_000, 19_999);
pub(crate) const REALM: &str = "turnkeep.test";

impl Server {
    /// Starts one on a free port and waits until it answers on both addresses; nothing if its program is missing.
    pub(crate) fn start(make: Make) -> Option<Self> {
        Self::start_with(make, "")
    }

    /// The same, with `more` at the end of its configuration.
    pub(crate) fn start_with(make: Make, more: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        make_certificate(directory.path());
        let command = match make {
            Make::Turnkeep => turnkeep(port, directory.path()),
            Make::Coturn => coturn(&find("turnserver")?, port, directory.path()),
        };
        append(directory.path(), make, more);
        let program = Program::start(command, directory.path());
        let mut server = Self { make, port, program, directory };
        for ip in [V4, V6] {
            server.wait_until_it_answers(ip);
        }
        Some(server)
    }

    /// Where it listens.
    pub(crate) fn address(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.port)
    }

    /// The program itself.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// Where it listens for TLS, and turnkeep for plain TCP, too.
    pub(crate) fn tls_address(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.port + 1)
    }

    /// The authority that has signed its certificate, in PEM.
    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// What its certificate is known by: the SHA-256 of its public key, in base64.
    pub(crate) fn key_pin(&self) -> String {
        fs::read_to_string(self.directory.path().join("server.pin")).expect("it was written")
    }

    /// A directory for what belongs to the test; it goes with the server.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Stops it: it has then said, and written, all that it will.
    pub(crate) fn stop(&mut self) {
        self.program.stop();
    }

    fn wait_until_it_answers(&mut self, ip: IpAddr) {
        let address = self.address(ip);
        let answered = wait_for(Duration::from_secs(10), || {
            if let Some(status) = self.program.ended() {
                panic!("the server ended with {status}");
            }
            answers_binding(address).then_some(())
        });
        assert!(answered.is_some(), "no answer to a Binding request on {address}");
    }
}

impl Drop for Server {
    /// Ours stops cleanly, whatever its clients left behind.
    fn drop(&mut self) {
        let stopped = self.program.stop().is_some_and(|status| status.success());
        assert!(self.make != Make::Turnkeep || stopped || thread::panicking(), "no clean stop");
    }
}

/// An authority, and a certificate of it for the loopback addresses with its key and its pin.
pub(crate) fn make_certificate(directory: &Path) {
    let [authority_key, key] = [(); 2].map(|()| KeyPair::generate().expect("random numbers"));
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "an authority for tests");
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut own = CertificateParams::new(names).expect("names");
    own.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    // Python wants to know who has signed it.
    own.use_authority_key_identifier_extension = true;
    let own = own.signed_by(&key, &Issuer::from_params(&authority, &authority_key)).expect("a signature");
    let authority = authority.self_signed(&authority_key).expect("a signature").pem();
    let pin = STANDARD.encode(Sha256::digest(key.subject_public_key_info()));
    let chain = own.pem() + &authority;
    let files = [("authority.pem", &authority), ("server.pem", &chain), ("server.key", &key.serialize_pem())];
    for (name, content) in files.into_iter().chain([("server.pin", &pin)]) {
        let path = directory.join(name);
        fs::write(&path, content).expect("a writable directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our own file");
    }
}

fn turnkeep(port: u16, directory: &Path) -> Command {
    let (first, last) = RELAY_PORTS;
    let secret = directory.join("secret");
    fs::write(&secret, SECRET).expect("a writable directory");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("our own file");
    let (config, tls_port) = (directory.join("turnkeep.toml"), port + 1);
    let text = format!(
        r#"
realm = "{REALM}"
lab = true # for peers on loopback addresses

[[listener]]
address = "127.0.0.1:{port}"

[[listener]]
address = "[::1]:{port}"

[[listener]]
address = "127.0.0.1:{port}"
transport = "tcp"

[[listener]]
address = "[::1]:{port}"
transport = "tcp"

[[listener]]
address = "127.0.0.1:{tls_port}"
transport = "auto"

[[listener]]
address = "[::1]:{tls_port}"
transport = "auto"

[[tls.certificate]]
chain_file = "server.pem"
key_file = "server.key"

[relay]
ports = "{first}-{last}"
channel_numbers = "rfc5766" # coturn's client picks from them

[[relay.address]]
bind = "127.0.0.1"

[[relay.address]]
bind = "::1"

[[credentials.secret]]
id = "k1"
file = "secret"

[[peers.allow]]
id = "loopback-v4"
cidr = "127.0.0.0/8"

[[peers.allow]]
id = "loopback-v6"
cidr = "::1/128"

[limits]
allocations_per_user = 1000 # all clients of a run are one user

[audit]
path = "audit.jsonl"
"#
    );
    fs::write(&config, text).expect("a writable directory");
    // Another build of it, such as the one that is shipped, can be put in its place.
    let program = env::var_os("TURNKEEP_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_turnkeep").into());
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(config);
    command
}

fn append(directory: &Path, make: Make, more: &str) {
    let file = match make {
        Make::Turnkeep => "turnkeep.toml",
        Make::Coturn => "turnserver.conf",
    };
    let mut file = fs::File::options().append(true).open(directory.join(file)).expect("it was written");
    file.write_all(more.as_bytes()).expect("a writable directory");
}

fn coturn(program: &Path, port: u16, directory: &Path) -> Command {
    let (config, tls_port) = (directory.join("turnserver.conf"), port + 1);
    let (first, last) = RELAY_PORTS;
    let text = format!(
        "listening-port={port}\nlistening-ip=127.0.0.1\nlistening-ip=::1\nrelay-ip=127.0.0.1\nrelay-ip=::1\n\
         min-port={first}\nmax-port={last}\nrealm={REALM}\nuse-auth-secret\nstatic-auth-secret={SECRET}\n\
         allow-loopback-peers\ncli-password=unused\nno-cli\nno-dtls\ntls-listening-port={tls_port}\n\
         cert={0}/server.pem\npkey={0}/server.key\nlog-file=stdout\n\
         userdb={0}/turndb\npidfile={0}/pid\n",
        directory.display()
    );
    fs::write(&config, text).expect("a writable directory");
    let mut command = Command::new(program);
    command.arg("-c").arg(config);
    command
}

/// A port P such that P and P+1 are free for UDP and TCP on both loopback addresses, outside the ranges of
/// [`RELAY_PORTS`] and of the system's own choice (32768 and up), so that nobody takes it between the look and the use.
/// The search begins anywhere and goes on where it ended: tests that look at the same time, as processes or as threads,
/// find different ones.
pub(crate) fn free_port() -> u16 {
    let is_free = |port: &u16| {
        let bind = |ip, port| UdpSocket::bind(SocketAddr::new(ip, port)).is_ok();
        let listen = |ip, port| TcpListener::bind(SocketAddr::new(ip, port)).is_ok();
        let are_free = |ip, port| bind(ip, port) && listen(ip, port);
        [V4, V6].iter().all(|&ip| are_free(ip, *port) && are_free(ip, *port + 1))
    };
    static NEXT: LazyLock<Mutex<u64>> =
        LazyLock::new(|| Mutex::new(RandomState::new().build_hasher().finish() % 6_000));
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    let port = |pair: u64| 20_000 + u16::try_from(pair % 6_000 * 2).expect("below 12000");
    let free = (*next..*next + 6_000).find(|&pair| is_free(&port(pair))).expect("a free pair among six thousand");
    *next = free + 1;
    port(free)
}

/// Whether a Binding request (RFC 8489 §2) gets a success response, within a tenth of a second.
fn answers_binding(server: SocketAddr) -> bool {
    const REQUEST: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xA4\x42is-it-there?";
    let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0)).expect("a loopback address");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a positive time");
    let mut answer = [0; 576];
    let asked = socket.connect(server).and_then(|()| socket.send(&REQUEST)).and_then(|_| socket.recv(&mut answer));
    asked.is_ok_and(|len| len >= 20 && answer[..2] == [0x01, 0x01] && answer[8..20] == REQUEST[8..])
}
