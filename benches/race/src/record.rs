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
    /// What ran: a hash over server and load generator. What another build has measured is not taken for this one's.
    pub(crate) build: String,
    /// Seconds of measured traffic.
    pub(crate) seconds: u64,
    pub(crate) figures: BTreeMap<Metric, f64>,
    /// Whether the load generator was the limit: the server can do more, or loses less.
    pub(crate) generator_limited: bool,
    /// Why there are no figures.
    pub(crate) failure: Option<String>,
}

/// The records of a race, appended one by one, so that a race can go on after a pause.
pub(crate) struct Records {
    path: PathBuf,
    list: Vec<Record>,
}

impl Records {
    /// Begins anew.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        fs::write(path, "")?;
        Ok(Self { path: path.to_owned(), list: Vec::new() })
    }

    /// Goes on with what is there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        // The last line of a race that was killed may be half a record.
        let list = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Self { path: path.to_owned(), list })
    }

    pub(crate) fn add(&mut self, record: Record) -> io::Result<()> {
        let mut line = serde_json::to_string(&record)?;
        line.push('\n');
        OpenOptions::new().append(true).create(true).open(&self.path)?.write_all(line.as_bytes())?;
        self.list.push(record);
        Ok(())
    }

    /// Whether it has been measured with this build and for as long.
    pub(crate) fn has(&self, case: &str, server: &str, round: usize, build: &str, seconds: u64) -> bool {
        self.list.iter().any(|record| {
            record.case == case
                && record.server == server
                && record.round == round
                && record.build == build
                && record.seconds == seconds
                && record.failure.is_none()
        })
    }

    /// Drops what `is_current` denies, in the file as well.
    pub(crate) fn retain(&mut self, is_current: impl Fn(&Record) -> bool) -> io::Result<()> {
        let list: Vec<Record> = self.list.drain(..).filter(is_current).collect();
        fs::write(&self.path, "")?;
        list.into_iter().try_for_each(|record| self.add(record))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The rounds of one cell.
    pub(crate) fn of<'a>(&'a self, case: &'a str, server: &'a str) -> impl Iterator<Item = &'a Record> {
        self.list.iter().filter(move |record| record.case == case && record.server == server)
    }

    pub(crate) fn spread(&self, case: &str, server: &str, metric: Metric) -> Option<Spread> {
        Spread::of(self.of(case, server).filter_map(|record| record.figures.get(&metric).copied()))
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
            build: "b".into(),
            seconds: 5,
            figures: figures.iter().copied().collect(),
            generator_limited: false,
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
        assert!(records.has("idle", "pion", 0, "b", 5));
        assert!(!records.has("idle", "pion", 0, "another build", 5));
        assert!(!records.has("idle", "pion", 0, "b", 1));
        assert!(!records.has("idle", "pion", 1, "b", 5), "what failed is tried again");
        assert_eq!(records.spread("idle", "pion", Metric::SwitchesPerS).unwrap().median, 2.5);
        assert_eq!(records.rounds(), (2, 2));

        records.retain(|record| record.round == 1).unwrap();
        assert_eq!(Records::open(&path).unwrap().list, records.list);
        assert_eq!(records.list.len(), 1);
        fs::remove_file(path).unwrap();
    }
}
