//! The real program on a laboratory's configuration, and clients with sockets of their own. For test targets that have
//! the modules `sans_io` and `support` beside it.
#![allow(dead_code, reason = "each test target uses a part of it")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use turnkeep::relay::ClientAddr;
use turnkeep::wire::attribute::RequestedTransport;
use turnkeep::wire::header::Method;

use crate::sans_io::{self, Attribute, code};
use crate::support::credential::{Credential, SECRET};
use crate::support::program::{Finished, Program, wait_for};
use crate::support::server::free_port;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const CONFIG: &str = "turnkeep.toml";

/// A laboratory's relay on 127.0.0.1, in a directory of its own.
pub(crate) struct Relay {
    directory: TempDir,
    pub(crate) port: u16,
    text: String,
}

impl Relay {
    /// One port to relay from, one allocation a user, and a rule against 10.0.0.0/8.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let relayed = port + 1;
        let text = format!(
            "realm = '{realm}'\nlab = true\nworkers = 1\n\
             [[listener]]\naddress = '127.0.0.1:{port}'\n\
             [relay]\nports = '{relayed}-{relayed}'\naddress = [{{ bind = '127.0.0.1' }}]\n\
             [[credentials.secret]]\nid = 'k1'\nfile = 'k1'\n\
             [[peers.allow]]\nid = 'loopback'\ncidr = '127.0.0.0/8'\n\
             [[peers.deny]]\nid = 'no-tens'\ncidr = '10.0.0.0/8'\n\
             [limits]\nallocations_per_user = 1\n\
             [audit]\npath = 'audit.jsonl'\n",
            realm = sans_io::REALM
        );
        let relay = Self { directory, port, text };
        relay.write("k1", SECRET, 0o400);
        relay
    }

    /// The same with `from` in its configuration replaced.
    pub(crate) fn replaced(mut self, from: &str, to: &str) -> Self {
        assert!(self.text.contains(from), "{from} is not in\n{}", self.text);
        self.text = self.text.replacen(from, to, 1);
        self
    }

    pub(crate) fn write(&self, name: &str, content: &str, mode: u32) {
        let path = self.path(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Runs the program on it.
    pub(crate) fn serve(&self) -> Program {
        self.serve_with("")
    }

    /// The same with these filters of the log.
    pub(crate) fn serve_with(&self, filters: &str) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
        command.env("TURNKEEP_LOG", filters);
        self.start(command, &self.path(CONFIG))
    }

    /// Runs the program in the directory of its configuration, as the README does.
    pub(crate) fn serve_from_its_directory(&self) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
        command.current_dir(self.directory.path());
        self.start(command, CONFIG)
    }

    fn start(&self, mut command: Command, config: &str) -> Program {
        self.write(CONFIG, &self.text, 0o644);
        command.args(["serve", "--config", config]);
        Program::start(command, self.directory.path())
    }

    /// Runs the program on it and waits until it is up.
    pub(crate) fn serve_until_ready(&self, filters: &str) -> Program {
        let program = self.serve_with(filters);
        let ready = wait_for(PATIENCE, || program.output().contains("ready").then_some(()));
        assert!(ready.is_some(), "{}", program.output());
        program
    }

    /// Whether a Binding request is answered.
    pub(crate) fn is_up(&self) -> bool {
        let mut client = Client::new(self, &Credential::of("nobody"));
        client.socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a positive time");
        let request = client.voice.bare(Method::BINDING, &[]);
        client.socket.send(&request).and_then(|_| client.socket.recv(&mut [0; 1500])).is_ok()
    }

    /// Runs the program on it, which must fail with one line that holds `sentence`.
    #[track_caller]
    pub(crate) fn fails(&self, sentence: &str) {
        let Finished { status, output } = self.serve().finish(PATIENCE);
        assert_eq!(status.code(), Some(1), "{output}");
        let lines: Vec<&str> = output.lines().filter(|line| line.contains("error")).collect();
        assert!(
            matches!(lines.as_slice(), [line] if line.contains(sentence)),
            "{sentence}\nis not the line of\n{output}"
        );
    }
}

/// A client with a socket of its own.
pub(crate) struct Client {
    pub(crate) socket: UdpSocket,
    pub(crate) voice: sans_io::Client,
}

impl Client {
    pub(crate) fn new(relay: &Relay, credential: &Credential) -> Self {
        Self::at(Ipv4Addr::LOCALHOST, relay, credential)
    }

    /// One at another loopback address, where the ports of the relay's own are not in its way.
    pub(crate) fn at(ip: Ipv4Addr, relay: &Relay, credential: &Credential) -> Self {
        let socket = UdpSocket::bind((ip, 0)).expect("a loopback address");
        socket.set_read_timeout(Some(PATIENCE)).expect("a positive time");
        socket.connect((Ipv4Addr::LOCALHOST, relay.port)).expect("a loopback address");
        let address = socket.local_addr().expect("it is bound");
        let mut voice = sans_io::Client::new(&credential.username, &address.to_string());
        voice.path.client = ClientAddr(address);
        voice.password.clone_from(&credential.password);
        Self { socket, voice }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.voice.path.client.0
    }

    /// The error code of the answer to a request, or 0.
    pub(crate) fn ask(&mut self, method: Method, attributes: &[&dyn Attribute]) -> u16 {
        if self.voice.nonce.is_empty() {
            let request = self.voice.bare(method, attributes);
            let challenge = self.exchange(&request);
            self.voice.learn(&challenge);
        }
        let request = self.voice.signed(method, attributes);
        code(&self.exchange(&request))
    }

    pub(crate) fn allocate(&mut self) -> u16 {
        self.ask(Method::ALLOCATE, &[&RequestedTransport(17)])
    }

    pub(crate) fn exchange(&self, request: &[u8]) -> Vec<u8> {
        let mut answer = vec![0; 1500];
        self.socket.send(request).expect("sent");
        let len = self.socket.recv(&mut answer).expect("an answer in time");
        answer.truncate(len);
        answer
    }
}
