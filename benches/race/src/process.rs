//! What the kernel says of a process and of itself.

use std::fs;
use std::io;
use std::time::Instant;

/// What a process has used since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu_ns: f64,
    /// Context switches, voluntary and not.
    pub(crate) switches: f64,
}

impl Usage {
    /// Of the threads that live.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let mut usage = Self::default();
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let directory = thread?.path();
            usage.cpu_ns += first_number(&fs::read_to_string(directory.join("schedstat"))?);
            usage.switches += switches(&fs::read_to_string(directory.join("status"))?);
        }
        Ok(usage)
    }
}

/// What others do meanwhile: figures that were taken beside a compiler are nobody's.
pub(crate) struct Quiet {
    begin: Instant,
    everybody_s: f64,
    children_s: f64,
    stolen_s: f64,
}

impl Quiet {
    pub(crate) fn watch() -> io::Result<Self> {
        let (everybody_s, stolen_s) = user_and_stolen_seconds(&fs::read_to_string("/proc/stat")?);
        Ok(Self { begin: Instant::now(), everybody_s, children_s: children_user_seconds()?, stolen_s })
    }

    /// The share of a core that others than `pid` (which began after the watch) and this program's ended children had,
    /// in user mode (the kernel's own work is not always whose it seems), and the host's other guests.
    pub(crate) fn disturbance(&self, pid: u32) -> io::Result<f64> {
        let server_s = of_stat(&fs::read_to_string(format!("/proc/{pid}/stat"))?) / ticks_per_s();
        let ours = children_user_seconds()? - self.children_s + server_s;
        let (everybody_s, stolen_s) = user_and_stolen_seconds(&fs::read_to_string("/proc/stat")?);
        let others = (everybody_s - self.everybody_s - ours).max(0.0) + stolen_s - self.stolen_s;
        Ok(others.max(0.0) / self.begin.elapsed().as_secs_f64())
    }
}

/// Of all processes on all cores, and what a hypervisor gave to others while somebody here wanted to run.
fn user_and_stolen_seconds(stat: &str) -> (f64, f64) {
    let ticks: Vec<f64> = stat.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    // Normal and nice; the eighth is stolen.
    let user = ticks.iter().take(2).sum::<f64>();
    (user / ticks_per_s(), ticks.get(7).copied().unwrap_or_default() / ticks_per_s())
}

fn children_user_seconds() -> io::Result<f64> {
    // SAFETY: all zeros are a valid `rusage`, and the kernel writes one.
    let (failed, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) != 0, usage)
    };
    if failed {
        return Err(io::Error::last_os_error());
    }
    Ok(usage.ru_utime.tv_sec as f64 + usage.ru_utime.tv_usec as f64 / 1e6)
}

/// User time in a process's `stat`, whose second field may hold spaces.
fn of_stat(stat: &str) -> f64 {
    let behind_name = stat.rsplit_once(") ").map_or(stat, |(_, rest)| rest);
    behind_name.split_whitespace().nth(11).and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn ticks_per_s() -> f64 {
    // SAFETY: takes an integer only.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as f64 }
}

/// Bytes that the kernel uses for its objects, which is where sockets cost it.
pub(crate) fn kernel_bytes() -> io::Result<f64> {
    Ok(field(&fs::read_to_string("/proc/meminfo")?, "Slab:").unwrap_or_default() * 1024.0)
}

/// Bytes of a process, its share of what it shares with others counted.
pub(crate) fn process_bytes(pid: u32) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    Ok(field(&text, "Pss:").unwrap_or_default() * 1024.0)
}

/// Lets those that are started have as many descriptors as the system allows: a relay socket is one.
pub(crate) fn allow_many_descriptors() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit`, then reads one.
    let failed = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 || {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0
        }
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The number behind `name`.
pub(crate) fn field(text: &str, name: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == name)?;
    words.next()?.parse().ok()
}

fn switches(status: &str) -> f64 {
    ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"].iter().filter_map(|name| field(status, name)).sum()
}

fn first_number(text: &str) -> f64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n";
        assert_eq!(switches(status), 695.0);
        assert_eq!(field("Slab:  81234 kB", "Slab:"), Some(81234.0));
        assert_eq!(field("SlabX: 1", "Slab:"), None);
    }

    #[test]
    fn user_time_is_the_fourteenth_field() {
        assert_eq!(of_stat("42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 77 88 0 0"), 77.0);
    }

    #[test]
    fn time_of_programs_and_time_stolen_are_told_apart() {
        let stat = "cpu  700 200 11 12 13 14 15 300 0 0\ncpu0 1 2\n";
        let seconds = |ticks: f64| ticks / ticks_per_s();
        assert_eq!(user_and_stolen_seconds(stat), (seconds(900.0), seconds(300.0)));
    }

    #[test]
    fn this_process_has_used_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.cpu_ns > 0.0, "{usage:?}");
        assert!(kernel_bytes().unwrap() > 1e6);
        assert!(process_bytes(std::process::id()).unwrap() > 1e5);
    }
}
