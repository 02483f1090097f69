//! Choices by name.

use clap::ValueEnum;

use crate::load::settings::{self, Framing, Profile, Transport};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ProfileName {
    /// Equal packets at a rate
    Raw,
    /// A call's voice: Opus, a packet every 20 ms
    Audio,
    /// Voice and 30 frames/s of 2 packets, 0.5 Mbit/s
    #[value(name = "video-360p", alias = "360p")]
    Video360,
    /// Voice and 30 frames/s of 6 packets, 1.5 Mbit/s
    #[value(name = "video-720p", alias = "720p")]
    Video720,
    /// Voice and 30 frames/s of 11 packets, 3 Mbit/s
    #[value(name = "video-1080p", alias = "1080p")]
    Video1080,
    /// A data channel: 4 packets every 40 ms, 0.9 Mbit/s
    Data,
    /// Cycles of allocation: challenge, allocate, permission, channel, free
    Churn,
    /// Cycles of connection over TCP or TLS: connect, full handshake, one Binding, close
    Connect,
    /// Allocations that carry nothing
    Idle,
    /// Allocate requests without credentials, from many sources
    Flood,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum TransportName {
    Udp,
    Tcp,
    Tls,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum PathName {
    /// Client to peer
    Up,
    /// Peer to client
    Down,
    /// Up and down
    Both,
    /// From one client's relayed address to another's, in pairs
    Pair,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum FramingName {
    /// ChannelData
    Channel,
    /// Send and Data indications
    Send,
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Raw => Self::Raw,
            ProfileName::Audio => Self::Audio,
            ProfileName::Video360 => Self::Video360,
            ProfileName::Video720 => Self::Video720,
            ProfileName::Video1080 => Self::Video1080,
            ProfileName::Data => Self::Data,
            ProfileName::Churn => Self::Churn,
            ProfileName::Connect => Self::Connect,
            ProfileName::Idle => Self::Idle,
            ProfileName::Flood => Self::Flood,
        }
    }
}

impl From<TransportName> for Transport {
    fn from(name: TransportName) -> Self {
        match name {
            TransportName::Udp => Self::Udp,
            TransportName::Tcp => Self::Tcp,
            TransportName::Tls => Self::Tls,
        }
    }
}

impl From<PathName> for settings::Path {
    fn from(name: PathName) -> Self {
        match name {
            PathName::Up => Self::Up,
            PathName::Down => Self::Down,
            PathName::Both => Self::Both,
            PathName::Pair => Self::Pair,
        }
    }
}

impl From<FramingName> for Framing {
    fn from(name: FramingName) -> Self {
        match name {
            FramingName::Channel => Self::Channel,
            FramingName::Send => Self::Send,
        }
    }
}
