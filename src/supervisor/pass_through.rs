//! TLS that is not ours, passed on to whom it is for: bytes there and back, unopened, on a thread with a Tokio runtime
//! of its own, which gives way to packets.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::engine::{self, Foreign, HandOver};
use crate::wire::proxy_header::{ProxyHeader, WRITTEN_PROXY_HEADER};

/// Where connections go that are not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backend {
    /// Its address.
    pub(super) to: SocketAddr,
    /// It is told by a PROXY header who the client is.
    pub(super) proxy_header: bool,
}

/// The thread that passes connections on. Dropping it ends them.
pub(super) struct PassingOn {
    thread: Option<JoinHandle<Tally>>,
    stop: Option<oneshot::Sender<()>>,
}

/// How long a backend has to take a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Read at a time, and so all that waits of one direction of a connection, beside what the kernel holds.
const CHUNK: usize = 16 << 10;
/// The log hears this often of a backend that cannot be reached.
const WARN_EVERY: Duration = Duration::from_secs(10);

impl PassingOn {
    /// Starts it, for these backends in the order of the engine's ways. What moves nothing for `idle` is closed.
    pub(super) fn start(backends: Vec<Backend>, idle: Duration) -> io::Result<(Self, HandOver)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // As long as the engine lets through at a time.
        let (sender, mut waiting) = mpsc::unbounded_channel::<Foreign>();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("turnkeep-pass".into()).spawn(move || {
            // Without it they merely compete with the workers.
            let _ = engine::yield_to_others();
            let office = std::rc::Rc::new(Office { backends, idle, ..Office::default() });
            let connections = LocalSet::new();
            connections.block_on(&runtime, async {
                let take_in = async {
                    while let Some(foreign) = waiting.recv().await {
                        let office = office.clone();
                        tokio::task::spawn_local(async move { office.pass(foreign).await });
                    }
                };
                tokio::select! {
                    // Whether it is told to, or let go.
                    _ = stopped => {}
                    () = take_in => {}
                }
            });
            office.tally.get()
        })?;
        // Nobody takes it any more once we stop.
        let hand_over = HandOver(Arc::new(move |foreign| drop(sender.send(foreign))));
        Ok((Self { thread: Some(thread), stop: Some(stop) }, hand_over))
    }

    /// Ends all connections, and says what there were.
    pub(super) fn stop(mut self) {
        drop(self.stop.take());
        if let Some(Ok(Tally { passed, unreachable, idle, bytes })) = self.thread.take().map(JoinHandle::join) {
            info!(connections = passed, unreachable, idle, bytes, "passed through");
        }
    }
}

impl Drop for PassingOn {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic was told by the thread.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What was passed on.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Connections that reached their backend.
    passed: u64,
    /// Those that did not.
    unreachable: u64,
    /// Those of the passed that were closed because nothing moved.
    idle: u64,
    /// In both directions.
    bytes: u64,
}

/// What all connections know.
#[derive(Default)]
struct Office {
    backends: Vec<Backend>,
    idle: Duration,
    tally: Cell<Tally>,
    warned: Cell<Option<Instant>>,
}

impl Office {
    fn count(&self, count: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.get();
        count(&mut tally);
        self.tally.set(tally);
    }

