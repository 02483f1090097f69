//! What the server's processes use, from `/proc` (proc(5)): CPU time, context switches, memory.

use std::fs;

/// Processes on this host.
pub(super) struct Watch {
    pids: Vec<u32>,
}

/// What they have used since they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Of all threads that live, to the nanosecond.
    schedstat_ns: u64,
    /// The same of all threads that ever lived, in clock ticks.
    ticks_ns: u64,
    threads: u64,
    voluntary: u64,
    involuntary: u64,
}

/// What they used between two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) cpu_ns: u64,
    pub(super) source: &'static str,
    pub(super) voluntary: u64,
    pub(super) involuntary: u64,
}

/// Memory of their own, in bytes, and what the kernel keeps for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) bytes: u64,
    pub(super) is_pss: bool,
    pub(super) slab_bytes: u64,
    pub(super) udp_sockets: u64,
}

/// Clock ticks of `/proc` are hundredths of a second on every Linux that is built today (USER_HZ).
const TICK_NS: u64 = 10_000_000;

impl Watch {
    /// # Errors
    /// A sentence, where one of them does not run.
    pub(super) fn new(pids: &[u32]) -> Result<Self, String> {
        let missing = pids.iter().find(|pid| fs::metadata(format!("/proc/{pid}/stat")).is_err());
        match missing {
            Some(pid) => Err(format!("there is no process {pid}; --server-pid wants processes of this host")),
            None => Ok(Self { pids: pids.to_vec() }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pids.is_empty()
    }

    pub(super) fn pids(&self) -> &[u32] {
        &self.pids
    }

    pub(super) fn names(&self) -> Vec<String> {
        let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
        self.pids.iter().map(name).collect()
    }

    /// All that is known; reads some files a thread.
    pub(super) fn sample(&self) -> Sample {
        let mut sample = Sample::default();
        for pid in &self.pids {
            sample.ticks_ns += fs::read_to_string(format!("/proc/{pid}/stat")).map_or(0, |stat| ticks(&stat)) * TICK_NS;
            for task in tasks(*pid) {
                sample.threads += 1;
                sample.schedstat_ns += on_cpu_ns(&task);
                let status = fs::read_to_string(format!("{task}/status")).unwrap_or_default();
                sample.voluntary += number_after(&status, "\nvoluntary_ctxt_switches:");
                sample.involuntary += number_after(&status, "\nnonvoluntary_ctxt_switches:");
            }
        }
        sample
    }

    /// CPU time alone.
    pub(super) fn cpu_ns(&self) -> u64 {
        self.pids.iter().flat_map(|pid| tasks(*pid)).map(|task| on_cpu_ns(&task)).sum()
    }

    pub(super) fn memory(&self) -> Memory {
        let pss =
            |pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).map(|text| number_after(&text, "\nPss:"));
        let rss = |pid| fs::read_to_string(format!("/proc/{pid}/status")).map(|text| number_after(&text, "\nVmRSS:"));
        let all: Result<Vec<u64>, _> = self.pids.iter().map(pss).collect();
        let is_pss = all.is_ok();
        let kib = all.unwrap_or_else(|_| self.pids.iter().map(|pid| rss(pid).unwrap_or(0)).collect());
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let sockets = self.pids.first().map(|pid| read(&format!("/proc/{pid}/net/sockstat"))).unwrap_or_default();
        Memory {
            bytes: kib.iter().sum::<u64>() * 1024,
            is_pss,
            slab_bytes: number_after(&read("/proc/meminfo"), "\nSlab:") * 1024,
            udp_sockets: number_after(&sockets, "\nUDP: inuse"),
        }
    }
}

impl Sample {
    pub(super) fn until(&self, later: &Self) -> Used {
        let lived = later.threads == self.threads && later.schedstat_ns > 0;
        let (from, to, source) = match lived {
            true => (self.schedstat_ns, later.schedstat_ns, "schedstat"),
            false => (self.ticks_ns, later.ticks_ns, "stat"),
        };
        Used {
            cpu_ns: to.saturating_sub(from),
            source,
            voluntary: later.voluntary.saturating_sub(self.voluntary),
            involuntary: later.involuntary.saturating_sub(self.involuntary),
        }
    }
}

/// The CPU time of the calling thread, in nanoseconds.
pub(super) fn own_cpu_ns() -> u64 {
    on_cpu_ns("/proc/thread-self")
}

fn tasks(pid: u32) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().to_string_lossy().into_owned())
}

/// The first number of `schedstat`: time on a processor.
fn on_cpu_ns(task: &str) -> u64 {
    let text = fs::read_to_string(format!("{task}/schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

/// `utime` and `stime`, fields 14 and 15. The name in field 2 can hold anything, so counting begins behind it.
fn ticks(stat: &str) -> u64 {
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    behind.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

fn number_after(text: &str, key: &str) -> u64 {
    let behind = text.find(key).map_or("", |at| &text[at + key.len()..]);
    behind.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_seen_working() {
        let watch = Watch::new(&[std::process::id()]).unwrap();
        let before = watch.sample();
        // By the time that this program was given, not by the clock: others may want the processor as well.
        let begun = own_cpu_ns();
        let mut sum = 0_u64;
        while own_cpu_ns() - begun < 60_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let used = before.until(&watch.sample());
        assert!(used.cpu_ns >= 20_000_000, "{used:?}");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let memory = watch.memory();
        assert!(memory.bytes > 1 << 20 && memory.slab_bytes > 1 << 20 && memory.udp_sockets > 0, "{memory:?}");
        drop(socket);
        assert_eq!(watch.names().len(), 1);
        assert!(own_cpu_ns() > 0 && watch.cpu_ns() > 0);
    }

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 6 7 20 0 1 0 99";
        assert_eq!(ticks(stat), 300);
    }

    #[test]
    fn where_threads_ended_the_ticks_count() {
        let before = Sample { schedstat_ns: 100, ticks_ns: 1000, threads: 3, ..Sample::default() };
        let after = Sample { schedstat_ns: 90, ticks_ns: 1500, threads: 2, ..before };
        assert_eq!((before.until(&after).cpu_ns, before.until(&after).source), (500, "stat"));
        let after = Sample { schedstat_ns: 190, ticks_ns: 1500, ..before };
        assert_eq!((before.until(&after).cpu_ns, before.until(&after).source), (90, "schedstat"));
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        assert!(Watch::new(&[u32::MAX]).is_err_and(|error| error.contains("4294967295")));
    }
}
