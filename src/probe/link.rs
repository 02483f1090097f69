//! A connection to a server that carries whole STUN and ChannelData messages, over UDP, TCP or TLS.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use crate::wire::{Kind, classify};

/// The longest message: what a 16-bit length can say, and a header.
const MAX_MESSAGE: usize = 65_535 + 20;
/// Timeouts of the system are not below this.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// A connection to a server.
pub(super) struct Link {
    medium: Medium,
    local: SocketAddr,
    tally: Rc<Tally>,
}

enum Medium {
    Datagrams(UdpSocket),
    Stream {
        stream: Box<dyn Stream>,
        /// What has come in and is not yet a whole message.
        came: Vec<u8>,
    },
}

/// What a probe has sent so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    packets: Cell<u64>,
    bytes: Cell<u64>,
}

impl Tally {
    /// Counts a packet.
    pub(super) fn add(&self, bytes: usize) {
        self.packets.set(self.packets.get() + 1);
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets.get()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}

/// A byte stream that can be told how long to wait.
pub(super) trait Stream: Read + Write {
    fn set_patience(&self, patience: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.sock.set_patience(patience)
    }
}

impl Link {
    /// Over UDP, from any port of this host.
    pub(super) fn udp(server: SocketAddr, tally: &Rc<Tally>) -> io::Result<Self> {
        let socket = UdpSocket::bind(unspecified(server))?;
        socket.connect(server)?;
        let local = socket.local_addr()?;
        Ok(Self { medium: Medium::Datagrams(socket), local, tally: tally.clone() })
    }

    /// Over an open stream from `local`.
    pub(super) fn stream(stream: impl Stream + 'static, local: SocketAddr, tally: &Rc<Tally>) -> Self {
        Self { medium: Medium::Stream { stream: Box::new(stream), came: Vec::new() }, local, tally: tally.clone() }
    }

    /// Our own address.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Packets can get lost on the way.
    pub(super) fn is_lossy(&self) -> bool {
        matches!(self.medium, Medium::Datagrams(_))
    }

    /// Sends one message; over a stream with ChannelData's padding (RFC 8656 §12.5).
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.tally.add(message.len());
        match &mut self.medium {
            Medium::Datagrams(socket) => socket.send(message).map(drop),
            Medium::Stream { stream, .. } => {
                stream.write_all(message)?;
                let padding = message.len().next_multiple_of(4) - message.len();
                stream.write_all(&[0; 3][..padding])?;
                stream.flush()
            }
        }
    }

    /// The next message; nothing if none comes before `deadline`.
    ///
    /// # Errors
    /// The other side has closed the connection or its port, or speaks something else.
    pub(super) fn receive(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; MAX_MESSAGE];
        loop {
            if let Medium::Stream { came, .. } = &mut self.medium
                && let Some(message) = cut(came)?
            {
                return Ok(Some(message));
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return Ok(None);
            };
            let left = left.max(SHORTEST_WAIT);
            let received = match &mut self.medium {
                Medium::Datagrams(socket) => {
                    socket.set_read_timeout(Some(left)).and_then(|()| socket.recv(&mut buffer))
                }
                Medium::Stream { stream, .. } => stream.set_patience(left).and_then(|()| stream.read(&mut buffer)),
            };
            let len = match received {
                Err(error) if is_timeout(&error) => continue,
                other => other?,
            };
            match &mut self.medium {
                Medium::Datagrams(_) => {
                    buffer.truncate(len);
                    return Ok(Some(buffer));
                }
                Medium::Stream { .. } if len == 0 => return Err(ErrorKind::UnexpectedEof.into()),
                Medium::Stream { came, .. } => came.extend_from_slice(&buffer[..len]),
            }
        }
    }
}

/// Whether nothing came in time.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Any address and port of `other`'s family.
pub(super) fn unspecified(other: SocketAddr) -> SocketAddr {
    let any: std::net::IpAddr = if other.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    SocketAddr::new(any, 0)
}

/// Takes the first message off the front of a stream's bytes (RFC 8656 §3.5: STUN or ChannelData, by the first byte).
fn cut(came: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    // Its first letter would be ChannelData's.
    if came.starts_with(b"HTTP/") {
        return Err(io::Error::new(ErrorKind::InvalidData, "a web server answers"));
    }
    let Some(&[_, _, l0, l1]) = came.first_chunk() else {
        return Ok(None);
    };
    let body = usize::from(u16::from_be_bytes([l0, l1]));
    let (len, padded) = match classify(came) {
        Kind::Stun => (20 + body, 20 + body),
        Kind::ChannelData => (4 + body, (4 + body).next_multiple_of(4)),
        _ => {
            let front: Vec<String> = came.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            let what = format!("what came is neither STUN nor ChannelData: it begins with {}", front.join(" "));
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
    };
    if came.len() < padded {
        return Ok(None);
    }
    let mut message: Vec<u8> = came.drain(..padded).collect();
    message.truncate(len);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_into_messages() {
        let stun = [&[0x01, 0x01, 0, 4, 0x21, 0x12, 0xA4, 0x42][..], &[7; 12], &[1, 2, 3, 4]].concat();
        let data = [0x40, 0x00, 0, 3, b'a', b'b', b'c', 0];
        let all = [&stun[..], &data, &stun].concat();
        for split in 0..all.len() {
            let (mut came, mut messages) = (all[..split].to_vec(), Vec::new());
            for rest in [&all[split..], &[]] {
                while let Some(message) = cut(&mut came).expect("messages") {
                    messages.push(message);
                }
                came.extend_from_slice(rest);
            }
            assert_eq!(messages, [&stun[..], &data[..7], &stun]);
        }
    }

    #[test]
    fn something_else_on_a_stream_is_named() {
        let said = |came: &[u8]| cut(&mut came.to_vec()).expect_err("no message").to_string();
        assert_eq!(said(b"HTTP/1.1 400 Bad Request"), "a web server answers");
        assert!(said(b"SSH-2.0-OpenSSH").contains("begins with 53 53 48"), "{}", said(b"SSH-2.0-OpenSSH"));
    }
}
