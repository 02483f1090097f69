//! Who is there, and what they say: clients, peers and channels by number, and the messages that steps stand for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use turnkeep::relay::{ClientAddr, DropReason, ListenerId, Path, ServerAddr, Transport};
use turnkeep::wire::attribute::AttributeType;
use turnkeep::wire::header::{Class, Method, TransactionId};
use turnkeep::wire::integrity::PasswordAlgorithm;

use crate::model::Facts;
use crate::said::{Algorithms, Attr, Credentials, Name, Print, Said, SaidNonce, SaidRealm, Tag};
use crate::sans_io::{SERVER, SERVER_V6};
use crate::steps::{Ask, Crowd, Flaw, Noise, Twist};

/// The key's algorithm of a client that knows RFC 8489.
const MODERN: PasswordAlgorithm = PasswordAlgorithm::Sha256;

/// A client: who, from where, to where.
pub(crate) struct Seat {
    pub(crate) user: String,
    pub(crate) path: Path,
    /// It knows RFC 8489, and so picks SHA-256 where it is offered.
    pub(crate) modern: bool,
}

pub(crate) fn seats() -> Vec<Seat> {
    let seat = |user: &str, client: &str, server: &str, modern| Seat {
        user: user.into(),
        path: Path {
            client: ClientAddr(client.parse().unwrap()),
            server: ServerAddr(server.parse().unwrap()),
            transport: Transport::Udp,
            listener: ListenerId(0),
        },
        modern,
    };
    let mut seats = vec![
        seat("alice", "203.0.113.5:40000", SERVER, false),
        seat("alice", "203.0.113.5:40001", SERVER, true),
        // One 5-tuple, two users.
        seat("bob", "203.0.113.5:40000", SERVER, true),
        seat("carol", "[2001:db8:5::1]:40000", SERVER_V6, false),
        // The same client, but another address of ours: another 5-tuple.
        seat("bob", "203.0.113.5:40000", "192.0.2.9:3479", false),
        // One user, two names, one 5-tuple.
        seat("1:carol", "203.0.113.9:40000", SERVER, true),
        seat("2:carol", "203.0.113.9:40000", SERVER, false),
        // One whose credential expires.
        seat("brief", "203.0.113.9:40001", SERVER, true),
        seat("alice", "[2002:cb00:7105::1]:40000", SERVER_V6, true),
        seat("alice", "203.0.113.5:0", SERVER, false),
        // The first one's 5-tuple, by another socket of ours.
        seat("alice", "203.0.113.5:40000", SERVER, false),
    ];
    seats.last_mut().expect("there are some").path.listener = ListenerId(7);
    seats
}

/// Where peers are.
pub(crate) const PEERS: [&str; 12] = [
    "192.0.2.77:5000",
    "10.67.0.1:50001",
    "192.0.2.77:5001",
    "[2001:db8:7::1]:5000",
    "[2001:db8:7::1]:5001",
    "192.0.2.78:5000",
    "10.67.0.1:1000",
    "192.0.2.77:0",
    "10.66.0.1:5000",
    "[::ffff:192.0.2.77]:5000",
    "192.0.2.79:5000",
    "[2001:db8:7::2]:5000",
];

/// The peers that steps name by number.
pub(crate) fn peer(number: usize) -> SocketAddr {
    PEERS[number % PEERS.len()].parse().unwrap()
}

/// The channel numbers that steps name by number.
pub(crate) fn channel(number: usize) -> u16 {
    const CHANNELS: [u16; 8] = [0x4000, 0x4001, 0x4002, 0x4FFF, 0x4000, 0x3FFF, 0x5000, 0xFFFF];
    CHANNELS[number % CHANNELS.len()]
}

pub(crate) fn of_crowd(number: u16) -> SocketAddr {
    let [hi, lo] = number.to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(172, 32, hi, lo)), 7000)
}

