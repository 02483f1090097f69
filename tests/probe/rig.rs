//! The probe as a program, and servers for it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::credential::SECRET;
use crate::support::program::{Program, find, wait_for};
use crate::support::server::{REALM, free_port};

/// A server on 127.0.0.1, and its directory, where `secret` is its secret.
pub(crate) struct Server {
    pub(crate) port: u16,
    directory: TempDir,
    _program: Program,
}

/// What is put in place before a server starts.
pub(crate) struct Site {
    pub(crate) port: u16,
    directory: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self { port: free_port(), directory: tempfile::tempdir().expect("a directory") };
        site.write("secret", SECRET);
        site
    }

    /// Where a file of this name is.
    pub(crate) fn path(&self, name: &str) -> String {
        path(self.directory.path(), name)
    }

    /// Puts a file there that nobody else can read.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a writable directory");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).expect("our own file");
    }

    /// Debian's coturn with these lines in its configuration; nothing where it is not installed. It relays from
    /// 127.0.0.1 and speaks UDP and TCP, and TLS on the next port if `lines` name a certificate.
    pub(crate) fn coturn(self, lines: &str) -> Option<Server> {
        let program = find("turnserver")?;
        let config = format!(
            "listening-port={0}\ntls-listening-port={1}\nlistening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nmin-port=10000\n\
             max-port=19999\nrealm={REALM}\nno-cli\nno-dtls\nlog-file=stdout\nuserdb={2}\npidfile={3}\n{lines}\n",
            self.port,
            self.port + 1,
            self.path("turndb"),
            self.path("pid")
        );
        self.write("turnserver.conf", &config);
        let mut command = Command::new(program);
        command.args(["-c", &self.path("turnserver.conf")]);
        Some(self.start(command))
    }

    /// Our own with these lines in its configuration. It relays from 127.0.0.1 over UDP.
    pub(crate) fn turnkeep(self, lines: &str) -> Server {
        let config = format!(
            "realm = '{REALM}'\nlab = true\n[[listener]]\naddress = '127.0.0.1:{}'\n\
             [audit]\nenabled = false\n[[credentials.secret]]\nid = 'k1'\nfile = 'secret'\n{lines}\n",
            self.port
        );
        self.write("turnkeep.toml", &config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
        command.args(["serve", "--config", &self.path("turnkeep.toml")]);
        self.start(command)
    }

    fn start(self, command: Command) -> Server {
        let mut program = Program::start(command, self.directory.path());
        let is_up = wait_for(Duration::from_secs(10), || {
            assert!(program.ended().is_none(), "{}", program.output());
            answers(SocketAddr::from(([127, 0, 0, 1], self.port))).then_some(())
        });
        assert!(is_up.is_some(), "{}", program.output());
        Server { port: self.port, directory: self.directory, _program: program }
    }
}

impl Server {
    pub(crate) fn path(&self, name: &str) -> String {
        path(self.directory.path(), name)
    }

    /// `turn:` with its address and this behind it.
    pub(crate) fn uri(&self, query: &str) -> String {
        format!("turn:127.0.0.1:{}{query}", self.port)
    }

    /// Probes it over UDP with its secret.
    pub(crate) fn probe(&self, arguments: &[&str]) -> Probed {
        probe(&[&[&*self.uri(""), "--secret-file", &self.path("secret")], arguments].concat())
    }
}

/// Whether it answers a Binding or an Allocate, over UDP or over TCP: servers for STUN or TURN alone do one of them.
fn answers(server: SocketAddr) -> bool {
    const BINDING: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xA4\x42is-it-there?";
    const ALLOCATE: [u8; 20] = *b"\x00\x03\x00\x00\x21\x12\xA4\x42is-it-there!";
    let patience = Some(Duration::from_millis(100));
    let over_udp = || {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.set_read_timeout(patience)?;
        socket.connect(server)?;
        socket.send(&BINDING)?;
        socket.send(&ALLOCATE)?;
        socket.recv(&mut [0; 1500])
    };
    let over_tcp = || {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(patience)?;
        stream.write_all(&BINDING)?;
        stream.read(&mut [0; 1500])
    };
    over_udp().or_else(|_: std::io::Error| over_tcp()).is_ok_and(|len| len > 0)
}

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).to_str().expect("UTF-8").to_owned()
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().expect("a list").iter().collect()
}

/// What a probe left.
pub(crate) struct Probed {
    pub(crate) code: Option<i32>,
    pub(crate) json: Value,
}

/// A step of it.
pub(crate) struct Found<'p> {
    pub(crate) verdict: &'p str,
    /// What was found, why that matters and what cures it, in one text.
    pub(crate) said: String,
}

/// Runs the probe with `--json`.
pub(crate) fn probe(arguments: &[&str]) -> Probed {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
    let output = command.arg("probe").args(arguments).arg("--json").output().expect("the program runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "the secret is shown");
    let json = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    Probed { code: output.status.code(), json }
}

impl Probed {
    fn steps(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["targets"]).into_iter().flat_map(move |target| {
            let paths = list(&target["paths"]).into_iter();
            let steps = paths.flat_map(move |path| [list(&path["steps"]), list(&path["refusals"])].concat());
            [&target["name"]].into_iter().chain(steps)
        })
    }

    /// The first step of this name.
    #[track_caller]
    pub(crate) fn step(&self, name: &str) -> Found<'_> {
        let step = self.steps().find(|step| step["name"] == name);
        let step = step.unwrap_or_else(|| panic!("no {name} in {:#}", self.json));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let cures = step["cures"].as_array().into_iter().flatten().map(text);
        let said: Vec<String> = [text(&step["found"]), text(&step["why"])].into_iter().chain(cures).collect();
        Found { verdict: step["verdict"].as_str().expect("a verdict"), said: said.join("\n") }
    }

    /// The names of the steps with this verdict, in order.
    pub(crate) fn all(&self, verdict: &str) -> Vec<&str> {
        let steps = self.steps().filter(|step| step["verdict"] == verdict);
        steps.map(|step| step["name"].as_str().expect("a name")).collect()
    }

    /// That step has that verdict and says all of `words`.
    #[track_caller]
    pub(crate) fn says(&self, name: &str, verdict: &str, words: &[&str]) {
        let found = self.step(name);
        assert_eq!(found.verdict, verdict, "{name}: {}", found.said);
        for word in words {
            assert!(found.said.contains(word), "{name} does not say \"{word}\":\n{}", found.said);
        }
    }
}
