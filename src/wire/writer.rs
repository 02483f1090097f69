//! Writes STUN messages into a buffer that is given.

use std::fmt;
use std::net::SocketAddr;

use super::address::address_len;
use super::attribute::{AttributeType, Encode, XorPeerAddress};
use super::fingerprint;
use super::header::{Class, HEADER_LEN, Header, MAX_BODY_LEN, Method, TransactionId};
use super::integrity::IntegrityKey;

/// Writes one message, attribute by attribute. Padding and reserved bits are zero whatever the buffer held before.
///
/// After an error the message is what it was before the call.
pub struct MessageWriter<'b> {
    out: &'b mut [u8],
    /// Bytes written, header included.
    len: usize,
    method: Method,
    class: Class,
    transaction_id: TransactionId,
}

impl<'b> MessageWriter<'b> {
    /// Starts a message at the front of `out`.
    ///
    /// # Errors
    /// Not even a header fits.
    #[inline]
    pub fn new(
        out: &'b mut [u8],
        method: Method,
        class: Class,
        transaction_id: TransactionId,
    ) -> Result<Self, BufferFull> {
        let writer = Self { out, len: HEADER_LEN, method, class, transaction_id };
        let header = writer.header();
        writer.out.first_chunk_mut().map(|front| *front = header).ok_or(BufferFull)?;
        Ok(writer)
    }

    /// Appends an attribute.
    ///
    /// # Errors
    /// It does not fit into the buffer, its value is longer than 65,535 bytes, or the message would be longer than its
    /// length field can say.
    #[inline]
    pub fn put(&mut self, attribute: &impl Encode) -> Result<(), BufferFull> {
        let transaction_id = self.transaction_id;
        let value = self.append(attribute.attribute_type(), attribute.value_len())?;
        attribute.encode_value(value, &transaction_id);
        Ok(())
    }

    /// Appends MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256, whichever the key is for. Receivers ignore what is put
    /// behind it, but for MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489 §9).
    ///
    /// # Errors
    /// It does not fit.
    pub fn integrity(&mut self, key: &IntegrityKey) -> Result<(), BufferFull> {
        let before = self.len;
        self.append(key.integrity().attribute_type(), key.integrity().len())?;
        // As if the message ended here (RFC 8489 §14.5).
        let header = self.header();
        let (signed, attribute) = self.out.split_at_mut_checked(before).ok_or(BufferFull)?;
        let attributes = signed.get(HEADER_LEN..).unwrap_or_default();
        key.sign(&header, attributes, attribute.get_mut(4..).unwrap_or_default());
        Ok(())
    }

    /// Appends FINGERPRINT, which must be the last attribute (RFC 8489 §14.7).
    ///
    /// # Errors
    /// It does not fit.
    pub fn fingerprint(&mut self) -> Result<(), BufferFull> {
        let before = self.len;
        self.append(AttributeType::FINGERPRINT, 4)?;
        // The CRC sees the final length.
        self.write_header();
        let crc = fingerprint::value(self.out.get(..before).unwrap_or_default());
        let value =
            self.out.get_mut(before..).and_then(|rest| rest.get_mut(4..)).and_then(|rest| rest.first_chunk_mut());
        value.map(|value| *value = crc).ok_or(BufferFull)
    }

    /// Ends the message and returns its length in bytes.
    #[inline]
    pub fn finish(mut self) -> usize {
        self.write_header();
        self.len
    }

    /// Makes room for an attribute, writes its header and zeroes, and returns where its value goes.
    #[inline]
    fn append(&mut self, attribute: AttributeType, value_len: usize) -> Result<&mut [u8], BufferFull> {
        let [l0, l1] = u16::try_from(value_len).map_err(|_| BufferFull)?.to_be_bytes();
        let end = self.len.saturating_add(4).saturating_add(value_len.next_multiple_of(4));
        if end > HEADER_LEN + MAX_BODY_LEN {
            return Err(BufferFull);
        }
        let room = self.out.get_mut(self.len..end).ok_or(BufferFull)?;
        let (header, padded) = room.split_first_chunk_mut().ok_or(BufferFull)?;
        let [t0, t1] = attribute.0.to_be_bytes();
        *header = [t0, t1, l0, l1];
        padded.fill(0);
        self.len = end;
        padded.get_mut(..value_len).ok_or(BufferFull)
    }

    #[inline]
    fn write_header(&mut self) {
        let header = self.header();
        if let Some(front) = self.out.first_chunk_mut() {
            *front = header;
        }
    }

    /// The header of the message as far as it is written.
    #[inline]
    fn header(&self) -> [u8; HEADER_LEN] {
        // `append` keeps it within MAX_BODY_LEN.
        let body_len = u16::try_from(self.len.saturating_sub(HEADER_LEN)).unwrap_or(u16::MAX);
        let Self { method, class, transaction_id, .. } = *self;
        Header { method, class, body_len, transaction_id }.to_bytes()
    }
}

