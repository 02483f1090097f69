//! The clients' side over TCP and TLS: a connection each, in the fleet's set of epoll.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;

use socket2::{Domain, Socket, Type};

use super::connection::{Connection, News};
use super::side::{ADDRESSES, CLIENT_BASE, source_of};
use super::tls::Tls;
use super::{Role, Ticket, token};
use crate::engine::sys::epoll::{Epoll, Interest};
use crate::engine::sys::limit::raise_descriptors;
use crate::engine::sys::option::choose_port_when_connecting;
use crate::load::settings::{Settings, Transport};

/// Bytes read from a connection at once.
const READ: usize = 64 << 10;

/// All clients' connections.
pub(super) struct Streams {
    target: SocketAddr,
    tls: Option<Tls>,
    /// By client.
    connections: Vec<Option<Connection>>,
    sources: Sources,
    /// How often each client has begun anew.
    generations: Vec<u32>,
    /// Those that have been written to since the last flush.
    dirty: Vec<u32>,
    /// Packets that their connection did not take.
    blocked: Vec<Ticket>,
    news: Vec<(u32, News)>,
    buffer: Box<[u8]>,
    /// A message on its way into a connection.
    message: Vec<u8>,
    /// What the first handshake agreed on.
    agreed: Option<String>,
}

/// Where connections come from.
enum Sources {
    /// Addresses of the loopback network, another for each client and generation: ports of closed connections rest.
    Loopback,
    Given(Vec<IpAddr>),
}

