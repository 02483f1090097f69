//! Binding (RFC 8489 §12): tells a client its address. Needs no credentials and checks none.

use super::answer::Answer;
use crate::relay::addr::Path;
use crate::relay::verdict::Verdict;
use crate::wire::attribute::XorMappedAddress;
use crate::wire::message::Message;

pub(super) fn handle(path: Path, message: &Message<'_>, answer: Answer<'_>) -> Verdict {
    if !message.unknown_required().is_empty() {
        return answer.unknown_attributes(message.unknown_required());
    }
    answer.success(|writer| writer.put(&XorMappedAddress(path.client.0)))
}
