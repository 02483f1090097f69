//! One client's connection: TCP, with TLS in it or without.
//!
//! Nothing waits: what the kernel does not take now is kept, up to a bound, and goes out when there is room. A sender
//! of media would not queue more, so a packet that finds the bound reached is dropped, and told.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use rustls::ClientConnection;

use crate::wire::channel_data::ChannelNumbers;
use crate::wire::framer::{self, Frame};

/// What may wait in user space, in bytes: some hundred milliseconds of a call with a picture. The kernel's own queue
/// comes behind it.
const MOST_WAITING: usize = 64 << 10;
/// A waiting queue that was longer than this is given back when it is empty.
const KEPT: usize = 16 << 10;

/// A connection that is at least under way.
pub(super) struct Connection {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    stage: Stage,
    /// Since when it has been in this stage, in nanoseconds.
    since_ns: u64,
    /// The beginning of a message whose end has not come yet.
    partial: Vec<u8>,
    /// Without TLS: what the kernel has not taken yet, from `sent` on.
    waiting: Vec<u8>,
    sent: usize,
    /// With TLS: bytes written since all was taken by the kernel.
    unsent: usize,
    /// Whether epoll tells when it can be written to.
    pub(super) asks_to_write: bool,
    /// Whether it is in the list of those to be flushed.
    pub(super) is_dirty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The three-way handshake.
    Connecting,
    /// TLS's handshake.
    Securing,
    Open,
}

/// What has become of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::load) enum News {
    /// TCP is there, this long after it was asked for; whether TLS comes next.
    Connected { took_ns: u64, secures: bool },
    /// TLS is there, this long after TCP was.
    Secured { took_ns: u64 },
    /// It is over, and why.
    Closed(String),
}

/// What a connection does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocked;

impl Connection {
    /// One whose `socket` has begun to connect.
    pub(super) fn new(socket: TcpStream, tls: Option<ClientConnection>, now_ns: u64) -> Self {
        Self {
            socket,
            tls: tls.map(Box::new),
            stage: Stage::Connecting,
            since_ns: now_ns,
            partial: Vec::new(),
            waiting: Vec::new(),
            sent: 0,
            unsent: 0,
            asks_to_write: true,
            is_dirty: false,
        }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) fn tls(&self) -> Option<&ClientConnection> {
        self.tls.as_deref()
    }

    /// Queues a message, padded as RFC 8656 §12.5 asks.
    ///
    /// # Errors
    /// It is not open, or too much waits already.
    pub(super) fn push(&mut self, message: &[u8]) -> Result<(), Blocked> {
        if self.stage != Stage::Open || self.unsent() + message.len() > MOST_WAITING {
            return Err(Blocked);
        }
        match &mut self.tls {
            None => self.waiting.extend_from_slice(message),
            Some(tls) => {
                // Takes all of it: it has no bound of its own.
                tls.writer().write_all(message).map_err(|_| Blocked)?;
                self.unsent += message.len();
            }
        }
        Ok(())
    }

    fn unsent(&self) -> usize {
        self.unsent + self.waiting.len() - self.sent
    }

    /// Whether something waits for the kernel.
    pub(super) fn wants_to_write(&self) -> bool {
        match &self.tls {
            _ if self.stage == Stage::Connecting => true,
            Some(tls) => tls.wants_write(),
            None => self.sent < self.waiting.len(),
        }
    }

