//! Credentials, peers, limits and the audit trail: answers the questions of the relay floor, and knows no socket.
#![forbid(unsafe_code)]
