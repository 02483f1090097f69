//! What a server does with one input: said by the model beforehand, read off the server afterwards, and compared.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use turnkeep::relay::event::{AllocationRecord, AllocationUuid, Denial, Event, RequestKind, Totals};
use turnkeep::relay::reason::AuthReason;
use turnkeep::relay::{CloseReason, DropReason, Family, PortParity, PortWish};
use turnkeep::wire::header::Method;
use turnkeep::wire::integrity::Integrity;

/// All that an input leads to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// The answer to the client, at once or by a command.
    pub(crate) answer: Option<Answer>,
    /// The datagram to the peer.
    pub(crate) to_peer: Option<ToPeer>,
    /// The datagram to the client that carries a peer's.
    pub(crate) to_client: Option<ToClient>,
    /// Discarded, for one of these reasons.
    pub(crate) dropped: Option<Vec<DropReason>>,
    /// A relay socket that is asked for.
    pub(crate) opens: Option<(Family, Port)>,
    /// For the audit trail, in order.
    pub(crate) notes: Vec<Note>,
}

/// Which port a relay socket is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Any,
    Even,
    /// An even one, and the next is reserved.
    Pair,
    Reserved,
}

impl From<&PortWish> for Port {
    fn from(wish: &PortWish) -> Self {
        match wish {
            PortWish::Single(PortParity::Any) => Self::Any,
            PortWish::Single(PortParity::Even) => Self::Even,
            PortWish::Pair(_) => Self::Pair,
            PortWish::Reserved(_) => Self::Reserved,
        }
    }
}

/// A response to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) client: SocketAddr,
    pub(crate) method: Method,
    pub(crate) id: [u8; 12],
    /// 0 for a success.
    pub(crate) code: u16,
    /// The integrity attribute, which must verify.
    pub(crate) signed: Option<Integrity>,
    /// REALM, NONCE and, if offered, PASSWORD-ALGORITHMS.
    pub(crate) challenges: bool,
    pub(crate) fingerprint: bool,
    pub(crate) relayed: Option<SocketAddr>,
    pub(crate) mapped: Option<SocketAddr>,
    pub(crate) lifetime: Option<RangeInclusive<u32>>,
    pub(crate) unknown: Vec<u16>,
    /// ADDRESS-ERROR-CODE: family and code.
    pub(crate) address_error: Option<(u8, u16)>,
    /// RESERVATION-TOKEN.
    pub(crate) hands_out_a_token: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToPeer {
    pub(crate) from: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) payload: Vec<u8>,
    pub(crate) dont_fragment: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToClient {
    pub(crate) client: SocketAddr,
    pub(crate) framing: Framing,
    pub(crate) payload: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Channel(u16),
    Indication { peer: SocketAddr },
    Icmp { peer: SocketAddr, icmp_type: u8, code: u8 },
}

/// An event, without clocks and names that the server makes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Opened {
        user: String,
        client: SocketAddr,
        relayed: SocketAddr,
        lifetime: u64,
    },
    Refreshed {
        user: String,
        client: SocketAddr,
        relayed: SocketAddr,
        lifetime: u64,
        totals: Totals,
    },
    Closed {
        user: String,
        client: SocketAddr,
        relayed: SocketAddr,
        reason: CloseReason,
        totals: Totals,
    },
    /// `about`: the relayed address of the allocation that it is about, if one is open.
    Denied {
        user: Option<String>,
        client: SocketAddr,
        about: Option<SocketAddr>,
        request: RequestKind,
        code: u16,
        why: Why,
    },
}

/// A [`Denial`], without what only one side can know: the rule for a peer's port, the word for what ran out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Credentials(AuthReason),
    Peer(IpAddr),
    Client,
    WrongUser,
    Family(u8),
    Transport(u8),
    Elsewhere,
    Quota,
    Capacity,
    BadRequest,
    UnknownAttribute,
    AllocationMismatch,
    FamilyMismatch,
}

impl From<&Denial> for Why {
    fn from(denial: &Denial) -> Self {
        match denial {
            Denial::Credentials(reason) => Self::Credentials(*reason),
            Denial::Peer { peer, .. } => Self::Peer(peer.ip()),
            Denial::Client(_) => Self::Client,
            Denial::WrongUser => Self::WrongUser,
            Denial::Family(family) => Self::Family(*family),
            Denial::TransportProtocol(protocol) => Self::Transport(*protocol),
            Denial::Elsewhere(_) => Self::Elsewhere,
            Denial::Quota(_) => Self::Quota,
            Denial::Capacity(_) | Denial::Unavailable(_) => Self::Capacity,
            Denial::BadRequest(_) => Self::BadRequest,
            Denial::UnknownAttribute(_) => Self::UnknownAttribute,
            Denial::NoAllocation | Denial::AllocationExists => Self::AllocationMismatch,
            Denial::FamilyMismatch => Self::FamilyMismatch,
        }
    }
}

impl Note {
    /// `relayed_of` knows the allocations that were opened, by their names.
    pub(crate) fn of(event: &Event, relayed_of: &HashMap<AllocationUuid, SocketAddr>) -> Self {
        match event {
            Event::Opened { allocation, lifetime, .. } => {
                let (user, client, relayed) = parts(allocation);
                Self::Opened { user, client, relayed, lifetime: lifetime.as_secs() }
            }
            Event::Refreshed { allocation, lifetime, totals, .. } => {
                let (user, client, relayed) = parts(allocation);
                Self::Refreshed { user, client, relayed, lifetime: lifetime.as_secs(), totals: *totals }
            }
            Event::Narrowed { .. } => panic!("the model knows single addresses"),
            Event::Closed { allocation, reason, totals, .. } => {
                let (user, client, relayed) = parts(allocation);
                Self::Closed { user, client, relayed, reason: *reason, totals: *totals }
            }
            Event::Denied { path, who, allocation, request, code, denial, .. } => Self::Denied {
                user: who.as_ref().map(|who| who.user.0.to_string()),
                client: path.client.0,
                about: allocation.and_then(|name| relayed_of.get(&name).copied()),
                request: *request,
                code: *code,
                why: denial.into(),
            },
        }
    }
}

fn parts(record: &AllocationRecord) -> (String, SocketAddr, SocketAddr) {
    (record.who.user.0.to_string(), record.path.client.0, record.relayed.0)
}

impl Outcome {
    pub(crate) fn dropped(reasons: &[DropReason]) -> Self {
        Self { dropped: Some(reasons.to_vec()), ..Self::default() }
    }

    pub(crate) fn answered(answer: Answer) -> Self {
        Self { answer: Some(answer), ..Self::default() }
    }

    #[must_use]
    pub(crate) fn noting(mut self, note: Note) -> Self {
        self.notes.push(note);
        self
    }
}
