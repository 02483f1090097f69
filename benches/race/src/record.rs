//! One measurement, as it is kept: a line of JSON in `records.jsonl`.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::metric::Metric;
use crate::stats::Spread;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) case: String,
    pub(crate) server: String,
    /// From 0.
    pub(crate) round: usize,
    /// What ran.
    #[serde(flatten)]
    pub(crate) origin: Origin,
    /// When it began, in seconds since 1970.
    pub(crate) begun_s: u64,
    /// Seconds of measured traffic.
    pub(crate) seconds: u64,
    pub(crate) figures: BTreeMap<Metric, f64>,
    /// Whether the load generator was the limit: the server can do more, or loses less.
    pub(crate) generator_limited: bool,
    /// The share of a core that neither server nor load generator had meanwhile.
    pub(crate) others: f64,
    /// Why there are no figures.
    pub(crate) failure: Option<String>,
}

/// What ran, so that nobody takes what another build has measured for this one's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The commit of turnkeep that the race is of, its load generator's as well.
    pub(crate) commit: String,
    /// A hash over the server's program.
    pub(crate) build: String,
    /// The same over the load generator's.
    pub(crate) generator: String,
    /// The server's version, as the results say it.
    pub(crate) version: String,
    /// How the server was set, as the results say it.
    pub(crate) settings: String,
    /// What was typed.
    pub(crate) command: String,
}

impl Origin {
    /// Whether both are of the same programs, whatever was typed.
    fn is_of_same_build(&self, other: &Self) -> bool {
        let programs = |origin: &Self| [&origin.commit, &origin.build, &origin.generator].map(Clone::clone);
        programs(self) == programs(other)
    }
}

/// Who has records, and what ran: a row of the table of versions, a column of every other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entrant {
    pub(crate) name: String,
    /// More than one if the records disagree.
    pub(crate) versions: Vec<String>,
    pub(crate) settings: String,
}

/// The records of a race, appended one by one, so that it can be run in pieces.
pub(crate) struct Records {
    path: PathBuf,
    list: Vec<Record>,
}

