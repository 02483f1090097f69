//! Every key of the configuration file. The doc comments of the fields are the documentation that users read: in
//! `turnkeep config reference`, in the JSON Schema and in editors. Keep them whole sentences without markup.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{
    AlternateServer, BackendAddress, Cidr, DomainName, Dscp, EnvName, HostIp, Id, ListenAddress, Nat64Prefix, NodeName,
    Period, Port, PortRange, PortSet, Protocol, Realm, Separator, ServerName, UtcTime, Whole,
};
use crate::policy::auth::ephemeral::DEFAULT_MAX_TTL;

/// The configuration of a turnkeep relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The realm (RFC 8489 §14.9), best a domain name of yours. Clients derive their keys from it, so every relay
    /// behind one name needs the same, and changing it makes clients authenticate anew.
    #[schemars(example = "example.org")]
    pub realm: Realm,
    /// The name of this relay in logs and audit records. Default: the name of the host.
    #[schemars(example = "relay-a")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// The name of the zone that this relay serves. A credential that is bound to a zone is good there only.
    #[serde(default = "default_zone")]
    pub zone: Id,
    /// This is a laboratory: allow rules may open loopback, documentation and benchmarking addresses, and secrets may
    /// be short. Never in production.
    #[serde(default)]
    pub lab: bool,
    /// Worker threads; 0 means one for each core.
    #[serde(default = "default_workers")]
    pub workers: Whole<0, 256>,
    /// Where clients come in: one table for each address and transport.
    #[serde(rename = "listener")]
    #[schemars(length(min = 1))]
    pub listeners: Vec<Listener>,
    /// What listeners with transport = "tls" or "auto" show and take.
    #[serde(default)]
    pub tls: Tls,
    /// TLS that is not for this relay and comes to its port all the same: it is passed on unopened, so that a web site
    /// and the relay share port 443. What no table lists is the relay's.
    #[serde(default)]
    pub pass_through: Vec<PassThrough>,
    /// How many connections there may be, and for how long. Everything else that bounds them is fixed.
    #[serde(default)]
    pub streams: Streams,
    /// Load balancers that tell for whom they speak, by the PROXY protocol.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
    /// Where relayed addresses live.
    #[serde(default)]
    pub relay: Relay,
    /// Who may use the relay.
    #[serde(default)]
    pub credentials: Credentials,
    /// Whom clients may reach through the relay. Special-use addresses (private, loopback, link-local, the metadata
    /// services of clouds, …) and the relay's own are denied unless a rule below allows them; all others are allowed
    /// unless a rule denies them.
    #[serde(default)]
    pub peers: Peers,
    /// How much one user may have.
    #[serde(default)]
    pub limits: Limits,
    /// To empty this relay before it is stopped: new allocations go elsewhere, those that stand go on.
    #[serde(default)]
    pub drain: Drain,
    /// The record of who was relayed when. A relay that cannot write it does not start.
    #[serde(default)]
    pub audit: Audit,
    /// The log, on standard error. It has events only: never a line for a packet, never a secret.
    #[serde(default)]
    pub log: Log,
}

pub(super) fn default_zone() -> Id {
    Id::default_zone()
}

fn default_workers() -> Whole<0, 256> {
    Whole::of(0)
}

/// Where clients come in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address and port. 0.0.0.0 and :: stand for every address of their family; answers come from the address that
    /// was asked.
    #[schemars(example = "0.0.0.0:3478")]
    pub address: ListenAddress,
    /// How clients reach it.
    #[serde(default)]
    pub transport: Transport,
    /// Whether MD5 and SHA-1 will do here. Default: what credentials.legacy says.
    #[schemars(example = &"deny")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy: Option<Legacy>,
}

/// How clients reach a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// TCP connections, for clients whose network lets no UDP through.
    Tcp,
    /// TLS over TCP, for clients whose network lets nothing else through: best on port 443.
    Tls,
    /// TCP with or without TLS, as the first byte tells: some clients speak plain TCP wherever they are sent.
    Auto,
}