/// Shows nothing of the buffer: it may hold anything.
impl fmt::Debug for MessageWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, class, transaction_id, len, .. } = self;
        write!(f, "MessageWriter({method} {}, {transaction_id}, {len} bytes)", class.name())
    }
}

/// The message does not fit into the buffer, or into what its 16-bit length fields can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferFull;

impl fmt::Display for BufferFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message does not fit")
    }
}

impl std::error::Error for BufferFull {}

/// The most bytes before the payload of a Data indication: header 20, XOR-PEER-ADDRESS of IPv6 24, DATA's header 4.
pub const DATA_FRONT_MAX: usize = 48;

/// What [`data_indication_front`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataFront {
    /// Bytes before the payload: 36 for an IPv4 peer, 48 for an IPv6 one.
    pub len: usize,
    /// Zero bytes to put behind the payload, 0 to 3.
    pub padding: usize,
}

/// Writes a Data indication (RFC 8656 §11.4) up to its payload, which is not copied: the caller puts `payload_len`
/// bytes and the padding behind it.
///
/// # Errors
/// The payload is too long for the length field of a message.
#[inline]
pub fn data_indication_front(
    out: &mut [u8; DATA_FRONT_MAX],
    transaction_id: TransactionId,
    peer: SocketAddr,
    payload_len: usize,
) -> Result<DataFront, BufferFull> {
    let [d0, d1] = u16::try_from(payload_len).map_err(|_| BufferFull)?.to_be_bytes();
    let padding = payload_len.next_multiple_of(4).saturating_sub(payload_len);
    let address_len = address_len(peer);
    let data_at = (HEADER_LEN + 4).saturating_add(address_len);
    let len = data_at.saturating_add(4);
    let body_len = len.saturating_sub(HEADER_LEN).saturating_add(payload_len).saturating_add(padding);
    let body_len = u16::try_from(body_len).map_err(|_| BufferFull)?;

    let header = Header { method: Method::DATA, class: Class::Indication, body_len, transaction_id }.to_bytes();
    let (front, rest) = out.split_first_chunk_mut().ok_or(BufferFull)?;
    *front = header;
    let (front, rest) = rest.split_first_chunk_mut().ok_or(BufferFull)?;
    let [t0, t1] = AttributeType::XOR_PEER_ADDRESS.0.to_be_bytes();
    let [l0, l1] = u16::try_from(address_len).map_err(|_| BufferFull)?.to_be_bytes();
    *front = [t0, t1, l0, l1];
    let (address, rest) = rest.split_at_mut_checked(address_len).ok_or(BufferFull)?;
    XorPeerAddress(peer).encode_value(address, &transaction_id);
    let [t0, t1] = AttributeType::DATA.0.to_be_bytes();
    *rest.first_chunk_mut().ok_or(BufferFull)? = [t0, t1, d0, d1];
    Ok(DataFront { len, padding })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::attribute::Raw;
    use crate::wire::attribute::{Data, EvenPort, Realm, UnknownAttributes};
    use crate::wire::tests::ID;
    use crate::wire::{Integrity, Message};

    /// C-025, and A-121: RFC 8489 §14; whatever the buffer held.
    #[test]
    fn padding_is_zero_in_a_dirty_buffer() {
        for len in 0..9_u8 {
            let value = vec![0xAA; usize::from(len)];
            let mut out = [0xFF; 64];
            let mut writer = MessageWriter::new(&mut out, Method::BINDING, Class::Error, ID).unwrap();
            writer.put(&Realm(&value)).unwrap();
            let end = writer.finish();
            let mut expected = vec![0x00, 0x14, 0x00, len];
            expected.extend(&value);
            expected.resize(4 + value.len().next_multiple_of(4), 0);
            assert_eq!(out[HEADER_LEN..end], expected);
            assert!(out[end..].iter().all(|byte| *byte == 0xFF), "nothing is written behind the message");
        }
    }

    #[test]
    fn reserved_bits_are_zero_in_a_dirty_buffer() {
        let mut out = [0xFF; 64];
        let mut writer = MessageWriter::new(&mut out, Method::ALLOCATE, Class::Request, ID).unwrap();
        writer.put(&EvenPort { reserve_next: true }).unwrap();
        writer.put(&UnknownAttributes::new(&[AttributeType::PADDING])).unwrap();
        let end = writer.finish();
        assert_eq!(
            out[HEADER_LEN..end],
            [0x00, 0x18, 0, 1, 0x80, 0, 0, 0, /* next */ 0x00, 0x0A, 0, 2, 0x00, 0x26, 0, 0]
        );
    }

    /// A failed call leaves a valid message behind: whoever fills a bounded reply can stop there.
    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut out = [0xFF; 64];
        for len in 0..HEADER_LEN {
            let writer = MessageWriter::new(&mut out[..len], Method::BINDING, Class::Success, ID);
            assert_eq!(writer.unwrap_err(), BufferFull);
        }
        let key = IntegrityKey::from_raw(Integrity::Sha1, b"key");
        let mut writer = MessageWriter::new(&mut out[..31], Method::BINDING, Class::Success, ID).unwrap();
        writer.put(&Realm(b"abc")).unwrap();
        assert_eq!(
            format!("{writer:?}"),
            "MessageWriter(Binding success response, a0b1c2d3e4f5060708090a0b, 28 bytes)"
        );
        assert_eq!(writer.put(&Realm(b"")), Err(BufferFull));
        assert_eq!(writer.integrity(&key), Err(BufferFull));
        assert_eq!(writer.fingerprint(), Err(BufferFull));
        assert_eq!(writer.finish(), 28);
        let message = Message::parse(&out[..28]).unwrap();
        assert_eq!(message.get(), Ok(Some(Realm(b"abc"))));
        assert_eq!(message.attributes().count(), 1);
    }

    /// Lengths are never cut to 16 bits.
    #[test]
    fn length_fields_do_not_overflow() {
        let mut out = vec![0; 200_000];
        let long = vec![0; 65_536];
        let mut writer = MessageWriter::new(&mut out, Method::DATA, Class::Indication, ID).unwrap();
        assert_eq!(writer.put(&Data(&long)), Err(BufferFull));
        assert_eq!(writer.put(&Data(&long[..65_529])), Err(BufferFull), "the message would be too long");
        writer.put(&Data(&long[..65_528])).unwrap();
        assert_eq!(writer.put(&Data(b"")), Err(BufferFull), "the message is full");
        assert_eq!(writer.finish(), HEADER_LEN + 65_532);
        assert!(Message::parse(&out[..HEADER_LEN + 65_532]).is_ok());
        assert!(BufferFull.to_string().contains("fit"));
    }

    /// C-191, C-192, C-193: RFC 8656 §11.4; the same bytes as the writer's own.
    #[test]
    fn a_data_indication_is_its_front_payload_and_padding() {
        for peer in ["192.0.2.1:3478", "[2001:db8::1]:3478"].map(|peer| peer.parse().unwrap()) {
            for payload in (0..9).map(|len| vec![0xAA; len]) {
                let mut front = [0xFF; DATA_FRONT_MAX];
                let DataFront { len, padding } = data_indication_front(&mut front, ID, peer, payload.len()).unwrap();
                let datagram = [&front[..len], &payload, &[0; 3][..padding]].concat();

                let mut out = [0xFF; 128];
                let mut writer = MessageWriter::new(&mut out, Method::DATA, Class::Indication, ID).unwrap();
                writer.put(&XorPeerAddress(peer)).unwrap();
                writer.put(&Data(&payload)).unwrap();
                let end = writer.finish();
                assert_eq!(datagram, out[..end]);
                assert_eq!(len, if peer.is_ipv4() { 36 } else { 48 });
            }
        }
    }

    #[test]
    fn a_data_indication_has_a_longest_payload() {
        for (peer, longest) in [("192.0.2.1:1", 65_516), ("[::1]:1", 65_504)] {
            let mut front = [0; DATA_FRONT_MAX];
            let peer = peer.parse().unwrap();
            let DataFront { len, padding } = data_indication_front(&mut front, ID, peer, longest).unwrap();
            let datagram = [&front[..len], &vec![0; longest + padding]].concat();
            let message = Message::parse(&datagram).unwrap();
            assert_eq!(message.range_of(AttributeType::DATA), Some(len..len + longest));
            assert_eq!(message.get(), Ok(Some(XorPeerAddress(peer))));
            assert_eq!(data_indication_front(&mut front, ID, peer, longest + 1), Err(BufferFull));
            assert_eq!(data_indication_front(&mut front, ID, peer, usize::MAX), Err(BufferFull));
        }
    }

    /// An attribute of our own making is written like any other.
    #[test]
    fn raw_attributes_are_written() {
        let mut out = [0; 32];
        let mut writer = MessageWriter::new(&mut out, Method::BINDING, Class::Request, ID).unwrap();
        writer.put(&Raw(AttributeType(0x7FFF), &[1, 2])).unwrap();
        let end = writer.finish();
        assert_eq!(out[HEADER_LEN..end], [0x7F, 0xFF, 0, 2, 1, 2, 0, 0]);
    }
}
