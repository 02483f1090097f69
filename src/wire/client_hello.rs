//! The first message of TLS (RFC 8446 §4.1.2), as far as it tells for whom a connection is: the name that the client
//! asks for (RFC 6066 §3) and the protocols that it offers (RFC 7301 §3.1). Any version's is read, and nothing is asked
//! of the rest of it: what is not ours is somebody else's to judge.

/// The longest message that is read, in bytes, headers of records not counted.
pub const MAX_CLIENT_HELLO: usize = 16_384;

/// What a client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'b> {
    /// The name that it asks for, if it does, as it is written.
    pub server_name: Option<&'b [u8]>,
    /// What ALPN's list holds, each element behind a byte with its length; empty if there is none.
    protocols: &'b [u8],
}

/// This is no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoClientHello;

const RECORD_HANDSHAKE: u8 = 22;
const HANDSHAKE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const NAME_OF_HOST: u8 = 0;
/// Of a handshake message: its type, and its length in three bytes.
const MESSAGE_HEADER: usize = 4;
/// A record has no more (RFC 8446 §5.1).
const MAX_RECORD: usize = 16_384;

impl<'b> ClientHello<'b> {
    /// Reads the message at the beginning of `bytes`, however it is cut into records; none while it is not all there.
    /// It is put together in `room`.
    ///
    /// # Errors
    /// It is something else, or longer than [`MAX_CLIENT_HELLO`].
    pub fn read(bytes: &[u8], room: &'b mut [u8; MAX_CLIENT_HELLO]) -> Result<Option<Self>, NoClientHello> {
        let Some(len) = gather(bytes, room)? else { return Ok(None) };
        let message: &'b [u8] = room.get(MESSAGE_HEADER..len).unwrap_or_default();
        parse(Reader(message)).map(Some)
    }

    /// The protocols that it offers (ALPN), in its order.
    pub fn protocols(&self) -> impl Iterator<Item = &'b [u8]> {
        let mut rest = Reader(self.protocols);
        std::iter::from_fn(move || rest.vector8().ok())
    }
}

/// Puts what handshake records hold one behind the other into `room`, until the message is whole: its length then.
fn gather(mut bytes: &[u8], room: &mut [u8; MAX_CLIENT_HELLO]) -> Result<Option<usize>, NoClientHello> {
    let mut gathered = 0_usize;
    loop {
        if let Some(len) = message_len(room.get(..gathered).unwrap_or_default())?
            && len <= gathered
        {
            return Ok(Some(len));
        }
        match bytes {
            [kind, ..] if *kind != RECORD_HANDSHAKE => return Err(NoClientHello),
            [_, major, ..] if *major != 3 => return Err(NoClientHello),
            [_, _, _, high, low, rest @ ..] => {
                let record = usize::from(u16::from_be_bytes([*high, *low]));
                if record == 0 || record > MAX_RECORD {
                    return Err(NoClientHello);
                }
                let (fragment, behind) = rest.split_at(record.min(rest.len()));
                let free = room.get_mut(gathered..).unwrap_or_default();
                gathered = gathered.saturating_add(fragment.len().min(free.len()));
                free.iter_mut().zip(fragment).for_each(|(to, from)| *to = *from);
                bytes = behind;
            }
            _ => return Ok(None),
        }
    }
}

/// The length of the message that begins like this, its header included; none while that is not all there.
fn message_len(begun: &[u8]) -> Result<Option<usize>, NoClientHello> {
    match *begun {
        [kind, ..] if kind != HANDSHAKE_CLIENT_HELLO => Err(NoClientHello),
        [_, l0, l1, l2, ..] => {
            let len = MESSAGE_HEADER.saturating_add(u32::from_be_bytes([0, l0, l1, l2]) as usize);
            if len <= MAX_CLIENT_HELLO { Ok(Some(len)) } else { Err(NoClientHello) }
        }
        _ => Ok(None),
    }
}

