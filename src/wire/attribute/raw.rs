//! An attribute of any kind.

use super::{AttributeType, Encode};
use crate::wire::header::TransactionId;

/// An attribute by its number and its bytes: for what has no type here, or stands in a message as it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(pub AttributeType, pub &'a [u8]);

impl Encode for Raw<'_> {
    fn attribute_type(&self) -> AttributeType {
        self.0
    }

    fn value_len(&self) -> usize {
        self.1.len()
    }

    fn encode_value(&self, out: &mut [u8], _: &TransactionId) {
        out.copy_from_slice(self.1);
    }
}
