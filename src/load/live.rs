//! What a person sees while a test runs.

use std::collections::VecDeque;

use super::result::Second;
use super::session::{Progress, Standing};
use super::units;

/// Seconds that the sparkline shows.
const REMEMBERED: usize = 60;
/// So long a server may take for its first answer before a word is said about it.
const SILENCE_S: f64 = 1.8;
const BAR: usize = 30;
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The state of a test as far as it was told.
#[derive(Debug, Default)]
pub struct Live {
    last: Option<Progress>,
    /// Since the phase began.
    seconds: VecDeque<Second>,
    sent: u64,
    lost: u64,
    /// Per second, of what the phase makes.
    done_per_s: f64,
}

impl Live {
    /// Takes news.
    pub fn note(&mut self, progress: &Progress) {
        let same =
            self.last.as_ref().filter(|last| last.phase == progress.phase && last.elapsed_s < progress.elapsed_s);
        match same {
            None => *self = Self::default(),
            Some(last) => {
                let passed = progress.elapsed_s - last.elapsed_s;
                self.done_per_s = progress.done.saturating_sub(last.done) as f64 / passed;
            }
        }
        if let Some(settled) = &progress.settled {
            self.sent += settled.sent;
            self.lost += settled.sent.saturating_sub(settled.arrived);
        }
        if let Some(second) = &progress.second {
            self.seconds.push_back(second.clone());
            if self.seconds.len() > REMEMBERED {
                self.seconds.pop_front();
            }
        }
        self.last = Some(progress.clone());
    }

    /// One line, such as a log takes; none before there is news.
    pub fn line(&self) -> Option<String> {
        let last = self.last.as_ref()?;
        let of = last.length_s.map_or(String::new(), |length| format!(" of {length:.0}"));
        let parts =
            [Some(format!("{} {:.0}{of} s", last.phase, last.elapsed_s)), self.made(), self.rates(), self.times()];
        Some(parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }

    /// Some lines, each at most `columns` wide, `ago_s` seconds after the last news.
    pub fn block(&self, ago_s: f64, columns: usize) -> Vec<String> {
        let Some(last) = &self.last else { return Vec::new() };
        let elapsed = last.elapsed_s + ago_s;
        let mut lines = vec![match last.length_s {
            Some(length) => {
                format!("{:<8} {} {:.1} of {length:.0} s", last.phase, bar(elapsed / length), elapsed.min(length))
            }
            None => format!("{:<8} {elapsed:.1} s", last.phase),
        }];
        lines.extend(self.made().map(|made| format!("         {made}")));
        lines.extend(self.rates().map(|rates| format!("packets  {rates}")));
        lines.extend(self.times().map(|times| format!("latency  {times}")));
        if self.seconds.len() > 1 {
            lines.push(format!("p99      {}", sparkline(self.seconds.iter().map(|second| second.p99_us))));
        }
        lines.iter().map(|line| line.chars().take(columns).collect()).collect()
    }

    fn made(&self) -> Option<String> {
        if let Some(last) = self.last.as_ref()
            && let Some(clients) = last.clients
        {
            return Some(standing(&clients, last.elapsed_s));
        }
        let last = self.last.as_ref().filter(|last| last.done > 0)?;
        Some(format!("{} done, {}/s", units::count(last.done), units::number(self.done_per_s.round())))
    }

    fn rates(&self) -> Option<String> {
        let (last, second) = (self.last.as_ref()?, self.seconds.back()?);
        let loss = if self.sent == 0 { 0.0 } else { self.lost as f64 / self.sent as f64 };
        let mut text = format!(
            "{}/s received of {}/s, {}, {} lost",
            units::count(second.received),
            units::number(last.rate_per_s.round()),
            units::bits_per_s(second.received_bytes as f64 * 8.0),
            units::percent(loss)
        );
        if let Some(cpu) = second.server_cpu {
            text.push_str(&format!(", server {:.0} % of a core", 100.0 * cpu));
        }
        Some(text)
    }

    fn times(&self) -> Option<String> {
        let second = self.seconds.back().filter(|second| second.received > 0)?;
        let [p50, p99, max] = [second.p50_us, second.p99_us, second.max_us].map(units::micros);
        Some(format!("p50 {p50}, p99 {p99}, max {max}"))
    }
}

/// How far the clients are, and that a server is silent.
fn standing(clients: &Standing, elapsed_s: f64) -> String {
    let Standing { target, wanted, begun, answered } = *clients;
    if answered == 0 && elapsed_s >= SILENCE_S {
        return format!("nothing has answered at {target} yet");
    }
    let [wanted, begun, answered] = [wanted, begun, answered].map(units::count);
    format!("{answered} answered of {begun} begun of {wanted}")
}

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64) as usize;
    format!("[{}{}]", "█".repeat(full), "░".repeat(BAR - full))
}

