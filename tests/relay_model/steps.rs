//! What happens in a run: steps that stand each for itself, so that any of them can be left out when a failing run is
//! shrunk, and the strategies that draw them.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use turnkeep::relay::{Families, RelayFailure};
use turnkeep::wire::attribute::AttributeType;
use turnkeep::wire::channel_data::ChannelNumbers;
use turnkeep::wire::header::{Class, Method};

use crate::cast;
use crate::model::Facts;
use crate::said::{Attr, Print};

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A client asks for something.
    Ask(Box<Question>),
    /// The same datagram again, `back` datagrams ago.
    Again { back: usize },
    /// A client sends data by indication.
    Send { seat: usize, peer: Aim, len: usize, dont_fragment: bool, twist: Twist, print: Print },
    /// A client sends data on a channel: `len` bytes that say they were `excess` more.
    ChannelData { seat: usize, channel: Aim, len: usize, excess: i32 },
    /// A STUN message that no server of ours answers.
    Stray { seat: usize, method: Method, class: Class },
    /// What is no STUN message at all.
    Noise { seat: usize, noise: Noise },
    /// A peer sends to a client's relayed address.
    Peer { seat: usize, peer: Aim, len: usize },
    /// A peer's datagram was in the socket's queue when the socket was closed.
    LatePeer { relay: usize, peer: usize },
    /// The kernel tells of an ICMP error about a datagram to a peer.
    Icmp { seat: usize, peer: Aim, icmp_type: u8, code: u8, times: u8 },
    /// What becomes of the sockets that are asked for from now on.
    Sockets(Sockets),
    /// One socket that is waited for is opened, or cannot be.
    Settle { which: usize, failure: Option<RelayFailure> },
    /// Time passes.
    Wait(Pause),
}

/// Which peer or channel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// One of the pool.
    Pool(usize),
    /// One that the allocation has or had to do with, if there is any.
    Known(usize),
}

/// A request, and what is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) seat: usize,
    /// Before it, the client sees to it that it has an allocation.
    pub(crate) prepared: bool,
    pub(crate) ask: Ask,
    pub(crate) twist: Twist,
    pub(crate) flaws: Vec<Flaw>,
    pub(crate) print: Print,
    /// Attributes behind the integrity attribute.
    pub(crate) noise_behind: bool,
}

/// A request, rightly made.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Binding,
    Allocate {
        protocol: u8,
        family: Option<u8>,
        additional: Option<u8>,
        even: Option<bool>,
        lifetime: Option<u32>,
        token: bool,
    },
    Refresh {
        family: Option<u8>,
        lifetime: Option<u32>,
    },
    /// Permissions for peers of the pool, and for a crowd of others.
    Permit {
        peers: Vec<usize>,
        crowd: Crowd,
    },
    Bind {
        channel: usize,
        peer: usize,
    },
    /// A whole row of channels at once, to peers of a crowd.
    BindMany {
        first: u16,
        count: u16,
    },
}

impl Step {
    /// The first client asks, and nothing is wrong.
    pub(crate) fn asking(ask: Ask) -> Self {
        Self::Ask(Box::new(Question {
            seat: 0,
            prepared: false,
            ask,
            twist: Twist::None,
            flaws: Vec::new(),
            print: Print::None,
            noise_behind: false,
        }))
    }
}

impl Ask {
    pub(crate) fn allocate_for(lifetime: u32) -> Self {
        let (family, additional, even) = (None, None, None);
        Self::Allocate { protocol: 17, family, additional, even, lifetime: Some(lifetime), token: false }
    }
}

/// `count` peers in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) first: u16,
    pub(crate) count: u16,
}

/// What is done to the attributes of a message that was rightly made.
#[derive(Clone, Debug)]
pub(crate) enum Twist {
    None,
    Remove(usize),
    Malform(usize),
    Insert(usize, Attr),
    /// So many attributes that nobody knows, one of them twice.
    Unknown(u16),
}

