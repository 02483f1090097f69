//! Where connections come in: for every address one socket for each worker, sharing the port (SO_REUSEPORT).
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::limits::{ACCEPT_QUEUE, KERNEL_UNSENT, UNANSWERED};
use crate::engine::config::{Dscp, StreamKind, StreamListen};
use crate::engine::error::EngineError;
use crate::relay::{Instant, ListenerId};

/// One worker's socket for one listening address.
pub(in crate::engine) struct Acceptor {
    socket: Socket,
    address: SocketAddr,
    /// Its number; those of UDP come first.
    pub(super) id: ListenerId,
    /// What is spoken there.
    pub(super) kind: StreamKind,
    /// No connection is taken before.
    pub(super) paused_until: Option<Instant>,
}

/// A listening address for streams as it was had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamListening {
    /// With the port that was found, where 0 was asked for.
    pub address: SocketAddr,
    /// What is spoken there.
    pub kind: StreamKind,
}

/// Binds every address for every worker: all of them or none. `first_id` is the number of the first.
pub(in crate::engine) fn bind_all(
    listen: &[StreamListen],
    workers: usize,
    first_id: usize,
    dscp: Dscp,
) -> Result<(Vec<Vec<Acceptor>>, Vec<StreamListening>), EngineError> {
    let mut of_workers: Vec<Vec<Acceptor>> = (0..workers).map(|_| Vec::with_capacity(listen.len())).collect();
    let mut listening = Vec::with_capacity(listen.len());
    for (index, wanted) in listen.iter().enumerate() {
        let fail = |error| EngineError::Listen { address: wanted.address, error };
        let id = ListenerId(u16::try_from(first_id + index).unwrap_or(u16::MAX));
        let group = bind_group(*wanted, id, workers, dscp).map_err(fail)?;
        listening.extend(group.first().map(|first| StreamListening { address: first.address, kind: first.kind }));
        for (acceptors, acceptor) in of_workers.iter_mut().zip(group) {
            acceptors.push(acceptor);
        }
    }
    // The kernel spreads connections over those that listen: only now, so that none is left with a socket that is
    // closed again because a later address could not be had.
    for acceptor in of_workers.iter().flatten() {
        let fail = |error| EngineError::Listen { address: acceptor.address, error };
        acceptor.socket.listen(ACCEPT_QUEUE).map_err(fail)?;
    }
    Ok((of_workers, listening))
}

/// As for UDP the first socket is bound without SO_REUSEPORT, which fails if anybody has the address already.
fn bind_group(wanted: StreamListen, id: ListenerId, workers: usize, dscp: Dscp) -> io::Result<Vec<Acceptor>> {
    let first = Acceptor::bind(wanted, id, dscp, false)?;
    first.socket.set_reuse_port(true)?;
    let found = StreamListen { address: first.address, ..wanted };
    let mut group = vec![first];
    while group.len() < workers {
        group.push(Acceptor::bind(found, id, dscp, true)?);
    }
    Ok(group)
}

impl Acceptor {
    fn bind(wanted: StreamListen, id: ListenerId, dscp: Dscp, share: bool) -> io::Result<Self> {
        let StreamListen { address, kind } = wanted;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // What is set here every connection inherits. An address whose connections of a former run have not all timed
        // out can be had at once; one that somebody listens on cannot.
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(KERNEL_UNSENT)?;
        socket.set_tcp_user_timeout(Some(UNANSWERED))?;
        // RFC 8656 §16: one DSCP for all that is sent on a connection.
        match address.is_ipv4() {
            true => socket.set_tos_v4(dscp.own().into())?,
            false => socket.set_tclass_v6(dscp.own().into())?,
        }
        socket.set_reuse_port(share)?;
        socket.bind(&SockAddr::from(address))?;
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self { socket, address, id, kind, paused_until: None })
    }

    /// The next connection: its socket, which does not block, its client, and the address that it asked for.
    pub(super) fn accept(&self) -> io::Result<(Socket, SocketAddr, SocketAddr)> {
        let (socket, client) = self.socket.accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)?;
        let client = client.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        let server = match self.address.ip().is_unspecified() {
            true => socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?,
            false => self.address,
        };
        Ok((socket, client, server))
    }
}

impl AsFd for Acceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