impl Transport {
    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Auto => "auto",
        }
    }

    /// Whether clients may speak TLS.
    pub fn may_be_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Auto)
    }

    /// Whether connections are listened for.
    pub fn is_stream(self) -> bool {
        self != Self::Udp
    }
}

/// What TLS listeners show and take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The cipher suites, all with forward secrecy, in TLS 1.3 and 1.2.
    pub profile: TlsProfile,
    /// Whether clients show certificates of their own.
    pub client_certificates: ClientCertificates,
    /// The authority that has signed them, in PEM. A relative path starts at this file's directory.
    #[schemars(example = "/etc/turnkeep/clients.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
    /// The certificates, each for its names; the first is also for clients that ask for no name or for an unknown one.
    /// When their files change the new pair is shown to whoever comes then, if it is a good one.
    #[serde(rename = "certificate")]
    pub certificates: Vec<CertificateSource>,
}

/// The cipher suites of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsProfile {
    /// AES-128, AES-256 and ChaCha20.
    #[default]
    Modern,
    /// AES-256 alone.
    Aes256,
}

/// Whether clients show certificates of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They are not asked; browsers have none.
    #[default]
    None,
    /// Who shows one must show one of client_ca_file.
    Optional,
    /// Nobody gets in without one.
    Required,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateSource {
    /// The certificate and behind it its chain, in PEM: fullchain.pem of certbot. A relative path starts at this file's
    /// directory.
    #[schemars(example = "/etc/turnkeep/fullchain.pem")]
    pub chain_file: PathBuf,
    /// Its private key, in PEM. Owned by root or the user turnkeep runs as, and closed to everybody else.
    #[schemars(example = "/etc/turnkeep/privkey.pem")]
    pub key_file: PathBuf,
    /// The names that it is shown for. Default: those in the certificate.
    #[schemars(example = ["turn.example.org"])]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NodeName>,
}

/// TLS that is passed on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassThrough {
    /// Where it goes: an address and a port that somebody else listens on.
    #[schemars(example = "127.0.0.1:8443")]
    pub to: BackendAddress,
    /// The names that clients ask for (SNI), one label of each can be "*". A name goes before a protocol.
    #[schemars(example = ["www.example.org"])]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_names: Vec<ServerName>,
    /// The protocols that clients offer (ALPN), whatever name they ask for: browsers offer "h2" and "http/1.1" to web
    /// sites and nothing to relays. Who offers "stun.turn" is never passed on.
    #[schemars(example = ["h2", "http/1.1"])]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<Protocol>,
    /// Put a PROXY header (version 2) in front, so that the backend learns who the client is; it must expect one.
    #[serde(default)]
    pub proxy_header: bool,
}

/// How many connections there may be, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Streams {
    /// Connections, over all workers, of clients that have not had an allocation yet.
    pub unauthenticated: Whole<1, 1_000_000>,
    /// The same, from one network: all clients behind one NAT share an address.
    pub unauthenticated_per_network: Whole<1, 1_000_000>,
    /// How many leading bits of an IPv4 address name a network.
    pub network_bits_v4: Whole<8, 32>,
    /// How many leading bits of an IPv6 address name a network.
    pub network_bits_v6: Whole<16, 128>,
    /// Connections of one worker.
    pub per_worker: Whole<1, 1_000_000>,
    /// The longest that a TLS handshake may take.
    pub handshake_timeout: Period<1, 60>,
    /// How long a connection is kept whose allocation has ended.
    pub idle_timeout: Period<10, 3600>,
    /// Connections, over all workers, that are passed on; a quarter of them from one network.
    pub passed_through: Whole<1, 1_000_000>,
    /// How long a connection that is passed on is kept while nothing moves on it.
    pub passed_through_idle_timeout: Period<10, 86_400>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            unauthenticated: Whole::of(4096),
            unauthenticated_per_network: Whole::of(256),
            network_bits_v4: Whole::of(32),
            network_bits_v6: Whole::of(64),
            per_worker: Whole::of(65_536),
            handshake_timeout: Period::of_secs(10),
            idle_timeout: Period::of_secs(60),
            passed_through: Whole::of(4096),
            passed_through_idle_timeout: Period::of_secs(600),
        }
    }
}

