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
#[derive(Debug)]
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

    /// Appends MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256, whichever the key is for. Receivers ignore what is put behind
    /// it, but for MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489 §9).
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

/// Writes a Data indication (RFC 8656 §11.4) up to its payload, which is not copied: the caller puts `payload_len` bytes and
/// the padding behind it.
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
