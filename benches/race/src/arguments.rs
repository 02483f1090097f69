//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::case::Case;
use crate::server::{Programs, Server, ServerKind};

pub(crate) const USAGE: &str = "\
usage: scripts/race [OPTIONS]

What has been measured is kept (target/race/records.jsonl), and a race goes on where it stopped: it can be run in
pieces, such as --cases up,down and then --cases capacity, and the results are written from all of them. Pieces must be
of one build, so only the first one builds: --no-build.

  --cases A,B        only cases that these words select (see --list)
  --servers A,B      only these servers; `all` adds the forwarder's other strategies
  --build NAME=PATH  another turnkeep to race, as turnkeep-NAME; can be given several times
  --rounds N         rounds of each case (5)
  --seconds N        measured traffic of one measurement (3)
  --quick            one round of one second, whatever else runs, and unless cases are named without searches and those
                     of 1,000 allocations: to see that everything works
  --anew             forget what has been measured; one file of it is kept beside the new one
  --limit MINUTES    stop before this time is over; the same command goes on
  --report           measure nothing, write the results again
  --out DIRECTORY    where RESULTS.md and results/ go (benches; with --quick target/race/quick)
  --server-cpu N, --generator-cpu N   the cores (0 and 1)
  --build-only, --no-build   build and race nothing; race with what was built
  --list             what would be raced, and how long it takes
  --help             this, and how long everything takes";

/// What was asked for.
pub(crate) struct Arguments {
    words: Vec<String>,
    servers: Vec<String>,
    builds: Vec<(String, PathBuf)>,
    rounds: usize,
    seconds: u64,
    quick: bool,
    pub(crate) anew: bool,
    pub(crate) report: bool,
    pub(crate) list: bool,
    pub(crate) help: bool,
    pub(crate) limit: Option<Duration>,
    pub(crate) out: PathBuf,
    pub(crate) notes: PathBuf,
    pub(crate) server_cpu: usize,
    pub(crate) generator_cpu: usize,
    pub(crate) programs: Programs,
    /// What was typed, for the results.
    pub(crate) command: String,
}

/// What will be raced.
pub(crate) struct Plan {
    pub(crate) cases: Vec<Case>,
    pub(crate) servers: Vec<Server>,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
}

impl Plan {
    /// About how long all of it takes.
    pub(crate) fn estimate(&self) -> Duration {
        self.cases.iter().map(|case| self.estimate_of(case)).sum()
    }

    pub(crate) fn estimate_of(&self, case: &Case) -> Duration {
        let servers = self.servers.iter().filter(|server| server.runs(case)).count();
        let heats = u32::try_from(servers * self.rounds).unwrap_or(u32::MAX);
        heats * case.estimate(Duration::from_secs(self.seconds))
    }
}