/// What is wrong with the credentials.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flaw {
    NoCredentials,
    NoUser,
    NoRealm,
    NoNonce,
    WrongPassword,
    OtherRealm,
    UserHash,
    Unknown,
    Expired,
    /// Longer than a USERNAME that is looked at.
    LongUser,
    /// Longer than a USERNAME may be.
    HugeUser,
    /// Of another 5-tuple.
    ForeignNonce,
    GarbageNonce,
    /// One bit of it is not as it was.
    AlteredNonce(usize),
    /// The first that this client ever got.
    OldNonce,
    ShortTag,
    BadSha1First,
    /// MESSAGE-INTEGRITY from a client that knows RFC 8489, or the reverse.
    OtherTag,
    /// What RFC 8489 knows and this client's generation does not, or the reverse.
    OtherGeneration,
    Md5,
    ChoiceOnly,
    ListOnly,
    OtherList,
    Unregistered,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Noise {
    Empty,
    Short,
    NoCookie,
    WrongLength(i32),
    OddLength,
    Overrun,
    Crowded,
    FirstByte(u8),
    HalfChannelHeader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sockets {
    OpenAtOnce,
    Wait,
    Fail(RelayFailure),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pause {
    For(Duration),
    /// Until so many milliseconds after something changes by itself.
    Edge {
        which: usize,
        offset_ms: i64,
    },
}

/// What a run is drawn with.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) facts: Facts,
    pub(crate) quota: usize,
    /// All clients are sent to another server.
    pub(crate) is_drained: bool,
}

pub(crate) fn setting() -> impl Strategy<Value = Setting> {
    let families = prop_oneof![
        6 => Just(Families { v4: true, v6: true }),
        1 => Just(Families { v4: true, v6: false }),
        1 => Just(Families { v4: false, v6: true }),
    ];
    let max_lifetime = select(vec![3600, 1200, 600]);
    let numbers = prop_oneof![4 => Just(ChannelNumbers::Rfc8656), 1 => Just(ChannelNumbers::Rfc5766)];
    let flag = prop::bool::weighted;
    let switches = (flag(0.8), flag(0.3), flag(0.1), flag(0.2), flag(0.03));
    (switches, families, max_lifetime, numbers, select(vec![100, 100, 100, 3, 1])).prop_map(
        |(switches, families, max_lifetime, channel_numbers, quota)| {
            let (offer_sha256, offer_userhash, modern_only, strict_permissions, is_drained) = switches;
            let facts = Facts {
                offer_sha256,
                offer_userhash,
                modern_only,
                families,
                max_lifetime,
                strict_permissions,
                channel_numbers,
            };
            Setting { facts, quota, is_drained }
        },
    )
}

pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..most)
}

fn step() -> impl Strategy<Value = Step> {
    let send = (seat(), aim(peer()), len(), prop::bool::weighted(0.1), twist(), print()).prop_map(
        |(seat, peer, len, dont_fragment, twist, print)| Step::Send { seat, peer, len, dont_fragment, twist, print },
    );
    let excess = prop_oneof![8 => Just(0), 1 => -3..=-1i32, 1 => 1..=5i32];
    let channel_data = (seat(), aim(channel()), len(), excess)
        .prop_map(|(seat, channel, len, excess)| Step::ChannelData { seat, channel, len, excess });
    let stray = (seat(), 0u16..0x20, 0u8..4).prop_map(|(seat, method, class)| Step::Stray {
        seat,
        method: Method::new(method).unwrap(),
        class: class_of(class),
    });
    let icmp_type = prop_oneof![6 => Just(3), 2 => Just(1), 1 => select(vec![0u8, 2, 4, 8, 11, 12])];
    let times = prop_oneof![3 => Just(1u8), 1 => 1u8..10];
    let icmp = (seat(), aim(peer()), icmp_type, 0u8..6, times)
        .prop_map(|(seat, peer, icmp_type, code, times)| Step::Icmp { seat, peer, icmp_type, code, times });
    let settle = (0usize..4, prop::option::weighted(0.3, failure()));
    prop_oneof![
        60 => question(),
        10 => prop_oneof![0usize..3, 0usize..12].prop_map(|back| Step::Again { back }),
        20 => send,
        20 => channel_data,
        1 => stray,
        1 => (seat(), noise()).prop_map(|(seat, noise)| Step::Noise { seat, noise }),
        40 => (seat(), aim(peer()), len()).prop_map(|(seat, peer, len)| Step::Peer { seat, peer, len }),
        2 => (0usize..6, peer()).prop_map(|(relay, peer)| Step::LatePeer { relay, peer }),
        20 => icmp,
        4 => sockets().prop_map(Step::Sockets),
        6 => settle.prop_map(|(which, failure)| Step::Settle { which, failure }),
        20 => pause().prop_map(Step::Wait),
    ]
}