/// Load balancers that tell for whom they speak.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyProtocol {
    /// Where they are. What comes from there by TCP must begin with a PROXY header, version 1 or 2, before TLS if there
    /// is any; from everywhere else such a header is refused.
    pub from: Vec<Cidr>,
    /// Where those are that tell it with datagrams, by a header of version 2: in front of each, or of the first of each
    /// client if the proxy keeps a port of its own for every one. What comes from there by UDP and is nobody's is
    /// dropped and counted; answers go back to where it came from, without a header. From everywhere else such a header
    /// is noise.
    pub udp_from: Vec<Cidr>,
}

/// Where relayed addresses live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Relay {
    /// The ports of relayed addresses, first and last. Each allocation takes one. The firewall must let UDP through to
    /// them from everywhere that peers are; keep the range out of net.ipv4.ip_local_port_range's way by
    /// net.ipv4.ip_local_reserved_ports.
    pub ports: PortRange,
    /// How long a port rests at least after its allocation ended, so that stray packets of its last peers reach nobody.
    /// It rests for two minutes while others are free; when the range runs short the longest-rested is taken first.
    pub min_port_rest: Period<0, 600>,
    /// The DSCP of relayed packets (RFC 8656 §14): "copy" carries each packet's own across, a number marks all alike.
    pub dscp: Dscp,
    /// The channel numbers that clients may bind. RFC 8656 has 0x4000 to 0x4FFF only; "rfc5766" adds those up to
    /// 0x7FFF, for old clients that pick theirs at random (coturn's test client does) instead of counting from the
    /// first.
    pub channel_numbers: ChannelNumbers,
    /// The addresses: at most one for each family. Without an IPv6 one, clients that ask for IPv6 are told 440.
    #[serde(rename = "address")]
    #[schemars(length(min = 1))]
    pub addresses: Vec<RelayAddress>,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            ports: PortRange::DYNAMIC,
            min_port_rest: Period::of_secs(2),
            dscp: Dscp::Copy,
            channel_numbers: ChannelNumbers::default(),
            addresses: Vec::new(),
        }
    }
}

/// The channel numbers that clients may bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelNumbers {
    /// 0x4000 to 0x4FFF.
    #[default]
    Rfc8656,
    /// 0x4000 to 0x7FFF.
    Rfc5766,
}

/// An address that relayed addresses live on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RelayAddress {
    /// An address of this host, which the sockets are bound to.
    #[schemars(example = "203.0.113.5")]
    pub bind: HostIp,
    /// The address that clients and peers are told, where a 1:1 NAT stands between (clouds, containers, many
    /// firewalls). Default: the same as bind.
    #[schemars(example = "198.51.100.7")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise: Option<HostIp>,
}

impl RelayAddress {
    /// The address that clients and peers are told.
    pub fn advertised(&self) -> HostIp {
        self.advertise.unwrap_or(self.bind)
    }
}