impl Arguments {
    /// `--turnkeep PATH`, `--tools DIRECTORY` and `--scratch DIRECTORY` come from scripts/race.
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut this = Self::defaults();
        let mut typed = vec!["scripts/race".to_owned()];
        let mut out = None;
        let mut words = words;
        while let Some(word) = words.next() {
            let mut given = None;
            let mut value = || {
                given = words.next();
                given.clone().ok_or_else(|| format!("{word} needs a value"))
            };
            match word.as_str() {
                "--turnkeep" => this.programs.turnkeep = value()?.into(),
                "--generator" => this.programs.generator = value()?.into(),
                "--tools" => this.programs.directory = value()?.into(),
                "--scratch" => this.programs.scratch = value()?.into(),
                "--cases" => this.words = list(&value()?),
                "--servers" => this.servers = list(&value()?),
                "--build" => this.builds.push(build(&value()?)?),
                "--rounds" => this.rounds = number(&word, &value()?)?,
                "--seconds" => this.seconds = number(&word, &value()?)?,
                "--limit" => this.limit = Some(Duration::from_secs(60 * number::<u64>(&word, &value()?)?)),
                "--out" => out = Some(PathBuf::from(value()?)),
                "--server-cpu" => this.server_cpu = number(&word, &value()?)?,
                "--generator-cpu" => this.generator_cpu = number(&word, &value()?)?,
                "--quick" => this.quick = true,
                "--anew" => this.anew = true,
                "--report" => this.report = true,
                "--list" => this.list = true,
                "--help" | "-h" => this.help = true,
                _ => return Err(format!("{word} is not known\n\n{USAGE}")),
            }
            // What scripts/race adds is nothing to type, and what says when to stop or begin changes no figure.
            let unsaid = ["--turnkeep", "--generator", "--tools", "--scratch", "--report", "--anew", "--limit"];
            if !unsaid.contains(&word.as_str()) {
                typed.push(word);
                typed.extend(given);
            }
        }
        if this.quick {
            // Neither its records nor its results are those of a race.
            this.programs.scratch.push("quick");
            this.out.clone_from(&this.programs.scratch);
        }
        this.out = out.unwrap_or(this.out);
        this.command = typed.join(" ");
        Ok(this)
    }

    pub(crate) fn is_quick(&self) -> bool {
        self.quick
    }

    /// The cases and servers that the words select.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        let mut cases = Case::select(&self.words)?;
        if self.quick && self.words.is_empty() {
            cases.retain(|case| !case.name.contains("-1000") && !case.name.starts_with("capacity"));
        }
        let servers = self.select_servers()?;
        let (rounds, seconds) = if self.quick { (1, 1) } else { (self.rounds.max(1), self.seconds.max(1)) };
        Ok(Plan { cases, servers, rounds, seconds })
    }

    fn select_servers(&self) -> Result<Vec<Server>, String> {
        let mut field = Server::field(&self.programs);
        let builds = self.builds.iter().map(|(name, program)| Server {
            name: format!("turnkeep-{name}"),
            kind: ServerKind::Turnkeep { program: program.clone(), workers: 1 },
        });
        field.splice(1..1, builds);
        if self.servers.is_empty() {
            return Ok(field);
        }
        field.extend(Server::reserves());
        let is_wanted = |name: &str| self.servers.iter().any(|wanted| wanted == name || wanted == "all");
        if let Some(unknown) = self.servers.iter().find(|w| *w != "all" && !field.iter().any(|s| s.name == **w)) {
            let names: Vec<&str> = field.iter().map(|server| server.name.as_str()).collect();
            return Err(format!("no server is called {unknown}; there are {}", names.join(", ")));
        }
        field.retain(|server| is_wanted(&server.name));
        Ok(field)
    }

    fn defaults() -> Self {
        let release = Path::new("target/release");
        Self {
            words: Vec::new(),
            servers: Vec::new(),
            builds: Vec::new(),
            rounds: 5,
            seconds: 3,
            quick: false,
            anew: false,
            report: false,
            list: false,
            help: false,
            limit: None,
            out: "benches".into(),
            notes: "benches/race/NOTES.md".into(),
            server_cpu: 0,
            generator_cpu: 1,
            programs: Programs {
                turnkeep: release.join("turnkeep"),
                generator: release.join("turnkeep"),
                directory: "target/race/bin".into(),
                scratch: "target/race".into(),
            },
            command: String::new(),
        }
    }
}

fn list(words: &str) -> Vec<String> {
    words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn build(word: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = word.split_once('=').ok_or("--build is NAME=PATH")?;
    Ok((name.to_owned(), path.into()))
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &str) -> Result<Plan, String> {
        Arguments::read(words.split_whitespace().map(str::to_owned))?.plan()
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.servers.iter().map(|server| server.name.as_str()).collect()
    }

    #[test]
    fn servers_and_builds_are_chosen_by_name() {
        let chosen = plan("--build old=/tmp/old --servers turnkeep-old,coturn,forwarder-single --rounds 2").unwrap();
        assert_eq!(names(&chosen), ["turnkeep-old", "coturn", "forwarder-single"]);
        assert_eq!((chosen.rounds, chosen.seconds), (2, 3));
        assert!(!names(&plan("").unwrap()).contains(&"forwarder-single"));
        assert!(plan("--servers nginx").err().unwrap().contains("turn-crate"));
    }

    #[test]
    fn quick_is_small_and_overwrites_no_results() {
        let arguments = Arguments::read(["--quick".to_owned()].into_iter()).unwrap();
        assert!(arguments.out.ends_with("quick") && arguments.programs.scratch.ends_with("quick"));
        let plan = arguments.plan().unwrap();
        assert_eq!((plan.rounds, plan.seconds), (1, 1));
        assert!(plan.cases.iter().all(|case| !case.name.contains("10000")));
        assert!(plan.cases.iter().any(|case| case.name == "cycles"));
    }

    #[test]
    fn the_command_is_what_was_typed() {
        let words =
            ["--tools", "bin", "--cases", "up,down", "--anew", "--limit", "9", "--rounds", "3"].map(str::to_owned);
        let arguments = Arguments::read(words.into_iter()).unwrap();
        assert_eq!(arguments.command, "scripts/race --cases up,down --rounds 3");
    }

    #[test]
    fn mistakes_are_explained() {
        assert!(plan("--fast").err().unwrap().contains("usage"));
        assert!(plan("--rounds").err().unwrap().contains("needs a value"));
        assert!(plan("--rounds few").err().unwrap().contains("no number"));
    }
}