fn question() -> impl Strategy<Value = Step> {
    let noise_behind = prop::bool::weighted(0.1);
    (seat(), prop::bool::weighted(0.8), ask(), twist(), flaws(), print(), noise_behind).prop_map(
        |(seat, prepared, ask, twist, flaws, print, noise_behind)| {
            Step::Ask(Box::new(Question { seat, prepared, ask, twist, flaws, print, noise_behind }))
        },
    )
}

/// The first ones most often, so that what is done to one of them adds up.
fn seat() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..2, 4 => 0usize..4, 3 => 0usize..11]
}

fn peer() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..3, 3 => 3usize..5, 2 => 0usize..12]
}

fn aim(pool: impl Strategy<Value = usize>) -> impl Strategy<Value = Aim> {
    prop_oneof![1 => pool.prop_map(Aim::Pool), 3 => (0usize..8).prop_map(Aim::Known)]
}

fn channel() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..3, 1 => 0usize..8]
}

fn ask() -> impl Strategy<Value = Ask> {
    let family = || prop_oneof![14 => Just(None), 2 => Just(Some(1)), 4 => Just(Some(2)), 1 => (0u8..4).prop_map(Some)];
    let additional = prop_oneof![12 => Just(None), 1 => Just(Some(2)), 1 => (0u8..4).prop_map(Some)];
    let even = prop_oneof![12 => Just(None), 1 => Just(Some(false)), 1 => Just(Some(true))];
    let protocol = prop_oneof![30 => Just(17u8), 1 => Just(6), 1 => Just(0)];
    let token = prop::bool::weighted(0.03);
    let allocate = (protocol, family(), additional, even, lifetime(), token).prop_map(
        |(protocol, family, additional, even, lifetime, token)| Ask::Allocate {
            protocol,
            family,
            additional,
            even,
            lifetime,
            token,
        },
    );
    let crowd = prop_oneof![
        12 => Just(Crowd { first: 0, count: 0 }),
        4 => (0u16..10, 28u16..34).prop_map(|(block, count)| Crowd { first: block * 30, count }),
    ];
    let refresh = (family(), prop_oneof![6 => lifetime(), 1 => Just(Some(0))]);
    prop_oneof![
        2 => Just(Ask::Binding),
        6 => allocate,
        6 => refresh.prop_map(|(family, lifetime)| Ask::Refresh { family, lifetime }),
        16 => (prop::collection::vec(peer(), 1..3), crowd).prop_map(|(peers, crowd)| Ask::Permit { peers, crowd }),
        16 => (channel(), peer()).prop_map(|(channel, peer)| Ask::Bind { channel, peer }),
        1 => (0u16..4, 120u16..140).prop_map(|(block, count)| Ask::BindMany { first: block * 100, count }),
    ]
}

fn lifetime() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![
        Just(None),
        select(vec![1, 10, 599, 600, 601, 900, 1199, 1200, 3599, 3600, 3601, u32::MAX]).prop_map(Some)
    ]
}

fn twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        20 => Just(Twist::None),
        1 => (0usize..5).prop_map(Twist::Remove),
        1 => (0usize..5).prop_map(Twist::Malform),
        1 => prop_oneof![Just(1u16), 15..=18u16, Just(48)].prop_map(Twist::Unknown),
        2 => (0usize..5, attr()).prop_map(|(place, attr)| Twist::Insert(place, attr)),
    ]
}

pub(crate) fn attr() -> impl Strategy<Value = Attr> {
    let known = [
        AttributeType::REQUESTED_TRANSPORT,
        AttributeType::DONT_FRAGMENT,
        AttributeType::EVEN_PORT,
        AttributeType::RESERVATION_TOKEN,
        AttributeType::REQUESTED_ADDRESS_FAMILY,
        AttributeType::ADDITIONAL_ADDRESS_FAMILY,
        AttributeType::LIFETIME,
        AttributeType::XOR_PEER_ADDRESS,
        AttributeType::CHANNEL_NUMBER,
    ];
    // Some of each kind: unknown, of extensions that are not switched on, reserved, and of responses.
    let others = vec![
        0x0003, 0x001B, 0x0026, 0x0027, 0x002A, 0x0024, 0x7FFF, 0x0002, 0x8022, 0x8030, 0xC057, 0xFFFF, 0x0001, 0x0020,
    ];
    prop_oneof![
        1 => select(vec![17u8, 6, 0, 255]).prop_map(Attr::Transport),
        1 => Just(Attr::DontFragment),
        1 => any::<bool>().prop_map(|reserve| Attr::EvenPort { reserve }),
        1 => Just(Attr::ReservationToken),
        1 => (0u8..4).prop_map(Attr::Family),
        1 => (0u8..4).prop_map(Attr::AdditionalFamily),
        1 => select(vec![0u32, 1, 777, u32::MAX]).prop_map(Attr::Lifetime),
        1 => peer().prop_map(|peer| Attr::Peer(cast::peer(peer))),
        1 => channel().prop_map(|channel| Attr::Channel(cast::channel(channel))),
        1 => (0usize..9).prop_map(|len| Attr::Data(vec![3; len])),
        1 => select(known.to_vec()).prop_map(Attr::Malformed),
        3 => select(others).prop_map(Attr::Other),
    ]
}

