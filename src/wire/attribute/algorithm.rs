//! PASSWORD-ALGORITHMS and PASSWORD-ALGORITHM (RFC 8489 §14.11, §14.12).

use super::{AttributeType, Decode, Encode, fill};
use crate::wire::header::TransactionId;
use crate::wire::integrity::PasswordAlgorithm;

/// PASSWORD-ALGORITHMS (RFC 8489 §14.11): what the server offers, in its order of preference, and what the client
/// echoes byte for byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PasswordAlgorithms<'a>(&'a [u8]);

impl PasswordAlgorithms<'static> {
    /// SHA-256 first, then MD5.
    pub const SHA256_THEN_MD5: Self = Self(&[0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00]);
    /// SHA-256 alone.
    pub const SHA256: Self = Self(&[0x00, 0x02, 0x00, 0x00]);
}

impl<'a> PasswordAlgorithms<'a> {
    /// From the attribute's value; none if an entry runs past its end.
    pub fn from_bytes(value: &'a [u8]) -> Option<Self> {
        let mut rest = value;
        while !rest.is_empty() {
            (_, rest) = split_entry(rest)?;
        }
        Some(Self(value))
    }

    /// The value: RFC 8489 §9.2.4 has the server compare it with what it sent.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The algorithms, in order.
    pub fn iter(&self) -> impl Iterator<Item = PasswordAlgorithmAttribute<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let entry;
            (entry, rest) = split_entry(rest)?;
            Some(entry)
        })
    }
}

impl<'a> Decode<'a> for PasswordAlgorithms<'a> {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHMS;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        Self::from_bytes(value)
    }
}

impl Encode for PasswordAlgorithms<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::PASSWORD_ALGORITHMS
    }

    fn value_len(&self) -> usize {
        self.0.len()
    }

    fn encode_value(&self, out: &mut [u8], _: &TransactionId) {
        fill(out, self.0);
    }
}

impl std::fmt::Debug for PasswordAlgorithms<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// PASSWORD-ALGORITHM (RFC 8489 §14.12), and an entry of PASSWORD-ALGORITHMS. The number is as sent;
/// [`PasswordAlgorithm::from_number`] knows the registered ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PasswordAlgorithmAttribute<'a> {
    /// From IANA's registry "STUN Password Algorithms" (RFC 8489 §18.5).
    pub number: u16,
    /// Empty for both registered algorithms; at most 65,535 bytes.
    pub parameters: &'a [u8],
}

impl PasswordAlgorithmAttribute<'static> {
    /// A registered algorithm, which has no parameters.
    pub const fn new(algorithm: PasswordAlgorithm) -> Self {
        Self { number: algorithm.number(), parameters: &[] }
    }
}

impl<'a> Decode<'a> for PasswordAlgorithmAttribute<'a> {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHM;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let (entry, rest) = split_entry(value)?;
        rest.is_empty().then_some(entry)
    }
}

impl Encode for PasswordAlgorithmAttribute<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::PASSWORD_ALGORITHM
    }

    fn value_len(&self) -> usize {
        self.parameters.len().next_multiple_of(4).saturating_add(4)
    }

    fn encode_value(&self, out: &mut [u8], _: &TransactionId) {
        // Longer parameters make a value that the writer refuses before it gets here.
        let len = u16::try_from(self.parameters.len()).unwrap_or(u16::MAX);
        if let Some((front, rest)) = out.split_at_mut_checked(4) {
            let [[n0, n1], [l0, l1]] = [self.number.to_be_bytes(), len.to_be_bytes()];
            fill(front, &[n0, n1, l0, l1]);
            fill(rest, self.parameters);
        }
    }
}

/// The entry in front of `bytes` and what follows its padding. The padding of the last entry may be missing: it can as
/// well be the attribute's own.
fn split_entry(bytes: &[u8]) -> Option<(PasswordAlgorithmAttribute<'_>, &[u8])> {
    let (&[n0, n1, l0, l1], rest) = bytes.split_first_chunk()?;
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    let parameters = rest.get(..len)?;
    let rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((PasswordAlgorithmAttribute { number: u16::from_be_bytes([n0, n1]), parameters }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{decoded, encoded};

    const MD5: PasswordAlgorithmAttribute<'_> = PasswordAlgorithmAttribute::new(PasswordAlgorithm::Md5);
    const SHA256: PasswordAlgorithmAttribute<'_> = PasswordAlgorithmAttribute::new(PasswordAlgorithm::Sha256);

    /// RFC 8489 §14.11, figure 8, and §18.5.
    #[test]
    fn the_offer_of_both() {
        let wire = [0, 2, 0, 0, 0, 1, 0, 0];
        assert_eq!(encoded(&PasswordAlgorithms::SHA256_THEN_MD5), wire);
        let read = decoded::<PasswordAlgorithms<'_>>(&wire).unwrap();
        assert_eq!(read, PasswordAlgorithms::SHA256_THEN_MD5);
        assert_eq!(read.as_bytes(), wire);
        assert!(read.iter().eq([SHA256, MD5]));
        assert!(decoded::<PasswordAlgorithms<'_>>(&[]).unwrap().iter().next().is_none());
        assert!(format!("{read:?}").contains("number: 2"));
    }

    /// Unknown numbers and parameters are kept: the list is compared, not understood (RFC 8489 §9.2.4).
    #[test]
    fn parameters_are_padded_within_the_value() {
        let wire = [0xFF, 0xFF, 0, 5, 1, 2, 3, 4, 5, 9, 9, 9, 0, 1, 0, 0];
        let read = decoded::<PasswordAlgorithms<'_>>(&wire).unwrap();
        let first = PasswordAlgorithmAttribute { number: 0xFFFF, parameters: &[1, 2, 3, 4, 5] };
        assert!(read.iter().eq([first, MD5]));
        assert_eq!(encoded(&first), [0xFF, 0xFF, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0]);
        assert_eq!(decoded(&wire[..12]), Some(first));
        assert_eq!(decoded(&wire[..9]), Some(first), "the last padding may be the attribute's");
    }

    #[test]
    fn what_runs_past_the_end_is_invalid() {
        assert_eq!(decoded::<PasswordAlgorithms<'_>>(&[0, 2, 0]), None);
        assert_eq!(decoded::<PasswordAlgorithms<'_>>(&[0, 2, 0, 0, 0, 1, 0, 1]), None);
        assert_eq!(decoded::<PasswordAlgorithmAttribute<'_>>(&[]), None);
        assert_eq!(decoded::<PasswordAlgorithmAttribute<'_>>(&[0, 1, 0xFF, 0xFF, 0, 0, 0, 0]), None);
    }

    #[test]
    fn one_algorithm_is_one() {
        assert_eq!(encoded(&SHA256), [0, 2, 0, 0]);
        assert_eq!(decoded(&[0, 2, 0, 0]), Some(SHA256));
        assert_eq!(decoded::<PasswordAlgorithmAttribute<'_>>(&[0, 2, 0, 0, 0, 1, 0, 0]), None);
    }
}
