//! Listening sockets: for every address one for each worker, sharing the port (SO_REUSEPORT), so that the kernel sends
//! a client's 5-tuple to the same worker always.
#![forbid(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{SockAddr, Socket};

use super::buffers::Buffers;
use super::error::EngineError;
use super::intake::Intake;
use super::outbox::Queue;
use super::sys::option;
use super::udp_socket;
use crate::relay::{Family, ServerAddr};

/// One worker's socket for one listening address. All workers' are made by one thread, side by side in memory, so each
/// keeps off the others' cache lines.
#[repr(align(128))]
pub(super) struct Listener {
    socket: Socket,
    address: SocketAddr,
    /// How much to read at a time.
    pub(super) intake: Intake,
    /// What is to be sent through it.
    pub(super) queue: Queue,
}

/// A listening address as it was had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// With the port that was found, where 0 was asked for.
    pub address: SocketAddr,
    /// Those of each socket.
    pub buffers: Buffers,
}

/// Binds every address for every worker: all of them or none.
pub(super) fn bind_all(
    addresses: &[SocketAddr],
    workers: usize,
    buffer: usize,
) -> Result<(Vec<Vec<Listener>>, Vec<Listening>), EngineError> {
    let mut of_workers: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::with_capacity(addresses.len())).collect();
    let mut listening = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let fail = |error| EngineError::Listen { address, error };
        let group = bind_group(address, workers, buffer).map_err(fail)?;
        if let Some(first) = group.first() {
            listening.push(first.listening(buffer).map_err(fail)?);
        }
        for (listeners, listener) in of_workers.iter_mut().zip(group) {
            listeners.push(listener);
        }
    }
    // While a group was growing, the kernel spread clients differently than from now on.
    of_workers.iter().flatten().for_each(Listener::discard_waiting);
    Ok((of_workers, listening))
}

/// Binds `address` once for each worker. The first socket is bound without SO_REUSEPORT, which fails if anybody has the
/// address already; it is set afterwards, and the others join. So a second start of this program fails instead of
/// taking a share of the first one's clients, and no moment is left in which another could slip in.
fn bind_group(address: SocketAddr, workers: usize, buffer: usize) -> io::Result<Vec<Listener>> {
    let first = Listener::bind(address, buffer, false)?;
    first.socket.set_reuse_port(true)?;
    let address = first.address;
    let mut group = vec![first];
    while group.len() < workers {
        group.push(Listener::bind(address, buffer, true)?);
    }
    Ok(group)
}

