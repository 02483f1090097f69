//! What this host must have.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Judge;
use crate::config::Loaded;
use crate::policy::audit::{self, OpenError, OpenFailure};

pub(super) fn check(judge: &mut Judge<'_>, loaded: &Loaded) {
    for (index, listener) in judge.config.listeners.iter().enumerate() {
        let (path, address) = (format!("listener.{index}.address"), listener.address.get());
        match own_address(address.ip()) {
            Err(why) => judge.error(&path, why),
            Ok(()) => check_port(judge, &path, address, listener.transport.is_stream()),
        }
    }
    for (index, address) in judge.config.relay.addresses.iter().enumerate() {
        if let Err(why) = own_address(address.bind.get()) {
            let hint = if address.advertise.is_none() { "; did you mean advertise?" } else { "" };
            judge.error(&format!("relay.address.{index}.bind"), format!("{why}{hint}"));
        }
    }
    if let Err(findings) = loaded.keys() {
        judge.findings.extend(findings);
    }
    check_audit(judge, loaded);
    check_ephemeral_ports(judge, Path::new("/proc/sys/net/ipv4"));
}

/// Whether sockets of this host can have the address; asked of the kernel, which knows non-local binds and the like.
fn own_address(ip: IpAddr) -> Result<(), String> {
    match UdpSocket::bind((ip, 0)) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            Err(format!("{ip} is not an address of this host"))
        }
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => Err("this host has no IPv6".into()),
        // Link-local addresses want an interface; what else there may be shows when it is opened.
        _ => Ok(()),
    }
}

/// Whether the port can be had. It may be the relay itself that has it, and a capability may be waiting in the unit: so
/// these are warnings.
fn check_port(judge: &mut Judge<'_>, path: &str, address: SocketAddr, is_stream: bool) {
    let port = address.port();
    let (bound, option) = match is_stream {
        true => (TcpListener::bind(address).map(drop), "-ltnp"),
        false => (UdpSocket::bind(address).map(drop), "-lunp"),
    };
    match bound.map_err(|error| error.kind()) {
        Err(io::ErrorKind::PermissionDenied) => judge.warn(
            path,
            format!(
                "port {port} is for root, or for who has CAP_NET_BIND_SERVICE; give the unit AmbientCapabilities=\
                 CAP_NET_BIND_SERVICE, or the relay does not start as this user"
            ),
        ),
        Err(io::ErrorKind::AddrInUse) => {
            judge.warn(
                path,
                format!("{address} is in use: `ss {option}` tells whether by this relay or by another program"),
            );
        }
        _ => {}
    }
}

fn check_audit(judge: &mut Judge<'_>, loaded: &Loaded) {
    if !judge.config.audit.enabled {
        return;
    }
    let path = loaded.resolve(&judge.config.audit.path);
    // An empty one would be the configuration's directory.
    let path = if judge.config.audit.path.as_os_str().is_empty() { PathBuf::new() } else { path };
    match audit::probe(&path) {
        Ok(()) => check_audit_mode(judge, &path),
        Err(OpenError { why: OpenFailure::NoDirectory, .. }) => {
            let directory = path.parent().unwrap_or(&path).display();
            judge.error("audit.path", format!("the directory {directory} is not there; make it: mkdir -p {directory}"));
        }
        Err(error) => judge.error("audit.path", error.to_string().trim_end_matches('.').to_owned()),
    }
}

/// The trail says who spoke with whom, and when.
fn check_audit_mode(judge: &mut Judge<'_>, path: &Path) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let (shown, mode) = (path.display(), metadata.permissions().mode() & 0o7777);
    if !metadata.is_file() {
        judge.warn("audit.path", format!("{shown} is not a regular file: what is recorded there cannot be read back"));
    } else if mode & 0o007 != 0 {
        judge.warn(
            "audit.path",
            format!("{shown} is open to everybody (mode {mode:04o}); close it: chmod 0600 {shown}"),
        );
    }
}

/// The kernel hands its ephemeral ports to anybody: fewer are left for allocations, and what is meant for another
/// program's socket can reach a client of ours.
fn check_ephemeral_ports(judge: &mut Judge<'_>, sysctl: &Path) {
    let ports = judge.config.relay.ports;
    let read = |name: &str| std::fs::read_to_string(sysctl.join(name)).ok();
    let Some(range) = read("ip_local_port_range") else { return };
    let mut bounds = range.split_whitespace().filter_map(|word| word.parse::<u16>().ok());
    let (Some(first), Some(last)) = (bounds.next(), bounds.next()) else { return };
    let reserved = read("ip_local_reserved_ports").unwrap_or_default();
    let is_reserved = |port: u16| {
        reserved.trim().split(',').any(|run| {
            let (low, high) = run.split_once('-').unwrap_or((run, run));
            matches!((low.parse::<u16>(), high.parse::<u16>()), (Ok(low), Ok(high)) if (low..=high).contains(&port))
        })
    };
    if ports.get().any(|port| (first..=last).contains(&port) && !is_reserved(port)) {
        judge.note(
            "relay.ports",
            format!(
                "the kernel may give some of {ports} to other programs ({first}-{last} are its ephemeral ports); keep \
                 them: sysctl -w net.ipv4.ip_local_reserved_ports={ports}"
            ),
        );
    }
}
