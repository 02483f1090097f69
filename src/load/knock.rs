//! Whether anything listens at the target, before all else: a host that is there says at once where nothing does.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use super::fleet::source_of;
use super::session::Session;
use super::settings::{Settings, Transport};
use crate::wire::{Class, MessageWriter, Method, TransactionId};

/// How long one knock is waited for.
const WAIT: Duration = Duration::from_millis(250);
/// How often a host may say that nothing listens: a server may be about to start.
const REFUSALS: u32 = 8;
/// How often it may say nothing. That is no answer, so the test begins: not every server answers a Binding.
const SILENCES: u32 = 2;

/// Sends Bindings from a connected socket, which hears of ICMP's "port unreachable" (RFC 8489 §6.2.1), until something
/// comes back. Connections need none of it: they are refused by themselves.
///
/// # Errors
/// A sentence: nothing listens there.
pub(super) fn knock(session: &mut Session<'_>) -> Result<(), String> {
    let settings = session.settings;
    if settings.transport != Transport::Udp {
        return Ok(());
    }
    // What is wrong with the route or the descriptors the test finds itself, and says it better.
    let Ok(socket) = door(settings) else { return Ok(()) };
    let (begun_ns, mut refusals, mut silences) = (session.clock.now(), 0, 0);
    while refusals < REFUSALS {
        if session.is_stopped() || silences == SILENCES {
            return Ok(());
        }
        match once(&socket) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                refusals += 1;
                std::thread::sleep(WAIT);
            }
            Err(_) => silences += 1,
        }
        session.tell("setup", begun_ns, None, settings.setup_rate, 0, Default::default());
    }
    let target = settings.target;
    Err(format!("nothing listens at UDP {target}: its host says so (port unreachable); is the server running there?"))
}

fn door(settings: &Settings) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(source_of(&settings.sources, settings.target, 0))?;
    socket.connect(settings.target)?;
    socket.set_read_timeout(Some(WAIT))?;
    Ok(socket)
}

fn once(socket: &UdpSocket) -> io::Result<usize> {
    let mut bytes = [0; 64];
    let id = TransactionId(std::array::from_fn(|index| index as u8 ^ 0x5A));
    let written = MessageWriter::new(&mut bytes, Method::BINDING, Class::Request, id).map(MessageWriter::finish);
    // A header fits.
    let len = written.unwrap_or(0);
    socket.send(&bytes[..len])?;
    socket.recv(&mut bytes)
}