impl Listener {
    fn bind(address: SocketAddr, buffer: usize, share: bool) -> io::Result<Self> {
        let socket = udp_socket::open(Family::of(address.ip()), buffer)?;
        if address.ip().is_unspecified() {
            option::report_asked_address(socket.as_fd(), address.is_ipv4())?;
        }
        socket.set_reuse_port(share)?;
        socket.bind(&SockAddr::from(address))?;
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self { socket, address, intake: Intake::default(), queue: Queue::default() })
    }

    /// What is to be told of it.
    fn listening(&self, asked: usize) -> io::Result<Listening> {
        Ok(Listening { address: self.address, buffers: Buffers::of(&self.socket, asked)? })
    }

    /// Throws away what waits. Bounded, since a flood may be coming in.
    fn discard_waiting(&self) {
        const AT_MOST: usize = 10_000;
        let mut byte = [MaybeUninit::uninit()];
        let _ = (0..AT_MOST).try_for_each(|_| self.socket.recv(&mut byte).map(drop));
    }

    /// The address that a datagram was sent to, which its answer must come from; none if nobody can answer from there.
    pub(super) fn asked(&self, asked: Option<super::sys::cmsg::Asked>) -> Option<ServerAddr> {
        use super::sys::cmsg::Asked;
        match (self.is_wildcard(), asked) {
            (false, _) => Some(ServerAddr(self.address)),
            (true, Some(Asked::Unicast(ip))) => Some(ServerAddr(SocketAddr::new(ip, self.address.port()))),
            (true, Some(Asked::Many) | None) => None,
        }
    }

    /// It listens on every address, so what is sent through it must say which one it comes from.
    pub(super) fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::buffers::Granted;
    use std::net::UdpSocket;

    fn bind(addresses: &[&str], workers: usize) -> Result<(Vec<Vec<Listener>>, Vec<Listening>), EngineError> {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        bind_all(&addresses, workers, 64 << 10)
    }

    #[test]
    fn port_zero_is_found_once_for_all_workers() {
        let (of_workers, listening) = bind(&["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"], 3).unwrap();
        assert_eq!(of_workers.len(), 3);
        for listeners in &of_workers {
            let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
            assert_eq!(addresses, listening.iter().map(|l| l.address).collect::<Vec<_>>());
            assert!(addresses.iter().all(|address| address.port() != 0));
        }
    }

    #[test]
    fn a_second_start_fails_even_though_ports_are_shared() {
        let (_first, listening) = bind(&["127.0.0.1:0"], 2).unwrap();
        let address = listening[0].address;
        let second = bind(&[&address.to_string()], 2).err().unwrap().to_string();
        assert!(second.contains(&address.to_string()) && second.contains("in use"), "{second}");
        let wildcard = bind(&[&format!("0.0.0.0:{}", address.port())], 2).err().unwrap().to_string();
        assert!(wildcard.contains("in use"), "{wildcard}");
    }

    #[test]
    fn a_failure_leaves_nothing_bound() {
        let (held, listening) = bind(&["127.0.0.1:0"], 1).unwrap();
        let taken = listening[0].address.to_string();
        let (free, listening) = bind(&["127.0.0.1:0"], 1).unwrap();
        let other = listening[0].address.to_string();
        drop(free);
        assert!(bind(&[&other, &taken], 2).is_err());
        drop(held);
        assert!(bind(&[&other, &taken], 2).is_ok());
    }

    #[test]
    fn every_error_names_the_mend() {
        let elsewhere = bind(&["203.0.113.5:0"], 1).err().unwrap().to_string();
        assert_eq!(elsewhere, "cannot listen on 203.0.113.5:0: 203.0.113.5 is not an address of this host");
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let denied = EngineError::Listen { address: "0.0.0.0:443".parse().unwrap(), error: denied }.to_string();
        assert!(denied.contains("0.0.0.0:443") && denied.contains("CAP_NET_BIND_SERVICE"), "{denied}");
    }

    #[test]
    fn clients_are_spread_over_all_workers_and_stay_where_they_are() {
        let (of_workers, listening) = bind(&["127.0.0.1:0"], 2).unwrap();
        let mut reached = [0; 2];
        for _ in 0..64 {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            for _ in 0..3 {
                client.send_to(b"x", listening[0].address).unwrap();
            }
            let mut byte = [MaybeUninit::uninit()];
            let counts = [0, 1]
                .map(|worker: usize| std::iter::from_fn(|| of_workers[worker][0].socket.recv(&mut byte).ok()).count());
            assert!(counts == [3, 0] || counts == [0, 3], "{counts:?}");
            reached[usize::from(counts[1] == 3)] += 1;
        }
        assert!(reached.iter().all(|&clients| clients > 0), "{reached:?}");
    }

    #[test]
    fn what_came_before_the_group_was_whole_is_thrown_away() {
        let (of_workers, listening) = bind(&["127.0.0.1:0"], 1).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"early", listening[0].address).unwrap();
        of_workers[0][0].discard_waiting();
        let waiting = of_workers[0][0].socket.recv(&mut [MaybeUninit::uninit()]);
        assert_eq!(waiting.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_the_kernel_grants_is_reported() {
        let (_, listening) = bind(&["127.0.0.1:0"], 1).unwrap();
        let Granted { asked, granted } = listening[0].buffers.receive;
        assert_eq!(asked, 64 << 10);
        assert!(granted >= 2048 && granted <= asked, "{granted}");
        let (_, listening) = bind_all(&["127.0.0.1:0".parse().unwrap()], 1, 1 << 30).unwrap();
        assert!(listening[0].buffers.receive.is_short() && listening[0].buffers.send.is_short());
    }
}
