//! What a process tree has used, from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

/// Fixed in the kernel's interface to user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process tree at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// User and system time of all its threads and children, also those that have ended, in seconds.
    pub cpu_s: f64,
    /// Resident set, in bytes; 0 once it has ended.
    pub rss_bytes: u64,
    /// Largest resident set of each process, added up, in bytes; 0 once it has ended.
    pub peak_bytes: u64,
    /// Whether the first process has ended and waits to be reaped.
    pub ended: bool,
}

/// The tree below and with `pid`; `None` when there is no such process.
pub fn usage(pid: u32) -> Option<Usage> {
    let stat = Stat::of(pid)?;
    let mut sum = Usage { cpu_s: stat.cpu_s, ended: stat.ended, ..Usage::default() };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    sum.rss_bytes = kib(&status, "VmRSS:");
    sum.peak_bytes = kib(&status, "VmHWM:");
    for child in children(pid) {
        let Some(child) = usage(child) else { continue };
        sum.cpu_s += child.cpu_s;
        sum.rss_bytes += child.rss_bytes;
        sum.peak_bytes += child.peak_bytes;
    }
    Some(sum)
}

/// CPU seconds of the threads of a process that are alive, by name; a number at the end of a name is left out.
pub fn threads(pid: u32) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let Some(stat) = fs::read_to_string(task.path().join("stat")).ok().and_then(|text| Stat::parse(&text)) else {
            continue;
        };
        *sums.entry(stat.name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()).or_default() += stat.cpu_s;
    }
    sums
}

/// Sends a signal, by its name without SIG, to one process.
///
/// # Errors
/// There is no `kill`.
pub fn signal(pid: u32, name: &str) -> std::io::Result<()> {
    // One that has ended meanwhile needs no signal.
    Command::new("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status().map(|_| ())
}

/// Seconds core `core` was busy since the machine started; stolen time counts.
pub fn busy_s(core: usize) -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} "))).unwrap_or_default();
    let fields: Vec<f64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal guest guest_nice: the last two are part of user and nice.
    let busy: f64 = fields.iter().take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4)).map(|(_, one)| one).sum();
    busy / TICKS_PER_SECOND
}

fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    found
}

struct Stat {
    name: String,
    cpu_s: f64,
    ended: bool,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Fields are counted behind the name, which may hold spaces and brackets itself.
    fn parse(text: &str) -> Option<Self> {
        let (open, close) = (text.find('(')?, text.rfind(')')?);
        let fields: Vec<&str> = text[close + 1..].split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        // utime stime cutime cstime
        let cpu = ticks(11)? + ticks(12)? + ticks(13)? + ticks(14)?;
        let ended = matches!(fields.first(), Some(&("Z" | "X")));
        Some(Self { name: text[open + 1..close].to_owned(), cpu_s: cpu / TICKS_PER_SECOND, ended })
    }
}

fn kib(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    value.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_any_name() {
        let stat = Stat::parse("42 (a b) c1) Z 1 2 3 4 5 6 7 8 9 10 250 50 7 3 20 0 8 0").expect("parsed");
        assert_eq!((stat.name.as_str(), stat.cpu_s, stat.ended), ("a b) c1", 3.1, true));
        assert!(Stat::parse("42 (a) S 1 2").is_none());
        assert_eq!(kib("VmPeak:\t 9 kB\nVmRSS:\t   12 kB\n", "VmRSS:"), 12 * 1024);
    }

    #[test]
    fn a_child_counts_with_its_parent() {
        let mut child = Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().expect("a shell");
        let mine = usage(std::process::id()).expect("this process");
        let alone = fs::read_to_string("/proc/self/status").map(|text| kib(&text, "VmRSS:")).expect("a status");
        for grandchild in children(child.id()) {
            let kill = Command::new("kill").arg(grandchild.to_string()).status();
            assert!(kill.expect("kill").success());
        }
        child.kill().expect("killed");
        let ended = loop {
            match usage(child.id()) {
                Some(usage) if usage.ended => break usage,
                Some(_) => std::thread::yield_now(),
                None => panic!("it was not reaped, so it must be there"),
            }
        };
        child.wait().expect("reaped");
        assert!(mine.rss_bytes > 0 && mine.peak_bytes >= mine.rss_bytes && alone > 0);
        assert_eq!(ended.rss_bytes, 0);
        assert_eq!(usage(child.id()), None);
    }
}