fn parse(mut body: Reader<'_>) -> Result<ClientHello<'_>, NoClientHello> {
    // legacy_version, random; legacy_session_id, cipher_suites, legacy_compression_methods.
    body.take(2 + 32)?;
    body.vector8()?;
    body.vector16()?;
    body.vector8()?;
    let mut hello = ClientHello { server_name: None, protocols: &[] };
    if body.0.is_empty() {
        return Ok(hello);
    }
    let mut extensions = Reader(body.vector16()?);
    while !extensions.0.is_empty() {
        let (kind, mut extension) = (extensions.u16()?, Reader(extensions.vector16()?));
        match kind {
            EXTENSION_SERVER_NAME => hello.server_name = name_of_host(Reader(extension.vector16()?))?,
            EXTENSION_ALPN => hello.protocols = checked_protocols(extension.vector16()?)?,
            _ => {}
        }
    }
    Ok(hello)
}

fn name_of_host(mut names: Reader<'_>) -> Result<Option<&[u8]>, NoClientHello> {
    while !names.0.is_empty() {
        let (kind, name) = (names.u8()?, names.vector16()?);
        if kind == NAME_OF_HOST {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn checked_protocols(list: &[u8]) -> Result<&[u8], NoClientHello> {
    let mut rest = Reader(list);
    while !rest.0.is_empty() {
        rest.vector8()?;
    }
    Ok(list)
}

/// What is left to be read.
#[derive(Clone, Copy)]
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], NoClientHello> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(NoClientHello)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, NoClientHello> {
        self.take(1)?.first().copied().ok_or(NoClientHello)
    }

    fn u16(&mut self) -> Result<u16, NoClientHello> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// What stands behind its length in one byte.
    fn vector8(&mut self) -> Result<&'b [u8], NoClientHello> {
        let len = self.u8()?;
        self.take(len.into())
    }

    /// What stands behind its length in two bytes.
    fn vector16(&mut self) -> Result<&'b [u8], NoClientHello> {
        let len = self.u16()?;
        self.take(len.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector8(bytes: &[u8]) -> Vec<u8> {
        [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn vector16(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector16(body)].concat()
    }

    /// A message with these extensions, in records of at most `size` bytes.
    fn hello(extensions: &[u8], size: usize) -> Vec<u8> {
        let fixed = [&[3, 3][..], &[7; 32], &vector8(&[9; 32]), &vector16(&[0x13, 1]), &vector8(&[0])].concat();
        let body = [&fixed[..], &vector16(extensions)].concat();
        let message = [&[1, 0][..], &vector16(&body)].concat();
        let record = |fragment: &[u8]| [&[22, 3, 1][..], &vector16(fragment)].concat();
        message.chunks(size).flat_map(record).collect()
    }

    fn asking(name: &[u8], protocols: &[&[u8]]) -> Vec<u8> {
        let names = vector16(&[&[0][..], &vector16(name)].concat());
        let list: Vec<u8> = protocols.iter().flat_map(|protocol| vector8(protocol)).collect();
        [extension(10, b"groups"), extension(0, &names), extension(16, &vector16(&list))].concat()
    }

    /// The name and the protocols.
    type Found = (Option<Vec<u8>>, Vec<Vec<u8>>);

    fn read(bytes: &[u8]) -> Result<Option<Found>, NoClientHello> {
        let mut room = [0; MAX_CLIENT_HELLO];
        let hello = ClientHello::read(bytes, &mut room)?;
        let owned = |hello: ClientHello<'_>| {
            (hello.server_name.map(<[u8]>::to_vec), hello.protocols().map(<[u8]>::to_vec).collect())
        };
        Ok(hello.map(owned))
    }

    #[test]
    fn name_and_protocols_are_found_however_it_is_cut() {
        let extensions = asking(b"www.example.org", &[b"h2", b"http/1.1"]);
        let expected = (Some(b"www.example.org".to_vec()), vec![b"h2".to_vec(), b"http/1.1".to_vec()]);
        for size in [1, 2, 3, 5, 7, 64, 16_384] {
            let bytes = hello(&extensions, size);
            assert_eq!(read(&[&bytes[..], b"\x14\x03\x03early"].concat()), Ok(Some(expected.clone())), "{size}");
            for len in 0..bytes.len() {
                assert_eq!(read(&bytes[..len]), Ok(None), "{size} {len}");
            }
        }
    }

    #[test]
    fn neither_name_nor_protocols_have_to_be_there() {
        assert_eq!(read(&hello(b"", 100)), Ok(Some((None, Vec::new()))));
        let mut bare = hello(b"", 1000);
        // Without the length of the extensions: TLS 1.0 has none.
        bare.truncate(bare.len() - 2);
        bare[4] -= 2;
        bare[8] -= 2;
        assert_eq!(read(&bare), Ok(Some((None, Vec::new()))));
    }

    #[test]
    fn other_things_are_told_apart_as_soon_as_it_shows() {
        for other in [
            &b"GET / HTTP"[..],
            b"\0\x01",
            b"\x17\x03\x03",
            b"\x16\x02",
            b"\x16\x03\x01\0\0",
            b"\x16\x03\x01\0\x05\x02",
        ] {
            assert_eq!(read(other), Err(NoClientHello), "{}", other.escape_ascii());
        }
        let long = [&b"\x16\x03\x01\x40\0\x01\0\x3F\xFD"[..], &[0; 100]].concat();
        assert_eq!(read(&long), Err(NoClientHello), "longer than any that is read");
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let extensions = asking(b"www.example.org", &[b"h2"]);
        let honest = hello(&extensions, 1000);
        let body = 5 + MESSAGE_HEADER + 34;
        for at in body..honest.len() {
            let mut lying = honest.clone();
            lying[at] = 0xFF;
            // Whatever it means, it is not waited for.
            assert_ne!(read(&lying), Ok(None), "{at}");
        }
    }
}