/// Most often none, now and then one, seldom two.
fn flaws() -> impl Strategy<Value = Vec<Flaw>> {
    prop_oneof![
        12 => Just(Vec::new()),
        3 => flaw().prop_map(|flaw| vec![flaw]),
        1 => (flaw(), flaw()).prop_map(|(first, second)| vec![first, second]),
    ]
}

fn flaw() -> impl Strategy<Value = Flaw> {
    prop_oneof![
        4 => select(vec![Flaw::NoCredentials, Flaw::NoUser, Flaw::NoRealm, Flaw::NoNonce]),
        4 => select(vec![Flaw::WrongPassword, Flaw::OtherRealm, Flaw::UserHash, Flaw::Unknown, Flaw::Expired]),
        2 => select(vec![Flaw::LongUser, Flaw::HugeUser]),
        4 => select(vec![Flaw::ForeignNonce, Flaw::GarbageNonce, Flaw::OldNonce]),
        2 => (0usize..400).prop_map(Flaw::AlteredNonce),
        4 => select(vec![Flaw::ShortTag, Flaw::BadSha1First, Flaw::OtherTag, Flaw::OtherGeneration, Flaw::Md5]),
        4 => select(vec![Flaw::ChoiceOnly, Flaw::ListOnly, Flaw::OtherList, Flaw::Unregistered]),
    ]
}

fn print() -> impl Strategy<Value = Print> {
    prop_oneof![20 => Just(Print::None), 5 => Just(Print::Right), 1 => Just(Print::Wrong)]
}

fn noise() -> impl Strategy<Value = Noise> {
    prop_oneof![
        Just(Noise::Empty),
        Just(Noise::Short),
        Just(Noise::NoCookie),
        select(vec![-4, 4, -20, 1000]).prop_map(Noise::WrongLength),
        Just(Noise::OddLength),
        Just(Noise::Overrun),
        Just(Noise::Crowded),
        select(vec![4u8, 15, 16, 19, 20, 22, 63, 80, 127, 128, 191, 192, 255]).prop_map(Noise::FirstByte),
        Just(Noise::HalfChannelHeader),
    ]
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..9, 3 => Just(160usize), 1 => select(vec![1200usize, 65_459, 65_460, 65_507])]
}

fn sockets() -> impl Strategy<Value = Sockets> {
    prop_oneof![2 => Just(Sockets::OpenAtOnce), 2 => Just(Sockets::Wait), 1 => failure().prop_map(Sockets::Fail)]
}

fn failure() -> impl Strategy<Value = RelayFailure> {
    select(vec![RelayFailure::PortsExhausted, RelayFailure::DescriptorsExhausted, RelayFailure::Refused])
}

fn pause() -> impl Strategy<Value = Pause> {
    prop_oneof![
        6 => (0u64..5000).prop_map(|millis| Pause::For(Duration::from_millis(millis))),
        3 => (1u64..300).prop_map(|secs| Pause::For(Duration::from_secs(secs))),
        1 => select(vec![40u64, 300, 600, 900, 3600]).prop_map(|secs| Pause::For(Duration::from_secs(secs))),
        10 => (0usize..4, select(vec![-1000i64, -1, 0, 1, 1000]))
            .prop_map(|(which, offset_ms)| Pause::Edge { which, offset_ms }),
    ]
}

fn class_of(bits: u8) -> Class {
    match bits {
        0 => Class::Request,
        1 => Class::Indication,
        2 => Class::Success,
        _ => Class::Error,
    }
}
