//! `turnkeep credential mint`.

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Relay, out};
use crate::cli::now_unix;
use crate::config::value::{Spelled, UtcTime, parse_period};
use crate::policy::auth::Authenticator;
use crate::policy::auth::mint::{Credential, MintError, MintRequest, Owner};

/// Make an ephemeral credential
///
/// Whoever has the user name and the password can use the relay until it expires. Give users ids that say nothing about
/// the person: user names travel in the clear.
#[derive(Debug, Args)]
pub(super) struct Mint {
    #[command(flatten)]
    relay: Relay,
    /// Whose it is: limits and audit records are kept by this id
    #[arg(long, value_name = "ID")]
    user: String,
    /// How long it is good, such as 90s, 10m or 24h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ttl)]
    ttl: Duration,
    /// The secret to sign with; the first that has not ended if none is named
    #[arg(long, value_name = "ID")]
    secret_id: Option<String>,
    /// Bind it to this relay's zone and name the session it is for
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Bind it to this relay's zone and to at most so many allocations
    #[arg(long, value_name = "N", value_parser = max_allocations)]
    max_allocations: Option<NonZeroU32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// As the command line has it: with units, and with the secrets that could be named.
fn why(error: MintError, authenticator: &Authenticator) -> String {
    match error {
        MintError::TtlTooLong { max } => {
            format!("The credential would live longer than max_ttl, {}; give a shorter --ttl", Spelled(max))
        }
        MintError::NoSecret => {
            let ids: Vec<&str> = authenticator.ephemeral.secrets.iter().map(|secret| secret.id().as_str()).collect();
            format!("No secret is live under that id; configured are: {}", ids.join(", "))
        }
        other => other.to_string(),
    }
}

fn max_allocations(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "give a whole number from 1 on".into())
}

fn ttl(text: &str) -> Result<Duration, String> {
    parse_period(text)
        .filter(|ttl| *ttl >= Duration::from_secs(1))
        .ok_or_else(|| "write it like 90s, 10m or 24h".into())
}

impl Mint {
    pub(super) fn run(self) -> ExitCode {
        let authenticator = match self.relay.authenticator() {
            Ok(authenticator) => authenticator,
            Err(code) => return code,
        };
        let request = MintRequest { owner: self.owner(), ttl: self.ttl, key_id: self.secret_id.as_deref() };
        match authenticator.ephemeral.mint(now_unix(), &request) {
            Ok(credential) => out::print(&self.show(&credential)),
            Err(error) => out::fail(why(error, &authenticator).trim_end_matches('.')),
        }
    }

    fn owner(&self) -> Owner<'_> {
        let (session, max_allocations) = (self.session.as_deref(), self.max_allocations);
        if session.is_none() && max_allocations.is_none() {
            return Owner::User(&self.user);
        }
        Owner::Bound { user_id: &self.user, session, max_allocations }
    }

    fn show(&self, credential: &Credential) -> String {
        let (username, password) = (&credential.username, credential.password.as_str());
        let expires = UtcTime::from_unix_secs(credential.expires_unix);
        if self.json {
            let ttl = self.ttl.as_secs();
            let json =
                serde_json::json!({ "username": username, "password": password, "ttl": ttl, "expires": expires });
            return format!("{json}\n");
        }
        let ttl = Spelled(self.ttl);
        format!("username  {username}\npassword  {password}\nexpires   {expires}, in {ttl}\n")
    }
}
