//! `turnkeep plan`: how large a relay has to be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::load::{rate, share};
use super::out;
use crate::load::plan::{Base, Demand, Media, Plan as Sized, text};
use crate::load::read::from_json;
use crate::load::settings::Profile;

/// Work out how large a relay has to be: ports, Mbit/s, packets/s, cores, memory
///
/// Each participant is taken to send one stream and to get one from every other, as through a media server that
/// forwards (SFU), or, of two, straight to each other: all that a relayed participant sends and gets passes the relay.
/// Each line shows its arithmetic. Without a measured result it assumes what is safe and says so.
#[derive(Debug, Args)]
#[command(after_help = PLAN_HELP)]
pub(super) struct Plan {
    /// Visits that begin in an average hour
    #[arg(long, value_name = "N", value_parser = rate)]
    visits_per_hour: f64,
    /// How long a visit takes, in minutes
    #[arg(long, value_name = "MINUTES", default_value = "20", value_parser = rate)]
    minutes: f64,
    /// People in a visit
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = participants)]
    participants: u32,
    /// The share of them whose media need the relay; 15 to 25 % is usual, all of them behind strict firewalls
    #[arg(long, value_name = "SHARE", default_value = "25%", value_parser = share)]
    relayed: f64,
    /// What each sends, such as 500k or 1.5M bit/s
    #[arg(long, value_name = "BIT/S", value_parser = rate, conflicts_with = "profile")]
    bitrate: Option<f64>,
    /// What each sends, as a kind of call
    #[arg(long, value_enum, default_value = "720p")]
    profile: Kind,
    /// The busiest hour over the average one
    #[arg(long, value_name = "FACTOR", default_value = "2", value_parser = rate)]
    peak_factor: f64,
    /// The share of visits that may find more calls under way than planned for
    #[arg(long, value_name = "SHARE", default_value = "0.1%", value_parser = some_share)]
    blocked: f64,
    /// Allocations of each participant; browsers hold 6 to 12 while they look for a path
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = allocations_each)]
    allocations_each: u32,
    /// How full the machine may be at the peak
    #[arg(long, value_name = "SHARE", default_value = "60%", value_parser = some_share)]
    utilisation: f64,
    /// A result of `turnkeep load --find-capacity --json FILE`, as the base
    #[arg(long, value_name = "FILE.json")]
    capacity: Option<PathBuf>,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

const PLAN_HELP: &str = "\
Examples:
  turnkeep plan --visits-per-hour 200 --minutes 20 --relayed 25% --profile 720p
  turnkeep plan --visits-per-hour 1000 --participants 3 --bitrate 1.5M --capacity capacity.json";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Voice alone
    Audio,
    /// Voice and 0.5 Mbit/s
    #[value(name = "360p", alias = "video-360p")]
    Video360,
    /// Voice and 1.5 Mbit/s
    #[value(name = "720p", alias = "video-720p")]
    Video720,
    /// Voice and 3 Mbit/s
    #[value(name = "1080p", alias = "video-1080p")]
    Video1080,
    /// A data channel
    Data,
}

impl Plan {
    pub(super) fn run(&self) -> ExitCode {
        let base = match self.capacity.as_deref().map(measured) {
            None => Base::assumed(),
            Some(Ok(base)) => base,
            Some(Err(sentence)) => return out::fail(sentence),
        };
        let demand = self.demand();
        if let Err(sentence) = demand.check() {
            return out::refuse(sentence);
        }
        let plan = Sized::new(demand, base);
        if !self.json {
            return out::print(&text(&plan));
        }
        match serde_json::to_string_pretty(&plan) {
            Ok(json) => out::print(&(json + "\n")),
            Err(error) => out::fail(format_args!("cannot write the plan: {error}")),
        }
    }

    fn demand(&self) -> Demand {
        Demand {
            visits_per_hour: self.visits_per_hour,
            minutes_per_visit: self.minutes,
            participants: self.participants,
            relayed_share: self.relayed,
            peak_factor: self.peak_factor,
            blocked_share: self.blocked,
            allocations_each: self.allocations_each,
            utilisation: self.utilisation,
            media: self.bitrate.map_or_else(|| Media::from(Profile::from(self.profile)), Media::of_bitrate),
        }
    }
}

fn measured(file: &Path) -> Result<Base, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let base = from_json(&text).and_then(|result| Base::measured(&result));
    base.map_err(|error| format!("{}: {error}", file.display()))
}

fn participants(text: &str) -> Result<u32, String> {
    within(text, 2, 1000)
}

fn allocations_each(text: &str) -> Result<u32, String> {
    within(text, 1, 100)
}

fn within(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("it must be a whole number from {least} to {most}"))
}

/// A share above 0.
fn some_share(text: &str) -> Result<f64, String> {
    share(text).and_then(|share| if share > 0.0 { Ok(share) } else { Err("it must be above 0 %".into()) })
}

impl From<Kind> for Profile {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Audio => Self::Audio,
            Kind::Video360 => Self::Video360,
            Kind::Video720 => Self::Video720,
            Kind::Video1080 => Self::Video1080,
            Kind::Data => Self::Data,
        }
    }
}
