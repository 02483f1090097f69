//! Control messages (cmsg(3)): what travels beside a datagram. Received: TOS or traffic class, the address that was
//! asked, how many datagrams the socket has lost, and the length of merged ones. Sent: TOS or traffic class, the
//! address to send from, and where to cut a run.
//!
//! The kernel's layout is a header of (length: usize, level: i32, type: i32), the value, and padding to the size of a
//! usize. It is written and read as bytes here, so this file needs no `unsafe`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What came beside a received datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// The TOS byte or traffic class: DSCP in the upper six bits, ECN in the lower two.
    pub(crate) tos: u8,
    /// The address it was sent to, where the socket asks for it.
    pub(crate) asked: Option<Asked>,
    /// How many datagrams this socket has lost for want of buffer since it was opened, where it has lost any; wraps.
    pub(crate) lost: Option<u32>,
    /// It is a run of datagrams of this length each, the last one maybe shorter, where the socket takes runs.
    pub(crate) segment: Option<u16>,
}

/// Where a received datagram was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// One of this host's addresses: an answer can leave from it.
    Unicast(IpAddr),
    /// A group or a whole network: nobody answers from there.
    Many,
}

/// A buffer for control messages, big enough for all of [`Beside`].
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Control([u8; Control::SIZE]);

const HEADER: usize = size_of::<usize>() + 8;
const IN_PKTINFO: usize = 12;
const IN6_PKTINFO: usize = 20;
const INT: usize = 4;

/// The bytes that a control message with `len` bytes of value takes.
const fn space(len: usize) -> usize {
    HEADER + len.next_multiple_of(size_of::<usize>())
}

const _: () = {
    assert!(size_of::<libc::in_pktinfo>() == IN_PKTINFO && size_of::<libc::in6_pktinfo>() == IN6_PKTINFO);
    assert!(align_of::<libc::cmsghdr>() <= align_of::<Control>() && size_of::<libc::cmsghdr>() == HEADER);
    assert!(space(INT) + space(IN6_PKTINFO) + space(INT) + space(INT) <= Control::SIZE);
};

impl Control {
    /// In bytes.
    pub(crate) const SIZE: usize = 128;
    /// Nothing yet.
    pub(crate) const EMPTY: Self = Self([0; Self::SIZE]);

    /// Writes the messages that a datagram of the family of `to` is sent with, and returns their length; 0 if it needs
    /// none. `from` of the other family is not written: the kernel then chooses.
    pub(crate) fn set(&mut self, to: IpAddr, tos: u8, from: Option<IpAddr>) -> usize {
        let mut len = 0;
        if tos != 0 {
            let (level, kind) = match to {
                IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
                IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
            };
            len = self.put(len, level, kind, i32::from(tos).to_ne_bytes());
        }
        self.put_source(len, to, from)
    }

    /// Appends to the first `len` bytes where a run is to be cut (UDP_SEGMENT), and returns the new length.
    pub(crate) fn and_segment(&mut self, len: usize, segment: u16) -> usize {
        self.put(len, libc::SOL_UDP, libc::UDP_SEGMENT, segment.to_ne_bytes())
    }