/// Who may use the relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Credentials {
    /// The longest life of an ephemeral credential; one whose expiry lies further ahead is refused. Most issuers give a
    /// day, and their clocks may be off.
    pub max_ttl: Period<60, 2_592_000>,
    /// On which side of the separator the timestamp stands.
    pub username_order: UsernameOrder,
    /// The character between timestamp and user.
    pub separator: Separator,
    /// The HMAC that turns a secret and a user name into a password. Everything that makes credentials today uses sha1,
    /// which HMAC keeps sound.
    pub hmac: HmacHash,
    /// Offer SHA-256 for keys and message integrity to clients that know RFC 8489 (PASSWORD-ALGORITHMS). Older clients
    /// go on with MD5 and SHA-1 either way.
    pub offer_sha256: bool,
    /// Whether clients may use MD5 for keys and SHA-1 for message integrity. "deny" shuts out every client that does
    /// not know RFC 8489, today's browsers among them, and needs offer_sha256; a listener's own legacy goes before.
    pub legacy: Legacy,
    /// Let clients hide their user name as USERHASH (RFC 8489 §14.4). Clients that know RFC 8489 do so then, and nobody
    /// can find the user name of an ephemeral credential by its hash: this is for relays that have a users_file and no
    /// secret.
    pub offer_userhash: bool,
    /// Lab only: a file of users with fixed passwords. Nobody else may be able to read it.
    #[schemars(example = "/etc/turnkeep/users")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users_file: Option<PathBuf>,
    /// The secrets shared with whatever hands out credentials. Have two while you rotate: all are accepted, and the
    /// first that has not ended mints. A secret itself never stands in this file.
    #[serde(rename = "secret")]
    pub secrets: Vec<SecretSource>,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            max_ttl: Period::of_secs(DEFAULT_MAX_TTL.as_secs()),
            username_order: UsernameOrder::default(),
            separator: Separator::COLON,
            hmac: HmacHash::default(),
            offer_sha256: true,
            legacy: Legacy::default(),
            offer_userhash: false,
            users_file: None,
            secrets: Vec::new(),
        }
    }
}

/// Whether the algorithms of before RFC 8489 will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Legacy {
    /// MD5 and SHA-1 as well as SHA-256.
    #[default]
    Allow,
    /// SHA-256 alone.
    Deny,
}

/// On which side the timestamp of an ephemeral user name stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsernameOrder {
    /// In front, as everybody writes it: 1795285900:alice.
    #[default]
    ExpiryFirst,
    /// On either side, for issuers that write alice:1795285900.
    Any,
}

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HmacHash {
    /// HMAC-SHA1, what coturn, Synapse, Prosody, LiveKit, Nextcloud and Janus speak.
    #[default]
    Sha1,
    /// HMAC-SHA256, for issuers of your own.
    Sha256,
}

/// Where a secret is read from: a file or an environment variable, exactly one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    /// Its name in logs, audit records and bound user names; it gives nothing away.
    #[schemars(example = &"k1")]
    pub id: Id,
    /// The file that holds it and nothing else, with at least 32 bytes; a newline at its end does not count. Owned by
    /// root or the user turnkeep runs as, and closed to everybody else (mode 0400 or 0600). A relative path starts at
    /// this file's directory. To make one: openssl rand -hex 32
    #[schemars(example = "/etc/turnkeep/secret.k1")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The environment variable that holds it, instead of a file.
    #[schemars(example = &"TURNKEEP_SECRET")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvName>,
    /// From this point in time on, credentials made with it open no allocation. Default: never.
    #[schemars(example = UtcTime::from_unix_secs(1_806_451_200))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<UtcTime>,
}