impl Streams {
    /// For `count` clients; nothing is opened yet.
    ///
    /// # Errors
    /// A sentence: too few descriptors, no TLS.
    pub(super) fn new(settings: &Settings, count: u32) -> Result<Self, String> {
        let allowed = raise_descriptors().unwrap_or(u64::MAX);
        if u64::from(count) + 64 > allowed {
            return Err(format!(
                "{count} clients need a connection each, and this process may have {allowed} files; raise the limit \
                 (ulimit -n) or ask for fewer"
            ));
        }
        let tls = match settings.transport {
            Transport::Tls => Some(Tls::new(&settings.tls)?),
            Transport::Udp | Transport::Tcp => None,
        };
        let is_local = matches!(settings.target.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let sources = match is_local && settings.sources.is_empty() {
            true => Sources::Loopback,
            false => Sources::Given(settings.sources.clone()),
        };
        Ok(Self {
            target: settings.target,
            tls,
            connections: (0..count).map(|_| None).collect(),
            sources,
            generations: vec![0; count as usize],
            dirty: Vec::with_capacity(count as usize),
            blocked: Vec::new(),
            news: Vec::new(),
            buffer: vec![0; READ].into(),
            message: Vec::new(),
            agreed: None,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.connections.len()
    }

    /// The version and the cipher suite of TLS, once a handshake has ended.
    pub(super) fn agreed(&self) -> Option<&str> {
        self.agreed.as_deref()
    }

    /// Begins to connect client `number`; what becomes of it is news.
    pub(super) fn connect(&mut self, epoll: &Epoll, number: u32, now_ns: u64) {
        match self.begin(epoll, number, now_ns) {
            Ok(connection) => self.connections[number as usize] = Some(connection),
            Err(error) => self.news.push((number, News::Closed(said(&error)))),
        }
    }

    fn begin(&mut self, epoll: &Epoll, number: u32, now_ns: u64) -> io::Result<Connection> {
        let tls = self.tls.as_ref().map(Tls::connection).transpose().map_err(io::Error::other)?;
        let socket = Socket::new(Domain::for_address(self.target), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // Where many connect to one address a port serves for several of our addresses.
        choose_port_when_connecting(socket.as_fd())?;
        socket.bind(&self.source(number).into())?;
        match socket.connect(&self.target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let socket = TcpStream::from(socket);
        let token = token(Role::Client, number as usize);
        epoll.add(socket.as_fd(), token)?;
        epoll.change(socket.as_fd(), token, Interest::ReadAndWrite)?;
        Ok(Connection::new(socket, tls, now_ns))
    }

    fn source(&self, number: u32) -> SocketAddr {
        match &self.sources {
            Sources::Given(sources) => source_of(sources, self.target, number),
            Sources::Loopback => {
                let count = self.connections.len() as u32;
                let place = number + self.generations[number as usize] * count;
                SocketAddr::new(Ipv4Addr::from_bits(CLIENT_BASE + place).into(), 0)
            }
        }
    }

    /// Ends the connection of client `number`; the next one comes from elsewhere.
    pub(super) fn renew(&mut self, number: u32) {
        self.close(number);
        let count = self.connections.len() as u32;
        let generation = &mut self.generations[number as usize];
        *generation = (*generation + 1) % (ADDRESSES / count).max(1);
    }

    pub(super) fn close(&mut self, number: u32) {
        if let Some(connection) = self.connections.get_mut(number as usize).and_then(Option::take) {
            connection.close();
        }
    }

    /// Queues a message of `len` bytes, which `fill` writes, for the connection of client `number`.
    pub(super) fn queue(&mut self, number: u32, len: usize, ticket: Option<Ticket>, fill: impl FnOnce(&mut [u8])) {
        let Self { connections, dirty, blocked, message, .. } = self;
        message.clear();
        // RFC 8656 §12.5: zeros up to a multiple of four, which ChannelData's length does not count.
        message.resize(len.next_multiple_of(4), 0);
        fill(&mut message[..len]);
        let connection = connections.get_mut(number as usize).and_then(Option::as_mut);
        let taken = connection.and_then(|connection| connection.push(message).is_ok().then_some(connection));
        let Some(connection) = taken else { return blocked.extend(ticket) };
        if !std::mem::replace(&mut connection.is_dirty, true) {
            dirty.push(number);
        }
    }

    /// Hands over what is queued, and tells `blocked` what found no room.
    pub(super) fn flush(&mut self, epoll: &Epoll, blocked: &mut dyn FnMut(Ticket)) {
        self.blocked.drain(..).for_each(blocked);
        let mut dirty = std::mem::take(&mut self.dirty);
        for number in dirty.drain(..) {
            let Some(connection) = &mut self.connections[number as usize] else { continue };
            connection.is_dirty = false;
            let flushed = connection.flush();
            self.settle(epoll, number, flushed);
        }
        self.dirty = dirty;
    }

    /// Client `number`'s connection can be read or written; messages go to `see`, with the time of `on_batch`.
    /// Returns how many came.
    pub(super) fn on_ready(
        &mut self,
        epoll: &Epoll,
        number: u32,
        [readable, writable]: [bool; 2],
        now_ns: u64,
        see: &mut impl FnMut(&[u8]),
    ) -> usize {
        let Some(connection) = self.connections.get_mut(number as usize).and_then(Option::as_mut) else { return 0 };
        let mut count = 0;
        let mut go_on = || {
            if writable {
                self.news.extend(connection.on_writable(now_ns)?.map(|news| (number, news)));
            }
            if readable {
                let mut count_and_see = |message: &[u8]| {
                    count += 1;
                    see(message);
                };
                connection.on_readable(&mut self.buffer, &mut count_and_see)?;
            }
            if let Some(news) = connection.secured(now_ns) {
                self.news.push((number, news));
                self.agreed.get_or_insert_with(|| agreed(connection));
            }
            // The handshake, and what it made wait.
            connection.flush()
        };
        let outcome = go_on();
        self.settle(epoll, number, outcome);
        count
    }

    /// Asks epoll for what the connection wants, or puts it away where it is over.
    fn settle(&mut self, epoll: &Epoll, number: u32, outcome: io::Result<()>) {
        let Some(connection) = &mut self.connections[number as usize] else { return };
        let wants = connection.wants_to_write();
        let changed = outcome.and_then(|()| {
            if wants == connection.asks_to_write {
                return Ok(());
            }
            connection.asks_to_write = wants;
            let interest = if wants { Interest::ReadAndWrite } else { Interest::Read };
            epoll.change(connection.socket().as_fd(), token(Role::Client, number as usize), interest)
        });
        if let Err(error) = changed {
            self.connections[number as usize] = None;
            self.news.push((number, News::Closed(said(&error))));
        }
    }

    /// What has become of connections since the last call.
    pub(super) fn take_news(&mut self, into: &mut Vec<(u32, News)>) {
        into.append(&mut self.news);
    }
}

fn agreed(connection: &Connection) -> String {
    let tls = connection.tls();
    let version = tls.and_then(|tls| tls.protocol_version()?.as_str()).unwrap_or("TLS");
    let suite = tls.and_then(|tls| tls.negotiated_cipher_suite()?.suite().as_str()).unwrap_or("of an unknown suite");
    format!("{version} {suite}")
}

/// An error in few words that are the same each time, as they are counted by them.
fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed by the server".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset by the server".into(),
        io::ErrorKind::ConnectionRefused => "refused".into(),
        _ => error.to_string(),
    }
}
