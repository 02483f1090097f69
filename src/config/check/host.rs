//! What this host must have.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use super::Judge;
use crate::config::Loaded;

pub(super) fn check(judge: &mut Judge<'_>, loaded: &Loaded) {
    for (index, listener) in judge.config.listeners.iter().enumerate() {
        if let Err(why) = own_address(listener.address.get().ip()) {
            judge.error(&format!("listener.{index}.address"), why);
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

fn check_audit(judge: &mut Judge<'_>, loaded: &Loaded) {
    if !judge.config.audit.enabled {
        return;
    }
    let path = loaded.resolve(&judge.config.audit.path);
    let shown = path.display();
    // A bare name has an empty parent: the working directory.
    match path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        Some(directory) if !directory.is_dir() => {
            let directory = directory.display();
            judge.error("audit.path", format!("the directory {directory} is not there; make it: mkdir -p {directory}"));
        }
        _ if path.is_dir() => judge.error("audit.path", format!("{shown} is a directory")),
        _ if path.exists() => {
            if let Err(error) = std::fs::OpenOptions::new().read(true).append(true).open(&path) {
                judge.error("audit.path", format!("cannot append to {shown}: {error}"));
            }
        }
        _ => {}
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
