//! Every bound of the relay floor. Passing one is an RFC error or a counted drop, never growth.

use std::time::Duration;

/// The lifetime of an allocation that asks for none or for less (RFC 8656 §3.2).
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// The most that is granted unless the configuration says less (RFC 8656 §7.2 recommends at most an hour).
pub const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// A permission lasts this long (RFC 8656 §9).
pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// A channel binding lasts this long (RFC 8656 §12).
pub const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// An expired channel's number and peer are not bound to others for this long (RFC 8656 §12).
pub const CHANNEL_REST: Duration = Duration::from_secs(300);
/// A nonce is good for this long (RFC 8656 §5: expires at least hourly).
pub const NONCE_LIFETIME: Duration = Duration::from_secs(3600);
/// The audit trail hears of an allocation's refreshes this often at most. Clients refresh every few minutes; one that
/// does so all the time must not fill the trail. What is not told of is in the totals of the next record.
pub const REFRESH_RECORD_EVERY: Duration = Duration::from_secs(10);
/// A freed 5-tuple is kept for its user this long: as long as a client may retransmit (RFC 8489 §6.2.1).
pub const FIVE_TUPLE_REST: Duration = Duration::from_secs(40);
/// A reserved port is kept for its user this long (RFC 8656 §7.2: at least 30 seconds).
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);
/// ICMP errors that the client of one allocation hears of at once.
pub const ICMP_BURST: u32 = 5;
/// In the long run it hears of one this often; others are counted.
pub const ICMP_EVERY: Duration = Duration::from_millis(100);

/// Ports of one family that are reserved at a time, by all users (RFC 8656 §7.2, EVEN-PORT with the R bit).
pub const MAX_RESERVATIONS: usize = 1024;
/// Allocations of one worker; a dual one counts twice, as it has two relay sockets.
pub const MAX_ALLOCATIONS: u32 = 1 << 20;
/// Freed 5-tuples of one worker that are remembered; the oldest is forgotten first.
pub const MAX_RESTING_FIVE_TUPLES: usize = 65_536;
/// Permissions of one allocation.
pub const MAX_PERMISSIONS: usize = 256;
/// Channels of one allocation, resting ones included.
pub const MAX_CHANNELS: usize = 256;
/// XOR-PEER-ADDRESS attributes in one CreatePermission.
pub const MAX_PEERS_PER_REQUEST: usize = 32;
/// The longest answer; it stays below the 548 bytes that RFC 8489 §6.1 asks for on IPv4.
pub const MAX_REPLY: usize = 548;
/// Bytes of USERNAME that are looked at: RFC 8489 §14.3 allows up to 763, our grammar up to 508 (§14.3 of RFC 8489
/// gives 509 as the bound for interoperability).
pub const MAX_USERNAME: usize = 508;
/// Allocations that one call of `Server::on_deadline` ends, so that a mass expiry never stalls the packets between.
pub const MAX_EXPIRIES_PER_CALL: usize = 256;
/// The longest Data indication with an ICMP attribute: header 20, XOR-PEER-ADDRESS of IPv6 24, ICMP 12.
pub const MAX_ICMP_INDICATION: usize = 56;
/// The longest payload that fits behind a header in one datagram to the client.
pub const MAX_PAYLOAD: usize = 65_535 - 8 - 20 - 48;
