//! What every client of a TURN server of ours needs: where the server is, whose certificates are
//! good, how it logs in. Clients measure and check servers
//! (`load`, `probe`), so that nothing here is shared with the server.
#![forbid(unsafe_code)]

pub mod credential;
pub mod tls;
pub mod uri;

pub use credential::Credentials;