impl Seat {
    /// What this client proves itself with when nothing is wrong.
    pub(crate) fn credentials(&self, nonce: Option<SaidNonce>, facts: &Facts) -> Credentials {
        let modern = facts.offer_sha256 && self.modern;
        Credentials {
            name: Name::User(self.user.clone()),
            password_is_right: true,
            realm: SaidRealm::Ours,
            nonce: Some(nonce.unwrap_or(SaidNonce { bytes: b"none".to_vec(), minted: None })),
            algorithms: if modern { Algorithms::Both(MODERN) } else { Algorithms::Neither },
            tag: if modern { Tag::Sha256 } else { Tag::Sha1 },
            modern_only: facts.modern_only && self.path.listener == ListenerId(0),
        }
    }
}

/// Makes something wrong with credentials; `other_nonce` is what a flaw of nonces puts in the place of the right one.
pub(crate) fn spoil(credentials: &mut Credentials, flaw: Flaw, other_nonce: impl FnOnce() -> SaidNonce) {
    let user = credentials.user().unwrap_or("alice").to_owned();
    match flaw {
        Flaw::NoCredentials => {}
        Flaw::NoUser => credentials.name = Name::Missing,
        Flaw::UserHash => credentials.name = Name::Hash(user),
        Flaw::Unknown => credentials.name = Name::User("mallory".into()),
        Flaw::Expired => credentials.name = Name::User("old".into()),
        Flaw::LongUser => credentials.name = Name::User(format!("{:>600}", ":alice")),
        Flaw::HugeUser => credentials.name = Name::User(format!("{:>764}", ":alice")),
        Flaw::WrongPassword => credentials.password_is_right = false,
        Flaw::NoRealm => credentials.realm = SaidRealm::Missing,
        Flaw::OtherRealm => credentials.realm = SaidRealm::Other,
        Flaw::NoNonce => credentials.nonce = None,
        Flaw::ForeignNonce | Flaw::GarbageNonce | Flaw::AlteredNonce(_) | Flaw::OldNonce => {
            credentials.nonce = Some(other_nonce());
        }
        Flaw::ShortTag if credentials.tag == Tag::Sha256 => credentials.tag = Tag::ShortSha256,
        Flaw::ShortTag => credentials.tag = Tag::ShortSha1,
        Flaw::BadSha1First => credentials.tag = Tag::BadSha1ThenSha256,
        Flaw::OtherTag if credentials.tag == Tag::Sha256 => credentials.tag = Tag::Sha1,
        Flaw::OtherTag => credentials.tag = Tag::Sha256,
        Flaw::OtherGeneration if credentials.algorithms == Algorithms::Neither => {
            credentials.algorithms = Algorithms::Both(MODERN);
        }
        Flaw::OtherGeneration => credentials.algorithms = Algorithms::Neither,
        Flaw::Md5 => credentials.algorithms = Algorithms::Both(PasswordAlgorithm::Md5),
        Flaw::ChoiceOnly => credentials.algorithms = Algorithms::ChoiceOnly(MODERN),
        Flaw::ListOnly => credentials.algorithms = Algorithms::ListOnly,
        Flaw::OtherList => credentials.algorithms = Algorithms::OtherList(MODERN),
        Flaw::Unregistered => credentials.algorithms = Algorithms::Unregistered,
    }
}