impl Records {
    /// Begins anew; what was there is kept beside it.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        if path.exists() {
            fs::rename(path, path.with_extension("before.jsonl"))?;
        }
        fs::write(path, "")?;
        Ok(Self { path: path.to_owned(), list: Vec::new() })
    }

    /// Goes on with what is there.
    ///
    /// # Errors
    /// Records of another format: they say too little to go on with.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let mut list = Vec::new();
        for line in text.split_inclusive('\n') {
            match serde_json::from_str(line) {
                Ok(record) => list.push(record),
                // The last line of a race that was killed may be half a record.
                Err(_) if !line.ends_with('\n') => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        let mut records = Self { path: path.to_owned(), list };
        records.forget(|_| false)?;
        Ok(records)
    }

    /// Of the records that are not of this race, the first: of another commit, load generator or length, or of another
    /// build of one of its servers. What such have measured must not stand beside it.
    pub(crate) fn stranger(&self, race: &[(String, Origin)], seconds: u64) -> Option<&Record> {
        let is_of_build = |record: &Record| match race.iter().find(|(name, _)| *name == record.server) {
            Some((_, origin)) => record.origin.is_of_same_build(origin),
            None => race.first().is_none_or(|(_, origin)| {
                (&record.origin.commit, &record.origin.generator) == (&origin.commit, &origin.generator)
            }),
        };
        self.list.iter().find(|record| record.seconds != seconds || !is_of_build(record))
    }

    pub(crate) fn add(&mut self, record: Record) -> io::Result<()> {
        let mut line = serde_json::to_string(&record)?;
        line.push('\n');
        OpenOptions::new().append(true).create(true).open(&self.path)?.write_all(line.as_bytes())?;
        self.list.push(record);
        Ok(())
    }

    /// Whether it has been measured.
    pub(crate) fn has(&self, case: &str, server: &str, round: usize) -> bool {
        self.of(case, server).any(|record| record.round == round)
    }

    /// Drops what `is_gone`, in the file as well.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(&Record) -> bool) -> io::Result<()> {
        self.list.retain(|record| !is_gone(record));
        let lines: Result<Vec<String>, _> = self.list.iter().map(serde_json::to_string).collect();
        let text: String = lines?.into_iter().flat_map(|line| [line, "\n".into()]).collect();
        let beside = self.path.with_extension("new.jsonl");
        fs::write(&beside, text)?;
        fs::rename(beside, &self.path)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.list.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The rounds of one cell.
    pub(crate) fn of<'a>(&'a self, case: &'a str, server: &'a str) -> impl Iterator<Item = &'a Record> {
        self.list.iter().filter(move |record| record.case == case && record.server == server)
    }

    /// The record of one measurement that has figures.
    pub(crate) fn in_round(&self, case: &str, server: &str, round: usize) -> Option<&Record> {
        self.list.iter().find(|record| {
            record.round == round && record.case == case && record.server == server && record.failure.is_none()
        })
    }

    pub(crate) fn spread(&self, case: &str, server: &str, metric: Metric) -> Option<Spread> {
        Spread::of(self.of(case, server).filter_map(|record| record.figures.get(&metric).copied()))
    }

    /// Who has records, the first to race first.
    pub(crate) fn entrants(&self, order: impl Fn(&str) -> usize) -> Vec<Entrant> {
        let mut entrants: Vec<Entrant> = Vec::new();
        for Record { server, origin, .. } in &self.list {
            let place = entrants.iter().position(|entrant| entrant.name == *server).unwrap_or_else(|| {
                let settings = origin.settings.clone();
                entrants.push(Entrant { name: server.clone(), versions: Vec::new(), settings });
                entrants.len() - 1
            });
            let versions = &mut entrants[place].versions;
            if !versions.contains(&origin.version) {
                versions.push(origin.version.clone());
            }
        }
        entrants.sort_by_key(|entrant| order(&entrant.name));
        entrants
    }

    /// The fewest and the most that a server had of a case.
    pub(crate) fn rounds(&self) -> (usize, usize) {
        let mut cells = BTreeMap::<_, usize>::new();
        for record in &self.list {
            *cells.entry((&record.case, &record.server)).or_default() += 1;
        }
        let counts: Vec<usize> = cells.into_values().collect();
        let [fewest, most] = [counts.iter().min(), counts.iter().max()];
        (fewest.copied().unwrap_or_default(), most.copied().unwrap_or_default())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record(case: &str, server: &str, round: usize, figures: &[(Metric, f64)]) -> Record {
        Record {
            case: case.into(),
            server: server.into(),
            round,
            origin: Origin { commit: "c".into(), build: "b".into(), ..Origin::default() },
            begun_s: 1_800_000_000,
            seconds: 5,
            figures: figures.iter().copied().collect(),
            generator_limited: false,
            others: 0.0,
            failure: None,
        }
    }

    /// A file of its own for each test.
    pub(crate) fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("turnkeep-race-{}-{name}.jsonl", std::process::id()))
    }

    #[test]
    fn a_race_goes_on_where_it_stopped() {
        let path = path("resume");
        let mut records = Records::create(&path).unwrap();
        records.add(record("idle", "pion", 0, &[(Metric::SwitchesPerS, 2.5)])).unwrap();
        records.add(Record { failure: Some("died".into()), ..record("idle", "pion", 1, &[]) }).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"case\":\"id")).unwrap();

        let mut records = Records::open(&path).unwrap();
        assert!(records.has("idle", "pion", 0) && !records.has("idle", "pion", 2));
        assert_eq!(records.spread("idle", "pion", Metric::SwitchesPerS).unwrap().median, 2.5);
        assert_eq!(records.rounds(), (2, 2));

        records.forget(|record| record.failure.is_some()).unwrap();
        assert!(!records.has("idle", "pion", 1), "what failed is tried again");
        records.add(record("idle", "pion", 2, &[])).unwrap();
        assert_eq!(Records::open(&path).unwrap().list, records.list);
        assert_eq!(records.list.len(), 2);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_another_build_has_measured_is_a_strangers() {
        let path = path("stranger");
        let mut records = Records::create(&path).unwrap();
        records.add(record("idle", "pion", 0, &[])).unwrap();
        fs::remove_file(path).unwrap();
        let race = |name: &str, change: fn(&mut Origin)| {
            let mut origin = record("idle", name, 0, &[]).origin;
            change(&mut origin);
            [(name.to_owned(), origin)]
        };
        let is_stranger = |race: [(String, Origin); 1]| records.stranger(&race, 5).is_some();
        assert!(!is_stranger(race("pion", |origin| origin.command = "scripts/race --cases idle".into())));
        assert!(!is_stranger(race("coturn", |origin| origin.build = "its own".into())));
        assert!(records.stranger(&race("pion", |_| ()), 1).is_some(), "of another length");
        assert!(is_stranger(race("pion", |origin| origin.build = "another".into())));
        assert!(is_stranger(race("coturn", |origin| origin.commit = "another".into())));
        assert!(is_stranger(race("coturn", |origin| origin.generator = "another".into())));
    }

    #[test]
    fn a_file_that_says_too_little_is_refused() {
        let path = path("format");
        fs::write(&path, "{\"case\":\"idle\",\"server\":\"pion\"}\n").unwrap();
        assert!(Records::open(&path).is_err());
        fs::remove_file(path).unwrap();
    }
}
