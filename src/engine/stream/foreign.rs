//! TLS that is somebody else's and came to our port: which it is, and how it leaves the worker. Its first message tells
//! (RFC 8446 §4.1.2), and nothing of it is opened. Only what is listed leaves; everything else is ours.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::str;
use std::sync::Arc;

use super::admission::{Admission, Place};
use super::connection::Stream;
use super::end::StreamEnd;
use super::layer::Layer;
use super::limits::{HANDSHAKE_BYTES, StreamLimits};
use super::{Streams, Watch};
use crate::engine::tls::{ALPN, fit};
use crate::wire::client_hello::{ClientHello, MAX_CLIENT_HELLO, NoClientHello};

/// Which TLS connections are passed on, and how they are handed over.
#[derive(Clone, Debug)]
pub struct PassThrough {
    /// The ways that they can go.
    pub ways: Vec<Way>,
    /// Who takes them.
    pub hand_over: HandOver,
}

/// What goes one way: who asks for one of these names, or else offers one of these protocols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Names in lower case, of which one can begin with `*.` (RFC 6066 §3).
    pub server_names: Vec<String>,
    /// Protocols (RFC 7301), such as `h2`.
    pub protocols: Vec<Vec<u8>>,
}

/// Takes connections. It is called by workers, and must not make them wait.
#[derive(Clone)]
pub struct HandOver(pub Arc<dyn Fn(Foreign) + Send + Sync>);

/// A connection that is not ours.
#[derive(Debug)]
pub struct Foreign {
    /// Which of the [`PassThrough::ways`] it goes.
    pub way: usize,
    /// Does not block.
    pub socket: TcpStream,
    /// Who it is: by a PROXY header, where there was one.
    pub client: SocketAddr,
    /// The address that it asked for.
    pub server: SocketAddr,
    /// What it has said so far: nothing else of it was read, and nothing was answered.
    pub heard: Vec<u8>,
    /// Counts it while this lives.
    #[expect(dead_code, reason = "it is dropped")]
    place: Place,
}

/// Where foreign connections leave a worker, and how many there may be.
#[derive(Clone)]
pub(in crate::engine) struct Gate {
    pass_through: Arc<PassThrough>,
    admission: Arc<Admission>,
}

impl Gate {
    /// For all workers.
    pub(in crate::engine) fn new(pass_through: PassThrough, limits: StreamLimits) -> Self {
        let limits = StreamLimits {
            unauthenticated: limits.passed_through,
            unauthenticated_per_network: (limits.passed_through / 4).max(1),
            ..limits
        };
        Self { pass_through: Arc::new(pass_through), admission: Arc::new(Admission::new(limits)) }
    }
}

impl PassThrough {
    /// The way of who says `hello`; none if it is ours. A name that is listed goes before a protocol.
    fn way_of(&self, hello: &ClientHello<'_>) -> Option<usize> {
        if hello.protocols().any(|protocol| ALPN.contains(&protocol)) {
            return None;
        }
        let name = hello.server_name.and_then(|name| str::from_utf8(name).ok()).map(str::to_ascii_lowercase);
        let asks = |way: &Way| name.as_ref().is_some_and(|name| fit(&way.server_names, name).is_some());
        let offers = |way: &Way| hello.protocols().any(|offered| way.protocols.iter().any(|listed| listed == offered));
        self.ways.iter().position(asks).or_else(|| self.ways.iter().position(offers))
    }
}

impl Streams {
    /// More has come of the first message of TLS in `slot`. Once it is all there, what is ours begins its handshake,
    /// and what is not ends here.
    pub(in crate::engine) fn on_greeting(
        &mut self,
        slot: u32,
        bytes: &[u8],
        watch: Watch<'_>,
    ) -> Result<(), StreamEnd> {
        let Some(Gate { pass_through, admission }) = self.gate.clone() else { return Ok(()) };
        let Some(stream) = self.get_mut(slot) else { return Ok(()) };
        let Layer::Greeting(begun) = &mut stream.layer else { return Ok(()) };
        begun.extend_from_slice(bytes);
        let way = match ClientHello::read(begun, &mut [0; MAX_CLIENT_HELLO]) {
            Ok(Some(hello)) => pass_through.way_of(&hello),
            Ok(None) if begun.len() > HANDSHAKE_BYTES => return Err(StreamEnd::HandshakeFailed),
            Ok(None) => return self.count_held(slot),
            // That it is none, TLS itself says in its own words.
            Err(NoClientHello) => None,
        };
        let begun = std::mem::take(begun);
        let Some(way) = way else {
            self.begin_tls(slot)?;
            return self.on_handshake(slot, &begun, watch);
        };
        let place = admission.enter(stream.path.client.ip()).map_err(|_| StreamEnd::TooManyPassedThrough)?;
        stream.place = Some(place);
        stream.layer = Layer::Foreign(way, begun);
        Err(StreamEnd::PassedThrough)
    }

    /// Hands `stream`, which has ended here, over if that was why. It is given back if not.
    pub(super) fn pass_on(&self, stream: Box<Stream>, watch: Watch<'_>) -> Option<Box<Stream>> {
        let (Some(gate), Some(StreamEnd::PassedThrough)) = (&self.gate, stream.end) else { return Some(stream) };
        // Otherwise the set would go on telling of it. It was added when it was taken in.
        let _ = watch.epoll.remove(std::os::fd::AsFd::as_fd(&*stream));
        let (socket, path, layer, place) = stream.into_parts();
        if let (Layer::Foreign(way, heard), Some(place)) = (layer, place) {
            let (client, server) = (path.client.0, path.server.0);
            gate.pass_through.hand_over.0(Foreign { way, socket: socket.into(), client, server, heard, place });
        }
        None
    }
}

#[cfg(test)]
impl Foreign {
    /// One that went the first way.
    pub(crate) fn for_tests(socket: TcpStream, client: SocketAddr, server: SocketAddr, heard: Vec<u8>) -> Self {
        let admission = Arc::new(Admission::new(StreamLimits::default()));
        let place = admission.enter(client.ip()).expect("nobody else is there");
        Self { way: 0, socket, client, server, heard, place }
    }
}

impl fmt::Debug for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandOver")
    }
}