/// The requests of an `Ask`: method and attributes.
pub(crate) fn messages(ask: &Ask) -> Vec<(Method, Vec<Attr>)> {
    match ask {
        Ask::Binding => vec![(Method::BINDING, Vec::new())],
        Ask::Allocate { protocol, family, additional, even, lifetime, token } => {
            let mut attributes = vec![Attr::Transport(*protocol)];
            attributes.extend(family.map(Attr::Family));
            attributes.extend(additional.map(Attr::AdditionalFamily));
            attributes.extend(even.map(|reserve| Attr::EvenPort { reserve }));
            attributes.extend(lifetime.map(Attr::Lifetime));
            attributes.extend(token.then_some(Attr::ReservationToken));
            vec![(Method::ALLOCATE, attributes)]
        }
        Ask::Refresh { family, lifetime } => {
            let mut attributes: Vec<_> = lifetime.map(Attr::Lifetime).into_iter().collect();
            attributes.extend(family.map(Attr::Family));
            vec![(Method::REFRESH, attributes)]
        }
        Ask::Permit { peers, crowd: Crowd { first, count } } => {
            let mut attributes: Vec<_> = peers.iter().map(|number| Attr::Peer(peer(*number))).collect();
            attributes.extend((*first..first + count).map(|number| Attr::Peer(of_crowd(number))));
            vec![(Method::CREATE_PERMISSION, attributes)]
        }
        Ask::Bind { channel: number, peer: to } => {
            vec![(Method::CHANNEL_BIND, vec![Attr::Channel(channel(*number)), Attr::Peer(peer(*to))])]
        }
        Ask::BindMany { first, count } => (*first..first + count)
            .map(|number| (Method::CHANNEL_BIND, vec![Attr::Channel(0x4100 + number), Attr::Peer(of_crowd(number))]))
            .collect(),
    }
}

pub(crate) fn twisted(mut attributes: Vec<Attr>, twist: &Twist) -> Vec<Attr> {
    match twist {
        Twist::Remove(place) if !attributes.is_empty() => {
            attributes.remove(place % attributes.len());
        }
        Twist::Malform(place) if !attributes.is_empty() => {
            let place = place % attributes.len();
            let kind = attributes[place].kind();
            // No length of DATA is wrong.
            if kind != AttributeType::DATA {
                attributes[place] = Attr::Malformed(kind);
            }
        }
        Twist::Insert(place, attr) => attributes.insert(place % (attributes.len() + 1), attr.clone()),
        Twist::Unknown(count) => attributes.extend((0..*count).chain([0]).map(|number| Attr::Other(0x7000 + number))),
        _ => {}
    }
    attributes
}

/// What someone on the way might append to a signed message.
pub(crate) fn meddling() -> Vec<Attr> {
    let mut meddling = vec![Attr::Lifetime(0), Attr::Peer(peer(10)), Attr::Channel(0x4FFF), Attr::Transport(6)];
    meddling.extend([Attr::Family(2), Attr::Other(0x0003), Attr::Malformed(AttributeType::LIFETIME)]);
    meddling
}

pub(crate) fn bare_allocate(id: TransactionId) -> Said {
    Said {
        method: Method::ALLOCATE,
        class: Class::Request,
        id,
        attributes: vec![Attr::Transport(17)],
        credentials: None,
        behind: Vec::new(),
        print: Print::None,
    }
}

/// Bytes that are no message, and why they are dropped; for no reason, if a channel's number is in front.
pub(crate) fn noise_bytes(noise: Noise, id: TransactionId) -> (Vec<u8>, Option<DropReason>) {
    let mut bytes = bare_allocate(id).to_bytes();
    match noise {
        Noise::Empty => return (Vec::new(), Some(DropReason::NotTurn)),
        Noise::FirstByte(byte) => {
            bytes[0] = byte;
            return (bytes, if (64..128).contains(&byte) { None } else { Some(DropReason::NotTurn) });
        }
        Noise::HalfChannelHeader => return (vec![0x40, 0, 0], None),
        Noise::Short => bytes.truncate(19),
        Noise::NoCookie => bytes[4] ^= 1,
        Noise::WrongLength(off) => {
            let length = i32::try_from(bytes.len()).unwrap() - 20 + off;
            bytes[2..4].copy_from_slice(&u16::try_from(length.max(0)).unwrap().to_be_bytes());
        }
        Noise::OddLength => {
            bytes.push(0);
            bytes[3] += 1;
        }
        Noise::Overrun => bytes[23] = 9,
        Noise::Crowded => {
            bytes.truncate(20);
            bytes.extend([0xC0, 0x57, 0, 0].repeat(65));
            bytes[2..4].copy_from_slice(&(65u16 * 4).to_be_bytes());
        }
    }
    (bytes, Some(DropReason::Malformed))
}

pub(crate) fn payload(len: usize) -> Vec<u8> {
    (0..=250u8).cycle().take(len).collect()
}