/// Values as heights between the lowest and the highest, by their logarithms: a tenfold latency is seen, whatever came
/// before.
fn sparkline(values: impl Iterator<Item = f64> + Clone) -> String {
    let logs = values.map(|value| value.max(1.0).ln());
    let (low, high) = logs.clone().fold((f64::INFINITY, 0.0_f64), |(low, high), log| (low.min(log), high.max(log)));
    // Less than a doubling is a flat line.
    let span = (high - low).max(std::f64::consts::LN_2);
    let spark = |log: f64| {
        let index = ((log - low) / span * (SPARKS.len() - 1) as f64).round() as usize;
        SPARKS[index.min(SPARKS.len() - 1)]
    };
    logs.map(spark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at_s: u32, arrived: u64, p99_us: f64) -> Second {
        let (sent, received, received_bytes) = (10_000, 9_990, 1_598_400);
        let (p50_us, max_us, server_cpu) = (40.0, 310.0, Some(0.07));
        Second { at_s, sent, arrived, received, received_bytes, p50_us, p99_us, max_us, server_cpu }
    }

    fn progress(at_s: u32) -> Progress {
        Progress {
            phase: "traffic",
            elapsed_s: f64::from(at_s + 1),
            length_s: Some(30.0),
            rate_per_s: 10_000.0,
            clients: None,
            done: 0,
            second: Some(second(at_s, 9_900, 90.0 * f64::from(at_s + 1))),
            settled: at_s.checked_sub(1).map(|at_s| second(at_s, 9_999, 90.0)),
        }
    }

    #[test]
    fn what_is_on_its_way_is_not_lost() {
        let mut live = Live::default();
        assert_eq!((live.line(), live.block(0.0, 80)), (None, Vec::new()));
        live.note(&progress(0));
        assert!(live.line().is_some_and(|line| line.contains("0 % lost")), "{:?}", live.line());
        live.note(&progress(1));
        let expected = "traffic 2 of 30 s; 9,990/s received of 10,000/s, 12.8 Mbit/s, 0.01 % lost, server 7 % of a \
                        core; p50 40.0 µs, p99 180 µs, max 310 µs";
        assert_eq!(live.line().as_deref(), Some(expected));
    }

    #[test]
    fn a_silent_server_is_not_taken_for_a_busy_one() {
        let mut live = Live::default();
        let mut setup = |elapsed_s, begun, answered| {
            let target = "192.0.2.1:3478".parse().unwrap();
            let clients = Some(Standing { target, wanted: 1000, begun, answered });
            let (length_s, second) = (None, None);
            live.note(&Progress { phase: "setup", elapsed_s, length_s, clients, second, settled: None, ..progress(0) });
            live.line().unwrap()
        };
        assert_eq!(setup(0.5, 3, 0), "setup 0 s; 0 answered of 3 begun of 1,000");
        assert_eq!(setup(2.0, 20, 0), "setup 2 s; nothing has answered at 192.0.2.1:3478 yet");
        assert_eq!(setup(3.0, 30, 29), "setup 3 s; 29 answered of 30 begun of 1,000");
    }

    #[test]
    fn where_nothing_came_there_are_no_times() {
        let mut live = Live::default();
        let mut silent = progress(0);
        silent.second = silent.second.map(|second| Second { received: 0, p50_us: 0.0, ..second });
        live.note(&silent);
        assert!(live.line().is_some_and(|line| line.contains("0/s received") && !line.contains("p50")));
    }

    #[test]
    fn a_block_fits_its_terminal_and_moves_between_news() {
        let mut live = Live::default();
        (0..100).for_each(|at_s| live.note(&progress(at_s)));
        let block = live.block(0.0, 20);
        assert!(block.len() == 4 && block.iter().all(|line| line.chars().count() <= 20), "{block:?}");
        live.note(&progress(8));
        assert!(live.block(0.5, 80)[0].ends_with("9.5 of 30 s"), "{:?}", live.block(0.5, 80));
        assert_eq!(live.block(0.0, 80).len(), 3, "an earlier time is another phase");
    }

    #[test]
    fn sparks_tell_tenfold_from_flat() {
        assert_eq!(sparkline([50.0, 600.0, 5000.0].into_iter()), "▁▅█");
        assert_eq!(sparkline([50.0, 51.0, 50.0].into_iter()), "▁▁▁");
        assert_eq!(sparkline([0.0, f64::NAN].into_iter()).chars().count(), 2);
    }
}
