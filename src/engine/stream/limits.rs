//! Every bound on streams: how long, how many, how much. What passes one is closed or dropped, and counted.
#![forbid(unsafe_code)]

use std::time::Duration;

/// How long connections may take and how many there may be; the rest of the bounds is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// The first byte must come within this time (D-36 of docs/conformance.md).
    pub first_byte: Duration,
    /// A TLS handshake must be complete within this time.
    pub handshake: Duration,
    /// The first whole message must come within this time.
    pub first_message: Duration,
    /// The client must have had an allocation within this time.
    pub authenticated: Duration,
    /// A connection whose allocation has ended is kept for another one about this long.
    pub idle: Duration,
    /// Connections of all workers that have not had an allocation yet.
    pub unauthenticated: u32,
    /// The same, from one network: an address, or what shares its prefix.
    pub unauthenticated_per_network: u32,
    /// How many bits of an IPv4 address name a network.
    pub network_bits_v4: u8,
    /// How many bits of an IPv6 address name a network.
    pub network_bits_v6: u8,
    /// Connections of one worker.
    pub per_worker: u32,
    /// Connections of others that are passed on, over all workers; a quarter of them from one network.
    pub passed_through: u32,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            first_message: Duration::from_secs(10),
            authenticated: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            unauthenticated: 4096,
            unauthenticated_per_network: 256,
            network_bits_v4: 32,
            network_bits_v6: 64,
            per_worker: 65_536,
            passed_through: 4096,
        }
    }
}

/// Connections taken from one listener in one turn.
pub(super) const ACCEPTS_PER_TURN: usize = 16;
/// Connections that the kernel keeps until they are taken.
pub(super) const ACCEPT_QUEUE: i32 = 1024;
/// When there is no descriptor for a connection, none is taken for this long.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Bytes that wait for one client to read, beyond what the kernel holds: a second at 2 Mbit/s. What is older is of no
/// use to a call.
pub(super) const QUEUE: usize = 256 << 10;
/// So many more are kept for answers, which nobody sends again.
pub(super) const QUEUE_FOR_ANSWERS: usize = 16 << 10;
/// A queue's memory grows by this much.
pub(super) const QUEUE_GROWTH: usize = 16 << 10;
/// Bytes of memory of all clients' queues of a worker. Beyond it a queue still takes the rest of what the kernel took a
/// part of.
pub(super) const QUEUES_OF_WORKER: usize = 128 << 20;
/// Bytes that wait for one who has not authenticated: answers to a dozen pipelined requests.
pub(super) const QUEUE_OF_STRANGER: usize = 16 << 10;
/// Beyond so much memory of all queues, nothing more waits for those.
pub(super) const QUEUES_OF_STRANGERS: usize = 32 << 20;
/// Bytes that the kernel holds unsent for one client (TCP_NOTSENT_LOWAT): more would only be late.
pub(super) const KERNEL_UNSENT: u32 = 128 << 10;

/// Bytes that are read from one client in one turn. What is left, the next turn finds.
pub(in crate::engine) const READ: usize = 16 << 10;
/// The same, from one who has not authenticated.
pub(in crate::engine) const READ_OF_STRANGER: usize = 4 << 10;

/// The longest message that one may begin who has not authenticated: requests are a few hundred bytes.
pub(in crate::engine) const MESSAGE_OF_STRANGER: usize = 4 << 10;
/// Bytes of memory of messages that are not all there, of all clients of a worker that have authenticated.
pub(super) const PARTIAL_OF_WORKER: usize = 64 << 20;
/// The same, of clients that have not.
pub(super) const PARTIAL_OF_STRANGERS: usize = 16 << 20;

/// Buffers for what is not all there that a worker keeps for the next ones.
pub(super) const SPARE_BUFFERS: usize = 16;
/// Bytes that each of them has at most: a packet of media fits.
pub(super) const SPARE_BUFFER: usize = 4 << 10;

/// Bytes of a TLS handshake that wait to be worked on: a certificate of the client with its chain fits.
pub(super) const HANDSHAKE_BYTES: usize = 24 << 10;
/// Threads that work on handshakes, at most.
pub(in crate::engine) const HANDSHAKE_THREADS: usize = 4;

/// A client that takes nothing in and acknowledges nothing for this long is gone (TCP_USER_TIMEOUT).
pub(super) const UNANSWERED: Duration = Duration::from_secs(120);
/// Messages that are handed to the kernel in one call.
pub(super) const GATHERED: usize = 32;
/// Bytes of TLS records that are handed to the kernel in one call, but for those of the last message.
pub(super) const GATHERED_RECORDS: usize = 64 << 10;
/// The log hears of closed connections this often, with their number.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(10);