    async fn pass(&self, foreign: Foreign) {
        let Some(backend) = self.backends.get(foreign.way) else { return };
        // Its place is taken until this returns.
        let Foreign { socket, client, server, heard, .. } = foreign;
        let reached = timeout(CONNECT_WITHIN, reach(backend, client, server, &heard)).await;
        let mut there = match reached.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(there) => there,
            Err(error) => return self.on_unreachable(backend.to, client, &error),
        };
        drop(heard);
        self.count(|tally| tally.passed += 1);
        let Ok(mut here) = TcpStream::from_std(socket) else { return };
        debug!(%client, backend = %backend.to, "passed on");
        match self.splice(&mut here, &mut there).await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.count(|tally| tally.idle += 1),
            // However it ended, both sides see it now.
            Ok(()) | Err(_) => {}
        }
    }

    /// Carries bytes both ways, each until its end, and no longer than something moves.
    async fn splice(&self, here: &mut TcpStream, there: &mut TcpStream) -> io::Result<()> {
        let moved = Cell::new(Instant::now());
        let note = |len: usize| {
            moved.set(Instant::now());
            self.count(|tally| tally.bytes = tally.bytes.saturating_add(len as u64));
        };
        let ((from_here, to_here), (from_there, to_there)) = (here.split(), there.split());
        let both = async { tokio::try_join!(carry(from_here, to_there, &note), carry(from_there, to_here, &note)) };
        let rest = async {
            while moved.get().elapsed() < self.idle {
                sleep_until(moved.get() + self.idle).await;
            }
        };
        tokio::select! {
            ended = both => ended.map(|_| ()),
            () = rest => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn on_unreachable(&self, backend: SocketAddr, client: SocketAddr, error: &io::Error) {
        self.count(|tally| tally.unreachable += 1);
        if self.warned.get().is_none_or(|last| last.elapsed() >= WARN_EVERY) {
            self.warned.set(Some(Instant::now()));
            let unreachable = self.tally.get().unreachable;
            warn!(
                %client, %backend, unreachable,
                "a connection was not passed on: its backend cannot be reached: {error}"
            );
        }
    }
}

/// Connects to `backend`, and says what was said so far.
async fn reach(backend: &Backend, client: SocketAddr, server: SocketAddr, heard: &[u8]) -> io::Result<TcpStream> {
    let mut there = TcpStream::connect(backend.to).await?;
    there.set_nodelay(true)?;
    if backend.proxy_header {
        let mut header = [0; WRITTEN_PROXY_HEADER];
        let len = ProxyHeader::write(&mut header, client, server);
        there.write_all(header.get(..len).unwrap_or_default()).await?;
    }
    there.write_all(heard).await?;
    Ok(there)
}

/// Carries bytes one way until it ends, and then says that it has. Who reads slowly is read from slowly. A connection
/// on which nothing moves holds no memory.
async fn carry(from: ReadHalf<'_>, mut to: WriteHalf<'_>, note: &impl Fn(usize)) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut chunk = Vec::with_capacity(CHUNK);
        match from.try_read_buf(&mut chunk) {
            Ok(0) => return to.shutdown().await,
            Ok(len) => {
                to.write_all(&chunk).await?;
                note(len);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, Shutdown, TcpListener};

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A client's end, and its backend's.
    type Ends = (std::net::TcpStream, std::net::TcpStream);

    /// A backend, and what connections to it are passed on by.
    struct Rig {
        backend: TcpListener,
        passing_on: PassingOn,
        hand_over: HandOver,
    }

    impl Rig {
        fn new(proxy_header: bool, idle: Duration) -> Self {
            let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let backends = vec![Backend { to: backend.local_addr().unwrap(), proxy_header }];
            let (passing_on, hand_over) = PassingOn::start(backends, idle).unwrap();
            Self { backend, passing_on, hand_over }
        }

        /// A client that has said `heard` to us already.
        fn pass(&self, heard: &[u8]) -> std::net::TcpStream {
            let front = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let client = std::net::TcpStream::connect(front.local_addr().unwrap()).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            let (socket, from) = front.accept().unwrap();
            socket.set_nonblocking(true).unwrap();
            let server = "198.51.100.9:443".parse().unwrap();
            self.hand_over.0(Foreign::for_tests(socket, from, server, heard.to_vec()));
            client
        }

        fn join(&self, heard: &[u8]) -> Ends {
            let client = self.pass(heard);
            let (backend, _) = self.backend.accept().unwrap();
            backend.set_read_timeout(Some(PATIENCE)).unwrap();
            (client, backend)
        }

        fn tally(mut self) -> Tally {
            drop(self.passing_on.stop.take());
            self.passing_on.thread.take().unwrap().join().unwrap()
        }
    }

    fn read(mut from: &std::net::TcpStream, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_heard_comes_first_and_each_end_ends_for_itself() {
        let rig = Rig::new(false, PATIENCE);
        let (mut client, mut backend) = rig.join(b"hello ");
        client.write_all(b"backend").unwrap();
        assert_eq!(read(&backend, 13), b"hello backend");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&backend).read(&mut [0; 1]).unwrap(), 0, "the client has said all");
        let answer: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        let expected = answer.clone();
        let writer = thread::spawn(move || {
            backend.write_all(&answer).unwrap();
            backend
        });
        assert!(read(&client, expected.len()) == expected);
        drop(writer.join().unwrap());
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        let Tally { passed, unreachable, idle, bytes } = rig.tally();
        assert_eq!((passed, unreachable, idle, bytes), (1, 0, 0, 7 + 3_000_000));
    }

    #[test]
    fn the_backend_can_be_told_who_the_client_is() {
        let rig = Rig::new(true, PATIENCE);
        let (client, backend) = rig.join(b"hello");
        let told = read(&backend, 28 + 5);
        let header = ProxyHeader::read(&told).unwrap().unwrap();
        let proxied = header.proxied.unwrap();
        assert_eq!((header.len, &told[header.len..]), (28, &b"hello"[..]));
        assert_eq!(
            (proxied.client, proxied.server.to_string()),
            (client.local_addr().unwrap(), "198.51.100.9:443".into())
        );
    }

    #[test]
    fn a_backend_that_is_gone_is_counted_and_the_client_sent_away() {
        let rig = Rig::new(false, PATIENCE);
        let Rig { backend, passing_on, hand_over } = rig;
        let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        drop(backend);
        let rig = Rig { backend: unused, passing_on, hand_over };
        let mut client = rig.pass(b"hello");
        assert!(!matches!(client.read(&mut [0; 1]), Ok(1..)));
        let Tally { passed, unreachable, .. } = rig.tally();
        assert_eq!((passed, unreachable), (0, 1));
    }

    #[test]
    fn what_does_not_move_is_closed() {
        let rig = Rig::new(false, Duration::from_millis(200));
        let (mut client, mut backend) = rig.join(b"hello");
        assert_eq!(read(&backend, 5), b"hello");
        assert!(matches!(client.read(&mut [0; 1]), Ok(0)) && matches!(backend.read(&mut [0; 1]), Ok(0)));
        assert_eq!(rig.tally().idle, 1);
    }

    /// Who reads slowly is read from slowly: what the kernel holds, and a chunk.
    #[test]
    fn a_slow_reader_holds_the_writer_up() {
        let rig = Rig::new(false, Duration::from_millis(500));
        let (mut client, _backend) = rig.join(b"");
        client.set_nonblocking(true).unwrap();
        let (mut sent, mut stalled) = (0, 0);
        while stalled < 20 && sent < 200 << 20 {
            match client.write(&[7; 64 << 10]) {
                Ok(len) => (sent, stalled) = (sent + len, 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    stalled += 1;
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(sent < 64 << 20, "{sent} bytes are somewhere");
    }

    #[test]
    fn a_stop_ends_all() {
        let rig = Rig::new(false, PATIENCE);
        let (mut client, backend) = rig.join(b"hello");
        client.write_all(b"?").unwrap();
        assert_eq!(read(&backend, 6), b"hello?");
        assert_eq!(rig.tally().passed, 1);
        assert!(!matches!(client.read(&mut [0; 1]), Ok(1..)));
    }
}
