//! What the server's processes use, from `/proc` (proc(5)): CPU time, context switches, memory.

use std::fs;

/// Processes on this host.
pub(super) struct Watch {
    pids: Vec<u32>,
    /// When each began, in clock ticks since the host did: another may get its number.
    births: Vec<u64>,
    /// Those that are no more, and when that was seen.
    ended: Vec<(u32, u64)>,
    next_look_ns: u64,
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
const LOOK_EVERY_NS: u64 = 250_000_000;

impl Watch {
    /// # Errors
    /// A sentence, where one of them does not run.
    pub(super) fn new(pids: &[u32]) -> Result<Self, String> {
        let birth = |pid: &u32| {
            birth(*pid).ok_or_else(|| format!("there is no process {pid}; --server-pid wants processes of this host"))
        };
        let births = pids.iter().map(birth).collect::<Result<_, _>>()?;
        Ok(Self { pids: pids.to_vec(), births, ended: Vec::new(), next_look_ns: 0 })
    }

    /// Sees whether they still run, at most four times a second.
    pub(super) fn look(&mut self, now_ns: u64) {
        if now_ns >= self.next_look_ns {
            self.next_look_ns = now_ns + LOOK_EVERY_NS;
            let Self { pids, births, ended, .. } = self;
            for (pid, born) in pids.iter().zip(births) {
                let is_known = ended.iter().any(|(known, _)| known == pid);
                if !is_known && birth(*pid) != Some(*born) {
                    ended.push((*pid, now_ns));
                }
            }
        }
    }

    /// Those that are no more, and when that was seen.
    pub(super) fn ended(&self) -> &[(u32, u64)] {
        &self.ended
    }

    /// Whether one of them holds a socket on `port`, over UDP or listening for TCP; none where that cannot be seen, as
    /// of another user's.
    pub(super) fn holds_port(&self, port: u16, is_udp: bool) -> Option<bool> {
        let tables: [&str; 2] = if is_udp { ["udp", "udp6"] } else { ["tcp", "tcp6"] };
        let mut any = false;
        for pid in &self.pids {
            let tables = tables.map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default());
            let inodes: Vec<String> = tables.iter().flat_map(|table| inodes(table, port, is_udp)).collect();
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
            let mut links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
            any |= links.any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()));
        }
        Some(any)
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

/// When a process began, field 22; none if it has ended, waited for by its parent or not.
fn birth(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace();
    let state = fields.next()?;
    fields.nth(18)?.parse().ok().filter(|_| !matches!(state, "Z" | "X"))
}

/// The sockets of a table of `/proc/net` that are bound to `port`, as a descriptor's link names them. Of TCP those that
/// listen.
fn inodes(table: &str, port: u16, is_udp: bool) -> impl Iterator<Item = String> {
    let (end, listens) = (format!(":{port:04X}"), "0A");
    table.lines().skip(1).filter_map(move |line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        let is_there = local.ends_with(&end) && (is_udp || state == listens);
        fields.nth(5).filter(|_| is_there).map(|inode| format!("socket:[{inode}]"))
    })
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
    fn a_process_that_ends_is_missed_though_nobody_has_waited_for_it() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut watch = Watch::new(&[std::process::id(), child.id()]).unwrap();
        watch.look(0);
        assert_eq!(watch.ended(), []);
        child.kill().unwrap();
        // A zombie from some time on, until it is waited for.
        while watch.ended().is_empty() {
            watch.next_look_ns = 0;
            watch.look(7);
        }
        assert_eq!(watch.ended(), [(child.id(), 7)]);
        child.wait().unwrap();
    }

    #[test]
    fn who_holds_a_port_is_known() {
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpListener::bind("[::1]:0").or_else(|_| std::net::TcpListener::bind("127.0.0.1:0"));
        let port = datagrams.local_addr().unwrap().port();
        let watch = Watch::new(&[std::process::id()]).unwrap();
        assert_eq!(watch.holds_port(port, true), Some(true));
        assert_eq!(watch.holds_port(stream.unwrap().local_addr().unwrap().port(), false), Some(true));
        drop(datagrams);
        assert_eq!(watch.holds_port(port, true), Some(false));
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        assert!(Watch::new(&[u32::MAX]).is_err_and(|error| error.contains("4294967295")));
    }
}