/// Whom clients may reach through the relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Peers {
    /// Let two clients of this relay reach each other by their relayed addresses: what two browsers that may use
    /// nothing but the relay need. The relay's other ports and addresses stay closed.
    pub relay_to_relay: bool,
    /// Drop what a client sends on a channel, too, once the permission of its peer has expired; clients refresh both,
    /// and RFC 8656 §12.6 asks for the channel only.
    pub strict_permissions: bool,
    /// The lowest port of a peer that may be reached; 1 means every port. Browsers' media comes from ports above 1023,
    /// that of some video bridges from 443.
    pub min_port: Port,
    /// Ports of peers that may not be reached, whatever the address: 11211 or "6660-6669".
    pub deny_ports: Vec<PortSet>,
    /// Hosts that the relay depends on or that administer it, such as a log collector: never reached, whatever a rule
    /// says.
    pub backends: Vec<HostIp>,
    /// Prefixes under which your network's NAT64 shows IPv4 hosts (RFC 6052). Addresses below them are refused, or the
    /// IPv4 host behind one would slip past the rules. The well-known 64:ff9b::/96 is always one.
    pub nat64_prefixes: Vec<Nat64Prefix>,
    /// Networks that may be reached although they are special-use, or although a wider rule denies them. The longest
    /// prefix decides; at the same length deny wins. Metadata services, link-local and multicast addresses stay closed
    /// whatever a rule says.
    #[serde(rename = "allow")]
    pub allowed: Vec<PeerRule>,
    /// Networks that may not be reached: those of your own with public addresses, and the whole prefix of a 6rd domain
    /// (RFC 5969) that your routers serve, whose addresses lead into IPv4.
    #[serde(rename = "deny")]
    pub denied: Vec<PeerRule>,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            relay_to_relay: true,
            strict_permissions: false,
            min_port: Port::FIRST,
            deny_ports: Vec::new(),
            backends: Vec::new(),
            nat64_prefixes: Vec::new(),
            allowed: Vec::new(),
            denied: Vec::new(),
        }
    }
}

/// A rule about peers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerRule {
    /// Its name, which a refusal and its audit record give as the reason.
    #[schemars(example = "clinic-mcu")]
    pub id: Id,
    /// The network.
    #[schemars(example = "10.20.30.0/24")]
    pub cidr: Cidr,
    /// What it is for.
    #[schemars(example = "The video bridge of the clinic")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// How much one user may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Allocations of one user at a time, over all workers. A browser makes one for each network interface, address
    /// family and URL: 6 to 12 are usual for one person in one call.
    pub allocations_per_user: Whole<1, 1_000_000>,
    /// Allocations that one user may begin in a minute, in the long run; after a pause twice allocations_per_user at
    /// once. A freed port rests before it is used again, so somebody who comes and goes without end would use up
    /// relay.ports.
    pub allocations_per_user_per_minute: Whole<1, 10_000_000>,
    /// The longest lifetime that is granted at a time; clients refresh before it ends (RFC 8656 §7.2).
    pub max_lifetime: Period<600, 3600>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            allocations_per_user: Whole::of(12),
            allocations_per_user_per_minute: Whole::of(60),
            max_lifetime: Period::of_secs(3600),
        }
    }
}

/// Where clients are sent instead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Other relays with the same users, at most one for each family: who asks for an allocation is told to try there
    /// (300, RFC 8489 §10), after it has proved who it is. Without a port it is the one that the client came to. A
    /// client is sent to its own family only, with the other as a second choice.
    #[schemars(example = ["198.51.100.8", "[2001:db8::8]:3478"])]
    pub alternate_servers: Vec<AlternateServer>,
    /// The name in their certificate, if it is not the one in this relay's.
    #[schemars(example = "relay-b.example.org")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternate_domain: Option<DomainName>,
}

/// The audit trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Keep the trail. Where it is switched off nobody can say afterwards who was relayed; only a lab should.
    pub enabled: bool,
    /// The file that records are appended to, one line of JSON each. It is made if its directory exists, with mode
    /// 0600. A relative path starts at this file's directory.
    pub path: PathBuf,
}

impl Default for Audit {
    fn default() -> Self {
        Self { enabled: true, path: PathBuf::from("/var/log/turnkeep/audit.jsonl") }
    }
}

/// The log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// For whom it is written.
    pub format: LogFormat,
    /// What is written: this level and those above it. The environment variable TURNKEEP_LOG goes before, and takes
    /// the filters of Rust's tracing, such as info,turnkeep::policy=debug.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Sentences, with colours on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What ended the relay or a part of it.
    Error,
    /// What an admin should look at, refusals among it.
    Warn,
    /// Starts, stops and what was granted by the system.
    #[default]
    Info,
    /// Every allocation.
    Debug,
    /// Everything, for developers.
    Trace,
}
