//! A network of its own for a test that needs addresses which the host doesn't have.

use std::io;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

/// Runs `test` on a thread in a new network namespace, whose loopback device has these addresses as well. Returns
/// whether it could: that takes CAP_SYS_ADMIN and the command `ip`.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn with_addresses(addresses: &[&str], test: impl FnOnce() + Send) -> bool {
    let prepared = || -> io::Result<()> {
        // SAFETY: takes flags only, and concerns this thread and what it starts from now on.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return Err(io::Error::last_os_error());
        }
        ip(&["link", "set", "lo", "up"])?;
        for address in addresses {
            ip(&["address", "add", &format!("{address}/128"), "dev", "lo", "nodad"])?;
        }
        addresses.iter().try_for_each(|address| until_reachable(address))
    };
    let run = || match prepared() {
        Ok(()) => {
            test();
            true
        }
        Err(error) => {
            eprintln!("skipped: no network namespace: {error}");
            false
        }
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Waits until the kernel has routed `address`, which it does some time after it was added.
fn until_reachable(address: &str) -> io::Result<()> {
    let socket = UdpSocket::bind((address, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let attempt = || socket.send_to(b"x", socket.local_addr()?).and_then(|_| socket.recv(&mut [0]));
    for _ in 1..250 {
        if attempt().is_ok() {
            return Ok(());
        }
    }
    attempt().map(drop)
}

/// Runs the command `ip` in the namespace of this thread.
pub(crate) fn ip(arguments: &[&str]) -> io::Result<()> {
    let status = Command::new("ip").args(arguments).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("ip {arguments:?}: {status}"))) }
}
