//! The floor under every relay: receives, strips or adds the four bytes of ChannelData, sends. No policy, no
//! permission, no expiry, no audit, one thread; the requests of a client are answered just well enough that a load
//! generator goes on (`setup.rs`). What it costs per packet is what user space costs on this kernel with these system
//! calls, and the distance of a server to it is the server's own.
//!
//!     race-forwarder LISTEN RELAY_IP REALM USER PASSWORD STRATEGY [WINDOW_US] [switch]
//!
//! STRATEGY is `single` (recvfrom, sendto), `batched` (recvmmsg, sendmmsg), `merged` (the same with UDP_GRO and
//! UDP_SEGMENT), `connected` (as `batched`, each peer with a connected socket of its own) or `uring`. WINDOW_US makes
//! it wait that many microseconds between batches while packets come quickly. `switch` hands a packet for another
//! client of its own straight on instead of sending it to that client's relay socket.
#![deny(unsafe_code)]

mod forward;
#[allow(unsafe_code)]
mod io;
#[allow(unsafe_code)]
mod ring;
mod setup;
mod table;

use std::env;
use std::error::Error;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Duration;

use forward::Forwarder;
use io::Strategy;
use setup::Setup;
use table::Table;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [listen, relay_ip, realm, user, password, strategy, rest @ ..] = arguments.as_slice() else {
        return Err("usage: race-forwarder LISTEN RELAY_IP REALM USER PASSWORD STRATEGY [WINDOW_US] [switch]".into());
    };
    let strategy = Strategy::from_name(strategy).ok_or("STRATEGY is single, batched, merged, connected or uring")?;
    let switch = rest.iter().any(|word| word == "switch");
    let window = match rest.first().filter(|word| *word != "switch") {
        Some(microseconds) => Duration::from_micros(microseconds.parse()?),
        None => Duration::ZERO,
    };

    io::allow_many_descriptors()?;
    io::make_timers_exact();
    let listener = UdpSocket::bind(listen)?;
    listener.set_nonblocking(true)?;
    io::ask_for_receive_buffer(listener.as_raw_fd(), 4 << 20);
    let table = Table::new(relay_ip.parse()?, strategy, switch);
    let setup = Setup::new(realm, user, password);
    Forwarder::new(listener, table, setup, strategy, window)?.run()?;
    Ok(())
}
