//! Many datagrams in one system call (recvmmsg(2), sendmmsg(2)), over arrays that are claimed once.

mod receive;
mod send;

use std::ptr;

pub(crate) use receive::{Received, Receiver};
pub(crate) use send::{Outgoing, Sender, Sent};

fn empty_headers(count: usize) -> Box<[libc::mmsghdr]> {
    // SAFETY: a `mmsghdr` is integers and pointers, for which all zeros are valid.
    (0..count).map(|_| unsafe { std::mem::zeroed() }).collect()
}

fn empty_vectors(count: usize) -> Box<[libc::iovec]> {
    (0..count).map(|_| libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }).collect()
}

/// Lengths here are those of arrays of this file: at most some hundred.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
const fn len32(len: usize) -> u32 {
    len as u32
}

#[cfg(test)]
mod tests {
    use super::super::cmsg::Asked;
    use super::super::option;
    use super::super::segment::receive_runs;
    use super::*;
    use std::io;
    use std::net::{IpAddr, SocketAddr, UdpSocket};
    use std::os::fd::{AsFd, AsRawFd};

    const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

    fn bound(ip: &str) -> UdpSocket {
        let ip: IpAddr = ip.parse().unwrap();
        let socket = socket2::Socket::new(
            if ip.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 },
            socket2::Type::DGRAM,
            None,
        )
        .unwrap();
        option::report_tos(socket.as_fd(), ip.is_ipv4()).unwrap();
        option::report_asked_address(socket.as_fd(), ip.is_ipv4()).unwrap();
        option::report_losses(socket.as_fd()).unwrap();
        socket.bind(&SocketAddr::new(ip, 0).into()).unwrap();
        socket.into()
    }

    fn datagram(bytes: &[u8], to: SocketAddr, tos: u8) -> Outgoing<'_> {
        Outgoing { front: &[], bytes, padding: 0, to, from: None, tos }
    }

    fn receive(receiver: &mut Receiver, socket: &UdpSocket, buffers: &mut [[u8; 64]]) -> io::Result<usize> {
        receiver.receive(socket.as_fd(), buffers.iter_mut().map(|b| &mut b[..]))
    }

    #[test]
    fn bytes_order_tos_and_addresses_go_round() {
        for ip in LOOPBACK {
            let (from, to) = (bound(ip), bound(ip));
            let target = to.local_addr().unwrap();
            let parts: [&[u8]; 3] = [b"first", b"", b"third"];
            let marks = [0xB8, 0x00, 0x23];
            let datagrams = parts.iter().zip(marks).map(|(bytes, tos)| datagram(bytes, target, tos));
            let sent = Sender::new(2).send(from.as_fd(), datagrams);
            assert_eq!(sent, Sent { sent: 3, ..Sent::default() }, "more datagrams than rows");

            let (mut receiver, mut buffers) = (Receiver::new(8), [[0; 64]; 8]);
            assert_eq!(receive(&mut receiver, &to, &mut buffers).unwrap(), 3);
            for (index, (bytes, tos)) in parts.iter().zip(marks).enumerate() {
                let message = receiver.message(index).unwrap();
                assert_eq!(&buffers[index][..message.len], *bytes);
                assert_eq!(message.source, Some(from.local_addr().unwrap()));
                assert_eq!(message.beside.tos, tos);
                assert_eq!(message.beside.asked, Some(Asked::Unicast(target.ip())));
                assert!(!message.truncated);
            }
            assert_eq!(receive(&mut receiver, &to, &mut buffers).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn the_source_address_can_be_chosen() {
        let (from, to) = (bound("0.0.0.0"), bound("127.0.0.1"));
        let from_another = Some("127.0.0.2".parse().unwrap());
        let outgoing = Outgoing { from: from_another, ..datagram(b"x", to.local_addr().unwrap(), 0x01) };
        assert_eq!(Sender::new(1).send(from.as_fd(), [outgoing].into_iter()).sent, 1);
        let mut receiver = Receiver::new(1);
        assert_eq!(receive(&mut receiver, &to, &mut [[0; 64]]).unwrap(), 1);
        let message = receiver.message(0).unwrap();
        let source = SocketAddr::new("127.0.0.2".parse().unwrap(), from.local_addr().unwrap().port());
        assert_eq!((message.source, message.beside.tos), (Some(source), 0x01));
    }

    #[test]
    fn a_datagram_longer_than_its_buffer_says_so() {
        let (from, to) = (bound("127.0.0.1"), bound("127.0.0.1"));
        from.send_to(&[7; 65], to.local_addr().unwrap()).unwrap();
        let mut receiver = Receiver::new(1);
        assert_eq!(receive(&mut receiver, &to, &mut [[0; 64]]).unwrap(), 1);
        assert!(receiver.message(0).unwrap().truncated);
    }

    #[test]
    fn one_refused_datagram_does_not_stop_those_behind_it() {
        let (from, to) = (bound("127.0.0.1"), bound("127.0.0.1"));
        let good = datagram(b"good", to.local_addr().unwrap(), 0);
        let huge = vec![0; 65_508];
        let too_long = Outgoing { bytes: &huge, ..good };
        let port_zero = Outgoing { to: "127.0.0.1:0".parse().unwrap(), ..good };
        for (capacity, mut sender) in [2, 4].map(|capacity| (capacity, Sender::new(capacity))) {
            let mut refused = Vec::new();
            let datagrams = [good, too_long, port_zero, good].into_iter();
            let sent = sender.send_noting(from.as_fd(), datagrams, &mut |range| refused.extend(range));
            assert_eq!(sent, Sent { sent: 2, too_long: 1, failed: 1, ..Sent::default() });
            assert_eq!(refused, [1, 2], "{capacity} at once");
        }
    }

    /// Bytes that arrived, and the length of their segments.
    type Arrived = (Vec<u8>, Option<u16>);

    /// What of `datagrams` arrives, and how it is cut: each message with the length of its segments.
    fn travel(from: &UdpSocket, to: &UdpSocket, datagrams: &[Outgoing<'_>]) -> (Sent, Vec<Arrived>) {
        let sent = Sender::new(2).send(from.as_fd(), datagrams.iter().copied());
        let (mut receiver, mut buffers) = (Receiver::new(16), vec![[0; 2048]; 16]);
        let got = receiver.receive(to.as_fd(), buffers.iter_mut().map(|b| &mut b[..])).unwrap();
        let messages = (0..got).map(|index| (receiver.message(index).unwrap(), &buffers[index]));
        (sent, messages.map(|(message, bytes)| (bytes[..message.len].to_vec(), message.beside.segment)).collect())
    }

    #[test]
    fn equal_datagrams_leave_as_a_run_and_no_others_do() {
        for ip in LOOPBACK {
            let (from, to) = (bound(ip), bound(ip));
            receive_runs(to.as_fd()).unwrap();
            let target = to.local_addr().unwrap();
            let plain = |bytes| datagram(bytes, target, 0);
            let fronted = |front, bytes, padding| Outgoing { front, padding, ..plain(bytes) };
            let marked = |bytes| datagram(bytes, target, 0xB8);
            let (sent, messages) = travel(
                &from,
                &to,
                &[
                    plain(b"aaaa"),
                    plain(b"bbbb"),
                    plain(b"cc"),
                    plain(b"dddd"),
                    plain(b"longer"), // a longer one begins another
                    fronted(b"12", b"eeee", 0),
                    fronted(b"34", b"ffff", 0),
                    fronted(b"56", b"gg", 2),
                    marked(b"hhhh"),
                    plain(b"iiii"),
                    plain(b""),
                    plain(b"jjjj"),
                ],
            );
            assert_eq!(sent, Sent { sent: 12, ..Sent::default() });
            // A shorter one ends its run; a longer one, another shape and another mark begin one.
            let expected: [(&[u8], Option<u16>); 9] = [
                (b"aaaabbbbcc", Some(4)),
                (b"dddd", None),
                (b"longer", None),
                (b"12eeee34ffff", Some(6)),
                (b"56gg\0\0", None),
                (b"hhhh", None),
                (b"iiii", None),
                (b"", None),
                (b"jjjj", None),
            ];
            let messages: Vec<_> = messages.iter().map(|(bytes, segment)| (&bytes[..], *segment)).collect();
            assert_eq!(messages, expected);
        }
    }

    #[test]
    fn a_run_that_is_refused_leaves_one_by_one() {
        let (from, to) = (bound("127.0.0.1"), bound("127.0.0.1"));
        receive_runs(to.as_fd()).unwrap();
        let target = to.local_addr().unwrap();
        let run = [b"12", b"34", b"56"].map(|front| Outgoing { front, ..datagram(b"media", target, 0) });
        // The kernel cuts no runs for a socket without checksums.
        let (on, size): (libc::c_int, libc::socklen_t) = (1, 4);
        // SAFETY: `on` is `size` bytes and outlives the call.
        let set = unsafe {
            libc::setsockopt(from.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, (&raw const on).cast(), size)
        };
        assert_eq!(set, 0);
        let (sent, messages) = travel(&from, &to, &run);
        assert_eq!(sent, Sent { sent: 3, ..Sent::default() });
        assert_eq!(messages, [b"12media", b"34media", b"56media"].map(|bytes| (bytes.to_vec(), None)));
    }

    #[test]
    fn a_run_is_as_long_as_it_may_be() {
        let (from, to) = (bound("127.0.0.1"), bound("127.0.0.1"));
        let outgoing = datagram(&[7; 1000], to.local_addr().unwrap(), 0);
        let sent = Sender::new(3).send(from.as_fd(), std::iter::repeat_n(outgoing, 200));
        assert_eq!(sent, Sent { sent: 200, ..Sent::default() });
        let long = datagram(&[7; 30_000], to.local_addr().unwrap(), 0);
        assert_eq!(Sender::new(3).send(from.as_fd(), std::iter::repeat_n(long, 3)).sent, 3);
    }

    #[test]
    fn lost_datagrams_are_reported() {
        let (from, to) = (bound("127.0.0.1"), bound("127.0.0.1"));
        socket2::SockRef::from(&to).set_recv_buffer_size(2048).unwrap();
        let mut sender = Sender::new(64);
        let outgoing = datagram(&[0; 64], to.local_addr().unwrap(), 0);
        sender.send(from.as_fd(), std::iter::repeat_n(outgoing, 64));
        let (mut receiver, mut buffers) = (Receiver::new(64), [[0; 64]; 64]);
        let kept = receive(&mut receiver, &to, &mut buffers).unwrap();
        sender.send(from.as_fd(), [outgoing].into_iter());
        assert_eq!(receive(&mut receiver, &to, &mut buffers).unwrap(), 1);
        let lost = receiver.message(0).unwrap().beside.lost;
        assert!(kept < 64);
        assert_eq!(lost, u32::try_from(64 - kept).ok());
    }
}
