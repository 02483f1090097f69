//! The answer to one request, written into the engine's reply buffer.

use crate::relay::limits::MAX_REPLY;
use crate::relay::reason::DropReason;
use crate::relay::verdict::Verdict;
use crate::wire::attribute::{AttributeType, ErrorCode, UnknownAttributes};
use crate::wire::header::{Class, Method, TransactionId};
use crate::wire::integrity::IntegrityKey;
use crate::wire::message::Message;
use crate::wire::writer::{BufferFull, MessageWriter};

/// What the answer to a request must have whatever it says: the request's method and transaction id, integrity once the
/// sender is known, and a FINGERPRINT if the request had one (D-14 of docs/conformance.md).
pub(super) struct Answer<'a> {
    out: &'a mut [u8; MAX_REPLY],
    method: Method,
    transaction_id: TransactionId,
    fingerprint: bool,
    key: Option<IntegrityKey>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(request: &Message<'_>, out: &'a mut [u8; MAX_REPLY]) -> Self {
        Self::to(request.method(), request.transaction_id(), request.has(AttributeType::FINGERPRINT), out)
    }

    pub(super) fn to(
        method: Method,
        transaction_id: TransactionId,
        fingerprint: bool,
        out: &'a mut [u8; MAX_REPLY],
    ) -> Self {
        Self { out, method, transaction_id, fingerprint, key: None }
    }

    /// From now on the answer carries integrity (RFC 8489 §9.2.4: any response after the checks have passed).
    pub(super) fn sign_with(&mut self, key: IntegrityKey) {
        self.key = Some(key);
    }

    /// A success response with the attributes that `put` writes.
    pub(super) fn success(self, put: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), BufferFull>) -> Verdict {
        self.write(Class::Success, put)
    }

    /// An error response.
    pub(super) fn error(self, error: ErrorCode<'_>) -> Verdict {
        self.error_with(error, |_| Ok(()))
    }

    /// An error response with further attributes. Its reason phrase is left out where the sender is not known: what an
    /// unauthenticated request is answered shall be short (D-38).
    pub(super) fn error_with(
        self,
        error: ErrorCode<'_>,
        put: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), BufferFull>,
    ) -> Verdict {
        let reason = if self.key.is_some() { error.reason } else { "" };
        self.write(Class::Error, |writer| {
            writer.put(&ErrorCode { reason, ..error })?;
            put(writer)
        })
    }

    /// 420 with the list of what was not understood (RFC 8489 §6.3.1).
    pub(super) fn unknown_attributes(self, unknown: &[AttributeType]) -> Verdict {
        self.error_with(ErrorCode::UNKNOWN_ATTRIBUTE, |writer| writer.put(&UnknownAttributes::new(unknown)))
    }

    fn write(self, class: Class, put: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), BufferFull>) -> Verdict {
        let Self { out, method, transaction_id, fingerprint, key } = self;
        let written = MessageWriter::new(out, method, class, transaction_id).and_then(|mut writer| {
            put(&mut writer)?;
            if let Some(key) = &key {
                writer.integrity(key)?;
            }
            if fingerprint {
                writer.fingerprint()?;
            }
            Ok(writer.finish())
        });
        match written {
            Ok(len) => Verdict::Reply { len },
            // Every answer is bounded well below MAX_REPLY; were one not, silence is the RFC's way out.
            Err(BufferFull) => Verdict::Drop(DropReason::TooLong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::attribute::Data;

    /// No answer of ours is that long: were one, nothing would be sent, and no half of it.
    #[test]
    fn what_does_not_fit_is_not_answered() {
        let mut out = [0; MAX_REPLY];
        let mut answer = |data: &[u8]| {
            let answer = Answer::to(Method::ALLOCATE, TransactionId([7; 12]), true, &mut out);
            answer.success(|writer| writer.put(&Data(data)))
        };
        assert_eq!(answer(&[0; MAX_REPLY - 32]), Verdict::Reply { len: MAX_REPLY });
        assert_eq!(answer(&[0; MAX_REPLY - 31]), Verdict::Drop(DropReason::TooLong));
    }
}
