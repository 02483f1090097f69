//! Their configuration files.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{LISTEN_IP, PASSWORD, REALM, RELAY_IP, RELAY_PORTS, USER, tls_port};
use crate::case::Transport;
use crate::certificate::Certificate;

/// What `turnkeep.toml` has for streams.
fn turnkeep_streams(scratch: &Path, port: u16, transport: Transport) -> io::Result<String> {
    let listener = |port: u16| format!("[[listener]]\naddress = \"{LISTEN_IP}:{port}\"\ntransport = ");
    Ok(match transport {
        Transport::Udp => String::new(),
        Transport::Tcp => listener(port) + "\"tcp\"\n",
        Transport::Tls(kind) => {
            let Certificate { chain, key } = Certificate::of(scratch, kind)?;
            format!(
                "{}\"tls\"\n[[tls.certificate]]\nchain_file = {chain:?}\nkey_file = {key:?}\n\
                 [streams]\nunauthenticated = 1000000\nunauthenticated_per_network = 1000000\n",
                listener(tls_port(port))
            )
        }
    })
}

pub(super) fn turnkeep_config(scratch: &Path, port: u16, workers: usize, transport: Transport) -> io::Result<PathBuf> {
    let streams = turnkeep_streams(scratch, port, transport)?;
    let users = scratch.join("users");
    // It reads secrets from files of its own only.
    write_private(&users, &format!("{USER}:{PASSWORD}\n"))?;
    let audit = scratch.join("audit.jsonl");
    match fs::remove_file(&audit) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (first, last) = RELAY_PORTS;
    let text = format!(
        r#"realm = "{REALM}"
node = "race"
lab = true
workers = {workers}

[[listener]]
address = "{LISTEN_IP}:{port}"

{streams}
[relay]
ports = "{first}-{last}"
min_port_rest = "0s"

[[relay.address]]
bind = "{RELAY_IP}"

[credentials]
users_file = "users"

[[peers.allow]]
id = "loopback"
cidr = "127.0.0.0/8"

[limits]
allocations_per_user = 1000000
allocations_per_user_per_minute = 10000000

[audit]
path = "audit.jsonl"

[log]
level = "error"
"#
    );
    write(&scratch.join("turnkeep.toml"), &text)
}

/// What `turnserver.conf` has for streams.
fn coturn_streams(scratch: &Path, port: u16, transport: Transport) -> io::Result<String> {
    Ok(match transport {
        Transport::Udp => "no-tls\nno-tcp\n".into(),
        Transport::Tcp => "no-tls\n".into(),
        Transport::Tls(kind) => {
            let Certificate { chain, key } = Certificate::of(scratch, kind)?;
            let (port, chain, key) = (tls_port(port), chain.display(), key.display());
            format!("tls-listening-port={port}\ncert={chain}\npkey={key}\n")
        }
    })
}

pub(super) fn coturn_config(scratch: &Path, port: u16, threads: usize, transport: Transport) -> io::Result<PathBuf> {
    let streams = coturn_streams(scratch, port, transport)?;
    let (first, last) = RELAY_PORTS;
    let place = scratch.display();
    let text = format!(
        "listening-ip={LISTEN_IP}\nlistening-port={port}\nrelay-ip={RELAY_IP}\nmin-port={first}\nmax-port={last}\n\
         relay-threads={threads}\nlt-cred-mech\nuser={USER}:{PASSWORD}\nrealm={REALM}\nuserdb={place}/turndb\n\
         user-quota=0\ntotal-quota=0\nallow-loopback-peers\n{streams}no-dtls\nno-tcp-relay\nno-cli\n\
         no-software-attribute\nno-rfc5780\nlog-file=/dev/null\nno-stdout-log\nsimple-log\npidfile={place}/coturn.pid\n"
    );
    write(&scratch.join("turnserver.conf"), &text)
}

pub(super) fn turn_server_config(scratch: &Path, listen: &str) -> io::Result<PathBuf> {
    let text = format!(
        r#"[server]
port-range = "49152..65535"
max-threads = 1
realm = "{REALM}"

[[server.interfaces]]
transport = "udp"
listen = "{listen}"
external = "{listen}"
idle-timeout = 600

[log]
level = "error"
stdout = false

[auth.static-credentials]
{USER} = "{PASSWORD}"
"#
    );
    write(&scratch.join("turn-server.toml"), &text)
}

fn write(path: &Path, text: &str) -> io::Result<PathBuf> {
    fs::write(path, text)?;
    Ok(path.to_owned())
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}