    /// Hands over as much as the kernel takes.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.stage == Stage::Connecting {
            return Ok(());
        }
        loop {
            let wrote = match &mut self.tls {
                Some(tls) if tls.wants_write() => tls.write_tls(&mut self.socket),
                None if self.sent < self.waiting.len() => self.socket.write(&self.waiting[self.sent..]),
                _ => break,
            };
            match wrote {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) if self.tls.is_none() => self.sent += len,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (self.sent, self.unsent) = (0, 0);
        self.waiting.clear();
        if self.waiting.capacity() > KEPT {
            self.waiting.shrink_to(KEPT);
        }
        Ok(())
    }

    /// Goes on where the socket can be written to: ends connecting, sends what waits.
    ///
    /// # Errors
    /// The connection is over, or never came into being.
    pub(super) fn on_writable(&mut self, now_ns: u64) -> io::Result<Option<News>> {
        let mut news = None;
        if self.stage == Stage::Connecting {
            if let Some(error) = self.socket.take_error()? {
                return Err(error);
            }
            // Writable without error and without a peer: not yet.
            if self.socket.peer_addr().is_err() {
                return Ok(None);
            }
            let secures = self.tls.is_some();
            news = Some(News::Connected { took_ns: now_ns.saturating_sub(self.since_ns), secures });
            (self.stage, self.since_ns) = (if secures { Stage::Securing } else { Stage::Open }, now_ns);
        }
        self.flush()?;
        Ok(news)
    }

    /// Reads once, up to what `buffer` holds, and shows each message to `see`; true if there can be more.
    ///
    /// # Errors
    /// The connection is over, or what came is neither STUN nor ChannelData.
    pub(super) fn on_readable(&mut self, buffer: &mut [u8], see: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        let Some(mut tls) = self.tls.take() else {
            let len = self.socket.read(buffer);
            return self.take(len, buffer, see);
        };
        let result = self.read_tls(&mut tls, buffer, see);
        self.tls = Some(tls);
        result
    }

    fn read_tls(
        &mut self,
        tls: &mut ClientConnection,
        buffer: &mut [u8],
        see: &mut impl FnMut(&[u8]),
    ) -> io::Result<bool> {
        match tls.read_tls(&mut self.socket) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(false),
            Err(error) => return Err(error),
        }
        let processed = tls.process_new_packets().map_err(io::Error::other);
        // An alert that says why goes out also where it failed.
        let _ = tls.write_tls(&mut self.socket);
        let mut left = processed?.plaintext_bytes_to_read();
        while left > 0 {
            let len = tls.reader().read(buffer);
            left = left.saturating_sub(*len.as_ref().unwrap_or(&left));
            self.take(len, buffer, see)?;
        }
        Ok(true)
    }

    fn take(&mut self, read: io::Result<usize>, buffer: &[u8], see: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        let len = match read {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(false),
            Err(error) => return Err(error),
        };
        let fresh = &buffer[..len];
        if self.partial.is_empty() {
            let rest = show(fresh, see)?;
            self.partial.extend_from_slice(rest);
        } else {
            self.partial.extend_from_slice(fresh);
            let rest = show(&self.partial, see)?.len();
            self.partial.drain(..self.partial.len() - rest);
        }
        Ok(len == buffer.len())
    }

    /// Whether TLS's handshake has ended since the last question, and how long it took.
    pub(super) fn secured(&mut self, now_ns: u64) -> Option<News> {
        let is_done = self.tls.as_ref().is_some_and(|tls| !tls.is_handshaking());
        if self.stage != Stage::Securing || !is_done {
            return None;
        }
        let took_ns = now_ns.saturating_sub(self.since_ns);
        (self.stage, self.since_ns) = (Stage::Open, now_ns);
        Some(News::Secured { took_ns })
    }

    /// Says good-bye, where it can be said at once.
    pub(super) fn close(mut self) {
        if let Some(tls) = self.tls.as_mut().filter(|_| self.stage == Stage::Open) {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut self.socket);
        }
    }
}

/// Shows the whole messages of `bytes`, and returns what is left.
fn show<'b>(mut bytes: &'b [u8], see: &mut impl FnMut(&[u8])) -> io::Result<&'b [u8]> {
    loop {
        match framer::frame(ChannelNumbers::Rfc8656, bytes) {
            Ok(Frame::Whole(len)) => {
                let (message, rest) = bytes.split_at(len);
                see(message);
                bytes = rest;
            }
            Ok(Frame::Partial { .. }) => return Ok(bytes),
            Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
        }
    }
}