    fn put_source(&mut self, len: usize, to: IpAddr, from: Option<IpAddr>) -> usize {
        match (to, from) {
            // struct in_pktinfo: interface 0 (the route decides), the source address, and a destination for receiving
            // only.
            (IpAddr::V4(_), Some(IpAddr::V4(from))) => {
                let mut info = [0; IN_PKTINFO];
                info[4..8].copy_from_slice(&from.octets());
                self.put(len, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
            }
            // struct in6_pktinfo: the source address and interface 0.
            (IpAddr::V6(_), Some(IpAddr::V6(from))) => {
                let mut info = [0; IN6_PKTINFO];
                info[..16].copy_from_slice(&from.octets());
                self.put(len, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
            }
            _ => len,
        }
    }

    fn put<const N: usize>(&mut self, at: usize, level: i32, kind: i32, value: [u8; N]) -> usize {
        const WORD: usize = size_of::<usize>();
        let message = &mut self.0[at..at + space(N)];
        message[..WORD].copy_from_slice(&(HEADER + N).to_ne_bytes());
        message[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
        message[WORD + 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
        message[HEADER..HEADER + N].copy_from_slice(&value);
        at + space(N)
    }

    /// The error that the kernel wrote into the first `len` bytes (IP_RECVERR, IPV6_RECVERR), if there is one.
    pub(crate) fn get_error(&self, len: usize) -> Option<QueuedError> {
        let mut rest = self.0.get(..len)?;
        while let Some((level, kind, value, behind)) = split_first(rest) {
            if matches!((level, kind), (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR))
            {
                return QueuedError::read(value);
            }
            rest = behind;
        }
        None
    }

    /// Reads the first `len` bytes that the kernel wrote.
    pub(crate) fn get(&self, len: usize) -> Beside {
        let mut beside = Beside::default();
        let mut rest = self.0.get(..len).unwrap_or_default();
        while let Some((level, kind, value, behind)) = split_first(rest) {
            beside.take(level, kind, value);
            rest = behind;
        }
        beside
    }
}

/// What became of a datagram that was sent: struct sock_extended_err (ip(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueuedError {
    /// As `errno` has it.
    pub(crate) errno: i32,
    /// Who says so: SO_EE_ORIGIN_LOCAL, _ICMP, _ICMP6.
    pub(crate) origin: u8,
    /// Of the ICMP message.
    pub(crate) icmp_type: u8,
    /// Of the ICMP message.
    pub(crate) code: u8,
    /// The MTU, where the datagram was too large.
    pub(crate) info: u32,
}

impl QueuedError {
    fn read(value: &[u8]) -> Option<Self> {
        let (errno, rest) = value.split_first_chunk()?;
        let (&[origin, icmp_type, code, _], rest) = rest.split_first_chunk()?;
        let info = u32::from_ne_bytes(*rest.first_chunk()?);
        Some(Self { errno: i32::from_ne_bytes(*errno), origin, icmp_type, code, info })
    }
}

impl Beside {
    fn take(&mut self, level: i32, kind: i32, value: &[u8]) {
        match (level, kind) {
            // One byte, unlike IPV6_TCLASS and unlike IP_TOS in the other direction.
            (libc::IPPROTO_IP, libc::IP_TOS) => self.tos = value.first().copied().unwrap_or_default(),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                self.tos = int(value).and_then(|class| u8::try_from(class).ok()).unwrap_or_default();
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => self.asked = asked_v4(value),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => self.asked = asked_v6(value),
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => self.lost = int(value),
            (libc::SOL_UDP, libc::UDP_GRO) => self.segment = int(value).and_then(|len| u16::try_from(len).ok()),
            _ => {}
        }
    }
}

/// (level, type, value, what follows) of the first message; none at the end or if it is cut off.
fn split_first(bytes: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (level, rest) = rest.split_first_chunk()?;
    let (kind, _) = rest.split_first_chunk()?;
    let len = usize::from_ne_bytes(*len);
    let value = bytes.get(HEADER..len)?;
    let behind = bytes.get(len.checked_next_multiple_of(size_of::<usize>())?..).unwrap_or_default();
    Some((i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind), value, behind))
}

fn int(value: &[u8]) -> Option<u32> {
    value.first_chunk().copied().map(u32::from_ne_bytes)
}

/// struct in_pktinfo: the interface, the address that an answer would leave from, the address in the header. They
/// differ if the latter is a broadcast or multicast address.
fn asked_v4(value: &[u8]) -> Option<Asked> {
    let answer_from: &[u8; 4] = value.get(4..8)?.first_chunk()?;
    let header: &[u8; 4] = value.get(8..12)?.first_chunk()?;
    Some(if answer_from == header { Asked::Unicast(Ipv4Addr::from(*header).into()) } else { Asked::Many })
}

/// struct in6_pktinfo: the address in the header, the interface.
fn asked_v6(value: &[u8]) -> Option<Asked> {
    let ip = Ipv6Addr::from(*value.first_chunk::<16>()?);
    Some(if ip.is_multicast() { Asked::Many } else { Asked::Unicast(ip.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn layout_is_the_c_librarys() {
        for len in [1, INT, IN_PKTINFO, IN6_PKTINFO] {
            let len_c = u32::try_from(len).unwrap();
            // SAFETY: both macros only compute with their argument.
            let (space_c, header_c) = unsafe { (libc::CMSG_SPACE(len_c), libc::CMSG_LEN(0)) };
            assert_eq!((space(len), HEADER), (space_c as usize, header_c as usize));
        }
    }

    #[test]
    fn a_datagram_without_marks_or_source_needs_no_control_message() {
        let mut control = Control::EMPTY;
        assert_eq!(control.set(V4, 0, None), 0);
        assert_eq!(control.set(V4, 0, Some(Ipv6Addr::LOCALHOST.into())), 0, "a source of the other family");
    }

    #[test]
    fn cut_off_and_lying_lengths_end_the_reading() {
        let mut control = Control::EMPTY;
        let len = control.set(Ipv6Addr::LOCALHOST.into(), 0xB8, Some(Ipv6Addr::LOCALHOST.into()));
        let whole =
            Beside { tos: 0xB8, asked: Some(Asked::Unicast(Ipv6Addr::LOCALHOST.into())), lost: None, segment: None };
        assert_eq!(control.get(len), whole);
        for cut in 0..len {
            let _ = control.get(cut);
        }
        assert_eq!(control.get(len - 8).asked, None, "the second message is cut off");
        for lie in [0, 1, HEADER - 1, usize::MAX, usize::MAX - 7, 4096] {
            control.0[..size_of::<usize>()].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(control.get(len), Beside::default(), "length {lie}");
        }
        assert_eq!(control.get(Control::SIZE + 1), Beside::default());
    }

    #[test]
    fn a_broadcast_cannot_be_answered() {
        let mut info = [0; IN_PKTINFO];
        info[4..8].copy_from_slice(&[192, 0, 2, 1]);
        info[8..12].copy_from_slice(&[192, 0, 2, 255]);
        assert_eq!(asked_v4(&info), Some(Asked::Many));
        info[8..12].copy_from_slice(&[192, 0, 2, 1]);
        assert_eq!(asked_v4(&info), Some(Asked::Unicast(V4)));
    }
}
