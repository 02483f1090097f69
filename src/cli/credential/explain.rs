//! `turnkeep credential explain`.

use std::fmt::Write;
use std::io::{self, Read};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use zeroize::Zeroizing;

use super::{Relay, out};
use crate::cli::now_unix;
use crate::config::value::{Spelled, UtcTime};
use crate::policy::auth;
use crate::policy::auth::explain::{Distance, Explanation, Mistake, PasswordReport, UsernameReport};
use crate::policy::auth::username::{Expiry, Layout};
use crate::relay::Now;

/// Say what the relay makes of a credential: which secret it is signed with, when it expires, why it would be refused
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXIT_CODES)]
pub(super) struct Explain {
    #[command(flatten)]
    relay: Relay,
    /// USERNAME, as the client sends it
    username: String,
    /// The password, or - to read it from standard input; without one the user name alone is judged
    password: Option<String>,
}

const EXPLAIN_EXIT_CODES: &str = "\
Exit codes:
  0  an allocation with it would be granted
  1  it would be refused
  2  the arguments were not understood";

/// The longest password that is read from standard input, in bytes.
const MAX_PASSWORD: u64 = 1024;

impl Explain {
    pub(super) fn run(self) -> ExitCode {
        let authenticator = match self.relay.authenticator() {
            Ok(authenticator) => authenticator,
            Err(code) => return code,
        };
        let password = match self.password.as_deref() {
            Some("-") => match read_password() {
                Ok(password) => Some(password),
                Err(error) => return out::fail(format_args!("cannot read the password: {error}")),
            },
            given => given.map(|password| Zeroizing::new(password.to_owned())),
        };
        let now = Now { unix_millis: now_unix().saturating_mul(1000), ..Now::default() };
        let password = password.as_ref().map(|password| password.as_bytes());
        let explanation = authenticator.explain(self.username.as_bytes(), password, now);
        let printed = out::print(&show(&explanation));
        if explanation.refusals.is_empty() { printed } else { ExitCode::FAILURE }
    }
}

fn read_password() -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    io::stdin().lock().take(MAX_PASSWORD).read_to_string(&mut text)?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn show(explanation: &Explanation) -> String {
    let mut text = String::new();
    let mut line = |what: &str, how: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{what:<10}{how}");
    };
    match &explanation.username {
        UsernameReport::Static => line("username", "a user with a fixed password"),
        UsernameReport::Unreadable(why) => line("username", &why.to_string()),
        UsernameReport::Ephemeral { layout, expiry, distance, binding } => {
            line("username", layout_sentence(*layout));
            line("expiry", &expiry_sentence(*expiry, *distance));
            if let Some(binding) = binding {
                line("bound to", &format!("secret {}, zone {}", binding.key_id, binding.zone));
            }
        }
    }
    if let Some(user) = &explanation.user {
        line("user", &user.0.escape_debug().to_string());
    }
    line("password", &password_sentence(&explanation.password));
    for reason in &explanation.refusals {
        line("refused", &format!("{reason}: {}", auth::sentence(*reason)));
    }
    if explanation.refusals.is_empty() {
        line(
            "accepted",
            if explanation.password == PasswordReport::NotGiven { "if the password is right" } else { "yes" },
        );
    }
    text
}

fn layout_sentence(layout: Layout) -> &'static str {
    match layout {
        Layout::ExpiryThenUser => "the expiry, then the user",
        Layout::ExpiryAlone => "the expiry alone: limits are kept for this one credential",
        Layout::ExpiryThenNothing => "the expiry and an empty user: limits are kept for this one credential",
        Layout::UserThenExpiry => "the user, then the expiry",
    }
}

fn expiry_sentence(expiry: Expiry, distance: Distance) -> String {
    let (written, secs) = match expiry {
        Expiry::Seconds(secs) => (String::new(), secs),
        Expiry::Milliseconds(millis) => (format!(" ({millis}, which is in milliseconds)"), millis / 1000),
    };
    let whole_secs = |duration: Duration| Spelled(Duration::from_secs(duration.as_secs()));
    let distance = match distance {
        Distance::Ahead(ahead) => format!("in {}", whole_secs(ahead)),
        Distance::Ago(ago) => format!("{} ago", whole_secs(ago)),
    };
    format!("{}, {distance}{written}", UtcTime::from_unix_secs(secs))
}

fn password_sentence(report: &PasswordReport) -> String {
    match report {
        PasswordReport::NotGiven => "not given".into(),
        PasswordReport::MatchesUser => "right".into(),
        PasswordReport::Matches(id) => format!("right, under secret {id}"),
        PasswordReport::Wrong => "wrong: no secret makes it of this user name".into(),
        PasswordReport::NearMiss(id, mistake) => {
            format!("wrong, but nearly right under secret {id}: {}", mistake_sentence(*mistake))
        }
    }
}

fn mistake_sentence(mistake: Mistake) -> &'static str {
    match mistake {
        Mistake::OtherHash => "the issuer uses the other HMAC; see credentials.hmac",
        Mistake::LineFeedInSecret => "the issuer's copy of the secret has a line feed at its end",
        Mistake::NoPadding => "the issuer cuts off the \"=\" at the end of the base64",
        Mistake::UrlAlphabet => "the issuer uses the base64 alphabet for URLs; it must be the standard one",
        Mistake::WhiteSpace => "there is white space around it",
    }
}
